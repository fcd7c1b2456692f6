//! How well scores put defects above good pieces, without any threshold.

use crate::error::{Error, Result};

/// What a threshold at `threshold` rejects.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OperatingPoint {
    /// A score that occurs; pieces at or above it are rejected.
    pub threshold: f64,
    /// Defects rejected.
    pub true_positives: usize,
    /// Good pieces rejected.
    pub false_positives: usize,
}

/// Every distinct threshold, from the highest score to the lowest, with what
/// it rejects. All curves and thresholds of this module's family derive from it.
#[derive(Debug, Clone, PartialEq)]
pub struct Sweep {
    /// Highest threshold first; equal scores share one point.
    pub points: Vec<OperatingPoint>,
    /// Number of defects.
    pub n_defect: usize,
    /// Number of good pieces.
    pub n_good: usize,
}

impl Sweep {
    /// Sorts the scores once.
    ///
    /// # Errors
    /// [`Error::Shape`] if the lengths differ, [`Error::NotFinite`] with the
    /// first row whose score is NaN or infinite.
    pub fn new(scores: &[f64], is_defect: &[bool]) -> Result<Self> {
        if scores.len() != is_defect.len() {
            return Err(Error::shape("labels", is_defect.len(), scores.len()));
        }
        if let Some(row) = scores.iter().position(|s| !s.is_finite()) {
            return Err(Error::NotFinite {
                what: "scores".into(),
                row,
            });
        }
        let mut order: Vec<(f64, bool)> = scores
            .iter()
            .copied()
            .zip(is_defect.iter().copied())
            .collect();
        order.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
        let mut points: Vec<OperatingPoint> = Vec::new();
        let (mut tp, mut fp) = (0, 0);
        for (score, defect) in order {
            if defect {
                tp += 1;
            } else {
                fp += 1;
            }
            match points.last_mut() {
                // `==`, so that 0.0 and -0.0 are one threshold.
                Some(last) if last.threshold == score => {
                    last.true_positives = tp;
                    last.false_positives = fp;
                }
                _ => points.push(OperatingPoint {
                    threshold: score,
                    true_positives: tp,
                    false_positives: fp,
                }),
            }
        }
        Ok(Self {
            points,
            n_defect: tp,
            n_good: fp,
        })
    }

    /// Area under the ROC curve, ties counted half; see [`roc_auc`].
    ///
    /// # Errors
    /// [`Error::Data`] if a class is missing.
    pub fn roc_auc(&self) -> Result<f64> {
        self.needs_both("ROC AUC")?;
        // Twice the area in whole pieces: exact.
        let mut area = 0u128;
        let (mut tp, mut fp) = (0, 0);
        for p in &self.points {
            area += (p.false_positives - fp) as u128 * (p.true_positives + tp) as u128;
            (tp, fp) = (p.true_positives, p.false_positives);
        }
        Ok(area as f64 / (2.0 * self.n_defect as f64 * self.n_good as f64))
    }

    /// Average precision; see [`average_precision`].
    ///
    /// # Errors
    /// [`Error::Data`] if there is no defect.
    pub fn average_precision(&self) -> Result<f64> {
        self.needs_defects("AUC-PR")?;
        let mut sum = 0.0;
        let mut tp = 0;
        for p in &self.points {
            let found = (p.true_positives - tp) as f64;
            sum += found * p.true_positives as f64 / (p.true_positives + p.false_positives) as f64;
            tp = p.true_positives;
        }
        Ok(sum / self.n_defect as f64)
    }

    pub(super) fn needs_defects(&self, what: &str) -> Result<()> {
        if self.n_defect == 0 {
            return Err(Error::data(format!(
                "{what} needs defective pieces: 0 found among {}",
                self.n_good
            )));
        }
        Ok(())
    }

    pub(super) fn needs_both(&self, what: &str) -> Result<()> {
        if self.n_defect == 0 || self.n_good == 0 {
            return Err(Error::data(format!(
                "{what} needs good and defective pieces: {} good and {} defective found",
                self.n_good, self.n_defect
            )));
        }
        Ok(())
    }
}

/// Area under the ROC curve: the probability that a defect scores above a good
/// piece, a tie counting half (Mann-Whitney). In `0..=1`.
///
/// # Errors
/// [`Error::Data`] if a class is missing, [`Error::Shape`], [`Error::NotFinite`].
///
/// ```
/// let auc = goma::metrics::roc_auc(&[0.1, 0.4, 0.4, 0.8], &[false, false, true, true]);
/// assert_eq!(auc.unwrap(), 0.875); // (1 + ½ + 1 + 1) of 4 pairs
/// ```
pub fn roc_auc(scores: &[f64], is_defect: &[bool]) -> Result<f64> {
    Sweep::new(scores, is_defect)?.roc_auc()
}

