//! What is done about classes of unequal size.

use crate::random::Seed;
use rand::Rng;
use serde::{Deserialize, Serialize};

/// One way of balancing, so that classes cannot be balanced twice by accident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Balance {
    /// Classes count by their size.
    None,
    /// An error on class c costs `N / (n_classes · N_c)`, scikit-learn's
    /// `class_weight="balanced"`.
    #[default]
    WeightedLoss,
    /// Samples of smaller classes are drawn again until all are of equal size.
    Resample,
}

impl Balance {
    /// The cost of an error on each class.
    pub(super) fn weights(self, y: &[usize], n_classes: usize) -> Vec<f64> {
        match self {
            Self::None | Self::Resample => vec![1.0; n_classes],
            Self::WeightedLoss => sizes(y, n_classes)
                .into_iter()
                .map(|n| y.len() as f64 / (n_classes as f64 * n.max(1) as f64))
                .collect(),
        }
    }

    /// The rows to train on: all of them, with [`Balance::Resample`] followed
    /// by rows of smaller classes drawn again.
    pub(super) fn rows(self, y: &[usize], n_classes: usize, seed: Seed) -> Vec<usize> {
        let mut rows: Vec<usize> = (0..y.len()).collect();
        if self != Self::Resample {
            return rows;
        }
        let largest = sizes(y, n_classes).into_iter().max().unwrap_or(0);
        for c in 0..n_classes {
            let own: Vec<usize> = (0..y.len()).filter(|&i| y[i] == c).collect();
            if own.is_empty() {
                continue;
            }
            let mut rng = seed.derive("resample", c as u64).rng();
            rows.extend((own.len()..largest).map(|_| own[rng.random_range(0..own.len())]));
        }
        rows
    }

    /// As [`Balance::rows`], for learners that take no weights: with
    /// [`Balance::WeightedLoss`] the rows of a class are repeated as often as
    /// they go into the largest class, rounded.
    pub(super) fn repeated_rows(self, y: &[usize], n_classes: usize, seed: Seed) -> Vec<usize> {
        if self != Self::WeightedLoss {
            return self.rows(y, n_classes, seed);
        }
        let sizes = sizes(y, n_classes);
        let largest = sizes.iter().copied().max().unwrap_or(0);
        (0..y.len())
            .flat_map(|i| {
                let times = (largest as f64 / sizes[y[i]] as f64).round() as usize;
                std::iter::repeat_n(i, times)
            })
            .collect()
    }
}

fn sizes(y: &[usize], n_classes: usize) -> Vec<usize> {
    let mut n = vec![0; n_classes];
    for &c in y {
        n[c] += 1;
    }
    n
}

#[cfg(test)]
mod tests {
    use super::*;

    const Y: [usize; 8] = [0, 0, 0, 0, 0, 0, 1, 1];

    #[test]
    fn weights_make_classes_cost_alike() {
        let w = Balance::WeightedLoss.weights(&Y, 2);
        assert_eq!((6.0 * w[0], 2.0 * w[1]), (4.0, 4.0));
        assert_eq!(Balance::None.weights(&Y, 2), [1.0, 1.0]);
        assert_eq!(Balance::Resample.weights(&Y, 2), [1.0, 1.0]);
    }

    #[test]
    fn resampling_makes_classes_equal_and_keeps_every_row() {
        let rows = Balance::Resample.rows(&Y, 2, Seed::new(1));
        assert_eq!(rows.len(), 12);
        assert_eq!(rows[..8], [0, 1, 2, 3, 4, 5, 6, 7]);
        assert!(rows[8..].iter().all(|&r| r >= 6));
    }

    #[test]
    fn repetition_stands_for_weights() {
        let rows = Balance::WeightedLoss.repeated_rows(&Y, 2, Seed::new(1));
        assert_eq!(rows.iter().filter(|&&r| r == 7).count(), 3);
        assert_eq!(rows.len(), 12);
    }
}
