//! Bilinear doubling of height and width, corners aligned. candle 0.11.1 has
//! no gradient for it.

use super::buffer::{filled, output, read, tensor_like, values, with_scratch};
use super::simd::vectorised;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;
use std::mem::MaybeUninit;

/// Between which two inputs an output lies, and the share of the second.
#[derive(Debug, Clone, Copy)]
pub(in crate::nn) struct Between {
    pub first: usize,
    pub second: usize,
    pub share: f32,
}

/// Where each of the `2 size` outputs along a side lies: output o at
/// `o (size - 1) / (2 size - 1)`, so that the corners coincide.
pub(in crate::nn) fn positions(size: usize) -> Vec<Between> {
    let step = (size - 1) as f32 / (2 * size - 1) as f32;
    (0..2 * size)
        .map(|o| {
            let at = o as f32 * step;
            let first = (at as usize).min(size - 1);
            Between {
                first,
                second: (first + 1).min(size - 1),
                share: at - first as f32,
            }
        })
        .collect()
}

vectorised! {
    /// `mixed = a + (b - a) * share`.
    fn mix(a: &[f32], b: &[f32], share: f32, mixed: &mut [f32]) {
        for ((m, a), b) in mixed.iter_mut().zip(a).zip(b) {
            *m = a + (b - a) * share;
        }
    }
}

vectorised! {
    /// `sum += factor * x`.
    fn add_scaled(sum: &mut [f32], x: &[f32], factor: f32) {
        for (s, x) in sum.iter_mut().zip(x) {
            *s += x * factor;
        }
    }
}

fn plane_forward(
    x: &[f32],
    y: &mut [MaybeUninit<f32>],
    width: usize,
    rows: &[Between],
    columns: &[Between],
) {
    with_scratch(width, |mixed| {
        for (row, y) in rows.iter().zip(y.chunks_exact_mut(2 * width)) {
            let (a, b) = (&x[row.first * width..], &x[row.second * width..]);
            mix(&a[..width], &b[..width], row.share, mixed);
            for (y, c) in y.iter_mut().zip(columns) {
                let (a, b) = (mixed[c.first], mixed[c.second]);
                y.write(a + (b - a) * c.share);
            }
        }
    });
}

fn plane_gradient(dy: &[f32], dx: &mut [f32], width: usize, rows: &[Between], columns: &[Between]) {
    with_scratch(width, |mixed| {
        for (row, dy) in rows.iter().zip(dy.chunks_exact(2 * width)) {
            mixed.fill(0.0);
            for (d, c) in dy.iter().zip(columns) {
                mixed[c.first] += d * (1.0 - c.share);
                mixed[c.second] += d * c.share;
            }
            add_scaled(
                &mut dx[row.first * width..][..width],
                mixed,
                1.0 - row.share,
            );
            add_scaled(&mut dx[row.second * width..][..width], mixed, row.share);
        }
    });
}

/// The custom operation.
pub(in crate::nn) struct UpsampleBilinear2x;

impl CustomOp1 for UpsampleBilinear2x {
    fn name(&self) -> &'static str {
        "upsample_bilinear2x"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (batch, channels, height, width) = layout.shape().dims4()?;
        let x = values(x, layout)?;
        let (rows, columns) = (positions(height), positions(width));
        // SAFETY: every output row of every plane is written.
        let y = unsafe {
            filled(4 * x.len(), |y| {
                y.par_chunks_mut(4 * height * width)
                    .zip(x.par_chunks(height * width))
                    .for_each(|(y, x)| plane_forward(x, y, width, &rows, &columns));
            })
        };
        output(y, (batch, channels, 2 * height, 2 * width))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let (_, _, height, width) = x.dims4()?;
        let (rows, columns) = (positions(height), positions(width));
        let dx = read([dy], |[dy]| {
            let mut dx = vec![0.0; dy.len() / 4];
            dx.par_chunks_mut(height * width)
                .zip(dy.par_chunks(4 * height * width))
                .for_each(|(dx, dy)| plane_gradient(dy, dx, width, &rows, &columns));
            dx
        })?;
        Ok(Some(tensor_like(dx, x)?))
    }
}
