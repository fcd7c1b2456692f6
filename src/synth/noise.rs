//! Smooth random fields: hashed value noise and its octaves. Every texture of
//! the synthetic erasers (rubber, scuffs, ink, belt) is made of these.
//!
//! Only integer mixing, `+` and `*` are used, so a field has the same bits on
//! every machine.

/// A field of its own for every value of the key.
#[derive(Debug, Clone, Copy)]
pub struct Noise(u32);

impl Noise {
    /// The field of this key.
    pub fn new(key: u32) -> Self {
        Self(key)
    }

    /// Value noise of period 1 between lattice points, in `0..=1`.
    pub fn at(self, x: f32, y: f32) -> f32 {
        let (x0, y0) = (x.floor(), y.floor());
        let (i, j) = (x0 as i32, y0 as i32);
        let (u, v) = (ease(x - x0), ease(y - y0));
        let (top_left, top_right) = (self.lattice(i, j), self.lattice(i + 1, j));
        let (low_left, low_right) = (self.lattice(i, j + 1), self.lattice(i + 1, j + 1));
        let top = top_left + (top_right - top_left) * u;
        let low = low_left + (low_right - low_left) * u;
        top + (low - top) * v
    }

    /// Octaves of value noise, each of half the size and half the weight of
    /// the one before, in `0..=1`, mean 1/2.
    pub fn octaves(self, x: f32, y: f32, octaves: u32) -> f32 {
        let (mut sum, mut weights) = (0.0, 0.0);
        let (mut frequency, mut weight) = (1.0, 1.0);
        for octave in 0..octaves {
            let field = Self(self.0.wrapping_add(octave.wrapping_mul(0x9E37_79B9)));
            sum += weight * field.at(x * frequency, y * frequency);
            weights += weight;
            frequency *= 2.0;
            weight *= 0.5;
        }
        sum / weights
    }

    /// The lattice value at `(i, j)`, uniform in `0..1`.
    pub fn lattice(self, i: i32, j: i32) -> f32 {
        let mut h = self.0
            ^ (i as u32).wrapping_mul(0x85EB_CA6B)
            ^ (j as u32).wrapping_mul(0xC2B2_AE35).rotate_left(13);
        h ^= h >> 16;
        h = h.wrapping_mul(0x7FEB_352D);
        h ^= h >> 15;
        h = h.wrapping_mul(0x846C_A68B);
        h ^= h >> 16;
        (h >> 8) as f32 / 16_777_216.0
    }
}

/// `3t^2 - 2t^3`, which makes the field's slope continuous.
fn ease(t: f32) -> f32 {
    t * t * (3.0 - 2.0 * t)
}

/// 0 below `low`, 1 above `high`, smooth between; reversed if `low > high`.
pub fn smoothstep(low: f32, high: f32, x: f32) -> f32 {
    ease(((x - low) / (high - low)).clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_passes_through_its_lattice_and_stays_in_range() {
        let noise = Noise::new(5);
        assert_eq!(noise.at(3.0, -2.0), noise.lattice(3, -2));
        let mut sum = 0.0;
        for i in 0..10_000 {
            let v = noise.octaves(i as f32 * 0.37, i as f32 * 0.11, 3);
            assert!((0.0..=1.0).contains(&v));
            sum += v;
        }
        assert!((sum / 10_000.0 - 0.5).abs() < 0.03, "{sum}");
    }

    #[test]
    fn smoothstep_turns_round_with_its_bounds() {
        assert_eq!(smoothstep(0.0, 2.0, 1.0), 0.5);
        assert_eq!(smoothstep(2.0, 0.0, -1.0), 1.0);
    }
}
