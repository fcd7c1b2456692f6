//! The product by AVX512-BF16: a pair of a pixel's values is broadcast and
//! multiplied with the pairs of 16 or 8 output channels.
//!
//! Two tiles take vectors of 16 lanes. One tile alone is cut into halves of 8:
//! each broadcast then serves two products again, where one of 16 lanes for
//! each product is more than a processor with 256-bit paths loads (Zen 4, one
//! tile: 71% of its products a second; two halves: nearly all). Of eight
//! channels no lane is wasted.

use super::unit::{Product, Sums};
use super::{STRIP, TILE};
use crate::nn::kernels::nhwc::GROUP;
use crate::nn::kernels::simd::Level;
use half::bf16;
use std::arch::x86_64::*;

/// Pixels at a time: by two parts they fill 16 of the 32 registers, enough to
/// keep both multipliers busy.
const PIXELS: usize = 8;

pub(super) fn available() -> bool {
    Level::available().contains(&Level::Avx512) && is_x86_feature_detected!("avx512bf16")
}

/// Sums of neighbouring output channels. Its functions are used in functions
/// alone that have the instructions.
trait Lanes: Copy {
    const CHANNELS: usize;
    /// Pairs of values, one for each sum.
    type Pairs: Copy;

    unsafe fn zero() -> Self;
    /// Reads a pair for each sum.
    unsafe fn pairs(at: *const bf16) -> Self::Pairs;
    /// Reads one pair for all sums.
    unsafe fn broadcast(at: *const bf16) -> Self::Pairs;
    unsafe fn add_product(self, a: Self::Pairs, b: Self::Pairs) -> Self;
    unsafe fn store(self, at: *mut f32);
}

macro_rules! lanes {
    ($sums:ty, $pairs:ty, $channels:expr, $zero:ident, $load:ident, $broadcast:ident,
     $product:ident, $store:ident) => {
        impl Lanes for $sums {
            const CHANNELS: usize = $channels;
            type Pairs = $pairs;

            #[inline(always)]
            unsafe fn zero() -> Self {
                // SAFETY: as the trait says of its use; so below.
                unsafe { $zero() }
            }

            #[inline(always)]
            unsafe fn pairs(at: *const bf16) -> $pairs {
                // SAFETY: the caller's address is good for a pair for each sum.
                unsafe { std::mem::transmute($load(at.cast())) }
            }

            #[inline(always)]
            unsafe fn broadcast(at: *const bf16) -> $pairs {
                // SAFETY: the caller's address is good for a pair.
                unsafe { std::mem::transmute($broadcast(at.cast::<i32>().read_unaligned())) }
            }

            #[inline(always)]
            unsafe fn add_product(self, a: $pairs, b: $pairs) -> Self {
                // SAFETY: see `zero`.
                unsafe { $product(self, a, b) }
            }

            #[inline(always)]
            unsafe fn store(self, at: *mut f32) {
                // SAFETY: the caller's address is good for all sums.
                unsafe { $store(at, self) }
            }
        }
    };
}

lanes!(
    __m512,
    __m512bh,
    TILE,
    _mm512_setzero_ps,
    _mm512_loadu_si512,
    _mm512_set1_epi32,
    _mm512_dpbf16_ps,
    _mm512_storeu_ps
);
lanes!(
    __m256,
    __m256bh,
    GROUP,
    _mm256_setzero_ps,
    _mm256_loadu_si256,
    _mm256_set1_epi32,
    _mm256_dpbf16_ps,
    _mm256_storeu_ps
);

/// # Safety
/// As for [`Product::add_up`]; the machine has AVX512-BF16, and there are
/// weights of as many tiles as `channels` need.
#[target_feature(enable = "avx512f,avx512vl,avx512bf16")]
pub(super) unsafe fn add_up(
    product: &Product<'_>,
    x: *const bf16,
    places: &[usize],
    weights: &[bf16],
    channels: usize,
    sums: &mut Sums,
) {
    // SAFETY (all): the caller's promise.
    unsafe {
        if channels <= GROUP {
            add_parts::<__m256, 1>(product, x, places, weights, sums);
        } else if channels <= TILE {
            add_parts::<__m256, 2>(product, x, places, weights, sums);
        } else {
            add_parts::<__m512, 2>(product, x, places, weights, sums);
        }
    }
}

/// The sums of `PARTS` vectors of channels.
///
/// # Safety
/// As for [`add_up`].
#[inline(always)]
unsafe fn add_parts<V: Lanes, const PARTS: usize>(
    product: &Product<'_>,
    x: *const bf16,
    places: &[usize],
    weights: &[bf16],
    sums: &mut Sums,
) {
    let pairs = product.depth / 2;
    let tile_of = |part: usize| (part * V::CHANNELS / TILE, part * V::CHANNELS % TILE);
    let tiles = (PARTS * V::CHANNELS).div_ceil(TILE);
    // SAFETY (the whole body): the caller's promise about `x`; weights are read
    // in order, a pair for each of a tile's channels for each pair of a block.
    unsafe {
        for (group, places) in places.chunks(PIXELS).enumerate() {
            // In the room of pixels that a last group lacks its last one is
            // computed again.
            let pixels: [*const bf16; PIXELS] =
                std::array::from_fn(|p| x.add(places[p.min(places.len() - 1)]));
            let mut totals = [[V::zero(); PARTS]; PIXELS];
            let mut weights = weights.as_ptr();
            for offset in product.offsets {
                let pixels = pixels.map(|x| x.add(*offset));
                for pair in 0..pairs {
                    let part_at = |part: usize| {
                        let (tile, channel) = tile_of(part);
                        weights.add(((tile * pairs + pair) * TILE + channel) * 2)
                    };
                    let mut w = [V::pairs(part_at(0)); PARTS];
                    for (part, w) in w.iter_mut().enumerate().skip(1) {
                        *w = V::pairs(part_at(part));
                    }
                    for (x, totals) in pixels.iter().zip(&mut totals) {
                        let value = V::broadcast(x.add(2 * pair));
                        for (total, w) in totals.iter_mut().zip(w) {
                            *total = total.add_product(value, w);
                        }
                    }
                }
                weights = weights.add(tiles * product.depth * TILE);
            }
            let first = group * PIXELS;
            let sums = &mut sums.0[first / STRIP];
            for (p, totals) in totals.into_iter().enumerate() {
                for (part, total) in totals.into_iter().enumerate() {
                    let (tile, channel) = tile_of(part);
                    total.store(sums[tile][first % STRIP + p][channel..].as_mut_ptr());
                }
            }
        }
    }
}
