//! How rare classes are made up for: one choice, so that nobody balances twice
//! without meaning to.

use crate::random::Seed;
use rand::Rng;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

/// Makes up for rare classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Balance {
    /// Not at all.
    None,
    /// Their loss counts more: `pos_weight` = good / defective with one score,
    /// n / (k n_c) with k classes.
    WeightedLoss,
    /// They are drawn as often as the others, with replacement.
    Resample,
    /// Both at once, as the eraser paper does: rare classes then count about
    /// as much more as the common ones did before.
    Double,
}

impl Balance {
    /// Whether pieces are drawn by class.
    #[must_use]
    pub fn resamples(self) -> bool {
        matches!(self, Self::Resample | Self::Double)
    }

    /// Whether the loss is weighted.
    #[must_use]
    pub fn weighs(self) -> bool {
        matches!(self, Self::WeightedLoss | Self::Double)
    }

    /// The weight of each class in a cross-entropy.
    ///
    /// - `class`: `[n]`, below `classes`
    #[must_use]
    pub fn class_weights(self, class: &[usize], classes: usize) -> Vec<f64> {
        let counts = counts(class, classes);
        let present = counts.iter().filter(|n| **n > 0).count() as f64;
        counts
            .iter()
            .map(|&n| match n {
                0 => 1.0,
                _ if !self.weighs() => 1.0,
                n => class.len() as f64 / (present * n as f64),
            })
            .collect()
    }

    /// The weight of the positive samples in a binary cross-entropy.
    #[must_use]
    pub fn positive_weight(self, class: &[usize]) -> f64 {
        let positive = class.iter().filter(|c| **c > 0).count();
        match self.weighs() && positive > 0 {
            true => (class.len() - positive) as f64 / positive as f64,
            false => 1.0,
        }
    }

    /// The order in which an epoch goes through pieces of these classes: each
    /// once; or as many draws with replacement, each with probability
    /// 1 / (k n_c), as PyTorch's `WeightedRandomSampler` under inverse counts.
    #[must_use]
    pub fn order(self, class: &[usize], seed: Seed) -> Vec<usize> {
        let mut rng = seed.rng();
        if !self.resamples() {
            let mut order: Vec<usize> = (0..class.len()).collect();
            order.shuffle(&mut rng);
            return order;
        }
        let classes = class.iter().max().map_or(0, |m| m + 1);
        let members: Vec<Vec<usize>> = (0..classes)
            .map(|c| (0..class.len()).filter(|&i| class[i] == c).collect())
            .filter(|m: &Vec<usize>| !m.is_empty())
            .collect();
        (0..class.len())
            .map(|_| {
                let members = &members[rng.random_range(0..members.len())];
                members[rng.random_range(0..members.len())]
            })
            .collect()
    }
}

fn counts(class: &[usize], classes: usize) -> Vec<usize> {
    let mut counts = vec![0; classes];
    for &c in class {
        counts[c] += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLASS: [usize; 10] = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1];

    #[test]
    fn weights_are_those_of_the_recipe() {
        assert_eq!(Balance::WeightedLoss.positive_weight(&CLASS), 4.0);
        assert_eq!(Balance::Resample.positive_weight(&CLASS), 1.0);
        assert_eq!(Balance::Double.class_weights(&CLASS, 3), [0.625, 2.5, 1.0]);
        assert_eq!(Balance::None.class_weights(&CLASS, 2), [1.0, 1.0]);
    }

    #[test]
    fn drawn_by_class_both_come_alike_otherwise_each_piece_once() {
        let mut rare = 0;
        for epoch in 0..200 {
            let order = Balance::Resample.order(&CLASS, Seed::new(epoch));
            assert_eq!(order.len(), 10);
            rare += order.iter().filter(|i| CLASS[**i] == 1).count();
        }
        assert!((900..1100).contains(&rare), "{rare} of 2000"); // 1000, deviation 22
        let mut order = Balance::WeightedLoss.order(&CLASS, Seed::new(1));
        order.sort_unstable();
        assert_eq!(order, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }
}
