//! The product by AMX-BF16: registers that hold 16 rows of 64 bytes, and an
//! instruction that multiplies two of them onto a third (Intel 64 and IA-32
//! Architectures Software Developer's Manual, volume 1, chapter 18).
//!
//! Rows of the first factor are pixels, read from where they lie; rows of the
//! second are pairs of a block's values by 16 output channels. The compiler
//! has no stable functions for these instructions, hence assembly. It does not
//! use the tile registers itself, so their configuration stays between two
//! blocks of assembly, but no values are left in them.

use super::unit::{Product, Sums};
use super::{STRIP, TILE};
use crate::nn::kernels::simd::Level;
use half::bf16;
use std::arch::asm;
use std::arch::x86_64::{__cpuid_count, __get_cpuid_max};
use std::sync::OnceLock;

/// Bytes of a row of the second factor and of the sums.
const ROW: usize = 64;

/// Whether the processor has the instructions and the system lets this program
/// use them, for which it asks at the first call.
pub(super) fn available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| {
        Level::available().contains(&Level::Avx512) && processor_has_tiles() && system_permits()
    })
}

fn processor_has_tiles() -> bool {
    /// AMX-BF16 and AMX-TILE in EDX of leaf 7.
    const FEATURES: u32 = 1 << 22 | 1 << 24;
    __get_cpuid_max(0).0 >= 7 && __cpuid_count(7, 0).edx & FEATURES == FEATURES
}

/// Linux saves the tile registers for programs only that have asked (kernel
/// documentation, "Using XSTATE features in user space applications"). The
/// answer holds for all threads.
fn system_permits() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
    const XFEATURE_XTILE_DATA: libc::c_long = 18;
    // SAFETY: the call takes two numbers and touches no memory of ours.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_arch_prctl,
            ARCH_REQ_XCOMP_PERM,
            XFEATURE_XTILE_DATA,
        )
    };
    answer == 0
}

/// What `ldtilecfg` reads: rows and bytes of a row of each register.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

impl Configuration {
    /// Registers 0 to 3 are sums, 4 and 5 pixels, 6 and 7 weights.
    fn new(depth: usize) -> Self {
        let mut configuration = Self {
            palette: 1,
            start_row: 0,
            reserved: [0; 14],
            row_bytes: [0; 16],
            rows: [0; 16],
        };
        let (pixels, pairs) = (STRIP as u8, (depth / 2) as u8);
        let x_bytes = (depth * size_of::<bf16>()) as u16;
        configuration.rows[..8]
            .copy_from_slice(&[pixels, pixels, pixels, pixels, pixels, pixels, pairs, pairs]);
        configuration.row_bytes[..8].fill(ROW as u16);
        configuration.row_bytes[4..6].fill(x_bytes);
        configuration
    }
}

/// Gives the registers back, whatever happens: else the system would have to
/// save them at every switch of threads.
struct Release;

impl Drop for Release {
    fn drop(&mut self) {
        // SAFETY: made by `session` alone, where the machine has tiles.
        unsafe { asm!("tilerelease", options(nomem, nostack, preserves_flags)) };
    }
}

/// Calls `work` with the registers laid out for blocks of `depth` values.
///
/// # Safety
/// [`available`] is true.
pub(super) unsafe fn session(depth: usize, work: impl FnOnce()) {
    let configuration = Configuration::new(depth);
    // SAFETY: the machine has the instruction; it reads 64 bytes.
    unsafe {
        asm!(
            "ldtilecfg [{}]",
            in(reg) &raw const configuration,
            options(readonly, nostack, preserves_flags)
        );
    }
    let _release = Release;
    work();
}

/// Two strips by one tile of output channels, in registers 0 and 2, one block
/// after the other; the blocks' places are read from a list. A second tile's
/// instructions go before the loop, into it, and after it.
macro_rules! over_blocks {
    ($product:ident, $x:ident, $weights:ident, $sums:ident,
     [$($before:literal)*] [$($second:literal)*] [$($after:literal)*]) => {
        asm!(
            "tilezero tmm0",
            "tilezero tmm2",
            $($before,)*
            "2:",
            "tileloadd tmm6, [{weights} + 1*{row}]",
            "add {weights}, {tile_bytes}",
            "mov {at}, [{offset}]",
            "lea {at}, [{x0} + 2*{at}]",
            "tileloadd tmm4, [{at} + 1*{step}]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "mov {at}, [{offset}]",
            "lea {at}, [{x1} + 2*{at}]",
            "tileloadd tmm5, [{at} + 1*{step}]",
            "tdpbf16ps tmm2, tmm5, tmm6",
            $($second,)*
            "add {offset}, 8",
            "dec {blocks}",
            "jnz 2b",
            "tilestored [{sums} + 1*{row}], tmm0",
            "tilestored [{sums} + 1*{row} + 2048], tmm2",
            $($after,)*
            at = out(reg) _,
            offset = inout(reg) $product.offsets.as_ptr() => _,
            blocks = inout(reg) $product.offsets.len() => _,
            x0 = in(reg) $x[0],
            x1 = in(reg) $x[1],
            step = in(reg) $product.step * size_of::<bf16>(),
            weights = inout(reg) $weights.as_ptr() => _,
            tile_bytes = in(reg) $product.depth * TILE * size_of::<bf16>(),
            sums = in(reg) $sums,
            row = in(reg) ROW,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        )
    };
}

/// # Safety
/// As for [`Product::add_up`], within a [`session`]; there is a block at least.
pub(super) unsafe fn add_up(
    product: &Product<'_>,
    x: [*const bf16; 2],
    weights: &[bf16],
    tiles: usize,
    sums: &mut Sums,
) {
    let sums: *mut Sums = sums;
    // SAFETY (both): blocks are read where the caller promises that they may
    // be, weights as many as there are, and the sums have room for four
    // registers.
    if tiles == 1 {
        unsafe { over_blocks!(product, x, weights, sums, [] [] []) };
    } else {
        unsafe {
            over_blocks!(product, x, weights, sums,
                ["tilezero tmm1" "tilezero tmm3"]
                [
                    "tileloadd tmm7, [{weights} + 1*{row}]"
                    "add {weights}, {tile_bytes}"
                    "tdpbf16ps tmm1, tmm4, tmm7"
                    "tdpbf16ps tmm3, tmm5, tmm7"
                ]
                [
                    "tilestored [{sums} + 1*{row} + 1024], tmm1"
                    "tilestored [{sums} + 1*{row} + 3072], tmm3"
                ]
            );
        }
    }
}
