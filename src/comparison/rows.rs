//! Rows by what may be done with them: [`TrainingRows`] are fitted on,
//! [`TestRows`] are scored.
//!
//! Training rows are made of a [`TrainingSet`], which only a fold hands out, and
//! of the fold's fitting table, which holds none of its test pieces. Test rows
//! carry no label, and nothing that fits takes them:
//!
//! ```compile_fail,E0308
//! use goma::comparison::{Arm, fits::{self, Fitting}, rows::TestRows};
//!
//! fn cheat(arm: &Arm, test: &TestRows, how: &Fitting<'_>) {
//!     let _ = fits::fit(arm, test, how, &goma::progress::Silent);
//! }
//! ```

use super::table::Table;
use crate::data::feature_table::FeatureTable;
use crate::data::fold::TrainingSet;
use crate::data::sample::Sample;
use crate::pipeline::decide::FittingRows;
use crate::pipeline::rows::Rows;
use std::collections::HashMap;

/// Labelled rows that may be fitted on.
pub struct TrainingRows<'a> {
    samples: Vec<&'a Sample>,
    rows: Rows,
    good_repeat: usize,
}

impl<'a> TrainingRows<'a> {
    /// The rows of a training set's pieces that the fitting table holds. A piece
    /// that could not be read has none.
    #[must_use]
    pub fn new(set: &TrainingSet<'a>, fitting: &Table, good_repeat: usize) -> Self {
        let table = &fitting.features;
        let row: HashMap<_, usize> = table.ids().iter().zip(0..).collect();
        let samples: Vec<&Sample> = set.samples().collect();
        let (places, rows): (Vec<usize>, Vec<usize>) = samples
            .iter()
            .enumerate()
            .filter_map(|(place, sample)| Some((place, *row.get(&sample.id)?)))
            .unzip();
        Self {
            samples,
            rows: Rows {
                places,
                scores: rows.iter().map(|&r| fitting.scores[r]).collect(),
                features: Some(table.take_rows(&rows)),
                unreadable: Vec::new(),
            },
            good_repeat,
        }
    }

    /// For the steps that fit.
    #[must_use]
    pub(super) fn on(&self) -> FittingRows<'_> {
        FittingRows {
            samples: &self.samples,
            rows: &self.rows,
            good_repeat: self.good_repeat,
        }
    }

    /// The maps' scores, row by row.
    #[must_use]
    pub(super) fn scores(&self) -> &[f64] {
        &self.rows.scores
    }
}

/// Rows that are scored; whose they are, but not of which class.
pub struct TestRows {
    features: FeatureTable,
    scores: Vec<f64>,
}

impl TestRows {
    /// The rows of a fold's test pieces.
    #[must_use]
    pub fn new(test: &Table) -> Self {
        Self {
            features: test.features.clone(),
            scores: test.scores.clone(),
        }
    }

    /// Image, map and statistics columns.
    #[must_use]
    pub fn features(&self) -> &FeatureTable {
        &self.features
    }

    /// Each map's image score.
    #[must_use]
    pub fn scores(&self) -> &[f64] {
        &self.scores
    }
}
