//! What the pieces' files hold, as digests: a changed file changes every key
//! it goes into, a touched or moved one none.

use super::cache::KeyBuilder;
use crate::data::dataset::Dataset;
use crate::data::sample::{PixelSource, Sample};
use crate::error::{Error, Result};
use crate::progress::Observer;
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Read;
use std::path::Path;

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
                    Some(_) => of_sample(sample),
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

fn of_sample(sample: &Sample) -> [u8; 32] {
    let files = match &sample.source {
        PixelSource::File(path) => std::slice::from_ref(path),
        PixelSource::Channels(paths) => paths,
    };
    let mut hash = Sha256::new();
    for path in files {
        // How a file is read may depend on its ending.
        let ending = path.extension().unwrap_or_default().to_string_lossy();
        hash.update((ending.len() as u64).to_le_bytes());
        hash.update(ending.as_bytes());
        match of_file(path) {
            Ok(digest) => hash.update(digest),
            Err(error) => hash.update(error.to_string()),
        }
    }
    hash.finalize().into()
}

fn of_file(path: &Path) -> std::io::Result<[u8; 32]> {
    // A pipe would be waited for without end.
    if !std::fs::metadata(path)?.is_file() {
        return Err(std::io::Error::other("no regular file"));
    }
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut block = vec![0; 1 << 16];
    loop {
        match file.read(&mut block)? {
            0 => return Ok(hash.finalize().into()),
            n => hash.update(&block[..n]),
        }
    }
}
