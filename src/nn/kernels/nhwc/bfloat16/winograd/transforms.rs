//! The transformations of Winograd's F(2 x 2, 3 x 3), 16 channels at a time:
//! sums and differences alone.

use super::super::unit::Sums;
use super::super::wide::{Wide, WideWork};
use super::super::{STRIP, TILE};
use super::{IN, OUT, PLACES};
use half::bf16;

/// `U = G g G^T` of a kernel, in `f64`.
pub(super) fn kernel(g: &[f32]) -> [f32; PLACES] {
    let line = |g: [f64; 3]| {
        let (even, odd) = ((g[0] + g[2]) / 2.0, g[1] / 2.0);
        [g[0], even + odd, even - odd, g[2]]
    };
    let half: [[f64; IN]; 3] =
        std::array::from_fn(|j| line(std::array::from_fn(|i| f64::from(g[i * 3 + j]))));
    std::array::from_fn(|place| {
        let row = std::array::from_fn(|j| half[j][place / IN]);
        line(row)[place % IN] as f32
    })
}

/// `V = B^T d B` of a tile of 4 x 4 inputs.
pub(super) struct Input {
    /// First channel of the pixel at the top left.
    pub first: *const bf16,
    /// Values from a pixel to the one below, and to the next.
    pub row: usize,
    pub pixel: usize,
    /// Rows and columns that exist; what lies beyond counts as 0.
    pub rows: usize,
    pub columns: usize,
    /// Whole runs of [`TILE`].
    pub channels: usize,
    /// The first channel at place 0, values from one place to the next.
    pub to: *mut bf16,
    pub place: usize,
}

/// `B^T` times four numbers.
///
/// # Safety
/// As for [`Wide`].
#[inline(always)]
unsafe fn input_line<W: Wide>(d: [W; IN]) -> [W; IN] {
    // SAFETY: the caller's promise.
    unsafe {
        [
            d[0].subtract(d[2]),
            d[1].add(d[2]),
            d[2].subtract(d[1]),
            d[1].subtract(d[3]),
        ]
    }
}

impl WideWork for Input {
    #[inline(always)]
    unsafe fn run<W: Wide>(&self) {
        for channel in (0..self.channels).step_by(TILE) {
            // SAFETY: the caller's promise about the pixels and the places.
            unsafe {
                let mut half = [[W::zero(); IN]; IN];
                for j in 0..IN {
                    let mut column = [W::zero(); IN];
                    if j < self.columns {
                        for (i, value) in column.iter_mut().enumerate().take(self.rows) {
                            let at = i * self.row + j * self.pixel + channel;
                            *value = W::widened(self.first.add(at));
                        }
                    }
                    for (half, value) in half.iter_mut().zip(input_line(column)) {
                        half[j] = value;
                    }
                }
                for (i, line) in half.into_iter().enumerate() {
                    for (j, value) in input_line(line).into_iter().enumerate() {
                        value.narrowed(self.to.add((i * IN + j) * self.place + channel));
                    }
                }
            }
        }
    }
}

/// `Y = A^T M A`, then bias, residual and ReLU, of one tile.
pub(super) struct Output<'a> {
    /// The sums of each place, and the pixel and the tile of channels in them.
    pub sums: &'a [Sums; PLACES],
    pub pixel: usize,
    pub tile: usize,
    /// One value a channel.
    pub bias: &'a [f32; TILE],
    /// First channel of the tile's first pixel, values to the pixel below and
    /// to the next.
    pub y: (*mut bf16, usize, usize),
    /// Of what is added: as for `y`.
    pub residual: Option<(*const bf16, usize, usize)>,
    /// Rows and columns that exist.
    pub rows: usize,
    pub columns: usize,
    pub relu: bool,
}

/// `A^T` times four numbers.
///
/// # Safety
/// As for [`Wide`].
#[inline(always)]
unsafe fn output_line<W: Wide>(m: [W; IN]) -> [W; OUT] {
    // SAFETY: the caller's promise.
    unsafe { [m[0].add(m[1]).add(m[2]), m[1].subtract(m[2]).subtract(m[3])] }
}

impl WideWork for Output<'_> {
    #[inline(always)]
    unsafe fn run<W: Wide>(&self) {
        let (strip, pixel) = (self.pixel / STRIP, self.pixel % STRIP);
        // SAFETY: the caller's promise about the pixels; the rest is slices.
        unsafe {
            let mut half = [[W::zero(); IN]; OUT];
            for j in 0..IN {
                let mut column = [W::zero(); IN];
                for (i, value) in column.iter_mut().enumerate() {
                    let sums = &self.sums[i * IN + j].0[strip][self.tile][pixel];
                    *value = W::load(sums.as_ptr());
                }
                for (half, value) in half.iter_mut().zip(output_line(column)) {
                    half[j] = value;
                }
            }
            let bias = W::load(self.bias.as_ptr());
            for (i, line) in half.into_iter().enumerate() {
                for (j, value) in output_line(line).into_iter().enumerate() {
                    if i >= self.rows || j >= self.columns {
                        continue;
                    }
                    let mut value: W = value.add(bias);
                    if let Some((from, row, pixel)) = self.residual {
                        value = value.add(W::widened(from.add(i * row + j * pixel)));
                    }
                    if self.relu {
                        value = value.rectified();
                    }
                    let (to, row, pixel) = self.y;
                    value.narrowed(to.add(i * row + j * pixel));
                }
            }
        }
    }
}
