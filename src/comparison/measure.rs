//! What arms are measured by, in a fold and over all out-of-fold predictions.

use super::arm::Task;
use crate::metrics::ranking::Sweep;
use crate::metrics::{
    BootstrapOptions, Confusion, Interval, aql, average_precision_one_vs_rest, roc_auc_one_vs_rest,
};
use crate::random::Seed;
use crate::{Error, Result};
use serde::Serialize;
use std::collections::BTreeMap;

/// What an arm said of one piece, and the truth.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The class as labelled, an index into the data set's classes.
    pub truth: usize,
    /// Rises with the likelihood of a defect.
    pub score: f64,
    /// Probability of each class, for the multi-class task.
    pub probabilities: Vec<f64>,
    /// Binary: 1 for a defect. Multi-class: the class.
    pub predicted: usize,
}

/// The measures that every arm has, in the order of tables; see [`measures`].
pub const MEASURES: [&str; 13] = [
    "roc_auc",
    "auc_pr",
    "f1",
    "macro_f1",
    "precision",
    "defect_recall",
    "correct_defect_class_recall",
    "specificity",
    "aql",
    "accuracy",
    "kappa",
    "defect_roc_auc",
    "defect_recall_at_5pct_false_rejects",
];

/// The names of [`measures`]: [`MEASURES`], then `recall_CLASS` for each class.
#[must_use]
pub fn names(classes: &[String]) -> Vec<String> {
    let fixed = MEASURES.iter().map(ToString::to_string);
    fixed
        .chain(classes.iter().map(|c| format!("recall_{c}")))
        .collect()
}

/// All measures of some outcomes, in the order of [`names`]; `None` where the
/// outcomes do not define one.
///
/// - `roc_auc`, `auc_pr`: of the score (binary); of each class against the rest,
///   weighted by class share (multi-class)
/// - `f1`, `precision`, `defect_recall`, `specificity`, `aql`: of "defect or
///   not", whatever the class
/// - `macro_f1`, `accuracy`, `kappa`: over the task's classes
/// - `correct_defect_class_recall`: defects named as their very class
///   (multi-class)
/// - `defect_roc_auc`: of "defect or not", by the score, in both tasks
/// - `defect_recall_at_5pct_false_rejects`: defect recall at the score that rejects at
///   most 5% of these good pieces, in both tasks: recall at one and the same
///   price, which recall at each arm's own threshold is not
/// - `recall_CLASS`: the share of a defect class that is rejected (binary) or
///   named as that class (multi-class); of good pieces, of those that pass
///
/// # Errors
/// [`Error::NotFinite`] for a score that is no number; [`Error::Shape`].
pub fn measures(task: Task, classes: &[String], outcomes: &[&Outcome]) -> Result<Vec<Option<f64>>> {
    let is_defect: Vec<bool> = outcomes.iter().map(|o| o.truth != 0).collect();
    let scores: Vec<f64> = outcomes.iter().map(|o| o.score).collect();
    let sweep = Sweep::new(&scores, &is_defect)?;
    let pairs = |of: fn(usize) -> usize, n: usize| {
        let truth: Vec<usize> = outcomes.iter().map(|o| of(o.truth)).collect();
        let predicted: Vec<usize> = outcomes.iter().map(|o| of(o.predicted)).collect();
        Confusion::new(&truth, &predicted, n)
    };
    let binary = pairs(|class| usize::from(class != 0), 2)?;
    let defect_auc = sweep.roc_auc().ok();
    let (by_class, auc, pr) = match task {
        Task::Binary => (binary.clone(), defect_auc, sweep.average_precision().ok()),
        Task::MultiClass => {
            let p: Vec<Vec<f64>> = outcomes.iter().map(|o| o.probabilities.clone()).collect();
            let truth: Vec<usize> = outcomes.iter().map(|o| o.truth).collect();
            (
                pairs(|class| class, classes.len())?,
                roc_auc_one_vs_rest(&p, &truth).ok(),
                average_precision_one_vs_rest(&p, &truth).ok(),
            )
        }
    };
    let some = !outcomes.is_empty();
    let defects = |v: f64| (sweep.n_defect > 0).then_some(v);
    let good = |v: f64| (sweep.n_good > 0).then_some(v);
    let defect = binary.class(1);
    let named = match task {
        Task::Binary => None,
        Task::MultiClass => by_class.correct_defect_class_recall(0),
    };
    let mut values = vec![
        auc,
        pr,
        defects(defect.f1),
        some.then(|| by_class.macro_average().f1),
        defects(defect.precision),
        defects(defect.recall),
        named,
        good(defect.specificity),
        defects(aql(defect.recall)),
        some.then(|| by_class.accuracy()),
        by_class.kappa().filter(|_| some),
        defect_auc,
        sweep
            .for_false_rejects(0.05)
            .ok()
            .and_then(|c| defects(c.recall)),
    ];
    values.extend((0..classes.len()).map(|class| {
        let of_class: Vec<&&Outcome> = outcomes.iter().filter(|o| o.truth == class).collect();
        let right = of_class.iter().filter(|o| match task {
            Task::Binary => (o.predicted != 0) == (class != 0),
            Task::MultiClass => o.predicted == class,
        });
        let right = right.count();
        (!of_class.is_empty()).then(|| right as f64 / of_class.len() as f64)
    }));
    Ok(values)
}

