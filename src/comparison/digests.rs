//! What the pieces' files hold, as digests: a changed file changes every key
//! it goes into, a touched or moved one none.

use super::cache::KeyBuilder;
use crate::data::dataset::Dataset;
use crate::data::digest;
use crate::error::{Error, Result};
use crate::progress::Observer;
use rayon::prelude::*;

/// The SHA-256 of each sample's files, in the order of the data set.
#[derive(Debug, Clone)]
pub struct Digests(Vec<[u8; 32]>);

impl Digests {
    /// Reads every labelled sample's files once; the others' are not needed.
    ///
    /// # Errors
    /// [`Error::Stopped`]. A file that cannot be read has the digest of its
    /// error: the stages will name it.
    pub fn read(dataset: &Dataset, observer: &dyn Observer) -> Result<Self> {
        observer.begin("reading the files", dataset.samples.len() as u64);
        let digests = dataset
            .samples
            .par_iter()
            .map(|sample| {
                if observer.stop_requested() {
                    return Err(Error::Stopped);
                }
                observer.advance(1);
                Ok(match sample.label() {
                    Some(_) => digest::of_sample(sample),
                    None => [0; 32],
                })
            })
            .collect::<Result<Vec<_>>>();
        observer.end();
        Ok(Self(digests?))
    }

    /// Adds samples, by their place in the data set, to a key: which they are,
    /// what their files hold, and in which order.
    #[must_use]
    pub fn add(
        &self,
        mut key: KeyBuilder,
        name: &str,
        dataset: &Dataset,
        indices: &[usize],
    ) -> KeyBuilder {
        key = key.with(name, (indices.len() as u64).to_le_bytes());
        for &i in indices {
            key = key.with(dataset.samples[i].id.as_str(), self.0[i]);
        }
        key
    }
}
