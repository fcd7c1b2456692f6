//! What a sample's files hold, as a digest: another one for a changed file, the
//! same for a touched, renamed or moved one.

use crate::data::sample::{PixelSource, Sample};
use crate::error::{Error, Result};
use crate::progress::Observer;
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The SHA-256 of each sample's files, one after another, in the order of the
/// samples. A file that cannot be read has the digest of its error.
///
/// # Errors
/// [`Error::Stopped`].
pub fn of_samples(samples: &[&Sample], observer: &dyn Observer) -> Result<Vec<[u8; 32]>> {
    observer.begin("reading the files", samples.len() as u64);
    let digests = samples
        .par_iter()
        .map(|sample| {
            if observer.stop_requested() {
                return Err(Error::Stopped);
            }
            observer.advance(1);
            Ok(of_sample(sample))
        })
        .collect();
    observer.end();
    digests
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
