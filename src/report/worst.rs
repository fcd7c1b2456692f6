//! The worst N of any number of pieces, in memory of N.

use crate::data::prediction::Verdict;
use crate::report::scores::Scored;
use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

/// How bad a piece is; greater is worse.
///
/// A failed piece is worse than one to review, and that worse than one that
/// passed; then the defect probability (the anomaly score, where there is no
/// classifier), then the anomaly score; of equals the earlier one is worse.
#[derive(Debug, Clone, Copy)]
pub struct Rank {
    verdict: u8,
    score: f64,
    anomaly: f64,
    index: Reverse<u64>,
}

impl Rank {
    /// The rank of the piece that is the `index`-th input.
    #[must_use]
    pub fn new(scored: &Scored, index: u64) -> Self {
        let anomaly = scored.anomaly_score.unwrap_or(0.0);
        Self {
            verdict: match scored.decision {
                Verdict::Fail => 2,
                Verdict::Review => 1,
                Verdict::Pass => 0,
            },
            score: scored.p_defect.unwrap_or(anomaly),
            anomaly,
            index: Reverse(index),
        }
    }
}

impl Ord for Rank {
    fn cmp(&self, other: &Self) -> Ordering {
        self.verdict
            .cmp(&other.verdict)
            .then(self.score.total_cmp(&other.score))
            .then(self.anomaly.total_cmp(&other.anomaly))
            .then(self.index.cmp(&other.index))
    }
}

impl PartialOrd for Rank {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Rank {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Rank {}

/// Keeps the `keep` worst and where they are found.
#[derive(Debug)]
pub struct Worst<T> {
    keep: usize,
    heap: BinaryHeap<Reverse<(Rank, T)>>,
}

impl<T: Ord + Copy> Worst<T> {
    /// Keeps none yet.
    #[must_use]
    pub fn new(keep: usize) -> Self {
        Self {
            keep,
            heap: BinaryHeap::new(),
        }
    }

    /// Whether a piece of this rank would be kept.
    #[must_use]
    pub fn admits(&self, rank: &Rank) -> bool {
        self.heap.len() < self.keep
            || self
                .heap
                .peek()
                .is_some_and(|Reverse((least, _))| rank > least)
    }

    /// Takes a piece and returns the one that is not kept, if one is not: the
    /// least bad so far, or the piece itself.
    pub fn insert(&mut self, rank: Rank, place: T) -> Option<T> {
        if !self.admits(&rank) {
            return Some(place);
        }
        self.heap.push(Reverse((rank, place)));
        if self.heap.len() > self.keep {
            self.heap.pop().map(|Reverse((_, dropped))| dropped)
        } else {
            None
        }
    }

    /// Those kept, the worst first.
    #[must_use]
    pub fn into_sorted(self) -> Vec<T> {
        self.heap
            .into_sorted_vec()
            .into_iter()
            .map(|Reverse((_, place))| place)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn scored(decision: Verdict, p: f64) -> Scored {
        Scored {
            decision,
            class: None,
            p_defect: Some(p),
            anomaly_score: None,
            threshold: 0.5,
            probabilities: Vec::new(),
            heatmap: None,
            message: String::new(),
            beside: None,
            offset: None,
        }
    }

    #[test]
    fn failed_pieces_come_before_likelier_ones_that_passed() {
        let mut worst = Worst::new(2);
        for (i, (v, p)) in [
            (Verdict::Pass, 0.9),
            (Verdict::Fail, 0.6),
            (Verdict::Review, 0.7),
        ]
        .into_iter()
        .enumerate()
        {
            worst.insert(Rank::new(&scored(v, p), i as u64), i);
        }
        assert_eq!(worst.into_sorted(), [1, 2]);
    }

    #[test]
    fn none_are_kept_of_a_report_without_pictures() {
        let mut worst = Worst::new(0);
        assert_eq!(
            worst.insert(Rank::new(&scored(Verdict::Fail, 1.0), 0), 7),
            Some(7)
        );
    }

    proptest! {
        #[test]
        fn the_kept_are_the_first_of_all_sorted(
            scores in prop::collection::vec(0u8..6, 0..40), keep in 0usize..10
        ) {
            let ranks: Vec<Rank> = scores
                .iter()
                .enumerate()
                .map(|(i, &p)| Rank::new(&scored(Verdict::Fail, f64::from(p) / 6.0), i as u64))
                .collect();
            let mut worst = Worst::new(keep);
            for (i, rank) in ranks.iter().enumerate() {
                worst.insert(*rank, i);
            }
            let mut all: Vec<usize> = (0..ranks.len()).collect();
            all.sort_by(|&a, &b| ranks[b].cmp(&ranks[a]));
            all.truncate(keep);
            prop_assert_eq!(worst.into_sorted(), all);
        }
    }
}
