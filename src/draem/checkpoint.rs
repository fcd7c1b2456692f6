//! Everything an interrupted training needs to go on, as one safetensors file:
//! weights, optimiser, average, best weights, history. Random choices need no
//! state: each is drawn from the seed and the number of the step.

use super::train::History;
use crate::error::{Error, Result};
use crate::files;
use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Where training keeps what it needs to go on after a stop.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// The file.
    pub path: PathBuf,
    /// Whether to take it up if it is there.
    pub resume: bool,
    /// What must agree between the run that wrote it and the one that reads it.
    pub fingerprint: String,
}

/// What is not a tensor.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Progress {
    pub fingerprint: String,
    /// Updates of the average.
    pub averaged: u64,
    pub history: History,
}

/// The key under which [`Progress`] stands in the file's header. It is the only
/// one: several would be written in no fixed order.
const KEY: &str = "goma";

/// Writes the file whole or not at all; the same state gives the same bytes.
pub(super) fn write(
    path: &Path,
    progress: &Progress,
    parts: Vec<(&str, Vec<(String, Tensor)>)>,
) -> Result<()> {
    let tensors = parts.into_iter().flat_map(|(part, tensors)| {
        let named = move |(name, t)| (format!("{part}.{name}"), t);
        tensors.into_iter().map(named)
    });
    let text = serde_json::to_string(progress)
        .map_err(|e| Error::data(format!("cannot write the checkpoint: {e}")))?;
    let header = HashMap::from([(KEY.to_string(), text)]);
    let bytes = safetensors::serialize(tensors, Some(header))
        .map_err(|e| Error::data(format!("cannot write the checkpoint: {e}")))?;
    files::write_atomic(path, &bytes)
}

/// A checkpoint as read.
pub(super) struct Read {
    tensors: HashMap<String, Tensor>,
    pub progress: Progress,
}

impl Read {
    /// The tensors of one part, without its name.
    pub fn part(&self, part: &str) -> HashMap<String, Tensor> {
        let named = |(name, t): (&String, &Tensor)| {
            let name = name.strip_prefix(part)?.strip_prefix('.')?;
            Some((name.to_string(), t.clone()))
        };
        self.tensors.iter().filter_map(named).collect()
    }
}

/// Reads a checkpoint of the same run.
///
/// # Errors
/// [`Error::Malformed`] if it is none, or another run's.
pub(super) fn read(checkpoint: &Checkpoint, device: &Device) -> Result<Read> {
    let path = &checkpoint.path;
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    let wrong = |e: safetensors::SafeTensorError| Error::malformed(path, e.to_string());
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).map_err(wrong)?;
    let text = header.metadata().as_ref().and_then(|m| m.get(KEY));
    let progress: Progress = text
        .and_then(|text| serde_json::from_str(text).ok())
        .ok_or_else(|| Error::malformed(path, "it is no checkpoint of this version"))?;
    if progress.fingerprint != checkpoint.fingerprint {
        return Err(Error::malformed(
            path,
            "the checkpoint is of a run with other data, settings or seed",
        )
        .help("resume with what that run was started with, or start anew with --force"));
    }
    Ok(Read {
        tensors: candle_core::safetensors::load_buffer(&bytes, device)?,
        progress,
    })
}
