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

    /// Whether it reads each pixel of a strip from its own address.
    pub(super) fn scatters(self) -> bool {
        self == Self::Dot
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
    /// Values from a pixel to the next, where they lie side by side.
    pub step: usize,
}

impl Product<'_> {
    /// Sets the sums of the pixels at `places`, in values from `x`: those of one
    /// or two strips, by the output `channels` of one or two tiles.
    ///
    /// # Safety
    /// Within a [`Unit::session`] for this depth. All blocks of each pixel lie in
    /// memory that nobody writes; for a unit that does not scatter, also those of
    /// the 16 pixels that follow a strip's first one.
    pub unsafe fn add_up(
        &self,
        x: *const bf16,
        places: &[usize],
        weights: &[bf16],
        channels: usize,
        sums: &mut Sums,
    ) {
        assert!((1..=2 * TILE).contains(&channels));
        let tiles = channels.div_ceil(TILE);
        assert!((1..=2 * STRIP).contains(&places.len()));
        assert!(self.depth.is_multiple_of(2) && self.depth <= DEPTH);
        assert_eq!(
            weights.len(),
            self.offsets.len() * self.depth * tiles * TILE
        );
        // SAFETY (all): the machine has the unit, else there were no session;
        // the caller's promise about `x`, and the weights' length is as the
        // functions expect it.
        unsafe {
            match self.unit {
                #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
                Unit::Amx => {
                    // A last strip without a partner is computed twice.
                    let second = places.get(STRIP).unwrap_or(&places[0]);
                    let x = [places[0], *second].map(|place| x.add(place));
                    super::amx::add_up(self, x, weights, tiles, sums);
                }
                #[cfg(target_arch = "x86_64")]
                Unit::Dot => super::dot::add_up(self, x, places, weights, channels, sums),
                _ => plain::add_up(self, x, places, weights, tiles, sums),
            }
        }
    }
}
