//! `Backbone`: a pretrained ResNet that turns pictures into pooled features.

use crate::data::image::Image;
use crate::error::{Error, Result};
use crate::nn::engine::{Engine, Graph};
use crate::nn::layers::Mode;
use crate::nn::parameters::Parameters;
use crate::nn::resnet::{ResNet, ResNetConfig, widen_stem};
use crate::nn::weights::{Weight, WeightFile};
use candle_core::{Device, Tensor};
use ndarray::Array2;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// ImageNet's mean of each channel, pictures in `0..=1`.
pub const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
/// ImageNet's deviation of each channel.
pub const IMAGENET_DEVIATION: [f32; 3] = [0.229, 0.224, 0.225];

/// Pictures in one pass: bounds memory, changes no result.
const BATCH: usize = 8;

/// Which backbone made features, for bundles and reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackboneInfo {
    /// As `--backbone` names it.
    pub name: String,
    /// Its shape; `channels` are those of the weight file's stem.
    pub network: ResNetConfig,
    /// Number of pooled features.
    pub features: usize,
    /// SHA-256 of the weight file.
    pub sha256: String,
}

/// A pretrained ResNet without its classifier, ready for pictures of a fixed
/// number of channels.
#[derive(Debug, Clone)]
pub struct Backbone {
    network: ResNet,
    /// Works in place of `network` on the CPU.
    engine: Option<Arc<Engine>>,
    info: BackboneInfo,
    mean: Vec<f32>,
    deviation: Vec<f32>,
    device: Device,
}

impl Backbone {
    /// The ResNet that `weights` describe, for pictures of `channels` channels.
    ///
    /// Three channels are normalised with ImageNet's means and deviations,
    /// any other number each with the mean over the three of them (0.449 and
    /// 0.226); the stem is widened as [`widen_stem`] says.
    ///
    /// # Errors
    /// [`Error::Data`] that names missing, unexpected and misshapen weights.
    pub fn new(name: &str, weights: &WeightFile, channels: usize, device: &Device) -> Result<Self> {
        let stored = ResNetConfig::of_weights(&weights.weights)?;
        check(name, &stored, &weights.weights)?;
        let config = ResNetConfig { channels, ..stored };
        let mut tensors = HashMap::new();
        for (key, weight) in &weights.weights {
            if is_beside_the_backbone(key) {
                continue;
            }
            let widened;
            let weight = if key == "conv1.weight" && stored.channels != channels {
                widened = widen_stem(weight, channels)?;
                &widened
            } else {
                weight
            };
            let tensor = Tensor::from_slice(&weight.values, weight.shape.as_slice(), device)?;
            tensors.insert(key.clone(), tensor);
        }
        let parameters = Parameters::frozen(tensors, device);
        let network = ResNet::new(&parameters.root(), &config)?;
        let engine = match device {
            Device::Cpu => Some(Arc::new(Engine::new(network.graph()?))),
            _ => None,
        };
        let (mean, deviation) = normalisation(channels);
        Ok(Self {
            engine,
            info: BackboneInfo {
                name: name.to_owned(),
                network: stored,
                features: network.features(),
                sha256: weights.sha256.clone(),
            },
            network,
            mean,
            deviation,
            device: device.clone(),
        })
    }

    /// Which backbone this is.
    #[must_use]
    pub fn info(&self) -> &BackboneInfo {
        &self.info
    }

    /// The network as a graph from a normalised picture to its pooled features.
    ///
    /// # Errors
    /// As for [`ResNet::graph`].
    pub fn graph(&self) -> Result<Graph> {
        self.network.graph()
    }

    /// Mean and deviation by which each channel is normalised.
    #[must_use]
    pub fn normalisation(&self) -> (&[f32], &[f32]) {
        (&self.mean, &self.deviation)
    }

