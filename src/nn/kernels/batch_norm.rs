//! Batch normalisation with the statistics of the batch, and ReLU in the
//! same pass. Ioffe and Szegedy, ICML 2015.

use super::buffer::{Shared, filled, output, read, tensor_like, values};
use super::simd::vectorised;
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;
use std::mem::MaybeUninit;

/// Values summed in `f32` before the sum goes on in `f64`.
const RUN: usize = 4096;

/// Independent sums, so that the compiler can use wide vectors.
const LANES: usize = 32;

vectorised! {
    /// The sum of a run in `f32`, in a fixed order.
    fn run_sum(x: &[f32]) -> f32 {
        let mut lanes = [0.0_f32; LANES];
        let chunks = x.chunks_exact(LANES);
        for (l, v) in lanes.iter_mut().zip(chunks.remainder()) {
            *l += v;
        }
        for chunk in chunks {
            for (l, v) in lanes.iter_mut().zip(chunk) {
                *l += v;
            }
        }
        lanes.iter().sum()
    }
}

vectorised! {
    /// The sum of squared distances of a run to `centre`.
    fn run_squares(x: &[f32], centre: f32) -> f32 {
        let mut lanes = [0.0_f32; LANES];
        let chunks = x.chunks_exact(LANES);
        for (l, v) in lanes.iter_mut().zip(chunks.remainder()) {
            *l += (v - centre) * (v - centre);
        }
        for chunk in chunks {
            for (l, v) in lanes.iter_mut().zip(chunk) {
                *l += (v - centre) * (v - centre);
            }
        }
        lanes.iter().sum()
    }
}

vectorised! {
    /// Sums of `dy` and of `dy * (x - mean)` over a run; with `relu`, only
    /// where `y` is positive.
    fn run_gradients(x: &[f32], y: &[f32], dy: &[f32], mean: f32, relu: bool) -> (f32, f32) {
        let mut plain = [0.0_f32; LANES];
        let mut centred = [0.0_f32; LANES];
        let floor = if relu { 0.0 } else { f32::NEG_INFINITY };
        let n = x.len();
        let (y, dy) = (&y[..n], &dy[..n]);
        let mut start = 0;
        while start < n {
            let len = LANES.min(n - start);
            let (x, y, dy) = (&x[start..][..len], &y[start..][..len], &dy[start..][..len]);
            if len == LANES {
                for i in 0..LANES {
                    let d = if y[i] <= floor { 0.0 } else { dy[i] };
                    plain[i] += d;
                    centred[i] += d * (x[i] - mean);
                }
            } else {
                for i in 0..len {
                    let d = if y[i] <= floor { 0.0 } else { dy[i] };
                    plain[i] += d;
                    centred[i] += d * (x[i] - mean);
                }
            }
            start += LANES;
        }
        (plain.iter().sum(), centred.iter().sum())
    }
}

vectorised! {
    /// `y = scale * x + shift`, negative values set to 0 if `relu`.
    fn scale_shift(x: &[f32], y: &mut [MaybeUninit<f32>], scale: f32, shift: f32, relu: bool) {
        let floor = if relu { 0.0 } else { f32::NEG_INFINITY };
        for (y, x) in y.iter_mut().zip(x) {
            let v = scale * x + shift;
            // Not `max`, which would turn a NaN into 0 and hide it.
            y.write(if v < floor { floor } else { v });
        }
    }
}

vectorised! {
    /// `dx = scale * (dy - offset - (x - mean) * slope)`; with `relu`, `dy`
    /// counts only where `y` is positive.
    fn normalise_gradient(
        x: &[f32],
        y: &[f32],
        dy: &[f32],
        dx: &mut [MaybeUninit<f32>],
        scale: f32,
        offset: f32,
        mean: f32,
        slope: f32,
        relu: bool,
    ) {
        let floor = if relu { 0.0 } else { f32::NEG_INFINITY };
        for (((dx, x), y), dy) in dx.iter_mut().zip(x).zip(y).zip(dy) {
            let d = if *y <= floor { 0.0 } else { *dy };
            dx.write(scale * (d - offset - (x - mean) * slope));
        }
    }
}

/// The sum of a slice, in a fixed order, to `f64`.
pub(super) fn sum(x: &[f32]) -> f64 {
    x.chunks(RUN).map(|run| f64::from(run_sum(run))).sum()
}

/// The sum of squares of a slice, in a fixed order, to `f64`.
pub(in crate::nn) fn sum_of_squares(x: &[f32]) -> f64 {
    x.chunks(RUN)
        .map(|run| f64::from(run_squares(run, 0.0)))
        .sum()
}

/// As [`scale_shift`], for [`super::affine`].
pub(super) fn write_scaled(
    x: &[f32],
    y: &mut [MaybeUninit<f32>],
    scale: f32,
    shift: f32,
    relu: bool,
) {
    scale_shift(x, y, scale, shift, relu);
}

