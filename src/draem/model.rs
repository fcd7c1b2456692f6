//! `Draem`: the trained anomaly model, which draws the anomaly map.

use super::network::Networks;
use crate::data::anomaly_map::AnomalyMap;
use crate::data::image::Image;
use crate::error::{Error, Result};
use crate::nn::layers::Mode;
use crate::nn::parameters::Parameters;
use candle_core::{Device, Tensor};
use ndarray::Array2;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// What a trained anomaly model is, beside its weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DraemShape {
    /// Channels of the images.
    pub channels: usize,
    /// Side of the square the networks work on.
    pub size: usize,
    /// First width of the reconstructive network.
    pub reconstructive_width: usize,
    /// First width of the discriminative network.
    pub discriminative_width: usize,
}

/// The trained anomaly model.
#[derive(Debug)]
pub struct Draem {
    shape: DraemShape,
    networks: Networks,
    parameters: Parameters,
}

/// What the model sees in one image.
#[derive(Debug, Clone)]
pub struct Drawing {
    /// Probability of a defect for each pixel, at the model's size.
    pub map: AnomalyMap,
    /// The restored image at the model's size.
    pub restored: Image,
}

impl Draem {
    /// Takes trained weights, by the names of [`Networks::new`].
    ///
    /// # Errors
    /// [`Error::Data`] or [`Error::Shape`] naming the weight that is missing or
    /// does not fit; [`Error::Setting`] if the shape itself is out of range.
    pub fn new(
        shape: DraemShape,
        weights: HashMap<String, Tensor>,
        device: &Device,
    ) -> Result<Self> {
        let widths = 1..=1024;
        if shape.size == 0
            || !shape.size.is_multiple_of(32)
            || shape.size > 4096
            || !(1..=4096).contains(&shape.channels)
            || !widths.contains(&shape.reconstructive_width)
            || !widths.contains(&shape.discriminative_width)
        {
            return Err(Error::setting(
                "draem",
                format!("{shape:?} is out of range"),
            ));
        }
        let parameters = Parameters::frozen(weights, device);
        let networks = Networks::new(
            &parameters.root(),
            shape.channels,
            shape.reconstructive_width,
            shape.discriminative_width,
        )?;
        Ok(Self {
            shape,
            networks,
            parameters,
        })
    }

    /// Channels, size and widths.
    #[must_use]
    pub fn shape(&self) -> DraemShape {
        self.shape
    }

    /// The weights as a safetensors file.
    ///
    /// # Errors
    /// As for [`Parameters::to_safetensors`].
    pub fn to_safetensors(&self) -> Result<Vec<u8>> {
        self.parameters.to_safetensors()
    }

    /// Draws the maps of a batch; an image's map does not depend on the others.
    ///
    /// # Errors
    /// [`Error::Shape`] if an image has other channels.
    pub fn draw(&self, images: &[Image]) -> Result<Vec<Drawing>> {
        if images.is_empty() {
            return Ok(Vec::new());
        }
        let DraemShape { channels, size, .. } = self.shape;
        let mut pixels = Vec::with_capacity(images.len() * channels * size * size);
        for image in images {
            if image.channels() != channels {
                return Err(Error::shape("channels", image.channels(), channels));
            }
            pixels.extend_from_slice(image.resize(size, size)?.as_slice());
        }
        let device = self.parameters.device();
        let x = Tensor::from_vec(pixels, (images.len(), channels, size, size), device)?;
        let (restored, classes) = self.networks.forward(&x, Mode::Eval)?;
        let restored: Vec<f32> = restored.flatten_all()?.to_vec1()?;
        let defect: Vec<f32> = classes.narrow(1, 1, 1)?.flatten_all()?.to_vec1()?;
        let plane = size * size;
        restored
            .chunks_exact(channels * plane)
            .zip(defect.chunks_exact(plane))
            .map(|(restored, map)| {
                let restored = restored.iter().map(|v| v.clamp(0.0, 1.0)).collect();
                Ok(Drawing {
                    map: AnomalyMap::new(
                        Array2::from_shape_vec((size, size), map.to_vec())
                            .expect("one value a pixel"),
                    )?,
                    restored: Image::new(
                        ndarray::Array3::from_shape_vec((channels, size, size), restored)
                            .expect("one value a pixel and channel"),
                    )?,
                })
            })
            .collect()
    }
}
