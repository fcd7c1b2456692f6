//! One arm in one fold: fitted on the fold's training rows, then asked about
//! its test rows.

use super::arm::{Arm, Decider, Task};
use super::cache::Product;
use super::rows::{TestRows, TrainingRows};
use crate::classifier::Classifier;
use crate::data::annotation::GOOD;
use crate::data::dataset::Dataset;
use crate::data::prediction::Prediction;
use crate::data::sample::SampleId;
use crate::decision::Rule;
use crate::error::{Error, Result};
use crate::extract::InputMode;
use crate::pipeline::decide;
use crate::progress::Observer;
use crate::random::Seed;
use crate::selection::Selection;
use crate::settings::{ModelKind, Settings};
use serde::{Deserialize, Serialize};

/// How arms are fitted, in one fold.
pub struct Fitting<'a> {
    /// The data set in the view of the arm's task: its classes.
    pub view: &'a Dataset,
    /// Selection, decision, folds of the threshold.
    pub settings: &'a Settings,
    /// The fold's seed: all arms of a fold draw alike.
    pub seed: Seed,
}

/// A fitted arm.
#[derive(Debug)]
pub struct FittedArm {
    /// Selection and classifier, where there are some.
    pub classifier: Option<(InputMode, Selection, Classifier)>,
    /// The threshold of the binary task.
    pub rule: Option<Rule>,
}

/// Fits an arm; `None` where the rows are too few for it, and for a supervised
/// network, which takes no rows ([`super::supervised`]).
///
/// # Errors
/// What the steps say.
pub fn fit(
    arm: &Arm,
    rows: &TrainingRows<'_>,
    how: &Fitting<'_>,
    observer: &dyn Observer,
) -> Result<Option<FittedArm>> {
    let on = rows.on();
    let labels = decide::labels_of(on.samples, on.rows)?;
    let good = labels.iter().filter(|l| *l == GOOD).count();
    if good == 0 || good == labels.len() {
        return Ok(None);
    }
    let settings = Settings {
        model: ModelKind::Hybrid,
        ..how.settings.clone()
    };
    let (input, classifier) = match arm.decider {
        Decider::AnomalyScore => {
            let is_defect: Vec<bool> = labels.iter().map(|l| l != GOOD).collect();
            let rule = decide::fit_rule(&settings, on.good_repeat, rows.scores(), &is_defect)?;
            return Ok(Some(FittedArm {
                classifier: None,
                rule: Some(rule),
            }));
        }
        Decider::Features { input, classifier } => (input, classifier),
        Decider::Network { .. } => return Ok(None),
    };
    let settings = Settings {
        classifier,
        ..settings
    };
    match arm.task {
        Task::Binary => {
            let deciders =
                decide::fit_deciders(on, input, how.view, &settings, how.seed, observer)?;
            // Without a classifier the anomaly score would decide: another arm.
            Ok(deciders.hybrid.map(|(selection, classifier)| FittedArm {
                classifier: Some((input, selection, classifier)),
                rule: Some(deciders.rule),
            }))
        }
        Task::MultiClass => {
            let (selection, classifier) =
                decide::fit_classifier(on, input, how.view, &settings, how.seed, observer)?;
            Ok(Some(FittedArm {
                classifier: Some((input, selection, classifier)),
                rule: None,
            }))
        }
    }
}

impl FittedArm {
    /// Scores rows.
    ///
    /// # Errors
    /// As [`Selection::apply`] and [`Classifier::predict`].
    pub fn predict(&self, rows: &TestRows) -> Result<Predictions> {
        let predictions = match &self.classifier {
            None => None,
            Some((input, selection, classifier)) => {
                let kept = selection.apply(&input.of(rows.features()))?;
                Some(classifier.predict(&kept)?)
            }
        };
        let ids = rows.features().ids().iter().cloned();
        let rows = ids.enumerate().map(|(i, id)| {
            let p = predictions.as_ref().map(|p| &p[i]);
            let score = p.map_or(rows.scores()[i], Prediction::p_defect);
            let probabilities = p.map_or(&[][..], Prediction::probabilities).to_vec();
            PredictedPiece {
                id,
                score,
                predicted: match &self.rule {
                    Some(rule) => usize::from(score >= rule.fail_at),
                    None => most_probable(&probabilities),
                },
                probabilities,
            }
        });
        Ok(Predictions {
            threshold: self
                .rule
                .as_ref()
                .map(|rule| rule.fail_at)
                .filter(|t| t.is_finite()),
            selected: self.classifier.as_ref().map_or(0, |c| c.1.columns().len()),
            pieces: rows.collect(),
        })
    }
}

/// The first of the largest.
pub(super) fn most_probable(p: &[f64]) -> usize {
    (1..p.len()).fold(0, |best, i| if p[i] > p[best] { i } else { best })
}

/// What an arm says of one test piece.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PredictedPiece {
    /// The piece.
    pub id: SampleId,
    /// Rises with the likelihood of a defect.
    pub score: f64,
    /// Probability of each class of the task, where there is a classifier.
    pub probabilities: Vec<f64>,
    /// Binary: 1 for a defect. Multi-class: the class.
    pub predicted: usize,
}

/// What an arm says of a fold's test pieces.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Predictions {
    /// Pieces at or above it count as defective; of the binary task.
    pub threshold: Option<f64>,
    /// Feature columns that selection kept.
    pub selected: usize,
    /// The test pieces that could be read.
    pub pieces: Vec<PredictedPiece>,
}

/// What an arm gave in a fold; `None` if its training rows were too few.
impl Product for Option<Predictions> {
    const KIND: &'static str = "predictions";

    fn to_bytes(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|e| Error::data(e.to_string()))
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let read: Self = serde_json::from_slice(bytes).map_err(|e| Error::data(e.to_string()))?;
        let finite = |p: &PredictedPiece| {
            p.score.is_finite() && p.probabilities.iter().all(|v| v.is_finite())
        };
        match read.iter().flat_map(|p| &p.pieces).position(|p| !finite(p)) {
            None => Ok(read),
            Some(row) => Err(Error::NotFinite {
                what: "predictions".into(),
                row,
            }),
        }
    }
}
