//! One step of Adam over one parameter, in a single pass over memory.

use super::simd::vectorised;
use candle_core::{CpuStorage, InplaceOp2, Layout, Result, bail};
use rayon::prelude::*;
use std::sync::Mutex;

/// Values one task handles.
const BLOCK: usize = 16 * 1024;

/// The numbers of one step, with the bias corrections worked in.
#[derive(Debug, Clone, Copy)]
pub(in crate::nn) struct Coefficients<T = f32> {
    /// The gradient is multiplied by this first (clipping).
    pub gradient_scale: T,
    /// Added to the gradient, times the parameter (Adam's L2 penalty).
    pub penalty: T,
    /// The parameter is multiplied by this first (AdamW's decay).
    pub keep: T,
    pub beta1: T,
    pub beta2: T,
    /// `lr / (1 - beta1^t)`.
    pub step: T,
    /// `1 / sqrt(1 - beta2^t)`.
    pub deviation_scale: T,
    pub eps: T,
}

impl Coefficients<f64> {
    pub fn rounded(&self) -> Coefficients {
        Coefficients {
            gradient_scale: self.gradient_scale as f32,
            penalty: self.penalty as f32,
            keep: self.keep as f32,
            beta1: self.beta1 as f32,
            beta2: self.beta2 as f32,
            step: self.step as f32,
            deviation_scale: self.deviation_scale as f32,
            eps: self.eps as f32,
        }
    }
}

vectorised! {
    fn update(p: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32], k: Coefficients) {
        for (((p, g), m), v) in p.iter_mut().zip(g).zip(m).zip(v) {
            let g = g * k.gradient_scale + k.penalty * *p;
            *m += (g - *m) * (1.0 - k.beta1);
            *v = *v * k.beta2 + g * g * (1.0 - k.beta2);
            let deviation = v.sqrt() * k.deviation_scale + k.eps;
            *p = *p * k.keep - k.step * (*m / deviation);
        }
    }
}

/// One step of `parameter` along `gradient`, with the running means of the
/// gradient and of its square. One thread.
pub(in crate::nn) fn step(
    parameter: &mut [f32],
    gradient: &[f32],
    (mean, square): (&mut [f32], &mut [f32]),
    coefficients: Coefficients,
) {
    update(parameter, gradient, mean, square, coefficients);
}

/// The in-place operation on a parameter, with its gradient as the source.
pub(in crate::nn) struct AdamStep<'a> {
    pub coefficients: Coefficients,
    /// Running means of the gradient and of its square.
    pub means: Mutex<(&'a mut [f32], &'a mut [f32])>,
}

impl InplaceOp2 for AdamStep<'_> {
    fn name(&self) -> &'static str {
        "adam_step"
    }

    fn cpu_fwd(
        &self,
        parameter: &mut CpuStorage,
        layout: &Layout,
        gradient: &CpuStorage,
        gradient_layout: &Layout,
    ) -> Result<()> {
        let gradient = super::buffer::values(gradient, gradient_layout)?;
        let (CpuStorage::F32(parameter), Some((start, end))) =
            (parameter, layout.contiguous_offsets())
        else {
            bail!("a contiguous f32 parameter expected");
        };
        let mut means = self.means.lock().unwrap_or_else(|e| e.into_inner());
        let (m, v) = &mut *means;
        parameter[start..end]
            .par_chunks_mut(BLOCK)
            .zip(gradient.par_chunks(BLOCK))
            .zip(m.par_chunks_mut(BLOCK))
            .zip(v.par_chunks_mut(BLOCK))
            .for_each(|(((p, g), m), v)| update(p, g, m, v, self.coefficients));
        Ok(())
    }
}
