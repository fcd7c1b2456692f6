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

    /// The upper half of the `f32`. (`half`'s own conversion also marks NaNs as
    /// quiet, for which this program has no use.)
    #[inline(always)]
    fn widen(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }

    #[inline(always)]
    fn narrow(value: f32) -> Self {
        bf16::from_f32(value)
    }
}
