//! What the values of an image are stored as.

use half::bf16;

/// A number as it lies in the arena; sums are `f32` always.
pub(in crate::nn) trait Element: Copy + Send + Sync + 'static {
    const ZERO: Self;
    fn widen(self) -> f32;
    /// Rounds to the nearest, to even where there are two.
    fn narrow(value: f32) -> Self;
}

impl Element for f32 {
    const ZERO: Self = 0.0;

    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }

    #[inline(always)]
    fn narrow(value: f32) -> Self {
        value
    }
}

impl Element for bf16 {
    const ZERO: Self = bf16::ZERO;

    /// It is the upper half of the `f32`.
    #[inline(always)]
    fn widen(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }

    /// Without branches, so that loops are compiled to vectors: adds half of
    /// what is cut off, less a bit where the result would be odd.
    #[inline(always)]
    fn narrow(value: f32) -> Self {
        let bits = value.to_bits();
        let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
        let quiet = bits >> 16 | 0x40;
        bf16::from_bits(if value.is_nan() { quiet } else { rounded } as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_to_bfloat16_is_that_of_half() {
        // Every upper half, with lower halves below, at and above the middle.
        for upper in 0..=u16::MAX {
            for lower in [0, 1, 0x7fff, 0x8000, 0x8001, 0xffff] {
                let value = f32::from_bits(u32::from(upper) << 16 | lower);
                let (found, expected) = (bf16::narrow(value), bf16::from_f32(value));
                assert_eq!(found.to_bits(), expected.to_bits(), "{value}");
            }
            let stored = bf16::from_bits(upper);
            assert!(stored.is_nan() || stored.widen() == stored.to_f32());
        }
    }
}
