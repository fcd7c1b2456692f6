//! A rectangle or thin strip of another good piece, put down elsewhere.
//!
//! C.-L. Li, K. Sohn, J. Yoon, T. Pfister: CutPaste, CVPR 2021: rectangles of
//! 2% to 15% of the area with sides 0.3 to 3.3 to one, strips ("scars") 2 to 16
//! wide and 10 to 25 long at 256, turned by up to 45 degrees, colours jittered.
//!
//! # Departures
//! Small patches are likelier than large ones and begin at 0.3% of the area,
//! rectangles are turned too, and the edge is soft in half of the cases: a hard
//! one is easily found by itself.

use super::AnomalySource;
use super::region::{log_uniform, sample, smoothstep, unit};
use ndarray::{Array3, ArrayView3, Axis};
use rand::Rng;

/// The piece with one to three patches of another (or of itself).
pub fn pasted(
    source: &AnomalySource,
    good: ArrayView3<'_, f32>,
    rng: &mut impl Rng,
) -> Array3<f32> {
    let mut out = good.to_owned();
    let from = source.piece(good, rng);
    let patches = if rng.random_bool(0.7) { 1 } else { 3 };
    for _ in 0..patches {
        paste(&mut out, &from, rng);
    }
    out
}

fn paste(image: &mut Array3<f32>, piece: &Array3<f32>, rng: &mut impl Rng) {
    let (channels, height, width) = image.dim();
    let unit = unit(height, width);
    let (half_y, half_x) = if rng.random_bool(0.5) {
        let area = log_uniform(0.003, 0.12, rng) * (height * width) as f32;
        let aspect = log_uniform(0.3, 3.3, rng);
        ((area * aspect).sqrt() / 2.0, (area / aspect).sqrt() / 2.0)
    } else {
        (
            log_uniform(0.5, 4.0, rng) * unit,
            log_uniform(3.0, 16.0, rng) * unit,
        )
    };
    let within = |side: usize, rng: &mut dyn rand::RngCore| rng.random_range(0.0..side as f32);
    let (to_y, to_x) = (within(height, rng), within(width, rng));
    let (from_y, from_x) = (within(height, rng), within(width, rng));
    let (sin, cos) = rng.random_range(-0.785..0.785f32).sin_cos();
    let soft = if rng.random_bool(0.5) {
        1.0
    } else {
        (rng.random_range(0.1..0.6) * half_y.min(half_x)).max(1.0)
    };
    let jitter: Vec<(f32, f32)> = (0..channels)
        .map(|_| (rng.random_range(0.9..1.1), rng.random_range(-0.03..0.03)))
        .collect();
    let mirrored = if rng.random_bool(0.5) { -1.0 } else { 1.0 };
    let reach = half_y.hypot(half_x) + 1.0;
    let span = |at: f32, side: usize| {
        let low = (at - reach).floor().max(0.0) as usize;
        low.min(side)..(((at + reach).ceil().max(0.0)) as usize + 1).min(side)
    };
    for y in span(to_y, height) {
        for x in span(to_x, width) {
            let (dy, dx) = (y as f32 - to_y, x as f32 - to_x);
            let (v, u) = (dy * cos + dx * sin, dx * cos - dy * sin);
            let inside = (half_y - v.abs()).min(half_x - u.abs()) + 0.5;
            let weight = smoothstep(0.0, soft, inside);
            if weight == 0.0 {
                continue;
            }
            for (c, (gain, shift)) in jitter.iter().enumerate() {
                let plane = piece.index_axis(Axis(0), c);
                let value = sample(&plane, from_y + v, from_x + mirrored * u);
                let value = (value * gain + shift).clamp(0.0, 1.0);
                let pixel = &mut image[[c, y, x]];
                *pixel += weight * (value - *pixel);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Seed;
    use std::sync::Arc;

    #[test]
    fn what_is_pasted_comes_from_the_other_piece() {
        let good = Array3::from_elem((2, 64, 64), 0.2);
        let other = Arc::new(vec![Array3::from_elem((2, 64, 64), 0.8)]);
        let source = AnomalySource::textures().with_pieces(other);
        for seed in 0..20 {
            let out = pasted(&source, good.view(), &mut Seed::new(seed).rng());
            assert!(out.iter().any(|v| *v > 0.6));
            // 0.8, jittered by a tenth and 0.03.
            assert!(out.iter().all(|v| (0.2..=0.911).contains(v)));
        }
    }
}
