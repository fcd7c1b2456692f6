//! Suspect labels: what a classifier that has not seen a piece thinks of its
//! label.
//!
//! Each piece gets its probabilities from a classifier fitted on the other
//! folds (groups whole); the self-confidence is the probability of the label it
//! has, and the least self-confident pieces come first. Which of them count as
//! label issues is decided by the confident joint:
//!
//! `t_j = mean of p_j(x) over the pieces labelled j` (eq. 2),
//! `C[i][j] = number of pieces labelled i with j = argmax { p_k(x) : p_k(x) ≥ t_k }` (eq. 1)
//!
//! and a piece off the diagonal is an issue.
//!
//! # Departures
//! The counts are given as they are, not calibrated to the classes' sizes.
//!
//! # References
//! C. G. Northcutt, L. Jiang, I. L. Chuang: Confident Learning: Estimating
//! Uncertainty in Dataset Labels. Journal of Artificial Intelligence Research 70,
//! 2021.

use crate::data::prediction::Prediction;

/// What is thought of one label.
#[derive(Debug, Clone, PartialEq)]
pub struct Suspicion {
    /// Probability of the label the piece has, from a classifier that has not
    /// seen it.
    pub self_confidence: f64,
    /// The most probable class.
    pub suggested: String,
    /// Its probability.
    pub p_suggested: f64,
    /// Whether the confident joint counts it under another class.
    pub issue: bool,
}

/// The confident joint: for each class the pieces so labelled, by the class they
/// are confidently counted under. `[n_classes][n_classes]`.
pub type Joint = Vec<Vec<usize>>;

/// Judges labels by out-of-fold predictions.
///
/// - `labels`: `[n_pieces]`, indices into `classes`
/// - `predictions`: `[n_pieces]`, over `classes` in the same order
#[must_use]
pub fn judge(
    classes: &[String],
    labels: &[usize],
    predictions: &[Prediction],
) -> (Vec<Suspicion>, Joint) {
    let n = classes.len();
    let thresholds: Vec<Option<f64>> = (0..n)
        .map(|class| {
            let own: Vec<f64> = labels
                .iter()
                .zip(predictions)
                .filter(|(label, _)| **label == class)
                .map(|(_, p)| p.probabilities()[class])
                .collect();
            (!own.is_empty()).then(|| own.iter().sum::<f64>() / own.len() as f64)
        })
        .collect();
    let mut joint = vec![vec![0; n]; n];
    let suspicions = labels
        .iter()
        .zip(predictions)
        .map(|(&label, prediction)| {
            let p = prediction.probabilities();
            let most = |best: Option<usize>, k: usize| match best {
                Some(b) if p[b] >= p[k] => Some(b),
                _ => Some(k),
            };
            let confident = (0..n)
                .filter(|&k| thresholds[k].is_some_and(|t| p[k] >= t))
                .fold(None, most);
            if let Some(class) = confident {
                joint[label][class] += 1;
            }
            let best = (0..n).fold(None, most).unwrap_or(label);
            Suspicion {
                self_confidence: p[label],
                suggested: classes[best].clone(),
                p_suggested: p[best],
                issue: confident.is_some_and(|class| class != label),
            }
        })
        .collect();
    (suspicions, joint)
}

/// Rows from the least self-confident to the most; equals in their order.
#[must_use]
pub fn ranked(suspicions: &[Option<Suspicion>]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..suspicions.len())
        .filter(|&i| suspicions[i].is_some())
        .collect();
    let confidence = |i: usize| suspicions[i].as_ref().map_or(1.0, |s| s.self_confidence);
    order.sort_by(|&a, &b| confidence(a).total_cmp(&confidence(b)));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As in `tests/reference/confident_learning.py`.
    #[derive(serde::Deserialize)]
    struct Reference {
        labels: Vec<usize>,
        probabilities: Vec<Vec<f64>>,
        joint: Joint,
        issues: Vec<bool>,
        self_confidence: Vec<f64>,
    }

    #[test]
    fn joint_issues_and_self_confidence_are_cleanlabs() {
        let json = include_str!("../../tests/reference/confident_learning.json");
        let expected: Reference = serde_json::from_str(json).unwrap();
        let classes: Vec<String> = ["a", "b", "c"].map(String::from).to_vec();
        let shared: std::sync::Arc<[String]> = classes.clone().into();
        let predictions: Vec<Prediction> = expected
            .probabilities
            .into_iter()
            .map(|p| Prediction::new(shared.clone(), p).unwrap())
            .collect();
        let (found, joint) = judge(&classes, &expected.labels, &predictions);
        let issues: Vec<bool> = found.iter().map(|s| s.issue).collect();
        let confidence: Vec<f64> = found.iter().map(|s| s.self_confidence).collect();
        assert_eq!(joint, expected.joint);
        assert_eq!(issues, expected.issues);
        assert_eq!(confidence, expected.self_confidence);
    }

    #[test]
    fn a_piece_confidently_of_another_class_is_an_issue_and_comes_first() {
        let classes: Vec<String> = ["good", "crack"].map(String::from).to_vec();
        let shared: std::sync::Arc<[String]> = classes.clone().into();
        let p = |good: f64| Prediction::new(shared.clone(), vec![good, 1.0 - good]).unwrap();
        // Labelled good: 0.9, 0.8, 0.1; labelled crack: 0.3, 0.2. Thresholds:
        // 0.6 for good, 0.75 for crack. The third is a crack by 0.9; the fourth
        // (0.3, 0.7) is confidently neither.
        let labels = [0, 0, 0, 1, 1];
        let predictions = [0.9, 0.8, 0.1, 0.3, 0.2].map(p);
        let (found, joint) = judge(&classes, &labels, &predictions);
        let issues: Vec<bool> = found.iter().map(|s| s.issue).collect();
        assert_eq!(issues, [false, false, true, false, false]);
        assert_eq!(joint, [[2, 1], [0, 1]]);
        assert_eq!(found[2].suggested, "crack");
        let all: Vec<Option<Suspicion>> = found.into_iter().map(Some).collect();
        assert_eq!(ranked(&all)[..2], [2, 3]);
    }
}
