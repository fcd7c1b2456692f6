//! What multiplies bfloat16 values, and the product that it computes.

use super::{DEPTH, STRIP, TILE, plain};
use half::bf16;

/// A part of a processor that multiplies pairs of bfloat16 values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::nn) enum Unit {
    /// Tiles of AMX-BF16: 16 by 16 sums of 16 pairs in one instruction.
    Amx,
    /// `vdpbf16ps` of AVX512-BF16: 16 sums of a pair.
    Dot,
    /// Plain Rust, the definition that the others are tested against.
    Plain,
}

impl Unit {
    /// The fastest that this machine has; none if `f32` is faster.
    pub(in crate::nn) fn best() -> Option<Self> {
        Self::available()
            .into_iter()
            .find(|unit| *unit != Self::Plain)
    }

    /// Those that this machine has, the fastest first.
    pub(in crate::nn) fn available() -> Vec<Self> {
        let mut units = Vec::new();
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        if super::amx::available() {
            units.push(Self::Amx);
        }
        #[cfg(target_arch = "x86_64")]
        if super::dot::available() {
            units.push(Self::Dot);
        }
        units.push(Self::Plain);
        units
    }

    /// Calls `work`, in which this thread may compute products of blocks of
    /// `depth` values.
    pub(super) fn session(self, depth: usize, work: impl FnOnce()) {
        match self {
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            // SAFETY: the unit was found on this machine.
            Self::Amx => unsafe { super::amx::session(depth, work) },
            _ => work(),
        }
    }
}

/// Sums of two strips by two tiles, pixel by pixel.
#[derive(Default)]
#[repr(align(64))]
pub(super) struct Sums(pub [[[[f32; TILE]; STRIP]; 2]; 2]);

/// What is added up for each pixel of a strip.
pub(super) struct Product<'a> {
    pub unit: Unit,
    /// Where each block begins, from the pixel's first tap.
    pub offsets: &'a [usize],
    /// Values of a block: even, at most [`DEPTH`].
    pub depth: usize,
    /// Values from a pixel to the next.
    pub step: usize,
}

impl Product<'_> {
    /// Sets the sums of two strips, which begin at `x`, by one or two tiles of
    /// output channels.
    ///
    /// # Safety
    /// Within a [`Unit::session`] for this depth. All blocks of 16 pixels from
    /// each of `x` on lie in memory that nobody writes.
    pub unsafe fn add_up(
        &self,
        x: [*const bf16; 2],
        weights: &[bf16],
        tiles: usize,
        sums: &mut Sums,
    ) {
        assert!(tiles == 1 || tiles == 2);
        assert!(self.depth.is_multiple_of(2) && self.depth <= DEPTH);
        assert_eq!(
            weights.len(),
            self.offsets.len() * self.depth * tiles * TILE
        );
        // SAFETY (all): the machine has the unit, else there were no session;
        // the caller's promise about `x`, and the weights' length is as the
        // functions expect it.
        unsafe {
            match (self.unit, tiles) {
                #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
                (Unit::Amx, _) => super::amx::add_up(self, x, weights, tiles, sums),
                #[cfg(target_arch = "x86_64")]
                (Unit::Dot, 1) => super::dot::add_up::<1>(self, x, weights, sums),
                #[cfg(target_arch = "x86_64")]
                (Unit::Dot, _) => super::dot::add_up::<2>(self, x, weights, sums),
                _ => plain::add_up(self, x, weights, tiles, sums),
            }
        }
    }
}
