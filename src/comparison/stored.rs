//! Products as safetensors: numbers as tensors, everything else as JSON in the
//! file's metadata. What is read back is checked before it is used.

use super::cache::Product;
use crate::data::feature_table::FeatureTable;
use crate::data::sample::SampleId;
use crate::error::{Error, Result};
use crate::pipeline::rows::Unreadable;
use candle_core::{DType, Device, Tensor};
use ndarray::Array2;
use safetensors::SafeTensors;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// The key of our JSON within the file's metadata.
const KEY: &str = "goma_comparison";

/// A trained anomaly model's weights.
pub struct Weights(pub Vec<u8>);

impl Weights {
    /// The tensors by name.
    ///
    /// # Errors
    /// [`Error::Tensor`] if these are no weights.
    pub fn tensors(&self, device: &Device) -> Result<HashMap<String, Tensor>> {
        Ok(candle_core::safetensors::load_buffer(&self.0, device)?)
    }
}

impl Product for Weights {
    const KIND: &'static str = "models";

    fn to_bytes(&self) -> Result<Vec<u8>> {
        Ok(self.0.clone())
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self> {
        SafeTensors::deserialize(bytes).map_err(|e| Error::data(e.to_string()))?;
        Ok(Self(bytes.to_vec()))
    }
}

/// Anomaly maps of the readable pieces of a chunk.
#[derive(Debug, Clone, PartialEq)]
pub struct Maps {
    /// The pieces.
    pub ids: Vec<SampleId>,
    /// Their maps, `[height, width]` each, all of one size.
    pub maps: Vec<Array2<f32>>,
    /// Pieces that could not be read.
    pub unreadable: Vec<Unreadable>,
}

/// Features of the readable pieces of a chunk.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    /// A row for each piece.
    pub table: FeatureTable,
    /// Each map's image score; zeros for features of the image alone.
    pub scores: Vec<f64>,
    /// Pieces that could not be read.
    pub unreadable: Vec<Unreadable>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    ids: Vec<SampleId>,
    columns: Vec<String>,
    unreadable: Vec<(SampleId, String)>,
}

impl Header {
    fn new(ids: &[SampleId], columns: &[String], unreadable: &[Unreadable]) -> Self {
        Self {
            ids: ids.to_vec(),
            columns: columns.to_vec(),
            unreadable: unreadable
                .iter()
                .map(|u| (u.id.clone(), u.reason.clone()))
                .collect(),
        }
    }

    fn unreadable(&self) -> Vec<Unreadable> {
        let of = |(id, reason): &(SampleId, String)| Unreadable {
            id: id.clone(),
            reason: reason.clone(),
        };
        self.unreadable.iter().map(of).collect()
    }
}

impl Product for Maps {
    const KIND: &'static str = "maps";

    fn to_bytes(&self) -> Result<Vec<u8>> {
        let (h, w) = self.maps.first().map_or((1, 1), Array2::dim);
        let values: Vec<f32> = self.maps.iter().flatten().copied().collect();
        let maps = Tensor::from_vec(values, (self.maps.len(), h, w), &Device::Cpu)?;
        let header = Header::new(&self.ids, &[], &self.unreadable);
        pack(&header, vec![("maps".into(), maps)])
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let (header, tensors): (Header, _) = unpack(bytes)?;
        let maps = tensor(&tensors, "maps", DType::F32)?;
        let &[n, h, w] = maps.dims() else {
            return Err(Error::shape("maps", maps.dims(), "[n, height, width]"));
        };
        if n != header.ids.len() || h == 0 || w == 0 {
            return Err(Error::shape("maps", (n, h, w), header.ids.len()));
        }
        let values: Vec<f32> = maps.flatten_all()?.to_vec1()?;
        let maps = values
            .chunks_exact(h * w)
            .map(|map| Array2::from_shape_vec((h, w), map.to_vec()).expect("of this size"))
            .collect();
        Ok(Self {
            ids: header.ids.clone(),
            maps,
            unreadable: header.unreadable(),
        })
    }
}

impl Product for Features {
    const KIND: &'static str = "features";

