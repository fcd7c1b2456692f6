//! A region pulled out of shape: an outline that bulges or gives way, bent print.
//!
//! The elastic deformations of P. Y. Simard, D. Steinkraus, J. C. Platt, "Best practices for
//! convolutional neural networks applied to visual document analysis", ICDAR 2003, are shifts that
//! vary smoothly over the whole picture and leave its meaning as it is. Here one blob alone is
//! shifted, and that is the defect: no other kind bends the border of a piece.

use super::region::{Blob, busiest, log_uniform, sample, steepness, unit};
use ndarray::{Array3, ArrayView3, Axis};
use rand::Rng;
use std::f32::consts::TAU;

/// The piece with one blob shifted, most in its middle and not at all at its edge, all channels by
/// the same. The shift is a fifth of the blob's lesser half axis up to all of it.
pub fn warped(good: ArrayView3<'_, f32>, rng: &mut impl Rng) -> Array3<f32> {
    let (_, height, width) = good.dim();
    let size = log_uniform(3.0, 40.0, rng) * unit(height, width);
    // Plain ground looks the same when it is shifted.
    let centre = busiest(&steepness(good), (0.5 * size).ceil() as usize, rng);
    let blob = Blob::about(centre, size, 0.4..1.0, rng);
    let weights = blob.draw((height, width), rng);
    let (sin, cos) = (TAU * rng.random::<f32>()).sin_cos();
    let shift = blob.half.0.min(blob.half.1) * log_uniform(0.2, 1.0, rng);
    let mut out = good.to_owned();
    for (from, mut to) in good.axis_iter(Axis(0)).zip(out.axis_iter_mut(Axis(0))) {
        for ((y, x), &weight) in weights.indexed_iter() {
            if weight > 0.0 {
                let shift = weight * shift;
                to[[y, x]] = sample(&from, y as f32 - shift * sin, x as f32 - shift * cos);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Seed;

    /// Dark belt, bright piece: one straight border, at column 32.
    fn border(channels: usize) -> Array3<f32> {
        Array3::from_shape_fn(
            (channels, 64, 64),
            |(_, _, x)| if x < 32 { 0.1 } else { 0.8 },
        )
    }

    #[test]
    fn a_straight_border_is_bent_in_one_place_and_no_tone_is_new() {
        let good = border(2);
        let mut bent = 0;
        for seed in 0..40 {
            let out = warped(good.view(), &mut Seed::new(seed).rng());
            assert!(out.iter().all(|v| (0.1..=0.8).contains(v)));
            assert_eq!(out.index_axis(Axis(0), 0), out.index_axis(Axis(0), 1));
            let moved = |y: usize| (0..64).any(|x| (out[[0, y, x]] - good[[0, y, x]]).abs() > 0.1);
            let rows: Vec<usize> = (0..64).filter(|y| moved(*y)).collect();
            bent += usize::from(!rows.is_empty() && rows.len() < 64);
        }
        // Shifts along the border change nothing; most are not along it.
        assert!(bent > 20, "{bent}");
    }

    #[test]
    fn the_steepest_pixels_are_those_before_the_border() {
        let steep = steepness(border(3).view());
        for ((_, x), v) in steep.indexed_iter() {
            assert!(
                (v - if x == 31 { 2.1 } else { 0.0 }).abs() < 1e-5,
                "{x}: {v}"
            );
        }
    }
}
