//! The gradients of an optimiser's parameters: found, measured, clipped.

use super::kernels::{self, batch_norm::sum_of_squares};
use crate::error::{Error, Result};
use candle_core::backprop::GradStore;
use candle_core::{Tensor, Var};

/// The gradients of some parameters, and what they are to be scaled by.
pub(super) struct Gradients {
    /// The number of each parameter that has a gradient, and its gradient,
    /// contiguous and not scaled.
    pub found: Vec<(usize, Tensor)>,
    /// Euclidean norm of all gradients together.
    pub norm: f64,
    /// What brings the norm down to the limit; 1 where it is below.
    pub scale: f64,
}

impl Gradients {
    /// Of `parameters`, clipped to a norm of at most `limit` as by PyTorch's
    /// `clip_grad_norm_`.
    ///
    /// # Errors
    /// [`Error::NotFinite`] if a gradient is not finite.
    pub fn clipped<'a>(
        gradients: &GradStore,
        parameters: impl IntoIterator<Item = &'a Var>,
        limit: Option<f64>,
    ) -> Result<Self> {
        let mut found = Vec::new();
        let mut squares = 0.0;
        for (row, parameter) in parameters.into_iter().enumerate() {
            if let Some(gradient) = gradients.get(parameter.as_tensor()) {
                let gradient = gradient.contiguous()?.detach();
                squares += squared_norm(&gradient)?;
                found.push((row, gradient));
            }
        }
        let norm = squares.sqrt();
        if !norm.is_finite() {
            return Err(Error::NotFinite {
                what: "the norm of the gradients".to_owned(),
                row: 0,
            });
        }
        let scale = match limit {
            // The 1e-6 is PyTorch's.
            Some(limit) => (limit / (norm + 1e-6)).min(1.0),
            None => 1.0,
        };
        Ok(Self { found, norm, scale })
    }
}

/// The sum of squares; on the CPU in a fixed order, to `f64`.
fn squared_norm(gradient: &Tensor) -> Result<f64> {
    if gradient.device().is_cpu() {
        Ok(kernels::read([gradient], |[g]| sum_of_squares(g))?)
    } else {
        Ok(f64::from(gradient.sqr()?.sum_all()?.to_scalar::<f32>()?))
    }
}
