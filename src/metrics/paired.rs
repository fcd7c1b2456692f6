//! Two models on the same pieces: what one gains over the other, and how
//! certain that is.

use super::bootstrap::{BootstrapOptions, Interval};
use super::mcnemar::{McNemar, mcnemar};
use super::ranking::Sweep;
use crate::error::{Error, Result};
use crate::random::Seed;
use serde::Serialize;
use std::collections::BTreeMap;

/// What one model says.
#[derive(Debug, Clone, Copy)]
pub struct Judgement<'a> {
    /// One a piece, rising with the likelihood of a defect.
    pub scores: &'a [f64],
    /// At or above this it rejects.
    pub threshold: f64,
}

/// One measure of both.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Difference {
    /// The first model's.
    pub first: f64,
    /// The second's.
    pub second: f64,
    /// First less second.
    pub difference: f64,
    /// The difference's bootstrap interval.
    pub interval: Option<Interval>,
}

/// The comparison.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Paired {
    /// Pieces.
    pub n: usize,
    /// Pieces that both reject, or both pass.
    pub agreed: usize,
    /// Whether they are right equally often, "defect or not".
    pub mcnemar: McNemar,
    /// By measure; one that the data do not define is missing.
    pub measures: BTreeMap<&'static str, Difference>,
}

const MEASURES: [&str; 6] = [
    "roc_auc",
    "auc_pr",
    "f1",
    "recall",
    "specificity",
    "accuracy",
];

/// Compares two models.
///
/// - `is_defect`: `[n]`
/// - `groups`: `[n]`, what is drawn together for the intervals; both models
///   are measured on the same draws
///
/// # Errors
/// [`Error::Shape`], [`Error::NotFinite`], [`Error::Data`] without pieces.
pub fn compare(
    first: Judgement<'_>,
    second: Judgement<'_>,
    is_defect: &[bool],
    groups: &[usize],
    bootstrap: &BootstrapOptions,
    seed: Seed,
) -> Result<Paired> {
    let n = is_defect.len();
    for (what, found) in [
        ("first model's scores", first.scores.len()),
        ("second model's scores", second.scores.len()),
        ("groups", groups.len()),
    ] {
        if found != n {
            return Err(Error::shape(what, found, n));
        }
    }
    // Names a score that is no number; later draws take them as they are.
    Sweep::new(first.scores, is_defect)?;
    Sweep::new(second.scores, is_defect)?;
    let rejected =
        |j: Judgement<'_>| -> Vec<bool> { j.scores.iter().map(|&s| s >= j.threshold).collect() };
    let right = |rejected: &[bool]| -> Vec<bool> {
        rejected
            .iter()
            .zip(is_defect)
            .map(|(r, d)| r == d)
            .collect()
    };
    let (a, b) = (rejected(first), rejected(second));
    let all: Vec<usize> = (0..n).collect();
    let (of_first, of_second) = (
        measures(first, is_defect, &all),
        measures(second, is_defect, &all),
    );
    let intervals = bootstrap.intervals(groups, seed, |rows| {
        let (x, y) = (
            measures(first, is_defect, rows),
            measures(second, is_defect, rows),
        );
        std::array::from_fn::<_, { MEASURES.len() }, _>(|k| Some(x[k]? - y[k]?))
    })?;
    let mut found = BTreeMap::new();
    for (k, name) in MEASURES.into_iter().enumerate() {
        if let (Some(first), Some(second)) = (of_first[k], of_second[k]) {
            let difference = Difference {
                first,
                second,
                difference: first - second,
                interval: intervals[k],
            };
            found.insert(name, difference);
        }
    }
    Ok(Paired {
        n,
        agreed: a.iter().zip(&b).filter(|(a, b)| a == b).count(),
        mcnemar: mcnemar(&right(&a), &right(&b))?,
        measures: found,
    })
}

/// In the order of [`MEASURES`], on these rows.
fn measures(j: Judgement<'_>, is_defect: &[bool], rows: &[usize]) -> [Option<f64>; MEASURES.len()] {
    let s: Vec<f64> = rows.iter().map(|&r| j.scores[r]).collect();
    let d: Vec<bool> = rows.iter().map(|&r| is_defect[r]).collect();
    let Ok(sweep) = Sweep::new(&s, &d) else {
        return [None; MEASURES.len()];
    };
    let count = |defect: bool| {
        let rejected = s
            .iter()
            .zip(&d)
            .filter(|(s, d)| **d == defect && **s >= j.threshold);
        rejected.count() as f64
    };
    let (tp, fp) = (count(true), count(false));
    let (good, defects) = (sweep.n_good as f64, sweep.n_defect as f64);
    [
        sweep.roc_auc().ok(),
        sweep.average_precision().ok(),
        (defects > 0.0).then(|| 2.0 * tp / (tp + fp + defects)),
        (defects > 0.0).then(|| tp / defects),
        (good > 0.0).then(|| 1.0 - fp / good),
        Some((tp + good - fp) / (good + defects)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_better_of_two_is_found_with_its_margin() {
        // The first is always right; the second takes every fourth piece wrongly.
        let n = 80;
        let is_defect: Vec<bool> = (0..n).map(|i| i % 2 == 0).collect();
        let first: Vec<f64> = is_defect.iter().map(|d| f64::from(u8::from(*d))).collect();
        let second: Vec<f64> = (0..n)
            .map(|i| if i % 4 == 0 { 1.0 - first[i] } else { first[i] })
            .collect();
        let judge = |scores| Judgement {
            scores,
            threshold: 0.5,
        };
        let groups: Vec<usize> = (0..n).collect();
        let options = BootstrapOptions {
            resamples: 200,
            ..BootstrapOptions::default()
        };
        let found = compare(
            judge(&first),
            judge(&second),
            &is_defect,
            &groups,
            &options,
            Seed::new(1),
        )
        .unwrap();
        assert_eq!((found.n, found.agreed), (80, 60));
        assert_eq!(
            (found.mcnemar.first_only, found.mcnemar.second_only),
            (20, 0)
        );
        assert!(found.mcnemar.p_value < 1e-5);
        let accuracy = found.measures["accuracy"];
        assert_eq!((accuracy.first, accuracy.second), (1.0, 0.75));
        let interval = accuracy.interval.unwrap();
        assert!(interval.low > 0.1 && interval.high < 0.4, "{interval:?}");
        assert_eq!(found.measures["specificity"].difference, 0.0);
    }
}
