//! The operations of [`super::ops`] as plain compositions of candle's, for
//! devices without kernels of our own.
//!
//! Only candle operations whose gradients are right are used (matrix
//! products, slices, concatenation, selection, sums). On the CPU this is the
//! slow, obvious version against which the kernels are tested.

use super::kernels::pool::MaxPool2d;
use super::ops::BatchNormOutput;
use crate::error::Result;
use candle_core::{D, Tensor};

/// Adds `before` and `after` values of a constant on a dimension.
fn pad(x: &Tensor, dim: usize, before: usize, after: usize, value: f32) -> Result<Tensor> {
    let block = |len: usize| -> Result<Option<Tensor>> {
        if len == 0 {
            return Ok(None);
        }
        let mut shape = x.dims().to_vec();
        shape[dim] = len;
        Ok(Some(Tensor::full(value, shape, x.device())?))
    };
    let (before, after) = (block(before)?, block(after)?);
    let parts: Vec<&Tensor> = [before.as_ref(), Some(x), after.as_ref()]
        .into_iter()
        .flatten()
        .collect();
    Ok(Tensor::cat(&parts, dim)?)
}

/// Every `stride`-th value of a dimension from `start`, `count` of them.
fn step(x: &Tensor, dim: usize, start: usize, count: usize, stride: usize) -> Result<Tensor> {
    let part = x.narrow(dim, start, count * stride)?;
    if stride == 1 {
        return Ok(part);
    }
    let mut shape = part.dims().to_vec();
    shape[dim] = count;
    shape.insert(dim + 1, stride);
    Ok(part
        .contiguous()?
        .reshape(shape)?
        .narrow(dim + 1, 0, 1)?
        .squeeze(dim + 1)?)
}

/// For every tap of a square window the image seen through it, in reading
/// order: `k * k` tensors `[n, c, out_height, out_width]`.
fn taps(
    x: &Tensor,
    kernel: usize,
    stride: usize,
    padding: usize,
    outside: f32,
) -> Result<Vec<Tensor>> {
    let (_, _, height, width) = x.dims4()?;
    let outputs = |size: usize| (size + 2 * padding - kernel) / stride + 1;
    let (out_height, out_width) = (outputs(height), outputs(width));
    // Room on the far side for whole steps from the last tap on.
    let far = |size: usize, out: usize| (kernel - 1 + out * stride).saturating_sub(size + padding);
    let x = pad(x, 2, padding, far(height, out_height), outside)?;
    let x = pad(&x, 3, padding, far(width, out_width), outside)?;
    let mut seen = Vec::with_capacity(kernel * kernel);
    for ky in 0..kernel {
        let rows = step(&x, 2, ky, out_height, stride)?;
        for kx in 0..kernel {
            seen.push(step(&rows, 3, kx, out_width, stride)?);
        }
    }
    Ok(seen)
}

/// Windows as columns of a matrix, times the weights.
pub(super) fn conv2d(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    stride: usize,
    padding: usize,
) -> Result<Tensor> {
    let (filters, channels, kernel, _) = weight.dims4()?;
    let batch = x.dim(0)?;
    let seen = taps(x, kernel, stride, padding, 0.0)?;
    let (_, _, height, width) = seen[0].dims4()?;
    let windows = Tensor::stack(&seen, 2)?; // [n, c, k k, h, w]
    let windows = windows.reshape((batch, channels * kernel * kernel, height * width))?;
    let weight = weight.reshape((1, filters, channels * kernel * kernel))?;
    let y = weight
        .broadcast_matmul(&windows)?
        .reshape((batch, filters, height, width))?;
    Ok(match bias {
        Some(bias) => y.broadcast_add(&bias.reshape((1, filters, 1, 1))?)?,
        None => y,
    })
}

pub(super) fn batch_norm_train(
    x: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    eps: f64,
    relu: bool,
) -> Result<BatchNormOutput> {
    let (batch, channels, height, width) = x.dims4()?;
    let rows = x
        .transpose(0, 1)?
        .contiguous()?
        .reshape((channels, batch * height * width))?;
    let mean = rows.mean_keepdim(1)?; // [c, 1]
    let centred = rows.broadcast_sub(&mean)?;
    let variance = centred.sqr()?.mean_keepdim(1)?;
    let scale = (gamma.reshape((channels, 1))? / (&variance + eps)?.sqrt()?)?;
    let y = centred
        .broadcast_mul(&scale)?
        .broadcast_add(&beta.reshape((channels, 1))?)?
        .reshape((channels, batch, height, width))?
        .transpose(0, 1)?
        .contiguous()?;
    Ok(BatchNormOutput {
        y: if relu { self::relu(&y)? } else { y },
        mean: mean.flatten_all()?.detach(),
        variance: variance.flatten_all()?.detach(),
    })
}

