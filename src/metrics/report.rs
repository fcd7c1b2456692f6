//! Every measure of one set of predictions, as `goma evaluate` prints it.

use super::bootstrap::{BootstrapOptions, Interval};
use super::confusion::{ClassScores, Confusion};
use super::mann_whitney::no_better_than_chance;
use super::ranking::{Sweep, average_precision, roc_auc, roc_auc_one_vs_rest};
use crate::error::{Error, Result};
use crate::random::Seed;
use serde::Serialize;
use std::collections::BTreeMap;

/// What was predicted for labelled pieces.
#[derive(Debug, Clone, PartialEq)]
pub struct Labelled {
    /// Class names; the first is the class without defect.
    pub classes: Vec<String>,
    /// True class of each piece, an index into `classes`.
    pub truth: Vec<usize>,
    /// The number that is compared with the threshold, rising with the
    /// likelihood of any defect.
    pub scores: Vec<f64>,
    /// Probability of each class, in the order of `classes`, where the
    /// predictions name classes.
    pub probabilities: Option<Vec<Vec<f64>>>,
    /// What must be drawn together for intervals; `None`: each piece by itself.
    pub groups: Option<Vec<usize>>,
}

/// How a [`Report`] is made.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ReportOptions {
    /// Judge at this threshold; `None`: at the best F1 on these very data.
    pub threshold: Option<f64>,
    /// Intervals as well.
    pub bootstrap: Option<BootstrapOptions>,
}

/// All measures of a set of predictions.
///
/// The binary ones (`roc_auc` to `recall_at_5pct_false_rejects`) ask "defect or
/// not" of the score. `confusion`, `accuracy`, `kappa`, `per_class` and the
/// averages ask "which class": of the most probable class where there are three
/// classes or more with probabilities, else of the score against the threshold.
/// What is undefined for the data is `None`, and `notes` says why.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Pieces.
    pub n: usize,
    /// Pieces without defect.
    pub n_good: usize,
    /// Pieces with a defect of any class.
    pub n_defect: usize,
    /// ROC AUC of the score.
    pub roc_auc: Option<f64>,
    /// Average precision of the score.
    pub auc_pr: Option<f64>,
    /// F1 of the defects at the threshold.
    pub f1: Option<f64>,
    /// Pieces at or above are rejected.
    pub threshold: Option<f64>,
    /// Where the threshold comes from.
    pub threshold_basis: &'static str,
    /// Share of the rejected that are defective; 0 where none is rejected.
    pub precision: Option<f64>,
    /// Share of the defective that are rejected.
    pub recall: Option<f64>,
    /// Share of the good that pass.
    pub specificity: Option<f64>,
    /// Share of the good that are rejected.
    pub false_reject_rate: Option<f64>,
    /// As `recall`, in the words of inspection: whatever the class of defect.
    pub defect_recall: Option<f64>,
    /// `100 − defect recall` in percent.
    pub aql: Option<f64>,
    /// Defect recall where at most 5% of the good pieces are rejected.
    pub recall_at_5pct_false_rejects: Option<f64>,
    /// Share of the defects of each class that are rejected.
    pub defect_recall_by_class: BTreeMap<String, f64>,
    /// Share of pieces predicted as their class.
    pub accuracy: Option<f64>,
    /// Cohen's kappa over classes.
    pub kappa: Option<f64>,
    /// The classes of the confusion matrix.
    pub classes: Vec<String>,
    /// Counts, `[true class][predicted class]`.
    pub confusion: Vec<Vec<usize>>,
    /// Each row divided by its sum.
    pub confusion_normalised: Vec<Vec<f64>>,
    /// Each class against the rest.
    pub per_class: BTreeMap<String, ClassReport>,
    /// Mean over the classes that occur.
    pub macro_precision: Option<f64>,
    /// Mean over the classes that occur.
    pub macro_recall: Option<f64>,
    /// Mean over the classes that occur.
    pub macro_f1: Option<f64>,
    /// Mean weighted by class size.
    pub weighted_precision: Option<f64>,
    /// Mean weighted by class size.
    pub weighted_recall: Option<f64>,
    /// Mean weighted by class size.
    pub weighted_f1: Option<f64>,
    /// Each class against the rest, weighted by class share; for two classes
    /// this is `roc_auc`.
    pub roc_auc_one_vs_rest: Option<f64>,
    /// Share of the defects predicted as their very class; `None` where the
    /// predictions name no defect class.
    pub correct_defect_class_recall: Option<f64>,
    /// Bootstrap intervals by the name of the measure, where asked for.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub intervals: BTreeMap<String, Interval>,
    /// What could not be computed, and why; what is no evidence of skill
    /// ([`no_better_than_chance`]).
    pub notes: Vec<String>,
}

