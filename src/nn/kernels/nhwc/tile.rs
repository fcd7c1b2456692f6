//! The innermost loop of all convolutions: a tile of pixels by channels is
//! held in registers while all taps of all input channels are added up.
//!
//! For every input channel of every tap, one vector of weights (or two) is
//! loaded and multiplied with one value of each pixel. As many pixels are
//! taken as leave room for the weights: 13 by two vectors fill 28 of the 32
//! registers of AVX-512, 6 by two 14 of the 16 of AVX2.

use super::Segment;
use crate::nn::kernels::simd::Level;
#[cfg(target_arch = "x86_64")]
use crate::nn::kernels::vector::{Avx2, Avx512};
use crate::nn::kernels::vector::{Portable, Vector};

/// How many output channels a tile has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Width {
    /// Two of the level's vectors.
    Two,
    /// One of them.
    One,
    /// One of eight lanes where the level's have sixteen.
    Half,
}

impl Width {
    /// Output channels.
    pub fn channels(self, level: Level) -> usize {
        match self {
            Self::Two => 2 * lanes(level),
            Self::One => lanes(level),
            Self::Half => lanes(level) / 2,
        }
    }

    /// The widest tile for `channels` that are left, a multiple of 8.
    pub fn for_channels(channels: usize, level: Level) -> Self {
        let lanes = lanes(level);
        if channels >= 2 * lanes {
            Self::Two
        } else if channels >= lanes {
            Self::One
        } else {
            Self::Half
        }
    }

    /// The most pixels of a tile.
    pub fn pixels(self, level: Level) -> usize {
        match (level, self) {
            (Level::Avx512, _) => 13,
            (Level::Avx2, Self::Two) => 6,
            (Level::Avx2, _) => 12,
            (Level::Baseline, Self::Two) => 2,
            (Level::Baseline, _) => 5,
        }
    }
}

/// Values of a vector.
pub(super) fn lanes(level: Level) -> usize {
    match level {
        Level::Avx512 => 16,
        Level::Avx2 | Level::Baseline => 8,
    }
}

/// What is added up for each pixel.
pub(super) struct Taps<'a> {
    /// Side of the kernel.
    pub kernel: usize,
    /// Values from a tap to the one below.
    pub row: usize,
    /// Values from a tap to the next.
    pub pixel: usize,
    /// Values from one output pixel's first tap to the next one's.
    pub step: usize,
    /// Input channels.
    pub segments: &'a [Segment],
}

/// What happens to the sums.
#[derive(Clone, Copy)]
pub(super) struct End {
    /// Added to every pixel: one value a channel.
    pub bias: Option<*const f32>,
    /// The first pixel's channels of the output.
    pub y: *mut f32,
    /// Values from an output pixel to the next.
    pub y_pixel: usize,
    /// Added to each pixel: its first pixel's channels, values to the next.
    pub residual: Option<(*const f32, usize)>,
    /// Whether what is below 0 becomes 0.
    pub relu: bool,
}

/// Computes `pixels` neighbouring output pixels of one tile of channels.
///
/// # Safety
/// The machine has the level; `pixels` is 1 to [`Width::pixels`]. `x` is the
/// first tap of the first pixel, and all taps of all pixels lie in memory that
/// nobody writes; `weights` holds a tile's width for every channel of every
/// tap, row by row; `end`'s addresses are good for the tile's channels of each
/// of the pixels, and nobody else uses those of `y`.
pub(super) unsafe fn compute(
    (level, width): (Level, Width),
    pixels: usize,
    taps: &Taps<'_>,
    x: *const f32,
    weights: *const f32,
    end: &End,
) {
    macro_rules! pick {
        ($kernel:ident, $vectors:literal, $($pixels:literal)*) => {
            match pixels {
                // SAFETY: the caller's promise.
                $($pixels => unsafe { $kernel::<$pixels, $vectors>(taps, x, weights, end) },)*
                _ => unreachable!("{pixels} pixels in a tile"),
            }
        };
    }
    match (level, width) {
        #[cfg(target_arch = "x86_64")]
        (Level::Avx512, Width::Two) => pick!(avx512, 2, 1 2 3 4 5 6 7 8 9 10 11 12 13),
        #[cfg(target_arch = "x86_64")]
        (Level::Avx512, Width::One) => pick!(avx512, 1, 1 2 3 4 5 6 7 8 9 10 11 12 13),
        #[cfg(target_arch = "x86_64")]
        (Level::Avx512, Width::Half) => pick!(avx512_half, 1, 1 2 3 4 5 6 7 8 9 10 11 12 13),
        #[cfg(target_arch = "x86_64")]
        (Level::Avx2, Width::Two) => pick!(avx2, 2, 1 2 3 4 5 6),
        #[cfg(target_arch = "x86_64")]
        (Level::Avx2, _) => pick!(avx2, 1, 1 2 3 4 5 6 7 8 9 10 11 12),
        (_, Width::Two) => pick!(portable, 2, 1 2),
        (_, _) => pick!(portable, 1, 1 2 3 4 5),
    }
}