pub(super) fn channel_affine(
    x: &Tensor,
    scale: &Tensor,
    shift: &Tensor,
    relu: bool,
) -> Result<Tensor> {
    let shape = (1, x.dim(1)?, 1, 1);
    let y = x
        .broadcast_mul(&scale.reshape(shape)?)?
        .broadcast_add(&shift.reshape(shape)?)?;
    if relu { self::relu(&y) } else { Ok(y) }
}

/// By selection: candle's own ReLU has gradient 1 at 0.
pub(super) fn relu(x: &Tensor) -> Result<Tensor> {
    Ok(x.le(0.0)?.where_cond(&x.zeros_like()?, x)?)
}

/// The maximum of the taps, one after the other; an equal later one does not
/// replace an earlier.
pub(super) fn max_pool2d(x: &Tensor, pool: &MaxPool2d) -> Result<Tensor> {
    let seen = taps(x, pool.kernel, pool.stride, pool.padding, f32::NEG_INFINITY)?;
    let mut best = seen[0].clone();
    for tap in &seen[1..] {
        // NaN exceeds every number: it is the one value not equal to itself.
        let exceeds = (tap.gt(&best)? + (tap.ne(tap)? * best.eq(&best)?)?)?;
        best = exceeds.where_cond(tap, &best)?;
    }
    Ok(best)
}

/// `A_h x A_w^T`, with the interpolation weights as matrices.
pub(super) fn upsample_bilinear2x(x: &Tensor) -> Result<Tensor> {
    let weights = |size: usize| -> Result<Tensor> {
        let mut matrix = vec![0.0_f32; 2 * size * size];
        for (o, row) in matrix.chunks_exact_mut(size).enumerate() {
            let position = (o * (size - 1)) as f32 / (2 * size - 1) as f32;
            let first = position as usize;
            let share = position - first as f32;
            row[first] += 1.0 - share;
            row[(first + 1).min(size - 1)] += share;
        }
        Ok(Tensor::from_vec(matrix, (2 * size, size), x.device())?)
    };
    let (_, _, height, width) = x.dims4()?;
    on_rows_and_columns(x, &weights(height)?, &weights(width)?)
}

/// The row pass and the column pass as products with banded matrices.
pub(super) fn ssim(x: &Tensor, y: &Tensor, taps: &[f32], [c1, c2]: [f64; 2]) -> Result<Tensor> {
    let blur = |t: &Tensor| gaussian_window(t, taps);
    let (mx, my) = (blur(x)?, blur(y)?);
    let (mxx, myy, mxy) = (mx.sqr()?, my.sqr()?, (&mx * &my)?);
    let sxx = (blur(&x.sqr()?)? - &mxx)?;
    let syy = (blur(&y.sqr()?)? - &myy)?;
    let sxy = (blur(&(x * y)?)? - &mxy)?;
    let numerator = (((mxy * 2.0)? + c1)? * ((sxy * 2.0)? + c2)?)?;
    let denominator = (((mxx + myy)? + c1)? * ((sxx + syy)? + c2)?)?;
    Ok((numerator / denominator)?)
}

pub(super) fn gaussian_window(x: &Tensor, taps: &[f32]) -> Result<Tensor> {
    let weights = |size: usize| -> Result<Tensor> {
        let reach = taps.len() / 2;
        let matrix: Vec<f32> = (0..size * size)
            .map(|i| (i % size + reach).checked_sub(i / size))
            .map(|tap| tap.and_then(|tap| taps.get(tap)).copied().unwrap_or(0.0))
            .collect();
        Ok(Tensor::from_vec(matrix, (size, size), x.device())?)
    };
    let (_, _, height, width) = x.dims4()?;
    on_rows_and_columns(x, &weights(height)?, &weights(width)?)
}

/// `rows x columns^T` for every plane of `x`.
fn on_rows_and_columns(x: &Tensor, rows: &Tensor, columns: &Tensor) -> Result<Tensor> {
    let half = x.broadcast_matmul(&columns.t()?)?; // [n, c, h, w']
    Ok(half
        .transpose(2, 3)?
        .broadcast_matmul(&rows.t()?)? // [n, c, w', h']
        .transpose(2, 3)?
        .contiguous()?)
}

pub(super) fn softmax_channels(x: &Tensor) -> Result<Tensor> {
    // The highest value cancels out, so it needs no gradient.
    let highest = x.detach().max_keepdim(D::Minus(3))?;
    let raised = x.broadcast_sub(&highest)?.exp()?;
    let sum = raised.sum_keepdim(D::Minus(3))?;
    Ok(raised.broadcast_div(&sum)?)
}
