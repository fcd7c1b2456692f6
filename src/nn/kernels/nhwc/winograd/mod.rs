//! 3 x 3 convolution by Winograd's F(4 x 4, 3 x 3): 36 products for 16
//! outputs in place of 144.
//!
//! Input tiles of 6 x 6 pixels are transformed, `V = B^T d B`; for each of the
//! 36 places, a matrix product over the channels, `M = U V`; back to 4 x 4
//! outputs, `Y = A^T M A`. The weights are transformed once, `U = G g G^T`.
//!
//! A. Lavin, S. Gray: *Fast algorithms for convolutional neural networks*,
//! CVPR 2016, section 4.3 (interpolation points 0, +-1, +-2, infinity). The
//! rounding error is some ten times the direct sum's, 1e-6 of the values.

use super::conv::{ConvSpec, checked, padded_bias, widths};
use super::tile::{End, Taps, Width, compute, lanes};
use super::{Arena, Segment, View, for_each};
use crate::nn::kernels::buffer::{Shared, with_scratch};
use crate::nn::kernels::simd::Level;
use crate::nn::kernels::team::Team;
use crate::nn::kernels::vector;
use rayon::prelude::*;
use transforms::{Input, Kernels, Output, Places, TOGETHER, Tile};

mod transforms;
pub(in crate::nn::kernels) mod weights;

/// Outputs a side of a tile.
pub(in crate::nn::kernels) const OUT: usize = 4;
/// Inputs a side of a tile.
const IN: usize = 6;
/// Places of a transformed tile.
const PLACES: usize = IN * IN;

/// Values left free between places, so that the 36 of a tile do not compete for
/// the same lines of a cache.
const APART: usize = 16;

/// Tiles along a side of `outputs`.
pub(in crate::nn::kernels) fn tiles(outputs: usize) -> usize {
    outputs.div_ceil(OUT)
}

/// Fewer transformed weights are not worth several threads.
const PARALLEL: usize = 64 * 1024;

/// `U = G g G^T` of the kernels from `channel` to [`TOGETHER`] filters.
fn transformed_kernels(
    weights: &[f32],
    channels: usize,
    first: usize,
    channel: usize,
) -> [[f32; TOGETHER]; PLACES] {
    let mut kernels: Kernels = [[0.0; TOGETHER]; 9];
    for (tap, values) in kernels.iter_mut().enumerate() {
        for (i, value) in values.iter_mut().enumerate() {
            let kernel = (first + i) * channels + channel;
            *value = f64::from(weights[kernel * 9 + tap]);
        }
    }
    transforms::kernels(&kernels)
}

/// Some output channels.
#[derive(Debug, Clone, Copy)]
struct Block {
    channel: usize,
    width: Width,
}

/// A convolution with transformed weights.
#[derive(Debug, Clone)]
pub(in crate::nn) struct Winograd {
    relu: bool,
    level: Level,
    channels: usize,
    blocks: Vec<Block>,
    /// `[36, blocks, channels, width]`.
    weights: Vec<f32>,
    /// Values from one place's weights to the next one's.
    place: usize,
    bias: Vec<f32>,
}

impl Winograd {
    /// Whether it can be done: by whole vectors alone.
    pub fn applies(spec: ConvSpec, inputs: &[Segment], filters: usize, level: Level) -> bool {
        let lanes = lanes(level);
        let whole = inputs.iter().all(|s| s.channels.is_multiple_of(lanes));
        (spec.kernel, spec.stride, spec.padding) == (3, 1, 1)
            && whole
            && filters.is_multiple_of(lanes)
    }

    /// Whether it [`Winograd::applies`], and is faster than the direct sum, for
    /// one image of `height` rows.
    pub fn pays(
        spec: ConvSpec,
        inputs: &[Segment],
        filters: usize,
        (height, width): (usize, usize),
        level: Level,
    ) -> bool {
        let lanes = lanes(level);
        let channels: usize = inputs.iter().map(|s| s.channels).sum();
        Self::applies(spec, inputs, filters, level)
            && channels >= 2 * lanes
            && filters >= 2 * lanes
            && height >= 16
            && width >= 16
            // Transformed weights that leave the cache cost more than is won.
            && channels * filters <= 256 * 256
    }