macro_rules! compiled_for {
    ($name:ident, $vector:ty, $features:literal) => {
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = $features)]
        unsafe fn $name<const PIXELS: usize, const VECTORS: usize>(
            taps: &Taps<'_>,
            x: *const f32,
            weights: *const f32,
            end: &End,
        ) {
            // SAFETY: the caller's promise.
            unsafe { sum::<$vector, PIXELS, VECTORS>(taps, x, weights, end) }
        }
    };
}

compiled_for!(
    avx512,
    Avx512,
    "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma"
);
// Eight lanes, but with the 32 registers of AVX-512.
compiled_for!(
    avx512_half,
    Avx2,
    "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma"
);
compiled_for!(avx2, Avx2, "avx2,fma");

unsafe fn portable<const PIXELS: usize, const VECTORS: usize>(
    taps: &Taps<'_>,
    x: *const f32,
    weights: *const f32,
    end: &End,
) {
    // SAFETY: the caller's promise.
    unsafe { sum::<Portable, PIXELS, VECTORS>(taps, x, weights, end) }
}

/// # Safety
/// As for [`compute`], with `PIXELS` pixels by `VECTORS` vectors.
#[inline(always)]
unsafe fn sum<V: Vector, const PIXELS: usize, const VECTORS: usize>(
    taps: &Taps<'_>,
    x: *const f32,
    mut weights: *const f32,
    end: &End,
) {
    // SAFETY (the whole body): the caller's promise about addresses; the
    // weights are read in order, a tile's width for every channel of every tap.
    unsafe {
        let mut sums = [[V::splat(0.0); VECTORS]; PIXELS];
        if let Some(bias) = end.bias {
            for v in 0..VECTORS {
                let bias = V::load(bias.add(v * V::LANES));
                for sums in &mut sums {
                    sums[v] = bias;
                }
            }
        }
        for tap_row in 0..taps.kernel {
            for tap in 0..taps.kernel {
                let first = x.add(tap_row * taps.row + tap * taps.pixel);
                for segment in taps.segments {
                    let mut value = first.add(segment.offset);
                    for _ in 0..segment.channels {
                        let mut w = [V::splat(0.0); VECTORS];
                        for (v, w) in w.iter_mut().enumerate() {
                            *w = V::load(weights.add(v * V::LANES));
                        }
                        weights = weights.add(VECTORS * V::LANES);
                        for (p, sums) in sums.iter_mut().enumerate() {
                            let value = V::splat(*value.add(p * taps.step));
                            for (sum, w) in sums.iter_mut().zip(w) {
                                *sum = value.multiply_add(w, *sum);
                            }
                        }
                        value = value.add(1);
                    }
                }
            }
        }
        let zero = V::splat(0.0);
        for (p, sums) in sums.iter().enumerate() {
            for (v, sum) in sums.iter().enumerate() {
                let mut sum = *sum;
                if let Some((residual, pixel)) = end.residual {
                    sum = sum.add(V::load(residual.add(p * pixel + v * V::LANES)));
                }
                if end.relu {
                    sum = zero.maximum(sum);
                }
                sum.store(end.y.add(p * end.y_pixel + v * V::LANES));
            }
        }
    }
}
