//! Sixteen numbers side by side, computed with in `f32` and kept in memory as
//! bfloat16.

use super::super::Element;
use super::{TILE, Unit};
use half::bf16;
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// Its functions are used in functions alone that have the instructions, on
/// addresses that are good for [`TILE`] numbers.
pub(super) trait Wide: Copy {
    unsafe fn zero() -> Self;
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn widened(from: *const bf16) -> Self;
    /// Rounded to the nearest.
    unsafe fn narrowed(self, to: *mut bf16);
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn subtract(self, other: Self) -> Self;
    /// Not below 0; NaN stays NaN.
    unsafe fn rectified(self) -> Self;
}

// SAFETY (all methods): the trait's contract.
impl Wide for [f32; TILE] {
    #[inline(always)]
    unsafe fn zero() -> Self {
        [0.0; TILE]
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        unsafe { from.cast::<Self>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn widened(from: *const bf16) -> Self {
        unsafe { from.cast::<[bf16; TILE]>().read_unaligned() }.map(Element::widen)
    }

    #[inline(always)]
    unsafe fn narrowed(self, to: *mut bf16) {
        unsafe {
            to.cast::<[bf16; TILE]>()
                .write_unaligned(self.map(bf16::narrow))
        }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        std::array::from_fn(|i| self[i] + other[i])
    }

    #[inline(always)]
    unsafe fn subtract(self, other: Self) -> Self {
        std::array::from_fn(|i| self[i] - other[i])
    }

    #[inline(always)]
    unsafe fn rectified(self) -> Self {
        self.map(|value| if value < 0.0 { 0.0 } else { value })
    }
}

// SAFETY (all methods): the trait's contract.
#[cfg(target_arch = "x86_64")]
impl Wide for __m512 {
    #[inline(always)]
    unsafe fn zero() -> Self {
        unsafe { _mm512_setzero_ps() }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        unsafe { _mm512_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn widened(from: *const bf16) -> Self {
        unsafe {
            let values = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(values))
        }
    }

    #[inline(always)]
    unsafe fn narrowed(self, to: *mut bf16) {
        unsafe {
            let rounded: __m256i = std::mem::transmute(_mm512_cvtneps_pbh(self));
            _mm256_storeu_si256(to.cast(), rounded);
        }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        unsafe { _mm512_add_ps(self, other) }
    }

    #[inline(always)]
    unsafe fn subtract(self, other: Self) -> Self {
        unsafe { _mm512_sub_ps(self, other) }
    }

    #[inline(always)]
    unsafe fn rectified(self) -> Self {
        unsafe { _mm512_max_ps(_mm512_setzero_ps(), self) }
    }
}

/// Work that is the same on all numbers: written once, compiled for a unit by
/// [`run`].
pub(super) trait WideWork {
    /// # Safety
    /// The machine has the instructions of `W`; the work's addresses are good
    /// for what it does.
    unsafe fn run<W: Wide>(&self);
}

/// Does `work` with the instructions that come with `unit`.
///
/// # Safety
/// The machine has the unit; the work's addresses are good for what it does.
pub(super) unsafe fn run(unit: Unit, work: &impl WideWork) {
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn avx512(work: &impl WideWork) {
        // SAFETY: the caller's promise.
        unsafe { work.run::<__m512>() }
    }
    // SAFETY (both): the caller's promise; both units come with AVX512-BF16.
    match unit {
        #[cfg(target_arch = "x86_64")]
        Unit::Amx | Unit::Dot => unsafe { avx512(work) },
        _ => unsafe { work.run::<[f32; TILE]>() },
    }
}
