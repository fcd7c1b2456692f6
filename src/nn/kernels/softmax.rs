//! Softmax over the channels of every pixel.

use super::buffer::{Shared, filled, output, read, tensor_like, values};
use super::simd::vectorised;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;
use std::mem::MaybeUninit;

/// Pixels handled together: their channels stay in the L1 cache.
const PIXELS: usize = 512;

/// `exp(x)` for x <= 0 to 2 units in the last place, in operations that the
/// compiler can do on whole vectors: 2^n times a polynomial (Cephes' `expf`).
/// Below -87 the result stays at exp(-87), 2e-38. NaN stays NaN.
#[inline(always)]
fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23: adding it rounds to an integer
    let x = if x < -87.0 { -87.0 } else { x };
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4; // ln 2 in two parts
    let p = 1.987_569_1e-4_f32;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 5.000_000_3e-1;
    let p = p * r * r + r + 1.0;
    // The low bits of `shifted` hold n; moved up they are the exponent of 2^n.
    let power = shifted
        .to_bits()
        .wrapping_sub(ROUND.to_bits())
        .wrapping_add(127)
        << 23;
    p * f32::from_bits(power)
}

vectorised! {
    fn raise(highest: &mut [f32], x: &[f32]) {
        for (h, x) in highest.iter_mut().zip(x) {
            *h = if *x > *h { *x } else { *h };
        }
    }
}

vectorised! {
    fn exponentials(x: &[f32], highest: &[f32], y: &mut [MaybeUninit<f32>], sum: &mut [f32]) {
        for (((x, h), y), s) in x.iter().zip(highest).zip(y).zip(sum) {
            *s += *y.write(exp(x - h));
        }
    }
}

vectorised! {
    fn divide(y: &mut [f32], sum: &[f32]) {
        for (y, s) in y.iter_mut().zip(sum) {
            *y /= s;
        }
    }
}

vectorised! {
    fn add_product(sum: &mut [f32], y: &[f32], dy: &[f32]) {
        for ((s, y), dy) in sum.iter_mut().zip(y).zip(dy) {
            *s += y * dy;
        }
    }
}

vectorised! {
    fn gradient(y: &[f32], dy: &[f32], sum: &[f32], dx: &mut [MaybeUninit<f32>]) {
        for (((y, dy), s), dx) in y.iter().zip(dy).zip(sum).zip(dx) {
            dx.write(y * (dy - s));
        }
    }
}

/// Calls `f(start of the first channel's pixels, their number)` for every
/// block of pixels of every image, in parallel.
fn for_each_block(images: usize, channels: usize, plane: usize, f: impl Fn(usize, usize) + Sync) {
    let blocks = plane.div_ceil(PIXELS);
    (0..images * blocks).into_par_iter().for_each(|i| {
        let (image, first) = (i / blocks, i % blocks * PIXELS);
        f(image * channels * plane + first, PIXELS.min(plane - first));
    });
}

/// The custom operation.
pub(in crate::nn) struct SoftmaxChannels;

impl CustomOp1 for SoftmaxChannels {
    fn name(&self) -> &'static str {
        "softmax_channels"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (images, channels, height, width) = layout.shape().dims4()?;
        let plane = height * width;
        let x = values(x, layout)?;
        let fill = |y: &mut [MaybeUninit<f32>]| {
            let y = Shared::new(y);
            for_each_block(images, channels, plane, |start, len| {
                let (mut highest, mut sum) = ([f32::NEG_INFINITY; PIXELS], [0.0; PIXELS]);
                let channels = (0..channels).map(|c| start + c * plane);
                for at in channels.clone() {
                    raise(&mut highest[..len], &x[at..][..len]);
                }
                for at in channels.clone() {
                    // SAFETY: this block alone writes its pixels.
                    let y = unsafe { y.slice(at, len) };
                    exponentials(&x[at..][..len], &highest, y, &mut sum);
                }
                for at in channels {
                    // SAFETY: as above, and written just now.
                    let y = unsafe { std::slice::from_raw_parts_mut(y.at(at, len), len) };
                    divide(y, &sum);
                }
            });
        };
        // SAFETY: the blocks cover every pixel of every channel.
        let y = unsafe { filled(x.len(), fill) };
        output(y, layout.shape().clone())
    }

    /// `dx = y (dy - sum over the channels of y dy)`.
    fn bwd(&self, x: &Tensor, y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let (images, channels, height, width) = x.dims4()?;
        let plane = height * width;
        let dx = read([y, dy], |[y, dy]| {
            let fill = |dx: &mut [MaybeUninit<f32>]| {
                let dx = Shared::new(dx);
                for_each_block(images, channels, plane, |start, len| {
                    let mut sum = [0.0; PIXELS];
                    let sum = &mut sum[..len];
                    for c in 0..channels {
                        let at = start + c * plane;
                        add_product(sum, &y[at..][..len], &dy[at..][..len]);
                    }
                    for c in 0..channels {
                        let at = start + c * plane;
                        // SAFETY: this block alone writes its pixels.
                        let dx = unsafe { dx.slice(at, len) };
                        gradient(&y[at..][..len], &dy[at..][..len], sum, dx);
                    }
                });
            };
            // SAFETY: the blocks cover every pixel of every channel.
            unsafe { filled(y.len(), fill) }
        })?;
        Ok(Some(tensor_like(dx, x)?))
    }
}
