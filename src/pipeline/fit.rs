//! How a pipeline is fitted: the anomaly model on good pieces, everything after
//! it on maps of pieces that the anomaly model has not seen.

use super::decide::{self, FittingRows};
use super::evaluate::{self, Evaluation};
use super::rows::{self, Gather, Rows, Unreadable};
use super::{BackboneFile, Hybrid, Pipeline, Training};
use crate::data::annotation::GOOD;
use crate::data::colour::Calibration;
use crate::data::dataset::Dataset;
use crate::data::fold::{Fold, TrainingSet};
use crate::data::image::Image;
use crate::data::reader::{ImageReader, Limits};
use crate::data::roi::RegionOfInterest;
use crate::data::sample::Sample;
use crate::draem::tiles::Grid;
use crate::draem::train::{self, Checkpoint, LossRow};
use crate::draem::{AnomalySource, Draem, DraemOptions};
use crate::error::{Error, Result};
use crate::extract::{Extractor, FeatureOptions, InputMode};
use crate::progress::Observer;
use crate::random::Seed;
use crate::settings::{MapFitting, ModelKind, Settings};
use candle_core::Device;
use ndarray::{Array2, Array3};
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a training run is asked to do.
pub struct Plan<'a> {
    /// Name of the bundle.
    pub name: String,
    /// The labelled pieces.
    pub dataset: &'a Dataset,
    /// Which of them are trained on, and which measured on.
    pub fold: Fold,
    /// Every step's options.
    pub settings: Settings,
    /// The root of all random choices.
    pub seed: u64,
    /// Where the networks run.
    pub device: Device,
    /// What one file may ask for.
    pub limits: Limits,
    /// The image backbone, for a hybrid.
    pub backbone: Option<BackboneFile>,
    /// Pictures that simulated defects are filled with, in place of painted ones.
    pub pictures: Vec<Image>,
    /// The part of a piece that is inspected; `None` is all of it.
    pub roi: Option<RegionOfInterest>,
    /// Folder for checkpoints.
    pub workspace: &'a Path,
    /// Whether to go on from the checkpoints there.
    pub resume: bool,
}

/// What training gives.
pub struct Fitted {
    /// The trained pipeline.
    pub pipeline: Pipeline,
    /// Losses of the anomaly model that is kept.
    pub losses: Vec<LossRow>,
    /// Measures on the held-out pieces, if there are any.
    pub evaluation: Option<Evaluation>,
    /// Pieces left out because they could not be read.
    pub unreadable: Vec<Unreadable>,
}

