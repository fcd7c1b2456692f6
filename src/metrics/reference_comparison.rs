//! Holm, ranks and one-vs-rest averages against statsmodels, SciPy and
//! scikit-learn (`tests/reference/comparison.py`).

use super::*;
use serde::Deserialize;

/// Both sides sum in f64, in another order.
const TOLERANCE: f64 = 1e-9;

#[derive(Deserialize)]
struct Cases {
    holm: Vec<HolmCase>,
    ranks: Vec<RanksCase>,
    one_vs_rest: Vec<OneVsRestCase>,
}

#[derive(Deserialize)]
struct HolmCase {
    p: Vec<f64>,
    corrected: Vec<f64>,
}

#[derive(Deserialize)]
struct RanksCase {
    values: Vec<Vec<f64>>,
    ranks: Vec<f64>,
    chi_squared: f64,
    p_value: f64,
    critical_difference: f64,
}

#[derive(Deserialize)]
struct OneVsRestCase {
    class: Vec<usize>,
    probabilities: Vec<Vec<f64>>,
    auc_pr: f64,
    roc_auc: f64,
}

fn cases() -> Cases {
    serde_json::from_str(include_str!("../../tests/reference/comparison.json")).unwrap()
}

#[track_caller]
fn near(what: &str, found: f64, expected: f64) {
    let off = (found - expected).abs();
    assert!(off <= TOLERANCE, "{what}: {found}, not {expected}");
}

#[test]
fn holm_is_statsmodels_s() {
    for case in cases().holm {
        for (found, expected) in holm(&case.p).unwrap().iter().zip(&case.corrected) {
            near("corrected p", *found, *expected);
        }
    }
}

#[test]
fn ranks_are_scipy_s() {
    for case in cases().ranks {
        let found = ranks::mean_ranks(&case.values).unwrap();
        for (rank, expected) in found.ranks.iter().zip(&case.ranks) {
            near("mean rank", *rank, *expected);
        }
        near("chi-squared", found.chi_squared, case.chi_squared);
        near("p", found.p_value, case.p_value);
        // The table has ten decimals.
        near(
            "critical difference",
            found.critical_difference.unwrap(),
            case.critical_difference,
        );
    }
}

#[test]
fn averages_of_one_vs_rest_are_scikit_learn_s() {
    for case in cases().one_vs_rest {
        let (p, class) = (&case.probabilities, &case.class);
        let auc_pr = average_precision_one_vs_rest(p, class).unwrap();
        near("AUC-PR", auc_pr, case.auc_pr);
        near(
            "ROC AUC",
            roc_auc_one_vs_rest(p, class).unwrap(),
            case.roc_auc,
        );
    }
}
