//! 3 x 3 convolution in bfloat16 by Winograd's F(2 x 2, 3 x 3): 16 products for
//! 4 outputs in place of 36.
//!
//! As in `f32` (`nhwc/winograd`), input tiles are transformed, `V = B^T d B`;
//! for each of the 16 places of a tile there is a product over the channels,
//! `M = U V`; back to 2 x 2 outputs, `Y = A^T M A`. The tile is the smallest one,
//! as the transformed numbers are rounded to bfloat16: with F(2 x 2) their
//! rounding weighs 5 / 3 of what the direct sum's does (each of the two
//! dimensions sums products of variance 2, 3/2, 3/2 and 2, of which an output
//! takes 5, the direct sum 3), with F(4 x 4) some ten times as much.
//!
//! A. Lavin, S. Gray: *Fast algorithms for convolutional neural networks*,
//! CVPR 2016, section 4.1.

use super::super::conv::{ConvSpec, checked, padded_bias};
use super::super::{Arena, View, for_each};
use super::unit::{Product, Sums};
use super::{STRIP, TILE, Unit, largest_depth, tile_pairs, wide};
use crate::nn::kernels::buffer::with_scratch;
use crate::nn::kernels::team::Team;
use half::bf16;
use rayon::prelude::*;
use std::ops::Range;
use transforms::{Input, Output};

mod transforms;

/// Outputs a side of a tile.
const OUT: usize = 2;
/// Inputs a side of a tile.
const IN: usize = 4;
/// Places of a transformed tile.
const PLACES: usize = IN * IN;

/// Tiles that are transformed together: as many as a product has pixels.
const TOGETHER: usize = 2 * STRIP;

/// Values left free between places, so that the 16 of a tile do not compete for
/// the same lines of a cache.
const APART: usize = 32;

/// With fewer groups of tiles than this, output channels are shared out, too.
const FEW_GROUPS: usize = 4;

/// Transformed weights of some tiles of output channels: by places, by blocks
/// of `depth` channels, by tiles, by pairs of channels, by output channels.
fn packed(weights: &[f32], (channels, depth): (usize, usize), tiles: Range<usize>) -> Vec<bf16> {
    let filters = tiles.start * TILE..tiles.end * TILE;
    let kernels: Vec<[bf16; PLACES]> = weights[filters.start * channels * 9..]
        .chunks_exact(9)
        .take(filters.len() * channels)
        .map(|g| transforms::kernel(g).map(bf16::from_f32))
        .collect();
    let mut packed = Vec::with_capacity(PLACES * kernels.len());
    for place in 0..PLACES {
        for block in (0..channels).step_by(depth) {
            for tile in 0..tiles.len() {
                for pair in (block..block + depth).step_by(2) {
                    for filter in tile * TILE..(tile + 1) * TILE {
                        let pair = &kernels[filter * channels + pair..][..2];
                        packed.extend(pair.iter().map(|u| u[place]));
                    }
                }
            }
        }
    }
    packed
}

/// A convolution with transformed weights.
#[derive(Debug, Clone)]
pub(in crate::nn) struct Winograd {
    relu: bool,
    unit: Unit,
    channels: usize,
    /// Where each block of channels begins, and its values.
    offsets: Vec<usize>,
    depth: usize,
    /// By pairs of tiles of output channels, by places; then as
    /// [`Product::add_up`] reads them.
    weights: Vec<bf16>,
    bias: Vec<f32>,
}

impl Winograd {
    /// Whether it can be done for an image that lies like `x`: by whole tiles of
    /// channels alone.
    pub fn applies(spec: ConvSpec, x: &View, filters: usize) -> bool {
        (spec.kernel, spec.stride, spec.padding) == (3, 1, 1)
            && x.channels() == x.span()
            && x.channels().is_multiple_of(TILE)
            && filters.is_multiple_of(TILE)
    }

