//! Every number of a baseline's recipe.

use super::balance::Balance;
use super::cam::HeatmapOptions;
use super::network::Freeze;
use super::optimiser::OptimiserKind;
use super::schedule::ScheduleKind;
use super::view::{Normalise, PixelInput};
use crate::data::augment::AugmentOptions;
use crate::error::{Error, Result};
use crate::nn::cnn::CnnOptions;
use serde::{Deserialize, Serialize};

/// Which weights a ResNet starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StartWeights {
    /// The bundled ones for a ResNet-18, random ones for the others.
    Auto,
    /// The bundled ones (ResNet-18 of half width, taught on made-up surfaces).
    Bundled,
    /// ImageNet's, fetched before with `goma weights fetch`.
    Imagenet,
    /// Drawn from the seed.
    Random,
}

/// How a baseline is built and trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BaselineOptions {
    /// Pictures are resized to this many pixels a side.
    pub size: usize,
    /// Pixels, or edges drawn from them.
    pub input: PixelInput,
    /// Weak and strong threshold of `input = "canny"`.
    pub canny: (f32, f32),
    /// How pixel values are centred.
    pub normalise: Normalise,
    /// What a ResNet starts from; a weight file goes before.
    pub start: StartWeights,
    /// Channels of a random ResNet's first stage.
    pub width: usize,
    /// Layers of the plain CNN.
    pub cnn: CnnOptions,
    /// Share of the last features set to 0 in training.
    pub dropout: f64,
    /// What keeps its weights: `none`, `stem`, `layer1` ... (up to and with it).
    pub freeze: Freeze,
    /// Epochs after which everything is trained all the same; 0: never.
    pub unfreeze_epoch: usize,
    /// Variations of the training pictures.
    pub augment: AugmentOptions,
    /// How rare classes are made up for.
    pub balance: Balance,
    /// What moves the weights.
    pub optimiser: OptimiserKind,
    /// Its step size at first.
    pub learning_rate: f64,
    /// Its weight decay.
    pub weight_decay: f64,
    /// Momentum of `sgd`.
    pub momentum: f64,
    /// Whether `sgd` looks ahead.
    pub nesterov: bool,
    /// Largest norm of the gradient; larger ones are scaled down. 0: no limit.
    pub clip: f64,
    /// How the step size falls.
    pub schedule: ScheduleKind,
    /// Epochs without improvement that `plateau` bears.
    pub plateau_patience: usize,
    /// What `plateau` multiplies the step size by.
    pub plateau_factor: f64,
    /// Pictures of a step.
    pub batch: usize,
    /// Passes over the training pieces.
    pub epochs: usize,
    /// Epochs without improvement after which training ends; 0: none.
    pub early_stopping: usize,
    /// Share of the training groups that checkpoint and threshold are chosen
    /// on; pieces that the data set calls validation go before.
    pub validation_share: f64,
    /// What the heatmaps show.
    pub heatmap: HeatmapOptions,
}

impl Default for BaselineOptions {
    /// The eraser recipe at a size for a CPU, classes balanced once.
    fn default() -> Self {
        Self {
            size: 128,
            epochs: 30,
            balance: Balance::WeightedLoss,
            ..Self::paper()
        }
    }
}

impl BaselineOptions {
    /// The eraser paper's recipe: 310 x 310, both ways of balancing at once.
    #[must_use]
    pub fn paper() -> Self {
        Self {
            size: 310,
            input: PixelInput::Pixels,
            canny: (100.0, 200.0),
            normalise: Normalise::Imagenet,
            start: StartWeights::Auto,
            width: 64,
            cnn: CnnOptions::default(),
            dropout: 0.0,
            freeze: Freeze::none(),
            unfreeze_epoch: 0,
            augment: AugmentOptions::default(),
            balance: Balance::Double,
            optimiser: OptimiserKind::Adamw,
            learning_rate: 1e-4,
            weight_decay: 1e-2,
            momentum: 0.9,
            nesterov: false,
            clip: 1.0,
            schedule: ScheduleKind::Plateau,
            plateau_patience: 10,
            plateau_factor: 0.1,
            batch: 16,
            epochs: 50,
            early_stopping: 0,
            validation_share: 0.2,
            heatmap: HeatmapOptions::default(),
        }
    }

