//! `TrainingSet`: labelled samples that may be fitted on, and its smaller sets.

use super::divide::{check_share, class_index, divide, group_of};
use crate::data::annotation::GOOD;
use crate::data::dataset::Dataset;
use crate::data::sample::{Sample, Split};
use crate::error::{Error, Result};
use crate::random::Seed;
use rand::seq::SliceRandom;
use std::collections::BTreeMap;

/// Labelled samples that may be trained on. Only
/// [`Fold::training`](super::Fold::training) makes one.
#[derive(Debug, Clone)]
pub struct TrainingSet<'a> {
    dataset: &'a Dataset,
    indices: Vec<usize>,
}

impl<'a> TrainingSet<'a> {
    /// For a fold, which hands it out.
    pub(super) fn new(dataset: &'a Dataset, indices: Vec<usize>) -> Self {
        Self { dataset, indices }
    }

    /// The data set it is part of.
    #[must_use]
    pub fn dataset(&self) -> &'a Dataset {
        self.dataset
    }

    /// Indices into the data set's samples, ascending.
    #[must_use]
    pub fn indices(&self) -> &[usize] {
        &self.indices
    }

    /// How many samples there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    /// The samples, in the order of the indices.
    pub fn samples(&self) -> impl ExactSizeIterator<Item = &'a Sample> + use<'a, '_> {
        let dataset = self.dataset;
        self.indices.iter().map(move |&i| &dataset.samples[i])
    }

    /// The class names: the data set's, `good` first.
    #[must_use]
    pub fn classes(&self) -> &'a [String] {
        &self.dataset.classes
    }

    /// Each sample's class name.
    #[must_use]
    pub fn labels(&self) -> Vec<&'a str> {
        self.samples()
            .map(|s| s.label().unwrap_or_default())
            .collect()
    }

    /// Each sample's class as an index into [`TrainingSet::classes`].
    #[must_use]
    pub fn class_indices(&self) -> Vec<usize> {
        self.samples()
            .map(|s| class_index(self.dataset, s))
            .collect()
    }

    /// Each sample's group; a sample of none is its own, by its id.
    #[must_use]
    pub fn groups(&self) -> Vec<&'a str> {
        self.samples().map(group_of).collect()
    }

    /// The good samples alone.
    #[must_use]
    pub fn good(&self) -> Self {
        self.only(|sample| sample.label() == Some(GOOD))
    }

    /// The defective samples alone.
    #[must_use]
    pub fn defective(&self) -> Self {
        self.only(|sample| sample.label() != Some(GOOD))
    }

    /// Takes a share of the samples out: (the rest, the share). Groups stay
    /// whole, classes are shared out evenly.
    ///
    /// # Errors
    /// [`Error::Setting`] for a share outside `0 < share < 1`; [`Error::Data`] if
    /// there are fewer than two groups.
    pub fn split(&self, share: f64, seed: Seed) -> Result<(Self, Self)> {
        check_share("share", share)?;
        let [rest, part] = divide(self.dataset, &self.indices, [1.0 - share, share], seed)?;
        Ok((self.with(rest), self.with(part)))
    }

    /// Takes out what checkpoints and thresholds are chosen on: (the rest, the
    /// samples that the data set itself calls validation), or a share of the
    /// samples as [`TrainingSet::split`] where it calls none so.
    ///
    /// # Errors
    /// As [`TrainingSet::split`]; [`Error::Data`] if nothing is left to train on,
    /// or a group stands on both sides.
    pub fn split_validation(&self, share: f64, seed: Seed) -> Result<(Self, Self)> {
        let chosen = self.only(|sample| sample.split == Some(Split::Validation));
        if chosen.is_empty() {
            return self.split(share, seed);
        }
        let rest = self.without(&chosen);
        if rest.is_empty() {
            return Err(Error::data("every sample is called validation, none train"));
        }
        let groups = chosen.groups();
        if let Some(torn) = rest.groups().into_iter().find(|g| groups.contains(g)) {
            return Err(
                Error::data(format!("group {torn} is trained on and validated on"))
                    .help("a piece must be on one side; correct the split column"),
            );
        }
        Ok((rest, chosen))
    }

    /// Keeps a share of the good samples back from the anomaly model: (good
    /// samples it may see, all others: the good ones kept back and every
    /// defective one).
    ///
    /// What is fitted on anomaly maps is fitted on the second set, whose good
    /// pieces are as new to the anomaly model as tomorrow's will be.
    ///
    /// # Errors
    /// As [`TrainingSet::split`], over the good samples.
    pub fn split_good(&self, share: f64, seed: Seed) -> Result<(Self, Self)> {
        let (seen, _) = self.good().split(share, seed)?;
        let kept = self
            .indices
            .iter()
            .copied()
            .filter(|i| seen.indices.binary_search(i).is_err())
            .collect();
        Ok((seen, self.with(kept)))
    }

    /// The samples of this set that are not in `other`.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let left = self.indices.iter().copied();
        self.with(
            left.filter(|i| other.indices.binary_search(i).is_err())
                .collect(),
        )
    }

    /// Divides the samples into parts of about one size, groups whole, classes
    /// shared out evenly: for cross-fitting.
    ///
    /// # Errors
    /// [`Error::Setting`] for fewer than two parts; [`Error::Data`] if there are
    /// fewer groups than parts.
    pub fn parts(&self, count: usize, seed: Seed) -> Result<Vec<Self>> {
        if count < 2 {
            let reason = format!("{count} given, at least 2 expected");
            return Err(Error::setting("parts", reason));
        }
        let mut left = self.clone();
        let mut parts = Vec::with_capacity(count);
        for part in 0..count - 1 {
            // The next of the parts that are left, all of about one size.
            let seed = seed.derive("fit.cross", part as u64);
            let (rest, taken) = left.split(1.0 / (count - part) as f64, seed)?;
            parts.push(taken);
            left = rest;
        }
        parts.push(left);
        Ok(parts)
    }

    /// Every good sample, and of each defect class this share (rounded up): what
    /// somebody would have who had found fewer defects.
    ///
    /// Whole groups come one after another in an order drawn from the seed, and
    /// the first ones are kept: of two shares the smaller one's samples are among
    /// the larger one's.
    ///
    /// # Errors
    /// [`Error::Setting`] for a share outside `0 < share <= 1`.
    pub fn with_share_of_defects(&self, share: f64, seed: Seed) -> Result<Self> {
        if !(share > 0.0 && share <= 1.0) {
            return Err(Error::setting(
                "share of defects",
                format!("{share} given, above 0 and at most 1 expected"),
            ));
        }
        let mut kept = self.good().indices;
        for (number, class) in self.classes().iter().enumerate() {
            if class == GOOD {
                continue;
            }
            let mut groups: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
            for (&i, sample) in self.indices.iter().zip(self.samples()) {
                if sample.label() == Some(class) {
                    groups.entry(group_of(sample)).or_default().push(i);
                }
            }
            let mut groups: Vec<Vec<usize>> = groups.into_values().collect();
            groups.shuffle(&mut seed.derive("share of defects", number as u64).rng());
            let ordered = groups.concat();
            // 0.07 of 100 is 7, whatever rounding makes of the product.
            let count = (share * ordered.len() as f64 - 1e-9).ceil() as usize;
            kept.extend(&ordered[..count]);
        }
        kept.sort_unstable();
        Ok(self.with(kept))
    }

    /// The same samples in another view of the data set, with other classes.
    ///
    /// # Panics
    /// If the view holds other samples.
    #[must_use]
    pub fn seen_in<'b>(&self, view: &'b Dataset) -> TrainingSet<'b> {
        let same = |&i: &usize| view.samples[i].id == self.dataset.samples[i].id;
        assert!(
            view.samples.len() == self.dataset.samples.len() && self.indices.iter().all(same),
            "a view of another data set"
        );
        TrainingSet {
            dataset: view,
            indices: self.indices.clone(),
        }
    }

    fn with(&self, indices: Vec<usize>) -> Self {
        Self {
            dataset: self.dataset,
            indices,
        }
    }

    /// The samples for which this holds.
    #[must_use]
    pub fn only(&self, holds: impl Fn(&Sample) -> bool) -> Self {
        let samples = &self.dataset.samples;
        self.with(
            self.indices
                .iter()
                .copied()
                .filter(|&i| holds(&samples[i]))
                .collect(),
        )
    }
}
