//! AdamW, Adam or SGD, as one thing.

use super::options::BaselineOptions;
use crate::error::Result;
use crate::nn::optim::{Adam, AdamOptions};
use crate::nn::parameters::Parameters;
use crate::nn::sgd::{Sgd, SgdOptions};
use candle_core::Tensor;
use candle_core::backprop::GradStore;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// What moves the weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimiserKind {
    /// Adam with decoupled weight decay.
    Adamw,
    /// Adam with an L2 penalty.
    Adam,
    /// Gradient descent with momentum.
    Sgd,
}

/// An optimiser of all trainable parameters. Frozen ones have no gradient, and
/// neither move nor decay.
pub(super) enum Optimiser {
    Adam(Adam),
    Sgd(Sgd),
}

impl Optimiser {
    pub fn new(parameters: &Parameters, options: &BaselineOptions) -> Result<Self> {
        let limit = (options.clip > 0.0).then_some(options.clip);
        let adam = |base: AdamOptions| AdamOptions {
            weight_decay: options.weight_decay,
            max_gradient_norm: limit,
            ..base
        };
        let rate = options.learning_rate;
        Ok(match options.optimiser {
            OptimiserKind::Adamw => {
                let base = AdamOptions::adam_w(rate, options.weight_decay);
                Self::Adam(Adam::new(parameters, adam(base))?)
            }
            OptimiserKind::Adam => {
                Self::Adam(Adam::new(parameters, adam(AdamOptions::adam(rate)))?)
            }
            OptimiserKind::Sgd => {
                let options = SgdOptions {
                    learning_rate: rate,
                    momentum: options.momentum,
                    nesterov: options.nesterov,
                    weight_decay: options.weight_decay,
                    max_gradient_norm: limit,
                };
                Self::Sgd(Sgd::of(parameters.trainable(), options)?)
            }
        })
    }

    pub fn set_learning_rate(&mut self, rate: f64) {
        match self {
            Self::Adam(adam) => adam.set_learning_rate(rate),
            Self::Sgd(sgd) => sgd.set_learning_rate(rate),
        }
    }

    pub fn step(&mut self, gradients: &GradStore) -> Result<f64> {
        match self {
            Self::Adam(adam) => adam.step(gradients),
            Self::Sgd(sgd) => sgd.step(gradients),
        }
    }

    pub fn state(&self) -> Result<Vec<(String, Tensor)>> {
        match self {
            Self::Adam(adam) => adam.state(),
            Self::Sgd(sgd) => Ok(sgd.state()),
        }
    }

    pub fn load_state(&mut self, state: &HashMap<String, Tensor>) -> Result<()> {
        match self {
            Self::Adam(adam) => adam.load_state(state),
            Self::Sgd(sgd) => sgd.load_state(state),
        }
    }
}
