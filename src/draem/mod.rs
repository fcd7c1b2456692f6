//! The anomaly model: a reconstruction of the good piece and what differs.
//!
//! Zavrtanik, Kristan, Skocaj: DRAEM - A discriminatively trained
//! reconstruction embedding for surface anomaly detection, ICCV 2021. Over any
//! number of channels, trained on good pieces alone.
//!
//! [`registration`] moves pieces to where they usually lie, [`vary`] varies good
//! ones, [`simulate`] makes defects of what [`source`] offers, [`network`] restores
//! and segments, [`loss`] compares, [`train`] puts them together and has them
//! watched by [`validate`] and [`contamination`]; [`Draem`] is what comes out of it
//! and draws the [`AnomalyMap`](crate::data::anomaly_map::AnomalyMap).

pub mod augment;
pub mod contamination;
pub mod import;
pub mod loss;
pub mod model;
pub mod network;
pub mod perlin;
pub mod registration;
pub mod simulate;
pub mod source;
pub mod tiles;
pub mod train;
pub mod validate;
pub mod vary;

pub use model::Draem;
pub use registration::Registration;
pub use simulate::SimulationOptions;
pub use source::{AnomalySource, DefectKind};
pub use tiles::Tiling;

use crate::error::{Error, Result};
use model::DraemShape;
use serde::{Deserialize, Serialize};

/// Of fewer good pieces than this none is kept back to validate on.
pub const LEAST_TO_VALIDATE: usize = 20;

/// How the anomaly model is built and trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DraemOptions {
    /// Side of the square the networks work on, in pixels; a multiple of 32.
    pub size: usize,
    /// First width of the reconstructive network (paper: 128).
    pub reconstructive_width: usize,
    /// First width of the discriminative network (paper: 64).
    pub discriminative_width: usize,
    /// Optimiser steps.
    pub steps: usize,
    /// Samples in a step.
    pub batch: usize,
    /// Adam's learning rate.
    pub learning_rate: f64,
    /// Steps over which the learning rate rises from zero.
    pub warmup: usize,
    /// Largest norm of the gradient; larger ones are scaled down. 0: no limit.
    pub clip: f64,
    /// Memory of the moving average of the weights, at each step; the averaged
    /// weights are validated and kept. 0: no average.
    pub ema: f64,
    /// Validations over the run, at equal intervals, the last at its end; a
    /// picture sheet is made at each.
    pub validations: usize,
    /// Share of the good training pieces that are not trained on but validated
    /// on: the weights of the best validation are kept. 0, or fewer than
    /// [`LEAST_TO_VALIDATE`] good pieces: all are trained on, and the last
    /// weights kept.
    pub validation_share: f64,
    /// Share of the good training pieces that may be mislabelled defects: those
    /// that the model finds most anomalous are left out. 0: none.
    pub contamination: f64,
    /// What is done with pieces larger than the model: `off` reduces them to its
    /// size, `overlap` cuts them into tiles at full resolution.
    pub tiles: Tiling,
    /// Whether each piece is first moved to where the good ones lie, see
    /// [`registration`].
    pub align: bool,
    /// How defects are simulated.
    pub simulation: SimulationOptions,
}

impl Default for DraemOptions {
    /// The preset `fast`.
    fn default() -> Self {
        Self {
            size: 128,
            reconstructive_width: 16,
            discriminative_width: 8,
            steps: 2000,
            batch: 8,
            learning_rate: 1e-3,
            warmup: 100,
            clip: 1.0,
            ema: 0.99,
            validations: 10,
            validation_share: 0.05,
            contamination: 0.0,
            tiles: Tiling::Off,
            align: false,
            simulation: SimulationOptions {
                rotate_share: 0.0,
                displaced_share: 0.25,
                tone_share: 0.25,
                ..SimulationOptions::default()
            },
        }
    }
}

impl DraemOptions {
    /// 256 x 256, widths 32 and 16.
    #[must_use]
    pub fn compact() -> Self {
        Self {
            size: 256,
            reconstructive_width: 32,
            discriminative_width: 16,
            steps: 10_000,
            learning_rate: 5e-4,
            ..Self::default()
        }
    }

    /// The published network and schedule: 256 x 256, widths 128 and 64.
    #[must_use]
    pub fn paper() -> Self {
        Self {
            size: 256,
            reconstructive_width: 128,
            discriminative_width: 64,
            steps: 70_000,
            batch: 8,
            learning_rate: 1e-4,
            warmup: 0,
            clip: 0.0,
            ema: 0.0,
            validations: 10,
            validation_share: 0.0,
            contamination: 0.0,
            tiles: Tiling::Off,
            align: false,
            simulation: SimulationOptions::default(),
        }
    }

    /// The shape of the model for images of so many channels.
    #[must_use]
    pub fn shape(&self, channels: usize) -> DraemShape {
        DraemShape {
            channels,
            size: self.size,
            reconstructive_width: self.reconstructive_width,
            discriminative_width: self.discriminative_width,
        }
    }

