//! Short words for drawing random numbers.

use rand::Rng;
use rand_distr::StandardNormal;

/// Uniform in `low..high`.
pub fn between(rng: &mut impl Rng, low: f32, high: f32) -> f32 {
    low + (high - low) * rng.random::<f32>()
}

/// Normal with this standard deviation, cut off at two of them, so that a
/// harmless variation never looks like a defect.
pub fn spread(rng: &mut impl Rng, deviation: f32) -> f32 {
    let z: f32 = rng.sample(StandardNormal);
    deviation * z.clamp(-2.0, 2.0)
}

/// Each component [`spread`].
pub fn scatter<const N: usize>(rng: &mut impl Rng, deviation: f32) -> [f32; N] {
    std::array::from_fn(|_| spread(rng, deviation))
}

/// Whether something of this probability happens.
pub fn chance(rng: &mut impl Rng, probability: f64) -> bool {
    rng.random::<f64>() < probability
}

/// One of the items, all equally likely; `items` must not be empty.
pub fn pick<T: Copy>(rng: &mut impl Rng, items: &[T]) -> T {
    items[rng.random_range(0..items.len())]
}

/// A unit vector in a random direction.
pub fn direction(rng: &mut impl Rng) -> [f32; 2] {
    let angle = between(rng, 0.0, std::f32::consts::TAU);
    [angle.cos(), angle.sin()]
}
