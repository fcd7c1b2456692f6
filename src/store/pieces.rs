//! `pieces.csv`: which pieces a bundle was trained on, and which were held out.
//!
//! Columns `id,split,sha256`; `split` is `train` (also of pieces that the choice of
//! weights rests on), `fit` of pieces that the networks have not seen, but
//! classifier and thresholds rest on, or `test`; `sha256` is what the
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
use std::collections::{BTreeMap, BTreeSet};
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
    Fit,
    Test,
}

/// The pieces of a training, as they go into the bundle.
#[derive(Debug)]
pub struct Pieces(Vec<Row>);

impl Pieces {
    /// Reads the files of every piece of a fold once. All that are not held out
    /// count as trained on, see [`Pieces::networks_saw`].
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
        let rows = csv::Reader::from_reader(&bytes[..])
            .deserialize()
            .map(|row| row.map_err(|e| Error::malformed(&path, e.to_string())))
            .collect::<Result<_>>()?;
        Ok(Some(Self(rows)))
    }

    /// Notes that of the pieces trained on the networks saw these alone; all else
    /// rests on the others, too.
    pub fn networks_saw(&mut self, samples: &[&Sample]) {
        let seen: BTreeSet<&str> = samples.iter().map(|s| s.id.as_str()).collect();
        for row in &mut self.0 {
            if row.split == Side::Train && !seen.contains(row.id.as_str()) {
                row.split = Side::Fit;
            }
        }
    }

    /// Adds what the networks of an earlier training, which this one begins from,
    /// saw: those of this one have seen it, too.
    pub fn add_seen_by(&mut self, earlier: &Self) {
        let mut seen: BTreeMap<&str, &Row> = earlier
            .0
            .iter()
            .filter(|row| row.split == Side::Train)
            .map(|row| (row.sha256.as_str(), row))
            .collect();
        for row in &mut self.0 {
            if seen.remove(row.sha256.as_str()).is_some() {
                row.split = Side::Train;
            }
        }
        let mut more: Vec<&Row> = seen.into_values().collect();
        more.sort_by(|a, b| a.id.cmp(&b.id));
        self.0.extend(more.into_iter().cloned());
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
    /// What the networks have seen.
    #[must_use]
    pub fn by_networks(pieces: &Pieces) -> Self {
        Self::of(pieces, |split| split == Side::Train)
    }

    fn of(pieces: &Pieces, counts: impl Fn(Side) -> bool) -> Self {
        let trained = pieces.0.iter().filter(|row| counts(row.split));
        Self(trained.map(|row| row.sha256.clone()).collect())
    }

    /// What the bundle of a folder was trained on; as [`Pieces::read`].
    ///
    /// # Errors
    /// As [`Pieces::read`].
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let pieces = Pieces::read(folder)?;
        Ok(pieces.map(|pieces| Self::of(&pieces, |split| split != Side::Test)))
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
