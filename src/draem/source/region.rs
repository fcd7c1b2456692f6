//! Where a simulated defect lies and how much of it shows at each pixel.

use super::SimulationOptions;
use crate::draem::augment::rotate;
use crate::draem::perlin::random_perlin;
use ndarray::{Array2, Array3, ArrayView2, ArrayView3, Axis, Zip};
use rand::Rng;
use std::f32::consts::TAU;
use std::ops::Range;

/// How a noise-shaped region begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// At once, or within the pixel or two that `edge_blur` says.
    Hard,
    /// Little by little.
    Fading,
}

/// The paper's region: thresholded Perlin noise, turned by up to 90 degrees
/// either way. The weights `[height, width]` lie in `0..=1`.
pub fn perlin_region(
    (height, width): (usize, usize),
    options: &SimulationOptions,
    edge: Edge,
    rng: &mut impl Rng,
) -> Array2<f32> {
    let mut cells = || 1usize << rng.random_range(0..options.perlin_scales);
    let lattice = (cells(), cells());
    let noise = random_perlin(height, width, lattice, rng);
    let noise = rotate(&noise, rng.random_range(-90.0..90.0));
    let threshold = options.perlin_threshold;
    match edge {
        Edge::Hard => {
            let region = noise.mapv(|v| f32::from(u8::from(v > threshold)));
            match options.edge_blur {
                0 => region,
                most => soft_edged(region, rng.random_range(1..=most)),
            }
        }
        Edge::Fading => noise.mapv(|v| ((v - threshold) / 0.2).clamp(0.0, 1.0)),
    }
}

/// A region of zeros and ones whose edge is as soft as a camera's: smoothed by `1 2 1` along rows
/// and columns, so many times. Where less than a quarter is left it ends.
fn soft_edged(mut region: Array2<f32>, times: u32) -> Array2<f32> {
    for axis in [Axis(0), Axis(1)] {
        for mut lane in region.lanes_mut(axis) {
            for _ in 0..times {
                let mut before = lane[0];
                for i in 0..lane.len() {
                    let (here, after) = (lane[i], lane[(i + 1).min(lane.len() - 1)]);
                    lane[i] = 0.25 * before + 0.5 * here + 0.25 * after;
                    before = here;
                }
            }
        }
    }
    region.mapv_into(|weight| if weight < 0.25 { 0.0 } else { weight })
}

/// `image` with `filling` laid over it: `w filling + (1 - w) image`, the weight
/// `w` being `opacity` times the region's.
pub fn blend(
    image: ArrayView3<'_, f32>,
    filling: &Array3<f32>,
    region: &Array2<f32>,
    opacity: f32,
) -> Array3<f32> {
    let mut out = image.to_owned();
    for (mut plane, filling) in out.outer_iter_mut().zip(filling.outer_iter()) {
        Zip::from(&mut plane)
            .and(&filling)
            .and(region)
            .for_each(|pixel, &filling, &weight| {
                let weight = opacity * weight;
                *pixel = weight * filling + (1.0 - weight) * *pixel;
            });
    }
    out
}

/// A blob: an ellipse with a ragged outline.
#[derive(Debug, Clone, Copy)]
pub struct Blob {
    /// Row and column of its middle.
    pub centre: (f32, f32),
    /// Its half axes, in pixels.
    pub half: (f32, f32),
    /// How far the outline wanders, in parts of the half axes.
    pub ragged: f32,
    /// Over which part of the half axes it fades in; 0 for an edge one pixel wide.
    pub soft: f32,
}

impl Blob {
    /// One about a place, `size` pixels along its longer half axis, its outline more or less
    /// ragged, as soft as one of `soft`.
    pub fn about(
        (row, column): (usize, usize),
        size: f32,
        soft: Range<f32>,
        rng: &mut impl Rng,
    ) -> Self {
        Self {
            centre: (row as f32, column as f32),
            half: (size, size * rng.random_range(0.4..1.0f32)),
            ragged: rng.random_range(0.0..0.5),
            soft: rng.random_range(soft),
        }
    }

