//! The named weights of a network: drawn or loaded, listed in a fixed order
//! for the optimiser, kept as safetensors.
//!
//! Names mirror PyTorch's checkpoints (`layer1.0.conv1.weight`). candle's own
//! `VarMap` draws without a seed and lists in the order of a hash map, so
//! that no two runs are alike; hence this one.

use super::init::Init;
use crate::error::{Error, Result};
use crate::random::Seed;
use candle_core::{DType, Device, Shape, Tensor, Var};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// All parameters of one network, in the order in which it asked for them.
///
/// ```
/// use candle_core::Device;
/// use goma::nn::init::Init;
/// use goma::nn::parameters::Parameters;
/// use goma::random::Seed;
///
/// let parameters = Parameters::new(Seed::new(7), &Device::Cpu);
/// let scope = parameters.root().pp("encoder").pp("conv1");
/// let weight = scope.weight("weight", (8, 3, 3, 3), Init::normal(0.02))?;
/// assert_eq!(weight.dims(), [8, 3, 3, 3]);
/// assert_eq!(parameters.trainable()[0].0, "encoder.conv1.weight");
/// # Ok::<(), goma::Error>(())
/// ```
#[derive(Debug)]
pub struct Parameters {
    source: Source,
    device: Device,
    entries: Mutex<Vec<Entry>>,
}

/// Where the values come from.
#[derive(Debug)]
enum Source {
    /// Drawn; to be trained.
    Seed(Seed),
    /// Given; never changed.
    Frozen(HashMap<String, Tensor>),
}

#[derive(Debug, Clone)]
struct Entry {
    name: String,
    value: Value,
}

#[derive(Debug, Clone)]
enum Value {
    /// Changed by the optimiser.
    Trainable(Var),
    /// Changed by its layer, as running averages are.
    Buffer(Var),
    /// For inference: no operation on it is recorded for gradients.
    Frozen(Tensor),
}

impl Value {
    fn tensor(&self) -> Tensor {
        match self {
            Self::Trainable(var) | Self::Buffer(var) => var.as_detached_tensor(),
            Self::Frozen(tensor) => tensor.clone(),
        }
    }
}

/// What [`Parameters::load_matching`] left alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unmatched {
    /// Parameters that the given tensors lack, in order; they keep their values.
    pub missing: Vec<String>,
    /// Given tensors that no parameter asks for, sorted.
    pub unused: Vec<String>,
}

impl Parameters {
    /// Parameters to be drawn, each from the stream of its own name, and trained.
    #[must_use]
    pub fn new(seed: Seed, device: &Device) -> Self {
        Self {
            source: Source::Seed(seed),
            device: device.clone(),
            entries: Mutex::default(),
        }
    }

    /// Given parameters, for inference: no gradients are recorded for them,
    /// and asking for a name that is not there is an error.
    #[must_use]
    pub fn frozen(tensors: HashMap<String, Tensor>, device: &Device) -> Self {
        Self {
            source: Source::Frozen(tensors),
            device: device.clone(),
            entries: Mutex::default(),
        }
    }