    /// As for [`super::conv::Convolution::new`], where [`Winograd::pays`].
    pub fn new(spec: ConvSpec, weights: &[f32], bias: &[f32], level: Level) -> Self {
        let channels = weights.len() / (bias.len() * 9);
        assert_eq!(weights.len(), bias.len() * channels * 9);
        assert!(Level::available().contains(&level));
        assert!(channels.is_multiple_of(lanes(level)) && bias.len().is_multiple_of(lanes(level)));
        let place = bias.len() * channels;
        let blocks: Vec<_> = widths(bias.len(), level)
            .into_iter()
            .map(|(channel, width)| Block { channel, width })
            .collect();
        let mut transformed = vec![0.0; PLACES * place];
        let shared = Shared::over(&mut transformed);
        let work = |block: &Block| {
            let (first, filters) = (block.channel, block.width.channels(level));
            for begin in (0..channels).step_by(TOGETHER) {
                let some = begin..channels.min(begin + TOGETHER);
                let run = some.len() * filters;
                // Put together here: the places lie so far apart that lines of
                // the cache written piecemeal would be fetched again and again.
                with_scratch(PLACES * run, |scratch| {
                    for (c, channel) in some.enumerate() {
                        for group in (0..filters).step_by(TOGETHER) {
                            let u = transformed_kernels(weights, channels, first + group, channel);
                            for (p, values) in u.iter().enumerate() {
                                let at = p * run + c * filters + group;
                                scratch[at..][..TOGETHER].copy_from_slice(values);
                            }
                        }
                    }
                    for (p, values) in scratch.chunks_exact(run).enumerate() {
                        let at = p * place + first * channels + begin * filters;
                        // SAFETY: each block of filters has places of its own.
                        let to = unsafe { shared.slice(at, run) };
                        for (to, value) in to.iter_mut().zip(values) {
                            to.write(*value);
                        }
                    }
                });
            }
        };
        if PLACES * place >= PARALLEL {
            blocks.par_iter().for_each(work);
        } else {
            blocks.iter().for_each(work);
        }
        Self {
            relu: spec.relu,
            level,
            channels,
            blocks,
            weights: transformed,
            place,
            bias: padded_bias(bias),
        }
    }

    /// Tiles that are transformed together: some whole tiles of pixels of the
    /// matrix product, within a share of the L2 cache; fewer where that gives
    /// each thread as many.
    fn tiles_together(&self, tiles: usize, threads: usize) -> usize {
        let pixels = 2 * Width::Two.pixels(self.level).max(6);
        let cached = (96 * 1024) / (self.channels.max(self.bias.len()) * pixels * size_of::<f32>());
        let groups = tiles.div_ceil(pixels * cached.clamp(1, 4));
        let even = groups.next_multiple_of(threads).min(tiles / pixels);
        tiles.div_ceil(even.max(groups))
    }

    /// As for [`super::conv::Convolution::run`].
    ///
    /// # Panics
    /// As there.
    pub fn run(
        &self,
        arena: &mut [f32],
        x: &View,
        y: &View,
        residual: Option<&View>,
        team: Option<&Team>,
    ) {
        self.run_all(arena, &[(x, y)], residual, team);
    }

    /// As [`Winograd::run`], from several images to as many, to each of which
    /// `residual` is added.
    ///
    /// # Panics
    /// As there, or without an image.
    pub fn run_all(
        &self,
        arena: &mut [f32],
        images: &[(&View, &View)],
        residual: Option<&View>,
        team: Option<&Team>,
    ) {
        assert!(!images.is_empty());
        let mut tiles = Vec::new();
        for (image, &(x, y)) in images.iter().enumerate() {
            assert_eq!((y.height, y.width), (x.height, x.width));
            assert_eq!((x.span(), y.span()), (self.channels, self.bias.len()));
            assert!(x.frame >= 1);
            for (other, _) in images {
                checked(arena, other, y, residual);
            }
            for top in (0..y.height).step_by(OUT) {
                tiles.extend((0..y.width).step_by(OUT).map(|left| (image, top, left)));
            }
        }
        let pass = Pass {
            winograd: self,
            arena: Arena::new(arena),
            images,
            residual,
        };
        let threads = team.map_or(1, Team::members);
        let together = self.tiles_together(tiles.len(), threads);
        let groups = tiles.len().div_ceil(together);
        // Too few groups for all threads: output channels are shared out, too.
        let parts = threads.div_ceil(groups).min(self.blocks.len());
        let share = self.blocks.len().div_ceil(parts);
        for_each(groups * parts, team, |task| {
            let tiles = &tiles[task / parts * together..];
            let begin = self.blocks.len().min(task % parts * share);
            let blocks = &self.blocks[begin..];
            pass.run(
                &tiles[..together.min(tiles.len())],
                &blocks[..share.min(blocks.len())],
            );
        });
    }
}

/// A tile of an image: number of the image, row and column of its first output.
type Place = (usize, usize, usize);

/// A convolution at work. All that it reads lies within the arena, and nothing
/// of it is written in this step.
struct Pass<'a> {
    winograd: &'a Winograd,
    arena: Arena,
    images: &'a [(&'a View, &'a View)],
    residual: Option<&'a View>,
}

