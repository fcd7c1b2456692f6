//! A Gaussian window over every plane, as a row pass and a column pass.

use super::buffer::{filled, output, read, tensor_like, values, with_scratch};
use super::simd::vectorised;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;
use std::mem::MaybeUninit;

/// Output columns computed together.
const LANES: usize = 64;

/// The taps `exp(-i^2 / (2 sigma^2))` for i from -(size / 2), with sum 1.
pub(in crate::nn) fn taps(size: usize, sigma: f64) -> Vec<f32> {
    let middle = (size / 2) as f64;
    let raw: Vec<f64> = (0..size)
        .map(|i| (-(i as f64 - middle).powi(2) / (2.0 * sigma * sigma)).exp())
        .collect();
    let sum: f64 = raw.iter().sum();
    raw.iter().map(|v| (v / sum) as f32).collect()
}

vectorised! {
    /// `out[i] = sum over k of taps[k] * line[i + k * step]`, for blocks of
    /// [`LANES`] outputs.
    fn weighted_sum(line: &[f32], step: usize, taps: &[f32], out: &mut [f32]) {
        for (block, out) in out.chunks_exact_mut(LANES).enumerate() {
            let mut sum = [0.0_f32; LANES];
            for (k, tap) in taps.iter().enumerate() {
                let values = &line[block * LANES + k * step..][..LANES];
                for (s, v) in sum.iter_mut().zip(values) {
                    *s += tap * v;
                }
            }
            out.copy_from_slice(&sum);
        }
    }
}

/// One plane. Rows are kept padded to whole blocks, with zeros around them.
pub(super) fn blur(
    x: &[f32],
    y: &mut [MaybeUninit<f32>],
    (height, width): (usize, usize),
    taps: &[f32],
) {
    let reach = taps.len() / 2;
    let stride = width.next_multiple_of(LANES);
    let rows = height + 2 * reach;
    let padded = stride + 2 * reach;
    with_scratch(rows * stride + padded + stride, |scratch| {
        let (blurred, rest) = scratch.split_at_mut(rows * stride);
        let (line, out) = rest.split_at_mut(padded);
        line.fill(0.0);
        blurred[..reach * stride].fill(0.0);
        blurred[(height + reach) * stride..].fill(0.0);
        for (row, out) in x
            .chunks_exact(width)
            .zip(blurred[reach * stride..].chunks_mut(stride))
        {
            line[reach..reach + width].copy_from_slice(row);
            weighted_sum(line, 1, taps, out);
        }
        for (row, y) in y.chunks_exact_mut(width).enumerate() {
            weighted_sum(&blurred[row * stride..], stride, taps, out);
            for (y, v) in y.iter_mut().zip(out.iter()) {
                y.write(*v);
            }
        }
    });
}

fn blur_all(x: &[f32], size: (usize, usize), taps: &[f32]) -> Vec<f32> {
    let plane = size.0 * size.1;
    // SAFETY: `blur` writes every row of its plane.
    unsafe {
        filled(x.len(), |y| {
            y.par_chunks_mut(plane)
                .zip(x.par_chunks(plane))
                .for_each(|(y, x)| blur(x, y, size, taps));
        })
    }
}

/// The custom operation. An odd, symmetric window over zero padding is its
/// own transpose, so the gradient is the same blur.
pub(in crate::nn) struct GaussianWindow {
    pub taps: Vec<f32>,
}

impl CustomOp1 for GaussianWindow {
    fn name(&self) -> &'static str {
        "gaussian_window"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (_, _, height, width) = layout.shape().dims4()?;
        let y = blur_all(values(x, layout)?, (height, width), &self.taps);
        output(y, layout.shape().clone())
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let (_, _, height, width) = x.dims4()?;
        let dx = read([dy], |[dy]| blur_all(dy, (height, width), &self.taps))?;
        Ok(Some(tensor_like(dx, x)?))
    }
}