    /// Whether it [`Winograd::applies`], and is faster than the direct sum. AMX
    /// multiplies faster than the additions would be done.
    pub fn pays(spec: ConvSpec, x: &View, filters: usize, unit: Unit) -> bool {
        unit == Unit::Dot
            && Self::applies(spec, x, filters)
            && x.height * x.width >= OUT * OUT * STRIP
    }

    /// As for [`super::Convolution::new`], where it [`Winograd::applies`].
    pub fn new(spec: ConvSpec, weights: &[f32], bias: &[f32], x: &View, unit: Unit) -> Self {
        let (channels, filters) = (x.channels(), bias.len());
        assert!(Self::applies(spec, x, filters));
        assert_eq!(weights.len(), filters * channels * 9);
        assert!(Unit::available().contains(&unit));
        let depth = largest_depth(channels);
        let packed: Vec<Vec<bf16>> = tile_pairs(filters)
            .into_par_iter()
            .map(|tiles| packed(weights, (channels, depth), tiles))
            .collect();
        Self {
            relu: spec.relu,
            unit,
            channels,
            offsets: (0..channels).step_by(depth).collect(),
            depth,
            weights: packed.concat(),
            bias: padded_bias(bias),
        }
    }

    /// Transformed values from one place of a group of tiles to the next.
    fn place(&self) -> usize {
        TOGETHER * self.channels + APART
    }

    /// As for [`super::Convolution::run`]; nothing after `x` is read.
    ///
    /// # Panics
    /// As there.
    pub fn run(
        &self,
        arena: &mut [bf16],
        x: &View,
        y: &View,
        residual: Option<&View>,
        team: Option<&Team>,
    ) {
        assert_eq!((y.height, y.width), (x.height, x.width));
        assert_eq!((x.span(), y.span()), (self.channels, self.bias.len()));
        assert!(x.channels() == x.span() && x.frame >= 1);
        let pass = Pass {
            winograd: self,
            arena: checked(arena, x, y, residual),
            x,
            y,
            residual,
            across: y.width.div_ceil(OUT),
        };
        let tiles = y.height.div_ceil(OUT) * pass.across;
        let pairs = tile_pairs(self.bias.len());
        let groups = tiles.div_ceil(TOGETHER);
        let parts = if team.is_some() && groups < FEW_GROUPS {
            FEW_GROUPS.min(pairs.len())
        } else {
            1
        };
        let share = pairs.len().div_ceil(parts);
        for_each(groups * parts, team, |task| {
            let first = task / parts * TOGETHER;
            let begin = pairs.len().min(task % parts * share);
            let end = pairs.len().min(begin + share);
            pass.run(first..tiles.min(first + TOGETHER), &pairs[begin..end]);
        });
    }
}

/// A convolution at work on one image. All that it reads lies within the arena,
/// and nothing of it is written in this step.
struct Pass<'a> {
    winograd: &'a Winograd,
    arena: Arena<bf16>,
    x: &'a View,
    y: &'a View,
    residual: Option<&'a View>,
    /// Tiles side by side.
    across: usize,
}

