//! The settings of a pretraining.

use crate::error::{Error, Result};
use crate::nn::resnet::Depth;
use serde::{Deserialize, Serialize};

/// How a backbone is pretrained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PretrainOptions {
    /// The network.
    pub depth: Depth,
    /// Channels of its first stage.
    pub width: usize,
    /// Steps of the optimiser.
    pub steps: u64,
    /// Pictures a step.
    pub batch: usize,
    /// Sides of the pictures, in pixels; each step draws one of them.
    pub sides: Vec<usize>,
    /// The highest learning rate.
    pub learning_rate: f64,
    /// AdamW's decay.
    pub weight_decay: f64,
    /// Steps over which the rate rises.
    pub warm_up: u64,
    /// Share of each target spread over all classes.
    pub label_smoothing: f64,
    /// Gradients above this norm are scaled down to it.
    pub max_gradient_norm: f64,
    /// Memory of the moving average of the weights.
    pub average_decay: f64,
    /// Pictures the result is measured on.
    pub held_out: usize,
    /// The seed of weights and pictures.
    pub seed: u64,
}

impl Default for PretrainOptions {
    fn default() -> Self {
        Self {
            depth: Depth::Resnet18,
            width: 32,
            steps: 6000,
            batch: 64,
            sides: vec![64, 72, 80],
            learning_rate: 2e-3,
            weight_decay: 0.02,
            warm_up: 200,
            label_smoothing: 0.05,
            max_gradient_norm: 5.0,
            average_decay: 0.999,
            held_out: 2048,
            seed: 0,
        }
    }
}

impl PretrainOptions {
    /// Checks every option's range.
    ///
    /// # Errors
    /// [`Error::Setting`] naming the option.
    pub fn check(&self) -> Result<()> {
        let at_least = |name: &str, found: usize, least: usize| {
            if found < least {
                let reason = format!("{found} found, at least {least} expected");
                return Err(Error::setting(name, reason));
            }
            Ok(())
        };
        at_least("batch", self.batch, 2)?;
        at_least("width", self.width, 1)?;
        at_least("steps", self.steps as usize, 1)?;
        at_least("held_out", self.held_out, 1)?;
        at_least("sides", self.sides.len(), 1)?;
        self.sides
            .iter()
            .try_for_each(|&side| at_least("sides", side, 32))
    }
}