/// Sums of `dy` and of `dy * (x - mean)` over the planes of one channel.
pub(super) fn channel_gradients(
    planes: impl Iterator<Item = std::ops::Range<usize>>,
    [x, y, dy]: [&[f32]; 3],
    mean: f32,
    relu: bool,
) -> (f64, f64) {
    let mut total = (0.0, 0.0);
    for plane in planes {
        for start in plane.clone().step_by(RUN) {
            let run = start..plane.end.min(start + RUN);
            let (plain, centred) =
                run_gradients(&x[run.clone()], &y[run.clone()], &dy[run], mean, relu);
            total.0 += f64::from(plain);
            total.1 += f64::from(centred);
        }
    }
    total
}

/// Mean and biased variance of one channel.
#[derive(Debug, Clone, Copy)]
pub(in crate::nn) struct Moments {
    pub mean: f64,
    pub variance: f64,
}

/// The moments of every channel of `x`, `[batch, channels, plane]`.
///
/// Each run of values is centred on its own mean, and runs are joined by the
/// formula of Chan, Golub and LeVeque (1979), so that a mean far from 0 costs
/// no precision.
pub(in crate::nn) fn moments(x: &[f32], channels: usize, plane: usize) -> Vec<Moments> {
    let batch = x.len() / (channels * plane);
    (0..channels)
        .into_par_iter()
        .map(|channel| {
            let (mut count, mut mean, mut squares) = (0.0, 0.0, 0.0);
            for image in 0..batch {
                let values = &x[(image * channels + channel) * plane..][..plane];
                for run in values.chunks(RUN) {
                    let n = run.len() as f64;
                    let centre = (f64::from(run_sum(run)) / n) as f32;
                    let apart = f64::from(centre) - mean;
                    let total = count + n;
                    squares +=
                        f64::from(run_squares(run, centre)) + apart * apart * count * n / total;
                    mean += apart * n / total;
                    count = total;
                }
            }
            Moments {
                mean,
                variance: squares / count,
            }
        })
        .collect()
}

/// The custom operation on (x, gamma, beta).
pub(in crate::nn) struct BatchNorm {
    pub moments: Vec<Moments>,
    pub eps: f64,
    pub relu: bool,
}

impl BatchNorm {
    fn inverse_deviation(&self, channel: usize) -> f64 {
        (self.moments[channel].variance + self.eps).sqrt().recip()
    }
}

impl CustomOp3 for BatchNorm {
    fn name(&self) -> &'static str {
        "batch_norm_train"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        gamma: &CpuStorage,
        gamma_layout: &Layout,
        beta: &CpuStorage,
        beta_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let x = values(x, x_layout)?;
        let (gamma, beta) = (values(gamma, gamma_layout)?, values(beta, beta_layout)?);
        let (_, channels, height, width) = x_layout.shape().dims4()?;
        let plane = height * width;
        let fill = |y: &mut [MaybeUninit<f32>]| {
            y.par_chunks_mut(plane)
                .zip(x.par_chunks(plane))
                .enumerate()
                .for_each(|(i, (y, x))| {
                    let channel = i % channels;
                    let scale = f64::from(gamma[channel]) * self.inverse_deviation(channel);
                    let shift = f64::from(beta[channel]) - scale * self.moments[channel].mean;
                    scale_shift(x, y, scale as f32, shift as f32, self.relu);
                });
        };
        // SAFETY: every plane of `y` is written from the plane of `x`.
        let y = unsafe { filled(x.len(), fill) };
        output(y, x_layout.shape().clone())
    }

    fn bwd(
        &self,
        x: &Tensor,
        gamma: &Tensor,
        beta: &Tensor,
        y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (batch, channels, height, width) = x.dims4()?;
        let plane = height * width;
        let (dx, sums) = read([x, gamma, y, dy], |[xs, gammas, ys, dys]| {
            let mut sums = Vec::new();
            let fill = |dx: &mut [MaybeUninit<f32>]| {
                let dx = Shared::new(dx);
                sums = (0..channels)
                    .into_par_iter()
                    .map(|channel| {
                        let planes = (0..batch).map(|image| {
                            let start = (image * channels + channel) * plane;
                            start..start + plane
                        });
                        let mean = self.moments[channel].mean as f32;
                        let inverse = self.inverse_deviation(channel);
                        let (plain, centred) =
                            channel_gradients(planes.clone(), [xs, ys, dys], mean, self.relu);
                        let count = (batch * plane) as f64;
                        let scale = (f64::from(gammas[channel]) * inverse) as f32;
                        let offset = (plain / count) as f32;
                        let slope = (centred * inverse * inverse / count) as f32;
                        for at in planes {
                            // SAFETY: a channel alone writes its planes.
                            let dx = unsafe { dx.slice(at.start, plane) };
                            let (x, y, dy) = (&xs[at.clone()], &ys[at.clone()], &dys[at]);
                            normalise_gradient(x, y, dy, dx, scale, offset, mean, slope, self.relu);
                        }
                        ((centred * inverse) as f32, plain as f32)
                    })
                    .collect::<Vec<_>>();
            };
            // SAFETY: every plane of every channel is written.
            let dx = unsafe { filled(xs.len(), fill) };
            (dx, sums)
        })?;
        let (d_gamma, d_beta) = sums.into_iter().unzip();
        Ok((
            Some(tensor_like(dx, x)?),
            Some(tensor_like(d_gamma, gamma)?),
            Some(tensor_like(d_beta, beta)?),
        ))
    }
}
