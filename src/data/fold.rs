//! `Fold`: which samples are trained on and which are kept to test;
//! `TrainingSet`: the only thing that can be fitted on.
//!
//! Groups (one physical piece, one pack) are never split, and classes are shared
//! out as evenly as the groups allow, in the manner of scikit-learn's
//! `StratifiedGroupKFold`: groups are taken from the largest to the smallest,
//! equally large ones in an order drawn from the seed, and each goes where it
//! brings the class counts nearest to their targets.
//!
//! A [`TrainingSet`] is handed out by a fold and by nothing else, so that training
//! on test samples does not compile:
//!
//! ```compile_fail,E0451
//! use goma::data::dataset::Dataset;
//! use goma::data::fold::TrainingSet;
//!
//! fn cheat(dataset: &Dataset) -> TrainingSet<'_> {
//!     TrainingSet { dataset, indices: (0..dataset.samples.len()).collect() }
//! }
//! ```

mod divide;
mod training;

pub use training::TrainingSet;

use crate::data::dataset::Dataset;
use crate::data::sample::Split;
use crate::error::{Error, Result};
use crate::random::Seed;
use divide::{check_share, divide, shared_out};
use std::collections::BTreeMap;

/// One division of a data set's labelled samples.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fold {
    train: Vec<usize>,
    test: Vec<usize>,
    /// Number of samples of the data set it divides.
    of: usize,
}

impl Fold {
    /// Keeps a share of the samples, between 0 and 1, to test.
    ///
    /// # Errors
    /// [`Error::Setting`] for a share outside `0 < share < 1`; [`Error::Data`] if
    /// there are fewer than two groups.
    pub fn holdout(dataset: &Dataset, test_share: f64, seed: Seed) -> Result<Self> {
        check_share("test_share", test_share)?;
        let [train, test] = divide(
            dataset,
            &dataset.labelled(),
            [1.0 - test_share, test_share],
            seed.derive("holdout", 0),
        )?;
        Ok(Self::new(dataset, train, test))
    }

    /// `k` folds; each sample is tested in exactly one.
    ///
    /// # Errors
    /// [`Error::Setting`] for fewer than two folds; [`Error::Data`] if there are
    /// fewer groups than folds.
    pub fn k_fold(dataset: &Dataset, k: usize, seed: Seed) -> Result<Vec<Self>> {
        if k < 2 {
            return Err(Error::setting(
                "folds",
                format!("{k} given, at least 2 expected"),
            ));
        }
        let all = dataset.labelled();
        let targets = vec![1.0 / k as f64; k];
        let parts = shared_out(dataset, &all, &targets, seed.derive("k-fold", k as u64))?;
        Ok(parts
            .iter()
            .map(|test| {
                let train = all.iter().copied().filter(|i| !test.contains(i)).collect();
                Self::new(dataset, train, test.clone())
            })
            .collect())
    }

    /// The division the data set itself gives (mvtec's folders, a manifest's
    /// `split`). Validation samples may be trained on; test samples never.
    ///
    /// # Errors
    /// [`Error::Data`] if a labelled sample has no split, or if a group stands on
    /// both sides.
    pub fn from_splits(dataset: &Dataset) -> Result<Self> {
        let (mut train, mut test) = (Vec::new(), Vec::new());
        let mut side: BTreeMap<&str, bool> = BTreeMap::new();
        for i in dataset.labelled() {
            let sample = &dataset.samples[i];
            let tested = match sample.split {
                Some(Split::Test) => true,
                Some(Split::Train | Split::Validation) => false,
                None => {
                    return Err(Error::data(format!("sample {} has no split", sample.id))
                        .help("fill in the split column, or divide by share instead"));
                }
            };
            if let Some(group) = &sample.group
                && *side.entry(group).or_insert(tested) != tested
            {
                return Err(
                    Error::data(format!("group {group} is trained on and tested on")).help(
                        "a piece must be on one side; correct the split column, or divide by share",
                    ),
                );
            }
            if tested { &mut test } else { &mut train }.push(i);
        }
        Ok(Self::new(dataset, train, test))
    }

    /// Every labelled sample is trained on, none tested: for the final model.
    #[must_use]
    pub fn everything(dataset: &Dataset) -> Self {
        Self::new(dataset, dataset.labelled(), Vec::new())
    }

    fn new(dataset: &Dataset, train: Vec<usize>, test: Vec<usize>) -> Self {
        Self {
            train,
            test,
            of: dataset.samples.len(),
        }
    }

    /// Indices of the samples to train on, ascending.
    #[must_use]
    pub fn train(&self) -> &[usize] {
        &self.train
    }

    /// Indices of the samples to test, ascending.
    #[must_use]
    pub fn test(&self) -> &[usize] {
        &self.test
    }

    /// The samples to train on.
    ///
    /// # Panics
    /// If the fold was made of another data set.
    #[must_use]
    pub fn training<'a>(&self, dataset: &'a Dataset) -> TrainingSet<'a> {
        assert_eq!(self.of, dataset.samples.len(), "a fold of another data set");
        TrainingSet::new(dataset, self.train.clone())
    }
}

#[cfg(test)]
mod tests;
