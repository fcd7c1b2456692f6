//! Which arms differ: Wilcoxon's signed-rank test over folds, between arms that
//! differ in one factor alone.

use super::arm::ArmName;
use super::measure::Measured;
use crate::Result;
use crate::metrics::ranks::{MeanRanks, mean_ranks};
use crate::metrics::{Alternative, holm, wilcoxon};
use serde::Serialize;
use std::collections::BTreeMap;

/// The measures that are tested.
pub const TESTED: [&str; 9] = [
    "roc_auc",
    "auc_pr",
    "f1",
    "macro_f1",
    "defect_recall",
    "correct_defect_class_recall",
    "specificity",
    "kappa",
    "defect_recall_at_5pct_false_rejects",
];

/// At or above this a difference is not called one, as in Rožanec et al.
pub const SIGNIFICANT: f64 = 0.005;

/// With fewer folds an exact two-sided Wilcoxon test cannot fall below
/// [`SIGNIFICANT`]: its smallest value is `2 / 2^n`.
pub const FEWEST_FOLDS: usize = 9;

/// One test between two arms.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// The measure.
    pub measure: &'static str,
    /// In what alone the arms differ: `input`, `classifier`, `balance` or `defects`.
    pub factor: &'static str,
    /// Index of one arm among the results.
    pub a: usize,
    /// Index of the other.
    pub b: usize,
    /// Mean of `b − a` over the folds that define both.
    pub difference: f64,
    /// Folds that define both.
    pub folds: usize,
    /// Exact two-sided p-value.
    pub p: f64,
    /// Corrected by Holm over all tests of this task, measure and factor.
    pub p_holm: f64,
}

/// The factor in which two arms of one task differ alone. The anomaly score
/// counts as an input; it has no classifier to differ in.
#[must_use]
pub fn factor(a: &ArmName, b: &ArmName) -> Option<&'static str> {
    let differs = |a: &str, b: &str| a != b && a != "-" && b != "-";
    let factors = [
        ("input", a.input != b.input),
        ("classifier", differs(a.classifier, b.classifier)),
        ("balance", differs(a.balance, b.balance)),
        ("defects", a.defects != b.defects),
    ];
    let mut found = factors.iter().filter(|f| f.1).map(|f| f.0);
    match (a.task == b.task, found.next(), found.next()) {
        (true, Some(only), None) => Some(only),
        _ => None,
    }
}

/// Tests all pairs of arms that differ in one factor, by every measure of
/// [`TESTED`] that at least two folds define for both.
///
/// # Errors
/// None for finite measures.
pub fn differences(arms: &[(ArmName, &BTreeMap<String, Measured>)]) -> Result<Vec<Difference>> {
    let mut found: Vec<Difference> = Vec::new();
    for measure in TESTED {
        for (b, (b_name, b_measured)) in arms.iter().enumerate() {
            for (a, (a_name, a_measured)) in arms[..b].iter().enumerate() {
                let Some(factor) = factor(a_name, b_name) else {
                    continue;
                };
                let (x, y) = both(&a_measured[measure].folds, &b_measured[measure].folds);
                if x.len() < 2 {
                    continue;
                }
                let test = wilcoxon(&y, &x, Alternative::TwoSided)?;
                let sum: f64 = y.iter().zip(&x).map(|(y, x)| y - x).sum();
                found.push(Difference {
                    measure,
                    factor,
                    a,
                    b,
                    difference: sum / x.len() as f64,
                    folds: x.len(),
                    p: test.p_value,
                    p_holm: 1.0,
                });
            }
        }
    }
    let mut families: BTreeMap<(&str, &str, &str), Vec<usize>> = BTreeMap::new();
    for (i, d) in found.iter().enumerate() {
        let task = arms[d.a].0.task;
        families
            .entry((task, d.measure, d.factor))
            .or_default()
            .push(i);
    }
    for family in families.into_values() {
        let p: Vec<f64> = family.iter().map(|&i| found[i].p).collect();
        for (i, corrected) in family.into_iter().zip(holm(&p)?) {
            found[i].p_holm = corrected;
        }
    }
    Ok(found)
}