    /// The device on which the parameters lie.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The scope of names without a prefix.
    #[must_use]
    pub fn root(&self) -> ParamScope<'_> {
        ParamScope {
            parameters: self,
            prefix: String::new(),
        }
    }

    /// What an optimiser changes, in order; empty if frozen.
    #[must_use]
    pub fn trainable(&self) -> Vec<(String, Var)> {
        self.entries()
            .into_iter()
            .filter_map(|entry| match entry.value {
                Value::Trainable(var) => Some((entry.name, var)),
                _ => None,
            })
            .collect()
    }

    /// Everything, buffers included, in order. The tensors share memory with
    /// the parameters: they change as training goes on.
    #[must_use]
    pub fn tensors(&self) -> Vec<(String, Tensor)> {
        self.entries()
            .into_iter()
            .map(|entry| (entry.name, entry.value.tensor()))
            .collect()
    }

    /// Everything as the bytes of a safetensors file, the same bytes for the
    /// same values.
    ///
    /// # Errors
    /// [`Error::Data`] if the format refuses a tensor.
    pub fn to_safetensors(&self) -> Result<Vec<u8>> {
        safetensors::serialize(self.tensors(), None)
            .map_err(|e| Error::data(format!("cannot write the weights as safetensors: {e}")))
    }

    /// Sets every parameter and buffer to the tensor of its name. Given
    /// tensors without a parameter are passed over (PyTorch adds
    /// `num_batches_tracked`).
    ///
    /// # Errors
    /// [`Error::Data`] naming the first that is missing; [`Error::Shape`].
    /// Nothing is changed then.
    pub fn load(&self, tensors: &HashMap<String, Tensor>) -> Result<()> {
        if let Some(name) = self.unmatched(tensors).missing.first() {
            return Err(missing(name));
        }
        self.load_matching(tensors).map(drop)
    }

    /// As [`Parameters::load`], but what is missing keeps its values: for a
    /// pretrained network under a new head.
    ///
    /// # Errors
    /// [`Error::Shape`] if a tensor has the right name and the wrong shape;
    /// nothing is changed then.
    pub fn load_matching(&self, tensors: &HashMap<String, Tensor>) -> Result<Unmatched> {
        let mut changes = Vec::new();
        for entry in self.entries() {
            if let (Some(tensor), Value::Trainable(var) | Value::Buffer(var)) =
                (tensors.get(&entry.name), entry.value)
            {
                changes.push((
                    fitting(&entry.name, tensor, var.shape(), &self.device)?,
                    var,
                ));
            }
        }
        for (tensor, var) in changes {
            var.set(&tensor)?;
        }
        Ok(self.unmatched(tensors))
    }

    fn unmatched(&self, tensors: &HashMap<String, Tensor>) -> Unmatched {
        let entries = self.entries();
        let missing = entries
            .iter()
            .filter(|entry| !tensors.contains_key(&entry.name))
            .map(|entry| entry.name.clone())
            .collect();
        let mut unused: Vec<String> = tensors
            .keys()
            .filter(|name| entries.iter().all(|entry| entry.name != **name))
            .cloned()
            .collect();
        unused.sort_unstable();
        Unmatched { missing, unused }
    }

    fn entries(&self) -> Vec<Entry> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.clone()
    }

    fn add(&self, name: String, value: Value) -> Result<()> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.iter().any(|entry| entry.name == name) {
            return Err(Error::data(format!("two parameters are called {name}")));
        }
        entries.push(Entry { name, value });
        Ok(())
    }
}

fn missing(name: &str) -> Error {
    Error::data(format!("the weights lack {name}"))
}

/// A given tensor as `f32` on the device, if its shape is the wanted one.
fn fitting(name: &str, tensor: &Tensor, shape: &Shape, device: &Device) -> Result<Tensor> {
    if tensor.shape() != shape {
        return Err(Error::shape(
            format!("weights {name}"),
            tensor.dims(),
            shape.dims(),
        ));
    }
    let tensor = tensor.to_dtype(DType::F32)?.to_device(device)?;
    Ok(tensor.contiguous()?.detach())
}

/// A place in the tree of names, at which layers ask for their parameters.
#[derive(Debug, Clone)]
pub struct ParamScope<'a> {
    parameters: &'a Parameters,
    prefix: String,
}

