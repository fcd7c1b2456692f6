//! The training loop: epochs of steps, after each the validation pieces, and
//! of all networks on the way the one that ranked those best.

use super::measure::{best_f1, ranking};
use super::model::{
    Baseline, BaselineShape, outputs, predictions, run_engine, square, stage_channels,
};
use super::network::{Freeze, Network, Pass};
use super::optimiser::Optimiser;
use super::options::BaselineOptions;
use super::pieces::{PieceReader, Pieces, check_classes, read};
use super::schedule::Schedule;
use super::start::{Kind, architecture, load};
use super::view::View;
use crate::data::annotation::GOOD;
use crate::data::fold::TrainingSet;
use crate::data::prediction::Prediction;
use crate::data::sample::Sample;
use crate::error::{Error, Result};
use crate::metrics::bootstrap::quantile;
use crate::nn::checkpoint::Checkpoint;
use crate::nn::engine::Engine;
use crate::nn::loss::{Loss, binary_cross_entropy, cross_entropy};
use crate::nn::parameters::Parameters;
use crate::nn::thread_pool::on_pool;
use crate::nn::weights::WeightFile;
use crate::progress::Observer;
use crate::random::Seed;
use candle_core::{Device, Tensor};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often the checkpoint is written within an epoch.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(60);
/// Pictures of a validation pass.
const PASS: usize = 16;
/// The heatmaps' unit: what the peaks of this share of good pieces stay below.
const PEAK_SHARE: f64 = 0.95;

/// What is trained, and how.
pub struct Job<'a> {
    /// The network.
    pub kind: Kind,
    /// Every number of the recipe.
    pub options: &'a BaselineOptions,
    /// Weights that a ResNet starts from; without them, drawn ones.
    pub start: Option<&'a WeightFile>,
    /// Reads the pieces.
    pub reader: &'a dyn PieceReader,
    /// The root of all random choices.
    pub seed: Seed,
    /// Where the network runs.
    pub device: &'a Device,
    /// Where to keep what a stopped run needs; `None`: nowhere.
    pub checkpoint: Option<Checkpoint>,
}

/// One epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochRow {
    /// Counted from 1.
    pub epoch: usize,
    /// Step size of the epoch.
    pub learning_rate: f64,
    /// Mean loss of the training batches, pictures varied.
    pub train_loss: f64,
    /// Mean loss of the validation pieces, weighted as in training.
    pub validation_loss: f64,
    /// Average precision of the defects on the validation pieces; with more
    /// than two classes the mean over the classes, each against the rest.
    pub validation_auc_pr: f64,
    /// Best F1 of the defects there.
    pub validation_f1: f64,
    /// Whether it is the best so far.
    pub best: bool,
}

/// What training gives.
pub struct Fitted<'a> {
    /// The network of the best epoch.
    pub baseline: Baseline,
    /// All epochs.
    pub curve: Vec<EpochRow>,
    /// Pieces that were trained on.
    pub trained: usize,
    /// Pieces that checkpoint and threshold are chosen on.
    pub validation: Vec<&'a Sample>,
    /// What the network says of them.
    pub predictions: Vec<Prediction>,
    /// Pieces that could not be read, and why.
    pub unreadable: Vec<(&'a Sample, String)>,
}

/// Trains a network on labelled pieces, a share of which (see
/// [`BaselineOptions::validation_share`]) chooses the best epoch.
///
/// Pieces are read anew for every step, so that memory does not grow with
/// their number. The last batch of an epoch is left out if it holds one piece
/// alone: batch norm cannot work on it. The same pieces, options and seed give
/// the same weights, also across a stop and a resume, on the CPU.
///
/// # Errors
/// [`Error::Stopped`] after a requested stop, with the checkpoint written;
/// [`Error::Data`] if a class is missing on either side; [`Error::NotFinite`]
/// if training diverges; [`Error::Setting`]; whatever a step says.
pub fn fit<'a>(
    training: &TrainingSet<'a>,
    job: &Job<'_>,
    observer: &dyn Observer,
) -> Result<Fitted<'a>> {
    job.options.check()?;
    let (train, validation) = divide(training, job.options, job.seed)?;
    let classes: Arc<[String]> = training.classes().to_vec().into();
    let view = View::new(job.options, job.reader);
    let mut unreadable = Vec::new();
    let mut readable = |set: &TrainingSet<'a>| -> Result<Pieces<'a>> {
        let (pieces, bad) = Pieces::readable(set, job.reader, &view, observer)?;
        unreadable.extend(bad);
        Ok(pieces)
    };
    let (train, validation) = (readable(&train)?, readable(&validation)?);
    check_classes(&classes, &train.class, &validation.class)?;

    let mut run = Run::begin(job, &classes, view, &train)?;
    let outcome = run.epochs(&train, &validation, observer);
    observer.end();
    outcome?;
    let mut baseline = run.best(&classes)?;
    baseline.set_heatmap_unit(heatmap_unit(&baseline, &validation, job.reader)?);
    let mut predictions = Vec::new();
    for samples in validation.samples.chunks(PASS) {
        predictions.extend(baseline.predict(&read(samples, job.reader)?)?);
    }
    Ok(Fitted {
        baseline,
        curve: run.progress.curve,
        trained: train.samples.len(),
        validation: validation.samples,
        predictions,
        unreadable,
    })
}

