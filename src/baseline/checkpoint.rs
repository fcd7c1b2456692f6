//! All that an interrupted training needs to go on, in one safetensors file:
//! network, optimiser, the best network so far, and where it was.

use super::schedule::Schedule;
use super::train::EpochRow;
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
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Progress {
    /// Finished epochs.
    pub curve: Vec<EpochRow>,
    /// Loss and size of each batch of the epoch under way.
    pub losses: Vec<(f64, usize)>,
    pub schedule: Schedule,
}

/// Tensors by name.
pub(super) type Tensors = HashMap<String, Tensor>;

/// A checkpoint as read.
pub(super) struct Saved {
    pub progress: Progress,
    pub network: Tensors,
    pub optimiser: Tensors,
    pub best: Tensors,
}

impl Checkpoint {
    /// Writes it, whole or not at all.
    pub(super) fn write(
        &self,
        progress: &Progress,
        parts: [(&str, Vec<(String, Tensor)>); 3],
    ) -> Result<()> {
        let mut tensors = Vec::new();
        for (part, named) in parts {
            for (name, tensor) in named {
                tensors.push((format!("{part}/{name}"), tensor.to_device(&Device::Cpu)?));
            }
        }
        let progress = serde_json::to_string(progress)
            .map_err(|e| Error::data(format!("cannot write the checkpoint: {e}")))?;
        let metadata = HashMap::from([
            ("fingerprint".to_string(), self.fingerprint.clone()),
            ("progress".to_string(), progress),
        ]);
        let bytes = safetensors::serialize(tensors, Some(metadata))
            .map_err(|e| Error::data(format!("cannot write the checkpoint: {e}")))?;
        files::write_atomic(&self.path, &bytes)
    }

    /// Reads it; `None` if it is not to be resumed, or not there.
    pub(super) fn read(&self, device: &Device) -> Result<Option<Saved>> {
        if !self.resume || !self.path.exists() {
            return Ok(None);
        }
        read(&self.path, &self.fingerprint, device).map(Some)
    }
}

fn read(path: &Path, fingerprint: &str, device: &Device) -> Result<Saved> {
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    let odd = |reason: String| Error::malformed(path, format!("not a checkpoint: {reason}"));
    let (_, header) =
        safetensors::SafeTensors::read_metadata(&bytes).map_err(|e| odd(e.to_string()))?;
    let metadata = header.metadata().clone().unwrap_or_default();
    if metadata.get("fingerprint").map(String::as_str) != Some(fingerprint) {
        return Err(Error::malformed(
            path,
            "the checkpoint is of a run with other data, settings or seed",
        )
        .help("resume with what that run was started with, or start anew with --force"));
    }
    let text = metadata
        .get("progress")
        .ok_or_else(|| odd("it does not say how far it was".into()))?;
    let progress = serde_json::from_str(text).map_err(|e| odd(e.to_string()))?;
    let mut parts: HashMap<String, Tensors> = HashMap::new();
    for (name, tensor) in candle_core::safetensors::load_buffer(&bytes, device)? {
        if let Some((part, rest)) = name.split_once('/') {
            let part = parts.entry(part.to_owned()).or_default();
            part.insert(rest.to_owned(), tensor);
        }
    }
    let mut take = |part: &str| parts.remove(part).unwrap_or_default();
    Ok(Saved {
        progress,
        network: take("network"),
        optimiser: take("optimiser"),
        best: take("best"),
    })
}
