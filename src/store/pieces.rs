//! `pieces.csv`: which pieces a bundle was trained on, and which were held out.
//!
//! Columns `id,split,sha256`; `split` is `train` (also of pieces that thresholds,
//! validation or the choice of weights rest on) or `test`, `sha256` what the
//! piece's files hold ([`digest::of_samples`]). Pieces are recognised by their
//! content: other data sets may use the same ids, and files are renamed.

use crate::data::dataset::Dataset;
use crate::data::digest;
use crate::data::fold::Fold;
use crate::data::sample::Sample;
use crate::error::{Error, Result};
use crate::files::write_atomic;
use crate::nn::weights::hex;
use crate::progress::Observer;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::Path;

/// The file's name.
pub const FILE: &str = "pieces.csv";
/// A larger file is none of ours: more than ten million pieces.
const MAX_BYTES: u64 = 1 << 30;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Row {
    id: String,
    split: Side,
    sha256: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Side {
    Train,
    Test,
}

/// The pieces of a training, as they go into the bundle.
#[derive(Debug)]
pub struct Pieces(Vec<Row>);

impl Pieces {
    /// Reads the files of every piece of a fold once.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub fn of(dataset: &Dataset, fold: &Fold, observer: &dyn Observer) -> Result<Self> {
        let sides = [(fold.train(), Side::Train), (fold.test(), Side::Test)];
        let pieces: Vec<(usize, Side)> = sides
            .into_iter()
            .flat_map(|(indices, side)| indices.iter().map(move |&i| (i, side)))
            .collect();
        let samples: Vec<&Sample> = pieces.iter().map(|&(i, _)| &dataset.samples[i]).collect();
        let digests = digest::of_samples(&samples, observer)?;
        let rows = samples.iter().zip(pieces).zip(digests);
        Ok(Self(
            rows.map(|((sample, (_, split)), digest)| Row {
                id: sample.id.as_str().to_string(),
                split,
                sha256: hex(&digest),
            })
            .collect(),
        ))
    }

    /// Writes `pieces.csv` into a bundle's folder.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join(FILE);
        let failed = |e: csv::Error| Error::io("write", &path)(e.into());
        let mut table = csv::Writer::from_writer(Vec::new());
        for row in &self.0 {
            table.serialize(row).map_err(failed)?;
        }
        let bytes = table
            .into_inner()
            .map_err(|e| Error::io("write", &path)(e.into_error()))?;
        write_atomic(&path, &bytes)
    }
}

/// What bundles were trained on.
#[derive(Debug, Default)]
pub struct TrainedOn(BTreeSet<String>);

impl TrainedOn {
    /// Reads `pieces.csv` of a bundle's folder; `None` where there is none, as in
    /// imported bundles and those of earlier versions.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Malformed`] for a file that is no such table.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(FILE);
        let length = match std::fs::metadata(&path) {
            Ok(about) => about.len(),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io("read", &path)(e)),
        };
        if length > MAX_BYTES {
            return Err(Error::malformed(
                path,
                format!("{length} bytes are too many"),
            ));
        }
        let bytes = std::fs::read(&path).map_err(Error::io("read", &path))?;
        let mut trained = BTreeSet::new();
        for row in csv::Reader::from_reader(&bytes[..]).deserialize() {
            let row: Row = row.map_err(|e| Error::malformed(&path, e.to_string()))?;
            if row.split == Side::Train {
                trained.insert(row.sha256);
            }
        }
        Ok(Some(Self(trained)))
    }

    /// What either was trained on.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// Whether each sample was trained on.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub fn holds(&self, samples: &[&Sample], observer: &dyn Observer) -> Result<Vec<bool>> {
        if self.0.is_empty() {
            return Ok(vec![false; samples.len()]);
        }
        let digests = digest::of_samples(samples, observer)?;
        Ok(digests.iter().map(|d| self.0.contains(&hex(d))).collect())
    }
}
