//! `Baseline`: the trained network, which predicts and shows where it looked.

use super::cam::{self, HeatmapOptions};
use super::network::{Architecture, Network};
use super::view::View;
use crate::data::annotation::GOOD;
use crate::data::anomaly_map::AnomalyMap;
use crate::data::image::Image;
use crate::data::prediction::Prediction;
use crate::error::{Error, Result};
use crate::nn::engine::Engine;
use crate::nn::loss::{sigmoid, softmax};
use crate::nn::parameters::Parameters;
use candle_core::{Device, Tensor};
use ndarray::Array2;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;

/// Pictures in one pass: bounds memory, changes no result.
const BATCH: usize = 8;

/// What a trained baseline is, beside its weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BaselineShape {
    /// The network.
    pub architecture: Architecture,
    /// Scores it gives: 1 for good against defective, else one a class.
    pub outputs: usize,
    /// What it sees of a piece.
    pub view: View,
    /// What its heatmaps show.
    pub heatmap: HeatmapOptions,
    /// A raw map's value `v` becomes `v / (v + unit)`: the peak that 95% of the
    /// good training pieces stay below lies at one half. The same for every
    /// piece.
    pub heatmap_unit: f32,
}

/// The trained network.
#[derive(Debug)]
pub struct Baseline {
    shape: BaselineShape,
    classes: Arc<[String]>,
    network: Network,
    parameters: Parameters,
    /// Runs in place of `network` on the CPU.
    engine: Option<Engine>,
    stage: usize,
}

/// Number of scores for these classes.
pub(super) fn outputs(classes: &[String]) -> usize {
    match classes {
        [first, _] if first == GOOD => 1,
        _ => classes.len(),
    }
}

impl Baseline {
    /// Takes trained weights, by the names of [`Network::new`].
    ///
    /// - `classes`: `good` first, where there is such a class
    ///
    /// # Errors
    /// [`Error::Data`] or [`Error::Shape`] naming the weight that is missing or
    /// does not fit; [`Error::Setting`] if the shape itself is out of range.
    pub fn new(
        shape: BaselineShape,
        classes: Arc<[String]>,
        weights: HashMap<String, Tensor>,
        device: &Device,
    ) -> Result<Self> {
        let view = &shape.view;
        let wrong = match &shape.architecture {
            Architecture::ResNet(config) => config.channels != view.channels,
            Architecture::Cnn { channels, size, .. } => {
                (*channels, *size) != (view.channels, view.size)
            }
        };
        if wrong
            || !(32..=2048).contains(&view.size)
            || classes.len() < 2
            || shape.outputs != outputs(&classes)
            || !(shape.heatmap_unit > 0.0 && shape.heatmap_unit.is_finite())
        {
            return Err(Error::setting(
                "baseline",
                format!("{shape:?} with {} classes is out of range", classes.len()),
            ));
        }
        let parameters = Parameters::frozen(weights, device);
        let network = Network::new(&parameters.root(), &shape.architecture, shape.outputs)?;
        let stage = shape.heatmap.stage(&network);
        let engine = match device {
            Device::Cpu => Some(Engine::new(network.graph(stage)?)),
            _ => None,
        };
        Ok(Self {
            shape,
            classes,
            network,
            parameters,
            engine,
            stage,
        })
    }

    /// The network's shape and what belongs to it.
    #[must_use]
    pub fn shape(&self) -> &BaselineShape {
        &self.shape
    }

    /// The class names.
    #[must_use]
    pub fn classes(&self) -> &Arc<[String]> {
        &self.classes
    }

    /// The network itself, in use: frozen, without gradients.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The weights as a safetensors file.
    ///
    /// # Errors
    /// As for [`Parameters::to_safetensors`].
    pub fn to_safetensors(&self) -> Result<Vec<u8>> {
        self.parameters.to_safetensors()
    }

    /// Another scale of the heatmaps, see [`BaselineShape::heatmap_unit`].
    pub(super) fn set_heatmap_unit(&mut self, unit: f32) {
        self.shape.heatmap_unit = unit;
    }

    /// Predicts a batch; what is said of a piece does not depend on the others.
    ///
    /// # Errors
    /// [`Error::Shape`] if an image has other channels.
    pub fn predict(&self, images: &[Image]) -> Result<Vec<Prediction>> {
        let mut predictions = Vec::with_capacity(images.len());
        for batch in images.chunks(BATCH) {
            let (_, last) = self.images(batch)?;
            predictions.extend(self.of_last(&last)?);
        }
        Ok(predictions)
    }

    /// The network's class scores `[n, outputs]` before they become probabilities.
    ///
    /// # Errors
    /// As [`Baseline::predict`].
    pub fn scores(&self, images: &[Image]) -> Result<Vec<Vec<f32>>> {
        let mut scores = Vec::with_capacity(images.len());
        for batch in images.chunks(BATCH) {
            let (_, last) = self.images(batch)?;
            let found = self.network.after_stage(self.network.stages() - 1, &last)?;
            scores.extend(found.to_vec2()?);
        }
        Ok(scores)
    }

