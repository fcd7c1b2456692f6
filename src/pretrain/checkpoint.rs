//! All that an interrupted pretraining needs to go on, in one safetensors
//! file: network, optimiser, moving average, step, options, the curve so far.

use super::train::{CurvePoint, PretrainOptions};
use crate::error::{Error, Result};
use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::Path;

/// The file's name in the output folder.
pub(super) const FILE: &str = "checkpoint.safetensors";

/// What is not a tensor.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Progress {
    /// Steps done.
    pub step: u64,
    pub options: PretrainOptions,
    pub curve: Vec<CurvePoint>,
}

/// The tensors of one kind, by name.
pub(super) type Tensors = HashMap<String, Tensor>;

/// A checkpoint as read.
pub(super) struct Checkpoint {
    pub progress: Progress,
    pub network: Tensors,
    pub optimiser: Tensors,
    pub average: Tensors,
}

/// Writes a checkpoint, whole or not at all.
pub(super) fn write(
    folder: &Path,
    progress: &Progress,
    parts: [(&str, &[(String, Tensor)]); 3],
) -> Result<()> {
    let mut tensors = Vec::new();
    for (part, named) in parts {
        for (name, tensor) in named {
            tensors.push((format!("{part}/{name}"), tensor.to_device(&Device::Cpu)?));
        }
    }
    let text = serde_json::to_string(progress).expect("numbers and text serialise");
    let header = HashMap::from([("goma".to_owned(), text)]);
    let bytes = safetensors::serialize(tensors, Some(header))
        .map_err(|e| Error::data(format!("cannot write the checkpoint: {e}")))?;
    crate::files::write_atomic(&folder.join(FILE), &bytes)
}

/// Reads the checkpoint of `folder`.
///
/// # Errors
/// [`Error::Io`], [`Error::Malformed`].
pub(super) fn read(folder: &Path, device: &Device) -> Result<Checkpoint> {
    let path = folder.join(FILE);
    let bytes = std::fs::read(&path).map_err(Error::io("read", &path))?;
    let odd = |reason: String| Error::malformed(&path, format!("not a checkpoint: {reason}"));
    let (_, header) =
        safetensors::SafeTensors::read_metadata(&bytes).map_err(|e| odd(e.to_string()))?;
    let text = header
        .metadata()
        .as_ref()
        .and_then(|m| m.get("goma"))
        .ok_or_else(|| odd("no goma entry in its header".into()))?;
    let progress = serde_json::from_str(text).map_err(|e| odd(e.to_string()))?;
    let mut parts: HashMap<String, Tensors> = HashMap::new();
    for (name, tensor) in candle_core::safetensors::load_buffer(&bytes, device)? {
        if let Some((part, rest)) = name.split_once('/') {
            let part = parts.entry(part.to_owned()).or_default();
            part.insert(rest.to_owned(), tensor);
        }
    }
    let mut take = |part: &str| parts.remove(part).unwrap_or_default();
    Ok(Checkpoint {
        progress,
        network: take("network"),
        optimiser: take("optimiser"),
        average: take("average"),
    })
}
