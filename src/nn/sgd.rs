//! Stochastic gradient descent with momentum, by PyTorch's formulas
//! (`torch.optim.SGD`), with a state that can be saved.
//!
//! ```text
//! g <- g + decay p
//! b <- momentum b + g        (b = g in the first step)
//! p <- p - lr b              (Nesterov: p - lr (g + momentum b))
//! ```
//!
//! # References
//! I. Sutskever and others: On the importance of initialization and momentum
//! in deep learning, ICML 2013.

use super::gradients::Gradients;
use crate::error::{Error, Result};
use candle_core::backprop::GradStore;
use candle_core::{DType, Tensor, Var};
use std::collections::HashMap;

/// The settings of [`Sgd`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SgdOptions {
    /// Step size.
    pub learning_rate: f64,
    /// Memory of the direction, in [0, 1).
    pub momentum: f64,
    /// Whether to step from where the momentum leads.
    pub nesterov: bool,
    /// Strength of the L2 penalty.
    pub weight_decay: f64,
    /// Gradients of larger Euclidean norm (over all parameters together) are
    /// scaled down to it.
    pub max_gradient_norm: Option<f64>,
}

/// Gradient descent with momentum, see the module.
#[derive(Debug)]
pub struct Sgd {
    options: SgdOptions,
    slots: Vec<Slot>,
}

#[derive(Debug)]
struct Slot {
    name: String,
    parameter: Var,
    /// The direction so far; `None` before the first step.
    direction: Option<Tensor>,
}

impl Sgd {
    /// An optimiser of these parameters.
    ///
    /// # Errors
    /// [`Error::Setting`] if an option is out of range.
    pub fn of(parameters: Vec<(String, Var)>, options: SgdOptions) -> Result<Self> {
        for (name, value, below) in [
            ("learning_rate", options.learning_rate, f64::INFINITY),
            ("momentum", options.momentum, 1.0),
            ("weight_decay", options.weight_decay, f64::INFINITY),
        ] {
            if !(0.0..below).contains(&value) {
                return Err(Error::setting(
                    name,
                    format!("{value}, must be in [0, {below})"),
                ));
            }
        }
        let slots = parameters
            .into_iter()
            .map(|(name, parameter)| Slot {
                name,
                parameter,
                direction: None,
            })
            .collect();
        Ok(Self { options, slots })
    }

    /// Sets the step size, as schedules do.
    pub fn set_learning_rate(&mut self, learning_rate: f64) {
        self.options.learning_rate = learning_rate;
    }

    /// Changes every parameter that has a gradient, and returns the Euclidean
    /// norm of all gradients together (before clipping).
    ///
    /// # Errors
    /// [`Error::NotFinite`] if a gradient is not finite; nothing is changed then.
    pub fn step(&mut self, gradients: &GradStore) -> Result<f64> {
        let parameters = self.slots.iter().map(|slot| &slot.parameter);
        let limit = self.options.max_gradient_norm;
        let clipped = Gradients::clipped(gradients, parameters, limit)?;
        for (row, gradient) in clipped.found {
            self.slots[row].step(&(gradient * clipped.scale)?, &self.options)?;
        }
        Ok(clipped.norm)
    }

    /// The directions, as tensors named `PARAMETER.direction`.
    #[must_use]
    pub fn state(&self) -> Vec<(String, Tensor)> {
        let of = |slot: &Slot| {
            let direction = slot.direction.clone()?;
            Some((format!("{}.direction", slot.name), direction))
        };
        self.slots.iter().filter_map(of).collect()
    }

    /// Takes up a state saved by [`Sgd::state`] of the same parameters.
    ///
    /// # Errors
    /// [`Error::Shape`] if something does not fit; the state is then as it was.
    pub fn load_state(&mut self, state: &HashMap<String, Tensor>) -> Result<()> {
        let mut loaded = Vec::with_capacity(self.slots.len());
        for slot in &self.slots {
            let name = format!("{}.direction", slot.name);
            loaded.push(match state.get(&name) {
                None => None,
                Some(t) if t.shape() == slot.parameter.shape() => {
                    Some(t.to_dtype(DType::F32)?.to_device(slot.parameter.device())?)
                }
                Some(t) => {
                    let what = format!("optimiser state {name}");
                    return Err(Error::shape(what, t.dims(), slot.parameter.dims()));
                }
            });
        }
        for (slot, direction) in self.slots.iter_mut().zip(loaded) {
            slot.direction = direction;
        }
        Ok(())
    }
}

impl Slot {
    fn step(&mut self, gradient: &Tensor, options: &SgdOptions) -> Result<()> {
        let p = self.parameter.as_detached_tensor();
        let g = (gradient + (&p * options.weight_decay)?)?;
        let b = match &self.direction {
            None => g.clone(),
            Some(b) => ((b * options.momentum)? + &g)?,
        };
        let way = match options.nesterov {
            true => (&g + (&b * options.momentum)?)?,
            false => b.clone(),
        };
        self.parameter.set(&(p - (way * options.learning_rate)?)?)?;
        self.direction = Some(b);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Reference {
        sgd: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        momentum: f64,
        nesterov: bool,
        decay: f64,
        limit: Option<f64>,
        start: Vec<f32>,
        gradients: Vec<Vec<f32>>,
        end: Vec<f32>,
    }

    fn gradients(parameter: &Var, wanted: &[f32]) -> GradStore {
        let wanted = Tensor::from_slice(wanted, wanted.len(), &Device::Cpu).unwrap();
        let loss = (parameter.as_tensor() * wanted).unwrap().sum_all().unwrap();
        loss.backward().unwrap()
    }

    #[test]
    fn steps_are_those_of_pytorch_also_across_a_saved_state() {
        let json = include_str!("../../tests/reference/baseline.json");
        let reference: Reference = serde_json::from_str(json).unwrap();
        assert_eq!(reference.sgd.len(), 4);
        for case in reference.sgd {
            let start = Tensor::from_slice(&case.start, case.start.len(), &Device::Cpu).unwrap();
            let parameter = Var::from_tensor(&start).unwrap();
            let options = SgdOptions {
                learning_rate: 0.1,
                momentum: case.momentum,
                nesterov: case.nesterov,
                weight_decay: case.decay,
                max_gradient_norm: case.limit,
            };
            let new = || Sgd::of(vec![("p".into(), parameter.clone())], options).unwrap();
            let mut sgd = new();
            for (step, gradient) in case.gradients.iter().enumerate() {
                if step == 2 {
                    let state = sgd.state().into_iter().collect();
                    sgd = new();
                    sgd.load_state(&state).unwrap();
                }
                sgd.step(&gradients(&parameter, gradient)).unwrap();
            }
            let end: Vec<f32> = parameter.to_vec1().unwrap();
            for (a, b) in end.iter().zip(&case.end) {
                assert!((a - b).abs() < 1e-6, "{a} {b}");
            }
        }
    }

    #[test]
    fn a_gradient_that_is_not_finite_changes_nothing() {
        let parameter = Var::new(&[1.0f32], &Device::Cpu).unwrap();
        let options = SgdOptions {
            learning_rate: 0.1,
            momentum: 0.9,
            nesterov: false,
            weight_decay: 0.0,
            max_gradient_norm: None,
        };
        let mut sgd = Sgd::of(vec![("p".into(), parameter.clone())], options).unwrap();
        assert!(sgd.step(&gradients(&parameter, &[f32::NAN])).is_err());
        assert_eq!(parameter.to_vec1::<f32>().unwrap(), [1.0]);
    }
}