    /// Pooled features `[n, features]`; pictures of another size are resized
    /// to `size` x `size`. A picture gives the same numbers alone and among
    /// others.
    ///
    /// # Errors
    /// [`Error::Shape`] if a picture has other channels than the backbone.
    pub fn features(&self, images: &[Image], size: usize) -> Result<Array2<f64>> {
        let mut features = Vec::with_capacity(images.len() * self.info.features);
        for batch in images.chunks(BATCH) {
            let pictures: Vec<Vec<f32>> = batch
                .par_iter()
                .map(|image| self.normalised(image, size))
                .collect::<Result<_>>()?;
            let found = match &self.engine {
                Some(engine) => {
                    let pictures: Vec<&[f32]> = pictures.iter().map(Vec::as_slice).collect();
                    engine
                        .run(&pictures, size, size)?
                        .into_iter()
                        .flatten()
                        .flatten()
                        .collect()
                }
                None => self.with_network(&pictures, size)?,
            };
            features.extend(found.into_iter().map(f64::from));
        }
        Array2::from_shape_vec((images.len(), self.info.features), features)
            .map_err(|e| Error::data(e.to_string()))
    }

    /// A picture as the network sees it, `[channels, size, size]`.
    fn normalised(&self, image: &Image, size: usize) -> Result<Vec<f32>> {
        let channels = self.mean.len();
        if image.channels() != channels {
            return Err(Error::shape(
                "channels of a picture",
                image.channels(),
                channels,
            ));
        }
        let image = image.resize(size, size)?;
        let mut values = image.as_slice().to_vec();
        for (c, plane) in values.chunks_exact_mut(size * size).enumerate() {
            let (mean, deviation) = (self.mean[c], self.deviation[c]);
            for value in plane {
                *value = (*value - mean) / deviation;
            }
        }
        Ok(values)
    }

    /// Features by way of candle, where there is no engine.
    fn with_network(&self, pictures: &[Vec<f32>], size: usize) -> Result<Vec<f32>> {
        let shape = (pictures.len(), self.mean.len(), size, size);
        let x = Tensor::from_vec(pictures.concat(), shape, &self.device)?;
        let y = self.network.forward(&x, Mode::Eval)?; // [n, features]
        Ok(y.flatten_all()?.to_vec1()?)
    }

    /// Lays the network out for pictures of this size now, and not at the first.
    ///
    /// # Errors
    /// As for [`Engine::prepare`].
    pub fn prepare(&self, size: usize) -> Result<()> {
        let of = |engine: &Arc<Engine>| engine.prepare(size, size);
        self.engine.as_ref().map_or(Ok(()), of)
    }

    /// Multiplications with addition for one picture; `None` off the CPU.
    ///
    /// # Errors
    /// As for [`Engine::multiply_adds`].
    pub fn multiply_adds(&self, size: usize) -> Result<Option<u64>> {
        let of = |engine: &Arc<Engine>| engine.multiply_adds(size, size);
        self.engine.as_ref().map(of).transpose()
    }
}

/// Mean and deviation of each channel.
fn normalisation(channels: usize) -> (Vec<f32>, Vec<f32>) {
    if channels == 3 {
        return (IMAGENET_MEAN.to_vec(), IMAGENET_DEVIATION.to_vec());
    }
    let mean = |three: [f32; 3]| three.iter().sum::<f32>() / 3.0;
    (
        vec![mean(IMAGENET_MEAN); channels],
        vec![mean(IMAGENET_DEVIATION); channels],
    )
}

/// Classifier and counters, which checkpoints hold and features do not need.
fn is_beside_the_backbone(key: &str) -> bool {
    key.starts_with("fc.") || key.ends_with("num_batches_tracked")
}

