//! Adam and AdamW over parameters in a fixed order, with a state that can be
//! saved, so that an interrupted training goes on as if nothing had happened.
//!
//! The formulas are PyTorch's (`torch.optim.Adam`, `torch.optim.AdamW`).
//! candle's AdamW knows no resuming, no clipping, no L2 penalty, and takes
//! several passes over memory.
//!
//! # References
//! D. P. Kingma, J. Ba: Adam, ICLR 2015; I. Loshchilov, F. Hutter: Decoupled
//! weight decay regularization, ICLR 2019.

use super::gradients::Gradients;
use super::kernels::adam::{AdamStep, Coefficients};
use super::parameters::Parameters;
use crate::error::{Error, Result};
use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Tensor, Var};
use std::collections::HashMap;
use std::sync::Mutex;

/// What weight decay acts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decay {
    /// On the gradient, as an L2 penalty (Adam).
    Penalty,
    /// On the parameter itself (AdamW).
    Decoupled,
}

/// The settings of [`Adam`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamOptions {
    /// Step size.
    pub learning_rate: f64,
    /// Memory of the mean gradient, in [0, 1).
    pub beta1: f64,
    /// Memory of the mean squared gradient, in [0, 1).
    pub beta2: f64,
    /// Added to the root of the mean squared gradient.
    pub eps: f64,
    /// Strength of the decay; 0 for none.
    pub weight_decay: f64,
    /// What the decay acts on.
    pub decay: Decay,
    /// Gradients of larger Euclidean norm (over all parameters together) are
    /// scaled down to it.
    pub max_gradient_norm: Option<f64>,
}

impl AdamOptions {
    /// PyTorch's defaults for Adam: betas 0.9 and 0.999, eps 1e-8, no decay.
    #[must_use]
    pub fn adam(learning_rate: f64) -> Self {
        Self {
            learning_rate,
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 0.0,
            decay: Decay::Penalty,
            max_gradient_norm: None,
        }
    }

    /// AdamW with the decay given (PyTorch's default is 0.01).
    #[must_use]
    pub fn adam_w(learning_rate: f64, weight_decay: f64) -> Self {
        Self {
            weight_decay,
            decay: Decay::Decoupled,
            ..Self::adam(learning_rate)
        }
    }

    /// The numbers of step `steps`, counted from 1, with the bias corrections
    /// worked in; the gradient is scaled by `gradient_scale` first.
    pub(super) fn coefficients(&self, steps: u64, gradient_scale: f64) -> Coefficients<f64> {
        let (penalty, keep) = match self.decay {
            Decay::Penalty => (self.weight_decay, 1.0),
            Decay::Decoupled => (0.0, 1.0 - self.learning_rate * self.weight_decay),
        };
        let steps = steps as f64;
        Coefficients {
            gradient_scale,
            penalty,
            keep,
            beta1: self.beta1,
            beta2: self.beta2,
            step: self.learning_rate / (1.0 - self.beta1.powf(steps)),
            deviation_scale: (1.0 - self.beta2.powf(steps)).sqrt().recip(),
            eps: self.eps,
        }
    }
}

/// Adam or AdamW, see [`AdamOptions`].
///
/// One step for a parameter p with gradient g (scaled by clipping), t = 1, 2 ...:
/// ```text
/// Adam:  g <- g + decay p          AdamW:  p <- p (1 - lr decay)
/// m <- beta1 m + (1 - beta1) g
/// v <- beta2 v + (1 - beta2) g^2
/// p <- p - lr / (1 - beta1^t) m / (sqrt(v / (1 - beta2^t)) + eps)
/// ```
#[derive(Debug)]
pub struct Adam {
    options: AdamOptions,
    slots: Vec<Slot>,
}

/// One parameter with its running means.
#[derive(Debug)]
struct Slot {
    name: String,
    parameter: Var,
    steps: u64,
    means: Means,
}

#[derive(Debug)]
enum Means {
    /// Of gradient and squared gradient, updated in place.
    Host { m: Vec<f32>, v: Vec<f32> },
    /// On another device, as tensors.
    Device { m: Tensor, v: Tensor },
}

impl Means {
    fn zeros(parameter: &Var) -> Result<Self> {
        Ok(if parameter.device().is_cpu() {
            let zeros = vec![0.0; parameter.elem_count()];
            Self::Host {
                m: zeros.clone(),
                v: zeros,
            }
        } else {
            let zeros = parameter.as_tensor().zeros_like()?.detach();
            Self::Device {
                m: zeros.clone(),
                v: zeros,
            }
        })
    }
}

impl Adam {
    /// An optimiser of all trainable parameters.
    ///
    /// # Errors
    /// [`Error::Setting`] if an option is out of range.
    pub fn new(parameters: &Parameters, options: AdamOptions) -> Result<Self> {
        Self::of(parameters.trainable(), options)
    }