    /// Predicts a batch and draws where the network looked, at its own size.
    ///
    /// # Errors
    /// As [`Baseline::predict`].
    pub fn inspect(&self, images: &[Image]) -> Result<Vec<(Prediction, AnomalyMap)>> {
        let mut found = Vec::with_capacity(images.len());
        for batch in images.chunks(BATCH) {
            let (image, last) = self.images(batch)?;
            let predictions = self.of_last(&last)?;
            for (prediction, raw) in predictions.into_iter().zip(self.raw(&image)?) {
                found.push((prediction, self.scaled(raw)?));
            }
        }
        Ok(found)
    }

    /// The largest value of each picture's raw map.
    pub(super) fn raw_peaks(&self, images: &[Image]) -> Result<Vec<f32>> {
        let mut peaks = Vec::with_capacity(images.len());
        for batch in images.chunks(BATCH) {
            let (image, _) = self.images(batch)?;
            let maps = self.raw(&image)?;
            peaks.extend(maps.iter().map(|m| m.iter().copied().fold(0.0, f32::max)));
        }
        Ok(peaks)
    }

    fn raw(&self, image: &Tensor) -> Result<Vec<Array2<f32>>> {
        let good = self.classes.iter().position(|c| c == GOOD);
        let method = self.shape.heatmap.method;
        cam::maps(&self.network, self.stage, image, good, method)
    }

    /// `v / (v + unit)` at the network's size.
    fn scaled(&self, raw: Array2<f32>) -> Result<AnomalyMap> {
        let unit = self.shape.heatmap_unit;
        let size = self.shape.view.size;
        let raw = AnomalyMap::new(raw)?.resize(size, size)?;
        AnomalyMap::new(raw.values().mapv(|v| {
            let v = v.max(0.0);
            v / (v + unit)
        }))
    }

    fn of_last(&self, last: &Tensor) -> Result<Vec<Prediction>> {
        let scores = self.network.after_stage(self.network.stages() - 1, last)?;
        predictions(&scores, &self.classes)
    }

    /// Images of the heatmap's stage and of the last one.
    fn images(&self, images: &[Image]) -> Result<(Tensor, Tensor)> {
        let view = &self.shape.view;
        let pictures: Vec<Vec<f32>> = images
            .par_iter()
            .map(|image| Ok(view.values(&view.picture(image)?)))
            .collect::<Result<_>>()?;
        match &self.engine {
            Some(engine) => {
                let [image, last] = run_engine(engine, &pictures, view.size)?;
                let of = |values: Vec<f32>, at: usize| -> Result<Tensor> {
                    let (c, h, w) = self.image_shape(at, values.len() / pictures.len())?;
                    Ok(Tensor::from_vec(
                        values,
                        (pictures.len(), c, h, w),
                        &Device::Cpu,
                    )?)
                };
                Ok((of(image, self.stage)?, of(last, self.network.stages() - 1)?))
            }
            None => {
                let shape = (pictures.len(), view.channels, view.size, view.size);
                let x = Tensor::from_vec(pictures.concat(), shape, self.parameters.device())?;
                let image = self.network.up_to(self.stage, &x)?;
                let last = self.network.up_to(self.network.stages() - 1, &x)?;
                Ok((image, last))
            }
        }
    }

    /// `[channels, height, width]` of a stage's image with so many values.
    fn image_shape(&self, at: usize, values: usize) -> Result<(usize, usize, usize)> {
        let channels = stage_channels(&self.shape.architecture, at);
        square(channels, values)
    }
}

/// Channels of the image of stage `at`.
pub(super) fn stage_channels(architecture: &Architecture, at: usize) -> usize {
    match architecture {
        Architecture::ResNet(config) => (config.width << at) * config.depth.expansion(),
        Architecture::Cnn { options, .. } => options.layers[at].filters,
    }
}

/// The shape of a square image of so many channels and values.
pub(super) fn square(channels: usize, values: usize) -> Result<(usize, usize, usize)> {
    let side = ((values / channels) as f64).sqrt().round() as usize;
    match channels * side * side == values {
        true => Ok((channels, side, side)),
        false => Err(Error::shape(
            "values of a stage",
            values,
            (channels, side, side),
        )),
    }
}

/// The engine's two outputs of all pictures, each in one row.
pub(super) fn run_engine(
    engine: &Engine,
    pictures: &[Vec<f32>],
    size: usize,
) -> Result<[Vec<f32>; 2]> {
    let slices: Vec<&[f32]> = pictures.iter().map(Vec::as_slice).collect();
    let mut rows = [Vec::new(), Vec::new()];
    for outputs in engine.run(&slices, size, size)? {
        for (row, output) in rows.iter_mut().zip(outputs) {
            row.extend(output);
        }
    }
    Ok(rows)
}

/// Probabilities from class scores `[n, outputs]`.
pub(super) fn predictions(scores: &Tensor, classes: &Arc<[String]>) -> Result<Vec<Prediction>> {
    let outputs = scores.dim(1)?;
    let values: Vec<f32> = scores.flatten_all()?.to_vec1()?;
    let values: Vec<f64> = values.into_iter().map(f64::from).collect();
    if let Some(row) = values.iter().position(|v| !v.is_finite()) {
        return Err(Error::NotFinite {
            what: "class scores".into(),
            row: row / outputs,
        });
    }
    values
        .chunks_exact(outputs)
        .map(|row| {
            let probabilities = match row {
                [x] => vec![sigmoid(-x), sigmoid(*x)],
                row => softmax(row),
            };
            Prediction::new(classes.clone(), probabilities)
        })
        .collect()
}
