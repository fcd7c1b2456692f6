//! A look at the data before anything is trained on them: what each channel is
//! like, which pieces are there twice, which labels look wrong.
//!
//! The pieces pass by once, a few at a time (`look`): of each are kept its
//! channels' statistics, a reduced copy ([`duplicates`]), its features and, of
//! some, a small picture; never the photographs. Then [`audit`] compares the
//! copies and lets a classifier judge each label without having seen the piece
//! ([`suspects`]). [`corrections`] applies what a person decided;
//! [`write_audit`] writes tables and report.

pub mod channels;
pub mod corrections;
pub mod duplicates;
mod folder;
mod look;
pub mod suspects;

pub use folder::{AuditSummary, Facts, write_audit};
pub use look::{Eyes, Piece};

use crate::classifier::ClassifierOptions;
use crate::data::dataset::Dataset;
use crate::data::feature_table::FeatureTable;
use crate::data::fold::Fold;
use crate::data::reader::Limits;
use crate::data::sample::Sample;
use crate::error::{Error, Result};
use crate::pipeline::rows::Unreadable;
use crate::progress::Observer;
use crate::random::Seed;
use channels::ChannelStatistics;
use duplicates::Pair;
use look::Looked;
use ndarray::Array2;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use suspects::{Joint, Suspicion};

/// How data are looked at.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditOptions {
    /// Folds of the cross-validation; fewer where there are fewer groups.
    pub folds: usize,
    /// What judges the labels.
    pub classifier: ClassifierOptions,
    /// From this correlation on two pieces count as near-duplicates.
    pub duplicate_at: f64,
    /// Sample pictures of each class in the report.
    pub pictures: usize,
    /// Suspects with a picture in the report.
    pub suspects: usize,
}

impl AuditOptions {
    /// Whether the options make sense.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn check(&self) -> Result<()> {
        if self.folds < 2 {
            let reason = format!("{} given, at least 2 expected", self.folds);
            return Err(Error::setting("folds", reason));
        }
        if !(self.duplicate_at > 0.0 && self.duplicate_at <= 1.0) {
            let reason = format!(
                "{} given, above 0 and at most 1 expected",
                self.duplicate_at
            );
            return Err(Error::setting("duplicate-at", reason));
        }
        Ok(())
    }
}