    fn to_bytes(&self) -> Result<Vec<u8>> {
        let values: Vec<f64> = self.table.values().iter().copied().collect();
        let values = Tensor::from_vec(values, self.table.values().dim(), &Device::Cpu)?;
        let scores = Tensor::from_slice(&self.scores, self.scores.len(), &Device::Cpu)?;
        let header = Header::new(self.table.ids(), self.table.columns(), &self.unreadable);
        pack(
            &header,
            vec![("values".into(), values), ("scores".into(), scores)],
        )
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let (header, tensors): (Header, _) = unpack(bytes)?;
        let shape = (header.ids.len(), header.columns.len());
        let values = tensor(&tensors, "values", DType::F64)?;
        let scores = tensor(&tensors, "scores", DType::F64)?;
        if values.dims() != [shape.0, shape.1] || scores.dims() != [shape.0] {
            return Err(Error::shape("features", values.dims(), shape));
        }
        let values = Array2::from_shape_vec(shape, values.flatten_all()?.to_vec1()?)
            .expect("the shape was checked");
        let scores: Vec<f64> = scores.to_vec1()?;
        if let Some(row) = scores.iter().position(|s| !s.is_finite()) {
            let what = "anomaly scores".into();
            return Err(Error::NotFinite { what, row });
        }
        Ok(Self {
            unreadable: header.unreadable(),
            table: FeatureTable::new(header.ids, header.columns, values)?,
            scores,
        })
    }
}

fn pack(header: &impl Serialize, tensors: Vec<(String, Tensor)>) -> Result<Vec<u8>> {
    let json = serde_json::to_string(header).map_err(|e| Error::data(e.to_string()))?;
    let metadata = HashMap::from([(KEY.to_string(), json)]);
    safetensors::serialize(tensors, Some(metadata)).map_err(|e| Error::data(e.to_string()))
}

fn unpack<H: DeserializeOwned>(bytes: &[u8]) -> Result<(H, HashMap<String, Tensor>)> {
    let (_, metadata) =
        SafeTensors::read_metadata(bytes).map_err(|e| Error::data(e.to_string()))?;
    let json = metadata.metadata().as_ref().and_then(|m| m.get(KEY));
    let json = json.ok_or_else(|| Error::data(format!("there is no {KEY} entry")))?;
    let header = serde_json::from_str(json).map_err(|e| Error::data(e.to_string()))?;
    let tensors = candle_core::safetensors::load_buffer(bytes, &Device::Cpu)?;
    Ok((header, tensors))
}

fn tensor<'a>(
    tensors: &'a HashMap<String, Tensor>,
    name: &str,
    dtype: DType,
) -> Result<&'a Tensor> {
    let found = tensors.get(name);
    let found = found.ok_or_else(|| Error::data(format!("there is no tensor {name}")))?;
    if found.dtype() != dtype {
        return Err(Error::shape(format!("tensor {name}"), found.dtype(), dtype));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    fn unreadable() -> Vec<Unreadable> {
        vec![Unreadable {
            id: SampleId::new("c"),
            reason: "truncated".into(),
        }]
    }

    #[test]
    fn maps_and_features_come_back_as_they_were() {
        let maps = Maps {
            ids: vec![SampleId::new("a"), SampleId::new("b")],
            maps: vec![array![[0.0, 1.0, 0.1]], array![[0.25, 1e-30, 0.3]]],
            unreadable: unreadable(),
        };
        assert_eq!(Maps::from_bytes(&maps.to_bytes().unwrap()).unwrap(), maps);
        let ids = vec![SampleId::new("a"), SampleId::new("b")];
        let columns = vec!["map.0".into(), "stat.max".into()];
        let features = Features {
            table: FeatureTable::new(ids, columns, array![[0.1, 1e300], [3.0, -0.0]]).unwrap(),
            scores: vec![0.1, 0.7],
            unreadable: unreadable(),
        };
        let bytes = features.to_bytes().unwrap();
        assert_eq!(Features::from_bytes(&bytes).unwrap(), features);
        assert!(Maps::from_bytes(&bytes).is_err());
        assert!(Features::from_bytes(&bytes[..bytes.len() - 1]).is_err());
    }

    #[test]
    fn a_chunk_without_a_readable_piece_comes_back_too() {
        let none = Maps {
            ids: Vec::new(),
            maps: Vec::new(),
            unreadable: unreadable(),
        };
        assert_eq!(Maps::from_bytes(&none.to_bytes().unwrap()).unwrap(), none);
    }
}
