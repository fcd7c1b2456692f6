//! Random augmentations of the texture that fills a simulated defect.
//!
//! The published code draws three of ten colour and geometry changes for every
//! texture. The same here, on any number of channels: where the original turns
//! hue and saturation, every channel gets a gain of its own.

use imageproc::definitions::Image as Buffer;
use imageproc::geometric_transformations::{Border, Interpolation, rotate_about_center};
use ndarray::{Array2, Array3, ArrayViewMut2, Axis};
use rand::Rng;
use rand::seq::index::sample;

/// Number of different changes.
const KINDS: usize = 9;
/// Changes applied to one texture.
const APPLIED: usize = 3;

/// Applies three different random changes to `texture`, `[channels, h, w]` in
/// `0..=1`, and keeps it in that range.
///
/// # Departures
/// Sharpening is left out, hue and saturation become one gain per channel; the
/// ranges of the other changes are the published ones.
pub fn augment(texture: &mut Array3<f32>, rng: &mut impl Rng) {
    for kind in sample(rng, KINDS, APPLIED) {
        match kind {
            0 => per_channel(
                texture,
                rng,
                |rng| rng.random_range(0.5..2.0),
                |v, g: f32| v.powf(g),
            ),
            1 => {
                let (gain, shift) = (rng.random_range(0.8..1.2), rng.random_range(-0.12..0.12));
                texture.mapv_inplace(|v: f32| v * gain + shift);
            }
            2 => per_channel(
                texture,
                rng,
                |rng| rng.random_range(0.6..1.4),
                |v, g: f32| v * g,
            ),
            3 => {
                let above: f32 = rng.random_range(0.125..0.5);
                texture.mapv_inplace(|v| if v >= above { 1.0 - v } else { v });
            }
            4 => {
                let levels = f32::from(1u16 << rng.random_range(1..=6));
                texture.mapv_inplace(|v| (v * levels).floor().min(levels - 1.0) / levels);
            }
            5 => texture.mapv_inplace(|v| 1.0 - v),
            6 => texture.axis_iter_mut(Axis(0)).for_each(stretch),
            7 => texture.axis_iter_mut(Axis(0)).for_each(equalise),
            _ => {
                let degrees: f32 = rng.random_range(-45.0..45.0);
                for mut plane in texture.axis_iter_mut(Axis(0)) {
                    let turned = rotate(&plane.to_owned(), degrees);
                    plane.assign(&turned);
                }
            }
        }
        texture.mapv_inplace(|v| v.clamp(0.0, 1.0));
    }
}

/// The plane turned about its centre, zeros coming in from outside.
#[must_use]
pub fn rotate(plane: &Array2<f32>, degrees: f32) -> Array2<f32> {
    let (h, w) = plane.dim();
    let buffer: Buffer<image::Luma<f32>> =
        Buffer::from_raw(w as u32, h as u32, plane.iter().copied().collect())
            .expect("as many pixels as the plane has");
    let turned = rotate_about_center(
        &buffer,
        degrees.to_radians(),
        Interpolation::Bilinear,
        Border::Constant(image::Luma([0.0])),
    );
    Array2::from_shape_vec((h, w), turned.into_raw()).expect("the size is kept")
}

fn per_channel<R: Rng>(
    texture: &mut Array3<f32>,
    rng: &mut R,
    draw: impl Fn(&mut R) -> f32,
    change: impl Fn(f32, f32) -> f32,
) {
    for mut plane in texture.axis_iter_mut(Axis(0)) {
        let amount = draw(rng);
        plane.mapv_inplace(|v| change(v, amount));
    }
}

/// Stretches a plane to its full range (PIL's autocontrast).
fn stretch(mut plane: ArrayViewMut2<f32>) {
    let low = plane.iter().copied().fold(f32::INFINITY, f32::min);
    let high = plane.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if high > low {
        plane.mapv_inplace(|v| (v - low) / (high - low));
    }
}

/// Flattens a plane's histogram of 256 grey levels.
fn equalise(mut plane: ArrayViewMut2<f32>) {
    let level = |v: f32| (v.clamp(0.0, 1.0) * 255.0) as usize;
    let mut share = [0.0f32; 256];
    for v in &plane {
        share[level(*v)] += 1.0 / plane.len() as f32;
    }
    let mut total = 0.0;
    for s in &mut share {
        total += *s;
        *s = total;
    }
    plane.mapv_inplace(|v| share[level(v)]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Seed;

    #[test]
    fn textures_stay_in_range_and_change() {
        let mut rng = Seed::new(3).rng();
        let before = Array3::from_shape_fn((2, 16, 12), |(c, y, x)| {
            ((c * 7 + y * 3 + x * 5) % 17) as f32 / 16.0
        });
        for _ in 0..50 {
            let mut after = before.clone();
            augment(&mut after, &mut rng);
            assert!(after.iter().all(|v| (0.0..=1.0).contains(v)));
            assert_ne!(after, before);
        }
    }

    #[test]
    fn equalising_gives_each_level_its_rank() {
        let mut plane = ndarray::arr2(&[[0.1, 0.1], [0.2, 0.9]]);
        equalise(plane.view_mut());
        for (v, expected) in plane.iter().zip([0.5, 0.5, 0.75, 1.0]) {
            assert!((v - expected).abs() < 1e-6);
        }
    }
}
