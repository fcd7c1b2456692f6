//! Convolution, channels last, directly: no window is written out.

use super::tile::{End, Taps, Width, compute};
use super::{Arena, Element, GROUP, Segment, View, for_each};
use crate::nn::kernels::simd::Level;
use crate::nn::kernels::team::Team;

/// Bytes of weights that are used for some rows before the next rows: a share
/// of the L2 cache. A convolution with more goes over many rows with the tiles
/// of channels whose weights are as many, then with the next ones.
const CACHED_WEIGHTS: usize = 384 * 1024;

/// Output rows between one use of weights and the next.
const ROWS: usize = 4;
/// Output rows of a task whose weights are not all that there are.
const MANY_ROWS: usize = 16;

/// The sizes of a convolution with square kernels, and what follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::nn) struct ConvSpec {
    pub kernel: usize,
    pub stride: usize,
    pub padding: usize,
    pub relu: bool,
}

impl ConvSpec {
    /// Panics unless `y` has the size and `channels` values a pixel that this
    /// makes of `x`, which has the wanted segments and a frame wide enough.
    pub(super) fn assert_fits(&self, x: &View, inputs: &[Segment], y: &View, channels: usize) {
        let outputs = |side: usize| (side + 2 * self.padding - self.kernel) / self.stride + 1;
        assert_eq!((y.height, y.width), (outputs(x.height), outputs(x.width)));
        assert_eq!(x.segments, inputs);
        assert_eq!(y.span(), channels);
        assert!(x.frame >= self.padding);
    }
}

/// Some output channels and where their weights begin.
#[derive(Debug, Clone, Copy)]
struct Block {
    channel: usize,
    width: Width,
    weights: usize,
}

/// A convolution whose weights are laid out in the order of their use.
#[derive(Debug, Clone)]
pub(in crate::nn) struct Convolution {
    spec: ConvSpec,
    level: Level,
    inputs: Vec<Segment>,
    blocks: Vec<Block>,
    weights: Vec<f32>,
    bias: Vec<f32>,
}

/// Output channels with fillers, cut into tiles.
pub(super) fn widths(channels: usize, level: Level) -> Vec<(usize, Width)> {
    let padded = channels.next_multiple_of(GROUP);
    let mut widths = Vec::new();
    let mut channel = 0;
    while channel < padded {
        let width = Width::for_channels(padded - channel, level);
        widths.push((channel, width));
        channel += width.channels(level);
    }
    widths
}

/// One value a channel, fillers 0.
pub(super) fn padded_bias(bias: &[f32]) -> Vec<f32> {
    let mut padded = bias.to_vec();
    padded.resize(bias.len().next_multiple_of(GROUP), 0.0);
    padded
}

/// The arena, once all views are known to lie within it, `y` apart from the
/// others, and `residual` to be of the size of `y`.
pub(super) fn checked<T: Element>(
    arena: &mut [T],
    x: &View,
    y: &View,
    residual: Option<&View>,
) -> Arena<T> {
    y.assert_within(arena.len());
    for read in [Some(x), residual].into_iter().flatten() {
        read.assert_within(arena.len());
        y.assert_apart(read);
    }
    if let Some(r) = residual {
        assert_eq!((r.height, r.width), (y.height, y.width));
        assert_eq!(r.segments, y.segments);
    }
    Arena::new(arena)
}

impl Convolution {
    /// `weights` is `[filters, channels, k, k]`, `bias` `[filters]`; `inputs`
    /// are the segments of the image it will read.
    pub fn new(
        spec: ConvSpec,
        weights: &[f32],
        bias: &[f32],
        inputs: &[Segment],
        level: Level,
    ) -> Self {
        let channels: usize = inputs.iter().map(|s| s.channels).sum();
        let taps = spec.kernel * spec.kernel;
        assert_eq!(weights.len(), bias.len() * channels * taps);
        assert!(Level::available().contains(&level));
        let mut packed = Vec::new();
        let mut blocks = Vec::new();
        for (first, width) in widths(bias.len(), level) {
            blocks.push(Block {
                channel: first,
                width,
                weights: packed.len(),
            });
            for tap in 0..taps {
                for channel in 0..channels {
                    packed.extend((first..first + width.channels(level)).map(|filter| {
                        let at = (filter * channels + channel) * taps + tap;
                        if filter < bias.len() {
                            weights[at]
                        } else {
                            0.0
                        }
                    }));
                }
            }
        }
        Self {
            spec,
            level,
            inputs: inputs.to_vec(),
            blocks,
            weights: packed,
            bias: padded_bias(bias),
        }
    }

