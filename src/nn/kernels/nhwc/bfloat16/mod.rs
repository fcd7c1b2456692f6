//! Convolution on bfloat16 values, channels last: numbers with the exponent of
//! `f32` and 8 bits of fraction, multiplied in pairs and summed in `f32`.
//!
//! There is one loop order for all units (`unit.rs`): a product adds up, for
//! two strips of 16 output pixels by one or two tiles of 16 output channels,
//! all taps of all input channels. Nothing is written out: the rows of a matrix
//! are the pixels as they lie in the arena. (3 x 3 kernels have another way,
//! whose pixels are transformed tiles: `winograd/`.)
//!
//! Strips. For AMX a strip is 16 neighbouring pixels of the input's rows (of
//! every second one at stride 2). On small images a strip for each output row
//! would be mostly empty; there the strips go on over the ends of rows, and
//! what falls into the frame is computed but not kept. AVX512-BF16 reads each
//! pixel from its own address: its strips are 16 output pixels in turn, and
//! nothing is computed in vain. (The definition follows AMX.)
//!
//! Blocks. The taps of a kernel's row lie side by side in memory, so that a
//! row of taps is one run of values, cut into equal blocks of at most
//! [`DEPTH`]. Where the image is part of a concatenation, each tap is a run.
//! Blocks of fillers alone are left out.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod amx;
#[cfg(target_arch = "x86_64")]
mod dot;
mod finish;
mod plain;
mod strips;
mod unit;
mod wide;
mod winograd;

pub(in crate::nn) use unit::Unit;
pub(in crate::nn) use winograd::Winograd;

use super::conv::{ConvSpec, checked, padded_bias};
use super::{Arena, GROUP, Segment, View, for_each};
use crate::nn::kernels::team::Team;
use finish::{End, finish};
use half::bf16;
use std::ops::Range;
use strips::Strips;
use unit::{Product, Sums};

/// Pixels of a strip.
const STRIP: usize = 16;
/// Output channels of a tile.
const TILE: usize = 16;
/// The most values of a block.
const DEPTH: usize = 32;

/// Bytes of weights up to which all tiles of channels are computed for some
/// strips before the next strips: a share of the L2 cache.
const CACHED_WEIGHTS: usize = 384 * 1024;
/// Strips of a task.
const STRIPS: usize = 16;
/// ... where each tile of channels goes over all strips.
const MANY_STRIPS: usize = 64;

/// A convolution whose weights are laid out in the order of their use: by
/// pairs of tiles, by blocks, by tiles, by pairs of values, by channels.
#[derive(Debug, Clone)]
pub(in crate::nn) struct Convolution {
    spec: ConvSpec,
    unit: Unit,
    inputs: Vec<Segment>,
    /// Where each block begins, from a strip's first tap.
    offsets: Vec<usize>,
    /// Values of a block.
    depth: usize,
    weights: Vec<bf16>,
    bias: Vec<f32>,
}

/// One run of values that the taps of a kernel make, and what their weights
/// are: `(tap, channel)`, none for fillers.
struct Row {
    offset: usize,
    values: Vec<Option<(usize, usize)>>,
}

/// The runs of a kernel over an image that lies like `x`.
fn rows(kernel: usize, x: &View) -> Vec<Row> {
    let mut pixel: Vec<Option<usize>> = vec![None; x.span()];
    let mut channel = 0;
    for segment in &x.segments {
        for place in &mut pixel[segment.offset..][..segment.channels] {
            *place = Some(channel);
            channel += 1;
        }
    }
    let taps_of = |row: usize, taps: Range<usize>| Row {
        offset: row * x.row + taps.start * x.pixel,
        values: taps
            .flat_map(|tap| {
                let tap = row * kernel + tap;
                pixel.iter().map(move |channel| channel.map(|c| (tap, c)))
            })
            .collect(),
    };
    // Whole pixels, so that the next one's values follow.
    let dense = x.pixel == x.span();
    let run = if dense { kernel } else { 1 };
    (0..kernel)
        .flat_map(|row| {
            (0..kernel)
                .step_by(run)
                .map(move |tap| (row, tap..tap + run))
        })
        .map(|(row, taps)| taps_of(row, taps))
        .collect()
}

