//! A region of another good piece, moved: familiar things in the wrong place.

use super::region::{Edge, blend, perlin_region};
use super::{AnomalySource, SimulationOptions};
use crate::draem::vary::moved;
use ndarray::{Array3, ArrayView3, Axis};
use rand::Rng;

/// A noise-shaped region filled with another good piece, which is moved by up to
/// an eighth of its size and perhaps mirrored, at the paper's opacity.
pub fn displaced(
    source: &AnomalySource,
    good: ArrayView3<'_, f32>,
    options: &SimulationOptions,
    rng: &mut impl Rng,
) -> Array3<f32> {
    let (_, height, width) = good.dim();
    let piece = source.piece(good, rng);
    let distance = |side: usize, rng: &mut dyn rand::RngCore| {
        let reach = (side / 8).max(1) as i64;
        rng.random_range(-reach..=reach) as i32
    };
    let (up, left) = (distance(height, rng), distance(width, rng));
    let mirrored = rng.random_bool(0.25);
    let mut filling = moved(&piece, (-up, -left));
    if mirrored {
        filling.invert_axis(Axis(2));
    }
    let region = perlin_region((height, width), options, Edge::Hard, rng);
    let beta = rng.random::<f32>() * options.beta_max;
    blend(good, &filling, &region, 1.0 - beta)
}