/// Names what is missing, unexpected or of another shape.
fn check(name: &str, config: &ResNetConfig, found: &BTreeMap<String, Weight>) -> Result<()> {
    let expected: BTreeMap<String, Vec<usize>> = config.parameters().into_iter().collect();
    let mut faults = Vec::new();
    for (key, shape) in &expected {
        match found.get(key) {
            None => faults.push(format!("{key} is missing")),
            Some(weight) if weight.shape != *shape => {
                faults.push(format!("{key} has shape {:?}, not {shape:?}", weight.shape));
            }
            Some(weight) => {
                if let Some(row) = weight.values.iter().position(|v| !v.is_finite()) {
                    faults.push(format!("{key}: number {row} is not finite"));
                }
            }
        }
    }
    for key in found.keys() {
        if !expected.contains_key(key) && !is_beside_the_backbone(key) {
            faults.push(format!("{key} is unexpected"));
        }
    }
    if faults.is_empty() {
        return Ok(());
    }
    let (shown, rest) = faults.split_at(faults.len().min(8));
    let more = match rest.len() {
        0 => String::new(),
        n => format!("; and {n} more"),
    };
    Err(Error::data(format!(
        "the weights of {name} do not fit {}: {}{more}",
        config.depth,
        shown.join("; ")
    )))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::nn::resnet::Depth;
    use crate::random::Seed;
    use ndarray::Array3;
    use rand::Rng;

    /// A ResNet-18 of width 2 (16 features), drawn at random.
    pub fn tiny_weights() -> WeightFile {
        let config = ResNetConfig {
            depth: Depth::Resnet18,
            width: 2,
            channels: 3,
        };
        let parameters = Parameters::new(Seed::new(1), &Device::Cpu);
        ResNet::new(&parameters.root(), &config).unwrap();
        let weights = parameters
            .tensors()
            .into_iter()
            .map(|(name, tensor)| {
                let shape = tensor.dims().to_vec();
                let values = tensor.flatten_all().unwrap().to_vec1().unwrap();
                (name, Weight { shape, values })
            })
            .collect();
        WeightFile {
            weights,
            sha256: "0".repeat(64),
            metadata: BTreeMap::new(),
        }
    }

    fn noise(channels: usize, side: usize, index: u64) -> Image {
        let mut rng = Seed::new(2).derive("noise", index).rng();
        Image::new(Array3::from_shape_fn((channels, side, side), |_| {
            rng.random()
        }))
        .unwrap()
    }

    #[test]
    fn a_picture_gives_the_same_bytes_alone_and_among_others() {
        let backbone = Backbone::new("tiny", &tiny_weights(), 3, &Device::Cpu).unwrap();
        for size in [64, 97] {
            let images: Vec<Image> = (0..11).map(|i| noise(3, 64, i)).collect();
            let together = backbone.features(&images, size).unwrap();
            for (row, image) in together.outer_iter().zip(&images) {
                let alone = backbone
                    .features(std::slice::from_ref(image), size)
                    .unwrap();
                assert_eq!(row, alone.row(0), "size {size}");
            }
        }
    }

    #[test]
    fn a_grey_picture_and_its_three_fold_copy_are_seen_alike() {
        let grey = noise(1, 64, 0);
        let weights = tiny_weights();
        let one = Backbone::new("tiny", &weights, 1, &Device::Cpu).unwrap();
        let mut three = Backbone::new("tiny", &weights, 3, &Device::Cpu).unwrap();
        three.mean = vec![one.mean[0]; 3];
        three.deviation = vec![one.deviation[0]; 3];
        let copied = ndarray::concatenate![
            ndarray::Axis(0),
            grey.pixels().view(),
            grey.pixels().view(),
            grey.pixels().view()
        ];
        let a = one.features(&[grey], 64).unwrap();
        let b = three.features(&[Image::new(copied).unwrap()], 64).unwrap();
        for (a, b) in a.iter().zip(&b) {
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
    }

    #[test]
    fn the_error_names_every_weight_that_does_not_fit() {
        let mut weights = tiny_weights();
        weights.weights.remove("bn1.bias");
        let misplaced = weights.weights.remove("layer2.0.bn1.weight").unwrap();
        weights
            .weights
            .insert("layer2.0.bn9.weight".into(), misplaced);
        weights.weights.get_mut("layer4.1.bn2.bias").unwrap().shape = vec![3];
        let error = Backbone::new("tiny", &weights, 3, &Device::Cpu).unwrap_err();
        let text = error.to_string();
        for part in [
            "bn1.bias is missing",
            "layer2.0.bn1.weight is missing",
            "layer4.1.bn2.bias has shape [3], not [16]",
            "layer2.0.bn9.weight is unexpected",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }
}
