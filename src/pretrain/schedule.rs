//! The learning rate over a run, and the moving average of the weights.

use crate::error::Result;
use candle_core::{DType, Tensor};

/// Rises linearly over `warm_up` steps, then falls along half a cosine to 0
/// at `steps` (I. Loshchilov, F. Hutter: SGDR, ICLR 2017, without restarts).
///
/// `step` counts from 0; the result is a factor of the peak rate.
pub(super) fn warm_cosine(step: u64, warm_up: u64, steps: u64) -> f64 {
    if step < warm_up {
        return (step + 1) as f64 / warm_up as f64;
    }
    let rest = steps.saturating_sub(warm_up).max(1) as f64;
    let done = ((step - warm_up) as f64 / rest).min(1.0);
    0.5 * (1.0 + (std::f64::consts::PI * done).cos())
}

/// The exponential moving average of named tensors.
///
/// `average <- d average + (1 - d) value` with `d = min(decay, (1 + t) / (10 +
/// t))` at step t, so that the first weights are soon forgotten (as in
/// TensorFlow and timm).
pub(super) struct MovingAverage {
    decay: f64,
    tensors: Vec<(String, Tensor)>,
}

impl MovingAverage {
    /// Starts at the given values.
    pub fn new(decay: f64, start: &[(String, Tensor)]) -> Result<Self> {
        let tensors = start
            .iter()
            .map(|(name, tensor)| Ok((name.clone(), tensor.copy()?.detach())))
            .collect::<Result<_>>()?;
        Ok(Self { decay, tensors })
    }

    /// Moves towards `values`, which come in the order of the start.
    pub fn follow(&mut self, values: &[(String, Tensor)], step: u64) -> Result<()> {
        let t = step as f64;
        let d = self.decay.min((1.0 + t) / (10.0 + t));
        for ((_, average), (_, value)) in self.tensors.iter_mut().zip(values) {
            if value.dtype() == DType::F32 {
                *average = ((&*average * d)? + (value * (1.0 - d))?)?.detach();
            }
        }
        Ok(())
    }

    /// The averages.
    pub fn tensors(&self) -> &[(String, Tensor)] {
        &self.tensors
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn the_rate_rises_to_its_peak_and_falls_to_nothing() {
        assert_eq!(warm_cosine(0, 10, 110), 0.1);
        assert_eq!(warm_cosine(9, 10, 110), 1.0);
        assert_eq!(warm_cosine(10, 10, 110), 1.0);
        assert!((warm_cosine(60, 10, 110) - 0.5).abs() < 1e-12);
        assert!(warm_cosine(110, 10, 110) < 1e-12);
    }

    #[test]
    fn the_average_of_a_constant_is_the_constant() {
        let at = |v: f32| vec![("w".to_owned(), Tensor::new(&[v], &Device::Cpu).unwrap())];
        let mut average = MovingAverage::new(0.5, &at(0.0)).unwrap();
        average.follow(&at(2.0), 0).unwrap(); // d = 0.1
        let value = |a: &MovingAverage| a.tensors()[0].1.to_vec1::<f32>().unwrap()[0];
        assert!((value(&average) - 1.8).abs() < 1e-6);
        average.follow(&at(2.0), 1000).unwrap(); // d = 0.5
        assert!((value(&average) - 1.9).abs() < 1e-6);
    }
}