impl ParamScope<'_> {
    /// The scope below this one ("push prefix", as candle calls it).
    #[must_use]
    pub fn pp(&self, name: impl std::fmt::Display) -> Self {
        Self {
            parameters: self.parameters,
            prefix: self.full(&name.to_string()),
        }
    }

    /// The device on which parameters are made.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.parameters.device
    }

    /// A trained parameter. Optimisers change it in place, so that the
    /// returned tensor follows.
    ///
    /// # Errors
    /// [`Error::Data`] if the name is taken or (frozen) unknown;
    /// [`Error::Shape`] if the given tensor has another shape.
    pub fn weight(&self, name: &str, shape: impl Into<Shape>, init: Init) -> Result<Tensor> {
        let (name, shape, device) = (self.full(name), shape.into(), self.device());
        let (value, tensor) = match &self.parameters.source {
            Source::Seed(seed) => {
                let drawn = init.draw(shape, seed.derive(&name, 0), device)?;
                let var = Var::from_tensor(&drawn)?;
                let tensor = var.as_tensor().clone();
                (Value::Trainable(var), tensor)
            }
            Source::Frozen(tensors) => {
                let given = tensors.get(&name).ok_or_else(|| missing(&name))?;
                let tensor = fitting(&name, given, &shape, device)?;
                (Value::Frozen(tensor.clone()), tensor)
            }
        };
        self.parameters.add(name, value)?;
        Ok(tensor)
    }

    /// Values that are saved with the network but not trained, all `start` at
    /// first.
    ///
    /// # Errors
    /// As for [`ParamScope::weight`].
    pub fn buffer(&self, name: &str, shape: impl Into<Shape>, start: f32) -> Result<Var> {
        let (name, shape, device) = (self.full(name), shape.into(), self.device());
        let tensor = match &self.parameters.source {
            Source::Seed(_) => Tensor::full(start, shape, device)?,
            Source::Frozen(tensors) => {
                let given = tensors.get(&name).ok_or_else(|| missing(&name))?;
                fitting(&name, given, &shape, device)?
            }
        };
        let var = Var::from_tensor(&tensor)?;
        self.parameters.add(name, Value::Buffer(var.clone()))?;
        Ok(var)
    }

    fn full(&self, name: &str) -> String {
        if self.prefix.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.prefix)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(parameters: &Parameters) -> Result<(Tensor, Var)> {
        let scope = parameters.root().pp("block").pp(0);
        Ok((
            scope.weight("weight", (2, 3), Init::normal(1.0))?,
            scope.buffer("running_mean", 2, 0.5)?,
        ))
    }

    #[test]
    fn saved_parameters_come_back_into_a_network_drawn_from_another_seed() {
        let first = Parameters::new(Seed::new(1), &Device::Cpu);
        let (weight, mean) = network(&first).unwrap();
        mean.set(&Tensor::new(&[3_f32, 4.0], &Device::Cpu).unwrap())
            .unwrap();
        let bytes = first.to_safetensors().unwrap();
        let tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).unwrap();

        let second = Parameters::new(Seed::new(2), &Device::Cpu);
        let (other, other_mean) = network(&second).unwrap();
        let before: Vec<Vec<f32>> = other.to_vec2().unwrap();
        second.load(&tensors).unwrap();
        assert_ne!(before, other.to_vec2::<f32>().unwrap());
        assert_eq!(
            weight.to_vec2::<f32>().unwrap(),
            other.to_vec2::<f32>().unwrap()
        );
        assert_eq!(other_mean.to_vec1::<f32>().unwrap(), [3.0, 4.0]);

        let third = Parameters::frozen(tensors, &Device::Cpu);
        let (frozen, _) = network(&third).unwrap();
        assert!(!frozen.track_op() && third.trainable().is_empty());
        assert_eq!(third.to_safetensors().unwrap(), bytes);
    }

    #[test]
    fn a_missing_weight_is_named_and_changes_nothing() {
        let parameters = Parameters::new(Seed::new(1), &Device::Cpu);
        let (weight, _) = network(&parameters).unwrap();
        let before: Vec<Vec<f32>> = weight.to_vec2().unwrap();
        let zeros = Tensor::zeros((2, 3), DType::F32, &Device::Cpu).unwrap();
        let given = HashMap::from([("block.0.weight".to_owned(), zeros)]);
        let error = parameters.load(&given).unwrap_err();
        assert!(error.to_string().contains("block.0.running_mean"));
        assert_eq!(weight.to_vec2::<f32>().unwrap(), before);
        let left = parameters.load_matching(&given).unwrap();
        assert_eq!(left.missing, ["block.0.running_mean"]);
        assert_eq!(weight.to_vec2::<f32>().unwrap(), [[0.0; 3]; 2]);
    }
}
