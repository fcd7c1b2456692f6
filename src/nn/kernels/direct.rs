//! Direct convolution: tiles of 8 filters by some vectors of outputs are held
//! in registers while all taps of all channels are added up.
//!
//! Compared with writing out windows and multiplying matrices it moves a
//! ninth of the memory (3x3 kernels), which decides where channels are few.

#![cfg(target_arch = "x86_64")]

use super::buffer::{Shared, filled, with_scratch};
use super::im2col::Geometry;
use super::shifted::Shifted;
use super::simd::{Level, level};
use super::vector::{Avx2, Avx512, Vector};
use rayon::prelude::*;
use std::mem::MaybeUninit;

/// Values of a strip's planes: a quarter megabyte, a share of the L2 cache.
const STRIP: usize = 64 * 1024;

/// Work is cut into at least this many tasks where the shapes allow it.
const TASKS: usize = 16;

/// Filters of a full tile.
const TILE: usize = 8;

/// Whether this file's kernels run on this machine.
pub(super) fn is_available() -> bool {
    level() != Level::Baseline
}

/// Output rows of a strip.
fn strip_rows(g: &Geometry) -> usize {
    let cached = STRIP / Shifted::values_a_row(g);
    let shared = (g.batch * g.out_height()).div_ceil(TASKS).max(4);
    cached.min(shared).clamp(1, g.out_height())
}

/// Filters that are computed together, and their packed weights: for every
/// tap, one value for each filter of the tile (0 where there is no filter).
struct Tile {
    first: usize,
    filters: usize,
    /// `filters` rounded up to a power of two.
    width: usize,
    weights: Vec<f32>,
    bias: [f32; TILE],
}

fn tiles(w: &[f32], bias: Option<&[f32]>, g: &Geometry) -> Vec<Tile> {
    let window = g.window();
    (0..g.filters)
        .step_by(TILE)
        .map(|first| {
            let filters = TILE.min(g.filters - first);
            let width = filters.next_power_of_two();
            let mut weights = vec![0.0; window * width];
            for (i, kernel) in w[first * window..]
                .chunks_exact(window)
                .take(filters)
                .enumerate()
            {
                for (packed, v) in weights.chunks_exact_mut(width).zip(kernel) {
                    packed[i] = *v;
                }
            }
            let mut tile_bias = [0.0; TILE];
            if let Some(bias) = bias {
                tile_bias[..filters].copy_from_slice(&bias[first..first + filters]);
            }
            Tile {
                first,
                filters,
                width,
                weights,
                bias: tile_bias,
            }
        })
        .collect()
}

/// `y[n, o] = bias[o] + sum over c of w[o, c] * x[n, c]`.
pub(super) fn forward(x: &[f32], w: &[f32], bias: Option<&[f32]>, g: &Geometry) -> Vec<f32> {
    let layout = Shifted::new(*g, strip_rows(g));
    let tiles = tiles(w, bias, g);
    let strips = g.out_height().div_ceil(layout.rows);
    // With few strips the tiles are shared out too; each task then lays out
    // its strip anew, which is little beside the sums.
    let groups = TASKS.div_ceil(g.batch * strips).min(tiles.len());
    let group = tiles.len().div_ceil(groups);
    let image_size = g.channels * g.in_plane();
    let fill = |y: &mut [MaybeUninit<f32>]| {
        let y = Shared::new(y);
        (0..g.batch * strips)
            .into_par_iter()
            .flat_map(|strip| tiles.par_chunks(group).map(move |tiles| (strip, tiles)))
            .for_each(|(strip, tiles)| {
                let (image, first) = (strip / strips, strip % strips * layout.rows);
                let rows = layout.rows.min(g.out_height() - first);
                with_scratch(layout.len(), |planes| {
                    layout.fill(&x[image * image_size..][..image_size], first, planes);
                    for tile in tiles {
                        let plane = image * g.filters + tile.first;
                        let start = plane * g.out_plane() + first * g.out_width();
                        let reach = (tile.filters - 1) * g.out_plane() + rows * g.out_width();
                        // SAFETY: this task alone writes these rows of these
                        // filters.
                        let out = unsafe { y.at(start, reach) };
                        strip_of_tile(&layout, planes, tile, rows, out);
                    }
                });
            });
    };
    // SAFETY: strips and tiles cover every output row of every filter.
    unsafe { filled(g.batch * g.filters * g.out_plane(), fill) }
}

