//! Wilcoxon's signed-rank test: does one arm beat the other over the folds?

use crate::error::{Error, Result};
use serde::Serialize;
use statrs::distribution::{ContinuousCDF, Normal};

/// What is asked of the differences `x − y`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub enum Alternative {
    /// They are not centred at 0.
    #[default]
    TwoSided,
    /// They lie above 0.
    Greater,
    /// They lie below 0.
    Less,
}

/// The outcome of the test.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Wilcoxon {
    /// Two-sided: the smaller of the two rank sums; else that of the positive
    /// differences.
    pub statistic: f64,
    /// Probability of a statistic at least as extreme if nothing differs.
    pub p_value: f64,
    /// Differences other than 0.
    pub n: usize,
    /// Whether the p-value counts all sign assignments (`n <= 50`) or is the
    /// normal approximation.
    pub exact: bool,
}

/// Up to here all 2^n sign assignments are counted.
const EXACT_UP_TO: usize = 50;

/// Wilcoxon's signed-rank test of paired values `x` and `y`.
///
/// Zero differences are dropped (Wilcoxon 1945, scipy's `zero_method="wilcox"`),
/// tied ones get their mean rank. Up to 50 differences the p-value is exact:
/// `P(T ≥ t)` over all sign assignments of the ranks at hand, tied or not
/// (scipy's `method="exact"` without ties, its `PermutationMethod` with them).
/// Beyond, the normal approximation with the variance corrected for ties and
/// no continuity correction.
///
/// With fewer than 9 differences a two-sided p-value cannot fall below 0.005:
/// the smallest is `2 / 2^n`.
///
/// # Departures
/// If all differences are 0, scipy gives NaN; here p is 1: nothing differs.
///
/// # Errors
/// [`Error::Shape`] if the lengths differ, [`Error::NotFinite`] with the row.
///
/// # References
/// F. Wilcoxon, Biometrics Bulletin 1(6), 1945.
///
/// ```
/// use goma::metrics::{wilcoxon, Alternative};
/// let w = wilcoxon(&[3.0, 5.0, 9.0], &[1.0, 2.0, 3.0], Alternative::TwoSided).unwrap();
/// assert_eq!((w.statistic, w.p_value), (0.0, 0.25)); // 2 of 2³ assignments
/// ```
pub fn wilcoxon(x: &[f64], y: &[f64], alternative: Alternative) -> Result<Wilcoxon> {
    if x.len() != y.len() {
        return Err(Error::shape("paired values", y.len(), x.len()));
    }
    let differences: Vec<f64> = x.iter().zip(y).map(|(a, b)| a - b).collect();
    if let Some(row) = differences.iter().position(|d| !d.is_finite()) {
        return Err(Error::NotFinite {
            what: "paired differences".into(),
            row,
        });
    }
    let mut d: Vec<f64> = differences.into_iter().filter(|&v| v != 0.0).collect();
    let n = d.len();
    if n == 0 {
        return Ok(Wilcoxon {
            statistic: 0.0,
            p_value: 1.0,
            n,
            exact: true,
        });
    }
    d.sort_by(|a, b| a.abs().total_cmp(&b.abs()));
    let (doubled_ranks, ties) = doubled_mean_ranks(&d);
    let plus: u64 = doubled_ranks
        .iter()
        .zip(&d)
        .filter(|(_, v)| **v > 0.0)
        .map(|(r, _)| r)
        .sum();
    let total: u64 = doubled_ranks.iter().sum();
    let exact = n <= EXACT_UP_TO;
    let (less, greater) = if exact {
        exact_tails(&doubled_ranks, plus as usize)
    } else {
        normal_tails(n, &ties, plus as f64 / 2.0)
    };
    let (statistic, p_value) = match alternative {
        Alternative::TwoSided => (plus.min(total - plus), (2.0 * less.min(greater)).min(1.0)),
        Alternative::Greater => (plus, greater),
        Alternative::Less => (plus, less),
    };
    Ok(Wilcoxon {
        statistic: statistic as f64 / 2.0,
        p_value,
        n,
        exact,
    })
}

/// Twice the mean rank of each |difference| (sorted), so that it is whole, and
/// the sizes of the groups of ties.
fn doubled_mean_ranks(sorted: &[f64]) -> (Vec<u64>, Vec<usize>) {
    let mut ranks = Vec::with_capacity(sorted.len());
    let mut ties = Vec::new();
    for group in sorted.chunk_by(|a, b| a.abs() == b.abs()) {
        let first = ranks.len() as u64 + 1;
        let last = ranks.len() as u64 + group.len() as u64;
        ties.push(group.len());
        ranks.extend(std::iter::repeat_n(first + last, group.len()));
    }
    (ranks, ties)
}

/// `P(T ≤ t)` and `P(T ≥ t)` over all sign assignments, by adding one rank at a
/// time: `p'(s) = (p(s) + p(s − rank)) / 2`.
fn exact_tails(doubled_ranks: &[u64], t: usize) -> (f64, f64) {
    let total: u64 = doubled_ranks.iter().sum();
    let mut p = vec![0.0; total as usize + 1];
    p[0] = 1.0;
    for &rank in doubled_ranks {
        let rank = rank as usize;
        for s in (0..p.len()).rev() {
            let before = if s >= rank { p[s - rank] } else { 0.0 };
            p[s] = (p[s] + before) / 2.0;
        }
    }
    (p[..=t].iter().sum(), p[t..].iter().sum())
}

fn normal_tails(n: usize, ties: &[usize], plus: f64) -> (f64, f64) {
    let n = n as f64;
    let correction: f64 = ties
        .iter()
        .map(|&t| (t as f64).powi(3) - t as f64)
        .sum::<f64>()
        / 48.0;
    let mean = n * (n + 1.0) / 4.0;
    let variance = n * (n + 1.0) * (2.0 * n + 1.0) / 24.0 - correction;
    let z = (plus - mean) / variance.sqrt();
    let normal = Normal::standard();
    (normal.cdf(z), normal.cdf(-z))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nine_folds_are_the_fewest_that_can_reach_five_in_a_thousand() {
        let p = |n: usize| {
            let x: Vec<f64> = (1..=n).map(|i| i as f64).collect();
            wilcoxon(&x, &vec![0.0; n], Alternative::TwoSided)
                .unwrap()
                .p_value
        };
        assert_eq!(p(8), 2.0 / 256.0);
        assert_eq!(p(9), 2.0 / 512.0);
        assert!(p(8) > 0.005 && p(9) < 0.005);
    }

    #[test]
    fn equal_arms_do_not_differ() {
        let w = wilcoxon(&[1.0, 2.0], &[1.0, 2.0], Alternative::TwoSided).unwrap();
        assert_eq!((w.p_value, w.n), (1.0, 0));
    }

    #[test]
    fn tied_differences_share_their_rank() {
        // |d| = 1, 1, 2: ranks 1.5, 1.5, 3; positive: 1.5 + 3.
        let w = wilcoxon(&[1.0, -1.0, 2.0], &[0.0; 3], Alternative::Greater).unwrap();
        assert_eq!(w.statistic, 4.5);
        // Sums >= 4.5 of the 8 assignments: {1.5, 3} twice and all three.
        assert_eq!(w.p_value, 3.0 / 8.0);
    }

    #[test]
    fn a_missing_value_names_its_row() {
        let e = wilcoxon(&[1.0, f64::NAN], &[0.0, 0.0], Alternative::TwoSided).unwrap_err();
        assert!(e.to_string().contains("row 1"), "{e}");
    }
}
