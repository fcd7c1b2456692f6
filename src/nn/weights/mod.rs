//! Weight files: `.safetensors` and PyTorch's `.pth`, read without executing
//! anything and with every size checked before memory is taken; written as
//! safetensors.
//!
//! [`cache`] fetches pretrained weights from the Hugging Face hub.

pub mod cache;
mod pickle;
mod pth;
mod zip;

use crate::error::{Error, Result};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// Files above this are refused (a ResNet-152 has 0.24 GB).
const MAX_FILE: u64 = 2 << 30;
/// Numbers all weights of a file may have together.
const MAX_ELEMENTS: usize = 1 << 29;

fn too_many_elements(found: usize) -> String {
    format!("{found} numbers, at most {MAX_ELEMENTS} expected")
}

/// One named array of numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Weight {
    /// Its shape, outermost axis first.
    pub shape: Vec<usize>,
    /// Its numbers, the last axis fastest.
    pub values: Vec<f32>,
}

/// What a weight file holds.
#[derive(Debug, Clone, PartialEq)]
pub struct WeightFile {
    /// The arrays by name; a prefix `module.`, `model.` or `backbone.` that
    /// all names share is taken off.
    pub weights: BTreeMap<String, Weight>,
    /// The file's SHA-256, in hexadecimal.
    pub sha256: String,
    /// The text entries of a safetensors header.
    pub metadata: BTreeMap<String, String>,
}

impl WeightFile {
    /// Reads a file; its content, not its name, says which format it is.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Malformed`] if it is too large, cut off, or
    /// neither safetensors nor a checkpoint with a state dict.
    pub fn read(path: &Path) -> Result<Self> {
        let length = std::fs::metadata(path)
            .map_err(Error::io("read", path))?
            .len();
        if length > MAX_FILE {
            let reason = format!("{length} bytes, at most {MAX_FILE} expected of weights");
            return Err(Error::malformed(path, reason));
        }
        let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
        Self::from_bytes(&bytes).map_err(|reason| Error::malformed(path, reason))
    }

    /// As [`WeightFile::read`], from memory.
    ///
    /// # Errors
    /// What was found, in words.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        // A safetensors file begins with its header's length and a brace.
        let (weights, metadata) = if bytes.get(8) == Some(&b'{') {
            read_safetensors(bytes)?
        } else {
            (pth::read(bytes)?, BTreeMap::new())
        };
        if weights.is_empty() {
            return Err("no weights in it".into());
        }
        Ok(Self {
            weights: without_common_prefix(weights),
            sha256: hex(&Sha256::digest(bytes)),
            metadata,
        })
    }
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, b| {
        let _ = write!(text, "{b:02x}"); // writing to a String cannot fail
        text
    })
}

type Named = (BTreeMap<String, Weight>, BTreeMap<String, String>);

fn read_safetensors(bytes: &[u8]) -> Result<Named, String> {
    let odd = |e: safetensors::SafeTensorError| format!("safetensors: {e}");
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(odd)?;
    let mut metadata: BTreeMap<String, String> = BTreeMap::new();
    for (key, value) in header.metadata().iter().flatten() {
        // Ours is one entry that holds them all, see `to_safetensors`.
        match (key.as_str(), serde_json::from_str(value)) {
            ("goma", Ok::<BTreeMap<String, String>, _>(ours)) => metadata.extend(ours),
            _ => drop(metadata.insert(key.clone(), value.clone())),
        }
    }
    let file = SafeTensors::deserialize(bytes).map_err(odd)?;
    let count = file.iter().try_fold(0usize, |sum, (_, view)| {
        let count = view
            .shape()
            .iter()
            .try_fold(1usize, |n, &side| n.checked_mul(side))?;
        sum.checked_add(count)
    });
    let count = count.unwrap_or(usize::MAX);
    if count > MAX_ELEMENTS {
        return Err(too_many_elements(count));
    }
    let mut weights = BTreeMap::new();
    for (name, view) in file.iter() {
        let data = view.data();
        let values: Vec<f32> = match view.dtype() {
            Dtype::F32 => chunks(data, f32::from_le_bytes).collect(),
            Dtype::F64 => chunks(data, f64::from_le_bytes).map(|v| v as f32).collect(),
            Dtype::F16 => chunks(data, half::f16::from_le_bytes)
                .map(f32::from)
                .collect(),
            Dtype::BF16 => chunks(data, half::bf16::from_le_bytes)
                .map(f32::from)
                .collect(),
            Dtype::I64 => chunks(data, i64::from_le_bytes).map(|v| v as f32).collect(),
            Dtype::U8 => data.iter().map(|v| f32::from(*v)).collect(),
            other => return Err(format!("{name}: numbers of type {other:?} are not read")),
        };
        weights.insert(
            name.to_owned(),
            Weight {
                shape: view.shape().to_vec(),
                values,
            },
        );
    }
    Ok((weights, metadata))
}