/// One strip of one tile's filters, into `out` (the first filter's first row
/// of the strip).
fn strip_of_tile(layout: &Shifted, planes: &[f32], tile: &Tile, rows: usize, out: *mut f32) {
    assert!(planes.len() >= layout.len() && rows <= layout.rows);
    assert_eq!(tile.weights.len(), tile.width * layout.offsets.len());
    // SAFETY (all calls): the machine has the instructions; the sizes are
    // asserted above, and `out` is good for the strip's rows of the tile's
    // filters, as the caller has asserted.
    match (level(), tile.width) {
        (Level::Avx512, 8) => unsafe { avx512::<8, 3>(layout, planes, tile, rows, out) },
        (Level::Avx512, 4) => unsafe { avx512::<4, 6>(layout, planes, tile, rows, out) },
        (Level::Avx512, 2) => unsafe { avx512::<2, 8>(layout, planes, tile, rows, out) },
        (Level::Avx512, _) => unsafe { avx512::<1, 8>(layout, planes, tile, rows, out) },
        (_, 8) => unsafe { avx2::<8, 1>(layout, planes, tile, rows, out) },
        (_, 4) => unsafe { avx2::<4, 3>(layout, planes, tile, rows, out) },
        (_, 2) => unsafe { avx2::<2, 4>(layout, planes, tile, rows, out) },
        (_, _) => unsafe { avx2::<1, 8>(layout, planes, tile, rows, out) },
    }
}

#[target_feature(enable = "avx512f")]
unsafe fn avx512<const FILTERS: usize, const VECTORS: usize>(
    layout: &Shifted,
    planes: &[f32],
    tile: &Tile,
    rows: usize,
    out: *mut f32,
) {
    // SAFETY: the caller's promise.
    unsafe { convolve::<Avx512, FILTERS, VECTORS>(layout, planes, tile, rows, out) }
}

#[target_feature(enable = "avx2,fma")]
unsafe fn avx2<const FILTERS: usize, const VECTORS: usize>(
    layout: &Shifted,
    planes: &[f32],
    tile: &Tile,
    rows: usize,
    out: *mut f32,
) {
    // SAFETY: the caller's promise.
    unsafe { convolve::<Avx2, FILTERS, VECTORS>(layout, planes, tile, rows, out) }
}

/// Sums up all taps, `VECTORS` vectors of flat positions at a time.
///
/// # Safety
/// The machine has the instructions; `planes` is laid out by `layout`,
/// `tile` is `FILTERS` wide with weights for every offset, and `out` is good
/// for `rows` output rows of the tile's filters, one output plane apart.
#[inline(always)]
unsafe fn convolve<V: Vector, const FILTERS: usize, const VECTORS: usize>(
    layout: &Shifted,
    planes: &[f32],
    tile: &Tile,
    rows: usize,
    out: *mut f32,
) {
    let plane = layout.geometry.out_plane();
    let width = layout.geometry.out_width();
    let positions = layout.positions(rows);
    for start in (0..positions).step_by(VECTORS * V::LANES) {
        // SAFETY: a tap's offset plus a position of the strip lies within the
        // planes, and VECTORS * LANES (at most 128) further values within
        // planes and slack. The weights are read in order, FILTERS a tap.
        let sums = unsafe {
            let mut sums = [[V::splat(0.0); VECTORS]; FILTERS];
            for (sums, bias) in sums.iter_mut().zip(tile.bias) {
                *sums = [V::splat(bias); VECTORS];
            }
            let mut weights = tile.weights.as_ptr();
            for offset in &layout.offsets {
                let from = planes.as_ptr().add(offset + start);
                let mut values = [V::splat(0.0); VECTORS];
                for (v, value) in values.iter_mut().enumerate() {
                    *value = V::load(from.add(v * V::LANES));
                }
                for sums in &mut sums {
                    let weight = V::splat(*weights);
                    weights = weights.add(1);
                    for (sum, value) in sums.iter_mut().zip(values) {
                        *sum = value.multiply_add(weight, *sum);
                    }
                }
            }
            sums
        };
        for v in 0..VECTORS {
            let position = start + v * V::LANES;
            let (row, column) = (position / layout.row, position % layout.row);
            if row < rows && column + V::LANES <= width {
                for (filter, sums) in sums.iter().enumerate().take(tile.filters) {
                    // SAFETY: these outputs lie within row `row` of the strip.
                    unsafe { sums[v].store(out.add(filter * plane + row * width + column)) };
                }
                continue;
            }
            for (filter, sums) in sums.iter().enumerate().take(tile.filters) {
                let mut lanes = [0.0_f32; 16];
                // SAFETY: no vector has more than 16 lanes.
                unsafe { sums[v].store(lanes.as_mut_ptr()) };
                let (mut row, mut column) = (row, column);
                for lane in lanes.iter().take(V::LANES) {
                    if row < rows && column < width {
                        // SAFETY: an output within row `row` of the strip.
                        unsafe { *out.add(filter * plane + row * width + column) = *lane };
                    }
                    column += 1;
                    if column == layout.row {
                        (row, column) = (row + 1, 0);
                    }
                }
            }
        }
    }
}
