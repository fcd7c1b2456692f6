//! Which network a run trains, and the weights that it starts from.

use super::network::Architecture;
use super::options::BaselineOptions;
use crate::error::{Error, Result};
use crate::nn::parameters::Parameters;
use crate::nn::resnet::{Depth, ResNetConfig, widen_stem};
use crate::nn::weights::WeightFile;
use candle_core::{Device, Tensor};
use std::collections::HashMap;

/// Which kind of network is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A ResNet of this depth.
    ResNet(Depth),
    /// The plain CNN of the options.
    Cnn,
}

/// The architecture that is asked for, over `channels` channels.
///
/// # Errors
/// [`Error::Data`] if the starting weights belong to another network.
pub fn architecture(
    kind: Kind,
    options: &BaselineOptions,
    start: Option<&WeightFile>,
    channels: usize,
) -> Result<Architecture> {
    Ok(match (kind, start) {
        (Kind::Cnn, _) => Architecture::Cnn {
            options: options.cnn.clone(),
            channels,
            size: options.size,
        },
        (Kind::ResNet(depth), None) => Architecture::ResNet(ResNetConfig {
            depth,
            width: options.width,
            channels,
        }),
        (Kind::ResNet(depth), Some(file)) => {
            let found = ResNetConfig::of_weights(&file.weights)?;
            if found.depth != depth {
                return Err(Error::data(format!(
                    "the weights to start from are a {}'s, a {depth} is to be trained",
                    found.depth
                )));
            }
            Architecture::ResNet(ResNetConfig { channels, ..found })
        }
    })
}

/// Puts starting weights into a network under a new head.
pub(super) fn load(
    parameters: &Parameters,
    file: &WeightFile,
    channels: usize,
    device: &Device,
) -> Result<()> {
    let mut tensors = HashMap::new();
    for (name, weight) in &file.weights {
        if name.starts_with("fc.") {
            continue;
        }
        let widened;
        let weight = if name == "conv1.weight" && weight.shape.get(1) != Some(&channels) {
            widened = widen_stem(weight, channels)?;
            &widened
        } else {
            weight
        };
        let tensor = Tensor::from_slice(&weight.values, weight.shape.as_slice(), device)?;
        tensors.insert(name.clone(), tensor);
    }
    let left = parameters.load_matching(&tensors)?;
    match left.missing.iter().find(|name| !name.starts_with("fc.")) {
        None => Ok(()),
        Some(name) => Err(Error::data(format!(
            "the weights to start from lack {name}"
        ))),
    }
}