/// Trains a pipeline.
///
/// # Errors
/// [`Error::Data`] if the pieces do not support what is asked (no good piece,
/// one class only for a hybrid); [`Error::Stopped`] after a requested stop,
/// with the checkpoint written; whatever a step says.
pub fn fit(plan: Plan<'_>, observer: &dyn Observer) -> Result<Fitted> {
    let seed = Seed::new(plan.seed);
    let settings = &plan.settings;
    settings.check()?;
    let training = plan.fold.training(plan.dataset);
    let reader =
        ImageReader::new(plan.dataset.format.clone(), plan.limits).within(plan.roi.as_ref());
    let mut unreadable = Vec::new();

    let (seen, fitting) = match settings.fitting.maps {
        MapFitting::HeldOut => {
            training.split_good(settings.fitting.kept_back, seed.derive("fit.kept-back", 0))?
        }
        MapFitting::CrossFit | MapFitting::Seen => (training.good(), training.clone()),
    };
    let trainer = Trainer {
        plan: &plan,
        reader: &reader,
        seed,
    };
    let parts = match settings.fitting.maps {
        MapFitting::CrossFit => trainer.parts(&training)?,
        MapFitting::HeldOut | MapFitting::Seen => Vec::new(),
    };
    let (draem, losses, mut bad) = trainer.draem(&seen, "draem", observer)?;
    unreadable.append(&mut bad);

    let backbone = match (settings.model, &plan.backbone) {
        (ModelKind::Draem, _) => None,
        (ModelKind::Hybrid, Some(backbone)) => Some(backbone),
        (ModelKind::Hybrid, None) => return Err(Error::data("a hybrid model needs a backbone")),
    };
    let mode = settings.features.input;
    // Measuring every input mode on the held-out pieces takes all features.
    let drawn = if plan.fold.test().is_empty() {
        mode
    } else {
        InputMode::ImageAndMap
    };
    let extractor_of = |input: InputMode| -> Result<Option<Extractor>> {
        let options = FeatureOptions {
            input,
            ..settings.features.clone()
        };
        let channels = plan.dataset.format.channels.len();
        backbone
            .map(|b| Extractor::new(options, &b.name, &b.weights, channels, &plan.device))
            .transpose()
    };
    let extractor = extractor_of(drawn)?;

    let mut colours = Calibration::new();
    let (samples, rows) = if settings.fitting.maps == MapFitting::CrossFit {
        trainer.cross_fit(
            &training,
            &parts,
            extractor.as_ref(),
            &mut colours,
            observer,
        )?
    } else {
        let samples: Vec<&Sample> = fitting.samples().collect();
        let rows = rows::draw(
            &samples,
            &reader,
            &draem,
            extractor.as_ref(),
            Gather {
                colours: Some(&mut colours),
                pixels: None,
            },
            "drawing maps to fit on",
            observer,
        )?;
        (samples, rows)
    };
    unreadable.extend(rows.unreadable.iter().cloned());
    let kept = fitting.good().len();
    let good_repeat = match settings.fitting.maps {
        MapFitting::HeldOut if kept > 0 => {
            (((seen.len() + kept) as f64 / kept as f64).round() as usize).max(1)
        }
        _ => 1,
    };
    let on = FittingRows {
        samples: &samples,
        rows: &rows,
        good_repeat,
    };
    let decided = decide::fit_deciders(on, mode, plan.dataset, settings, seed, observer)?;

    let test: Vec<&Sample> = plan
        .fold
        .test()
        .iter()
        .map(|&i| &plan.dataset.samples[i])
        .collect();
    let test: Vec<&Sample> = test.into_iter().filter(|s| s.label().is_some()).collect();
    let evaluation = if test.is_empty() {
        None
    } else {
        let evaluation = evaluate::held_out(
            &test,
            evaluate::FittedOn {
                on,
                rule: &decided.rule,
            },
            &reader,
            &draem,
            extractor.as_ref(),
            plan.dataset,
            settings,
            seed,
            observer,
        )?;
        unreadable.extend(evaluation.unreadable.iter().cloned());
        Some(evaluation)
    };

    let mut notes = Vec::new();
    if !unreadable.is_empty() {
        notes.push(format!(
            "{} pieces could not be read and were left out",
            unreadable.len()
        ));
    }
    let pipeline = Pipeline {
        format: plan.dataset.format.clone(),
        classes: decided.classes,
        hybrid: match (backbone, extractor_of(mode)?, decided.hybrid) {
            (Some(backbone), Some(extractor), Some((selection, classifier))) => Some(Hybrid {
                backbone: backbone.clone(),
                extractor,
                selection,
                classifier,
            }),
            _ => None,
        },
        draem,
        rule: decided.rule,
        scale: colours.finish()?,
        regions: colours.regions()?,
        training: Training {
            name: plan.name.clone(),
            data: describe(plan.dataset),
            seed: plan.seed,
            anomaly_pieces: seen.len(),
            fitted_pieces: rows.places.len(),
            test_pieces: test.len(),
            maps: maps_sentence(settings),
            notes,
        },
        settings: plan.settings.clone(),
    };
    Ok(Fitted {
        pipeline,
        losses,
        evaluation,
        unreadable,
    })
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
) -> Result<Vec<Lesson>> {
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

/// What classifier and threshold were fitted on, for people.
fn maps_sentence(settings: &Settings) -> String {
    let f = &settings.fitting;
    match f.maps {
        MapFitting::HeldOut => format!(
            "classifier and threshold were fitted on maps of the defective pieces and of the {:.0}% \
             of good pieces that the anomaly model did not see",
            100.0 * f.kept_back
        ),
        MapFitting::CrossFit => format!(
            "classifier and threshold were fitted on maps from {} anomaly models, none of which \
             had seen the pieces whose maps it drew",
            f.cross_fit_parts
        ),
        MapFitting::Seen => "classifier and threshold were fitted on maps of pieces that the \
                             anomaly model was trained on, as the paper does: good pieces look \
                             better there than a new one will"
            .into(),
    }
}

/// A data set in a few words: counts, classes, channels; no path.
fn describe(dataset: &Dataset) -> String {
    let counts: Vec<String> = dataset
        .counts()
        .into_iter()
        .map(|(class, n)| format!("{n} {class}"))
        .collect();
    format!(
        "{} pieces ({}), {}",
        dataset.samples.len(),
        counts.join(", "),
        dataset.format
    )
}

/// Trains anomaly models of one run.
struct Trainer<'a> {
    plan: &'a Plan<'a>,
    reader: &'a ImageReader,
    seed: Seed,
}

type Drawn<'a> = (Vec<&'a Sample>, Rows);

