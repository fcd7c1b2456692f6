//! What came out: each arm's measures, the tests between arms, the folds.

use super::arm::{Arm, ArmName};
use super::differences::{self, Difference};
use super::division::Division;
use super::fits::{PredictedPiece, Predictions};
use super::measure::{self, Measured, Outcome};
use super::{AllPredictions, Job, stages, supervised};
use crate::data::sample::SampleId;
use crate::error::{Error, Result};
use crate::pipeline::rows::Unreadable;
use crate::progress::Observer;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};

/// One arm's results.
#[derive(Debug, Clone, Serialize)]
pub struct ArmResult {
    /// Its factors.
    #[serde(flatten)]
    pub name: ArmName,
    /// The classes that its measures are over.
    pub classes: Vec<String>,
    /// Its measures by name; see [`measure::measures`].
    pub measures: BTreeMap<String, Measured>,
    /// Folds in which it could not be fitted, counted from 1.
    pub not_fitted: Vec<usize>,
    /// Every piece once, by the fold that had it as test piece.
    #[serde(skip)]
    pub predictions: Vec<OutOfFold>,
}

/// An arm's word on a piece that it had not seen.
#[derive(Debug, Clone, PartialEq)]
pub struct OutOfFold {
    /// Counted from 1.
    pub fold: usize,
    /// The piece's place in the data set.
    pub sample: usize,
    /// The threshold of the fold, for the binary task.
    pub threshold: Option<f64>,
    /// Score, probabilities and class.
    pub piece: PredictedPiece,
}

/// One fold's size.
#[derive(Debug, Clone, Serialize)]
pub struct FoldSize {
    /// Good pieces that the anomaly model learned from (the one that drew the
    /// test pieces' maps).
    pub anomaly_pieces: usize,
    /// Pieces classifier and threshold were fitted on, all defects kept.
    pub fitted_pieces: usize,
    /// Test pieces of each class.
    pub test: BTreeMap<String, usize>,
}

/// What came out.
#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    /// The arms, in the order of the job.
    pub arms: Vec<ArmResult>,
    /// Tests between arms that differ in one factor.
    pub differences: Vec<Difference>,
    /// The folds.
    pub folds: Vec<FoldSize>,
    /// What a reader should know.
    pub notes: Vec<String>,
    /// Pieces left out because they could not be read.
    #[serde(skip)]
    pub unreadable: Vec<Unreadable>,
}

/// Measures, tests, and what a reader should know.
pub(super) fn results(
    job: &Job<'_>,
    divisions: &[Division<'_>],
    mut predictions: AllPredictions,
    observer: &dyn Observer,
) -> Result<Comparison> {
    let place: HashMap<&SampleId, usize> =
        job.dataset.samples.iter().map(|s| &s.id).zip(0..).collect();
    observer.begin("measuring", job.arms.len() as u64);
    let mut arms = Vec::with_capacity(job.arms.len());
    for (a, arm) in job.arms.iter().enumerate() {
        let of_arm = predictions.iter_mut().map(|fold| fold[a].take()).collect();
        arms.push(result(job, arm, of_arm, &place)?);
        observer.advance(1);
        if observer.stop_requested() {
            observer.end();
            return Err(Error::Stopped);
        }
    }
    observer.end();
    let named: Vec<_> = arms.iter().map(|a| (a.name.clone(), &a.measures)).collect();
    let differences = differences::differences(&named)?;
    let mut notes = Vec::new();
    if job.folds < differences::FEWEST_FOLDS {
        notes.push(format!(
            "{} folds: an exact two-sided Wilcoxon test cannot fall below {} with fewer than {}",
            job.folds,
            differences::SIGNIFICANT,
            differences::FEWEST_FOLDS
        ));
    }
    if job.arms.iter().any(Arm::is_network) {
        notes.push(supervised::note(job, &divisions[0]));
    }
    let absent: usize = arms.iter().map(|a| a.not_fitted.len()).sum();
    if absent > 0 {
        notes.push(format!(
            "{absent} times an arm could not be fitted in a fold: too few pieces; these folds are \
             left out of its means and tests"
        ));
    }
    Ok(Comparison {
        arms,
        differences,
        folds: divisions.iter().map(|d| fold_size(job, d)).collect(),
        notes,
        unreadable: Vec::new(),
    })
}

fn result(
    job: &Job<'_>,
    arm: &Arm,
    folds: Vec<Option<Predictions>>,
    place: &HashMap<&SampleId, usize>,
) -> Result<ArmResult> {
    let classes = &job.dataset.classes;
    let truth = |sample: usize| {
        let label = job.dataset.samples[sample].label().unwrap_or_default();
        classes.iter().position(|c| c == label).unwrap_or_default()
    };
    let mut groups: BTreeMap<(bool, &str), usize> = BTreeMap::new();
    let mut drawn_together = Vec::new();
    let (mut outcomes, mut all, mut not_fitted) = (Vec::new(), Vec::new(), Vec::new());
    for (fold, predictions) in folds.into_iter().enumerate() {
        let Some(predictions) = predictions else {
            not_fitted.push(fold + 1);
            outcomes.push(None);
            continue;
        };
        let mut of_fold = Vec::with_capacity(predictions.pieces.len());
        for piece in predictions.pieces {
            let sample = *place.get(&piece.id).ok_or_else(|| {
                Error::data(format!("{} is predicted, but not in the data", piece.id))
            })?;
            let group = &job.dataset.samples[sample];
            let name = group.group.as_deref().unwrap_or(group.id.as_str());
            let next = groups.len();
            drawn_together.push(*groups.entry((group.group.is_some(), name)).or_insert(next));
            of_fold.push(Outcome {
                truth: truth(sample),
                score: piece.score,
                probabilities: piece.probabilities.clone(),
                predicted: piece.predicted,
            });
            all.push(OutOfFold {
                fold: fold + 1,
                sample,
                threshold: predictions.threshold,
                piece,
            });
        }
        outcomes.push(Some(of_fold));
    }
    Ok(ArmResult {
        name: arm.name(),
        classes: job.view(arm.task).classes.clone(),
        measures: measure::measured(
            arm.task,
            classes,
            &outcomes,
            &drawn_together,
            job.bootstrap.as_ref(),
            stages::root(job.seed).derive("compare.bootstrap", 0),
        )?,
        not_fitted,
        predictions: all,
    })
}

fn fold_size(job: &Job<'_>, division: &Division<'_>) -> FoldSize {
    let mut test = BTreeMap::new();
    for &i in &division.test {
        let label = job.dataset.samples[i].label().unwrap_or_default();
        *test.entry(label.to_string()).or_default() += 1;
    }
    FoldSize {
        anomaly_pieces: division.sources[0].learns.good().len(),
        fitted_pieces: division.fitting.len(),
        test,
    }
}
