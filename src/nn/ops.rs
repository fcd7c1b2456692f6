//! Operations on `f32` tensors `[n, c, h, w]`, each with a right gradient.
//!
//! The one place that knows about devices: on the CPU our own kernels run
//! (5 to 20 times candle's speed), on NVIDIA's GPUs cuDNN's convolutions (with
//! the chosen [`super::precision`]), for all else the compositions of
//! `nn::ops_generic`. Both agree to rounding, which the tests check
//! along with finite differences and values from PyTorch. Needed because in
//! candle 0.11.1 the gradients of max pooling, of ReLU at 0 and of strided
//! convolutions are wrong, and that of bilinear up-sampling is missing.
//!
//! On the CPU results are the same bytes whatever the number of threads.

use super::kernels::affine::ChannelAffine;
use super::kernels::batch_norm::{BatchNorm, moments};
use super::kernels::conv::Conv2d;
use super::kernels::gaussian::{self, GaussianWindow};
use super::kernels::im2col::Geometry;
use super::kernels::pool::MaxPool2d;
use super::kernels::relu::Relu;
use super::kernels::softmax::SoftmaxChannels;
use super::kernels::ssim::Ssim;
use super::kernels::upsample::UpsampleBilinear2x;
use super::{kernels, ops_generic};
use crate::error::{Error, Result};
use crate::random::Seed;
use candle_core::{DType, Tensor};
use rand::RngCore;

/// Correlates `x` with a bank of square kernels.
///
/// `y[n, o, i, j] = bias[o] + sum over c, a, b of weight[o, c, a, b]
/// x[n, c, i stride + a - padding, j stride + b - padding]`, with zeros
/// around `x`. Shapes: `x` `[n, c, h, w]`, `weight` `[o, c, k, k]`, `bias`
/// `[o]`; the result is `[n, o, (h + 2 padding - k) / stride + 1, ...]`,
/// rounded down. Gradients of all three, as far as they are needed.
///
/// # Errors
/// [`Error::Shape`] if the shapes do not fit, the stride is 0, the padding is
/// not less than k, or the kernel is larger than the padded image.
pub fn conv2d(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    stride: usize,
    padding: usize,
) -> Result<Tensor> {
    let (batch, channels, height, width) = image_shape("conv2d input", x)?;
    let (filters, _, kernel, _) = image_shape("conv2d weight", weight)?;
    expect(
        "conv2d weight",
        weight.dims(),
        &[filters, channels, kernel, kernel],
    )?;
    if let Some(bias) = bias {
        expect_vector("conv2d bias", bias, filters)?;
    }
    expect_window("conv2d", kernel, stride, (height, width), padding)?;
    if padding >= kernel {
        return Err(Error::shape("conv2d padding", padding, 0..kernel));
    }
    let geometry = Geometry {
        batch,
        channels,
        filters,
        height,
        width,
        kernel,
        stride,
        padding,
    };
    #[cfg(feature = "cuda")]
    if x.device().is_cuda() {
        let y = kernels::cudnn::conv2d(x, weight, geometry)?;
        return Ok(match bias {
            Some(bias) => y.broadcast_add(&bias.reshape((1, filters, 1, 1))?)?,
            None => y,
        });
    }
    if !x.device().is_cpu() {
        return ops_generic::conv2d(x, weight, bias, stride, padding);
    }
    let op = Conv2d {
        geometry,
        input_needs_gradient: x.track_op(),
        weight_needs_gradient: weight.track_op(),
    };
    let (x, weight) = (x.contiguous()?, weight.contiguous()?);
    Ok(match bias {
        Some(bias) => x.apply_op3(&weight, &bias.contiguous()?, op)?,
        None => x.apply_op2(&weight, op)?,
    })
}

/// What [`batch_norm_train`] returns.
#[derive(Debug, Clone)]
pub struct BatchNormOutput {
    /// The normalised images, `[n, c, h, w]`.
    pub y: Tensor,
    /// The mean of each channel over images and pixels, `[c]`; no gradient.
    pub mean: Tensor,
    /// The biased variance (divided by the number of values), `[c]`; no gradient.
    pub variance: Tensor,
}

