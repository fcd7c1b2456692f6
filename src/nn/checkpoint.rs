//! All that an interrupted training needs to go on, as one safetensors file:
//! tensors in named parts, and how far it was as JSON in the header.

use crate::error::{Error, Result};
use crate::files;
use candle_core::{Device, Tensor};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::PathBuf;

/// Where a training keeps what it needs to go on after a stop.
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
#[derive(Serialize, Deserialize)]
struct Header<P> {
    fingerprint: String,
    progress: P,
}

/// The key of [`Header`] in the file's own. It is the only one: several would be
/// written in no fixed order.
const KEY: &str = "goma";

/// A checkpoint as read.
#[derive(Debug)]
pub struct Saved<P> {
    /// How far the training was.
    pub progress: P,
    parts: HashMap<String, HashMap<String, Tensor>>,
}

impl<P> Saved<P> {
    /// Takes out the tensors of one part, by name; none if there is no such part.
    pub fn take(&mut self, part: &str) -> HashMap<String, Tensor> {
        self.parts.remove(part).unwrap_or_default()
    }
}

impl Checkpoint {
    /// Writes the file whole or not at all; the same state gives the same bytes.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be written.
    pub fn write<P: Serialize>(
        &self,
        progress: &P,
        parts: impl IntoIterator<Item = (&'static str, Vec<(String, Tensor)>)>,
    ) -> Result<()> {
        let failed = |e: String| Error::data(format!("cannot write the checkpoint: {e}"));
        let mut tensors = Vec::new();
        for (part, named) in parts {
            for (name, tensor) in named {
                tensors.push((format!("{part}/{name}"), tensor.to_device(&Device::Cpu)?));
            }
        }
        let header = Header {
            fingerprint: self.fingerprint.clone(),
            progress,
        };
        let text = serde_json::to_string(&header).map_err(|e| failed(e.to_string()))?;
        let metadata = HashMap::from([(KEY.to_string(), text)]);
        let bytes =
            safetensors::serialize(tensors, Some(metadata)).map_err(|e| failed(e.to_string()))?;
        files::write_atomic(&self.path, &bytes)
    }

    /// Reads it; `None` if it is not to be taken up, or not there.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Malformed`] if it is no checkpoint, or another run's.
    pub fn read<P: DeserializeOwned>(&self, device: &Device) -> Result<Option<Saved<P>>> {
        let path = &self.path;
        if !self.resume || !path.exists() {
            return Ok(None);
        }
        let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
        let wrong = |e: String| Error::malformed(path, format!("not a checkpoint: {e}"));
        let (_, metadata) =
            safetensors::SafeTensors::read_metadata(&bytes).map_err(|e| wrong(e.to_string()))?;
        let text = metadata.metadata().as_ref().and_then(|m| m.get(KEY));
        let header: Header<P> = text
            .and_then(|text| serde_json::from_str(text).ok())
            .ok_or_else(|| wrong("it is none of this version".to_string()))?;
        if header.fingerprint != self.fingerprint {
            return Err(Error::malformed(
                path,
                "the checkpoint is of a run with other data, settings or seed",
            )
            .help("resume with what that run was started with, or start anew with --force"));
        }
        let mut parts: HashMap<String, HashMap<String, Tensor>> = HashMap::new();
        for (name, tensor) in candle_core::safetensors::load_buffer(&bytes, device)? {
            if let Some((part, rest)) = name.split_once('/') {
                let part = parts.entry(part.to_owned()).or_default();
                part.insert(rest.to_owned(), tensor);
            }
        }
        Ok(Some(Saved {
            progress: header.progress,
            parts,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(folder: &std::path::Path, fingerprint: &str) -> Checkpoint {
        Checkpoint {
            path: folder.join("checkpoint"),
            resume: true,
            fingerprint: fingerprint.to_string(),
        }
    }

    #[test]
    fn what_was_written_is_read_part_by_part() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = checkpoint(folder.path(), "a");
        let nothing = checkpoint.read::<Vec<u32>>(&Device::Cpu).unwrap();
        assert!(nothing.is_none());
        let named = |values: &[f32]| {
            let tensor = Tensor::new(values, &Device::Cpu).unwrap();
            vec![("layer.weight".to_string(), tensor)]
        };
        let parts = [("network", named(&[1.0, 2.0])), ("best", named(&[3.0]))];
        checkpoint.write(&vec![7, 8], parts).unwrap();
        let mut saved = checkpoint
            .read::<Vec<u32>>(&Device::Cpu)
            .unwrap()
            .expect("it is there");
        assert_eq!(saved.progress, [7, 8]);
        let best = saved.take("best")["layer.weight"].to_vec1::<f32>().unwrap();
        assert_eq!(best, [3.0]);
        assert_eq!(saved.take("network").len(), 1);
        assert!(saved.take("optimiser").is_empty());
        let ignored = Checkpoint {
            resume: false,
            ..checkpoint
        };
        assert!(ignored.read::<Vec<u32>>(&Device::Cpu).unwrap().is_none());
    }

    #[test]
    fn another_runs_and_a_broken_file_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        checkpoint(folder.path(), "a").write(&1, []).unwrap();
        let other = checkpoint(folder.path(), "b");
        let error = other.read::<u32>(&Device::Cpu).unwrap_err().to_string();
        assert!(error.contains("other data"), "{error}");
        for bytes in [&b""[..], b"no checkpoint at all", &[0xff; 64]] {
            std::fs::write(&other.path, bytes).unwrap();
            let error = other.read::<u32>(&Device::Cpu).unwrap_err().to_string();
            assert!(error.contains("not a checkpoint"), "{error}");
        }
    }
}
