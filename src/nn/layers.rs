//! The layers that DRAEM and the ResNets are made of. Names of parameters
//! are PyTorch's: `weight`, `bias`, `running_mean`, `running_var`.

use super::init::Init;
use super::kernels::read;
use super::ops;
use super::parameters::ParamScope;
use crate::error::{Error, Result};
use candle_core::{Tensor, Var};

/// Whether a network learns or is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Batch norm takes the statistics of the batch and updates its averages.
    Train,
    /// Batch norm takes its running averages.
    Eval,
}

/// A convolution with square kernels; see [`ops::conv2d`].
#[derive(Debug, Clone)]
pub struct Conv2d {
    /// `[filters, channels, k, k]`.
    pub weight: Tensor,
    /// `[filters]`.
    pub bias: Option<Tensor>,
    /// Pixels from one window to the next.
    pub stride: usize,
    /// Rows and columns of zeros on each side.
    pub padding: usize,
}

/// The sizes of a [`Conv2d`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvShape {
    /// Input channels.
    pub channels: usize,
    /// Output channels.
    pub filters: usize,
    /// Side of the kernel.
    pub kernel: usize,
    /// Pixels from one window to the next.
    pub stride: usize,
    /// Rows and columns of zeros on each side.
    pub padding: usize,
}

impl Conv2d {
    /// Asks `scope` for `weight`, drawn as `init`, and with `bias` for `bias`,
    /// drawn as PyTorch's default.
    ///
    /// # Errors
    /// As for [`ParamScope::weight`].
    pub fn new(scope: &ParamScope, shape: ConvShape, bias: bool, init: Init) -> Result<Self> {
        let ConvShape {
            channels,
            filters,
            kernel,
            stride,
            padding,
        } = shape;
        let weight = scope.weight("weight", (filters, channels, kernel, kernel), init)?;
        let bound = ((channels * kernel * kernel) as f64).sqrt().recip();
        let bias = bias
            .then(|| scope.weight("bias", filters, Init::Uniform { bound }))
            .transpose()?;
        Ok(Self {
            weight,
            bias,
            stride,
            padding,
        })
    }

    /// `[n, channels, h, w]` to `[n, filters, h', w']`.
    ///
    /// # Errors
    /// As for [`ops::conv2d`].
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        ops::conv2d(
            x,
            &self.weight,
            self.bias.as_ref(),
            self.stride,
            self.padding,
        )
    }
}

/// Batch normalisation with running averages; see [`ops::batch_norm_train`].
#[derive(Debug, Clone)]
pub struct BatchNorm2d {
    /// Scale, `[c]`.
    pub gamma: Tensor,
    /// Shift, `[c]`.
    pub beta: Tensor,
    /// Running mean, `[c]`.
    pub running_mean: Var,
    /// Running unbiased variance, `[c]`.
    pub running_var: Var,
    /// The share of the newest batch in the running averages.
    pub momentum: f64,
    /// Added to the variance.
    pub eps: f64,
}

impl BatchNorm2d {
    /// PyTorch's defaults: scale 1, shift 0, momentum 0.1, eps 1e-5.
    ///
    /// # Errors
    /// As for [`ParamScope::weight`].
    pub fn new(scope: &ParamScope, channels: usize) -> Result<Self> {
        Ok(Self {
            gamma: scope.weight("weight", channels, Init::Constant(1.0))?,
            beta: scope.weight("bias", channels, Init::Constant(0.0))?,
            running_mean: scope.buffer("running_mean", channels, 0.0)?,
            running_var: scope.buffer("running_var", channels, 1.0)?,
            momentum: 0.1,
            eps: 1e-5,
        })
    }

    /// Normalises `[n, c, h, w]`, then applies ReLU if `relu`. In
    /// [`Mode::Train`] the running averages move by `momentum` towards the
    /// batch's mean and unbiased variance.
    ///
    /// # Errors
    /// As for [`ops::batch_norm_train`].
    pub fn forward(&self, x: &Tensor, relu: bool, mode: Mode) -> Result<Tensor> {
        match mode {
            Mode::Eval => ops::batch_norm_eval(
                x,
                &self.gamma,
                &self.beta,
                &self.running_mean.as_detached_tensor(),
                &self.running_var.as_detached_tensor(),
                self.eps,
                relu,
            ),
            Mode::Train => {
                let out = ops::batch_norm_train(x, &self.gamma, &self.beta, self.eps, relu)?;
                let values = (x.elem_count() / x.dim(1)?) as f64;
                self.follow(&self.running_mean, &out.mean, 1.0)?;
                self.follow(&self.running_var, &out.variance, values / (values - 1.0))?;
                Ok(out.y)
            }
        }
    }

    fn follow(&self, average: &Var, newest: &Tensor, factor: f64) -> Result<()> {
        let kept = (average.as_detached_tensor() * (1.0 - self.momentum))?;
        let moved = (kept + (newest * (self.momentum * factor))?)?;
        Ok(average.set(&moved)?)
    }
}

/// A fully connected layer: `y = x weight^T + bias`.
#[derive(Debug, Clone)]
pub struct Linear {
    /// `[outputs, inputs]`.
    pub weight: Tensor,
    /// `[outputs]`.
    pub bias: Tensor,
}

impl Linear {
    /// PyTorch's default initial values.
    ///
    /// # Errors
    /// As for [`ParamScope::weight`].
    pub fn new(scope: &ParamScope, inputs: usize, outputs: usize) -> Result<Self> {
        let bound = (inputs as f64).sqrt().recip();
        Ok(Self {
            weight: scope.weight("weight", (outputs, inputs), Init::KaimingUniform)?,
            bias: scope.weight("bias", outputs, Init::Uniform { bound })?,
        })
    }

    /// Weight and bias in row-major order.
    ///
    /// # Errors
    /// [`Error::Tensor`] if they lie elsewhere than on the CPU.
    pub(crate) fn values(&self) -> Result<(Vec<f32>, Vec<f32>)> {
        let copied = |[weight, bias]: [&[f32]; 2]| (weight.to_vec(), bias.to_vec());
        Ok(read([&self.weight, &self.bias], copied)?)
    }

    /// `[n, inputs]` to `[n, outputs]`.
    ///
    /// # Errors
    /// [`Error::Shape`] if the number of inputs differs.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let inputs = self.weight.dim(1)?;
        if x.rank() != 2 || x.dim(1)? != inputs {
            return Err(Error::shape("linear input", x.dims(), ("n", inputs)));
        }
        Ok(x.matmul(&self.weight.t()?)?.broadcast_add(&self.bias)?)
    }
}
