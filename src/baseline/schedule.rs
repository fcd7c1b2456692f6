//! How the step size falls from epoch to epoch.

use super::options::BaselineOptions;
use serde::{Deserialize, Serialize};

/// The rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScheduleKind {
    /// Times a factor when the validation measure no longer rises.
    Plateau,
    /// Along half a cosine to 0 at the last epoch.
    Cosine,
    /// Not at all.
    None,
}

/// A gain below this share is none (PyTorch's default).
const THRESHOLD: f64 = 1e-4;

/// The step size under way.
///
/// `plateau` is PyTorch's `ReduceLROnPlateau(mode="max")` with its defaults for
/// threshold (1e-4, relative), cooldown (0) and least change (1e-8); `cosine`
/// its `CosineAnnealingLR(T_max=epochs)`, stepped once an epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// The step size of the next epoch.
    pub learning_rate: f64,
    best: Option<f64>,
    bad_epochs: usize,
    done: usize,
}

impl Schedule {
    /// Before the first epoch.
    #[must_use]
    pub fn new(options: &BaselineOptions) -> Self {
        Self {
            learning_rate: options.learning_rate,
            best: None,
            bad_epochs: 0,
            done: 0,
        }
    }

    /// After an epoch that gave this validation measure.
    pub fn after(&mut self, options: &BaselineOptions, measure: f64) {
        self.done += 1;
        match options.schedule {
            ScheduleKind::None => {}
            ScheduleKind::Cosine => {
                let done = self.done as f64 / options.epochs as f64;
                let share = 0.5 * (1.0 + (std::f64::consts::PI * done).cos());
                self.learning_rate = options.learning_rate * share;
            }
            ScheduleKind::Plateau => {
                if self
                    .best
                    .is_none_or(|best| measure > best * (1.0 + THRESHOLD))
                {
                    self.best = Some(measure);
                    self.bad_epochs = 0;
                } else {
                    self.bad_epochs += 1;
                }
                if self.bad_epochs > options.plateau_patience {
                    self.bad_epochs = 0;
                    let lower = self.learning_rate * options.plateau_factor;
                    if self.learning_rate - lower > 1e-8 {
                        self.learning_rate = lower;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Reference {
        schedule: Rates,
    }

    #[derive(Deserialize)]
    struct Rates {
        measures: Vec<f64>,
        plateau: Vec<f64>,
        cosine: Vec<f64>,
    }

    #[test]
    fn rates_fall_as_pytorch_s() {
        let json = include_str!("../../tests/reference/baseline.json");
        let reference: Reference = serde_json::from_str(json).unwrap();
        let r = reference.schedule;
        for (schedule, expected) in [
            (ScheduleKind::Plateau, &r.plateau),
            (ScheduleKind::Cosine, &r.cosine),
        ] {
            let options = BaselineOptions {
                schedule,
                learning_rate: 0.1,
                plateau_patience: 2,
                epochs: r.measures.len(),
                ..BaselineOptions::default()
            };
            let mut under_way = Schedule::new(&options);
            for (measure, rate) in r.measures.iter().zip(expected) {
                under_way.after(&options, *measure);
                assert!(
                    (under_way.learning_rate - rate).abs() < 1e-12,
                    "{schedule:?}"
                );
            }
        }
    }
}