impl Trainer<'_> {
    /// Trains on the good pieces of a set; `name` names checkpoint and seed.
    fn draem(
        &self,
        pieces: &TrainingSet<'_>,
        name: &str,
        observer: &dyn Observer,
    ) -> Result<(Draem, Vec<LossRow>, Vec<Unreadable>)> {
        let options = &self.plan.settings.draem;
        let samples: Vec<&Sample> = pieces
            .samples()
            .filter(|s| s.label() == Some(GOOD))
            .collect();
        observer.begin("reading good pieces", samples.len() as u64);
        let read: Vec<Result<Vec<Lesson>>> = samples
            .par_iter()
            .map(|sample| {
                let image = self.reader.read(sample)?;
                observer.advance(1);
                lessons(&image, options, self.plan.roi.as_ref())
            })
            .collect();
        observer.end();
        let (mut images, mut regions, mut unreadable) = (Vec::new(), Vec::new(), Vec::new());
        for (sample, lessons) in samples.iter().zip(read) {
            match lessons {
                Ok(lessons) => {
                    for (image, region) in lessons {
                        images.push(image);
                        regions.extend(region);
                    }
                }
                Err(error) => unreadable.push(Unreadable {
                    id: sample.id.clone(),
                    reason: crate::error::reason(&error, sample.path()),
                }),
            }
        }
        if let (Some(first), true) = (unreadable.first(), images.is_empty()) {
            return Err(Error::data(format!(
                "none of the {} good pieces can be trained on; the first, {}: {}",
                samples.len(),
                first.id,
                first.reason
            )));
        }
        let images = Arc::new(images);
        let mut source = AnomalySource::textures().with_pieces(images.clone());
        if !self.plan.pictures.is_empty() {
            source = source.with_pictures(&self.plan.pictures)?;
        }
        let checkpoint = Checkpoint {
            path: self.checkpoint(name),
            resume: self.plan.resume,
            fingerprint: self.fingerprint(&samples),
        };
        let (mut draem, losses) = train::fit(
            &images,
            &regions,
            &source,
            options,
            self.seed.derive(name, 0),
            &self.plan.device,
            Some(&checkpoint),
            observer,
        )?;
        draem.set_tiling(options.tiles);
        draem.set_roi(self.plan.roi.clone());
        Ok((draem, losses, unreadable))
    }

    fn checkpoint(&self, name: &str) -> PathBuf {
        self.plan.workspace.join(format!("{name}.checkpoint"))
    }

    /// What must agree for a checkpoint to be taken up.
    fn fingerprint(&self, samples: &[&Sample]) -> String {
        let mut hash = Sha256::new();
        hash.update(self.plan.seed.to_le_bytes());
        hash.update(format!("{:?}", self.plan.settings.draem));
        hash.update(format!("{:?}", self.plan.dataset.format));
        for sample in samples {
            hash.update(sample.id.as_str());
            hash.update([0]);
        }
        if let Some(roi) = &self.plan.roi {
            hash.update(format!("{:?}", roi.mask().dim()));
            hash.update(roi.mask().iter().map(|&i| u8::from(i)).collect::<Vec<_>>());
        }
        for picture in &self.plan.pictures {
            for value in picture.as_slice() {
                hash.update(value.to_le_bytes());
            }
        }
        hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
    }

    /// The training pieces in parts for cross-fitting, groups whole.
    fn parts<'d>(&self, training: &TrainingSet<'d>) -> Result<Vec<TrainingSet<'d>>> {
        let count = self.plan.settings.fitting.cross_fit_parts;
        let mut left = training.clone();
        let mut parts = Vec::with_capacity(count);
        for part in 0..count - 1 {
            // The next of the parts that are left, all of about one size.
            let seed = self.seed.derive("fit.cross", part as u64);
            let (rest, taken) = left.split(1.0 / (count - part) as f64, seed)?;
            parts.push(taken);
            left = rest;
        }
        parts.push(left);
        if parts.iter().any(|p| training.good().without(p).is_empty()) {
            return Err(
                Error::data("all good pieces lie in one part of the cross-fitting")
                    .help("use --set fitting.maps=held-out, or name more groups"),
            );
        }
        Ok(parts)
    }

    /// Maps of all pieces, each from a model that has not seen its part. Good
    /// and defective ones alike: were all defects drawn by one model, the
    /// classifier could learn to know that model.
    fn cross_fit<'d>(
        &self,
        training: &TrainingSet<'d>,
        parts: &[TrainingSet<'d>],
        extractor: Option<&Extractor>,
        colours: &mut Calibration,
        observer: &dyn Observer,
    ) -> Result<Drawn<'d>> {
        let mut samples: Vec<&Sample> = Vec::new();
        let mut all: Option<Rows> = None;
        for (part, taken) in parts.iter().enumerate() {
            let others = training.good().without(taken);
            let (draem, _, _) = self.draem(&others, &format!("draem-part-{part}"), observer)?;
            let chosen: Vec<&Sample> = taken.samples().collect();
            let rows = rows::draw(
                &chosen,
                self.reader,
                &draem,
                extractor,
                Gather {
                    colours: Some(colours),
                    pixels: None,
                },
                "drawing maps of unseen pieces",
                observer,
            )?;
            all = Some(match all {
                None => rows,
                Some(earlier) => earlier.join(rows, samples.len())?,
            });
            samples.extend(chosen);
        }
        let rows = all.ok_or_else(|| Error::data("there is no piece to cross-fit on"))?;
        Ok((samples, rows))
    }
}
