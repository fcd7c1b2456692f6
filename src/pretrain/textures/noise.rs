//! Random fields: gradient noise and its fractal sums, Worley's cells, and
//! band-limited noise as a sum of plane waves.
//!
//! K. Perlin, *Improving noise*, SIGGRAPH 2002 (gradient noise on hashed
//! lattice points); S. Worley, *A cellular texture basis function*,
//! SIGGRAPH 1996. Lattice points are hashed, not looked up, so a field is one
//! number (its salt) and has no period.

use super::plane::Plane;
use rand::Rng;
use std::f32::consts::TAU;

/// A random field over the whole plane, told apart by its salt.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    salt: u32,
}

/// Distances to the two nearest of Worley's points, and the nearest one's number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell {
    pub nearest: f32,
    pub second: f32,
    pub shade: f32,
}

impl Field {
    /// A field drawn at random.
    pub fn draw(rng: &mut impl Rng) -> Self {
        Self { salt: rng.random() }
    }

    fn hash(self, x: i32, y: i32) -> u32 {
        let mut h = self.salt ^ (x as u32).wrapping_mul(0x9e37_79b1);
        h = (h ^ (h >> 15)).wrapping_mul(0x85eb_ca6b);
        h ^= (y as u32).wrapping_mul(0xc2b2_ae35);
        h = (h ^ (h >> 13)).wrapping_mul(0x27d4_eb2f);
        h ^ (h >> 16)
    }

    /// Gradient noise with one lattice point a unit, in about -0.7..0.7.
    pub fn at(self, x: f32, y: f32) -> f32 {
        let (x0, y0) = (x.floor(), y.floor());
        let (fx, fy) = (x - x0, y - y0);
        let (ix, iy) = (x0 as i32, y0 as i32);
        let corner = |dx: i32, dy: i32| {
            let h = self.hash(ix.wrapping_add(dx), iy.wrapping_add(dy));
            // Gradient components in -1..1 from the two halves of the hash.
            let gx = (h & 0xffff) as f32 / 32767.5 - 1.0;
            let gy = (h >> 16) as f32 / 32767.5 - 1.0;
            gx * (fx - dx as f32) + gy * (fy - dy as f32)
        };
        let fade = |t: f32| t * t * t * (t * (t * 6.0 - 15.0) + 10.0);
        let (u, v) = (fade(fx), fade(fy));
        let top = corner(0, 0) * (1.0 - u) + corner(1, 0) * u;
        let bottom = corner(0, 1) * (1.0 - u) + corner(1, 1) * u;
        top * (1.0 - v) + bottom * v
    }

    /// Octaves of gradient noise, each at twice the frequency and
    /// `persistence` times the amplitude of the one before, shaped by `form`.
    pub fn fractal(
        self,
        x: f32,
        y: f32,
        octaves: u32,
        persistence: f32,
        form: impl Fn(f32) -> f32,
    ) -> f32 {
        let (mut sum, mut amplitude, mut frequency) = (0.0, 1.0, 1.0);
        for octave in 0..octaves {
            let layer = Self {
                salt: self.salt.wrapping_add(octave.wrapping_mul(0x632b_e5ab)),
            };
            sum += amplitude * form(layer.at(x * frequency, y * frequency));
            amplitude *= persistence;
            frequency *= 2.0;
        }
        sum
    }

    /// Worley's function with one point a unit square.
    pub fn cell(self, x: f32, y: f32) -> Cell {
        let (ix, iy) = (x.floor() as i32, y.floor() as i32);
        let mut cell = Cell {
            nearest: f32::MAX,
            second: f32::MAX,
            shade: 0.0,
        };
        for dy in -1..=1 {
            for dx in -1..=1 {
                let (cx, cy) = (ix.wrapping_add(dx), iy.wrapping_add(dy));
                let h = self.hash(cx, cy);
                let px = cx as f32 + (h & 0xffff) as f32 / 65536.0;
                let py = cy as f32 + (h >> 16) as f32 / 65536.0;
                let distance = (px - x).hypot(py - y);
                if distance < cell.nearest {
                    cell.second = cell.nearest;
                    cell.nearest = distance;
                    cell.shade = (h.wrapping_mul(0x9e37_79b1) >> 8) as f32 / (1 << 24) as f32;
                } else if distance < cell.second {
                    cell.second = distance;
                }
            }
        }
        cell
    }
}

/// Noise whose waves are about `wavelength` pixels long and run within
/// `spread` radians of one direction (pi/2: in all directions).
///
/// The sum of 32 plane waves `cos(a x + b y + phi)` is one product of two
/// matrices, `[side, 64] x [64, side]`, since each wave is separable as
/// `cos(a x + phi) cos(b y) - sin(a x + phi) sin(b y)`.
pub(super) fn band(
    side: usize,
    wavelength: f32,
    spread: f32,
    direction: f32,
    rng: &mut impl Rng,
) -> Plane {
    const WAVES: usize = 32;
    let mut along_x = vec![0.0f32; 2 * WAVES * side];
    let mut along_y = vec![0.0f32; 2 * WAVES * side];
    for wave in 0..WAVES {
        let angle = direction + spread * rng.random_range(-1.0f32..1.0);
        let k = TAU / (wavelength * rng.random_range(0.85f32..1.18));
        let (a, b) = (k * angle.cos(), k * angle.sin());
        let phase = rng.random_range(0.0..TAU);
        for i in 0..side {
            let (sx, cx) = (a * i as f32 + phase).sin_cos();
            let (sy, cy) = (b * i as f32).sin_cos();
            along_x[(2 * wave) * side + i] = cx;
            along_x[(2 * wave + 1) * side + i] = -sx;
            along_y[(2 * wave) * side + i] = cy;
            along_y[(2 * wave + 1) * side + i] = sy;
        }
    }
    let mut plane = Plane::constant(side, 0.0);
    for (y, row) in plane.values.chunks_exact_mut(side).enumerate() {
        for (wave, xs) in along_x.chunks_exact(side).enumerate() {
            let weight = along_y[wave * side + y];
            for (out, x) in row.iter_mut().zip(xs) {
                *out += weight * x;
            }
        }
    }
    plane
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Seed;

    #[test]
    fn gradient_noise_is_zero_on_lattice_points_and_continuous_between() {
        let field = Field { salt: 5 };
        assert_eq!(field.at(3.0, -7.0), 0.0);
        let (a, b) = (field.at(0.9999, 0.5), field.at(1.0001, 0.5));
        assert!((a - b).abs() < 1e-3);
    }

    #[test]
    fn the_second_point_is_never_nearer_than_the_first() {
        let field = Field { salt: 9 };
        for i in 0..200 {
            let cell = field.cell(i as f32 * 0.37, i as f32 * 0.11);
            assert!(cell.nearest <= cell.second && cell.second < 3.0);
        }
    }

    #[test]
    fn a_narrow_band_runs_in_its_direction() {
        let mut rng = Seed::new(1).rng();
        let plane = band(48, 8.0, 0.0, 0.0, &mut rng);
        // Waves along x only: every row is the first row.
        for y in 1..48 {
            for x in 0..48 {
                assert!((plane.values[y * 48 + x] - plane.values[x]).abs() < 1e-3);
            }
        }
    }
}
