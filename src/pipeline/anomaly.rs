//! The anomaly model of a set of pieces: its good ones are read, some kept back
//! for validation, and the others trained on.

use super::rows::Unreadable;
use crate::data::fold::TrainingSet;
use crate::data::image::Image;
use crate::data::reader::ImageReader;
use crate::data::sample::{Sample, SampleId};
use crate::draem::checkpoint::Checkpoint;
use crate::draem::train::{self, History, Pieces, Recorder, Watch};
use crate::draem::{AnomalySource, Draem, DraemOptions, LEAST_TO_VALIDATE};
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
    /// Where it is kept when stopped, told the pieces trained on and validated on.
    pub checkpoint: &'a dyn Fn(&[SampleId], &[SampleId]) -> Checkpoint,
    /// Is told how it goes.
    pub recorder: Option<&'a dyn Recorder>,
}

/// A trained anomaly model.
pub struct Trained {
    /// The model.
    pub draem: Draem,
    /// Losses and validations.
    pub history: History,
    /// The pieces trained on, as `history` counts them.
    pub ids: Vec<SampleId>,
    /// Pieces kept back for validation.
    pub validation_pieces: usize,
    /// Pieces left out because they could not be read.
    pub unreadable: Vec<Unreadable>,
}

/// A good training piece that was scored for signs of being mislabelled.
#[derive(Debug, Clone, PartialEq)]
pub struct SiftedPiece {
    /// The sample.
    pub id: SampleId,
    /// Steps done when it was scored.
    pub step: usize,
    /// Its image score by a model that did not train on it then.
    pub score: f64,
    /// Whether it was not trained on from then on.
    pub left_out: bool,
}

impl Trained {
    /// What was found of mislabelled pieces, in the order of the pieces.
    #[must_use]
    pub fn sifted(&self) -> Vec<SiftedPiece> {
        let mut found: Vec<(usize, SiftedPiece)> = Vec::new();
        for sifting in &self.history.siftings {
            for (&piece, &score) in sifting.pieces.iter().zip(&sifting.scores) {
                let sifted = SiftedPiece {
                    id: self.ids[piece].clone(),
                    step: sifting.step,
                    score,
                    left_out: sifting.left_out.contains(&piece),
                };
                found.push((piece, sifted));
            }
        }
        found.sort_by_key(|(piece, _)| *piece);
        found.into_iter().map(|(_, sifted)| sifted).collect()
    }
}

/// Images that could be read, with their ids.
type ReadImages = (Vec<SampleId>, Vec<Array3<f32>>);

impl AnomalyJob<'_> {
    /// Trains on the good pieces of a set.
    ///
    /// # Errors
    /// As for [`train::fit`]. A piece that cannot be read is listed, not an error.
    pub fn train(&self, set: &TrainingSet<'_>, observer: &dyn Observer) -> Result<Trained> {
        let good = set.good();
        let share = self.options.validation_share;
        let (trained, kept_back) = match share > 0.0 && good.len() >= LEAST_TO_VALIDATE {
            // With a single group there is nothing to keep back.
            true => match good.split(share, self.seed.derive("validation", 0)) {
                Ok((trained, kept_back)) => (trained, Some(kept_back)),
                Err(_) => (good, None),
            },
            false => (good, None),
        };
        let samples: Vec<&Sample> = trained.samples().collect();
        let validation: Vec<&Sample> = kept_back.iter().flat_map(TrainingSet::samples).collect();
        let mut unreadable = Vec::new();
        let count = samples.len() + validation.len();
        observer.begin("reading good pieces", count as u64);
        let (ids, images) = self.read(&samples, &mut unreadable, observer);
        let (validation_ids, validation) = self.read(&validation, &mut unreadable, observer);
        observer.end();
        let images = Arc::new(images);
        let mut source = AnomalySource::textures().with_pieces(images.clone());
        if !self.pictures.is_empty() {
            source = source.with_pictures(self.pictures)?;
        }
        let checkpoint = (self.checkpoint)(&ids, &validation_ids);
        let (draem, history) = train::fit(
            Pieces {
                train: &images,
                validation: &validation,
            },
            &source,
            self.options,
            self.seed,
            self.device,
            Watch {
                checkpoint: Some(&checkpoint),
                recorder: self.recorder,
                observer,
            },
        )?;
        Ok(Trained {
            draem,
            history,
            ids,
            validation_pieces: validation.len(),
            unreadable,
        })
    }

    /// Reads pieces at the networks' size.
    fn read(
        &self,
        samples: &[&Sample],
        unreadable: &mut Vec<Unreadable>,
        observer: &dyn Observer,
    ) -> ReadImages {
        let size = self.options.size;
        let read: Vec<Result<Array3<f32>>> = samples
            .par_iter()
            .map(|sample| {
                let image = self.reader.read(sample)?.resize(size, size)?;
                observer.advance(1);
                Ok(image.pixels().clone())
            })
            .collect();
        let (mut ids, mut images) = (Vec::new(), Vec::new());
        for (sample, image) in samples.iter().zip(read) {
            match image {
                Ok(image) => {
                    ids.push(sample.id.clone());
                    images.push(image);
                }
                Err(error) => unreadable.push(Unreadable {
                    id: sample.id.clone(),
                    reason: crate::error::reason(&error, sample.path()),
                }),
            }
        }
        (ids, images)
    }
}
