//! Perlin noise as DRAEM draws it: the shape of every simulated defect.
//!
//! Zavrtanik, Kristan, Skocaj: DRAEM, ICCV 2021, section 3.3, and the noise of
//! its published code: one random gradient for each lattice point, quintic
//! fade, scaled by the square root of 2.

use ndarray::Array2;
use rand::Rng;
use std::f32::consts::{SQRT_2, TAU};

/// Perlin noise `[height, width]` over a lattice of `angles` (radians),
/// `[rows + 1, columns + 1]`; the values lie in about `-1..=1`.
///
/// With `g` the unit gradient of a corner and `d` the way from the corner to
/// the pixel, every corner gives `g . d`; the four are blended with
/// `6 t^5 - 15 t^4 + 10 t^3` and multiplied by `sqrt(2)`.
///
/// # Departures
/// The published code needs sides that the lattice divides; here a pixel's
/// place in its cell is computed, so any size will do. Where the lattice
/// divides the sides the values are the same.
#[must_use]
pub fn perlin(height: usize, width: usize, angles: &Array2<f32>) -> Array2<f32> {
    let rows = angles.nrows() - 1;
    let columns = angles.ncols() - 1;
    let vertical = places(height, rows);
    let horizontal = places(width, columns);
    let gradients = angles.map(|a| (a.cos(), a.sin()));
    Array2::from_shape_fn((height, width), |(y, x)| {
        let (cell_y, ty, fade_y) = vertical[y];
        let (cell_x, tx, fade_x) = horizontal[x];
        let dot = |dy: usize, dx: usize| {
            let (gy, gx) = gradients[[cell_y + dy, cell_x + dx]];
            gy * (ty - dy as f32) + gx * (tx - dx as f32)
        };
        let left = lerp(dot(0, 0), dot(1, 0), fade_y);
        let right = lerp(dot(0, 1), dot(1, 1), fade_y);
        SQRT_2 * lerp(left, right, fade_x)
    })
}

/// Random lattice angles and their noise, for a lattice of `rows` x `columns`.
pub fn random_perlin(
    height: usize,
    width: usize,
    (rows, columns): (usize, usize),
    rng: &mut impl Rng,
) -> Array2<f32> {
    let angles =
        Array2::from_shape_simple_fn((rows + 1, columns + 1), || TAU * rng.random::<f32>());
    perlin(height, width, &angles)
}

/// For each pixel along one side: its cell, its place in the cell, the fade.
fn places(side: usize, cells: usize) -> Vec<(usize, f32, f32)> {
    (0..side)
        .map(|i| {
            let at = i as f32 * cells as f32 / side as f32;
            let cell = (at as usize).min(cells - 1);
            let t = at - cell as f32;
            (cell, t, t * t * t * (t * (t * 6.0 - 15.0) + 10.0))
        })
        .collect()
}

fn lerp(a: f32, b: f32, t: f32) -> f32 {
    (b - a) * t + a
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Seed;

    #[test]
    fn noise_is_zero_at_lattice_points_and_bounded() {
        let mut rng = Seed::new(1).rng();
        let noise = random_perlin(64, 32, (8, 4), &mut rng);
        for y in (0..64).step_by(8) {
            for x in (0..32).step_by(8) {
                assert!(noise[[y, x]].abs() < 1e-6);
            }
        }
        assert!(noise.iter().all(|v| v.abs() <= 1.01));
        assert!(noise.iter().any(|v| v.abs() > 0.2));
    }

    #[test]
    fn noise_is_that_of_the_published_code() {
        let reference: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/reference/draem.json")).unwrap();
        let case = &reference["perlin"];
        let numbers = |key: &str| -> Vec<f32> {
            case[key]
                .as_array()
                .unwrap()
                .iter()
                .map(|v| v.as_f64().unwrap() as f32)
                .collect()
        };
        let angles = Array2::from_shape_vec((3, 5), numbers("angles")).unwrap();
        let expected = Array2::from_shape_vec((8, 16), numbers("noise")).unwrap();
        let noise = perlin(8, 16, &angles);
        for (a, b) in noise.iter().zip(&expected) {
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
    }
}
