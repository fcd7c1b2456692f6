//! The product as it is defined.

use super::super::Element;
use super::unit::{Product, Sums};
use super::{STRIP, TILE};
use half::bf16;

/// # Safety
/// As for [`Product::add_up`].
pub(super) unsafe fn add_up(
    product: &Product<'_>,
    x: *const bf16,
    places: &[usize],
    weights: &[bf16],
    tiles: usize,
    sums: &mut Sums,
) {
    for (places, sums) in places.chunks(STRIP).zip(&mut sums.0) {
        for (tile, sums) in sums.iter_mut().take(tiles).enumerate() {
            *sums = [[0.0; TILE]; STRIP];
            for (b, offset) in product.offsets.iter().enumerate() {
                let weights = &weights[(b * tiles + tile) * product.depth * TILE..];
                for (place, sums) in places.iter().zip(sums.iter_mut()) {
                    for value in 0..product.depth {
                        // SAFETY: the caller's promise.
                        let x = unsafe { *x.add(*place + offset + value) };
                        for (channel, sum) in sums.iter_mut().enumerate() {
                            let pair = (value / 2 * TILE + channel) * 2;
                            *sum += x.widen() * weights[pair + value % 2].widen();
                        }
                    }
                }
            }
        }
    }
}
