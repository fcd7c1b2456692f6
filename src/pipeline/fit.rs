//! How a pipeline is fitted: the anomaly model on good pieces, everything after
//! it on maps of pieces that the anomaly model has not seen.

pub use super::anomaly::SiftedPiece;
use super::anomaly::{AnomalyJob, Trained};
use super::decide::{self, FittingRows};
use super::evaluate::{self, Evaluation};
use super::rows::{self, Gather, Rows, Unreadable};
use super::start::Start;
use super::{BackboneFile, Hybrid, Pipeline, Training};
use crate::data::colour::Calibration;
use crate::data::dataset::Dataset;
use crate::data::fold::{Fold, TrainingSet};
use crate::data::image::Image;
use crate::data::reader::{ImageReader, Limits};
use crate::data::roi::RegionOfInterest;
use crate::data::sample::{Sample, SampleId};
use crate::draem::train::{History, Recorder};
use crate::error::{Error, Result};
use crate::extract::{Extractor, FeatureOptions, InputMode};
use crate::nn::checkpoint::Checkpoint;
use crate::progress::Observer;
use crate::random::Seed;
use crate::settings::{MapFitting, ModelKind, Settings};
use candle_core::Device;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

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
    /// The model that the anomaly model begins from, in place of drawn weights;
    /// [`Start::check_new`] says whether it may, for the pieces of [`to_be_new`].
    pub start: Option<&'a Start>,
    /// Folder for checkpoints.
    pub workspace: &'a Path,
    /// Whether to go on from the checkpoints there.
    pub resume: bool,
    /// Is told how the training of the anomaly model that is kept goes.
    pub recorder: Option<&'a dyn Recorder>,
}

/// What training gives.
pub struct Fitted {
    /// The trained pipeline.
    pub pipeline: Pipeline,
    /// Losses and validations of the anomaly model that is kept.
    pub history: History,
    /// The good training pieces with the scores by which some were left out as
    /// mislabelled; empty unless that was asked for.
    pub sifted: Vec<SiftedPiece>,
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
    if settings.model.baseline().is_some() {
        return Err(Error::setting(
            "model",
            "a supervised model is trained by `goma train` alone; hybrid or draem expected",
        ));
    }
    let training = plan.fold.training(plan.dataset);
    let reader =
        ImageReader::new(plan.dataset.format.clone(), plan.limits).within(plan.roi.as_ref());
    let mut unreadable = Vec::new();

    let (seen, fitting) = divided(&training, settings, seed)?;
    let trainer = Trainer {
        plan: &plan,
        reader: &reader,
        seed,
    };
    let parts = match settings.fitting.maps {
        MapFitting::CrossFit => trainer.parts(&training)?,
        MapFitting::HeldOut | MapFitting::Seen => Vec::new(),
    };
    let trained = trainer.draem(&seen, "draem", plan.recorder, observer)?;
    let sifted = trained.sifted();
    let Trained { draem, history, .. } = trained;
    unreadable.extend(trained.unreadable);

    let backbone = match (settings.model, &plan.backbone) {
        (ModelKind::Hybrid, Some(backbone)) => Some(backbone),
        (ModelKind::Hybrid, None) => return Err(Error::data("a hybrid model needs a backbone")),
        _ => None,
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
        MapFitting::HeldOut => decide::good_repeat(seen.len(), kept),
        MapFitting::CrossFit | MapFitting::Seen => 1,
    };
    let on = FittingRows {
        samples: &samples,
        rows: &rows,
        good_repeat,
    };
    let decided = decide::fit_deciders(on, mode, plan.dataset, settings, seed, observer)?;

    let test = labelled_test(plan.dataset, &plan.fold);
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
    if let Some(start) = plan.start {
        notes.push(format!(
            "the anomaly model began with the weights of {} ({}), learnt at {2} x {2} pixels",
            start.name,
            &start.hash[..12],
            start.draem.shape().size
        ));
    }
    if !unreadable.is_empty() {
        notes.push(format!(
            "{} pieces could not be read and were left out",
            unreadable.len()
        ));
    }
    if trained.validation_pieces > 0 {
        notes.push(format!(
            "{} of the good pieces for the anomaly model were not trained on: the weights of step \
             {}, best on defects simulated on them, were kept",
            trained.validation_pieces,
            history.kept_step.unwrap_or(settings.draem.steps)
        ));
    }
    if !sifted.is_empty() {
        notes.push(format!(
            "{} of {} good training pieces looked mislabelled and were left out (contamination.csv)",
            sifted.iter().filter(|s| s.left_out).count(),
            sifted.len()
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
        history,
        sifted,
        evaluation,
        unreadable,
    })
}

/// What the anomaly model is trained on, and what everything after it is fitted on.
fn divided<'d>(
    training: &TrainingSet<'d>,
    settings: &Settings,
    seed: Seed,
) -> Result<(TrainingSet<'d>, TrainingSet<'d>)> {
    match settings.fitting.maps {
        MapFitting::HeldOut => {
            training.split_good(settings.fitting.kept_back, seed.derive("fit.kept-back", 0))
        }
        MapFitting::CrossFit | MapFitting::Seen => Ok((training.good(), training.clone())),
    }
}