    /// Checks every option's range.
    ///
    /// # Errors
    /// [`Error::Setting`] naming the option.
    pub fn check(&self) -> Result<()> {
        let s = &self.simulation;
        let share = 0.0..=1.0;
        let bad = if self.size == 0 || !self.size.is_multiple_of(32) || self.size > 4096 {
            ("size", "a multiple of 32 up to 4096 expected")
        } else if !(1..=1024).contains(&self.reconstructive_width) {
            ("reconstructive_width", "1 to 1024 expected")
        } else if !(1..=1024).contains(&self.discriminative_width) {
            ("discriminative_width", "1 to 1024 expected")
        } else if self.steps == 0 {
            ("steps", "at least 1 expected")
        } else if !(1..=1024).contains(&self.batch) {
            ("batch", "1 to 1024 expected")
        } else if !(self.learning_rate > 0.0 && self.learning_rate < 1.0) {
            ("learning_rate", "above 0 and below 1 expected")
        } else if !(self.clip >= 0.0) {
            ("clip", "0 or more expected")
        } else if !(0.0..1.0).contains(&self.ema) {
            ("ema", "0 to below 1 expected")
        } else if !(1..=100).contains(&self.validations) {
            ("validations", "1 to 100 expected")
        } else if !(0.0..=0.5).contains(&self.validation_share) {
            ("validation_share", "0 to 0.5 expected")
        } else if !(0.0..=0.5).contains(&self.contamination) {
            ("contamination", "0 to 0.5 expected")
        } else if !share.contains(&s.clean_share) {
            ("simulation.clean_share", "0 to 1 expected")
        } else if !share.contains(&s.rotate_share) {
            ("simulation.rotate_share", "0 to 1 expected")
        } else if !share.contains(&s.mirror_share) {
            ("simulation.mirror_share", "0 to 1 expected")
        } else if !share.contains(&s.flip_share) {
            ("simulation.flip_share", "0 to 1 expected")
        } else if !(0.0..=0.5).contains(&s.shift) {
            ("simulation.shift", "0 to 0.5 expected")
        } else if !(0.0..=10.0).contains(&s.exposure) {
            ("simulation.exposure", "0 to 10 expected")
        } else if !(0.0..=1.0).contains(&s.beta_max) {
            ("simulation.beta_max", "0 to 1 expected")
        } else if s.edge_blur > 16 {
            ("simulation.edge_blur", "0 to 16 expected")
        } else if !(1..=12).contains(&s.perlin_scales) {
            ("simulation.perlin_scales", "1 to 12 expected")
        } else {
            return self.check_shares();
        };
        Err(Error::setting(format!("draem.{}", bad.0), bad.1))
    }

    fn check_shares(&self) -> Result<()> {
        let kinds = || DefectKind::ALL.into_iter().skip(1);
        let share = |kind| self.simulation.share(kind);
        if let Some(kind) = kinds().find(|&kind| !(0.0..=1.0).contains(&share(kind))) {
            let name = format!("draem.simulation.{}_share", kind.name());
            return Err(Error::setting(name, "0 to 1 expected"));
        }
        let sum: f64 = kinds().map(share).sum();
        if sum > 1.0 + 1e-9 {
            return Err(Error::setting(
                "draem.simulation",
                format!("the shares of the kinds of defects sum to {sum}, at most 1 expected"),
            ));
        }
        Ok(())
    }

    /// Whether a validation is due once so many steps are done.
    #[must_use]
    pub fn validates_after(&self, steps: usize) -> bool {
        let before = |steps: usize| steps * self.validations / self.steps;
        before(steps) > before(steps - 1)
    }

    /// Learning rate at a step counted from 0: a linear rise over the warm-up,
    /// then constant, x 0.2 at 80% and again at 90% of the run.
    #[must_use]
    pub fn learning_rate_at(&self, step: usize) -> f64 {
        let rise = if step < self.warmup {
            (step + 1) as f64 / self.warmup as f64
        } else {
            1.0
        };
        let done = step as f64 / self.steps as f64;
        let fall = match done {
            d if d >= 0.9 => 0.04,
            d if d >= 0.8 => 0.2,
            _ => 1.0,
        };
        self.learning_rate * rise * fall
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_learning_rate_rises_then_falls_twice() {
        let o = DraemOptions {
            steps: 100,
            warmup: 10,
            learning_rate: 1.0,
            ..DraemOptions::default()
        };
        let at = |s| o.learning_rate_at(s);
        assert!((at(0) - 0.1).abs() < 1e-12);
        assert!((at(79) - 1.0).abs() < 1e-12);
        assert!((at(80) - 0.2).abs() < 1e-12);
        assert!((at(99) - 0.04).abs() < 1e-12);
    }

    #[test]
    fn validations_come_at_equal_intervals_and_at_the_end() {
        let o = DraemOptions {
            steps: 25,
            validations: 10,
            ..DraemOptions::default()
        };
        let due: Vec<usize> = (1..=25).filter(|s| o.validates_after(*s)).collect();
        assert_eq!(due, [3, 5, 8, 10, 13, 15, 18, 20, 23, 25]);
        let few = DraemOptions { steps: 3, ..o };
        assert!((1..=3).all(|s| few.validates_after(s)));
    }

    #[test]
    fn shares_of_defects_that_sum_to_more_than_all_are_refused() {
        let mut o = DraemOptions::default();
        o.simulation.stain_share = 0.99;
        assert!(o.check().unwrap_err().to_string().contains("sum"));
        o.simulation.stain_share = -0.1;
        assert!(o.check().unwrap_err().to_string().contains("stain_share"));
    }

    #[test]
    fn a_size_the_pooling_cannot_halve_five_times_is_refused() {
        let o = DraemOptions {
            size: 100,
            ..DraemOptions::default()
        };
        assert!(o.check().unwrap_err().to_string().contains("draem.size"));
        DraemOptions::default().check().unwrap();
        DraemOptions::paper().check().unwrap();
    }
}
