//! `Table`: rows of some pieces, put together from the stages' products.

use super::stored::Features;
use crate::data::feature_table::FeatureTable;
use crate::data::sample::SampleId;
use crate::error::{Error, Result};
use ndarray::{Array2, Axis, concatenate};
use std::collections::HashMap;

/// Rows of some pieces, from both extractors.
#[derive(Debug, Clone)]
pub struct Table {
    /// Image, map and statistics columns.
    pub features: FeatureTable,
    /// Each map's image score.
    pub scores: Vec<f64>,
}

/// The rows of one fold.
#[derive(Debug, Clone)]
pub struct FoldTables {
    /// Of the training pieces that are fitted on.
    pub fitting: Table,
    /// Of the test pieces.
    pub test: Table,
}

/// Chunks under one another.
pub(super) fn join(parts: Vec<Features>, columns: Vec<String>) -> Result<Features> {
    let width = columns.len();
    if let Some(other) = parts.iter().find(|p| p.table.columns() != columns) {
        let found = other.table.columns().len();
        return Err(Error::shape("feature columns", found, width));
    }
    let mut joined = (Vec::new(), Vec::new(), Vec::new());
    let mut values = vec![Array2::zeros((0, width))];
    for part in parts {
        joined.0.extend_from_slice(part.table.ids());
        values.push(part.table.values().clone());
        joined.1.extend(part.scores);
        joined.2.extend(part.unreadable);
    }
    let views: Vec<_> = values.iter().map(Array2::view).collect();
    let values = concatenate(Axis(0), &views).expect("the columns agree");
    Ok(Features {
        table: FeatureTable::new(joined.0, columns, values)?,
        scores: joined.1,
        unreadable: joined.2,
    })
}

/// Image and map columns of the same pieces beside one another.
pub(super) fn beside(image: &FeatureTable, map: Features) -> Result<Table> {
    let row: HashMap<&SampleId, usize> = image.ids().iter().zip(0..).collect();
    // A file that could be read for its map and not for its image has changed.
    let both: Vec<(usize, usize)> = map
        .table
        .ids()
        .iter()
        .enumerate()
        .filter_map(|(i, id)| Some((*row.get(id)?, i)))
        .collect();
    let (of_image, of_map): (Vec<usize>, Vec<usize>) = both.into_iter().unzip();
    let (image, maps) = (image.take_rows(&of_image), map.table.take_rows(&of_map));
    let columns = [image.columns(), maps.columns()].concat();
    let values = concatenate(Axis(1), &[image.values().view(), maps.values().view()]);
    let values = values.map_err(|e| Error::data(e.to_string()))?;
    Ok(Table {
        features: FeatureTable::new(maps.ids().to_vec(), columns, values)?,
        scores: of_map.iter().map(|&i| map.scores[i]).collect(),
    })
}
