//! What the pieces' files hold, as digests: a changed file changes every key
//! it goes into, a touched or moved one none.

use super::cache::KeyBuilder;
use crate::data::dataset::Dataset;
use crate::data::digest;
use crate::error::Result;
use crate::progress::Observer;

/// The SHA-256 of each sample's files, in the order of the data set.
#[derive(Debug, Clone)]
pub struct Digests(Vec<[u8; 32]>);

impl Digests {
    /// Reads every labelled sample's files once; the others' are not needed.
    ///
    /// # Errors
    /// [`Error::Stopped`](crate::Error::Stopped). A file that cannot be read has the digest of its
    /// error: the stages will name it.
    pub fn read(dataset: &Dataset, observer: &dyn Observer) -> Result<Self> {
        let labelled = dataset.labelled();
        let samples: Vec<_> = labelled.iter().map(|&i| &dataset.samples[i]).collect();
        let mut digests = vec![[0; 32]; dataset.samples.len()];
        for (i, digest) in labelled.iter().zip(digest::of_samples(&samples, observer)?) {
            digests[*i] = digest;
        }
        Ok(Self(digests))
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