/// What is trained on, and what chooses epoch and threshold.
fn divide<'a>(
    training: &TrainingSet<'a>,
    options: &BaselineOptions,
    seed: Seed,
) -> Result<(TrainingSet<'a>, TrainingSet<'a>)> {
    let seed = seed.derive("baseline.validation", 0);
    training.split_validation(options.validation_share, seed)
}

/// Whether [`fit`] could train on these pieces if all can be read: how many it
/// would take steps on.
///
/// # Errors
/// [`Error::Data`] saying what is missing.
pub fn check(training: &TrainingSet<'_>, options: &BaselineOptions, seed: Seed) -> Result<usize> {
    let (train, validation) = divide(training, options, seed)?;
    let of = |set: &TrainingSet<'_>| set.class_indices();
    check_classes(training.classes(), &of(&train), &of(&validation))?;
    Ok(train.len())
}

/// The 95% quantile of the raw maps' peaks of good validation pieces (of all,
/// where none is good).
fn heatmap_unit(baseline: &Baseline, pieces: &Pieces<'_>, reader: &dyn PieceReader) -> Result<f32> {
    let good: Vec<&Sample> = pieces
        .samples
        .iter()
        .copied()
        .filter(|s| s.label() == Some(GOOD))
        .collect();
    let of = if good.is_empty() {
        &pieces.samples
    } else {
        &good
    };
    let mut peaks = Vec::new();
    for samples in of.chunks(PASS) {
        peaks.extend(baseline.raw_peaks(&read(samples, reader)?)?);
    }
    let mut peaks: Vec<f64> = peaks.into_iter().map(f64::from).collect();
    peaks.sort_unstable_by(f64::total_cmp);
    // A network that answers to nothing in good pieces has no peak there.
    Ok(quantile(&peaks, PEAK_SHARE).max(1e-6) as f32)
}

/// A run under way.
/// What of a run's state is no tensor.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Progress {
    /// Finished epochs.
    curve: Vec<EpochRow>,
    /// Loss and size of each batch of the epoch under way.
    losses: Vec<(f64, usize)>,
    schedule: Schedule,
}

struct Run<'a> {
    job: &'a Job<'a>,
    shape: BaselineShape,
    classes: Arc<[String]>,
    parameters: Parameters,
    network: Network,
    optimiser: Optimiser,
    positive_weight: f64,
    class_weights: Vec<f64>,
    progress: Progress,
    best: HashMap<String, Tensor>,
}

impl<'a> Run<'a> {
    fn begin(
        job: &'a Job<'a>,
        classes: &Arc<[String]>,
        view: View,
        train: &Pieces<'_>,
    ) -> Result<Self> {
        let options = job.options;
        let architecture = architecture(job.kind, options, job.start, view.channels)?;
        let outputs = outputs(classes);
        let parameters = Parameters::new(job.seed.derive("baseline.weights", 0), job.device);
        let network = Network::new(&parameters.root(), &architecture, outputs)?;
        if let Some(file) = job.start {
            load(&parameters, file, &view, job.device)?;
        }
        let mut run = Self {
            optimiser: Optimiser::new(&parameters, options)?,
            network,
            parameters,
            shape: BaselineShape {
                architecture,
                outputs,
                view,
                heatmap: options.heatmap,
                heatmap_unit: 1.0,
            },
            classes: classes.clone(),
            positive_weight: options.balance.positive_weight(&train.class),
            class_weights: options.balance.class_weights(&train.class, classes.len()),
            progress: Progress {
                curve: Vec::new(),
                losses: Vec::new(),
                schedule: Schedule::new(options),
            },
            best: HashMap::new(),
            job,
        };
        if let Some(checkpoint) = &job.checkpoint
            && let Some(mut saved) = checkpoint.read(job.device)?
        {
            run.parameters.load(&saved.take("network"))?;
            run.optimiser.load_state(&saved.take("optimiser"))?;
            run.best = saved.take("best");
            run.progress = saved.progress;
        }
        Ok(run)
    }