    /// An optimiser of some parameters.
    ///
    /// # Errors
    /// [`Error::Setting`] if an option is out of range.
    pub fn of(parameters: Vec<(String, Var)>, options: AdamOptions) -> Result<Self> {
        for (name, value, below) in [
            ("learning_rate", options.learning_rate, f64::INFINITY),
            ("beta1", options.beta1, 1.0),
            ("beta2", options.beta2, 1.0),
            ("eps", options.eps, f64::INFINITY),
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
            .map(|(name, parameter)| {
                Ok(Slot {
                    means: Means::zeros(&parameter)?,
                    name,
                    parameter,
                    steps: 0,
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self { options, slots })
    }

    /// The step size.
    #[must_use]
    pub fn learning_rate(&self) -> f64 {
        self.options.learning_rate
    }

    /// Sets the step size, as schedules do.
    pub fn set_learning_rate(&mut self, learning_rate: f64) {
        self.options.learning_rate = learning_rate;
    }

    /// Computes the gradients of `loss` and takes a step; see [`Adam::step`].
    ///
    /// # Errors
    /// As for [`Adam::step`].
    pub fn backward_step(&mut self, loss: &Tensor) -> Result<f64> {
        self.step(&loss.backward()?)
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
            self.slots[row].step(&gradient, clipped.scale, &self.options)?;
        }
        Ok(clipped.norm)
    }

    /// The running means and step counts, as tensors named
    /// `PARAMETER.mean`, `PARAMETER.square` and `PARAMETER.steps`.
    ///
    /// # Errors
    /// If the device fails.
    pub fn state(&self) -> Result<Vec<(String, Tensor)>> {
        let mut state = Vec::with_capacity(3 * self.slots.len());
        for slot in &self.slots {
            let (m, v) = match &slot.means {
                Means::Host { m, v } => {
                    let shape = slot.parameter.shape();
                    (
                        Tensor::from_slice(m, shape, &Device::Cpu)?,
                        Tensor::from_slice(v, shape, &Device::Cpu)?,
                    )
                }
                Means::Device { m, v } => (m.clone(), v.clone()),
            };
            let steps = Tensor::from_vec(vec![slot.steps as i64], 1, &Device::Cpu)?;
            state.push((format!("{}.mean", slot.name), m));
            state.push((format!("{}.square", slot.name), v));
            state.push((format!("{}.steps", slot.name), steps));
        }
        Ok(state)
    }

    /// Takes up a state saved by [`Adam::state`] of the same parameters.
    ///
    /// # Errors
    /// [`Error::Data`] if something is missing, [`Error::Shape`] if it does
    /// not fit; the state is then as it was.
    pub fn load_state(&mut self, state: &HashMap<String, Tensor>) -> Result<()> {
        let mut loaded = Vec::with_capacity(self.slots.len());
        for slot in &self.slots {
            let get = |what: &str| -> Result<&Tensor> {
                let name = format!("{}.{what}", slot.name);
                state
                    .get(&name)
                    .ok_or_else(|| Error::data(format!("the optimiser's state lacks {name}")))
            };
            let mean = |what: &str| -> Result<Tensor> {
                let tensor = get(what)?;
                if tensor.shape() != slot.parameter.shape() {
                    return Err(Error::shape(
                        format!("optimiser state {}.{what}", slot.name),
                        tensor.dims(),
                        slot.parameter.dims(),
                    ));
                }
                Ok(tensor
                    .to_dtype(DType::F32)?
                    .to_device(slot.parameter.device())?)
            };
            let (m, v) = (mean("mean")?, mean("square")?);
            let means = if slot.parameter.device().is_cpu() {
                Means::Host {
                    m: m.flatten_all()?.to_vec1()?,
                    v: v.flatten_all()?.to_vec1()?,
                }
            } else {
                Means::Device { m, v }
            };
            let steps: Vec<i64> = get("steps")?
                .to_dtype(DType::I64)?
                .flatten_all()?
                .to_vec1()?;
            let steps = match *steps {
                [steps] if steps >= 0 => steps as u64,
                _ => return Err(Error::shape("optimiser steps", steps, "one count")),
            };
            loaded.push((means, steps));
        }
        for (slot, (means, steps)) in self.slots.iter_mut().zip(loaded) {
            slot.means = means;
            slot.steps = steps;
        }
        Ok(())
    }
}

impl Slot {
    fn step(&mut self, gradient: &Tensor, scale: f64, options: &AdamOptions) -> Result<()> {
        self.steps += 1;
        let k = options.coefficients(self.steps, scale);
        match &mut self.means {
            Means::Host { m, v } => {
                let op = AdamStep {
                    coefficients: k.rounded(),
                    means: Mutex::new((m, v)),
                };
                self.parameter.inplace_op2(gradient, &op)?;
            }
            Means::Device { m, v } => {
                let p = self.parameter.as_detached_tensor();
                let g = ((gradient * k.gradient_scale)? + (&p * k.penalty)?)?;
                *m = ((&*m * k.beta1)? + (&g * (1.0 - k.beta1))?)?;
                *v = ((&*v * k.beta2)? + (g.sqr()? * (1.0 - k.beta2))?)?;
                let deviation = ((v.sqrt()? * k.deviation_scale)? + k.eps)?;
                let moved = ((&p * k.keep)? - ((&*m / deviation)? * k.step)?)?;
                self.parameter.set(&moved)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Reference {
        adam: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        kind: String,
        decay: f64,
        limit: Option<f64>,
        parameters: Vec<Vec<f32>>,
    }

    /// As in `tests/reference/nn_ops.py`.
    fn wave(shape: &[usize], salt: usize) -> Tensor {
        let values: Vec<f32> = (0..shape.iter().product())
            .map(|i| (12.9898 * (i + 1) as f64 + salt as f64).sin() as f32)
            .collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    fn parameters() -> Vec<(String, Var)> {
        [vec![3, 2], vec![4]]
            .iter()
            .enumerate()
            .map(|(i, shape)| (i.to_string(), Var::from_tensor(&wave(shape, i)).unwrap()))
            .collect()
    }

    /// The gradients of step `step`, by way of a loss that has them.
    fn gradients(parameters: &[(String, Var)], step: usize) -> GradStore {
        let mut loss = Tensor::zeros((), DType::F32, &Device::Cpu).unwrap();
        for (i, (_, p)) in parameters.iter().enumerate() {
            let wanted = (wave(p.dims(), 10 + step + 7 * i) * (step + 1) as f64).unwrap();
            let part = (p.as_tensor() * wanted).unwrap().sum_all().unwrap();
            loss = (loss + part).unwrap();
        }
        loss.backward().unwrap()
    }

    fn values(parameters: &[(String, Var)]) -> Vec<Vec<f32>> {
        parameters
            .iter()
            .map(|(_, p)| p.flatten_all().unwrap().to_vec1().unwrap())
            .collect()
    }

    #[test]
    fn five_steps_are_those_of_pytorch() {
        let json = include_str!("../../tests/reference/nn_ops.json");
        let reference: Reference = serde_json::from_str(json).unwrap();
        for case in reference.adam {
            let options = match case.kind.as_str() {
                "adam" => AdamOptions {
                    weight_decay: case.decay,
                    ..AdamOptions::adam(0.01)
                },
                _ => AdamOptions::adam_w(0.01, case.decay),
            };
            let options = AdamOptions {
                max_gradient_norm: case.limit,
                ..options
            };
            let parameters = parameters();
            let mut adam = Adam::of(parameters.clone(), options).unwrap();
            for step in 0..5 {
                adam.step(&gradients(&parameters, step)).unwrap();
            }
            for (found, expected) in values(&parameters).iter().zip(&case.parameters) {
                for (a, b) in found.iter().zip(expected) {
                    assert!((a - b).abs() < 1e-6, "{}: {a} {b}", case.kind);
                }
            }
        }
    }

    #[test]
    fn a_saved_state_goes_on_to_the_same_bytes() {
        let options = AdamOptions::adam_w(0.1, 0.01);
        let straight = parameters();
        let mut adam = Adam::of(straight.clone(), options).unwrap();
        let resumed = parameters();
        let mut first = Adam::of(resumed.clone(), options).unwrap();
        for step in 0..2 {
            adam.step(&gradients(&straight, step)).unwrap();
            first.step(&gradients(&resumed, step)).unwrap();
        }
        let state = first.state().unwrap().into_iter().collect();
        let mut second = Adam::of(resumed.clone(), options).unwrap();
        second.load_state(&state).unwrap();
        for step in 2..5 {
            adam.step(&gradients(&straight, step)).unwrap();
            second.step(&gradients(&resumed, step)).unwrap();
        }
        assert_eq!(values(&straight), values(&resumed));
    }

    #[test]
    fn a_gradient_that_is_not_finite_changes_nothing() {
        let parameters = parameters();
        let before = values(&parameters);
        let mut adam = Adam::of(parameters.clone(), AdamOptions::adam(0.1)).unwrap();
        let nan = (parameters[1].1.as_tensor() * f64::NAN).unwrap();
        let result = adam.backward_step(&nan.sum_all().unwrap());
        assert!(matches!(result, Err(Error::NotFinite { .. })));
        assert_eq!(values(&parameters), before);
    }
}
