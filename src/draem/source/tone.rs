//! A region of the piece with other tones: dents, faint print, wear.

use super::SimulationOptions;
use super::region::{Edge, blend, perlin_region};
use ndarray::{Array3, ArrayView3, Axis};
use rand::Rng;

/// A noise-shaped region lighter, darker or flatter; it fades in from its edge
/// in half of the cases. A tone is weak by itself: it is not thinned further.
pub fn toned(
    good: ArrayView3<'_, f32>,
    options: &SimulationOptions,
    rng: &mut impl Rng,
) -> Array3<f32> {
    let (_, height, width) = good.dim();
    let filling = other_tones(good, rng);
    let edge = if rng.random_bool(0.5) {
        Edge::Fading
    } else {
        Edge::Hard
    };
    let region = perlin_region((height, width), options, edge, rng);
    blend(good, &filling, &region, 1.0)
}

/// The image with another gain and level in a random choice of channels, drawn
/// towards a flat tone by a random share.
fn other_tones(image: ArrayView3<'_, f32>, rng: &mut impl Rng) -> Array3<f32> {
    let mut toned = image.to_owned();
    let all = rng.random_bool(0.6);
    let sign = if rng.random_bool(0.5) { 1.0 } else { -1.0 };
    let level = sign * rng.random_range(0.03..0.3f32);
    let flatten = if rng.random_bool(0.5) {
        rng.random::<f32>()
    } else {
        0.0
    };
    let certain = rng.random_range(0..image.dim().0);
    for (c, mut plane) in toned.axis_iter_mut(Axis(0)).enumerate() {
        if !(all || c == certain || rng.random_bool(0.4)) {
            continue;
        }
        // The bright tone of the plane: where print is missing, the rubber shows.
        let mut values: Vec<f32> = plane.iter().copied().collect();
        let place = values.len() * 7 / 10;
        let flat = *values.select_nth_unstable_by(place, f32::total_cmp).1;
        let level = level * rng.random_range(0.7..1.3f32);
        plane.mapv_inplace(|v| (v + flatten * (flat - v) + level).clamp(0.0, 1.0));
    }
    toned
}
