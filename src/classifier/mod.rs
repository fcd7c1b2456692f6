//! Classifier: from selected features to a probability for each class.
//!
//! Between selection and decision (FeatureTable ▶ **classifier** ▶ Prediction).
//! Four learners behind one face: the paper's multi-layer perceptron
//! ([`mlp`]), a support vector machine ([`svm`]), a random forest ([`forest`])
//! and logistic regression ([`logistic`]).
//!
//! ```
//! use goma::classifier::ClassifierOptions;
//! use goma::data::{feature_table::FeatureTable, sample::SampleId};
//! use goma::{progress::Silent, random::Seed};
//!
//! let ids = (0..8).map(|i| SampleId::new(i.to_string())).collect();
//! let values = ndarray::Array2::from_shape_fn((8, 1), |(i, _)| i as f64);
//! let table = FeatureTable::new(ids, vec!["brightness".into()], values)?;
//! let labels: Vec<String> = ["good", "crack"].repeat(4).into_iter().map(String::from).collect();
//! let labels: Vec<String> = (0..8).map(|i| labels[i / 4].clone()).collect();
//!
//! let classes = ["good".to_string(), "crack".to_string()].into();
//! let svm = ClassifierOptions::svm().fit(&table, &labels, classes, Seed::new(1), &Silent)?;
//! let again = goma::classifier::Classifier::from_bytes(&svm.to_bytes()?)?;
//! let predictions = again.predict(&table)?;
//! assert!(predictions[7].p_defect() > predictions[0].p_defect());
//! # Ok::<(), goma::Error>(())
//! ```

pub mod balance;
pub mod forest;
pub mod logistic;
pub mod mlp;
mod platt;
mod standardise;
mod stored;
pub mod svm;

pub use balance::Balance;
pub use forest::ForestOptions;
pub use logistic::LogisticOptions;
pub use mlp::MlpOptions;
pub use svm::SvmOptions;

use crate::data::feature_table::FeatureTable;
use crate::data::prediction::Prediction;
use crate::error::{Error, Result};
use crate::progress::Observer;
use crate::random::Seed;
use ndarray::Array2;
use serde::{Deserialize, Serialize};
use standardise::Standardiser;
use std::sync::Arc;

/// Which learner, with its settings.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Method {
    /// Multi-layer perceptron 512 – 100.
    Mlp(MlpOptions),
    /// Support vector machine with calibrated probabilities.
    Svm(SvmOptions),
    /// Random forest.
    Forest(ForestOptions),
    /// Logistic regression.
    Logistic(LogisticOptions),
}

/// How a [`Classifier`] is fitted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ClassifierOptions {
    /// The learner.
    #[serde(flatten)]
    pub method: Method,
    /// What is done about classes of unequal size.
    #[serde(default)]
    pub balance: Balance,
}

impl Default for ClassifierOptions {
    fn default() -> Self {
        Self::mlp()
    }
}

impl ClassifierOptions {
    /// The paper's perceptron.
    #[must_use]
    pub fn mlp() -> Self {
        Self::of(Method::Mlp(MlpOptions::default()))
    }

    /// A support vector machine.
    #[must_use]
    pub fn svm() -> Self {
        Self::of(Method::Svm(SvmOptions::default()))
    }

    /// A random forest.
    #[must_use]
    pub fn forest() -> Self {
        Self::of(Method::Forest(ForestOptions::default()))
    }

    /// Logistic regression.
    #[must_use]
    pub fn logistic() -> Self {
        Self::of(Method::Logistic(LogisticOptions::default()))
    }

    fn of(method: Method) -> Self {
        Self {
            method,
            balance: Balance::default(),
        }
    }

    /// `mlp`, `svm`, `forest` or `logistic`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self.method {
            Method::Mlp(_) => "mlp",
            Method::Svm(_) => "svm",
            Method::Forest(_) => "forest",
            Method::Logistic(_) => "logistic",
        }
    }

    /// Fits on the rows of `table`.
    ///
    /// - `labels`: `[n_samples]`, class names
    /// - `classes`: every class a prediction shall name; those without a
    ///   training sample get probability 0
    ///
    /// Columns are standardised with mean and deviation of these rows, constant
    /// ones become 0. The same seed gives the same classifier, whatever the
    /// number of threads.
    ///
    /// # Errors
    /// [`Error::Data`] with fewer than two classes among the labels, a label
    /// outside `classes`, or no column; [`Error::Shape`]; [`Error::Setting`];
    /// [`Error::Stopped`].
    pub fn fit(
        &self,
        table: &FeatureTable,
        labels: &[String],
        classes: Arc<[String]>,
        seed: Seed,
        observer: &dyn Observer,
    ) -> Result<Classifier> {
        let (present, y) = class_indices(table, labels, &classes)?;
        let standardiser = Standardiser::fit(table.values());
        let problem = Problem {
            x: &standardiser.apply(table.values()),
            y: &y,
            n_classes: present.len(),
            balance: self.balance,
            seed,
            observer,
        };
        let learner = match self.method {
            Method::Mlp(options) => Learner::Mlp(options.fit(&problem)?),
            Method::Svm(options) => Learner::Svm(options.fit(&problem)?),
            Method::Forest(options) => Learner::Forest(options.fit(&problem)?),
            Method::Logistic(options) => Learner::Logistic(options.fit(&problem)?),
        };
        Ok(Classifier {
            options: *self,
            classes,
            present,
            columns: table.columns().to_vec(),
            standardiser,
            learner,
        })
    }

    /// Predictions for every row by a classifier that has not seen it: what a
    /// threshold should be fitted on.
    ///
    /// - `fold`: `[n_samples]`, any labels; for each, a classifier is fitted on
    ///   the rows of all others
    ///
    /// # Errors
    /// As [`ClassifierOptions::fit`], for the rows outside a fold.
    pub fn predict_out_of_fold(
        &self,
        table: &FeatureTable,
        labels: &[String],
        classes: &Arc<[String]>,
        fold: &[usize],
        seed: Seed,
        observer: &dyn Observer,
    ) -> Result<Vec<Prediction>> {
        if fold.len() != labels.len() {
            return Err(Error::shape("folds", fold.len(), labels.len()));
        }
        let mut predictions: Vec<Option<Prediction>> = vec![None; labels.len()];
        let names: std::collections::BTreeSet<usize> = fold.iter().copied().collect();
        for name in names {
            let (inside, outside): (Vec<usize>, Vec<usize>) =
                (0..fold.len()).partition(|&i| fold[i] == name);
            let train_labels: Vec<String> = outside.iter().map(|&i| labels[i].clone()).collect();
            let classifier = self.fit(
                &table.take_rows(&outside),
                &train_labels,
                classes.clone(),
                seed.derive("fold", name as u64),
                observer,
            )?;
            for (row, p) in inside
                .iter()
                .zip(classifier.predict(&table.take_rows(&inside))?)
            {
                predictions[*row] = Some(p);
            }
        }
        Ok(predictions.into_iter().flatten().collect())
    }
}

