//! The anomaly model of a set of pieces: its good ones are read and trained on.

use super::rows::Unreadable;
use crate::data::annotation::GOOD;
use crate::data::fold::TrainingSet;
use crate::data::image::Image;
use crate::data::reader::ImageReader;
use crate::data::sample::Sample;
use crate::draem::train::{self, Checkpoint, LossRow};
use crate::draem::{AnomalySource, Draem, DraemOptions};
use crate::error::Result;
use crate::progress::Observer;
use crate::random::Seed;
use candle_core::Device;
use ndarray::Array3;
use rayon::prelude::*;
use std::sync::Arc;

/// How one anomaly model is trained.
pub struct AnomalyJob<'a> {
    /// Reads the pieces.
    pub reader: &'a ImageReader,
    /// Networks and training.
    pub options: &'a DraemOptions,
    /// Pictures that simulated defects are filled with, in place of painted ones.
    pub pictures: &'a [Image],
    /// From which the training's random choices descend.
    pub seed: Seed,
    /// Where the networks run.
    pub device: &'a Device,
    /// Where it is kept when stopped.
    pub checkpoint: Option<&'a Checkpoint>,
}

/// A trained anomaly model.
pub struct Trained {
    /// The model.
    pub draem: Draem,
    /// Its losses, step by step.
    pub losses: Vec<LossRow>,
    /// Pieces left out because they could not be read.
    pub unreadable: Vec<Unreadable>,
}

/// The pieces of a set that an anomaly model learns from: the good ones.
#[must_use]
pub fn pieces<'a>(set: &TrainingSet<'a>) -> Vec<&'a Sample> {
    set.samples().filter(|s| s.label() == Some(GOOD)).collect()
}

impl AnomalyJob<'_> {
    /// Trains on the good pieces of a set.
    ///
    /// # Errors
    /// As for [`train::fit`]. A piece that cannot be read is listed, not an error.
    pub fn train(&self, set: &TrainingSet<'_>, observer: &dyn Observer) -> Result<Trained> {
        let size = self.options.size;
        let samples = pieces(set);
        observer.begin("reading good pieces", samples.len() as u64);
        let read: Vec<Result<Array3<f32>>> = samples
            .par_iter()
            .map(|sample| {
                let image = self.reader.read(sample)?.resize(size, size)?;
                observer.advance(1);
                Ok(image.pixels().clone())
            })
            .collect();
        observer.end();
        let (mut images, mut unreadable) = (Vec::new(), Vec::new());
        for (sample, image) in samples.iter().zip(read) {
            match image {
                Ok(image) => images.push(image),
                Err(error) => unreadable.push(Unreadable {
                    id: sample.id.clone(),
                    reason: crate::error::reason(&error, sample.path()),
                }),
            }
        }
        let images = Arc::new(images);
        let mut source = AnomalySource::textures().with_pieces(images.clone());
        if !self.pictures.is_empty() {
            source = source.with_pictures(self.pictures)?;
        }
        let (draem, losses) = train::fit(
            &images,
            &source,
            self.options,
            self.seed,
            self.device,
            self.checkpoint,
            observer,
        )?;
        Ok(Trained {
            draem,
            losses,
            unreadable,
        })
    }
}
