//! Takes over checkpoints of the original PyTorch DRAEM: one state dictionary
//! for each network, as `torch.save(model.state_dict(), "....pckl")` leaves them.
//!
//! Widths and channels are read from the weights' shapes. Nothing is executed
//! (see [`nn::weights`](crate::nn::weights)); names are the original's, so that
//! the weights fit as they are.

use super::model::{Draem, DraemShape};
use crate::error::{Error, Result};
use crate::nn::weights::{Weight, WeightFile};
use candle_core::{Device, Tensor};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The first convolutions, by which the networks are told apart.
const RECONSTRUCTIVE: &str = "encoder.block1.0.weight";
const DISCRIMINATIVE: &str = "encoder_segment.block1.0.weight";
/// Counts that PyTorch keeps and nothing needs.
const COUNTER: &str = "num_batches_tracked";

/// One checkpoint as its file holds it.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// The file.
    pub path: PathBuf,
    /// What it holds.
    pub weights: WeightFile,
}

impl Checkpoint {
    /// Reads a `.pckl`, `.pth` or `.safetensors` file.
    ///
    /// # Errors
    /// As [`WeightFile::read`].
    pub fn read(path: &Path) -> Result<Self> {
        Ok(Self {
            path: path.into(),
            weights: WeightFile::read(path).map_err(|error| match error {
                Error::Malformed { .. } => error.help(
                    "a state dictionary is expected: .pckl or .pth of torch.save, or .safetensors",
                ),
                other => other,
            })?,
        })
    }

    /// File name and hash, for people.
    #[must_use]
    pub fn origin(&self) -> String {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        format!("{name} (SHA-256 {})", &self.weights.sha256[..16])
    }
}

/// An imported anomaly model.
#[derive(Debug)]
pub struct Imported {
    /// The model, at the size asked for.
    pub draem: Draem,
    /// Weights that neither network asks for, by name.
    pub unused: Vec<String>,
}

/// Puts both networks together, to work on squares of `size` pixels a side (the
/// original's: 256).
///
/// # Errors
/// [`Error::Malformed`] naming the file: if it is the other network's, or none
/// of DRAEM's; if a weight is missing, has another shape than the first
/// convolution's width asks for, or holds what is no number; if the two networks
/// are for different channels. [`Error::Setting`] for a size out of range.
pub fn draem(
    reconstructive: &Checkpoint,
    discriminative: &Checkpoint,
    size: usize,
    device: &Device,
) -> Result<Imported> {
    if !(1..=128).contains(&(size / 32)) || !size.is_multiple_of(32) {
        return Err(Error::setting(
            "size",
            format!("{size} given, a multiple of 32 up to 4096 expected"),
        ));
    }
    let first = first_convolution(reconstructive, RECONSTRUCTIVE, DISCRIMINATIVE)?;
    let (reconstructive_width, channels) = (first[0], first[1]);
    let first = first_convolution(discriminative, DISCRIMINATIVE, RECONSTRUCTIVE)?;
    let discriminative_width = first[0];
    if first[1] != 2 * channels {
        return Err(Error::malformed(
            &discriminative.path,
            format!(
                "its first convolution takes {} channels, {} expected: restored and original image \
                 of the {channels} {} that {} restores",
                first[1],
                2 * channels,
                if channels == 1 { "channel" } else { "channels" },
                reconstructive.path.display()
            ),
        )
        .help("take both networks of one training"));
    }
    let mut tensors = HashMap::new();
    for (checkpoint, network) in [
        (reconstructive, "reconstructive"),
        (discriminative, "discriminative"),
    ] {
        for (name, weight) in &checkpoint.weights.weights {
            if name.ends_with(COUNTER) {
                continue;
            }
            check_numbers(&checkpoint.path, name, weight)?;
            let tensor = Tensor::from_slice(&weight.values, weight.shape.as_slice(), device)?;
            tensors.insert(format!("{network}.{name}"), tensor);
        }
    }
    let shape = DraemShape {
        channels,
        size,
        reconstructive_width,
        discriminative_width,
    };
    let names: Vec<String> = tensors.keys().cloned().collect();
    let draem = Draem::new(shape, tensors, device).map_err(|error| match error {
        Error::Data { .. } | Error::Shape { .. } => {
            let text = error.to_string();
            let file = match text.contains("discriminative.") {
                true => discriminative,
                false => reconstructive,
            };
            let text = text
                .replace("reconstructive.", "")
                .replace("discriminative.", "");
            Error::malformed(&file.path, text)
                .help("the networks must be those of the original code, whatever their width")
        }
        other => other,
    })?;
    let known = draem.weight_names();
    let mut unused: Vec<String> = names.into_iter().filter(|n| !known.contains(n)).collect();
    unused.sort_unstable();
    Ok(Imported { draem, unused })
}

/// Filters, channels and kernel of the first convolution.
fn first_convolution<'a>(
    checkpoint: &'a Checkpoint,
    name: &str,
    other: &str,
) -> Result<&'a [usize]> {
    let weights = &checkpoint.weights.weights;
    let malformed = |reason: String| Error::malformed(&checkpoint.path, reason);
    let Some(weight) = weights.get(name) else {
        let (wanted, found) = match name == RECONSTRUCTIVE {
            true => ("reconstructive", "discriminative"),
            false => ("discriminative", "reconstructive"),
        };
        if weights.contains_key(other) {
            return Err(malformed(format!(
                "this is the {found} network, the {wanted} one expected"
            ))
            .help("exchange the files of --reconstructive and --discriminative"));
        }
        let example = weights.keys().next().map_or("", String::as_str);
        return Err(malformed(format!(
            "no weight {name} among its {} ({example} ...): not the state dictionary of DRAEM's \
             {wanted} network",
            weights.len()
        )));
    };
    match weight.shape[..] {
        [filters, channels, 3, 3] if filters > 0 && channels > 0 => Ok(&weight.shape),
        _ => Err(malformed(format!(
            "{name}: shape {:?}, [width, channels, 3, 3] expected",
            weight.shape
        ))),
    }
}

/// A network with one number that is none draws no map at all.
fn check_numbers(path: &Path, name: &str, weight: &Weight) -> Result<()> {
    let variance = name.ends_with("running_var");
    let wrong = |v: &f32| !v.is_finite() || (variance && *v < 0.0);
    match weight.values.iter().find(|v| wrong(v)) {
        None => Ok(()),
        Some(v) => Err(Error::malformed(
            path,
            format!("{name} holds {v}: the weights are damaged"),
        )),
    }
}

#[cfg(test)]
#[path = "import_tests.rs"]
mod tests;