impl Pass<'_> {
    /// Some tiles, by some neighbouring blocks of output channels.
    fn run(&self, tiles: &[Place], blocks: &[Block]) {
        let (Some(first), Some(last)) = (blocks.first(), blocks.last()) else {
            return;
        };
        let Winograd {
            level, channels, ..
        } = *self.winograd;
        let end = last.channel + last.width.channels(level);
        let (outputs, filters) = (first.channel..end, end - first.channel);
        let (v_place, m_place) = (
            tiles.len() * channels + APART,
            tiles.len() * filters + APART,
        );
        with_scratch(PLACES * (v_place + m_place), |scratch| {
            let (v, m) = scratch.split_at_mut(PLACES * v_place);
            for (i, &tile) in tiles.iter().enumerate() {
                self.transform(tile, &mut v[i * channels..], v_place);
            }
            self.multiply((v, v_place), (m, m_place), tiles.len(), blocks);
            for (i, &tile) in tiles.iter().enumerate() {
                self.finish(tile, &m[i * filters..], m_place, outputs.clone());
            }
        });
    }

    /// Transforms the inputs of a tile to the beginning of each place of `v`.
    fn transform(&self, (image, top, left): Place, v: &mut [f32], place: usize) {
        let Winograd {
            level, channels, ..
        } = *self.winograd;
        let x = self.images[image].0;
        assert!(v.len() >= (PLACES - 1) * place + channels);
        // SAFETY: the machine has the level; the view lies within the arena with
        // a frame of 1, and `v` has a tile's channels at each of the places
        // (asserted).
        unsafe {
            let first = x.at(top, left) - x.row - x.pixel;
            let from = Tile {
                first: self.arena.values.at(first, channels).cast_const(),
                row: x.row,
                pixel: x.pixel,
                rows: x.height + 2 - top,
                columns: x.width + 2 - left,
                channels,
            };
            let to = Places {
                first: v.as_mut_ptr(),
                place,
                vector: lanes(level),
            };
            vector::run(level, &Input { from, to });
        }
    }

    /// The matrix products of all places: `v` is `[36, tiles, channels]`, `m`
    /// `[36, tiles, filters]` of these blocks, from place to place as many values
    /// as stated.
    fn multiply(
        &self,
        (v, v_place): (&[f32], usize),
        (m, m_place): (&mut [f32], usize),
        tiles: usize,
        blocks: &[Block],
    ) {
        let Winograd {
            level, channels, ..
        } = *self.winograd;
        let first = blocks[0].channel;
        let filters: usize = blocks.iter().map(|b| b.width.channels(level)).sum();
        assert!(tiles * channels <= v_place && PLACES * v_place <= v.len());
        assert!(tiles * filters <= m_place && PLACES * m_place <= m.len());
        let segment = [Segment {
            offset: 0,
            channels,
        }];
        let taps = Taps {
            kernel: 1,
            row: 0,
            pixel: 0,
            step: channels,
            segments: &segment,
        };
        for place in 0..PLACES {
            let weights = &self.winograd.weights[place * self.winograd.place..];
            for block in blocks {
                let pixels = block.width.pixels(level);
                let weights = weights[block.channel * channels..].as_ptr();
                for tile in (0..tiles).step_by(pixels) {
                    let from = place * v_place + tile * channels;
                    let to = place * m_place + tile * filters + block.channel - first;
                    let end = End {
                        bias: None,
                        y: m[to..].as_mut_ptr(),
                        y_pixel: filters,
                        residual: None,
                        relu: false,
                    };
                    // SAFETY: `pixels` tiles of inputs and outputs lie within
                    // `v` and `m`, whose sizes are asserted above.
                    unsafe {
                        let kind = (level, block.width);
                        let pixels = pixels.min(tiles - tile);
                        compute(kind, pixels, &taps, v[from..].as_ptr(), weights, &end);
                    }
                }
            }
        }
    }

    /// Writes `outputs` of a tile, whose products begin `m` at the first place.
    fn finish(
        &self,
        (image, top, left): Place,
        m: &[f32],
        place: usize,
        outputs: std::ops::Range<usize>,
    ) {
        let y = self.images[image].1;
        let filters = outputs.len();
        assert!(m.len() >= (PLACES - 1) * place + filters);
        // SAFETY: the machine has the level; the views lie within the arena; a
        // task alone writes these outputs.
        unsafe {
            let address = |view: &View| {
                let first = view.at(top, left) + outputs.start;
                self.arena.values.at(first, filters)
            };
            let output = Output {
                m: m.as_ptr(),
                place,
                y: address(y),
                row: y.row,
                pixel: y.pixel,
                residual: self
                    .residual
                    .map(|r| (address(r).cast_const(), r.row, r.pixel)),
                rows: y.height - top,
                columns: y.width - left,
                bias: &self.winograd.bias[outputs],
                relu: self.winograd.relu,
            };
            vector::run(self.winograd.level, &output);
        }
    }
}
