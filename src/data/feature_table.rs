//! `FeatureTable`: one row of numbers for each sample.

use crate::data::sample::SampleId;
use crate::error::{Error, Result};
use ndarray::{Array2, Axis};

/// `[n_samples, n_features]`, with sample ids and column names.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureTable {
    ids: Vec<SampleId>,
    columns: Vec<String>,
    values: Array2<f64>,
}

impl FeatureTable {
    /// Puts ids, column names and values together.
    ///
    /// # Errors
    /// [`Error::Shape`] if their lengths disagree; [`Error::NotFinite`] with
    /// the first row that holds something else than numbers.
    pub fn new(ids: Vec<SampleId>, columns: Vec<String>, values: Array2<f64>) -> Result<Self> {
        if values.dim() != (ids.len(), columns.len()) {
            return Err(Error::shape(
                "feature table",
                values.dim(),
                (ids.len(), columns.len()),
            ));
        }
        for (row, features) in values.outer_iter().enumerate() {
            if !features.iter().all(|v| v.is_finite()) {
                return Err(Error::NotFinite {
                    what: "features".into(),
                    row,
                });
            }
        }
        Ok(Self {
            ids,
            columns,
            values,
        })
    }

    /// Sample ids, one a row.
    #[must_use]
    pub fn ids(&self) -> &[SampleId] {
        &self.ids
    }

    /// Column names.
    #[must_use]
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The numbers, `[n_samples, n_features]`.
    #[must_use]
    pub fn values(&self) -> &Array2<f64> {
        &self.values
    }

    /// The rows at `rows`, in that order.
    #[must_use]
    pub fn take_rows(&self, rows: &[usize]) -> Self {
        Self {
            ids: rows.iter().map(|&r| self.ids[r].clone()).collect(),
            columns: self.columns.clone(),
            values: self.values.select(Axis(0), rows),
        }
    }

    /// The columns at `columns`, in that order.
    #[must_use]
    pub fn take_columns(&self, columns: &[usize]) -> Self {
        Self {
            ids: self.ids.clone(),
            columns: columns.iter().map(|&c| self.columns[c].clone()).collect(),
            values: self.values.select(Axis(1), columns),
        }
    }
}
