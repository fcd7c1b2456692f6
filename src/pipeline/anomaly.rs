//! The anomaly model of a set of pieces: its good ones are read, some kept back
//! for validation, and the others trained on.

use super::rows::Unreadable;
use crate::data::fold::TrainingSet;
use crate::data::image::Image;
use crate::data::reader::ImageReader;
use crate::data::roi::RegionOfInterest;
use crate::data::sample::{Sample, SampleId};
use crate::draem::registration::{Grey, MOST_PIECES, Registration};
use crate::draem::tiles::Grid;
use crate::draem::train::{self, History, Pieces, Recorder, Watch};
use crate::draem::{AnomalySource, Draem, DraemOptions, LEAST_TO_VALIDATE};
use crate::error::{Error, Result};
use crate::nn::checkpoint::Checkpoint;
use crate::progress::Observer;
use crate::random::Seed;
use candle_core::Device;
use ndarray::{Array2, Array3};
use rayon::prelude::*;
use std::sync::Arc;

/// How one anomaly model is trained.
pub struct AnomalyJob<'a> {
    /// Reads the pieces.
    pub reader: &'a ImageReader,
    /// Networks and training.
    pub options: &'a DraemOptions,
    /// The model whose weights it begins with, in place of drawn ones.
    pub start: Option<&'a Draem>,
    /// Pictures that simulated defects are filled with, in place of painted ones.
    pub pictures: &'a [Image],
    /// The part of the pieces that is inspected.
    pub roi: Option<&'a RegionOfInterest>,
    /// From which the training's random choices descend.
    pub seed: Seed,
    /// Where the networks run.
    pub device: &'a Device,
    /// Where it is kept when stopped, told the pieces trained on and validated on.
    pub checkpoint: &'a (dyn Fn(&[SampleId], &[SampleId]) -> Checkpoint + Sync),
    /// Is told how it goes.
    pub recorder: Option<&'a dyn Recorder>,
}

/// A trained anomaly model.
pub struct Trained {
    /// The model.
    pub draem: Draem,
    /// Losses and validations.
    pub history: History,
    /// The pieces trained on, as `history` counts them: one for each tile, where
    /// pieces are cut into tiles.
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

/// The usual place of the good pieces of a set, if the options have pieces moved
/// there; found on [`MOST_PIECES`] of them at most, evenly chosen among those that
/// can be read.
#[must_use]
pub fn registration(
    set: &TrainingSet<'_>,
    reader: &ImageReader,
    options: &DraemOptions,
) -> Option<Registration> {
    if !options.align {
        return None;
    }
    let good = set.good();
    let samples: Vec<&Sample> = good.samples().collect();
    let count = samples.len().min(MOST_PIECES);
    let pieces: Vec<Option<Grey>> = (0..count)
        .into_par_iter()
        .map(|i| reader.read(samples[i * samples.len() / count]).ok())
        .map(|image| image.as_ref().map(Grey::of))
        .collect();
    let pieces: Vec<Grey> = pieces.into_iter().flatten().collect();
    Registration::of(&pieces)
}

/// An image of the model's size, and the part of it that losses are taken in.
type Lesson = (Array3<f32>, Option<Arc<Array2<bool>>>);

/// What the anomaly model is taught of one good piece: the piece at the model's
/// size, or its tiles at full resolution. Tiles without a pixel of the region
/// of interest are left out.
fn lessons(
    image: &Image,
    options: &DraemOptions,
    roi: Option<&RegionOfInterest>,
    registration: Option<&Registration>,
) -> Result<Vec<Lesson>> {
    let placed = registration.map(|usual| usual.place(image));
    let image = placed.as_ref().map_or(image, |(image, _)| image);
    let size = options.size;
    let region = |height, width| roi.map(|roi| roi.resized(height, width)).transpose();
    if !options.tiles.cuts(image.height(), image.width(), size) {
        let pixels = image.resize(size, size)?.pixels().clone();
        return Ok(vec![(pixels, region(size, size)?.map(Arc::new))]);
    }
    let grid = Grid::new(image.height(), image.width(), size);
    let (height, width) = grid.extent();
    let (image, region) = (grid.fit(image)?, region(height, width)?);
    let lesson = |tile| match &region {
        None => Some((grid.cut(&image, tile), None)),
        Some(region) => {
            let inside = grid.cut_mask(region, tile);
            let looks = inside.iter().any(|&inside| inside);
            looks.then(|| (grid.cut(&image, tile), Some(Arc::new(inside))))
        }
    };
    Ok(grid.tiles().filter_map(lesson).collect())
}

/// What pieces that could be read teach, and whose it is.
#[derive(Default)]
struct Lessons {
    ids: Vec<SampleId>,
    images: Vec<Array3<f32>>,
    /// As many as images, or none.
    regions: Vec<Arc<Array2<bool>>>,
}

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
        let registration = registration(set, self.reader, self.options);
        let usual = registration.as_ref();
        let taught = self.read(&samples, usual, &mut unreadable, observer);
        let validation = self.read(&validation, usual, &mut unreadable, observer);
        observer.end();
        if let (Some(first), true) = (unreadable.first(), taught.images.is_empty()) {
            return Err(Error::data(format!(
                "none of the {} good pieces can be trained on; the first, {}: {}",
                samples.len(),
                first.id,
                first.reason
            )));
        }
        let images = Arc::new(taught.images);
        let mut source = AnomalySource::textures().with_pieces(images.clone());
        if !self.pictures.is_empty() {
            source = source.with_pictures(self.pictures)?;
        }
        let checkpoint = (self.checkpoint)(&taught.ids, &validation.ids);
        let (mut draem, history) = train::fit(
            Pieces {
                train: &images,
                regions: &taught.regions,
                validation: &validation.images,
            },
            self.start,
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
        draem.set_tiling(self.options.tiles);
        draem.set_roi(self.roi.cloned());
        draem.set_registration(registration);
        Ok(Trained {
            draem,
            history,
            ids: taught.ids,
            validation_pieces: validation.ids.len(),
            unreadable,
        })
    }

    /// Reads pieces and cuts them to what the networks take.
    fn read(
        &self,
        samples: &[&Sample],
        registration: Option<&Registration>,
        unreadable: &mut Vec<Unreadable>,
        observer: &dyn Observer,
    ) -> Lessons {
        let read: Vec<Result<Vec<Lesson>>> = samples
            .par_iter()
            .map(|sample| {
                let image = self.reader.read(sample)?;
                observer.advance(1);
                lessons(&image, self.options, self.roi, registration)
            })
            .collect();
        let mut all = Lessons::default();
        for (sample, lessons) in samples.iter().zip(read) {
            match lessons {
                Ok(lessons) => {
                    for (image, region) in lessons {
                        all.ids.push(sample.id.clone());
                        all.images.push(image);
                        all.regions.extend(region);
                    }
                }
                Err(error) => unreadable.push(Unreadable {
                    id: sample.id.clone(),
                    reason: crate::error::reason(&error, sample.path()),
                }),
            }
        }
        all
    }
}