/// Normalises every channel with its own mean and variance in this batch:
/// `y = gamma (x - mean) / sqrt(variance + eps) + beta`, then ReLU if `relu`.
///
/// The gradient passes through mean and variance. Running averages are the
/// caller's ([`super::layers::BatchNorm2d`]).
///
/// # Errors
/// [`Error::Shape`] if gamma or beta is not `[c]`, or with one value a channel.
///
/// # References
/// S. Ioffe, C. Szegedy: Batch Normalization, ICML 2015, algorithm 1.
pub fn batch_norm_train(
    x: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    eps: f64,
    relu: bool,
) -> Result<BatchNormOutput> {
    let (batch, channels, height, width) = image_shape("batch norm input", x)?;
    expect_vector("batch norm gamma", gamma, channels)?;
    expect_vector("batch norm beta", beta, channels)?;
    if batch * height * width < 2 {
        return Err(Error::shape(
            "values a channel to normalise in training",
            batch * height * width,
            "more than 1",
        ));
    }
    if !x.device().is_cpu() {
        return ops_generic::batch_norm_train(x, gamma, beta, eps, relu);
    }
    let x = x.contiguous()?;
    let moments = kernels::read([&x], |[x]| moments(x, channels, height * width))?;
    let vector = |value: fn(&kernels::batch_norm::Moments) -> f64| {
        let values: Vec<f32> = moments.iter().map(|m| value(m) as f32).collect();
        Tensor::from_vec(values, channels, x.device())
    };
    let (mean, variance) = (vector(|m| m.mean)?, vector(|m| m.variance)?);
    let op = BatchNorm { moments, eps, relu };
    let y = x.apply_op3(&gamma.contiguous()?, &beta.contiguous()?, op)?;
    Ok(BatchNormOutput { y, mean, variance })
}

/// Normalises every channel with given statistics: `y = gamma (x - mean) /
/// sqrt(variance + eps) + beta`, then ReLU if `relu`. All but `x` are `[c]`;
/// each has its gradient.
///
/// # Errors
/// [`Error::Shape`] if the shapes do not fit.
pub fn batch_norm_eval(
    x: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    mean: &Tensor,
    variance: &Tensor,
    eps: f64,
    relu: bool,
) -> Result<Tensor> {
    let (_, channels, _, _) = image_shape("batch norm input", x)?;
    for (name, vector) in [
        ("batch norm gamma", gamma),
        ("batch norm beta", beta),
        ("batch norm mean", mean),
        ("batch norm variance", variance),
    ] {
        expect_vector(name, vector, channels)?;
    }
    let scale = (gamma / (variance + eps)?.sqrt()?)?;
    let shift = (beta - (mean * &scale)?)?;
    channel_affine(x, &scale, &shift, relu)
}

/// `y = scale[c] x + shift[c]` for every channel c, then ReLU if `relu`.
///
/// # Errors
/// [`Error::Shape`] if the shapes do not fit.
pub fn channel_affine(x: &Tensor, scale: &Tensor, shift: &Tensor, relu: bool) -> Result<Tensor> {
    let (_, channels, _, _) = image_shape("channel affine input", x)?;
    expect_vector("channel affine scale", scale, channels)?;
    expect_vector("channel affine shift", shift, channels)?;
    if !x.device().is_cpu() {
        return ops_generic::channel_affine(x, scale, shift, relu);
    }
    let op = ChannelAffine { relu };
    Ok(x.contiguous()?
        .apply_op3(&scale.contiguous()?, &shift.contiguous()?, op)?)
}

/// `y = max(x, 0)`, of any shape. The gradient at 0 is 0, as in PyTorch; NaN
/// stays NaN.
///
/// # Errors
/// [`Error::Shape`] if the values are not `f32`.
pub fn relu(x: &Tensor) -> Result<Tensor> {
    expect_f32("relu input", x)?;
    if !x.device().is_cpu() {
        return ops_generic::relu(x);
    }
    Ok(x.contiguous()?.apply_op1(Relu)?)
}