    fn save(&self) -> Result<()> {
        let Some(checkpoint) = &self.job.checkpoint else {
            return Ok(());
        };
        let mut best: Vec<(String, Tensor)> = self.best.clone().into_iter().collect();
        best.sort_by(|a, b| a.0.cmp(&b.0));
        let parts = [
            ("network", self.parameters.tensors()),
            ("optimiser", self.optimiser.state()?),
            ("best", best),
        ];
        checkpoint.write(&self.progress, parts)
    }

    /// All epochs that are left.
    fn epochs(
        &mut self,
        train: &Pieces<'_>,
        validation: &Pieces<'_>,
        observer: &dyn Observer,
    ) -> Result<()> {
        let options = self.job.options;
        let each = batches(train.samples.len(), options.batch).len();
        let what = format!("training {}", self.shape.architecture.name());
        observer.begin(&what, steps(train.samples.len(), options) as u64);
        observer.skip((each * self.progress.curve.len() + self.progress.losses.len()) as u64);
        let mut written = Instant::now();
        while self.progress.curve.len() < options.epochs && !self.has_stalled() {
            let epoch = self.progress.curve.len();
            let seed = self.job.seed.derive("baseline.epoch", epoch as u64);
            let order = options.balance.order(&train.class, seed.derive("order", 0));
            self.optimiser
                .set_learning_rate(self.progress.schedule.learning_rate);
            let frozen = match options.unfreeze_epoch {
                n if n > 0 && epoch >= n => Freeze::none(),
                _ => options.freeze,
            };
            for (step, batch) in batches(order.len(), options.batch).into_iter().enumerate() {
                if step < self.progress.losses.len() {
                    continue; // done before a stop
                }
                if observer.stop_requested() {
                    self.save()?;
                    return Err(Error::Stopped);
                }
                let chosen = &order[batch];
                let seed = seed.derive("step", step as u64);
                let device = self.job.device;
                let loss = on_pool(device, || self.step(train, chosen, frozen, seed))?;
                self.progress.losses.push((loss, chosen.len()));
                observer.advance(1);
                if written.elapsed() > CHECKPOINT_EVERY {
                    self.save()?;
                    written = Instant::now();
                }
            }
            self.end_epoch(validation, observer)?;
            self.save()?;
            written = Instant::now();
        }
        Ok(())
    }

    /// Whether early stopping is due.
    fn has_stalled(&self) -> bool {
        let patience = self.job.options.early_stopping;
        let since = self
            .progress
            .curve
            .iter()
            .rev()
            .take_while(|row| !row.best)
            .count();
        patience > 0 && since >= patience
    }

    /// One batch forth and back; the loss.
    fn step(
        &mut self,
        train: &Pieces<'_>,
        chosen: &[usize],
        frozen: Freeze,
        seed: Seed,
    ) -> Result<f64> {
        let view = &self.shape.view;
        let options = self.job.options;
        let pictures: Vec<Vec<f32>> = chosen
            .par_iter()
            .enumerate()
            .map(|(place, &piece)| {
                let picture = view.picture(&self.job.reader.read(train.samples[piece])?)?;
                let seed = seed.derive("piece", place as u64);
                Ok(view.values(&options.augment.vary(&picture, seed)))
            })
            .collect::<Result<_>>()?;
        let shape = (chosen.len(), view.channels, view.size, view.size);
        let x = Tensor::from_vec(pictures.concat(), shape, self.job.device)?;
        let pass = Pass {
            frozen,
            dropout: options.dropout,
            seed: seed.derive("dropout", 0),
        };
        let scores = self.network.train(&x, pass)?;
        let class: Vec<usize> = chosen.iter().map(|&i| train.class[i]).collect();
        let loss = self.loss(&scores, &class)?;
        self.optimiser.step(&loss.backward(&scores)?)?;
        Ok(loss.value)
    }

