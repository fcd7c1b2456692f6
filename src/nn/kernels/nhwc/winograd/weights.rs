//! The gradient of a 3 x 3 convolution's weights by Winograd's F(4 x 4, 3 x 3):
//! 36 products for each tile, channel and filter in place of 144.
//!
//! Chunk by chunk of tiles, inputs and gradients are transformed, `V = B^T d B`
//! and `D = A dY A^T`; for each of the 36 places their products are summed over
//! the tiles, a matrix `[channels, filters]`; at the end each kernel's sums are
//! transformed to its gradient, `G^T S G`.

use super::transforms::{Gradient, Input, KernelGradient, Places, Tile};
use super::{APART, IN, OUT, PLACES, tiles};
use crate::nn::kernels::buffer::{Shared, with_scratch};
use crate::nn::kernels::im2col::Geometry;
use crate::nn::kernels::nhwc::tile::lanes;
use crate::nn::kernels::patches::Patch;
use crate::nn::kernels::simd::Level;
use crate::nn::kernels::vector::{self, Vector, VectorWork};
use rayon::prelude::*;

/// Tiles of a chunk: a vector of channels of each, at one place, stays in the
/// L1 cache.
const TILES: usize = 256;

/// ... and never fewer than this, or the sums are fetched too often.
const FEWEST: usize = 64;

/// Values of a chunk's transformed tiles: they stay in the L3 cache.
const VALUES: usize = 1 << 20;

/// Channels by vectors of filters whose sums are held in registers.
const CHANNELS: usize = 4;
const VECTORS: usize = 2;

/// Whether it can be done: by whole vectors alone.
pub(in crate::nn::kernels) fn applies(g: &Geometry, level: Level) -> bool {
    let lanes = lanes(level);
    (g.kernel, g.stride, g.padding) == (3, 1, 1)
        && g.channels.is_multiple_of(lanes)
        && g.filters.is_multiple_of(lanes)
}

/// Whether it [`applies`], and is faster than the direct sum.
pub(in crate::nn::kernels) fn pays(g: &Geometry, level: Level) -> bool {
    level != Level::Baseline
        && applies(g, level)
        && g.channels >= 16
        && g.filters >= 16
        // At most a third of the tiles' outputs lie beyond the image.
        && 3 * g.in_plane() >= 2 * tiles(g.height) * tiles(g.width) * OUT * OUT
}

/// Tiles of a patch.
fn tiles_of(patch: &Patch) -> usize {
    tiles(patch.rows) * tiles(patch.columns)
}

/// Patches whose tiles are transformed together, and where each begins.
fn chunks(g: &Geometry) -> Vec<Vec<(Patch, usize)>> {
    let most = (VALUES / (PLACES * (g.channels + g.filters))).clamp(FEWEST, TILES);
    let mut chunks: Vec<Vec<(Patch, usize)>> = Vec::new();
    let mut taken = usize::MAX;
    for patch in Patch::all(g) {
        let count = tiles_of(&patch);
        if taken.saturating_add(count) > most {
            chunks.push(Vec::new());
            taken = 0;
        }
        chunks.last_mut().expect("just pushed").push((patch, taken));
        taken += count;
    }
    chunks
}

/// The gradient of the weights, `[filters, channels, 3, 3]`, of a convolution
/// where it [`applies`].
pub(in crate::nn::kernels) fn gradient(
    x: &[f32],
    dy: &[f32],
    g: &Geometry,
    level: Level,
) -> Vec<f32> {
    assert!(applies(g, level) && Level::available().contains(&level));
    let chunks = chunks(g);
    let longest = |chunk: &Vec<(Patch, usize)>| chunk.iter().map(|(p, _)| tiles_of(p)).sum();
    let len: usize = chunks.iter().map(longest).max().unwrap_or(0);
    let (v_place, d_place) = (len * g.channels + APART, len * g.filters + APART);
    let mut v = vec![0.0; PLACES * v_place];
    let mut d = vec![0.0; PLACES * d_place];
    let mut sums = vec![0.0; PLACES * g.channels * g.filters];
    for chunk in &chunks {
        let (to_v, to_d) = (Shared::over(&mut v), Shared::over(&mut d));
        chunk.par_iter().for_each(|(patch, first)| {
            transform(x, dy, g, level, patch, (to_v, to_d), len, *first);
        });
        let count = longest(chunk);
        let places = sums.par_chunks_mut(g.channels * g.filters).enumerate();
        places.for_each(|(place, sums)| {
            let products = Products {
                v: &v[place * v_place..][..len * g.channels],
                d: &d[place * d_place..][..len * g.filters],
                len,
                count,
                channels: g.channels,
                filters: g.filters,
                sums: sums.as_mut_ptr(),
            };
            // SAFETY: the machine has the level; a place alone writes its sums,
            // of which there are `channels * filters`.
            unsafe { vector::run(level, &products) };
        });
    }
    let mut gradient = vec![0.0; g.filters * g.window()];
    let to = Shared::over(&mut gradient);
    (0..g.channels).into_par_iter().for_each(|channel| {
        // SAFETY: the machine has the level; a channel alone writes its kernel
        // of each filter, the last of which ends `(filters - 1)` windows and 9
        // values further on.
        unsafe {
            let reach = (g.filters - 1) * g.window() + 9;
            let work = KernelGradient {
                sums: &sums[channel * g.filters..],
                place: g.channels * g.filters,
                filters: g.filters,
                to: to.at(channel * 9, reach),
                step: g.window(),
            };
            vector::run(level, &work);
        }
    });
    gradient
}