    /// Its weights `[height, width]` in `0..=1`, turned by a random angle.
    pub fn draw(&self, (height, width): (usize, usize), rng: &mut impl Rng) -> Array2<f32> {
        let mut weights = Array2::zeros((height, width));
        let (a, b) = (self.half.0.max(0.5), self.half.1.max(0.5));
        let reach = a.max(b) * (1.0 + self.ragged) + 1.0;
        let (sin, cos) = (TAU * rng.random::<f32>()).sin_cos();
        let span = |at: f32, side: usize| {
            let low = (at - reach).floor().max(0.0) as usize;
            let high = (at + reach).ceil().max(0.0) as usize + 1;
            low.min(side)..high.min(side)
        };
        let (rows, columns) = (span(self.centre.0, height), span(self.centre.1, width));
        if rows.is_empty() || columns.is_empty() {
            return weights;
        }
        let cells = rng.random_range(2..=5);
        let noise = random_perlin(rows.len(), columns.len(), (cells, cells), rng);
        let fade = self.soft.max(1.0 / a.min(b));
        for (y, noise) in rows.zip(noise.outer_iter()) {
            for (x, noise) in columns.clone().zip(&noise) {
                let (dy, dx) = (y as f32 - self.centre.0, x as f32 - self.centre.1);
                let (u, v) = ((dy * cos + dx * sin) / a, (dx * cos - dy * sin) / b);
                let inside = 1.0 + self.ragged * noise - (u * u + v * v).sqrt();
                weights[[y, x]] = smoothstep(0.0, fade, inside);
            }
        }
        weights
    }
}

