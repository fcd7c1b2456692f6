//! The product by AVX512-BF16: a pair of a pixel's values is broadcast and
//! multiplied with the pairs of 16 output channels.

use super::unit::{Product, Sums};
use super::{STRIP, TILE};
use crate::nn::kernels::simd::Level;
use half::bf16;
use std::arch::x86_64::{
    __m512bh, _mm512_dpbf16_ps, _mm512_loadu_si512, _mm512_set1_epi32, _mm512_setzero_ps,
    _mm512_storeu_ps,
};

/// Pixels at a time: by two tiles they fill 16 of the 32 registers, enough to
/// keep both multipliers busy.
const PIXELS: usize = 8;

pub(super) fn available() -> bool {
    Level::available().contains(&Level::Avx512) && is_x86_feature_detected!("avx512bf16")
}

/// # Safety
/// As for [`Product::add_up`]; the machine has AVX512-BF16, and there are
/// weights of `TILES` tiles.
#[target_feature(enable = "avx512f,avx512bf16")]
pub(super) unsafe fn add_up<const TILES: usize>(
    product: &Product<'_>,
    x: [*const bf16; 2],
    weights: &[bf16],
    sums: &mut Sums,
) {
    let pairs = product.depth / 2;
    // SAFETY (the whole body): the caller's promise about `x`; weights are read
    // in order, a pair for each of a tile's channels for each pair of a block.
    unsafe {
        for (x, sums) in x.into_iter().zip(&mut sums.0) {
            for first in (0..STRIP).step_by(PIXELS) {
                let mut totals = [[_mm512_setzero_ps(); TILES]; PIXELS];
                let mut weights = weights.as_ptr();
                for offset in product.offsets {
                    let x = x.add(offset + first * product.step);
                    for pair in 0..pairs {
                        let of_tile = |tile: usize| {
                            let at = weights.add((tile * pairs + pair) * 2 * TILE);
                            std::mem::transmute::<_, __m512bh>(_mm512_loadu_si512(at.cast()))
                        };
                        let mut w = [of_tile(0); TILES];
                        for (tile, w) in w.iter_mut().enumerate().skip(1) {
                            *w = of_tile(tile);
                        }
                        for (p, totals) in totals.iter_mut().enumerate() {
                            let at = x.add(p * product.step + 2 * pair);
                            let value = _mm512_set1_epi32(at.cast::<i32>().read_unaligned());
                            let value: __m512bh = std::mem::transmute(value);
                            for (total, w) in totals.iter_mut().zip(w) {
                                *total = _mm512_dpbf16_ps(*total, value, w);
                            }
                        }
                    }
                    weights = weights.add(TILES * product.depth * TILE);
                }
                for (p, totals) in totals.into_iter().enumerate() {
                    for (tile, total) in totals.into_iter().enumerate() {
                        _mm512_storeu_ps(sums[tile][first + p].as_mut_ptr(), total);
                    }
                }
            }
        }
    }
}