fn chunks<const N: usize, T>(
    data: &[u8],
    read: fn([u8; N]) -> T,
) -> impl Iterator<Item = T> + use<'_, N, T> {
    data.chunks_exact(N)
        .map(move |b| read(b.try_into().expect("chunks of N bytes")))
}

/// Takes off what wrappers put before every name.
fn without_common_prefix(mut weights: BTreeMap<String, Weight>) -> BTreeMap<String, Weight> {
    for prefix in ["module.", "model.", "backbone."] {
        if weights.keys().all(|name| name.starts_with(prefix)) {
            weights = weights
                .into_iter()
                .map(|(name, w)| (name[prefix.len()..].to_owned(), w))
                .collect();
        }
    }
    weights
}

/// How numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// 32 bits, exact.
    F32,
    /// 16 bits, rounded to nearest; about three digits, up to 65,504.
    F16,
}

/// The bytes of a safetensors file.
///
/// # Errors
/// [`Error::NotFinite`] if a number is none, or too large for 16 bits.
pub fn to_safetensors(
    weights: &BTreeMap<String, Weight>,
    precision: Precision,
    metadata: &BTreeMap<String, String>,
) -> Result<Vec<u8>> {
    let mut stored: Vec<(&str, &[usize], Vec<u8>)> = Vec::new();
    for (name, weight) in weights {
        let limit = match precision {
            Precision::F32 => f32::MAX,
            Precision::F16 => 65504.0,
        };
        // The negation catches NaN as well.
        if let Some(row) = weight.values.iter().position(|v| !(v.abs() <= limit)) {
            return Err(Error::NotFinite {
                what: format!("weight {name}"),
                row,
            });
        }
        let bytes = match precision {
            Precision::F32 => weight.values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Precision::F16 => weight
                .values
                .iter()
                .flat_map(|v| half::f16::from_f32(*v).to_le_bytes())
                .collect(),
        };
        stored.push((name, &weight.shape, bytes));
    }
    let dtype = match precision {
        Precision::F32 => Dtype::F32,
        Precision::F16 => Dtype::F16,
    };
    let views = stored.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(dtype, shape.to_vec(), bytes).expect("lengths agree");
        (*name, view)
    });
    // One entry at most, so that the header's order is settled.
    let text = serde_json::to_string(metadata).expect("text serialises");
    let header = HashMap::from([("goma".to_owned(), text)]);
    safetensors::serialize(views, Some(header))
        .map_err(|e| Error::data(format!("cannot write weights: {e}")))
}

/// Writes a safetensors file, whole or not at all; see [`to_safetensors`].
///
/// # Errors
/// As [`to_safetensors`], and [`Error::Io`].
pub fn write_safetensors(
    path: &Path,
    weights: &BTreeMap<String, Weight>,
    precision: Precision,
    metadata: &BTreeMap<String, String>,
) -> Result<()> {
    crate::files::write_atomic(path, &to_safetensors(weights, precision, metadata)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, shape: &[usize], values: &[f32]) -> BTreeMap<String, Weight> {
        let weight = Weight {
            shape: shape.to_vec(),
            values: values.to_vec(),
        };
        BTreeMap::from([(name.to_owned(), weight)])
    }

    #[test]
    fn written_weights_come_back_with_their_notes() {
        let weights = one("module.a", &[2, 2], &[0.5, -1.0, 65504.0, 0.0]);
        let notes = BTreeMap::from([("made-by".to_owned(), "a test".to_owned())]);
        for precision in [Precision::F16, Precision::F32] {
            let bytes = to_safetensors(&weights, precision, &notes).unwrap();
            let file = WeightFile::from_bytes(&bytes).unwrap();
            assert_eq!(file.weights["a"], weights["module.a"]);
            assert_eq!(file.metadata, notes);
            assert_eq!(file.sha256, hex(&Sha256::digest(&bytes)));
        }
    }

    #[test]
    fn numbers_that_16_bits_cannot_hold_are_named() {
        for bad in [65520.0, f32::NAN, f32::INFINITY] {
            let weights = one("w", &[2], &[1.0, bad]);
            let error = to_safetensors(&weights, Precision::F16, &BTreeMap::new()).unwrap_err();
            assert!(matches!(error, Error::NotFinite { row: 1, .. }), "{error}");
        }
    }

    #[test]
    fn bytes_that_are_neither_format_are_refused() {
        for bytes in [&b""[..], b"PK", b"not weights at all", &[0; 64]] {
            assert!(WeightFile::from_bytes(bytes).is_err());
        }
        // A header that claims to be longer than the file.
        let mut bytes = u64::MAX.to_le_bytes().to_vec();
        bytes.extend(b"{}");
        assert!(WeightFile::from_bytes(&bytes).is_err());
    }
}
