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
use crate::nn::kernels::buffer::with_scratch;
use crate::nn::kernels::simd::Level;
#[cfg(target_arch = "x86_64")]
use crate::nn::kernels::vector::{Avx2, Avx512};
use crate::nn::kernels::vector::{Portable, Vector};

/// Outputs a side of a tile.
const OUT: usize = 4;
/// Inputs a side of a tile.
const IN: usize = 6;
/// Places of a transformed tile.
const PLACES: usize = IN * IN;

/// `G`, which transforms the weights.
const G: [[f64; 3]; IN] = [
    [1.0 / 4.0, 0.0, 0.0],
    [-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
    [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
    [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
    [1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
    [0.0, 0.0, 1.0],
];

/// A convolution with transformed weights.
#[derive(Debug, Clone)]
pub(in crate::nn) struct Winograd {
    relu: bool,
    level: Level,
    channels: usize,
    /// First output channel, width, start of the weights of place 0.
    blocks: Vec<(usize, Width, usize)>,
    /// `[36, blocks, channels, width]`.
    weights: Vec<f32>,
    /// Values from one place's weights to the next one's.
    place: usize,
    bias: Vec<f32>,
}

impl Winograd {
    /// Whether it can be done, and is faster than the direct sum, for an image
    /// of `height` rows with these `inputs` and `filters`.
    pub fn pays(
        spec: ConvSpec,
        inputs: &[Segment],
        filters: usize,
        (height, width): (usize, usize),
        level: Level,
    ) -> bool {
        let lanes = lanes(level);
        let channels: usize = inputs.iter().map(|s| s.channels).sum();
        let whole = inputs.iter().all(|s| s.channels.is_multiple_of(lanes));
        spec.kernel == 3
            && spec.stride == 1
            && spec.padding == 1
            && whole
            && filters.is_multiple_of(lanes)
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
        let mut transformed = vec![0.0; PLACES * place];
        let mut blocks = Vec::new();
        for (first, width) in widths(bias.len(), level) {
            blocks.push((first, width, first * channels));
            let filters = width.channels(level);
            for filter in 0..filters {
                for channel in 0..channels {
                    let kernel = &weights[((first + filter) * channels + channel) * 9..][..9];
                    for (p, value) in transform_kernel(kernel).into_iter().enumerate() {
                        let at = p * place + first * channels + channel * filters + filter;
                        transformed[at] = value as f32;
                    }
                }
            }
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
    /// matrix product, within a share of the L2 cache.
    fn tiles_together(&self, tiles: usize) -> usize {
        let pixels = 2 * Width::Two.pixels(self.level).max(6);
        let cached = (96 * 1024) / (self.channels.max(self.bias.len()) * pixels * size_of::<f32>());
        (pixels * cached.clamp(1, 4)).min(pixels.max(tiles.div_ceil(2)))
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
        parallel: bool,
    ) {
        assert_eq!((y.height, y.width), (x.height, x.width));
        assert_eq!((x.span(), y.span()), (self.channels, self.bias.len()));
        assert!(x.frame >= 1);
        let arena = checked(arena, x, y, residual);
        let (down, across) = (y.height.div_ceil(OUT), y.width.div_ceil(OUT));
        let together = self.tiles_together(down * across);
        let (channels, filters) = (self.channels, self.bias.len());
        for_each((down * across).div_ceil(together), parallel, |task| {
            let first = task * together;
            let tiles = together.min(down * across - first);
            let input = PLACES * together * channels;
            with_scratch(input + PLACES * together * filters, |scratch| {
                let (v, m) = scratch.split_at_mut(input);
                for tile in 0..tiles {
                    let corner = ((first + tile) / across * OUT, (first + tile) % across * OUT);
                    let v = &mut v[tile * channels..];
                    // SAFETY: the machine has the level; the view lies within
                    // the arena with a frame of 1, and `v` has a tile's
                    // channels at each of the places, `together` tiles apart.
                    unsafe { self.transform_input(arena, x, corner, v, together * channels) };
                }
                self.multiply(v, m, tiles, together);
                for tile in 0..tiles {
                    let corner = ((first + tile) / across * OUT, (first + tile) % across * OUT);
                    let m = &m[tile * filters..];
                    // SAFETY: as above; a tile alone writes its outputs.
                    unsafe {
                        self.transform_output(arena, m, together * filters, y, residual, corner);
                    }
                }
            });
        });
    }

    /// The matrix products of all places: `v` is `[36, together, channels]`,
    /// `m` `[36, together, filters]`, of which `tiles` are in use.
    fn multiply(&self, v: &[f32], m: &mut [f32], tiles: usize, together: usize) {
        let (channels, filters) = (self.channels, self.bias.len());
        assert!(tiles <= together);
        assert!(v.len() >= PLACES * together * channels);
        assert!(m.len() >= PLACES * together * filters);
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
            for &(filter, width, weights) in &self.blocks {
                let pixels = width.pixels(self.level);
                for tile in (0..tiles).step_by(pixels) {
                    let from = (place * together + tile) * channels;
                    let to = (place * together + tile) * filters + filter;
                    let end = End {
                        bias: None,
                        y: m[to..].as_mut_ptr(),
                        y_pixel: filters,
                        residual: None,
                        relu: false,
                    };
                    let weights = self.weights[place * self.place + weights..].as_ptr();
                    // SAFETY: `pixels` tiles of inputs and outputs lie within
                    // `v` and `m`, whose sizes are asserted above.
                    unsafe {
                        let kind = (self.level, width);
                        let pixels = pixels.min(tiles - tile);
                        compute(kind, pixels, &taps, v[from..].as_ptr(), weights, &end);
                    }
                }
            }
        }
    }

    /// # Safety
    /// The machine has the level; `x` lies within the arena.
    unsafe fn transform_input(
        &self,
        arena: Arena,
        x: &View,
        corner: (usize, usize),
        v: &mut [f32],
        place: usize,
    ) {
        assert!(v.len() >= (PLACES - 1) * place + self.channels);
        // SAFETY (all calls): the caller's promise, and the size of `v`.
        match self.level {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => unsafe { input_avx512(arena, x, corner, v.as_mut_ptr(), place) },
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => unsafe { input_avx2(arena, x, corner, v.as_mut_ptr(), place) },
            _ => unsafe { input::<Portable>(arena, x, corner, v.as_mut_ptr(), place) },
        }
    }

    /// # Safety
    /// The machine has the level; `y` and `residual` lie within the arena, and
    /// nobody else uses this tile's outputs.
    unsafe fn transform_output(
        &self,
        arena: Arena,
        m: &[f32],
        place: usize,
        y: &View,
        residual: Option<&View>,
        corner: (usize, usize),
    ) {
        assert!(m.len() >= (PLACES - 1) * place + self.bias.len());
        let job = Output {
            arena,
            m: m.as_ptr(),
            place,
            y,
            residual,
            corner,
            bias: &self.bias,
            relu: self.relu,
        };
        // SAFETY (all calls): the caller's promise, and the size of `m`.
        match self.level {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => unsafe { output_avx512(&job) },
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => unsafe { output_avx2(&job) },
            _ => unsafe { output::<Portable>(&job) },
        }
    }
}

/// `U = G g G^T` of one 3 x 3 kernel, in `f64`.
fn transform_kernel(g: &[f32]) -> [f64; PLACES] {
    let mut half = [[0.0; 3]; IN];
    for (row, coefficients) in half.iter_mut().zip(G) {
        for (c, value) in row.iter_mut().enumerate() {
            *value = (0..3)
                .map(|r| coefficients[r] * f64::from(g[r * 3 + c]))
                .sum();
        }
    }
    std::array::from_fn(|p| (0..3).map(|c| half[p / IN][c] * G[p % IN][c]).sum())
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
unsafe fn input_avx512(arena: Arena, x: &View, at: (usize, usize), v: *mut f32, place: usize) {
    // SAFETY: the caller's promise.
    unsafe { input::<Avx512>(arena, x, at, v, place) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn input_avx2(arena: Arena, x: &View, at: (usize, usize), v: *mut f32, place: usize) {
    // SAFETY: the caller's promise.
    unsafe { input::<Avx2>(arena, x, at, v, place) }
}

/// `B^T d` of six values.
///
/// # Safety
/// The machine has the vector's instructions.
#[inline(always)]
unsafe fn input_lines<V: Vector>(d: [V; IN]) -> [V; IN] {
    // SAFETY: the caller's promise.
    unsafe {
        let (four, minus_four, minus_five) = (V::splat(4.0), V::splat(-4.0), V::splat(-5.0));
        let two = V::splat(2.0);
        let a = d[2].multiply_add(minus_four, d[4]);
        let b = d[1].multiply_add(minus_four, d[3]);
        let c = d[4].subtract(d[2]);
        let e = d[3].subtract(d[1]);
        let minus_two = V::splat(-2.0);
        [
            d[0].multiply_add(four, d[2].multiply_add(minus_five, d[4])),
            a.add(b),
            a.subtract(b),
            e.multiply_add(two, c),
            e.multiply_add(minus_two, c),
            d[1].multiply_add(four, d[3].multiply_add(minus_five, d[5])),
        ]
    }
}

/// `V = B^T d B` of the tile whose outputs begin at `corner`.
///
/// # Safety
/// The machine has the vector's instructions; `x` lies within the arena with a
/// frame of at least 1, and has whole vectors of channels; `v` is good for
/// them at each of the places.
#[inline(always)]
unsafe fn input<V: Vector>(
    arena: Arena,
    x: &View,
    (top, left): (usize, usize),
    v: *mut f32,
    place: usize,
) {
    // Rows and columns of the tile that lie in the image or its frame of 1;
    // what lies beyond counts as 0.
    let rows = IN.min(x.height + 2 - top);
    let columns = IN.min(x.width + 2 - left);
    let first = x.at(top, left) - x.row - x.pixel;
    // SAFETY: the caller's promise; checked once, not for every load.
    let x_values = unsafe { arena.values.at(0, arena.len) };
    for channel in (0..x.span()).step_by(V::LANES) {
        // SAFETY: rows and columns are those within the frame.
        unsafe {
            let mut d = [[V::splat(0.0); IN]; IN];
            for (i, line) in d.iter_mut().enumerate().take(rows) {
                for (j, value) in line.iter_mut().enumerate().take(columns) {
                    let at = first + i * x.row + j * x.pixel + channel;
                    *value = V::load(x_values.add(at));
                }
            }
            let mut half = [[V::splat(0.0); IN]; IN];
            for j in 0..IN {
                let line = input_lines([d[0][j], d[1][j], d[2][j], d[3][j], d[4][j], d[5][j]]);
                for (half, value) in half.iter_mut().zip(line) {
                    half[j] = value;
                }
            }
            for (i, line) in half.into_iter().enumerate() {
                for (j, value) in input_lines(line).into_iter().enumerate() {
                    value.store(v.add((i * IN + j) * place + channel));
                }
            }
        }
    }
}

/// What the last transformation takes.
struct Output<'a> {
    arena: Arena,
    m: *const f32,
    place: usize,
    y: &'a View,
    residual: Option<&'a View>,
    corner: (usize, usize),
    bias: &'a [f32],
    relu: bool,
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
unsafe fn output_avx512(job: &Output<'_>) {
    // SAFETY: the caller's promise.
    unsafe { output::<Avx512>(job) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn output_avx2(job: &Output<'_>) {
    // SAFETY: the caller's promise.
    unsafe { output::<Avx2>(job) }
}

/// `A^T m` of six values.
///
/// # Safety
/// The machine has the vector's instructions.
#[inline(always)]
unsafe fn output_lines<V: Vector>(m: [V; IN]) -> [V; OUT] {
    // SAFETY: the caller's promise.
    unsafe {
        let (two, four, eight) = (V::splat(2.0), V::splat(4.0), V::splat(8.0));
        let (a, b) = (m[1].add(m[2]), m[1].subtract(m[2]));
        let (c, d) = (m[3].add(m[4]), m[3].subtract(m[4]));
        [
            m[0].add(a.add(c)),
            d.multiply_add(two, b),
            c.multiply_add(four, a),
            d.multiply_add(eight, b).add(m[5]),
        ]
    }
}

/// `Y = A^T M A`, then bias, residual and ReLU, of one tile.
///
/// # Safety
/// The machine has the vector's instructions; the views lie within the arena
/// and have whole vectors of channels, as many as `bias`; `m` is good for them
/// at each of the places; nobody else uses the tile's outputs.
#[inline(always)]
unsafe fn output<V: Vector>(job: &Output<'_>) {
    let &Output {
        arena,
        m,
        place,
        y,
        residual,
        corner: (top, left),
        bias,
        relu,
    } = job;
    // SAFETY: the caller's promise; checked once, not for every pixel.
    let values = unsafe { arena.values.at(0, arena.len) };
    for channel in (0..bias.len()).step_by(V::LANES) {
        // SAFETY: the caller's promise; outputs beyond the image are left out.
        unsafe {
            let mut half = [[V::splat(0.0); IN]; OUT];
            for j in 0..IN {
                let line = std::array::from_fn(|i| V::load(m.add((i * IN + j) * place + channel)));
                for (half, value) in half.iter_mut().zip(output_lines(line)) {
                    half[j] = value;
                }
            }
            let bias = V::load(bias[channel..].as_ptr());
            let zero = V::splat(0.0);
            for (i, line) in half.into_iter().enumerate().take(y.height - top) {
                for (j, value) in output_lines(line)
                    .into_iter()
                    .enumerate()
                    .take(y.width - left)
                {
                    let mut value = value.add(bias);
                    if let Some(r) = residual {
                        let at = r.at(top + i, left + j) + channel;
                        value = value.add(V::load(values.add(at)));
                    }
                    if relu {
                        value = zero.maximum(value);
                    }
                    let at = y.at(top + i, left + j) + channel;
                    value.store(values.add(at));
                }
            }
        }
    }
}
