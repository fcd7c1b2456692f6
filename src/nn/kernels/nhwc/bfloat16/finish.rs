//! From sums to pixels: bias, residual, ReLU, rounding to bfloat16.

use super::super::{Element, GROUP};
use super::{TILE, Unit};
use half::bf16;
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// What happens to the sums of neighbouring pixels.
pub(super) struct End<'a> {
    /// One value a channel: [`GROUP`] or [`TILE`].
    pub bias: &'a [f32],
    /// The first pixel's channels of the output, values to the next.
    pub y: (*mut bf16, usize),
    /// Added to each pixel.
    pub residual: Option<(*mut bf16, usize)>,
    pub relu: bool,
}

/// Writes one pixel for each of `sums`.
///
/// # Safety
/// The machine has the unit. The addresses are good for the channels of each of
/// the pixels, and nobody else uses those of `y`.
pub(super) unsafe fn finish(unit: Unit, end: &End<'_>, sums: &[[f32; TILE]]) {
    let channels = end.bias.len();
    assert!(channels == TILE || channels == GROUP);
    // SAFETY (both): the caller's promise; both units come with AVX512-BF16.
    match unit {
        #[cfg(target_arch = "x86_64")]
        Unit::Amx | Unit::Dot => unsafe { finish_avx512(end, sums) },
        _ => unsafe { finish_plain(end, sums) },
    }
}

/// # Safety
/// As for [`finish`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn finish_avx512(end: &End<'_>, sums: &[[f32; TILE]]) {
    let channels: __mmask16 = if end.bias.len() == TILE { 0xffff } else { 0xff };
    // NaN stays NaN, as in training: the second operand is taken then.
    let least = _mm512_set1_ps(if end.relu { 0.0 } else { f32::NEG_INFINITY });
    // SAFETY (the whole body): the caller's promise; of what lies beyond eight
    // channels nothing is read or written.
    unsafe {
        let bias = _mm512_maskz_loadu_ps(channels, end.bias.as_ptr());
        for (p, sums) in sums.iter().enumerate() {
            let mut value = _mm512_add_ps(_mm512_loadu_ps(sums.as_ptr()), bias);
            if let Some((residual, pixel)) = end.residual {
                let residual = _mm256_maskz_loadu_epi16(channels, residual.add(p * pixel).cast());
                let widened = _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(residual));
                value = _mm512_add_ps(value, _mm512_castsi512_ps(widened));
            }
            let rounded = _mm512_cvtneps_pbh(_mm512_max_ps(least, value));
            let y = end.y.0.add(p * end.y.1).cast();
            _mm256_mask_storeu_epi16(
                y,
                channels,
                std::mem::transmute::<__m256bh, __m256i>(rounded),
            );
        }
    }
}

/// # Safety
/// As for [`finish`].
unsafe fn finish_plain(end: &End<'_>, sums: &[[f32; TILE]]) {
    for (p, sums) in sums.iter().enumerate() {
        for (channel, (sum, bias)) in sums.iter().zip(end.bias).enumerate() {
            // SAFETY (both): the caller's promise.
            let mut value = sum + bias;
            if let Some((residual, pixel)) = end.residual {
                value += unsafe { *residual.add(p * pixel + channel) }.widen();
            }
            if end.relu && value < 0.0 {
                value = 0.0;
            }
            unsafe { *end.y.0.add(p * end.y.1 + channel) = bf16::narrow(value) };
        }
    }
}
