//! A region of another good piece, moved: familiar things in the wrong place.

use super::region::{Edge, blend, perlin_region};
use super::{AnomalySource, SimulationOptions};
use ndarray::{Array3, ArrayView3};
use rand::Rng;

/// A noise-shaped region filled with another good piece, which is moved by up to
/// an eighth of its size and perhaps mirrored, at the paper's opacity.
pub fn displaced(
    source: &AnomalySource,
    good: ArrayView3<'_, f32>,
    options: &SimulationOptions,
    rng: &mut impl Rng,
) -> Array3<f32> {
    let (channels, height, width) = good.dim();
    let piece = source.piece(good, rng);
    let moved = |side: usize, rng: &mut dyn rand::RngCore| {
        let reach = (side / 8).max(1) as i64;
        rng.random_range(-reach..=reach)
    };
    let (dy, dx) = (moved(height, rng), moved(width, rng));
    let mirrored = rng.random_bool(0.25);
    let at = |i: usize, d: i64, n: usize| (i as i64 + d).clamp(0, n as i64 - 1) as usize;
    let filling = Array3::from_shape_fn((channels, height, width), |(c, y, x)| {
        let x = if mirrored { width - 1 - x } else { x };
        piece[[c, at(y, dy, height), at(x, dx, width)]]
    });
    let region = perlin_region((height, width), options, Edge::Hard, rng);
    let beta = rng.random::<f32>() * options.beta_max;
    blend(good, &filling, &region, 1.0 - beta)
}
