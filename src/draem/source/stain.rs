//! Large smooth blobs, lighter or darker: dirt, grease, dye.

use super::region::{Blob, log_uniform};
use ndarray::{Array2, Array3, ArrayView3, Axis, Zip};
use rand::Rng;

/// The piece with a stain of up to three blobs. Each channel sees another
/// density of it, as dyes do under different lights.
pub fn stained(good: ArrayView3<'_, f32>, rng: &mut impl Rng) -> Array3<f32> {
    let (channels, height, width) = good.dim();
    let side = height.min(width) as f32;
    let centre = (
        rng.random_range(0.0..height as f32),
        rng.random_range(0.0..width as f32),
    );
    let size = log_uniform(0.04, 0.3, rng) * side;
    let mut weights = Array2::<f32>::zeros((height, width));
    for _ in 0..rng.random_range(1..=3u8) {
        let off = |rng: &mut dyn rand::RngCore| rng.random_range(-0.7..0.7f32) * size;
        let blob = Blob {
            centre: (centre.0 + off(rng), centre.1 + off(rng)),
            half: (
                size * rng.random_range(0.5..1.0f32),
                size * rng.random_range(0.3..1.0f32),
            ),
            ragged: rng.random_range(0.1..0.6),
            soft: rng.random_range(0.3..1.0),
        };
        let blob = blob.draw((height, width), rng);
        Zip::from(&mut weights)
            .and(&blob)
            .for_each(|w, &b| *w = w.max(b));
    }
    if rng.random_bool(0.25) {
        // Dye gathers where the drop dried last, at its edge.
        weights.mapv_inplace(|w| (0.5 * w + 2.0 * w * (1.0 - w)).min(1.0));
    }
    let density = log_uniform(0.1, 0.6, rng);
    let darker = rng.random_bool(0.7);
    let even = rng.random_bool(0.5);
    let certain = rng.random_range(0..channels);
    let mut out = good.to_owned();
    for (c, mut plane) in out.axis_iter_mut(Axis(0)).enumerate() {
        let seen = match (even, c == certain) {
            (true, _) | (_, true) => rng.random_range(0.8..1.0f32),
            _ => rng.random::<f32>(),
        };
        Zip::from(&mut plane).and(&weights).for_each(|v, &w| {
            let amount = density * seen * w;
            *v = if darker {
                *v * (1.0 - amount)
            } else {
                *v + amount * (1.0 - *v)
            };
        });
    }
    out
}