    fn loss(&self, scores: &Tensor, class: &[usize]) -> Result<Loss> {
        let values: Vec<f32> = scores.flatten_all()?.to_vec1()?;
        let values: Vec<f64> = values.into_iter().map(f64::from).collect();
        match self.shape.outputs {
            1 => {
                let positive: Vec<bool> = class.iter().map(|c| *c > 0).collect();
                binary_cross_entropy(&values, &positive, self.positive_weight)
            }
            _ => cross_entropy(&values, class, &self.class_weights),
        }
    }

    /// Measures the epoch on the validation pieces and keeps it if it is the best.
    fn end_epoch(&mut self, validation: &Pieces<'_>, observer: &dyn Observer) -> Result<()> {
        let scores = self.validation_scores(validation)?;
        let found = predictions(&scores, &self.classes)?;
        let loss = self.loss(&scores, &validation.class)?.value;
        if !loss.is_finite() {
            return Err(Error::NotFinite {
                what: "the validation loss".into(),
                row: self.progress.curve.len(),
            });
        }
        let auc_pr = ranking(&found, &validation.class, self.classes.len())?;
        let losses = std::mem::take(&mut self.progress.losses);
        let pieces: usize = losses.iter().map(|(_, n)| n).sum();
        let sum: f64 = losses.iter().map(|(loss, n)| loss * *n as f64).sum();
        let curve = &mut self.progress.curve;
        let best = curve.iter().all(|row| auc_pr > row.validation_auc_pr);
        let row = EpochRow {
            epoch: curve.len() + 1,
            learning_rate: self.progress.schedule.learning_rate,
            train_loss: sum / pieces.max(1) as f64,
            validation_loss: loss,
            validation_auc_pr: auc_pr,
            validation_f1: best_f1(&found, &validation.class, self.classes[0] == GOOD)?,
            best,
        };
        observer.detail(&format!(
            "epoch {}: loss {:.4}, validation AUC-PR {:.4}",
            row.epoch, row.train_loss, row.validation_auc_pr
        ));
        curve.push(row);
        self.progress.schedule.after(self.job.options, auc_pr);
        if best {
            self.best = self
                .parameters
                .tensors()
                .into_iter()
                .map(|(name, t)| Ok((name, t.copy()?.detach())))
                .collect::<Result<_>>()?;
        }
        Ok(())
    }

    /// Class scores `[n, outputs]` of the network as it is now.
    fn validation_scores(&self, validation: &Pieces<'_>) -> Result<Tensor> {
        let view = &self.shape.view;
        let last = self.network.stages() - 1;
        let engine = match self.job.device {
            Device::Cpu => Some(Engine::new(self.network.graph(last)?)),
            _ => None,
        };
        let mut scores = Vec::new();
        for samples in validation.samples.chunks(PASS) {
            let pictures: Vec<Vec<f32>> = samples
                .par_iter()
                .map(|s| Ok(view.values(&view.picture(&self.job.reader.read(s)?)?)))
                .collect::<Result<_>>()?;
            let n = pictures.len();
            let image = match &engine {
                Some(engine) => {
                    let [_, values] = run_engine(engine, &pictures, view.size)?;
                    let channels = stage_channels(&self.shape.architecture, last);
                    let (c, h, w) = square(channels, values.len() / n)?;
                    Tensor::from_vec(values, (n, c, h, w), self.job.device)?
                }
                None => {
                    let shape = (n, view.channels, view.size, view.size);
                    let x = Tensor::from_vec(pictures.concat(), shape, self.job.device)?;
                    self.network.up_to(last, &x)?
                }
            };
            scores.push(self.network.after_stage(last, &image)?.detach());
        }
        Ok(Tensor::cat(&scores, 0)?)
    }

    /// The network of the best epoch.
    fn best(&self, classes: &Arc<[String]>) -> Result<Baseline> {
        let weights = self.best.clone();
        Baseline::new(
            self.shape.clone(),
            classes.clone(),
            weights,
            self.job.device,
        )
    }
}

/// The steps of a training on so many pieces that is not stopped early.
#[must_use]
pub fn steps(pieces: usize, options: &BaselineOptions) -> usize {
    batches(pieces, options.batch).len() * options.epochs
}

/// The stretches of an epoch's order; a last piece alone is left out.
fn batches(pieces: usize, batch: usize) -> Vec<std::ops::Range<usize>> {
    (0..pieces)
        .step_by(batch)
        .map(|first| first..(first + batch).min(pieces))
        .filter(|range| range.len() > 1 || pieces == 1)
        .collect()
}

#[cfg(test)]
#[path = "train_tests.rs"]
mod tests;
