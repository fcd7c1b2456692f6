//! ReLU, with gradient 0 at 0 (candle 0.11.1 has 1 there).

use super::buffer::{filled, output, read, tensor_like, values};
use super::simd::vectorised;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;
use std::mem::MaybeUninit;

/// Values one task handles.
const BLOCK: usize = 64 * 1024;

vectorised! {
    fn clip(x: &[f32], y: &mut [MaybeUninit<f32>]) {
        for (y, x) in y.iter_mut().zip(x) {
            y.write(if *x <= 0.0 { 0.0 } else { *x });
        }
    }
}

vectorised! {
    /// `dx = scale * dy` where `y` exceeds `floor`, else 0.
    fn pass(y: &[f32], dy: &[f32], floor: f32, scale: f32, dx: &mut [MaybeUninit<f32>]) {
        for ((dx, y), dy) in dx.iter_mut().zip(y).zip(dy) {
            // Computed before it is chosen: no branch, so whole vectors.
            let scaled = scale * dy;
            dx.write(if *y <= floor { 0.0 } else { scaled });
        }
    }
}

/// As [`pass`], for [`super::affine`].
pub(super) fn pass_scaled(
    y: &[f32],
    dy: &[f32],
    floor: f32,
    scale: f32,
    dx: &mut [MaybeUninit<f32>],
) {
    pass(y, dy, floor, scale, dx);
}

/// The custom operation `y = max(x, 0)`; NaN stays NaN.
pub(in crate::nn) struct Relu;

impl CustomOp1 for Relu {
    fn name(&self) -> &'static str {
        "relu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = values(x, layout)?;
        // SAFETY: every block of `y` is written from the block of `x`.
        let y = unsafe {
            filled(x.len(), |y| {
                y.par_chunks_mut(BLOCK)
                    .zip(x.par_chunks(BLOCK))
                    .for_each(|(y, x)| clip(x, y));
            })
        };
        output(y, layout.shape().clone())
    }

    fn bwd(&self, x: &Tensor, y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let dx = read([y, dy], |[y, dy]| {
            // SAFETY: every block of `dx` is written.
            unsafe {
                filled(y.len(), |dx| {
                    dx.par_chunks_mut(BLOCK)
                        .zip(y.par_chunks(BLOCK))
                        .zip(dy.par_chunks(BLOCK))
                        .for_each(|((dx, y), dy)| pass(y, dy, 0.0, 1.0, dx));
                })
            }
        })?;
        Ok(Some(tensor_like(dx, x)?))
    }
}