/// 0 below `low`, 1 above `high`, `3t^2 - 2t^3` between; reversed if `low > high`.
pub fn smoothstep(low: f32, high: f32, x: f32) -> f32 {
    let t = ((x - low) / (high - low)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// A number between two, on a logarithmic scale: sizes of defects.
pub fn log_uniform(low: f32, high: f32, rng: &mut impl Rng) -> f32 {
    (low.ln() + rng.random::<f32>() * (high / low).ln()).exp()
}

/// Pixels of the networks' picture for one at 128 x 128, at least 1.
pub fn unit(height: usize, width: usize) -> f32 {
    (height.min(width) as f32 / 128.0).max(1.0)
}

/// The plane between its pixels, bilinear; beyond its border the border.
pub fn sample(plane: &ArrayView2<'_, f32>, y: f32, x: f32) -> f32 {
    let (height, width) = plane.dim();
    let y = y.clamp(0.0, (height - 1) as f32);
    let x = x.clamp(0.0, (width - 1) as f32);
    let (y0, x0) = (y as usize, x as usize);
    let (y1, x1) = ((y0 + 1).min(height - 1), (x0 + 1).min(width - 1));
    let (v, u) = (y - y0 as f32, x - x0 as f32);
    let top = plane[[y0, x0]] + (plane[[y0, x1]] - plane[[y0, x0]]) * u;
    let low = plane[[y1, x0]] + (plane[[y1, x1]] - plane[[y1, x0]]) * u;
    top + (low - top) * v
}

/// The mean over a centred square of side `2 radius + 1`, the part of it that
/// lies within the plane.
pub fn box_mean(plane: ArrayView2<'_, f32>, radius: usize) -> Array2<f32> {
    let (height, width) = plane.dim();
    let mut across = Array2::zeros((height, width));
    let mut sums = vec![0.0f64; width.max(height) + 1];
    for (from, mut to) in plane.outer_iter().zip(across.outer_iter_mut()) {
        running_mean(from.iter().copied(), &mut sums, radius, |i, v| to[i] = v);
    }
    let mut out = Array2::zeros((height, width));
    for (from, mut to) in across.axis_iter(Axis(1)).zip(out.axis_iter_mut(Axis(1))) {
        running_mean(from.iter().copied(), &mut sums, radius, |i, v| to[i] = v);
    }
    out
}

/// How much a pixel differs from those below and to the right of it, summed over the channels.
pub fn steepness(image: ArrayView3<'_, f32>) -> Array2<f32> {
    let (_, height, width) = image.dim();
    let mut steep = Array2::zeros((height, width));
    for plane in image.axis_iter(Axis(0)) {
        for ((y, x), steep) in steep.indexed_iter_mut() {
            let here = plane[[y, x]];
            let below = plane[[(y + 1).min(height - 1), x]];
            let right = plane[[y, (x + 1).min(width - 1)]];
            *steep += (below - here).abs() + (right - here).abs();
        }
    }
    steep
}

/// Of eight random places the one about which a plane is largest, in the mean over a square of side
/// `2 radius + 1`: row and column. For defects that show only where there is something to change.
pub fn busiest(plane: &Array2<f32>, radius: usize, rng: &mut impl Rng) -> (usize, usize) {
    const PLACES: usize = 8;
    let (height, width) = plane.dim();
    let around = box_mean(plane.view(), radius);
    (0..PLACES)
        .map(|_| (rng.random_range(0..height), rng.random_range(0..width)))
        .max_by(|a, b| around[*a].total_cmp(&around[*b]))
        .expect("several places")
}

fn running_mean(
    values: impl ExactSizeIterator<Item = f32>,
    sums: &mut [f64],
    radius: usize,
    mut put: impl FnMut(usize, f32),
) {
    let n = values.len();
    for (i, v) in values.enumerate() {
        sums[i + 1] = sums[i] + f64::from(v);
    }
    for i in 0..n {
        let (low, high) = (i.saturating_sub(radius), (i + radius + 1).min(n));
        put(i, ((sums[high] - sums[low]) / (high - low) as f64) as f32);
    }
}

/// The pixels of a mask and all within `radius` of them, diagonally too.
pub fn dilated(mask: &Array2<bool>, radius: usize) -> Array2<bool> {
    let plane = mask.mapv(|m| f32::from(u8::from(m)));
    box_mean(plane.view(), radius).mapv(|share| share > 1e-9)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Seed;

    #[test]
    fn a_box_mean_is_that_of_the_pixels_within_the_plane() {
        let plane = Array2::from_shape_fn((4, 5), |(y, x)| (y * 5 + x) as f32);
        let mean = box_mean(plane.view(), 1);
        assert_eq!(mean[[1, 2]], 7.0);
        assert_eq!(mean[[0, 0]], (0.0 + 1.0 + 5.0 + 6.0) / 4.0);
        assert_eq!(box_mean(plane.view(), 9), Array2::from_elem((4, 5), 9.5f32));
    }

    #[test]
    fn the_busiest_place_is_near_what_there_is() {
        let plane = Array2::from_shape_fn((40, 40), |(y, _)| f32::from(u8::from(y < 20)));
        let near = |seed| busiest(&plane, 2, &mut Seed::new(seed).rng()).0 < 22;
        // All eight places miss the upper half once in 2^8.
        assert!((0..200).filter(|seed| near(*seed)).count() > 190);
    }

    #[test]
    fn dilation_reaches_the_radius_and_no_further() {
        let mut mask = Array2::from_elem((7, 9), false);
        mask[[3, 4]] = true;
        let wide = dilated(&mask, 2);
        for ((y, x), inside) in wide.indexed_iter() {
            assert_eq!(*inside, y.abs_diff(3) <= 2 && x.abs_diff(4) <= 2);
        }
    }

    #[test]
    fn a_blurred_edge_rises_over_two_pixels_and_flat_parts_stay() {
        let half = Array2::from_shape_fn((6, 12), |(_, x)| f32::from(u8::from(x >= 6)));
        let once = soft_edged(half.clone(), 1);
        for row in once.outer_iter() {
            let edge: Vec<f32> = row.iter().copied().collect();
            assert_eq!(edge[4..8], [0.0, 0.25, 0.75, 1.0]);
        }
        let twice = soft_edged(half, 2);
        // 1 4 6 4 1 sixteenths; the outermost, 1/16, is cut off.
        assert_eq!(
            twice.row(3).to_vec()[4..9],
            [0.0, 0.3125, 0.6875, 0.9375, 1.0]
        );
        let flat = Array2::from_elem((5, 7), 1.0f32);
        assert_eq!(soft_edged(flat.clone(), 3), flat);
    }

    #[test]
    fn a_blob_covers_its_ellipse() {
        let blob = Blob {
            centre: (32.0, 40.0),
            half: (12.0, 12.0),
            ragged: 0.0,
            soft: 0.0,
        };
        let weights = blob.draw((64, 80), &mut Seed::new(1).rng());
        assert_eq!(weights[[32, 40]], 1.0);
        assert_eq!(weights[[32, 53]], 0.0);
        let area: f32 = weights.sum();
        let ellipse = std::f32::consts::PI * 144.0;
        assert!((area / ellipse - 1.0).abs() < 0.12, "{area} {ellipse}");
    }

    #[test]
    fn sampling_a_plane_is_bilinear_and_stops_at_the_border() {
        let plane = ndarray::arr2(&[[0.0, 1.0], [2.0, 3.0]]);
        assert_eq!(sample(&plane.view(), 0.5, 0.5), 1.5);
        assert_eq!(sample(&plane.view(), 9.0, -4.0), 2.0);
    }
}