/// One measure of an arm.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measured {
    /// Mean over the folds that define it.
    pub mean: Option<f64>,
    /// Standard deviation over these (n − 1); `None` for fewer than two.
    pub deviation: Option<f64>,
    /// Fold by fold.
    pub folds: Vec<Option<f64>>,
    /// Of all out-of-fold predictions together: decisions by each fold's own
    /// threshold, scores of different models side by side.
    pub pooled: Option<f64>,
    /// Bootstrap interval of `pooled`, whole groups drawn.
    pub interval: Option<Interval>,
}

/// All measures of an arm, by name.
///
/// - `folds`: each fold's outcomes; `None` where the arm could not be fitted
/// - `groups`: of each outcome, folds one after another
///
/// # Errors
/// As [`measures`] and [`BootstrapOptions::intervals_of`].
pub fn measured(
    task: Task,
    classes: &[String],
    folds: &[Option<Vec<Outcome>>],
    groups: &[usize],
    bootstrap: Option<&BootstrapOptions>,
    seed: Seed,
) -> Result<BTreeMap<String, Measured>> {
    let names = names(classes);
    let undefined = vec![None; names.len()];
    let by_fold = folds
        .iter()
        .map(|fold| match fold {
            Some(outcomes) => measures(task, classes, &outcomes.iter().collect::<Vec<_>>()),
            None => Ok(undefined.clone()),
        })
        .collect::<Result<Vec<_>>>()?;
    let all: Vec<&Outcome> = folds.iter().flatten().flatten().collect();
    if all.len() != groups.len() {
        return Err(Error::shape("groups", groups.len(), all.len()));
    }
    let pooled = measures(task, classes, &all)?;
    let intervals = match bootstrap {
        Some(options) if !all.is_empty() => {
            options.intervals_of(names.len(), groups, seed, |rows| {
                let drawn: Vec<&Outcome> = rows.iter().map(|&r| all[r]).collect();
                // What is finite once is finite in every draw.
                measures(task, classes, &drawn).unwrap_or_else(|_| undefined.clone())
            })?
        }
        _ => vec![None; names.len()],
    };
    let of = |(m, name): (usize, String)| {
        let folds: Vec<Option<f64>> = by_fold.iter().map(|fold| fold[m]).collect();
        let (mean, deviation) = mean_and_deviation(&folds);
        let measured = Measured {
            mean,
            deviation,
            folds,
            pooled: pooled[m],
            interval: intervals[m],
        };
        (name, measured)
    };
    Ok(names.into_iter().enumerate().map(of).collect())
}