/// The pieces that are measured on.
fn labelled_test<'d>(dataset: &'d Dataset, fold: &Fold) -> Vec<&'d Sample> {
    let test = fold.test().iter().map(|&i| &dataset.samples[i]);
    test.filter(|sample| sample.label().is_some()).collect()
}

/// The good pieces that the anomaly model of a [`Plan`] with these settings learns
/// from or is validated on.
///
/// # Errors
/// As for [`fit`], if the pieces cannot be divided so.
pub fn seen<'d>(
    dataset: &'d Dataset,
    fold: &Fold,
    settings: &Settings,
    seed: u64,
) -> Result<Vec<&'d Sample>> {
    let (seen, _) = divided(&fold.training(dataset), settings, Seed::new(seed))?;
    Ok(seen.samples().collect())
}

/// The pieces that the anomaly model of a [`Plan`] with these settings must not
/// have seen: those measured on, and the good ones whose maps are to look like a
/// new piece's.
///
/// # Errors
/// As for [`fit`], if the pieces cannot be divided so.
pub fn to_be_new<'d>(
    dataset: &'d Dataset,
    fold: &Fold,
    settings: &Settings,
    seed: u64,
) -> Result<Vec<&'d Sample>> {
    let mut new = labelled_test(dataset, fold);
    if settings.fitting.maps != MapFitting::Seen {
        let (_, fitting) = divided(&fold.training(dataset), settings, Seed::new(seed))?;
        new.extend(fitting.good().samples());
    }
    Ok(new)
}

/// What was fitted on which maps, for people.
fn maps_sentence(settings: &Settings) -> String {
    let f = &settings.fitting;
    let fitted = match settings.model {
        ModelKind::Draem => "the threshold was fitted",
        _ => "classifier and threshold were fitted",
    };
    match f.maps {
        MapFitting::HeldOut => format!(
            "{fitted} on maps of the defective pieces and of the {:.0}% of good pieces that the \
             anomaly model did not see",
            100.0 * f.kept_back
        ),
        MapFitting::CrossFit => format!(
            "{fitted} on maps from {} anomaly models, none of which had seen the pieces whose maps \
             it drew",
            f.cross_fit_parts
        ),
        MapFitting::Seen => format!(
            "{fitted} on maps of pieces that the anomaly model was trained on, as the paper does: \
             good pieces look better there than a new one will"
        ),
    }
}

/// A data set in a few words: counts, classes, channels; no path.
#[must_use]
pub fn describe(dataset: &Dataset) -> String {
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
        recorder: Option<&dyn Recorder>,
        observer: &dyn Observer,
    ) -> Result<Trained> {
        let checkpoint = |trained: &[SampleId], validation: &[SampleId]| Checkpoint {
            path: self.checkpoint(name),
            resume: self.plan.resume,
            fingerprint: self.fingerprint(trained, validation),
        };
        let job = AnomalyJob {
            reader: self.reader,
            options: &self.plan.settings.draem,
            start: self.plan.start.map(|start| &start.draem),
            pictures: &self.plan.pictures,
            roi: self.plan.roi.as_ref(),
            seed: self.seed.derive(name, 0),
            device: &self.plan.device,
            checkpoint: &checkpoint,
            recorder,
        };
        job.train(pieces, observer)
    }

    fn checkpoint(&self, name: &str) -> PathBuf {
        self.plan.workspace.join(format!("{name}.checkpoint"))
    }

    /// What must agree for a checkpoint to be taken up.
    fn fingerprint(&self, trained: &[SampleId], validation: &[SampleId]) -> String {
        let mut hash = Sha256::new();
        hash.update(self.plan.seed.to_le_bytes());
        hash.update(format!("{:?}", self.plan.settings.draem));
        hash.update(format!("{:?}", self.plan.dataset.format));
        for ids in [trained, validation] {
            for id in ids {
                hash.update(id.as_str());
                hash.update([0]);
            }
            hash.update([1]);
        }
        if let Some(start) = self.plan.start {
            hash.update(&start.hash);
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
        let parts = training.parts(count, self.seed)?;
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
            let name = format!("draem-part-{part}");
            let draem = self.draem(&others, &name, None, observer)?.draem;
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