/// The largest even number up to [`DEPTH`] that divides a run of `values`, a
/// multiple of [`GROUP`].
fn largest_depth(values: usize) -> usize {
    (1..=DEPTH / 2)
        .rev()
        .map(|pairs| 2 * pairs)
        .find(|depth| values.is_multiple_of(*depth))
        .expect("2 divides a multiple of 8")
}

fn is_filler(values: &[Option<(usize, usize)>]) -> bool {
    values.iter().all(Option::is_none)
}

/// Values of a block for this unit: single pairs, where that leaves fillers out
/// and a block is not an instruction.
fn depth(rows: &[Row], unit: Unit) -> usize {
    let has_fillers = rows[0].values.chunks_exact(2).any(is_filler);
    match unit {
        Unit::Dot if has_fillers => 2,
        _ => largest_depth(rows[0].values.len()),
    }
}

impl Convolution {
    /// `weights` is `[filters, channels, k, k]`, `bias` `[filters]`; `x` lies
    /// like the image it will read.
    pub fn new(spec: ConvSpec, weights: &[f32], bias: &[f32], x: &View, unit: Unit) -> Self {
        let channels = x.channels();
        let taps = spec.kernel * spec.kernel;
        assert_eq!(weights.len(), bias.len() * channels * taps);
        assert!(Unit::available().contains(&unit));
        let rows = rows(spec.kernel, x);
        let depth = depth(&rows, unit);
        let weight = |filter: usize, value: Option<(usize, usize)>| match value {
            Some((tap, channel)) if filter < bias.len() => {
                bf16::from_f32(weights[(filter * channels + channel) * taps + tap])
            }
            _ => bf16::ZERO,
        };
        let blocks: Vec<(usize, &[_])> = rows
            .iter()
            .flat_map(|row| {
                let at = (row.offset..).step_by(depth);
                at.zip(row.values.chunks_exact(depth))
            })
            .filter(|(_, values)| !is_filler(values))
            .collect();
        let mut packed = Vec::new();
        for tiles in tile_pairs(bias.len()) {
            for (_, block) in &blocks {
                for tile in tiles.clone() {
                    for pair in block.chunks_exact(2) {
                        for filter in tile * TILE..(tile + 1) * TILE {
                            packed.extend(pair.iter().map(|value| weight(filter, *value)));
                        }
                    }
                }
            }
        }
        Self {
            spec,
            unit,
            inputs: x.segments.clone(),
            offsets: blocks.iter().map(|(offset, _)| *offset).collect(),
            depth,
            weights: packed,
            bias: padded_bias(bias),
        }
    }

    /// Index after the last value that [`Convolution::run`] may read: strips for
    /// AMX have 16 pixels, whether so many are left or not.
    fn reach(&self, x: &View, strips: &Strips) -> usize {
        let blocks = self.offsets.last().expect("a kernel has taps") + self.depth;
        self.corner(x) + strips.last() * self.step(x) + blocks
    }

    fn corner(&self, x: &View) -> usize {
        x.start - self.spec.padding * (x.row + x.pixel)
    }

    fn step(&self, x: &View) -> usize {
        self.spec.stride * x.pixel
    }

    /// Computes `y` from `x`, adding `residual` before ReLU. Memory of
    /// [`surplus`] pixels after `x` is read, too, but makes no difference.
    ///
    /// # Panics
    /// If sizes do not fit, a view lies outside the arena, or `y` overlaps
    /// what is read.
    pub fn run(
        &self,
        arena: &mut [bf16],
        x: &View,
        y: &View,
        residual: Option<&View>,
        team: Option<&Team>,
    ) {
        self.spec.assert_fits(x, &self.inputs, y, self.bias.len());
        let strips = Strips::new((y.height, y.width), x.row / x.pixel, self.unit.scatters());
        let reach = self.reach(x, &strips);
        assert!(reach <= arena.len());
        assert!(y.extent().0 >= reach || y.extent().1 <= x.extent().1 + x.pixel - x.span());
        let pass = Pass {
            convolution: self,
            product: Product {
                unit: self.unit,
                offsets: &self.offsets,
                depth: self.depth,
                step: self.step(x),
            },
            strips,
            reach,
            arena: checked(arena, x, y, residual),
            corner: self.corner(x),
            y,
            residual,
        };
        let pairs = tile_pairs(self.bias.len());
        let count = strips.count();
        if self.weights.len() * size_of::<bf16>() <= CACHED_WEIGHTS {
            for_each(count.div_ceil(STRIPS), team, |i| {
                pass.run(i * STRIPS..count.min((i + 1) * STRIPS), &pairs);
            });
        } else {
            let parts = count.div_ceil(MANY_STRIPS);
            for_each(parts * pairs.len(), team, |i| {
                let first = i % parts * MANY_STRIPS;
                let pair = &pairs[i / parts..=i / parts];
                pass.run(first..count.min(first + MANY_STRIPS), pair);
            });
        }
    }
}

