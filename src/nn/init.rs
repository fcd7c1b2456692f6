//! Initial weights, drawn by us: candle's CPU backend takes no seed.

use crate::random::Seed;
use candle_core::{Device, Shape, Tensor};
use rand::Rng;
use rand_distr::{Distribution, Normal};

use crate::error::{Error, Result};

/// How the values of a fresh parameter are drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// All alike.
    Constant(f32),
    /// Normally distributed around `mean`.
    Normal {
        /// The expected value.
        mean: f64,
        /// The standard deviation.
        deviation: f64,
    },
    /// Normal around 0 with deviation `sqrt(2 / (filters k k))` for weights
    /// `[filters, channels, k, k]`: keeps the size of gradients through ReLU
    /// (torchvision's ResNets).
    ///
    /// K. He and others: Delving deep into rectifiers, ICCV 2015, eq. 14.
    KaimingNormalFanOut,
    /// Uniform in +-`1 / sqrt(fan_in)`, where fan_in is what one output sums
    /// over: PyTorch's default for linear and convolution weights
    /// (`kaiming_uniform_` with a = sqrt 5).
    KaimingUniform,
    /// Uniform in +-`bound`; PyTorch's default for biases, with the bound
    /// `1 / sqrt(fan_in)` of the weights beside them.
    Uniform {
        /// The largest absolute value.
        bound: f64,
    },
}

impl Init {
    /// A normal distribution around 0.
    #[must_use]
    pub fn normal(deviation: f64) -> Self {
        Self::Normal {
            mean: 0.0,
            deviation,
        }
    }

    /// Draws a tensor; the same seed gives the same values on every device.
    ///
    /// # Errors
    /// [`Error::Setting`] if the distribution has no such parameters.
    pub fn draw(self, shape: impl Into<Shape>, seed: Seed, device: &Device) -> Result<Tensor> {
        let shape = shape.into();
        let dims = shape.dims();
        // Of [outputs, inputs, k, k]: what belongs to one tap is counted once.
        let taps: usize = dims.iter().skip(2).product();
        let fan_in = dims.get(1).copied().unwrap_or(1) * taps;
        let fan_out = dims.first().copied().unwrap_or(1) * taps;
        let count = shape.elem_count();
        let mut rng = seed.rng();
        let values: Vec<f32> = match self {
            Self::Constant(value) => vec![value; count],
            Self::Normal { mean, deviation } => normal(mean, deviation, count, &mut rng)?,
            Self::KaimingNormalFanOut => {
                normal(0.0, (2.0 / fan_out as f64).sqrt(), count, &mut rng)?
            }
            Self::KaimingUniform => uniform((fan_in as f64).sqrt().recip(), count, &mut rng),
            Self::Uniform { bound } => uniform(bound, count, &mut rng),
        };
        Ok(Tensor::from_vec(values, shape, device)?)
    }
}

fn normal(mean: f64, deviation: f64, count: usize, rng: &mut impl Rng) -> Result<Vec<f32>> {
    let distribution = Normal::new(mean, deviation)
        .ok()
        .filter(|_| deviation >= 0.0)
        .ok_or_else(|| Error::setting("initial deviation", format!("{deviation}, must be >= 0")))?;
    Ok((0..count)
        .map(|_| distribution.sample(rng) as f32)
        .collect())
}

fn uniform(bound: f64, count: usize, rng: &mut impl Rng) -> Vec<f32> {
    (0..count)
        .map(|_| ((2.0 * rng.random::<f64>() - 1.0) * bound) as f32)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deviation_of(init: Init, shape: (usize, usize, usize, usize)) -> f64 {
        let values = init.draw(shape, Seed::new(1), &Device::Cpu).unwrap();
        let values: Vec<f32> = values.flatten_all().unwrap().to_vec1().unwrap();
        let squares: f64 = values.iter().map(|v| f64::from(*v).powi(2)).sum();
        (squares / values.len() as f64).sqrt()
    }

    #[test]
    fn kaiming_normal_has_the_deviation_of_the_paper() {
        // fan_out = 64 * 3 * 3, so sqrt(2 / 576) = 0.0589; 36,864 draws
        // estimate it to within 1%.
        let found = deviation_of(Init::KaimingNormalFanOut, (64, 64, 3, 3));
        assert!((found / 0.058_925 - 1.0).abs() < 0.01, "{found}");
    }

    #[test]
    fn kaiming_uniform_has_the_bound_of_pytorch() {
        // fan_in = 16 * 25 = 400: uniform in +-0.05, deviation 0.05 / sqrt 3.
        let found = deviation_of(Init::KaimingUniform, (32, 16, 5, 5));
        assert!((found / 0.028_868 - 1.0).abs() < 0.02, "{found}");
    }
}
