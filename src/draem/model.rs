//! `Draem`: the trained anomaly model, which draws the anomaly map.

use super::network::Networks;
use crate::data::anomaly_map::AnomalyMap;
use crate::data::image::Image;
use crate::error::{Error, Result};
use crate::nn::engine::Engine;
use crate::nn::layers::Mode;
use crate::nn::parameters::Parameters;
use candle_core::{Device, Tensor};
use ndarray::{Array2, Array3};
use rayon::prelude::*;
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
    /// Draws in place of `networks` on the CPU.
    engine: Option<Engine>,
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
        let engine = match device {
            Device::Cpu => Some(Engine::new(networks.graph(shape.channels)?)),
            _ => None,
        };
        Ok(Self {
            shape,
            networks,
            parameters,
            engine,
        })
    }

    /// Channels, size and widths.
    #[must_use]
    pub fn shape(&self) -> DraemShape {
        self.shape
    }

    /// Lays the networks out for their pictures now, and not at the first of them.
    ///
    /// # Errors
    /// As for [`Engine::run`].
    pub fn prepare(&self) -> Result<()> {
        let size = self.shape.size;
        let of = |engine: &Engine| engine.prepare(size, size);
        self.engine.as_ref().map_or(Ok(()), of)
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
        let resized: Vec<Image> = images
            .par_iter()
            .map(|image| {
                if image.channels() != channels {
                    return Err(Error::shape("channels", image.channels(), channels));
                }
                image.resize(size, size)
            })
            .collect::<Result<_>>()?;
        let drawn = match &self.engine {
            Some(engine) => self.draw_with(engine, &resized)?,
            None => self.draw_with_networks(&resized)?,
        };
        drawn
            .into_iter()
            .map(|(restored, map)| {
                let map = Array2::from_shape_vec((size, size), map).expect("one value a pixel");
                let restored = Array3::from_shape_vec((channels, size, size), restored)
                    .expect("one value a pixel and channel");
                Ok(Drawing {
                    map: AnomalyMap::new(map)?,
                    restored: Image::new(restored.mapv_into(|v| v.clamp(0.0, 1.0)))?,
                })
            })
            .collect()
    }

    fn draw_with(&self, engine: &Engine, images: &[Image]) -> Result<Vec<RawDrawing>> {
        let size = self.shape.size;
        let pixels: Vec<&[f32]> = images.iter().map(Image::as_slice).collect();
        let outputs = engine.run(&pixels, size, size)?;
        let drawn = outputs.into_iter().map(|outputs| {
            let [restored, classes] = outputs.try_into().expect("two outputs");
            let (good, defect) = classes.split_at(size * size);
            // The softmax of two classes.
            let probability = |(good, defect): (&f32, &f32)| 1.0 / (1.0 + (good - defect).exp());
            let map = good.iter().zip(defect).map(probability).collect();
            (restored, map)
        });
        Ok(drawn.collect())
    }

    fn draw_with_networks(&self, images: &[Image]) -> Result<Vec<RawDrawing>> {
        let DraemShape { channels, size, .. } = self.shape;
        let pixels: Vec<f32> = images
            .iter()
            .flat_map(|image| image.as_slice().iter().copied())
            .collect();
        let device = self.parameters.device();
        let x = Tensor::from_vec(pixels, (images.len(), channels, size, size), device)?;
        let (restored, classes) = self.networks.forward(&x, Mode::Eval)?;
        let restored: Vec<f32> = restored.flatten_all()?.to_vec1()?;
        let defect: Vec<f32> = classes.narrow(1, 1, 1)?.flatten_all()?.to_vec1()?;
        let plane = size * size;
        Ok(restored
            .chunks_exact(channels * plane)
            .zip(defect.chunks_exact(plane))
            .map(|(restored, map)| (restored.to_vec(), map.to_vec()))
            .collect())
    }

    /// Multiplications with addition for one image; `None` off the CPU.
    ///
    /// # Errors
    /// As for [`Engine::multiply_adds`].
    pub fn multiply_adds(&self) -> Result<Option<u64>> {
        let size = self.shape.size;
        let of = |engine: &Engine| engine.multiply_adds(size, size);
        self.engine.as_ref().map(of).transpose()
    }
}

/// Restored image and map, in reading order.
type RawDrawing = (Vec<f32>, Vec<f32>);
