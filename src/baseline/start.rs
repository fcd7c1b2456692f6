//! Which network a run trains, and the weights that it starts from.

use super::network::Architecture;
use super::options::BaselineOptions;
use super::view::View;
use crate::error::{Error, Result};
use crate::nn::parameters::Parameters;
use crate::nn::resnet::{Depth, ResNetConfig, widen_stem};
use crate::nn::weights::{Weight, WeightFile};
use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Which kind of network is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A ResNet of this depth.
    ResNet(Depth),
    /// The plain CNN of the options.
    Cnn,
}

impl Kind {
    /// `resnet18` ... `resnet152`, or `cnn`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ResNet(depth) => depth.name(),
            Self::Cnn => "cnn",
        }
    }
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

/// Puts starting weights into a network under a new head. The stem is widened to
/// the picture's lights; a map beside them gets the mean of their kernels.
pub(super) fn load(
    parameters: &Parameters,
    file: &WeightFile,
    view: &View,
    device: &Device,
) -> Result<()> {
    let lights = view.lights();
    let mut tensors = HashMap::new();
    for (name, weight) in &file.weights {
        if name.starts_with("fc.") {
            continue;
        }
        let mut weight = std::borrow::Cow::Borrowed(weight);
        if name == "conv1.weight" && weight.shape.get(1) != Some(&lights) {
            weight = std::borrow::Cow::Owned(widen_stem(&weight, lights)?);
        }
        if name == "conv1.weight" && view.map {
            weight = std::borrow::Cow::Owned(with_mean_kernel(&weight));
        }
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

/// A stem `[filters, channels, k, k]` with one more channel, whose kernel is the
/// mean of a filter's others.
fn with_mean_kernel(stem: &Weight) -> Weight {
    let mut shape = stem.shape.clone();
    let (filters, channels) = (shape[0], shape[1]);
    let of_filter = stem.values.len() / filters;
    let area = of_filter / channels;
    let mut values = Vec::with_capacity(stem.values.len() + filters * area);
    for kernels in stem.values.chunks_exact(of_filter) {
        values.extend(kernels);
        let sum = |i: usize| kernels.iter().skip(i).step_by(area).sum::<f32>();
        values.extend((0..area).map(|i| sum(i) / channels as f32));
    }
    shape[1] += 1;
    Weight { shape, values }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_s_kernel_is_the_mean_of_the_lights_kernels() {
        let stem = Weight {
            shape: vec![2, 2, 1, 2],
            values: vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 9.0, 8.0],
        };
        let wider = with_mean_kernel(&stem);
        assert_eq!(wider.shape, [2, 3, 1, 2]);
        let expected = [1.0, 2.0, 3.0, 4.0, 2.0, 3.0, 5.0, 6.0, 9.0, 8.0, 7.0, 7.0];
        assert_eq!(wider.values, expected);
    }
}
