//! The confusion matrix and what follows from counting classes.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// Counts of samples: row = true class, column = predicted class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confusion(Vec<Vec<usize>>);

/// Precision, recall and their kin of one class, or averaged over classes.
///
/// Where a denominator is 0 the value is 0, as scikit-learn's default gives.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct ClassScores {
    /// `TP / (TP + FP)`.
    pub precision: f64,
    /// `TP / (TP + FN)`.
    pub recall: f64,
    /// `TN / (TN + FP)`.
    pub specificity: f64,
    /// `2 TP / (2 TP + FP + FN)`.
    pub f1: f64,
}

impl ClassScores {
    fn scaled(self, by: f64) -> Self {
        Self {
            precision: self.precision * by,
            recall: self.recall * by,
            specificity: self.specificity * by,
            f1: self.f1 * by,
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            precision: self.precision + other.precision,
            recall: self.recall + other.recall,
            specificity: self.specificity + other.specificity,
            f1: self.f1 + other.f1,
        }
    }
}

impl Confusion {
    /// Counts pairs of class indices below `n_classes`.
    ///
    /// # Errors
    /// [`Error::Shape`] if lengths differ or an index is too large (row named).
    pub fn new(truth: &[usize], predicted: &[usize], n_classes: usize) -> Result<Self> {
        if truth.len() != predicted.len() {
            return Err(Error::shape(
                "predicted classes",
                predicted.len(),
                truth.len(),
            ));
        }
        let mut counts = vec![vec![0; n_classes]; n_classes];
        for (row, (&t, &p)) in truth.iter().zip(predicted).enumerate() {
            if t >= n_classes || p >= n_classes {
                return Err(Error::shape(
                    format!("class of row {row}"),
                    t.max(p),
                    format!("below {n_classes}"),
                ));
            }
            counts[t][p] += 1;
        }
        Ok(Self(counts))
    }

    /// The counts, `[true class][predicted class]`.
    #[must_use]
    pub fn counts(&self) -> &[Vec<usize>] {
        &self.0
    }

    /// Each row divided by its sum (`normalize="true"`); an empty row stays 0.
    #[must_use]
    pub fn normalised(&self) -> Vec<Vec<f64>> {
        self.0
            .iter()
            .map(|row| {
                let sum: usize = row.iter().sum();
                row.iter().map(|&n| share(n, sum)).collect()
            })
            .collect()
    }

    /// Number of samples.
    #[must_use]
    pub fn total(&self) -> usize {
        self.0.iter().flatten().sum()
    }

    /// Samples that are of class `c`.
    #[must_use]
    pub fn support(&self, c: usize) -> usize {
        self.0[c].iter().sum()
    }

    fn predicted(&self, c: usize) -> usize {
        self.0.iter().map(|row| row[c]).sum()
    }

    /// Share of samples predicted as what they are; 0 without samples.
    #[must_use]
    pub fn accuracy(&self) -> f64 {
        let right: usize = (0..self.0.len()).map(|c| self.0[c][c]).sum();
        share(right, self.total())
    }

    /// Cohen's kappa: `(p_o − p_e) / (1 − p_e)`, agreement beyond chance.
    ///
    /// `None` where chance alone agrees always (`p_e = 1`: a single class).
    #[must_use]
    pub fn kappa(&self) -> Option<f64> {
        let n = self.total() as f64;
        let chance: f64 = (0..self.0.len())
            .map(|c| self.support(c) as f64 * self.predicted(c) as f64)
            .sum();
        // Compared in whole numbers, so the single-class case is exact.
        if chance == n * n {
            return None;
        }
        let p_e = chance / (n * n);
        Some((self.accuracy() - p_e) / (1.0 - p_e))
    }

    /// The scores of class `c` against the rest.
    #[must_use]
    pub fn class(&self, c: usize) -> ClassScores {
        let tp = self.0[c][c];
        let fp = self.predicted(c) - tp;
        let fn_ = self.support(c) - tp;
        let tn = self.total() - tp - fp - fn_;
        ClassScores {
            precision: share(tp, tp + fp),
            recall: share(tp, tp + fn_),
            specificity: share(tn, tn + fp),
            f1: share(2 * tp, 2 * tp + fp + fn_),
        }
    }

