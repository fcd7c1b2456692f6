//! The transformations of Winograd's F(4 x 4, 3 x 3), a vector of channels at
//! a time, and their adjoints, which give the gradient of the weights.
//!
//! With `V = B^T d B` of the input, `U = G g G^T` of the weights and
//! `Y = A^T (U V) A` of the output (`U V` place by place, summed over the
//! channels), the gradient of the weights is `G^T (V D) G` with
//! `D = A dY A^T`, summed over the tiles.

use super::{IN, OUT, PLACES};
use crate::nn::kernels::simd::vectorised;
use crate::nn::kernels::vector::{Vector, VectorWork};

/// `G`, which transforms the weights.
const G: [[f64; 3]; IN] = [
    [1.0 / 4.0, 0.0, 0.0],
    [-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
    [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
    [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
    [1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
    [0.0, 0.0, 1.0],
];

/// Kernels that are transformed together.
pub(super) const TOGETHER: usize = 8;

/// 3 x 3 kernels, tap by tap, [`TOGETHER`] side by side.
pub(super) type Kernels = [[f64; TOGETHER]; 9];

vectorised! {
    /// `U = G g G^T` of some kernels, in `f64`.
    fn transform_kernels(g: &Kernels, u: &mut [[f32; TOGETHER]; PLACES]) {
        let mut half = [[[0.0; TOGETHER]; 3]; IN];
        for (row, coefficients) in half.iter_mut().zip(G) {
            for (c, value) in row.iter_mut().enumerate() {
                for (i, value) in value.iter_mut().enumerate() {
                    *value = coefficients[0] * g[c][i]
                        + coefficients[1] * g[3 + c][i]
                        + coefficients[2] * g[6 + c][i];
                }
            }
        }
        for (p, u) in u.iter_mut().enumerate() {
            let (row, coefficients) = (&half[p / IN], G[p % IN]);
            for (i, u) in u.iter_mut().enumerate() {
                let sum = coefficients[0] * row[0][i]
                    + coefficients[1] * row[1][i]
                    + coefficients[2] * row[2][i];
                *u = sum as f32;
            }
        }
    }
}

/// `U = G g G^T` of [`TOGETHER`] kernels.
pub(super) fn kernels(g: &Kernels) -> [[f32; TOGETHER]; PLACES] {
    let mut u = [[0.0; TOGETHER]; PLACES];
    transform_kernels(g, &mut u);
    u
}

/// A tile of pixels, channels last.
#[derive(Clone, Copy)]
pub(super) struct Tile {
    /// First channel of the pixel at the top left.
    pub first: *const f32,
    /// Values from a pixel to the one below.
    pub row: usize,
    /// Values from a pixel to the next.
    pub pixel: usize,
    /// Rows and columns that exist; what lies beyond counts as 0.
    pub rows: usize,
    pub columns: usize,
    pub channels: usize,
}

/// Where a transformed tile goes.
#[derive(Clone, Copy)]
pub(super) struct Places {
    /// The first channels of place 0.
    pub first: *mut f32,
    /// Values from one place to the next.
    pub place: usize,
    /// Values from one vector of channels to the next.
    pub vector: usize,
}

impl Tile {
    /// A vector of channels of the pixels, 0 beyond the tile.
    ///
    /// # Safety
    /// The machine has the vector's instructions; the tile's pixels may be read.
    #[inline(always)]
    unsafe fn load<V: Vector, const SIDE: usize>(&self, channel: usize) -> [[V; SIDE]; SIDE] {
        // SAFETY: the caller's promise.
        unsafe {
            let mut d = [[V::splat(0.0); SIDE]; SIDE];
            for (i, line) in d.iter_mut().enumerate().take(self.rows) {
                for (j, value) in line.iter_mut().enumerate().take(self.columns) {
                    let at = i * self.row + j * self.pixel + channel;
                    *value = V::load(self.first.add(at));
                }
            }
            d
        }
    }
}

/// A 6 x n matrix M, as its product with n vectors.
trait Matrix<const SIDE: usize> {
    /// # Safety
    /// The machine has the vector's instructions.
    unsafe fn times<V: Vector>(d: [V; SIDE]) -> [V; IN];
}

/// `to = M from M^T` of every vector of channels.
///
/// # Safety
/// The machine has the vector's instructions; the tile's pixels may be read;
/// the places are good for its channels; these are whole vectors.
#[inline(always)]
unsafe fn spread<M: Matrix<SIDE>, V: Vector, const SIDE: usize>(from: &Tile, to: &Places) {
    for (i, channel) in (0..from.channels).step_by(V::LANES).enumerate() {
        // SAFETY: the caller's promise.
        unsafe {
            let d = from.load::<V, SIDE>(channel);
            let mut half = [[V::splat(0.0); SIDE]; IN];
            for j in 0..SIDE {
                let mut column = [V::splat(0.0); SIDE];
                for (value, line) in column.iter_mut().zip(&d) {
                    *value = line[j];
                }
                for (half, value) in half.iter_mut().zip(M::times(column)) {
                    half[j] = value;
                }
            }
            let first = to.first.add(i * to.vector);
            for (row, line) in half.into_iter().enumerate() {
                for (column, value) in M::times(line).into_iter().enumerate() {
                    value.store(first.add((row * IN + column) * to.place));
                }
            }
        }
    }
}

/// `V = B^T d B` of a tile of 6 x 6 inputs.
pub(super) struct Input {
    pub from: Tile,
    pub to: Places,
}

/// `B^T`.
impl Matrix<IN> for Input {
    #[inline(always)]
    unsafe fn times<V: Vector>(d: [V; IN]) -> [V; IN] {
        // SAFETY: the caller's promise.
        unsafe {
            let (four, minus_four, minus_five) = (V::splat(4.0), V::splat(-4.0), V::splat(-5.0));
            let (two, minus_two) = (V::splat(2.0), V::splat(-2.0));
            let a = d[2].multiply_add(minus_four, d[4]);
            let b = d[1].multiply_add(minus_four, d[3]);
            let c = d[4].subtract(d[2]);
            let e = d[3].subtract(d[1]);
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
}

impl VectorWork for Input {
    #[inline(always)]
    unsafe fn run<V: Vector>(&self) {
        // SAFETY: the caller's promise.
        unsafe { spread::<Self, V, IN>(&self.from, &self.to) }
    }
}

/// `D = A dY A^T` of a tile of 4 x 4 gradients.
pub(super) struct Gradient {
    pub from: Tile,
    pub to: Places,
}

/// `A`.
impl Matrix<OUT> for Gradient {
    #[inline(always)]
    unsafe fn times<V: Vector>(d: [V; OUT]) -> [V; IN] {
        // SAFETY: the caller's promise.
        unsafe {
            let (a, b) = (d[0].add(d[2]), d[1].add(d[3]));
            let four = V::splat(4.0);
            let c = d[2].multiply_add(four, d[0]);
            let e = d[3].multiply_add(four, d[1]);
            let two = V::splat(2.0);
            let minus_two = V::splat(-2.0);
            [
                d[0],
                a.add(b),
                a.subtract(b),
                e.multiply_add(two, c),
                e.multiply_add(minus_two, c),
                d[3],
            ]
        }
    }
}

impl VectorWork for Gradient {
    #[inline(always)]
    unsafe fn run<V: Vector>(&self) {
        // SAFETY: the caller's promise.
        unsafe { spread::<Self, V, OUT>(&self.from, &self.to) }
    }
}

/// `Y = A^T M A`, then bias, residual and ReLU, of one tile.
pub(super) struct Output<'a> {
    /// The first channels of place 0, values from one place to the next.
    pub m: *const f32,
    pub place: usize,
    /// First channel of the tile's first pixel, values to the pixel below and
    /// to the next.
    pub y: *mut f32,
    pub row: usize,
    pub pixel: usize,
    /// Of what is added: as for `y`.
    pub residual: Option<(*const f32, usize, usize)>,
    /// Rows and columns that exist.
    pub rows: usize,
    pub columns: usize,
    /// One value a channel.
    pub bias: &'a [f32],
    pub relu: bool,
}

/// `A^T` times six vectors.
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

impl VectorWork for Output<'_> {
    #[inline(always)]
    unsafe fn run<V: Vector>(&self) {
        // SAFETY: the caller's promise; outputs beyond the image are left out.
        unsafe {
            let zero = V::splat(0.0);
            for channel in (0..self.bias.len()).step_by(V::LANES) {
                let mut half = [[zero; IN]; OUT];
                for j in 0..IN {
                    let mut column = [zero; IN];
                    for (i, value) in column.iter_mut().enumerate() {
                        *value = V::load(self.m.add((i * IN + j) * self.place + channel));
                    }
                    for (half, value) in half.iter_mut().zip(output_lines(column)) {
                        half[j] = value;
                    }
                }
                let bias = V::load(self.bias[channel..].as_ptr());
                for (i, line) in half.into_iter().enumerate().take(self.rows) {
                    for (j, value) in output_lines(line)
                        .into_iter()
                        .enumerate()
                        .take(self.columns)
                    {
                        let mut value = value.add(bias);
                        if let Some((from, row, pixel)) = self.residual {
                            value = value.add(V::load(from.add(i * row + j * pixel + channel)));
                        }
                        if self.relu {
                            value = zero.maximum(value);
                        }
                        let at = i * self.row + j * self.pixel + channel;
                        value.store(self.y.add(at));
                    }
                }
            }
        }
    }
}

/// `G^T S G`: from the sums of all places to the gradient of the kernels from
/// one input channel to every output channel.
pub(super) struct KernelGradient<'a> {
    /// `[36, ...]`: one value an output channel at each place.
    pub sums: &'a [f32],
    /// Values from one place to the next.
    pub place: usize,
    /// Output channels, whole vectors.
    pub filters: usize,
    /// The first output channel's kernel of 9 values.
    pub to: *mut f32,
    /// Values from one output channel's kernel to the next one's.
    pub step: usize,
}

/// `G^T` times six vectors.
///
/// # Safety
/// The machine has the vector's instructions.
#[inline(always)]
unsafe fn kernel_lines<V: Vector>(s: [V; IN]) -> [V; 3] {
    // SAFETY: the caller's promise.
    unsafe {
        let zero = V::splat(0.0);
        let (sixth, minus_sixth) = (V::splat(1.0 / 6.0), V::splat(-1.0 / 6.0));
        let (twelfth, twenty_fourth) = (V::splat(1.0 / 12.0), V::splat(1.0 / 24.0));
        let (a, b) = (s[1].add(s[2]), s[2].subtract(s[1]));
        let (c, d) = (s[3].add(s[4]), s[3].subtract(s[4]));
        let shared = a.multiply_add(minus_sixth, zero);
        [
            s[0].multiply_add(V::splat(0.25), c.multiply_add(twenty_fourth, shared)),
            b.multiply_add(sixth, d.multiply_add(twelfth, zero)),
            c.multiply_add(sixth, shared).add(s[5]),
        ]
    }
}

impl VectorWork for KernelGradient<'_> {
    #[inline(always)]
    unsafe fn run<V: Vector>(&self) {
        assert!(self.sums.len() >= (PLACES - 1) * self.place + self.filters);
        // SAFETY: the sums are there (asserted), the rest is the caller's promise.
        unsafe {
            let zero = V::splat(0.0);
            for filter in (0..self.filters).step_by(V::LANES) {
                let mut half = [[zero; IN]; 3];
                for j in 0..IN {
                    let mut column = [zero; IN];
                    for (i, value) in column.iter_mut().enumerate() {
                        let sums = &self.sums[(i * IN + j) * self.place + filter..];
                        *value = V::load(sums.as_ptr());
                    }
                    for (half, value) in half.iter_mut().zip(kernel_lines(column)) {
                        half[j] = value;
                    }
                }
                for (i, line) in half.into_iter().enumerate() {
                    for (j, value) in kernel_lines(line).into_iter().enumerate() {
                        let mut lanes = [0.0_f32; 16];
                        value.store(lanes.as_mut_ptr());
                        for (lane, value) in lanes.iter().enumerate().take(V::LANES) {
                            *self.to.add((filter + lane) * self.step + i * 3 + j) = *value;
                        }
                    }
                }
            }
        }
    }
}