/// The maximum of every `kernel` x `kernel` window. The padding counts as
/// minus infinity; of equal values the first in reading order gets the
/// gradient, as in PyTorch.
///
/// # Errors
/// [`Error::Shape`] if kernel or stride is 0, the padding is more than half
/// the kernel, or the kernel is larger than the padded image.
pub fn max_pool2d(x: &Tensor, kernel: usize, stride: usize, padding: usize) -> Result<Tensor> {
    let (_, _, height, width) = image_shape("max_pool2d input", x)?;
    expect_window("max_pool2d", kernel, stride, (height, width), padding)?;
    if padding > kernel / 2 {
        return Err(Error::shape("max_pool2d padding", padding, 0..=kernel / 2));
    }
    let op = MaxPool2d {
        kernel,
        stride,
        padding,
    };
    if !x.device().is_cpu() {
        return ops_generic::max_pool2d(x, &op);
    }
    Ok(x.contiguous()?.apply_op1(op)?)
}

/// Doubles height and width by bilinear interpolation with aligned corners:
/// output row i lies at input row `i (h - 1) / (2 h - 1)`, columns alike.
///
/// # Errors
/// [`Error::Shape`] unless `x` is `[n, c, h, w]`.
pub fn upsample_bilinear2x(x: &Tensor) -> Result<Tensor> {
    image_shape("upsample_bilinear2x input", x)?;
    if !x.device().is_cpu() {
        return ops_generic::upsample_bilinear2x(x);
    }
    Ok(x.contiguous()?.apply_op1(UpsampleBilinear2x)?)
}

/// Every channel correlated with a `size` x `size` Gaussian window whose
/// weights `exp(-(i^2 + j^2) / (2 sigma^2))` are scaled to sum 1; zeros around
/// the image, same size out. SSIM uses size 11 and sigma 1.5.
///
/// # Errors
/// [`Error::Shape`] if the size is even; [`Error::Setting`] if sigma is not
/// positive.
pub fn gaussian_window(x: &Tensor, size: usize, sigma: f64) -> Result<Tensor> {
    image_shape("gaussian_window input", x)?;
    expect_gaussian(size, sigma)?;
    let taps = gaussian::taps(size, sigma);
    if !x.device().is_cpu() {
        return ops_generic::gaussian_window(x, &taps);
    }
    Ok(x.contiguous()?.apply_op1(GaussianWindow { taps })?)
}

/// The structural similarity of two images at every pixel, each channel by
/// itself: with the means `m` under a Gaussian window as in
/// [`gaussian_window`], `sxx = m(x x) - mx mx` and so on,
/// `(2 mx my + c1)(2 sxy + c2) / ((mx mx + my my + c1)(sxx + syy + c2))`.
/// Shapes: `x`, `y` and the result `[n, c, h, w]`; `constants` are c1 and c2.
///
/// # Errors
/// [`Error::Shape`] if the shapes differ; as for [`gaussian_window`].
///
/// # References
/// Z. Wang and others: Image quality assessment, IEEE TIP 13(4), 2004, eq. 13.
pub fn ssim(
    x: &Tensor,
    y: &Tensor,
    (size, sigma): (usize, f64),
    constants: [f64; 2],
) -> Result<Tensor> {
    image_shape("ssim input", x)?;
    expect_f32("ssim input", y)?;
    expect("ssim input", y.dims(), x.dims())?;
    expect_gaussian(size, sigma)?;
    let taps = gaussian::taps(size, sigma);
    if !x.device().is_cpu() {
        return ops_generic::ssim(x, y, &taps, constants);
    }
    let op = Ssim {
        taps,
        constants: constants.map(|c| c as f32),
        x_needs_gradient: x.track_op(),
        y_needs_gradient: y.track_op(),
    };
    Ok(x.contiguous()?.apply_op2(&y.contiguous()?, op)?)
}

