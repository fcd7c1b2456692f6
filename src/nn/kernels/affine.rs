//! A scale and a shift for each channel, and ReLU in the same pass: batch
//! normalisation with fixed statistics.

use super::batch_norm::{channel_gradients, write_scaled};
use super::buffer::{filled, output, read, tensor_like, values};
use super::relu::pass_scaled;
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

/// The custom operation on (x, scale, shift): `y = scale x + shift`.
pub(in crate::nn) struct ChannelAffine {
    pub relu: bool,
}

impl CustomOp3 for ChannelAffine {
    fn name(&self) -> &'static str {
        "channel_affine"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        scale: &CpuStorage,
        scale_layout: &Layout,
        shift: &CpuStorage,
        shift_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let x = values(x, x_layout)?;
        let (scale, shift) = (values(scale, scale_layout)?, values(shift, shift_layout)?);
        let (_, channels, height, width) = x_layout.shape().dims4()?;
        let plane = height * width;
        // SAFETY: every plane of `y` is written from the plane of `x`.
        let y = unsafe {
            filled(x.len(), |y| {
                y.par_chunks_mut(plane)
                    .zip(x.par_chunks(plane))
                    .enumerate()
                    .for_each(|(i, (y, x))| {
                        let channel = i % channels;
                        write_scaled(x, y, scale[channel], shift[channel], self.relu);
                    });
            })
        };
        output(y, x_layout.shape().clone())
    }

    fn bwd(
        &self,
        x: &Tensor,
        scale: &Tensor,
        shift: &Tensor,
        y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (batch, channels, height, width) = x.dims4()?;
        let plane = height * width;
        read([x, scale, y, dy], |[xs, scales, ys, dys]| {
            let (d_scale, d_shift): (Vec<f32>, Vec<f32>) = (0..channels)
                .into_par_iter()
                .map(|channel| {
                    let planes = (0..batch).map(|image| {
                        let start = (image * channels + channel) * plane;
                        start..start + plane
                    });
                    let (plain, product) = channel_gradients(planes, [xs, ys, dys], 0.0, self.relu);
                    (product as f32, plain as f32)
                })
                .unzip();
            let floor = if self.relu { 0.0 } else { f32::NEG_INFINITY };
            // SAFETY: every plane of `dx` is written.
            let dx = unsafe {
                filled(xs.len(), |dx| {
                    dx.par_chunks_mut(plane)
                        .zip(ys.par_chunks(plane))
                        .zip(dys.par_chunks(plane))
                        .enumerate()
                        .for_each(|(i, ((dx, y), dy))| {
                            pass_scaled(y, dy, floor, scales[i % channels], dx);
                        });
                })
            };
            Ok((
                Some(tensor_like(dx, x)?),
                Some(tensor_like(d_scale, scale)?),
                Some(tensor_like(d_shift, shift)?),
            ))
        })?
    }
}
