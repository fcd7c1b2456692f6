//! Mean ranks of several arms over the same folds, and how far apart they must
//! lie (Demšar 2006).

use crate::error::{Error, Result};
use statrs::distribution::{ChiSquared, ContinuousCDF};

/// `q` of the two-tailed Nemenyi test at α = 0.05 for 2, 3, ... arms: the
/// studentised range at infinite degrees of freedom, divided by √2 (SciPy's
/// `studentized_range.ppf(0.95, k, inf) / sqrt(2)`; Demšar 2006, table 5a).
const NEMENYI_Q: [f64; 19] = [
    1.9599639845,
    2.3437005864,
    2.5690317725,
    2.7277743709,
    2.8497054196,
    2.9483200175,
    3.0308784496,
    3.1017303413,
    3.1636835771,
    3.2186536073,
    3.2680039245,
    3.3127385934,
    3.3536177519,
    3.3912302838,
    3.4260413794,
    3.4584247073,
    3.4886847994,
    3.5170730087,
    3.5437991315,
];

/// Ranks of arms over folds.
#[derive(Debug, Clone, PartialEq)]
pub struct MeanRanks {
    /// The mean rank of each arm; 1 is the best (largest value), equal values
    /// share their mean rank.
    pub ranks: Vec<f64>,
    /// Folds.
    pub folds: usize,
    /// Friedman's chi-squared, corrected for ties.
    pub chi_squared: f64,
    /// Probability of so large a value if all arms are alike; 1 if no fold
    /// tells any two arms apart.
    pub p_value: f64,
    /// Two arms whose mean ranks differ by less are not told apart at
    /// α = 0.05 (Nemenyi); `None` for more arms than the table has.
    pub critical_difference: Option<f64>,
}

/// Friedman's test over the ranks of arms, with Nemenyi's critical difference
/// `q √(k (k + 1) / 6N)`.
///
/// - `values`: `[n_arms][n_folds]`, larger is better
///
/// # Departures
/// If all values of every fold are equal, scipy gives NaN; here p is 1.
///
/// # Errors
/// [`Error::Data`] with fewer than two arms or no fold, [`Error::Shape`] if the
/// arms have different numbers of folds, [`Error::NotFinite`] with the arm.
///
/// # References
/// M. Friedman, JASA 32(200), 1937; J. Demšar, JMLR 7, 2006.
///
/// ```
/// let found = goma::metrics::ranks::mean_ranks(&[vec![0.9, 0.8, 0.9], vec![0.7, 0.8, 0.5]])?;
/// assert_eq!(found.ranks, [3.5 / 3.0, 5.5 / 3.0]); // 1, 1.5, 1 and 2, 1.5, 2
/// # Ok::<(), goma::Error>(())
/// ```
pub fn mean_ranks(values: &[Vec<f64>]) -> Result<MeanRanks> {
    let k = values.len();
    let n = values.first().map_or(0, Vec::len);
    if k < 2 || n == 0 {
        return Err(Error::data(format!(
            "ranks need two arms and a fold: {k} arms, {n} folds found"
        )));
    }
    for (arm, of_arm) in values.iter().enumerate() {
        if of_arm.len() != n {
            return Err(Error::shape("folds", of_arm.len(), n));
        }
        if !of_arm.iter().all(|v| v.is_finite()) {
            let what = "values of arms".into();
            return Err(Error::NotFinite { what, row: arm });
        }
    }
    let mut sums = vec![0.0; k];
    let mut ties = 0.0;
    #[allow(clippy::needless_range_loop)] // of every arm's list
    for fold in 0..n {
        let mut order: Vec<usize> = (0..k).collect();
        let of = |arm: usize| values[arm][fold];
        order.sort_by(|&a, &b| of(b).total_cmp(&of(a)));
        let mut first = 1;
        for equal in order.chunk_by(|&a, &b| of(a) == of(b)) {
            let last = first + equal.len() - 1;
            for &arm in equal {
                sums[arm] += (first + last) as f64 / 2.0;
            }
            let t = equal.len() as f64;
            ties += t * (t * t - 1.0);
            first = last + 1;
        }
    }
    let (kf, nf) = (k as f64, n as f64);
    // As scipy writes it: the ties take from the denominator.
    let correction = 1.0 - ties / (kf * (kf * kf - 1.0) * nf);
    let squares: f64 = sums.iter().map(|s| s * s).sum();
    let (chi_squared, p_value) = if correction > 0.0 {
        let chi = (12.0 / (nf * kf * (kf + 1.0)) * squares - 3.0 * nf * (kf + 1.0)) / correction;
        let distribution = ChiSquared::new(kf - 1.0).expect("at least one degree of freedom");
        (chi, distribution.sf(chi.max(0.0)))
    } else {
        (0.0, 1.0)
    };
    Ok(MeanRanks {
        ranks: sums.into_iter().map(|s| s / nf).collect(),
        folds: n,
        chi_squared,
        p_value,
        critical_difference: NEMENYI_Q
            .get(k - 2)
            .map(|q| q * (kf * (kf + 1.0) / (6.0 * nf)).sqrt()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arms_that_never_differ_are_not_told_apart() {
        let found = mean_ranks(&[vec![0.5; 4], vec![0.5; 4], vec![0.5; 4]]).unwrap();
        assert_eq!((found.ranks, found.p_value), (vec![2.0; 3], 1.0));
    }

    #[test]
    fn values_that_cannot_be_ranked_are_refused() {
        assert!(mean_ranks(&[vec![1.0]]).is_err());
        assert!(mean_ranks(&[vec![1.0], vec![1.0, 2.0]]).is_err());
        assert!(mean_ranks(&[vec![1.0], vec![f64::NAN]]).is_err());
    }
}
