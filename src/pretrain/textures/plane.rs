//! `Plane`: one square layer of grey that the texture families draw on.

/// `[side, side]`, row by row; 0 is dark, 1 is bright, values may leave that
/// range until [`Plane::clamp`].
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Plane {
    pub side: usize,
    pub values: Vec<f32>,
}

impl Plane {
    /// All pixels alike.
    pub fn constant(side: usize, value: f32) -> Self {
        Self {
            side,
            values: vec![value; side * side],
        }
    }

    /// Each pixel from its column `x` and row `y`.
    pub fn from_fn(side: usize, mut at: impl FnMut(f32, f32) -> f32) -> Self {
        let mut values = Vec::with_capacity(side * side);
        for y in 0..side {
            for x in 0..side {
                values.push(at(x as f32, y as f32));
            }
        }
        Self { side, values }
    }

    /// Changes each pixel alone.
    pub fn map(&mut self, f: impl Fn(f32) -> f32) {
        for v in &mut self.values {
            *v = f(*v);
        }
    }

    /// The mean of all pixels.
    pub fn mean(&self) -> f32 {
        self.values.iter().sum::<f32>() / self.values.len() as f32
    }

    /// Mean 0.5 and deviation 0.2: noise of any amplitude made comparable.
    pub fn standardise(mut self) -> Self {
        let mean = self.mean();
        let variance =
            self.values.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / self.values.len() as f32;
        let scale = 0.2 / variance.sqrt().max(1e-6);
        self.map(|v| 0.5 + (v - mean) * scale);
        self
    }

    /// Cuts values off at 0 and 1.
    pub fn clamp(mut self) -> Self {
        self.map(|v| v.clamp(0.0, 1.0));
        self
    }

    /// Bilinear value at (`x`, `y`), the border repeated outside.
    pub fn sample(&self, x: f32, y: f32) -> f32 {
        let last = (self.side - 1) as f32;
        let (x, y) = (x.clamp(0.0, last), y.clamp(0.0, last));
        let (x0, y0) = (x as usize, y as usize);
        let (x1, y1) = ((x0 + 1).min(self.side - 1), (y0 + 1).min(self.side - 1));
        let (fx, fy) = (x - x0 as f32, y - y0 as f32);
        let row = |y: usize| {
            let (a, b) = (
                self.values[y * self.side + x0],
                self.values[y * self.side + x1],
            );
            a + (b - a) * fx
        };
        let (a, b) = (row(y0), row(y1));
        a + (b - a) * fy
    }

    /// Draws `value` with opacity `cover(x, y)` inside the box around
    /// (`x0`, `y0`) and (`x1`, `y1`), as far as it lies on the plane.
    pub fn paint(
        &mut self,
        (x0, y0, x1, y1): (f32, f32, f32, f32),
        value: f32,
        cover: impl Fn(f32, f32) -> f32,
    ) {
        let end = self.side as f32;
        let (left, right) = (
            x0.floor().clamp(0.0, end),
            (x1.ceil() + 1.0).clamp(0.0, end),
        );
        let (top, bottom) = (
            y0.floor().clamp(0.0, end),
            (y1.ceil() + 1.0).clamp(0.0, end),
        );
        for y in top as usize..bottom as usize {
            for x in left as usize..right as usize {
                let opacity = cover(x as f32, y as f32).clamp(0.0, 1.0);
                let pixel = &mut self.values[y * self.side + x];
                *pixel += (value - *pixel) * opacity;
            }
        }
    }

    /// A straight stroke of round ends, anti-aliased.
    pub fn stroke(&mut self, a: (f32, f32), b: (f32, f32), width: f32, value: f32, opacity: f32) {
        let reach = width / 2.0 + 1.0;
        let (dx, dy) = (b.0 - a.0, b.1 - a.1);
        let length2 = (dx * dx + dy * dy).max(1e-6);
        // A stroke thinner than a pixel is paler, not thinner.
        let (half, opacity) = (width.max(1.0) / 2.0, opacity * width.min(1.0));
        let bounds = (
            a.0.min(b.0) - reach,
            a.1.min(b.1) - reach,
            a.0.max(b.0) + reach,
            a.1.max(b.1) + reach,
        );
        self.paint(bounds, value, |x, y| {
            let t = (((x - a.0) * dx + (y - a.1) * dy) / length2).clamp(0.0, 1.0);
            let distance = (x - a.0 - t * dx).hypot(y - a.1 - t * dy);
            opacity * (half + 0.5 - distance).clamp(0.0, 1.0)
        });
    }

    /// A disc whose border is `soft` pixels wide.
    pub fn disc(&mut self, (cx, cy): (f32, f32), r: f32, soft: f32, value: f32, opacity: f32) {
        let reach = r + soft;
        self.paint(
            (cx - reach, cy - reach, cx + reach, cy + reach),
            value,
            |x, y| {
                opacity
                    * ((r + soft / 2.0 - (x - cx).hypot(y - cy)) / soft.max(1e-3)).clamp(0.0, 1.0)
            },
        );
    }

    /// Weights `(w, 1 - 2 w, w)` along rows and columns, `w <= 1/3`.
    pub fn soften(&mut self, w: f32) {
        for _ in 0..2 {
            for row in self.values.chunks_exact_mut(self.side) {
                let mut before = row[0];
                for x in 0..row.len() {
                    let here = row[x];
                    let after = row[(x + 1).min(row.len() - 1)];
                    row[x] = w * (before + after) + (1.0 - 2.0 * w) * here;
                    before = here;
                }
            }
            self.transpose();
        }
    }

    fn transpose(&mut self) {
        for y in 0..self.side {
            for x in y + 1..self.side {
                self.values.swap(y * self.side + x, x * self.side + y);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softening_keeps_the_mean_of_a_spot_far_from_the_border() {
        let mut plane = Plane::constant(31, 0.0);
        plane.values[15 * 31 + 15] = 1.0;
        plane.soften(0.25);
        assert!((plane.values.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        assert!((plane.values[15 * 31 + 15] - 0.25).abs() < 1e-6);
    }

    #[test]
    fn a_stroke_covers_its_length_times_its_width() {
        let mut plane = Plane::constant(40, 0.0);
        plane.stroke((10.0, 20.0), (30.0, 20.0), 3.0, 1.0, 1.0);
        let ink: f32 = plane.values.iter().sum();
        // 20 long, 3 wide, and two half discs of radius 1.5.
        assert!(
            (ink - (60.0 + 2.25 * std::f32::consts::PI)).abs() < 4.0,
            "{ink}"
        );
    }

    #[test]
    fn sampling_between_two_pixels_gives_their_mean() {
        let plane = Plane::from_fn(4, |x, _| x);
        assert!((plane.sample(1.5, 2.0) - 1.5).abs() < 1e-6);
        assert!((plane.sample(-3.0, 2.0)).abs() < 1e-6);
    }
}