/// The values of the folds that define both.
fn both(a: &[Option<f64>], b: &[Option<f64>]) -> (Vec<f64>, Vec<f64>) {
    a.iter()
        .zip(b)
        .filter_map(|(a, b)| Some(((*a)?, (*b)?)))
        .unzip()
}

/// Mean ranks of some arms by one measure, over the folds that define it for
/// all of them; `None` with fewer than two arms or two such folds.
///
/// # Errors
/// None for finite measures.
pub fn ranked(arms: &[&Measured]) -> Result<Option<MeanRanks>> {
    let folds = arms.first().map_or(0, |m| m.folds.len());
    let defined: Vec<usize> = (0..folds)
        .filter(|&f| arms.iter().all(|m| m.folds[f].is_some()))
        .collect();
    if arms.len() < 2 || defined.len() < 2 {
        return Ok(None);
    }
    let values: Vec<Vec<f64>> = arms
        .iter()
        .map(|m| defined.iter().filter_map(|&f| m.folds[f]).collect())
        .collect();
    mean_ranks(&values).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(input: &'static str, classifier: &'static str, defects: u32) -> ArmName {
        ArmName {
            task: "binary",
            input,
            classifier,
            balance: if classifier == "-" { "-" } else { "weights" },
            defects,
        }
    }

    fn constant(values: &[f64]) -> BTreeMap<String, Measured> {
        let measured = Measured {
            mean: None,
            deviation: None,
            folds: values.iter().map(|&v| Some(v)).collect(),
            pooled: None,
            interval: None,
        };
        let of = |m: &&str| ((*m).to_string(), measured.clone());
        TESTED.iter().map(of).collect()
    }

    #[test]
    fn arms_are_paired_that_differ_in_one_factor() {
        let image = name("image", "mlp", 100);
        assert_eq!(factor(&image, &name("map", "mlp", 100)), Some("input"));
        assert_eq!(
            factor(&image, &name("image", "svm", 100)),
            Some("classifier")
        );
        assert_eq!(factor(&image, &name("image", "mlp", 25)), Some("defects"));
        assert_eq!(factor(&image, &name("map", "mlp", 25)), None);
        assert_eq!(
            factor(&image, &name("anomaly score", "-", 100)),
            Some("input")
        );
        assert_eq!(factor(&image, &image.clone()), None);
        let other = ArmName {
            task: "multi-class",
            ..image.clone()
        };
        assert_eq!(factor(&image, &other), None);
    }

    #[test]
    fn ten_folds_of_one_sign_are_significant_and_holm_counts_the_family() {
        let low: Vec<f64> = (0..10).map(|i| 0.5 + 0.01 * f64::from(i)).collect();
        let high: Vec<f64> = low
            .iter()
            .zip(1..)
            .map(|(v, i)| v + 0.001 * f64::from(i))
            .collect();
        let (low, high) = (constant(&low), constant(&high));
        let arms = [
            (name("image", "mlp", 100), &low),
            (name("map", "mlp", 100), &high),
            (name("image+map", "mlp", 100), &high),
        ];
        let found = differences(&arms).unwrap();
        assert_eq!(found.len(), TESTED.len() * 3);
        let of = |a, b| {
            let is = |d: &&Difference| (d.measure, d.a, d.b) == ("f1", a, b);
            found.iter().find(is).unwrap()
        };
        assert_eq!(of(0, 1).p, 2.0 / 1024.0);
        assert_eq!(of(0, 1).p_holm, 6.0 / 1024.0);
        assert!((of(0, 1).difference - 0.0055).abs() < 1e-12);
        assert_eq!((of(1, 2).p, of(1, 2).p_holm), (1.0, 1.0));
    }
}