/// What was found.
#[derive(Debug)]
pub struct Audit {
    /// Each readable piece, in the order of the samples.
    pub pieces: Vec<Piece>,
    /// Statistics by class (the data set's, then the unlabelled), then channel.
    pub channels: Vec<(String, Vec<ChannelStatistics>)>,
    /// Near-duplicates, by places among `pieces`.
    pub duplicates: Vec<Pair>,
    /// What is thought of each piece's label; `None` if it has none, or if its
    /// class was not there to learn from.
    pub suspicions: Vec<Option<Suspicion>>,
    /// Pieces by suspicion, the most suspect first.
    pub ranked: Vec<usize>,
    /// The confident joint, over `classes`.
    pub joint: Joint,
    /// The classes judged.
    pub classes: Vec<String>,
    /// What could not be read.
    pub unreadable: Vec<Unreadable>,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// The name under which pieces without a label are counted.
pub const UNLABELLED: &str = "(no label)";

/// Looks at a data set.
///
/// # Errors
/// [`Error::Setting`]; [`Error::Stopped`]; [`Error::Data`] if no piece can be
/// read. A piece that cannot be read is listed, not an error.
pub fn audit(
    dataset: &Dataset,
    limits: Limits,
    eyes: &Eyes,
    options: &AuditOptions,
    seed: Seed,
    observer: &dyn Observer,
) -> Result<Audit> {
    options.check()?;
    let Looked {
        pieces,
        channels,
        reduced,
        features,
        mut unreadable,
    } = look::look(dataset, limits, eyes, options, seed, observer)?;
    unreadable.extend(dataset.missing.iter().map(|m| Unreadable {
        id: m.id.clone(),
        reason: m.reason.clone(),
    }));
    let duplicates = duplicates::pairs(duplicates::matrix(reduced)?, options.duplicate_at);
    let mut audit = Audit {
        suspicions: vec![None; pieces.len()],
        pieces,
        channels,
        duplicates,
        ranked: Vec::new(),
        joint: Joint::new(),
        classes: dataset.classes.clone(),
        unreadable,
        notes: dataset.notes.clone(),
    };
    match judge(dataset, &mut audit, features, options, seed, observer) {
        Ok(()) => {}
        // Labels that cannot be judged are no reason to keep the rest back.
        Err(Error::Data { reason }) => {
            audit
                .notes
                .push(format!("labels were not judged: {reason}"));
        }
        Err(error) => return Err(error),
    }
    Ok(audit)
}

/// Judges the labels of the labelled pieces.
fn judge(
    dataset: &Dataset,
    audit: &mut Audit,
    features: Vec<Vec<f64>>,
    options: &AuditOptions,
    seed: Seed,
    observer: &dyn Observer,
) -> Result<()> {
    let groups: BTreeSet<&str> = dataset
        .labelled()
        .into_iter()
        .map(|i| &dataset.samples[i])
        .map(Sample::group_or_id)
        .collect();
    let folds = options.folds.min(groups.len());
    if folds < 2 || dataset.classes.len() < 2 {
        return Err(Error::data("two classes and two groups are needed"));
    }
    let mut fold_of = vec![0; dataset.samples.len()];
    for (number, fold) in Fold::k_fold(dataset, folds, seed.derive("audit", 0))?
        .iter()
        .enumerate()
    {
        for &i in fold.test() {
            fold_of[i] = number;
        }
    }
    let place = |p: usize| audit.pieces[p].sample;
    let labelled: Vec<usize> = (0..audit.pieces.len())
        .filter(|&p| dataset.samples[place(p)].label().is_some())
        .collect();
    let label = |p: usize| {
        dataset.samples[place(p)]
            .label()
            .unwrap_or_default()
            .to_string()
    };
    // A class that only one fold holds is never there to learn from.
    let mut folds_with: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
    for &p in &labelled {
        let folds = folds_with.entry(label(p)).or_default();
        folds.insert(fold_of[place(p)]);
    }
    let judged: Vec<usize> = labelled
        .iter()
        .copied()
        .filter(|&p| folds_with[&label(p)].len() >= 2)
        .collect();
    if judged.len() < labelled.len() {
        audit.notes.push(format!(
            "{} labels were not judged: their class occurs in one group or fold only",
            labelled.len() - judged.len()
        ));
    }
    let names: Vec<String> = judged.iter().map(|&p| label(p)).collect();
    let mut values = Array2::zeros((judged.len(), features.first().map_or(0, Vec::len)));
    for (mut row, &p) in values.outer_iter_mut().zip(&judged) {
        row.assign(&ndarray::aview1(&features[p]));
    }
    let ids = judged.iter().map(|&p| dataset.samples[place(p)].id.clone());
    let columns = (0..values.ncols()).map(|c| format!("feature.{c:04}"));
    let table = FeatureTable::new(ids.collect(), columns.collect(), values)?;
    let folds: Vec<usize> = judged.iter().map(|&p| fold_of[place(p)]).collect();
    let classes: Arc<[String]> = dataset.classes.clone().into();
    observer.begin("judging labels", 0);
    let predictions = options.classifier.predict_out_of_fold(
        &table,
        &names,
        &classes,
        &folds,
        seed.derive("audit", 1),
        observer,
    );
    observer.end();
    let labels: Vec<usize> = names
        .iter()
        .map(|name| classes.iter().position(|c| c == name).unwrap_or_default())
        .collect();
    let (found, joint) = suspects::judge(&classes, &labels, &predictions?);
    for (p, suspicion) in judged.into_iter().zip(found) {
        audit.suspicions[p] = Some(suspicion);
    }
    audit.joint = joint;
    audit.ranked = suspects::ranked(&audit.suspicions);
    Ok(())
}