/// One class against the rest.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ClassReport {
    /// Pieces of the class.
    pub n: usize,
    /// Precision, recall, specificity, F1.
    #[serde(flatten)]
    pub scores: ClassScores,
    /// ROC AUC of the class's probability.
    pub roc_auc: Option<f64>,
    /// Average precision of the class's probability.
    pub auc_pr: Option<f64>,
}

impl Report {
    /// Computes every measure that the data define.
    ///
    /// # Errors
    /// [`Error::Shape`] if lengths disagree, [`Error::NotFinite`] with the row,
    /// [`Error::Data`] without any piece.
    pub fn new(data: &Labelled, options: &ReportOptions, seed: Seed) -> Result<Self> {
        data.check()?;
        let mut notes = Vec::new();
        let is_defect: Vec<bool> = data.truth.iter().map(|&c| c != 0).collect();
        let sweep = Sweep::new(&data.scores, &is_defect)?;
        let (n_good, n_defect) = (sweep.n_good, sweep.n_defect);
        for (missing, what) in [
            (
                n_good == 0,
                "no good piece: ROC AUC, specificity and false rejects are undefined",
            ),
            (
                n_defect == 0,
                "no defective piece: ROC AUC, AUC-PR, F1 and defect recall are undefined",
            ),
        ] {
            if missing {
                notes.push(what.to_string());
            }
        }
        notes.extend(no_better_than_chance(&sweep));
        let (threshold, threshold_basis) = match options.threshold {
            Some(t) => (Some(t), "given"),
            None if n_defect > 0 => (Some(sweep.best_f1()?.threshold), "best F1 on these data"),
            None => (
                None,
                "none: no defective piece to choose it by, and none given",
            ),
        };
        let binary = threshold.map(|t| binary_confusion(data, t)).transpose()?;
        let scores = binary.as_ref().map(|b| b.class(1));
        let with_defects = |v: Option<f64>| v.filter(|_| n_defect > 0);
        let with_good = |v: Option<f64>| v.filter(|_| n_good > 0);
        let recall = with_defects(scores.map(|s| s.recall));
        let specificity = with_good(scores.map(|s| s.specificity));

        let named = data
            .probabilities
            .as_ref()
            .filter(|_| data.classes.len() > 2);
        let (classes, confusion) = match named {
            Some(p) => {
                let predicted: Vec<usize> = p.iter().map(|p| most_probable(p)).collect();
                let confusion = Confusion::new(&data.truth, &predicted, data.classes.len())?;
                (data.classes.clone(), Some(confusion))
            }
            None => (data.binary_classes(), binary.clone()),
        };
        let per_class = confusion
            .iter()
            .flat_map(|m| {
                classes.iter().enumerate().map(|(c, name)| {
                    let (is_c, p) = data.one_against_rest(named.is_some(), c);
                    let report = ClassReport {
                        n: m.support(c),
                        scores: m.class(c),
                        roc_auc: roc_auc(&p, &is_c).ok(),
                        auc_pr: average_precision(&p, &is_c).ok(),
                    };
                    (name.clone(), report)
                })
            })
            .collect();
        let macro_average = confusion.as_ref().map(Confusion::macro_average);
        let weighted = confusion.as_ref().map(Confusion::weighted_average);
        let roc = sweep.roc_auc().ok();

        let mut report = Self {
            n: data.truth.len(),
            n_good,
            n_defect,
            roc_auc: roc,
            auc_pr: sweep.average_precision().ok(),
            f1: with_defects(scores.map(|s| s.f1)),
            threshold,
            threshold_basis,
            precision: with_defects(scores.map(|s| s.precision)),
            recall,
            specificity,
            false_reject_rate: specificity.map(|s| 1.0 - s),
            defect_recall: recall,
            aql: recall.map(super::aql),
            recall_at_5pct_false_rejects: with_defects(with_good(
                sweep.for_false_rejects(0.05).ok().map(|c| c.recall),
            )),
            defect_recall_by_class: data.recall_by_class(threshold),
            accuracy: confusion.as_ref().map(Confusion::accuracy),
            kappa: confusion.as_ref().and_then(Confusion::kappa),
            confusion: confusion
                .as_ref()
                .map_or(Vec::new(), |m| m.counts().to_vec()),
            confusion_normalised: confusion.as_ref().map_or(Vec::new(), Confusion::normalised),
            classes,
            per_class,
            macro_precision: macro_average.map(|s| s.precision),
            macro_recall: macro_average.map(|s| s.recall),
            macro_f1: macro_average.map(|s| s.f1),
            weighted_precision: weighted.map(|s| s.precision),
            weighted_recall: weighted.map(|s| s.recall),
            weighted_f1: weighted.map(|s| s.f1),
            roc_auc_one_vs_rest: match named {
                Some(p) => roc_auc_one_vs_rest(p, &data.truth).ok(),
                None => roc,
            },
            correct_defect_class_recall: named
                .and(confusion.as_ref())
                .and_then(|m| m.correct_defect_class_recall(0)),
            intervals: BTreeMap::new(),
            notes,
        };
        if let Some(bootstrap) = options.bootstrap {
            report.intervals = intervals(data, &is_defect, threshold, &bootstrap, seed)?;
        }
        Ok(report)
    }
}

