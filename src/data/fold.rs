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

use crate::data::annotation::GOOD;
use crate::data::dataset::Dataset;
use crate::data::sample::{Sample, Split};
use crate::error::{Error, Result};
use crate::random::Seed;
use rand::seq::SliceRandom;
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
        TrainingSet {
            dataset,
            indices: self.train.clone(),
        }
    }
}

/// Labelled samples that may be trained on. Only [`Fold::training`] makes one.
#[derive(Debug, Clone)]
pub struct TrainingSet<'a> {
    dataset: &'a Dataset,
    indices: Vec<usize>,
}

impl<'a> TrainingSet<'a> {
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

    fn only(&self, holds: impl Fn(&Sample) -> bool) -> Self {
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

fn check_share(name: &str, share: f64) -> Result<()> {
    if share > 0.0 && share < 1.0 {
        return Ok(());
    }
    Err(Error::setting(
        name,
        format!("{share} given, a share between 0 and 1 expected"),
    ))
}

fn group_of(sample: &Sample) -> &str {
    sample.group.as_deref().unwrap_or(sample.id.as_str())
}

/// A labelled sample's class.
fn class_index(dataset: &Dataset, sample: &Sample) -> usize {
    let label = sample.label().unwrap_or_default();
    dataset
        .classes
        .iter()
        .position(|class| class == label)
        .expect("a data set lists the classes of all its samples")
}

fn divide(
    dataset: &Dataset,
    indices: &[usize],
    targets: [f64; 2],
    seed: Seed,
) -> Result<[Vec<usize>; 2]> {
    let mut parts = shared_out(dataset, indices, &targets, seed)?.into_iter();
    // As many parts as targets.
    Ok([
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    ])
}

/// Samples of one group, and how many of each class.
struct Unit {
    members: Vec<usize>,
    counts: Vec<usize>,
}

/// Shares samples out into parts of these target shares (which sum to 1). Every
/// part gets at least one group.
fn shared_out(
    dataset: &Dataset,
    indices: &[usize],
    targets: &[f64],
    seed: Seed,
) -> Result<Vec<Vec<usize>>> {
    let classes = dataset.classes.len();
    // A group and a lone sample's id may be the same word.
    let mut by_group: BTreeMap<(bool, &str), Unit> = BTreeMap::new();
    let mut totals = vec![0usize; classes];
    for &i in indices {
        let sample = &dataset.samples[i];
        let unit = by_group
            .entry((sample.group.is_some(), group_of(sample)))
            .or_insert_with(|| Unit {
                members: Vec::new(),
                counts: vec![0; classes],
            });
        let class = class_index(dataset, sample);
        unit.members.push(i);
        unit.counts[class] += 1;
        totals[class] += 1;
    }
    let mut units: Vec<Unit> = by_group.into_values().collect();
    if units.len() < targets.len() {
        return Err(Error::data(format!(
            "{} groups cannot be shared out over {} parts",
            units.len(),
            targets.len()
        ))
        .help("more pieces are needed; one piece is never on both sides"));
    }
    units.shuffle(&mut seed.rng());
    units.sort_by_key(|unit| std::cmp::Reverse(unit.members.len())); // stable

    let mut counts = vec![vec![0usize; classes]; targets.len()];
    let mut parts: Vec<Vec<usize>> = vec![Vec::new(); targets.len()];
    let last = units.len();
    for (placed, unit) in units.into_iter().enumerate() {
        // How much the squared distance to the targets grows, each class weighed
        // by its size: sum over c of g (2 (n - tN) + g) / N.
        let cost = |part: usize| -> f64 {
            (0..classes)
                .filter(|&c| unit.counts[c] > 0)
                .map(|c| {
                    let (g, n) = (unit.counts[c] as f64, counts[part][c] as f64);
                    let total = totals[c] as f64;
                    g * (2.0 * (n - targets[part] * total) + g) / total
                })
                .sum()
        };
        let empty = parts.iter().filter(|p| p.is_empty()).count();
        let must_fill = last - placed <= empty;
        let best = (0..parts.len())
            .filter(|&part| !must_fill || parts[part].is_empty())
            .min_by(|&a, &b| {
                cost(a)
                    .total_cmp(&cost(b))
                    .then(parts[a].len().cmp(&parts[b].len()))
            })
            .unwrap_or(0);
        for (count, more) in counts[best].iter_mut().zip(&unit.counts) {
            *count += more;
        }
        parts[best].extend(unit.members);
    }
    for part in &mut parts {
        part.sort_unstable();
    }
    Ok(parts)
}

#[cfg(test)]
mod tests;