impl Pass<'_> {
    /// Some tiles, by some pairs of tiles of output channels.
    fn run(&self, tiles: Range<usize>, pairs: &[Range<usize>]) {
        let Winograd {
            channels, depth, ..
        } = *self.winograd;
        let place = self.winograd.place();
        let v_values = (PLACES * place).div_ceil(size_of::<Sums>() / size_of::<bf16>());
        let room = (PLACES + 1 + v_values) * size_of::<Sums>() / size_of::<f32>();
        with_scratch(room, |scratch| {
            // SAFETY (both): plain numbers, of which all bits are good.
            let (_, aligned, _) = unsafe { scratch.align_to_mut::<Sums>() };
            let (sums, v) = aligned.split_first_chunk_mut::<PLACES>().expect("room");
            let (_, v, _) = unsafe { v.align_to_mut::<bf16>() };
            for (i, tile) in tiles.clone().enumerate() {
                self.transform(tile, &mut v[i * channels..], place);
            }
            self.winograd.unit.session(depth, || {
                for pair in pairs {
                    self.multiply(v, tiles.len(), pair, sums);
                    for (i, tile) in tiles.clone().enumerate() {
                        for (t, of_channels) in pair.clone().enumerate() {
                            self.finish(tile, of_channels, sums, (i, t));
                        }
                    }
                }
            });
        });
    }

    /// The first pixel of a tile.
    fn corner(&self, tile: usize) -> (usize, usize) {
        (tile / self.across * OUT, tile % self.across * OUT)
    }

    /// Transforms the inputs of a tile to the beginning of each place of `v`.
    fn transform(&self, tile: usize, v: &mut [bf16], place: usize) {
        let (x, channels) = (self.x, self.winograd.channels);
        let (top, left) = self.corner(tile);
        assert!(v.len() >= (PLACES - 1) * place + channels);
        // SAFETY: the machine has the unit; the view lies within the arena with a
        // frame of at least 1; `v` has a tile's channels at each of the places
        // (asserted).
        unsafe {
            let input = Input {
                first: self
                    .arena
                    .values
                    .at(x.at(top, left) - x.row - x.pixel, channels)
                    .cast_const(),
                row: x.row,
                pixel: x.pixel,
                rows: x.height + 2 - top,
                columns: x.width + 2 - left,
                channels,
                to: v.as_mut_ptr(),
                place,
            };
            wide::run(self.winograd.unit, &input);
        }
    }

    /// The sums at all places of `count` tiles, by a pair of tiles of output
    /// channels.
    fn multiply(&self, v: &[bf16], count: usize, tiles: &Range<usize>, sums: &mut [Sums; PLACES]) {
        let Winograd {
            channels,
            depth,
            unit,
            ..
        } = *self.winograd;
        let place = self.winograd.place();
        assert!(v.len() >= PLACES * place);
        let product = Product {
            unit,
            offsets: &self.winograd.offsets,
            depth,
            step: channels,
        };
        let places: [usize; TOGETHER] = std::array::from_fn(|i| i * channels);
        let filters = tiles.len() * TILE;
        let before = PLACES * tiles.start * TILE * channels;
        let weights = &self.winograd.weights[before..][..PLACES * filters * channels];
        let weights = weights.chunks_exact(filters * channels);
        for ((sums, weights), v) in sums.iter_mut().zip(weights).zip(v.chunks_exact(place)) {
            // SAFETY: within a session; each place has room for all pixels of
            // two strips, whether they are transformed tiles or not.
            unsafe { product.add_up(v.as_ptr(), &places[..count], weights, filters, sums) };
        }
    }

    /// Writes the outputs of a tile, of one tile of channels: numbers `i` and
    /// `t` in `sums`.
    fn finish(
        &self,
        tile: usize,
        of_channels: usize,
        sums: &[Sums; PLACES],
        (i, t): (usize, usize),
    ) {
        let (top, left) = self.corner(tile);
        let channel = of_channels * TILE;
        let bias = self.winograd.bias[channel..]
            .first_chunk()
            .expect("whole tiles");
        // SAFETY: the machine has the unit; a tile alone writes its outputs, and
        // both views lie within the arena.
        unsafe {
            let address = |view: &View| self.arena.values.at(view.at(top, left) + channel, TILE);
            let output = Output {
                sums,
                pixel: i,
                tile: t,
                bias,
                y: (address(self.y), self.y.row, self.y.pixel),
                residual: self
                    .residual
                    .map(|r| (address(r).cast_const(), r.row, r.pixel)),
                rows: self.y.height - top,
                columns: self.y.width - left,
                relu: self.winograd.relu,
            };
            wide::run(self.winograd.unit, &output);
        }
    }
}