impl Labelled {
    fn check(&self) -> Result<()> {
        let n = self.truth.len();
        if n == 0 {
            return Err(Error::data("nothing to measure: no labelled piece"));
        }
        if self.classes.is_empty() {
            return Err(Error::shape("classes", 0, "at least the good one"));
        }
        if self.scores.len() != n {
            return Err(Error::shape("scores", self.scores.len(), n));
        }
        if let Some(row) = self.truth.iter().position(|&c| c >= self.classes.len()) {
            return Err(Error::shape(
                format!("class of row {row}"),
                self.truth[row],
                format!("below {}", self.classes.len()),
            ));
        }
        if let Some(g) = self.groups.as_ref().filter(|g| g.len() != n) {
            return Err(Error::shape("groups", g.len(), n));
        }
        let Some(probabilities) = &self.probabilities else {
            return Ok(());
        };
        if probabilities.len() != n {
            return Err(Error::shape("probabilities", probabilities.len(), n));
        }
        for (row, p) in probabilities.iter().enumerate() {
            if p.len() != self.classes.len() {
                return Err(Error::shape(
                    format!("probabilities of row {row}"),
                    p.len(),
                    self.classes.len(),
                ));
            }
            if !p.iter().all(|v| v.is_finite()) {
                return Err(Error::NotFinite {
                    what: "probabilities".into(),
                    row,
                });
            }
        }
        Ok(())
    }

    /// The two classes of the question "defect or not".
    fn binary_classes(&self) -> Vec<String> {
        let defect = match &self.classes[..] {
            [_, one] => one.clone(),
            _ => "defect".to_string(),
        };
        vec![self.classes[0].clone(), defect]
    }

    /// Membership of class `c` and the number that argues for it.
    fn one_against_rest(&self, named: bool, c: usize) -> (Vec<bool>, Vec<f64>) {
        match &self.probabilities {
            Some(p) if named => (
                self.truth.iter().map(|&t| t == c).collect(),
                p.iter().map(|p| p[c]).collect(),
            ),
            _ => {
                let sign = if c == 0 { -1.0 } else { 1.0 };
                (
                    self.truth.iter().map(|&t| (t != 0) == (c != 0)).collect(),
                    self.scores.iter().map(|s| sign * s).collect(),
                )
            }
        }
    }