    /// The metal-surface recipe: 224 x 224, Adam along a cosine, sampler with
    /// unweighted cross-entropy; with a tenth of the groups for the test it
    /// shares out 75 / 15 / 10.
    #[must_use]
    pub fn metal() -> Self {
        Self {
            size: 224,
            augment: AugmentOptions {
                horizontal_flip: 0.5,
                ..AugmentOptions::none()
            },
            balance: Balance::Resample,
            optimiser: OptimiserKind::Adam,
            learning_rate: 1e-3,
            weight_decay: 0.0,
            clip: 0.0,
            schedule: ScheduleKind::Cosine,
            batch: 32,
            epochs: 25,
            validation_share: 0.15 / 0.9,
            ..Self::paper()
        }
    }

    /// Checks every option's range.
    ///
    /// # Errors
    /// [`Error::Setting`] naming the option.
    pub fn check(&self) -> Result<()> {
        let positive = |v: f64, below: f64| v > 0.0 && v < below;
        let wrong = if !(32..=2048).contains(&self.size) {
            ("size", "32 to 2048 expected")
        } else if !(self.canny.0 >= 0.0 && self.canny.0 <= self.canny.1 && self.canny.1 <= 1140.0) {
            ("canny", "two rising thresholds of 0 to 1140 expected")
        } else if !(1..=512).contains(&self.width) {
            ("width", "1 to 512 expected")
        } else if !(0.0..1.0).contains(&self.dropout) {
            ("dropout", "0 to below 1 expected")
        } else if !positive(self.learning_rate, 10.0) {
            ("learning_rate", "above 0 and below 10 expected")
        } else if !(0.0..10.0).contains(&self.weight_decay) {
            ("weight_decay", "0 to below 10 expected")
        } else if !(0.0..1.0).contains(&self.momentum) {
            ("momentum", "0 to below 1 expected")
        } else if !(self.clip >= 0.0 && self.clip.is_finite()) {
            ("clip", "0 or more expected")
        } else if !positive(self.plateau_factor, 1.0) {
            ("plateau_factor", "above 0 and below 1 expected")
        } else if !(2..=4096).contains(&self.batch) {
            ("batch", "2 to 4096 expected")
        } else if !(1..=100_000).contains(&self.epochs) {
            ("epochs", "1 to 100000 expected")
        } else if !positive(self.validation_share, 0.9) {
            ("validation_share", "above 0 and below 0.9 expected")
        } else {
            let named = |e: Error| match e {
                Error::Setting { name, reason } => {
                    Error::setting(format!("baseline.{name}"), reason)
                }
                other => other,
            };
            self.augment.check().map_err(named)?;
            return self.cnn.check(self.size.max(32)).map_err(named);
        };
        Err(Error::setting(format!("baseline.{}", wrong.0), wrong.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recipes_are_in_range_and_the_paper_s_balances_twice() {
        for options in [
            BaselineOptions::default(),
            BaselineOptions::paper(),
            BaselineOptions::metal(),
        ] {
            options.check().unwrap();
        }
        let paper = BaselineOptions::paper();
        assert!(paper.balance.resamples() && paper.balance.weighs());
        assert!(!BaselineOptions::default().balance.resamples());
    }

    #[test]
    fn an_option_out_of_range_is_named_with_its_table() {
        let mut options = BaselineOptions::default();
        options.augment.rotation = 400.0;
        let error = options.check().unwrap_err().to_string();
        assert!(error.contains("baseline.augment.rotation"), "{error}");
    }
}
