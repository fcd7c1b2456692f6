//! Convolution on bfloat16 values, channels last: numbers with the exponent of
//! `f32` and 8 bits of fraction, multiplied in pairs and summed in `f32`.
//!
//! There is one loop order for all units (`unit.rs`): a product adds up, for
//! two strips of 16 output pixels by one or two tiles of 16 output channels,
//! all taps of all input channels. Nothing is transformed or written out: the
//! rows of a matrix are the pixels as they lie in the arena.
//!
//! Strips. A strip is 16 neighbouring pixels of the input's rows (of every
//! second one at stride 2). On small images a strip for each output row would
//! be mostly empty; there the strips go on over the ends of rows, and what
//! falls into the frame is computed but not kept.
//!
//! Blocks. The taps of a kernel's row lie side by side in memory, so that a
//! row of taps is one run of values, cut into equal blocks of at most
//! [`DEPTH`]. Where the image is part of a concatenation, each tap is a run.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod amx;
#[cfg(target_arch = "x86_64")]
mod dot;
mod finish;
mod plain;
mod unit;

pub(in crate::nn) use unit::Unit;

use super::conv::{ConvSpec, checked, padded_bias};
use super::{GROUP, Segment, View, for_each};
use finish::{End, finish};
use half::bf16;
use std::ops::Range;
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

/// Which of a strip's pixels are output pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    /// The first one's place in the strip.
    first: usize,
    pixels: usize,
    row: usize,
    column: usize,
}

/// How an output of `height` x `width` is cut into strips.
#[derive(Debug, Clone, Copy)]
struct Strips {
    height: usize,
    width: usize,
    /// Pixels from a row to the next in the input, in steps of the stride.
    pitch: usize,
    /// Strips of a row; `None` where they go on over the ends of rows.
    per_row: Option<usize>,
}

impl Strips {
    fn new((height, width): (usize, usize), pitch: usize) -> Self {
        let per_row = width.div_ceil(STRIP);
        let mut strips = Self {
            height,
            width,
            pitch,
            per_row: None,
        };
        if per_row * height <= strips.count() {
            strips.per_row = Some(per_row);
        }
        strips
    }

    fn count(&self) -> usize {
        match self.per_row {
            Some(per_row) => per_row * self.height,
            None => ((self.height - 1) * self.pitch + self.width).div_ceil(STRIP),
        }
    }

    /// Place of a strip's first pixel, counted through the input's rows.
    fn place(&self, strip: usize) -> usize {
        match self.per_row {
            Some(per_row) => strip / per_row * self.pitch + strip % per_row * STRIP,
            None => strip * STRIP,
        }
    }

