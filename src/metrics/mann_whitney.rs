//! Mann and Whitney's test: whether scores rank defects above good pieces at all.

use super::ranking::Sweep;
use crate::error::Result;
use statrs::distribution::{ContinuousCDF, Normal};

/// The probability that scores which know nothing of defects rank as well as
/// these, or better, in `0..=1`: small where the ROC AUC is evidence of skill.
///
/// One-sided, by the normal approximation of `U = ROC AUC * defects * good`,
/// with the variance corrected for ties and half a pair for continuity: SciPy's
/// `mannwhitneyu(defects, good, alternative="greater", method="asymptotic")`.
/// Pieces count as independent; photographs of one piece are not, and make the
/// result too small. With all scores equal it is 1.
///
/// # Errors
/// As for [`Sweep::roc_auc`].
///
/// # References
/// H. B. Mann, D. R. Whitney, Annals of Mathematical Statistics 18(1), 1947.
///
/// ```
/// use goma::metrics::mann_whitney::mann_whitney;
/// use goma::metrics::ranking::Sweep;
///
/// let defects = [false, false, true, true];
/// let p = mann_whitney(&Sweep::new(&[0.1, 0.2, 0.8, 0.9], &defects)?)?;
/// assert!((0.12..0.13).contains(&p)); // so few that a faultless order may be chance
/// # Ok::<(), goma::Error>(())
/// ```
pub fn mann_whitney(sweep: &Sweep) -> Result<f64> {
    let auc = sweep.roc_auc()?;
    let (defects, good) = (sweep.n_defect as f64, sweep.n_good as f64);
    let n = defects + good;
    let mut ties = 0.0;
    let mut counted = 0;
    for point in &sweep.points {
        let seen = point.true_positives + point.false_positives;
        let tied = (seen - counted) as f64;
        ties += tied * (tied * tied - 1.0);
        counted = seen;
    }
    let pairs = defects * good;
    let variance = pairs / 12.0 * (n + 1.0 - ties / (n * (n - 1.0)));
    if variance <= 0.0 {
        return Ok(1.0); // All scores are equal.
    }
    let z = (pairs * (auc - 0.5) - 0.5) / variance.sqrt();
    Ok(Normal::standard().sf(z))
}

/// From this probability on, chance may have ranked the pieces.
const CHANCE: f64 = 0.05;

/// What to say of a ROC AUC that is no evidence of skill: [`mann_whitney`] gives
/// 0.05 or more. `None` otherwise, or where a class is missing.
#[must_use]
pub fn no_better_than_chance(sweep: &Sweep) -> Option<String> {
    let (auc, p) = (sweep.roc_auc().ok()?, mann_whitney(sweep).ok()?);
    (p >= CHANCE).then(|| {
        format!(
            "ROC AUC {auc:.3} of {} good and {} defective pieces is no evidence that defects are \
             told from good pieces: chance ranks them as well with probability {p:.2} \
             (Mann-Whitney)",
            sweep.n_good, sweep.n_defect
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Case {
        scores: Vec<f64>,
        defect: Vec<bool>,
        p: f64,
    }

    #[test]
    fn p_values_are_scipy_s() {
        let json = include_str!("../../tests/reference/mann_whitney.json");
        let cases: Vec<Case> = serde_json::from_str(json).unwrap();
        assert!(cases.len() >= 6);
        for case in cases {
            let p = mann_whitney(&Sweep::new(&case.scores, &case.defect).unwrap()).unwrap();
            assert!((p - case.p).abs() < 1e-9, "{p} {}", case.p);
        }
    }

    #[test]
    fn scores_that_are_all_equal_are_no_evidence() {
        let sweep = Sweep::new(&[0.5; 4], &[true, false, true, false]).unwrap();
        assert_eq!(mann_whitney(&sweep).unwrap(), 1.0);
        assert!(mann_whitney(&Sweep::new(&[0.5], &[true]).unwrap()).is_err());
    }
}