/// Transforms a patch's tiles of inputs and gradients, the first of which is
/// number `first` of a chunk of `len`.
#[allow(clippy::too_many_arguments)]
fn transform(
    x: &[f32],
    dy: &[f32],
    g: &Geometry,
    level: Level,
    patch: &Patch,
    (v, d): (Shared, Shared),
    len: usize,
    first: usize,
) {
    let (rows, columns) = patch.inputs(g);
    let inputs = rows * columns * g.channels;
    let outputs = patch.rows * patch.columns * g.filters;
    with_scratch(inputs + outputs, |scratch| {
        let (xs, dys) = scratch.split_at_mut(inputs);
        patch.fill_inputs(level, x, g, xs);
        patch.fill_gradients(level, dy, g, dys);
        let mut number = first;
        for top in (0..patch.rows).step_by(OUT) {
            for left in (0..patch.columns).step_by(OUT) {
                let (tile_rows, tile_columns) = (rows - top, columns - left);
                let from = Tile {
                    first: xs[(top * columns + left) * g.channels..].as_ptr(),
                    row: columns * g.channels,
                    pixel: g.channels,
                    rows: tile_rows.min(IN),
                    columns: tile_columns.min(IN),
                    channels: g.channels,
                };
                let gradients = Tile {
                    first: dys[(top * patch.columns + left) * g.filters..].as_ptr(),
                    row: patch.columns * g.filters,
                    pixel: g.filters,
                    rows: (patch.rows - top).min(OUT),
                    columns: (patch.columns - left).min(OUT),
                    channels: g.filters,
                };
                let lanes = lanes(level);
                // From the first vector at the first place to the last one's end.
                let reach = |channels: usize| {
                    (PLACES - 1) * (channels * len + APART) + (channels - lanes) * len + lanes
                };
                // SAFETY: the machine has the level; the tiles' pixels lie
                // within the patch; a tile alone writes its place among those
                // of the chunk, whole vectors of channels.
                unsafe {
                    let to = |all: Shared, channels: usize| Places {
                        first: all.at(number * lanes, reach(channels)),
                        place: channels * len + APART,
                        vector: lanes * len,
                    };
                    let to_v = to(v, g.channels);
                    vector::run(level, &Input { from, to: to_v });
                    let (from, to) = (gradients, to(d, g.filters));
                    vector::run(level, &Gradient { from, to });
                }
                number += 1;
            }
        }
    });
}

/// `S += V^T D` of one place.
struct Products<'a> {
    /// `[channels / lanes, len, lanes]`.
    v: &'a [f32],
    /// `[filters / lanes, len, lanes]`.
    d: &'a [f32],
    /// Tiles that there is room for, and that there are.
    len: usize,
    count: usize,
    channels: usize,
    filters: usize,
    /// `[channels, filters]`.
    sums: *mut f32,
}

impl Products<'_> {
    /// The sums of [`CHANNELS`] channels by `N` vectors of filters.
    ///
    /// # Safety
    /// As for [`VectorWork::run`]; channels and filters exist.
    #[inline(always)]
    unsafe fn block<V: Vector, const N: usize>(&self, channel: usize, filter: usize) {
        // SAFETY: the caller's promise; sizes are asserted by `run`.
        unsafe {
            let vector = |all: &[f32], channel: usize| {
                let start = channel / V::LANES * self.len * V::LANES;
                all.as_ptr().add(start + channel % V::LANES)
            };
            let mut v = vector(self.v, channel);
            let mut d: [*const f32; N] =
                std::array::from_fn(|n| vector(self.d, filter + n * V::LANES));
            let to = |c: usize, n: usize| {
                self.sums
                    .add((channel + c) * self.filters + filter + n * V::LANES)
            };
            let mut sums = [[V::splat(0.0); N]; CHANNELS];
            for (c, sums) in sums.iter_mut().enumerate() {
                for (n, sum) in sums.iter_mut().enumerate() {
                    *sum = V::load(to(c, n));
                }
            }
            for _ in 0..self.count {
                let mut gradients = [V::splat(0.0); N];
                for (gradient, d) in gradients.iter_mut().zip(&mut d) {
                    *gradient = V::load(*d);
                    *d = d.add(V::LANES);
                }
                for (c, sums) in sums.iter_mut().enumerate() {
                    let value = V::splat(*v.add(c));
                    for (sum, gradient) in sums.iter_mut().zip(gradients) {
                        *sum = gradient.multiply_add(value, *sum);
                    }
                }
                v = v.add(V::LANES);
            }
            for (c, sums) in sums.iter().enumerate() {
                for (n, sum) in sums.iter().enumerate() {
                    sum.store(to(c, n));
                }
            }
        }
    }
}

impl VectorWork for Products<'_> {
    #[inline(always)]
    unsafe fn run<V: Vector>(&self) {
        assert!(self.count <= self.len);
        assert_eq!(self.v.len(), self.len * self.channels);
        assert_eq!(self.d.len(), self.len * self.filters);
        assert!(self.channels.is_multiple_of(V::LANES) && self.filters.is_multiple_of(V::LANES));
        for filter in (0..self.filters).step_by(VECTORS * V::LANES) {
            for channel in (0..self.channels).step_by(CHANNELS) {
                // SAFETY: the caller's promise; the sizes are asserted above.
                unsafe {
                    if filter + VECTORS * V::LANES <= self.filters {
                        self.block::<V, VECTORS>(channel, filter);
                    } else {
                        self.block::<V, 1>(channel, filter);
                    }
                }
            }
        }
    }
}