/// What a learner is fitted on.
struct Problem<'a> {
    /// Standardised features, `[n_samples, n_features]`.
    x: &'a Array2<f64>,
    /// `[n_samples]`, classes `0..n_classes`, each of which occurs.
    y: &'a [usize],
    n_classes: usize,
    balance: Balance,
    seed: Seed,
    observer: &'a dyn Observer,
}

impl Problem<'_> {
    fn check_stop(&self) -> Result<()> {
        if self.observer.stop_requested() {
            return Err(Error::Stopped);
        }
        Ok(())
    }
}

/// A fitted learner; its classes are `0..n` of those present in training.
#[derive(Debug, Clone, PartialEq)]
enum Learner {
    Mlp(mlp::Mlp),
    Svm(svm::Svm),
    Forest(forest::Forest),
    Logistic(logistic::Logistic),
}

/// A fitted classifier.
#[derive(Debug, Clone, PartialEq)]
pub struct Classifier {
    options: ClassifierOptions,
    classes: Arc<[String]>,
    /// For each class of the learner its place among `classes`.
    present: Vec<usize>,
    columns: Vec<String>,
    standardiser: Standardiser,
    learner: Learner,
}

impl Classifier {
    /// What it was fitted with.
    #[must_use]
    pub fn options(&self) -> &ClassifierOptions {
        &self.options
    }

    /// The classes its predictions name.
    #[must_use]
    pub fn classes(&self) -> &Arc<[String]> {
        &self.classes
    }

    /// The feature columns it expects, in order.
    #[must_use]
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// A probability of every class for every row. A row's prediction does not
    /// depend on the other rows.
    ///
    /// # Errors
    /// [`Error::Data`] if the columns are not those of the training, in order.
    pub fn predict(&self, table: &FeatureTable) -> Result<Vec<Prediction>> {
        if table.columns() != self.columns {
            let differing = table
                .columns()
                .iter()
                .zip(&self.columns)
                .find(|(found, expected)| found != expected);
            return Err(match differing {
                Some((found, expected)) => Error::data(format!(
                    "the classifier expects feature column {expected} where {found} was found"
                )),
                None => Error::shape("feature columns", table.columns().len(), self.columns.len()),
            });
        }
        let x = self.standardiser.apply(table.values());
        x.outer_iter()
            .map(|row| {
                let row = row.to_slice().expect("freshly made in standard layout");
                let p = match &self.learner {
                    Learner::Mlp(m) => m.probabilities(row),
                    Learner::Svm(m) => m.probabilities(row),
                    Learner::Forest(m) => m.probabilities(row),
                    Learner::Logistic(m) => m.probabilities(row),
                };
                let mut all = vec![0.0; self.classes.len()];
                for (&class, p) in self.present.iter().zip(p) {
                    all[class] = p;
                }
                Prediction::new(self.classes.clone(), all)
            })
            .collect()
    }
}

/// The classes that occur, as places among `classes`, and each label as an
/// index into them.
fn class_indices(
    table: &FeatureTable,
    labels: &[String],
    classes: &[String],
) -> Result<(Vec<usize>, Vec<usize>)> {
    if labels.len() != table.values().nrows() {
        return Err(Error::shape("labels", labels.len(), table.values().nrows()));
    }
    if table.columns().is_empty() {
        return Err(Error::data(
            "a classifier needs at least one feature column",
        ));
    }
    let found = labels
        .iter()
        .zip(table.ids())
        .map(|(label, id)| {
            classes.iter().position(|c| c == label).ok_or_else(|| {
                Error::data(format!(
                    "sample {id} is labelled {label}; {} expected",
                    classes.join(", ")
                ))
            })
        })
        .collect::<Result<Vec<usize>>>()?;
    let mut present = found.clone();
    present.sort_unstable();
    present.dedup();
    if present.len() < 2 {
        return Err(Error::data(format!(
            "a classifier needs samples of two classes: {} of {} found",
            labels.len(),
            labels.first().map_or("none", String::as_str)
        )));
    }
    let y = found
        .iter()
        .map(|c| present.binary_search(c).expect("collected from these"))
        .collect();
    Ok((present, y))
}

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