    /// Computes `y` from `x`, adding `residual` before ReLU.
    ///
    /// # Panics
    /// If sizes do not fit, a view lies outside the arena, or `y` overlaps
    /// what is read.
    pub fn run(
        &self,
        arena: &mut [f32],
        x: &View,
        y: &View,
        residual: Option<&View>,
        team: Option<&Team>,
    ) {
        let ConvSpec {
            kernel,
            stride,
            padding,
            relu,
        } = self.spec;
        self.spec.assert_fits(x, &self.inputs, y, self.bias.len());
        let arena = checked(arena, x, y, residual);
        let taps = Taps {
            kernel,
            row: x.row,
            pixel: x.pixel,
            step: stride * x.pixel,
            segments: &x.segments,
        };
        let corner = x.start - padding * (x.row + x.pixel);
        let rows_of = |block: Block, rows: std::ops::Range<usize>| {
            let channels = block.width.channels(self.level);
            let widest = block.width.pixels(self.level);
            // Tiles of about one size: a narrow last one would be slow.
            let tile = y.width.div_ceil(y.width.div_ceil(widest));
            for row in rows {
                for column in (0..y.width).step_by(tile) {
                    let pixels = tile.min(y.width - column);
                    let from = corner + row * stride * x.row + column * stride * x.pixel;
                    let to = y.at(row, column) + block.channel;
                    let reach = (pixels - 1) * y.pixel + channels;
                    // SAFETY: the views lie within the arena (asserted above);
                    // the taps lie in the frame or the image, as the output's
                    // size follows from the input's. A task alone writes its
                    // rows of its channels, and reads what this step does not
                    // write.
                    unsafe {
                        let end = End {
                            bias: Some(self.bias[block.channel..][..channels].as_ptr()),
                            y: arena.values.at(to, reach),
                            y_pixel: y.pixel,
                            residual: residual.map(|r| {
                                let at = r.at(row, column) + block.channel;
                                let reach = (pixels - 1) * r.pixel + channels;
                                (arena.values.at(at, reach).cast_const(), r.pixel)
                            }),
                            relu,
                        };
                        let first = arena.values.at(from, 1);
                        let weights = self.weights[block.weights..].as_ptr();
                        let kind = (self.level, block.width);
                        compute(kind, pixels, &taps, first, weights, &end);
                    }
                }
            }
        };
        let all = self.blocks.len();
        let (rows, groups) = self.tasks(y.height, team);
        let parts = y.height.div_ceil(rows);
        for_each(parts * groups, team, |task| {
            let (part, group) = (task % parts, task / parts);
            let last = y.height.min((part + 1) * rows);
            let blocks = &self.blocks[group * all / groups..(group + 1) * all / groups];
            for begin in (part * rows..last).step_by(ROWS) {
                for block in blocks {
                    rows_of(*block, begin..last.min(begin + ROWS));
                }
            }
        });
    }

    /// How many output rows a task has, and how many tasks share the channels.
    fn tasks(&self, height: usize, team: Option<&Team>) -> (usize, usize) {
        let bytes = self.weights.len() * size_of::<f32>();
        if bytes <= CACHED_WEIGHTS {
            return (ROWS, 1);
        }
        // As many for each thread.
        let threads = team.map_or(1, Team::members);
        let groups = bytes.div_ceil(CACHED_WEIGHTS).next_multiple_of(threads);
        let rows = height.div_ceil(height.div_ceil(MANY_ROWS));
        (rows, groups.min(self.blocks.len()))
    }
}
