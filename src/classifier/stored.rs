//! A classifier as the bytes of a safetensors file: numbers as tensors,
//! everything else as JSON in the file's metadata. What is read back was
//! possibly written by somebody else and is checked before it is used.

use super::forest::Forest;
use super::logistic::Logistic;
use super::mlp::Mlp;
use super::standardise::Standardiser;
use super::svm::Svm;
use super::{Classifier, ClassifierOptions, Learner, Method};
use crate::error::{Error, Result};
use candle_core::{DType, Device, Tensor, WithDType};
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// The key of our JSON within the file's metadata.
const KEY: &str = "goma_classifier";
/// Raised when files of old can no longer be read.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: u32,
    classes: Vec<String>,
    present: Vec<usize>,
    columns: Vec<String>,
    options: ClassifierOptions,
}

impl Classifier {
    /// The classifier as a safetensors file; the same bytes for the same
    /// classifier.
    ///
    /// # Errors
    /// [`Error::Data`] if the format refuses a tensor.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let header = Header {
            format: FORMAT,
            classes: self.classes.to_vec(),
            present: self.present.clone(),
            columns: self.columns.clone(),
            options: self.options,
        };
        let refuse =
            |e: &dyn std::fmt::Display| Error::data(format!("cannot write the classifier: {e}"));
        let json = serde_json::to_string(&header).map_err(|e| refuse(&e))?;
        let mut parts = Parts::default();
        parts.put(
            "standardise.mean",
            &[self.columns.len()],
            self.standardiser.mean.clone(),
        )?;
        parts.put(
            "standardise.factor",
            &[self.columns.len()],
            self.standardiser.factor.clone(),
        )?;
        match &self.learner {
            Learner::Mlp(m) => m.store(&mut parts)?,
            Learner::Svm(m) => m.store(&mut parts)?,
            Learner::Forest(m) => m.store(&mut parts)?,
            Learner::Logistic(m) => m.store(&mut parts)?,
        }
        let metadata = HashMap::from([(KEY.to_string(), json)]);
        safetensors::serialize(parts.0, Some(metadata)).map_err(|e| refuse(&e))
    }

    /// Reads [`Classifier::to_bytes`] back, exactly.
    ///
    /// # Errors
    /// [`Error::Data`] or [`Error::Shape`] saying what does not fit.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let (_, metadata) = SafeTensors::read_metadata(bytes)
            .map_err(|e| Error::data(format!("the classifier is no safetensors file: {e}")))?;
        let json = metadata
            .metadata()
            .as_ref()
            .and_then(|m| m.get(KEY))
            .ok_or_else(|| Error::data(format!("the classifier's file has no {KEY} entry")))?;
        let header: Header = serde_json::from_str(json)
            .map_err(|e| Error::data(format!("the classifier's {KEY} entry: {e}")))?;
        if header.format != FORMAT {
            return Err(Error::shape("classifier format", header.format, FORMAT));
        }
        let n_classes = header.present.len();
        let rising = header.present.windows(2).all(|w| w[0] < w[1]);
        if n_classes < 2 || !rising || header.present[n_classes - 1] >= header.classes.len() {
            return Err(Error::data("the classifier's classes do not fit together"));
        }
        let tensors = candle_core::safetensors::load_buffer(bytes, &Device::Cpu)?;
        let found = Found(tensors);
        let n_columns = header.columns.len();
        let standardiser = Standardiser {
            mean: found.finite("standardise.mean", &[n_columns])?,
            factor: found.finite("standardise.factor", &[n_columns])?,
        };
        let learner = match header.options.method {
            Method::Mlp(_) => Learner::Mlp(Mlp::load(&found, n_columns, n_classes)?),
            Method::Svm(_) => Learner::Svm(Svm::load(&found, n_columns, n_classes)?),
            Method::Forest(_) => Learner::Forest(Forest::load(&found, n_columns, n_classes)?),
            Method::Logistic(_) => Learner::Logistic(Logistic::load(&found, n_columns, n_classes)?),
        };
        Ok(Self {
            options: header.options,
            classes: header.classes.into(),
            present: header.present,
            columns: header.columns,
            standardiser,
            learner,
        })
    }
}

/// Tensors to be written.
#[derive(Default)]
pub(super) struct Parts(Vec<(String, Tensor)>);

impl Parts {
    pub(super) fn put<T: WithDType>(
        &mut self,
        name: &str,
        shape: &[usize],
        values: Vec<T>,
    ) -> Result<()> {
        let tensor = Tensor::from_vec(values, shape, &Device::Cpu)?;
        self.0.push((name.to_string(), tensor));
        Ok(())
    }
}

/// Tensors that were read.
pub(super) struct Found(HashMap<String, Tensor>);

impl Found {
    pub(super) fn shape(&self, name: &str) -> Result<&[usize]> {
        Ok(self.tensor(name)?.dims())
    }

    fn tensor(&self, name: &str) -> Result<&Tensor> {
        self.0
            .get(name)
            .ok_or_else(|| Error::data(format!("the classifier lacks tensor {name}")))
    }

    /// The values of a tensor of just this type and shape.
    pub(super) fn take<T: WithDType>(&self, name: &str, shape: &[usize]) -> Result<Vec<T>> {
        let tensor = self.tensor(name)?;
        if tensor.dims() != shape || tensor.dtype() != T::DTYPE {
            let found: (&[usize], DType) = (tensor.dims(), tensor.dtype());
            return Err(Error::shape(
                format!("classifier tensor {name}"),
                found,
                (shape, T::DTYPE),
            ));
        }
        Ok(tensor.flatten_all()?.to_vec1()?)
    }

    /// As [`Found::take`], every value a finite number.
    pub(super) fn finite<T: WithDType>(&self, name: &str, shape: &[usize]) -> Result<Vec<T>> {
        let values: Vec<T> = self.take(name, shape)?;
        match values.iter().position(|v| !v.to_f64().is_finite()) {
            None => Ok(values),
            Some(row) => Err(Error::NotFinite {
                what: format!("classifier tensor {name}"),
                row,
            }),
        }
    }
}