/// Mean and standard deviation (n − 1) of what is defined.
fn mean_and_deviation(values: &[Option<f64>]) -> (Option<f64>, Option<f64>) {
    let defined: Vec<f64> = values.iter().flatten().copied().collect();
    let n = defined.len() as f64;
    if defined.is_empty() {
        return (None, None);
    }
    let mean = defined.iter().sum::<f64>() / n;
    let squares: f64 = defined.iter().map(|v| (v - mean).powi(2)).sum();
    let deviation = (defined.len() > 1).then(|| (squares / (n - 1.0)).sqrt());
    (Some(mean), deviation)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(truth: usize, predicted: usize, score: f64) -> Outcome {
        let mut probabilities = vec![0.0; 3];
        probabilities[predicted] = 1.0;
        Outcome {
            truth,
            score,
            probabilities,
            predicted,
        }
    }

    fn value(task: Task, outcomes: &[Outcome], name: &str) -> Option<f64> {
        let classes = ["good", "chip", "stain"].map(String::from);
        let all: Vec<&Outcome> = outcomes.iter().collect();
        let at = names(&classes).iter().position(|n| n == name).unwrap();
        measures(task, &classes, &all).unwrap()[at]
    }

    #[test]
    fn a_defect_under_a_wrong_name_is_found_but_not_named() {
        let outcomes = [
            outcome(0, 0, 0.1),
            outcome(0, 1, 0.6),
            outcome(1, 1, 0.9),
            outcome(1, 2, 0.8),
            outcome(2, 0, 0.2),
            outcome(2, 2, 0.7),
        ];
        let multi = |name| value(Task::MultiClass, &outcomes, name);
        assert_eq!(multi("defect_recall"), Some(0.75));
        assert_eq!(multi("correct_defect_class_recall"), Some(0.5));
        assert_eq!(multi("recall_chip"), Some(0.5));
        assert_eq!(multi("recall_good"), Some(0.5));
        assert_eq!(multi("aql"), Some(25.0));
        assert_eq!(multi("specificity"), Some(0.5));
        // Good pieces 0.1 and 0.6 below defects 0.9, 0.8, 0.7, 0.2: 7 of 8 pairs.
        assert_eq!(multi("defect_roc_auc"), Some(0.875));
        // One good piece would be half of them: the threshold stays above 0.6.
        let at_one_price = multi("defect_recall_at_5pct_false_rejects");
        assert_eq!(at_one_price, Some(0.75));
    }

    #[test]
    fn the_binary_task_asks_for_no_name() {
        let outcomes = [outcome(0, 0, 0.1), outcome(2, 1, 0.9), outcome(1, 0, 0.05)];
        let binary = |name| value(Task::Binary, &outcomes, name);
        assert_eq!(binary("recall_stain"), Some(1.0));
        assert_eq!(binary("recall_chip"), Some(0.0));
        assert_eq!(binary("correct_defect_class_recall"), None);
        assert_eq!(binary("roc_auc"), Some(0.5));
        assert_eq!(binary("defect_recall_at_5pct_false_rejects"), Some(0.5));
        let of_good_alone = value(
            Task::Binary,
            &outcomes[..1],
            "defect_recall_at_5pct_false_rejects",
        );
        assert_eq!(of_good_alone, None);
        assert!((binary("kappa").unwrap() - 0.4).abs() < 1e-12); // p_o 2/3, p_e 4/9
    }

    #[test]
    fn what_a_fold_does_not_define_is_left_out_of_the_mean() {
        let classes = ["good".to_string(), "chip".to_string()];
        let outcome = |truth, score| Outcome {
            truth,
            score,
            probabilities: Vec::new(),
            predicted: usize::from(score > 0.5),
        };
        let folds = [
            Some(vec![outcome(0, 0.1), outcome(1, 0.9)]),
            Some(vec![outcome(0, 0.2), outcome(0, 0.8)]), // no defect
            None,
            Some(vec![outcome(0, 0.7), outcome(1, 0.3)]),
        ];
        let options = BootstrapOptions::default();
        let seed = Seed::new(1);
        let groups: Vec<usize> = (0..6).collect();
        let found = measured(
            Task::Binary,
            &classes,
            &folds,
            &groups,
            Some(&options),
            seed,
        )
        .unwrap();
        let recall = &found["defect_recall"];
        assert_eq!(recall.folds, [Some(1.0), None, None, Some(0.0)]);
        assert_eq!((recall.mean, recall.pooled), (Some(0.5), Some(0.5)));
        assert!((recall.deviation.unwrap() - 0.5f64.sqrt()).abs() < 1e-12);
        let specificity = &found["specificity"];
        assert_eq!(specificity.mean, Some(0.5));
        assert_eq!(specificity.pooled, Some(0.5));
        assert!(specificity.interval.is_some());
        assert!(found["kappa"].folds[1].is_some());
    }
}
