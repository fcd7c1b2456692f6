//! Maximum pooling with kernel, stride and padding. candle 0.11.1 has no
//! padding, no gradient for overlapping windows, and a wrong one for others.

use super::buffer::{filled, output, read, tensor_like, values, with_scratch};
use super::simd::vectorised;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;
use std::mem::MaybeUninit;

/// The custom operation; the padding counts as minus infinity.
pub(in crate::nn) struct MaxPool2d {
    pub kernel: usize,
    pub stride: usize,
    /// At most half the kernel, so that no window is all padding.
    pub padding: usize,
}

/// The larger one; NaN counts as the largest, so that it is seen further on.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if (b > a) | b.is_nan() { b } else { a }
}

vectorised! {
    /// Maxima of pairs of columns in two rows.
    fn halve(top: &[f32], bottom: &[f32], y: &mut [MaybeUninit<f32>]) {
        let width = y.len();
        let (top, bottom) = (&top[..2 * width], &bottom[..2 * width]);
        for i in 0..width {
            let a = larger(top[2 * i], top[2 * i + 1]);
            let b = larger(bottom[2 * i], bottom[2 * i + 1]);
            y[i].write(larger(a, b));
        }
    }
}

vectorised! {
    /// Gives each gradient to the first of four values that is the maximum.
    fn halve_gradient(
        top: &[f32],
        bottom: &[f32],
        y: &[f32],
        dy: &[f32],
        d_top: &mut [MaybeUninit<f32>],
        d_bottom: &mut [MaybeUninit<f32>],
    ) {
        let width = y.len();
        let (top, bottom, dy) = (&top[..2 * width], &bottom[..2 * width], &dy[..width]);
        let (d_top, d_bottom) = (&mut d_top[..2 * width], &mut d_bottom[..2 * width]);
        for i in 0..width {
            let (y, d) = (y[i], dy[i]);
            let first = top[2 * i] >= y;
            let second = (top[2 * i + 1] >= y) & !first;
            let third = (bottom[2 * i] >= y) & !(first | second);
            let given = first | second | third;
            d_top[2 * i].write(if first { d } else { 0.0 });
            d_top[2 * i + 1].write(if second { d } else { 0.0 });
            d_bottom[2 * i].write(if third { d } else { 0.0 });
            d_bottom[2 * i + 1].write(if given { 0.0 } else { d });
        }
    }
}

vectorised! {
    fn raise(highest: &mut [f32], x: &[f32]) {
        for (h, x) in highest.iter_mut().zip(x) {
            *h = larger(*h, *x);
        }
    }
}

impl MaxPool2d {
    /// Windows along a side of `size`.
    fn windows(&self, size: usize) -> usize {
        (size + 2 * self.padding - self.kernel) / self.stride + 1
    }

    /// The part of window `i` inside a side of `size`.
    fn window(&self, i: usize, size: usize) -> std::ops::Range<usize> {
        let start = i * self.stride;
        start.saturating_sub(self.padding)..(start + self.kernel - self.padding).min(size)
    }

    /// Two by two without overlap, by far the most frequent.
    fn is_halving(&self) -> bool {
        self.kernel == 2 && self.stride == 2 && self.padding == 0
    }

    /// One plane: the maximum down the columns of each window's rows, then
    /// along them.
    fn plane_forward(&self, x: &[f32], y: &mut [MaybeUninit<f32>], height: usize, width: usize) {
        let out_width = self.windows(width);
        if self.is_halving() {
            for (rows, y) in x.chunks_exact(2 * width).zip(y.chunks_exact_mut(out_width)) {
                let (top, bottom) = rows.split_at(width);
                halve(top, bottom, y);
            }
            return;
        }
        with_scratch(width + 2 * self.padding, |line| {
            for (row, y) in y.chunks_exact_mut(out_width).enumerate() {
                line.fill(f32::NEG_INFINITY);
                for i in self.window(row, height) {
                    raise(&mut line[self.padding..][..width], &x[i * width..][..width]);
                }
                for (y, start) in y.iter_mut().zip((0..).step_by(self.stride)) {
                    let window = &line[start..start + self.kernel];
                    y.write(window.iter().copied().fold(f32::NEG_INFINITY, larger));
                }
            }
        });
    }

    /// One plane: each gradient goes to the first value, in reading order,
    /// that is the maximum of its window.
    fn plane_gradient(
        &self,
        [x, y, dy]: [&[f32]; 3],
        dx: &mut [MaybeUninit<f32>],
        height: usize,
        width: usize,
    ) {
        let out_width = self.windows(width);
        if self.is_halving() {
            let zero = |part: &mut [MaybeUninit<f32>]| part.fill(MaybeUninit::new(0.0));
            let (whole, rest) = dx.split_at_mut(height / 2 * 2 * width);
            zero(rest);
            for (i, dx) in whole.chunks_exact_mut(2 * width).enumerate() {
                let (top, bottom) = x[2 * i * width..][..2 * width].split_at(width);
                let (d_top, d_bottom) = dx.split_at_mut(width);
                let out = i * out_width..(i + 1) * out_width;
                halve_gradient(top, bottom, &y[out.clone()], &dy[out], d_top, d_bottom);
                zero(&mut d_top[2 * out_width..]);
                zero(&mut d_bottom[2 * out_width..]);
            }
            return;
        }
        with_scratch(x.len(), |sums| {
            sums.fill(0.0);
            for (out, (y, dy)) in y.iter().zip(dy).enumerate() {
                let columns = self.window(out % out_width, width);
                let mut values = self
                    .window(out / out_width, height)
                    .flat_map(|row| row * width + columns.start..row * width + columns.end);
                // None if the maximum is NaN: then nothing further is right either.
                if let Some(i) = values.find(|&i| x[i] >= *y) {
                    sums[i] += dy;
                }
            }
            for (dx, sum) in dx.iter_mut().zip(sums) {
                dx.write(*sum);
            }
        });
    }
}

impl CustomOp1 for MaxPool2d {
    fn name(&self) -> &'static str {
        "max_pool2d"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (batch, channels, height, width) = layout.shape().dims4()?;
        let x = values(x, layout)?;
        let (out_height, out_width) = (self.windows(height), self.windows(width));
        let out_plane = out_height * out_width;
        // SAFETY: every output of every plane is written.
        let y = unsafe {
            filled(batch * channels * out_plane, |y| {
                y.par_chunks_mut(out_plane)
                    .zip(x.par_chunks(height * width))
                    .for_each(|(y, x)| self.plane_forward(x, y, height, width));
            })
        };
        output(y, (batch, channels, out_height, out_width))
    }

    fn bwd(&self, x: &Tensor, y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let (_, _, height, width) = x.dims4()?;
        let out_plane = self.windows(height) * self.windows(width);
        let dx = read([x, y, dy], |[x, y, dy]| {
            // SAFETY: `plane_gradient` writes every value of its plane.
            unsafe {
                filled(x.len(), |dx| {
                    dx.par_chunks_mut(height * width)
                        .zip(x.par_chunks(height * width))
                        .zip(y.par_chunks(out_plane))
                        .zip(dy.par_chunks(out_plane))
                        .for_each(|(((dx, x), y), dy)| {
                            self.plane_gradient([x, y, dy], dx, height, width);
                        });
                })
            }
        })?;
        Ok(Some(tensor_like(dx, x)?))
    }
}
