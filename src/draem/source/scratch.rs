//! Thin curves: scratches that run nearly straight and fade, cracks that wander
//! and branch, with a dark bottom and perhaps one lit lip.

use super::region::{log_uniform, smoothstep, unit};
use ndarray::{Array2, Array3, ArrayView3, Axis, Zip};
use rand::Rng;
use std::f32::consts::TAU;

/// The piece with scratches or with a crack. Depth differs from channel to
/// channel, as lights graze differently.
pub fn scratched(good: ArrayView3<'_, f32>, rng: &mut impl Rng) -> Array3<f32> {
    let (_, height, width) = good.dim();
    let mut lines = Lines {
        bottom: Array2::zeros((height, width)),
        lip: Array2::zeros((height, width)),
    };
    if rng.random_bool(0.5) {
        let walk = Walk::draw((height, width), log_uniform(0.08, 0.8, rng), 0.3, rng);
        lines.walk(walk, 0.12, rng);
    } else {
        let first = Walk::draw((height, width), log_uniform(0.08, 0.8, rng), 0.02, rng);
        lines.walk(first, 0.0, rng);
        // Often something rubbed several times.
        for _ in 0..rng.random_range(0..=3u8) {
            let mut next = first;
            let reach = 6.0 * unit(height, width);
            next.point.0 += rng.random_range(-reach..reach);
            next.point.1 += rng.random_range(-reach..reach);
            next.angle += rng.random_range(-0.2..0.2);
            next.length *= rng.random_range(0.3..1.0);
            lines.walk(next, 0.0, rng);
        }
    }
    let darker = rng.random_bool(0.65);
    let depth = log_uniform(0.12, 0.9, rng);
    let lit = if rng.random_bool(0.5) {
        rng.random_range(0.05..0.35f32)
    } else {
        0.0
    };
    let mut out = good.to_owned();
    for mut plane in out.axis_iter_mut(Axis(0)) {
        let depth = depth * rng.random_range(0.5..1.0f32);
        let lit = lit * rng.random_range(0.3..1.0f32);
        Zip::from(&mut plane)
            .and(&lines.bottom)
            .and(&lines.lip)
            .for_each(|v, &bottom, &lip| {
                let lip = lip * (1.0 - bottom);
                let base = if darker {
                    *v * (1.0 - depth * bottom)
                } else {
                    *v + depth * bottom * (1.0 - *v)
                };
                *v = (base + lit * lip).clamp(0.0, 1.0);
            });
    }
    out
}

/// How much of the line shows at each pixel, and of the lip beside it.
struct Lines {
    bottom: Array2<f32>,
    lip: Array2<f32>,
}

/// One line to be drawn, lengths in pixels.
#[derive(Debug, Clone, Copy)]
struct Walk {
    point: (f32, f32),
    angle: f32,
    length: f32,
    half_width: f32,
    /// Change of direction at each step, in radians, at most.
    wander: f32,
    /// The same change at every step: a curve.
    bend: f32,
}

impl Walk {
    fn draw((height, width): (usize, usize), share: f32, wander: f32, rng: &mut impl Rng) -> Self {
        Self {
            point: (
                rng.random_range(0.0..height as f32),
                rng.random_range(0.0..width as f32),
            ),
            angle: TAU * rng.random::<f32>(),
            length: share * height.min(width) as f32,
            half_width: log_uniform(0.35, 1.3, rng) * unit(height, width),
            wander,
            bend: rng.random_range(-0.03..0.03),
        }
    }
}

impl Lines {
    /// Draws a line and, with this chance at each step, branches of it.
    fn walk(&mut self, mut walk: Walk, branching: f64, rng: &mut impl Rng) {
        let (height, width) = self.bottom.dim();
        let step = 3.0 * unit(height, width);
        let steps = (walk.length / step).ceil().max(1.0) as usize;
        let mut opacity = rng.random_range(0.6..1.0f32);
        for i in 0..steps {
            walk.angle += walk.bend + rng.random_range(-1.0..1.0f32) * walk.wander;
            let (sin, cos) = walk.angle.sin_cos();
            let next = (walk.point.0 + step * sin, walk.point.1 + step * cos);
            let taper = 1.0 - (i as f32 / steps as f32).powi(3);
            let half = (walk.half_width * taper * rng.random_range(0.75..1.25f32)).max(0.3);
            // A line fades and comes again, but never jumps.
            opacity = (opacity + rng.random_range(-0.2..0.2f32)).clamp(0.35, 1.0);
            self.segment(walk.point, next, half, opacity);
            if rng.random_bool(branching) {
                let sign = if rng.random_bool(0.5) { 1.0 } else { -1.0 };
                let branch = Walk {
                    point: next,
                    angle: walk.angle + sign * rng.random_range(0.4..1.1f32),
                    length: walk.length * rng.random_range(0.15..0.4f32),
                    half_width: half * 0.7,
                    ..walk
                };
                self.walk(branch, 0.0, rng);
            }
            walk.point = next;
        }
    }

    fn segment(&mut self, a: (f32, f32), b: (f32, f32), half: f32, opacity: f32) {
        let (height, width) = self.bottom.dim();
        let reach = 2.0 * half + 2.0;
        let span = |a: f32, b: f32, side: usize| {
            let low = (a.min(b) - reach).floor().max(0.0) as usize;
            let high = (a.max(b) + reach).ceil().max(0.0) as usize + 1;
            low.min(side)..high.min(side)
        };
        let (ey, ex) = (b.0 - a.0, b.1 - a.1);
        let squared = (ey * ey + ex * ex).max(1e-6);
        for y in span(a.0, b.0, height) {
            for x in span(a.1, b.1, width) {
                let (py, px) = (y as f32 - a.0, x as f32 - a.1);
                let along = ((py * ey + px * ex) / squared).clamp(0.0, 1.0);
                let (dy, dx) = (py - ey * along, px - ex * along);
                let distance = dy.hypot(dx);
                // A line thinner than a pixel covers a part of it.
                let cover = (2.0 * half).min(1.0);
                let bottom = opacity * cover * smoothstep(half + 0.7, half - 0.5, distance);
                let old = &mut self.bottom[[y, x]];
                *old = old.max(bottom);
                // The lip: on the line's left, a width away.
                let left = (dy * ex - dx * ey) / squared.sqrt();
                if left > 0.0 {
                    let lip = opacity * smoothstep(half + 1.0, 0.0, (left - half - 0.5).abs());
                    let old = &mut self.lip[[y, x]];
                    *old = old.max(lip);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Seed;

    #[test]
    fn a_scratch_is_thin() {
        let good = Array3::from_elem((1, 128, 128), 0.5);
        for seed in 0..30 {
            let out = scratched(good.view(), &mut Seed::new(seed).rng());
            let changed = out.iter().filter(|v| (**v - 0.5f32).abs() > 0.02).count();
            assert!((1..128 * 128 / 8).contains(&changed), "{seed}: {changed}");
        }
    }
}