    fn recall_by_class(&self, threshold: Option<f64>) -> BTreeMap<String, f64> {
        let Some(threshold) = threshold else {
            return BTreeMap::new();
        };
        (1..self.classes.len())
            .filter_map(|c| {
                let of_class = || (0..self.truth.len()).filter(|&i| self.truth[i] == c);
                let n = of_class().count();
                let found = of_class().filter(|&i| self.scores[i] >= threshold).count();
                (n > 0).then(|| (self.classes[c].clone(), found as f64 / n as f64))
            })
            .collect()
    }
}

fn binary_confusion(data: &Labelled, threshold: f64) -> Result<Confusion> {
    let truth: Vec<usize> = data.truth.iter().map(|&c| usize::from(c != 0)).collect();
    let predicted: Vec<usize> = data
        .scores
        .iter()
        .map(|&s| usize::from(s >= threshold))
        .collect();
    Confusion::new(&truth, &predicted, 2)
}

/// Index of the largest probability, the first of equals.
fn most_probable(p: &[f64]) -> usize {
    (1..p.len()).fold(0, |best, i| if p[i] > p[best] { i } else { best })
}

/// The measures that get an interval, in the order of [`drawn_measures`].
const WITH_INTERVAL: [&str; 6] = [
    "roc_auc",
    "auc_pr",
    "f1",
    "recall",
    "specificity",
    "recall_at_5pct_false_rejects",
];

fn intervals(
    data: &Labelled,
    is_defect: &[bool],
    threshold: Option<f64>,
    options: &BootstrapOptions,
    seed: Seed,
) -> Result<BTreeMap<String, Interval>> {
    let own: Vec<usize>;
    let groups = match &data.groups {
        Some(groups) => groups,
        None => {
            own = (0..data.truth.len()).collect();
            &own
        }
    };
    let found = options.intervals(groups, seed, |rows| {
        drawn_measures(&data.scores, is_defect, threshold, rows)
    })?;
    Ok(WITH_INTERVAL
        .iter()
        .zip(found)
        .filter_map(|(name, interval)| Some(((*name).to_string(), interval?)))
        .collect())
}

fn drawn_measures(
    scores: &[f64],
    is_defect: &[bool],
    threshold: Option<f64>,
    rows: &[usize],
) -> [Option<f64>; WITH_INTERVAL.len()] {
    let s: Vec<f64> = rows.iter().map(|&r| scores[r]).collect();
    let d: Vec<bool> = rows.iter().map(|&r| is_defect[r]).collect();
    let Ok(sweep) = Sweep::new(&s, &d) else {
        return [None; WITH_INTERVAL.len()];
    };
    let (both, defects) = (sweep.n_good > 0 && sweep.n_defect > 0, sweep.n_defect > 0);
    let at = threshold.map(|t| {
        let tp = (0..s.len()).filter(|&i| d[i] && s[i] >= t).count() as f64;
        let fp = (0..s.len()).filter(|&i| !d[i] && s[i] >= t).count() as f64;
        (tp, fp)
    });
    let (n_good, n_defect) = (sweep.n_good as f64, sweep.n_defect as f64);
    [
        sweep.roc_auc().ok(),
        sweep.average_precision().ok(),
        at.filter(|_| defects)
            .map(|(tp, fp)| 2.0 * tp / (tp + fp + n_defect)),
        at.filter(|_| defects).map(|(tp, _)| tp / n_defect),
        at.filter(|_| sweep.n_good > 0)
            .map(|(_, fp)| 1.0 - fp / n_good),
        both.then(|| sweep.for_false_rejects(0.05).ok().map(|c| c.recall))
            .flatten(),
    ]
}

#[cfg(test)]
mod tests;