/// A convolution at work on one image. All that it reads lies within the arena,
/// and nothing of it is written in this step.
struct Pass<'a> {
    convolution: &'a Convolution,
    product: Product<'a>,
    strips: Strips,
    /// Index of the first pixel's first tap.
    corner: usize,
    /// Index after the last value that is read.
    reach: usize,
    arena: Arena<bf16>,
    y: &'a View,
    residual: Option<&'a View>,
}

impl Pass<'_> {
    /// At most [`MANY_STRIPS`] strips by all these tiles.
    fn run(&self, strips: Range<usize>, pairs: &[Range<usize>]) {
        let mut places = [0; MANY_STRIPS * STRIP];
        let places = self
            .strips
            .places(strips.clone(), self.product.step, &mut places);
        self.product.unit.session(self.product.depth, || {
            for tiles in pairs {
                self.add_up(strips.clone(), places, tiles.clone());
            }
        });
    }

    /// Some strips, which lie at `places`, by one or two tiles.
    fn add_up(&self, strips: Range<usize>, places: &[usize], tiles: Range<usize>) {
        let Convolution { weights, bias, .. } = self.convolution;
        let channels = bias.len().min(tiles.end * TILE) - tiles.start * TILE;
        let of_tile = self.product.depth * TILE * self.product.offsets.len();
        let weights = &weights[tiles.start * of_tile..tiles.end * of_tile];
        let mut sums = Sums::default();
        for (first, places) in strips.step_by(2).zip(places.chunks(2 * STRIP)) {
            // SAFETY: the blocks end within the arena, and nobody writes them.
            unsafe {
                let x = self.arena.values.at(self.corner, self.reach - self.corner);
                let x = x.cast_const();
                self.product.add_up(x, places, weights, channels, &mut sums);
            }
            let count = places.len().div_ceil(STRIP);
            for (sums, strip) in sums.0.iter().zip(first..first + count) {
                for (sums, tile) in sums.iter().zip(tiles.clone()) {
                    self.finish(strip, tile, sums);
                }
            }
        }
    }

    /// Writes the output pixels of a strip, as far as they exist.
    fn finish(&self, strip: usize, tile: usize, sums: &[[f32; TILE]; STRIP]) {
        let Convolution { bias, spec, .. } = self.convolution;
        let channel = tile * TILE;
        let channels = TILE.min(bias.len() - channel);
        for run in self.strips.runs(strip) {
            let address = |view: &View| {
                let at = view.at(run.row, run.column) + channel;
                let reach = (run.pixels - 1) * view.pixel + channels;
                // SAFETY: the view lies within the arena.
                (unsafe { self.arena.values.at(at, reach) }, view.pixel)
            };
            let end = End {
                bias: &bias[channel..][..channels],
                y: address(self.y),
                residual: self.residual.map(address),
                relu: spec.relu,
            };
            // SAFETY: a task alone writes its strips of its channels, and
            // reads what this step does not write.
            unsafe { finish(self.product.unit, &end, &sums[run.first..][..run.pixels]) };
        }
    }
}

/// Pixels after an image that a strip may read, for a reader of this stride.
pub(in crate::nn) fn surplus(stride: usize) -> usize {
    (STRIP - 1) * stride
}

/// The tiles of `filters` output channels, two by two.
fn tile_pairs(filters: usize) -> Vec<Range<usize>> {
    let tiles = filters.next_multiple_of(GROUP).div_ceil(TILE);
    (0..tiles)
        .step_by(2)
        .map(|first| first..tiles.min(first + 2))
        .collect()
}