/// Sets each value to 0 with probability `p` and divides the others by
/// `1 - p`; of any shape. For training alone. The choice is drawn from
/// `seed`: derive a fresh one for every step.
///
/// # Errors
/// [`Error::Setting`] unless 0 <= p < 1.
///
/// # References
/// N. Srivastava and others: Dropout, JMLR 15, 2014.
pub fn dropout(x: &Tensor, p: f64, seed: Seed) -> Result<Tensor> {
    expect_f32("dropout input", x)?;
    if !(0.0..1.0).contains(&p) {
        return Err(Error::setting("dropout", format!("{p}, must be in [0, 1)")));
    }
    let mut rng = seed.rng();
    let kept = (1.0 / (1.0 - p)) as f32;
    let limit = (p * 2.0_f64.powi(32)) as u64;
    let mask: Vec<f32> = (0..x.elem_count())
        .map(|_| {
            if u64::from(rng.next_u32()) < limit {
                0.0
            } else {
                kept
            }
        })
        .collect();
    Ok((x * Tensor::from_vec(mask, x.shape(), x.device())?)?)
}

/// The mean of every channel, `[n, c]`.
///
/// # Errors
/// [`Error::Shape`] unless `x` is `[n, c, h, w]`.
pub fn global_avg_pool(x: &Tensor) -> Result<Tensor> {
    image_shape("global_avg_pool input", x)?;
    Ok(x.contiguous()?.flatten_from(2)?.mean(2)?)
}

/// `exp(x[n, c]) / sum over c of exp(x[n, c])` at every pixel.
///
/// # Errors
/// [`Error::Shape`] unless `x` is `[n, c, h, w]`.
pub fn softmax_channels(x: &Tensor) -> Result<Tensor> {
    image_shape("softmax_channels input", x)?;
    if !x.device().is_cpu() {
        return ops_generic::softmax_channels(x);
    }
    Ok(x.contiguous()?.apply_op1(SoftmaxChannels)?)
}

fn expect(what: &str, found: &[usize], expected: &[usize]) -> Result<()> {
    if found == expected {
        Ok(())
    } else {
        Err(Error::shape(what, found, expected))
    }
}

fn expect_f32(what: &str, x: &Tensor) -> Result<()> {
    if x.dtype() == DType::F32 {
        Ok(())
    } else {
        Err(Error::shape(
            format!("{what}, type of values"),
            x.dtype(),
            DType::F32,
        ))
    }
}

/// A Gaussian window must have a middle and a width.
fn expect_gaussian(size: usize, sigma: f64) -> Result<()> {
    if size.is_multiple_of(2) {
        return Err(Error::shape("Gaussian window", size, "an odd size"));
    }
    if !(sigma > 0.0 && sigma.is_finite()) {
        return Err(Error::setting(
            "sigma",
            format!("{sigma}, must be positive"),
        ));
    }
    Ok(())
}

fn expect_vector(what: &str, x: &Tensor, len: usize) -> Result<()> {
    expect_f32(what, x)?;
    expect(what, x.dims(), &[len])
}

/// `[n, c, h, w]` of an `f32` tensor without a side of length 0.
fn image_shape(what: &str, x: &Tensor) -> Result<(usize, usize, usize, usize)> {
    expect_f32(what, x)?;
    match *x.dims() {
        [n, c, h, w] if n > 0 && c > 0 && h > 0 && w > 0 => Ok((n, c, h, w)),
        ref other => Err(Error::shape(what, other, "[n, c, h, w], none of them 0")),
    }
}

/// A window must have a size, advance, and fit the padded image.
fn expect_window(
    what: &str,
    kernel: usize,
    stride: usize,
    (height, width): (usize, usize),
    padding: usize,
) -> Result<()> {
    if kernel == 0 || stride == 0 {
        return Err(Error::shape(
            format!("{what} kernel and stride"),
            (kernel, stride),
            "at least 1",
        ));
    }
    let room = height.min(width).saturating_add(padding.saturating_mul(2));
    if kernel > room {
        return Err(Error::shape(
            format!("{what} kernel"),
            kernel,
            format!("at most {room}, the smaller side of the padded image"),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