    /// The plain mean over the classes that occur, as truth or as prediction
    /// (scikit-learn's `average="macro"`).
    #[must_use]
    pub fn macro_average(&self) -> ClassScores {
        let classes: Vec<usize> = (0..self.0.len())
            .filter(|&c| self.support(c) + self.predicted(c) > 0)
            .collect();
        classes
            .iter()
            .fold(ClassScores::default(), |sum, &c| sum.plus(self.class(c)))
            .scaled(if classes.is_empty() {
                0.0
            } else {
                1.0 / classes.len() as f64
            })
    }

    /// The mean over classes weighted by their number of samples
    /// (scikit-learn's `average="weighted"`).
    #[must_use]
    pub fn weighted_average(&self) -> ClassScores {
        (0..self.0.len()).fold(ClassScores::default(), |sum, c| {
            sum.plus(self.class(c).scaled(share(self.support(c), self.total())))
        })
    }

    /// Share of the defects predicted as any defect, whatever the class.
    ///
    /// `good` is the index of the class without defect; `None` without defects.
    #[must_use]
    pub fn defect_recall(&self, good: usize) -> Option<f64> {
        let defects = self.total() - self.support(good);
        let missed = self.predicted(good) - self.0[good][good];
        (defects > 0).then(|| share(defects - missed, defects))
    }

    /// Share of the defects predicted as the very class they are.
    ///
    /// `good` is the index of the class without defect; `None` without defects.
    #[must_use]
    pub fn correct_defect_class_recall(&self, good: usize) -> Option<f64> {
        let defects = self.total() - self.support(good);
        let right: usize = (0..self.0.len())
            .filter(|&c| c != good)
            .map(|c| self.0[c][c])
            .sum();
        (defects > 0).then(|| share(right, defects))
    }
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// good, print, physical: 3 + 2 + 2 samples.
    fn example() -> Confusion {
        Confusion::new(&[0, 0, 0, 1, 1, 2, 2], &[0, 0, 1, 1, 2, 2, 0], 3).unwrap()
    }

    #[test]
    fn rows_are_the_truth() {
        assert_eq!(
            example().counts(),
            [vec![2, 1, 0], vec![0, 1, 1], vec![1, 0, 1]]
        );
        assert_eq!(example().normalised()[1], [0.0, 0.5, 0.5]);
    }

    #[test]
    fn a_defect_taken_for_another_defect_is_found_but_not_named() {
        assert_eq!(example().defect_recall(0), Some(0.75)); // 3 of 4
        assert_eq!(example().correct_defect_class_recall(0), Some(0.5)); // 2 of 4
    }

    #[test]
    fn scores_of_a_class_can_be_counted_by_hand() {
        let print = example().class(1); // TP 1, FP 1, FN 1, TN 4
        assert_eq!((print.precision, print.recall, print.f1), (0.5, 0.5, 0.5));
        assert_eq!(print.specificity, 0.8);
    }

    #[test]
    fn kappa_of_a_single_class_is_undefined() {
        assert_eq!(Confusion::new(&[1, 1], &[1, 1], 2).unwrap().kappa(), None);
        assert_eq!(
            Confusion::new(&[0, 1], &[0, 1], 2).unwrap().kappa(),
            Some(1.0)
        );
    }

    #[test]
    fn a_class_that_never_occurs_does_not_lower_the_macro_average() {
        let c = Confusion::new(&[0, 1], &[0, 1], 3).unwrap();
        assert_eq!(c.macro_average().f1, 1.0);
    }

    #[test]
    fn an_unknown_class_names_its_row() {
        let error = Confusion::new(&[0, 5], &[0, 0], 2).unwrap_err();
        assert!(error.to_string().contains("row 1"), "{error}");
    }
}
