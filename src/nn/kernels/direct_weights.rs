//! The gradient of a convolution's weights, directly: tiles of 4 filters by
//! some taps are held in registers while all outputs of a strip are added up.

#![cfg(target_arch = "x86_64")]

use super::buffer::with_scratch;
use super::im2col::Geometry;
use super::partial_sums::{Strip, partial_sums};
use super::shifted::Shifted;
use super::simd::{Level, level};
use super::vector::{Avx2, Avx512, Vector};

/// Flat positions of a strip: four rows of gradients stay in the L1 cache.
const POSITIONS: usize = 2048;

/// Values of a strip's planes: a share of the L2 cache.
const STRIP: usize = 64 * 1024;

/// Filters of a tile.
const FILTERS: usize = 4;

/// Output rows of a strip.
fn strip_rows(g: &Geometry) -> usize {
    let reach = (g.kernel - 1) / g.stride;
    let short = POSITIONS / (g.out_width() + reach);
    let cached = STRIP / Shifted::values_a_row(g);
    short.min(cached).clamp(1, g.out_height())
}

/// The gradient of the weights, `[filters, window]`.
pub(super) fn weight_gradient(x: &[f32], dy: &[f32], g: &Geometry) -> Vec<f32> {
    let layout = Shifted::new(*g, strip_rows(g));
    let image_size = g.channels * g.in_plane();
    let out_size = g.filters * g.out_plane();
    let size = g.filters * g.window();
    partial_sums(size, &Strip::all(g, layout.rows), |strip, sum| {
        let &Strip { image, first, rows } = strip;
        // Whole vectors for every instruction set.
        let len = layout.positions(rows).next_multiple_of(16);
        with_scratch(layout.len() + g.filters * len, |scratch| {
            let (planes, flat) = scratch.split_at_mut(layout.len());
            layout.fill(&x[image * image_size..][..image_size], first, planes);
            let dy = &dy[image * out_size..][..out_size];
            layout.fill_gradient(dy, first, rows, len, flat);
            add_strip(&layout, planes, flat, len, sum);
        });
    })
}

/// Adds the products of one strip to `sum`, `[filters, window]`.
fn add_strip(layout: &Shifted, planes: &[f32], flat: &[f32], len: usize, sum: &mut [f32]) {
    let g = &layout.geometry;
    assert!(planes.len() >= layout.len() && flat.len() >= g.filters * len);
    assert!(len <= layout.positions(layout.rows).next_multiple_of(16));
    assert_eq!(sum.len(), g.filters * layout.offsets.len());
    // SAFETY (both calls): the machine has the instructions; the sizes are
    // asserted above.
    match level() {
        Level::Avx512 => unsafe { avx512(layout, planes, flat, len, sum) },
        _ => unsafe { avx2(layout, planes, flat, len, sum) },
    }
}

#[target_feature(enable = "avx512f")]
unsafe fn avx512(layout: &Shifted, planes: &[f32], flat: &[f32], len: usize, sum: &mut [f32]) {
    // SAFETY: the caller's promise.
    unsafe { correlate::<Avx512, 6>(layout, planes, flat, len, sum) }
}

#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(layout: &Shifted, planes: &[f32], flat: &[f32], len: usize, sum: &mut [f32]) {
    // SAFETY: the caller's promise.
    unsafe { correlate::<Avx2, 3>(layout, planes, flat, len, sum) }
}

/// `sum[f, k] += sum over positions p of flat[f, p] planes[offsets[k] + p]`.
///
/// # Safety
/// The machine has the instructions; `planes` is laid out by `layout`, and
/// `flat` holds `len` positions, whole vectors, for each filter.
#[inline(always)]
unsafe fn correlate<V: Vector, const TAPS: usize>(
    layout: &Shifted,
    planes: &[f32],
    flat: &[f32],
    len: usize,
    sum: &mut [f32],
) {
    let (filters, window) = (layout.geometry.filters, layout.offsets.len());
    for first in (0..filters).step_by(FILTERS) {
        // Past the last filter or tap the last one is taken again, unused.
        let filter = |i: usize| (first + i).min(filters - 1);
        for first_tap in (0..window).step_by(TAPS) {
            let tap = |i: usize| (first_tap + i).min(window - 1);
            let gradients: [&[f32]; FILTERS] =
                std::array::from_fn(|i| &flat[filter(i) * len..][..len]);
            // SAFETY: gradients have `len` positions. Tap offsets plus a
            // position lie within planes and slack, as `len` exceeds the
            // strip's positions by less than a vector.
            let sums = unsafe {
                let values: [*const f32; TAPS] =
                    std::array::from_fn(|i| planes.as_ptr().add(layout.offsets[tap(i)]));
                let mut sums = [[V::splat(0.0); TAPS]; FILTERS];
                for p in (0..len).step_by(V::LANES) {
                    let mut of_filters = [V::splat(0.0); FILTERS];
                    for (gradient, row) in of_filters.iter_mut().zip(&gradients) {
                        *gradient = V::load(row.as_ptr().add(p));
                    }
                    for (t, values) in values.iter().enumerate() {
                        let value = V::load(values.add(p));
                        for (sums, gradient) in sums.iter_mut().zip(of_filters) {
                            sums[t] = gradient.multiply_add(value, sums[t]);
                        }
                    }
                }
                sums
            };
            for (f, sums) in sums.iter().enumerate().take(filters - first) {
                for (t, lanes) in sums.iter().enumerate().take(window - first_tap) {
                    // SAFETY: the machine has the instructions.
                    sum[(first + f) * window + first_tap + t] += unsafe { lanes.total() };
                }
            }
        }
    }
}