    /// The output pixels of a strip.
    fn runs(&self, strip: usize) -> impl Iterator<Item = Run> + use<> {
        let Self {
            height,
            width,
            pitch,
            per_row,
        } = *self;
        let place = self.place(strip);
        let last = match per_row {
            Some(_) => place / pitch,
            None => (place + STRIP - 1) / pitch,
        };
        (place / pitch..=last.min(height - 1)).filter_map(move |row| {
            let from = place.max(row * pitch);
            let to = (place + STRIP).min(row * pitch + width);
            (from < to).then(|| Run {
                first: from - place,
                pixels: to - from,
                row,
                column: from - row * pitch,
            })
        })
    }
}

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
fn depth(values: usize) -> usize {
    (1..=DEPTH / 2)
        .rev()
        .map(|pairs| 2 * pairs)
        .find(|depth| values.is_multiple_of(*depth))
        .expect("2 divides a multiple of 8")
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
        let depth = depth(rows[0].values.len());
        let weight = |filter: usize, value: Option<(usize, usize)>| match value {
            Some((tap, channel)) if filter < bias.len() => {
                bf16::from_f32(weights[(filter * channels + channel) * taps + tap])
            }
            _ => bf16::ZERO,
        };
        let mut packed = Vec::new();
        for tiles in tile_pairs(bias.len()) {
            for block in rows.iter().flat_map(|row| row.values.chunks_exact(depth)) {
                for tile in tiles.clone() {
                    for pair in block.chunks_exact(2) {
                        for filter in tile * TILE..(tile + 1) * TILE {
                            packed.extend(pair.iter().map(|value| weight(filter, *value)));
                        }
                    }
                }
            }
        }
        let blocks_of = |row: &Row| {
            let offset = row.offset;
            (0..row.values.len() / depth).map(move |block| offset + block * depth)
        };
        Self {
            spec,
            unit,
            inputs: x.segments.clone(),
            offsets: rows.iter().flat_map(blocks_of).collect(),
            depth,
            weights: packed,
            bias: padded_bias(bias),
        }
    }

    /// Index after the last value that [`Convolution::run`] may read: strips
    /// have 16 pixels, whether so many are left or not.
    fn reach(&self, x: &View, strips: &Strips) -> usize {
        let last = strips.place(strips.count() - 1) + STRIP - 1;
        let blocks = self.offsets.last().expect("a kernel has taps") + self.depth;
        self.corner(x) + last * self.step(x) + blocks
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
        parallel: bool,
    ) {
        self.spec.assert_fits(x, &self.inputs, y, self.bias.len());
        let strips = Strips::new((y.height, y.width), x.row / x.pixel);
        let reach = self.reach(x, &strips);
        assert!(reach <= arena.len());
        assert!(y.extent().0 >= reach || y.extent().1 <= x.extent().1 + x.pixel - x.span());
        let arena = checked(arena, x, y, residual);
        let (corner, step) = (self.corner(x), self.step(x));
        let product = Product {
            unit: self.unit,
            offsets: &self.offsets,
            depth: self.depth,
            step,
        };
        // The output pixels of a strip, as far as they exist.
        let keep = |strip: usize, tile: usize, sums: &[[f32; TILE]; STRIP]| {
            let channel = tile * TILE;
            let channels = TILE.min(self.bias.len() - channel);
            for run in strips.runs(strip) {
                let address = |view: &View| {
                    let at = view.at(run.row, run.column) + channel;
                    let reach = (run.pixels - 1) * view.pixel + channels;
                    // SAFETY: the view lies within the arena.
                    (unsafe { arena.values.at(at, reach) }, view.pixel)
                };
                let end = End {
                    bias: &self.bias[channel..][..channels],
                    y: address(y),
                    residual: residual.map(address),
                    relu: self.spec.relu,
                };
                // SAFETY: a task alone writes its strips of its channels, and
                // reads what this step does not write.
                unsafe { finish(self.unit, &end, &sums[run.first..][..run.pixels]) };
            }
        };
        let block = self.depth * TILE * self.offsets.len();
        let part = |range: Range<usize>, tiles: Range<usize>| {
            let mut sums = Sums::default();
            let weights = &self.weights[tiles.start * block..tiles.end * block];
            for first in range.clone().step_by(2) {
                // A last one without a partner is computed twice.
                let second = (first + 1).min(range.end - 1);
                let at = [first, second].map(|strip| corner + strips.place(strip) * step);
                // SAFETY: strips end within the arena, and nothing of what
                // they read is written in this step (both asserted above).
                unsafe {
                    let x = at.map(|at| arena.values.at(at, reach - at).cast_const());
                    product.add_up(x, weights, tiles.len(), &mut sums);
                }
                for (sums, strip) in sums.0.iter().zip(first..=second) {
                    for (sums, tile) in sums.iter().zip(tiles.clone()) {
                        keep(strip, tile, sums);
                    }
                }
            }
        };
        let pairs = tile_pairs(self.bias.len());
        if self.weights.len() * size_of::<bf16>() <= CACHED_WEIGHTS {
            for_each(strips.count().div_ceil(STRIPS), parallel, |task| {
                let range = task * STRIPS..strips.count().min((task + 1) * STRIPS);
                self.unit.session(self.depth, || {
                    for tiles in &pairs {
                        part(range.clone(), tiles.clone());
                    }
                });
            });
        } else {
            let parts = strips.count().div_ceil(MANY_STRIPS);
            for_each(parts * pairs.len(), parallel, |task| {
                let first = task % parts * MANY_STRIPS;
                let range = first..strips.count().min(first + MANY_STRIPS);
                let tiles = pairs[task / parts].clone();
                self.unit.session(self.depth, || part(range, tiles));
            });
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