/// Average precision, the step-wise area under the precision-recall curve
/// (AUC-PR): `Σ (R_n − R_{n−1}) P_n` over distinct thresholds, without
/// interpolation, as scikit-learn's `average_precision_score`. In `0..=1`.
///
/// # Errors
/// [`Error::Data`] if there is no defect, [`Error::Shape`], [`Error::NotFinite`].
///
/// ```
/// let ap = goma::metrics::average_precision(&[0.9, 0.8, 0.1], &[true, false, true]);
/// assert!((ap.unwrap() - (0.5 + 0.5 * 2.0 / 3.0)).abs() < 1e-12);
/// ```
pub fn average_precision(scores: &[f64], is_defect: &[bool]) -> Result<f64> {
    Sweep::new(scores, is_defect)?.average_precision()
}

/// ROC AUC of each class against the rest, averaged with the class shares as
/// weights (Provost and Domingos 2000), as scikit-learn's
/// `roc_auc_score(multi_class="ovr", average="weighted")`.
///
/// - `probabilities`: `[n_samples][n_classes]`
/// - `class`: `[n_samples]`, class indices
///
/// # Departures
/// Classes without a sample are left out; scikit-learn refuses them.
///
/// # Errors
/// [`Error::Data`] with fewer than two classes present, [`Error::Shape`],
/// [`Error::NotFinite`] with the row.
pub fn roc_auc_one_vs_rest(probabilities: &[Vec<f64>], class: &[usize]) -> Result<f64> {
    one_vs_rest(probabilities, class, "ROC AUC", roc_auc)
}

/// Average precision of each class against the rest, averaged with the class
/// shares as weights, as scikit-learn's
/// `average_precision_score(average="weighted")` of the labels in one-hot form.
///
/// - `probabilities`: `[n_samples][n_classes]`
/// - `class`: `[n_samples]`, class indices
///
/// # Errors
/// As [`roc_auc_one_vs_rest`].
pub fn average_precision_one_vs_rest(probabilities: &[Vec<f64>], class: &[usize]) -> Result<f64> {
    one_vs_rest(probabilities, class, "AUC-PR", average_precision)
}

fn one_vs_rest(
    probabilities: &[Vec<f64>],
    class: &[usize],
    what: &str,
    of: fn(&[f64], &[bool]) -> Result<f64>,
) -> Result<f64> {
    if probabilities.len() != class.len() {
        return Err(Error::shape("labels", class.len(), probabilities.len()));
    }
    let k = probabilities.first().map_or(0, Vec::len);
    if let Some(row) = probabilities.iter().position(|p| p.len() != k) {
        return Err(Error::shape(
            format!("probabilities of row {row}"),
            probabilities[row].len(),
            k,
        ));
    }
    if let Some(row) = class.iter().position(|&c| c >= k) {
        return Err(Error::shape(
            format!("class of row {row}"),
            class[row],
            format!("below {k}"),
        ));
    }
    let mut sum = 0.0;
    for c in 0..k {
        let is_c: Vec<bool> = class.iter().map(|&x| x == c).collect();
        let n = is_c.iter().filter(|&&x| x).count();
        if n == 0 {
            continue;
        }
        if n == class.len() {
            return Err(Error::data(format!(
                "one-vs-rest {what} needs two classes: all pieces are of one"
            )));
        }
        let scores: Vec<f64> = probabilities.iter().map(|p| p[c]).collect();
        sum += n as f64 * of(&scores, &is_c)?;
    }
    if class.is_empty() {
        return Err(Error::data(format!(
            "one-vs-rest {what} needs samples: 0 found"
        )));
    }
    Ok(sum / class.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_class_is_an_error_and_not_a_number() {
        assert!(roc_auc(&[0.1, 0.2], &[true, true]).is_err());
        assert!(roc_auc(&[0.1, 0.2], &[false, false]).is_err());
        assert!(average_precision(&[0.1], &[false]).is_err());
        assert_eq!(average_precision(&[0.1], &[true]).unwrap(), 1.0);
    }

    #[test]
    fn a_score_that_is_no_number_is_refused_with_its_row() {
        let error = roc_auc(&[0.1, f64::NAN, 0.3], &[true, false, true]).unwrap_err();
        assert_eq!(error.to_string(), "scores: row 1 is not a finite number");
    }

    #[test]
    fn equal_scores_say_nothing() {
        let defect = [true, false, false, true];
        assert_eq!(roc_auc(&[0.5; 4], &defect).unwrap(), 0.5);
        assert_eq!(average_precision(&[0.5; 4], &defect).unwrap(), 0.5);
    }

    #[test]
    fn minus_zero_is_zero() {
        assert_eq!(roc_auc(&[0.0, -0.0], &[true, false]).unwrap(), 0.5);
    }

    #[test]
    fn two_classes_one_vs_rest_are_the_binary_area() {
        let p = vec![
            vec![0.9, 0.1],
            vec![0.4, 0.6],
            vec![0.3, 0.7],
            vec![0.8, 0.2],
        ];
        let ovr = roc_auc_one_vs_rest(&p, &[0, 0, 1, 1]).unwrap();
        assert_eq!(
            ovr,
            roc_auc(&[0.1, 0.6, 0.7, 0.2], &[false, false, true, true]).unwrap()
        );
    }
}
