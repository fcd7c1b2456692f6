//! Maximum pooling with kernel, stride and padding. candle 0.11.1 has no
//! padding, no gradient for overlapping windows, and a wrong one for others.

use super::buffer::{filled, output, read, tensor_like, values};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

/// The custom operation; the padding counts as minus infinity.
pub(in crate::nn) struct MaxPool2d {
    pub kernel: usize,
    pub stride: usize,
    /// At most half the kernel, so that no window is all padding.
    pub padding: usize,
}

impl MaxPool2d {
    /// Windows along a side of `size`.
    pub(in crate::nn) fn windows(&self, size: usize) -> usize {
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

    /// Calls `f(output index, input index of the maximum)` for each window of
    /// a plane; of equal values the first counts, as in PyTorch.
    fn for_each_maximum(
        &self,
        x: &[f32],
        (height, width): (usize, usize),
        mut f: impl FnMut(usize, usize),
    ) {
        let (out_height, out_width) = (self.windows(height), self.windows(width));
        if self.is_halving() {
            for row in 0..out_height {
                for column in 0..out_width {
                    let first = 2 * row * width + 2 * column;
                    let mut best = first;
                    for i in [first + 1, first + width, first + width + 1] {
                        if exceeds(x[i], x[best]) {
                            best = i;
                        }
                    }
                    f(row * out_width + column, best);
                }
            }
            return;
        }
        for row in 0..out_height {
            let rows = self.window(row, height);
            for column in 0..out_width {
                let columns = self.window(column, width);
                let mut best = rows.start * width + columns.start;
                for y in rows.clone() {
                    for i in y * width + columns.start..y * width + columns.end {
                        if exceeds(x[i], x[best]) {
                            best = i;
                        }
                    }
                }
                f(row * out_width + column, best);
            }
        }
    }
}

/// NaN exceeds every number, so that it is seen further on.
fn exceeds(a: f32, b: f32) -> bool {
    a > b || (a.is_nan() && !b.is_nan())
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
        // SAFETY: `for_each_maximum` visits every output of every plane.
        let y = unsafe {
            filled(batch * channels * out_plane, |y| {
                y.par_chunks_mut(out_plane)
                    .zip(x.par_chunks(height * width))
                    .for_each(|(y, x)| {
                        self.for_each_maximum(x, (height, width), |out, best| {
                            y[out].write(x[best]);
                        });
                    });
            })
        };
        output(y, (batch, channels, out_height, out_width))
    }

    fn bwd(&self, x: &Tensor, y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let (_, _, height, width) = x.dims4()?;
        let (_, _, out_height, out_width) = y.dims4()?;
        let dx = read([x, dy], |[x, dy]| {
            let mut dx = vec![0.0; x.len()];
            dx.par_chunks_mut(height * width)
                .zip(x.par_chunks(height * width))
                .zip(dy.par_chunks(out_height * out_width))
                .for_each(|((dx, x), dy)| {
                    self.for_each_maximum(x, (height, width), |out, best| dx[best] += dy[out]);
                });
            dx
        })?;
        Ok(Some(tensor_like(dx, x)?))
    }
}
