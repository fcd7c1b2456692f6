//! ReLU, with gradient 0 at 0 (candle 0.11.1 has 1 there).

use super::buffer::{filled, output, read, tensor_like, values};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

/// Values one task handles.
const BLOCK: usize = 64 * 1024;

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
                    .for_each(|(y, x)| {
                        for (y, x) in y.iter_mut().zip(x) {
                            y.write(if *x <= 0.0 { 0.0 } else { *x });
                        }
                    });
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
                        .for_each(|((dx, y), dy)| {
                            for ((dx, y), dy) in dx.iter_mut().zip(y).zip(dy) {
                                dx.write(if *y <= 0.0 { 0.0 } else { *dy });
                            }
                        });
                })
            }
        })?;
        Ok(Some(tensor_like(dx, x)?))
    }
}
