//! Training of the anomaly model on good pieces alone.
//!
//! DRAEM sections 3.1 to 3.4: in every step a batch of good images gets
//! simulated defects; the reconstructive network is to undo them (L2 + SSIM),
//! the discriminative one to mark them (focal loss); both learn together.
//!
//! Beyond the paper, each switched by its option: the weights are averaged
//! ([`Ema`](crate::nn::ema::Ema)), at equal intervals the averaged model is validated and the best
//! kept ([`validate`]), and pieces that look mislabelled are
//! left out ([`contamination`](super::contamination)). A training may begin
//! from the weights of another.

use super::DraemOptions;
use super::contamination::{Plan, Sifting};
use super::model::{Draem, Drawing};
use super::simulate::{Simulated, simulate};
use super::source::{AnomalySource, DefectKind};
use super::validate::{self, Validation, ValidationRow};
use crate::error::{Error, Result};
use crate::nn::checkpoint::Checkpoint;
use crate::nn::thread_pool::on_pool;
use crate::progress::Observer;
use crate::random::Seed;
use candle_core::Device;
use ndarray::{Array2, Array3};
use rand::seq::SliceRandom;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

mod state;

use state::State;

/// Good images, `[channels, size, size]`, all of one shape.
#[derive(Debug, Clone, Copy)]
pub struct Pieces<'a> {
    /// What is trained on.
    pub train: &'a [Array3<f32>],
    /// Where in those losses are taken; empty: everywhere.
    pub regions: &'a LossRegions,
    /// What is validated on. Without any, the last weights are kept.
    pub validation: &'a [Array3<f32>],
}

/// The losses of one step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LossRow {
    /// Counted from 1.
    pub step: usize,
    /// Sum of the three.
    pub total: f64,
    /// Mean squared difference of restored and good image.
    pub l2: f64,
    /// 1 - SSIM of the two.
    pub ssim: f64,
    /// Focal loss of the mask.
    pub focal: f64,
    /// Learning rate of the step.
    pub learning_rate: f64,
    /// Euclidean norm of all gradients, before clipping.
    pub gradient_norm: f64,
}

/// What happened in a training run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// A row for each step.
    pub losses: Vec<LossRow>,
    /// A row for each validation.
    pub validations: Vec<ValidationRow>,
    /// What was found of training pieces that look mislabelled.
    pub siftings: Vec<Sifting>,
    /// After how many steps the kept weights were taken, if by validation.
    pub kept_step: Option<usize>,
}

/// A sample and what the model made of it.
#[derive(Debug)]
pub struct Shown {
    /// The sample.
    pub sample: Simulated,
    /// The restored image and the map.
    pub drawing: Drawing,
}

/// Is told how a training goes, to show it to people while it runs.
pub trait Recorder: Sync {
    /// Examples of each kind of simulated defect, before the first step.
    ///
    /// # Errors
    /// Whatever writing them says; the training then ends.
    fn examples(&self, examples: &[(DefectKind, Vec<Simulated>)]) -> Result<()>;

    /// The history so far, and the same samples each time, drawn by the model
    /// as it is.
    ///
    /// # Errors
    /// As for [`Recorder::examples`].
    fn progress(&self, history: &History, shown: &[Shown]) -> Result<()>;
}

/// Who watches a training, and where it keeps what it needs to go on.
#[derive(Clone, Copy)]
pub struct Watch<'a> {
    /// Where to go on from after a stop.
    pub checkpoint: Option<&'a Checkpoint>,
    /// Who is told of losses and pictures.
    pub recorder: Option<&'a dyn Recorder>,
    /// Who is told of the steps.
    pub observer: &'a dyn Observer,
}

/// How often the checkpoint is written.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(60);

/// The part of each image that losses are taken in, `[size, size]`, in the order
/// of the images; none at all if they are taken everywhere.
pub type LossRegions = [Arc<Array2<bool>>];

/// Trains on good images.
///
/// Where `regions` are given, losses are taken inside them alone. With `start`
/// the networks begin with its weights, and not with drawn ones; optimiser and
/// average begin anew. Its size may be another.
///
/// The same images, options and seed give the same weights, also across a stop
/// and a resume, on the CPU.
///
/// # Errors
/// [`Error::Stopped`] after a requested stop, with the checkpoint written;
/// [`Error::Data`] without images; [`Error::Setting`] if `start` has other
/// channels or widths; [`Error::NotFinite`] if training diverges.
pub fn fit(
    pieces: Pieces<'_>,
    start: Option<&Draem>,
    source: &AnomalySource,
    options: &DraemOptions,
    seed: Seed,
    device: &Device,
    watch: Watch<'_>,
) -> Result<(Draem, History)> {
    options.check()?;
    let Watch {
        checkpoint,
        recorder,
        observer,
    } = watch;
    let images = pieces.train;
    let first = images
        .first()
        .ok_or_else(|| Error::data("there is no good piece to train the anomaly model on"))?;
    let expected = (first.dim().0, options.size, options.size);
    let mut all = images.iter().chain(pieces.validation);
    if let Some(other) = all.find(|i| i.dim() != expected) {
        return Err(Error::shape("training image", other.dim(), expected));
    }
    let regions = pieces.regions.len();
    if regions > 0 && regions != images.len() {
        return Err(Error::shape("loss regions", regions, images.len()));
    }
    let mut state = State::new(expected.0, options, start, seed, device)?;
    if let Some(checkpoint) = checkpoint
        && state.load(checkpoint)?
    {
        observer.note(&format!("going on from step {}", state.done()));
    }
    let validation = Validation {
        pieces: match pieces.validation {
            [] => images,
            kept_back => kept_back,
        },
        source,
        options: &options.simulation,
        seed: seed.derive("draem.validation", 0),
    };
    let shown = match recorder {
        None => Vec::new(),
        Some(recorder) => {
            if state.done() == 0 {
                recorder.examples(&validation.examples())?;
            }
            validation.shown()
        }
    };
    let plan = Plan::new(
        images.len(),
        options.contamination,
        options.steps,
        seed.derive("draem.contamination", 0),
    );
    observer.begin("training anomaly model", options.steps as u64);
    observer.skip(state.done() as u64);
    let mut written = Instant::now();
    let mut order = Order::new(plan.trained_on(&state.history.siftings), seed);
    for step in state.done()..options.steps {
        if observer.stop_requested() {
            if let Some(checkpoint) = checkpoint {
                state.save(checkpoint)?;
            }
            observer.end();
            return Err(Error::Stopped);
        }
        if let Some(part) = plan.due(step, &state.history.siftings) {
            let sifting = plan.sift(&state.model()?, images, part, step)?;
            state.history.siftings.push(sifting);
            order = Order::new(plan.trained_on(&state.history.siftings), seed);
        }
        order.prepare(step * options.batch, options.batch);
        let step_seed = seed.derive("draem.step", step as u64);
        let (batch, regions): (Vec<Simulated>, Vec<_>) = (0..options.batch)
            .into_par_iter()
            .map(|i| {
                let drawn = order.at(step * options.batch + i);
                let seed = step_seed.derive("sample", i as u64);
                let sample = simulate(images[drawn].view(), source, &options.simulation, seed);
                let region = pieces.regions.get(drawn);
                let region = region.map(|region| sample.variation.of_region(region));
                (sample, region)
            })
            .unzip();
        let regions: Vec<_> = regions.into_iter().flatten().collect();
        let work = || state.step(step, &batch, &regions, options);
        on_pool(device, work)?;
        if options.validates_after(step + 1) {
            let model = state.model()?;
            if !pieces.validation.is_empty() {
                state.validated(validation.measure(&model, step + 1)?)?;
            }
            if let Some(recorder) = recorder {
                recorder.progress(&state.history, &drawn(&model, &shown)?)?;
            }
        }
        observer.advance(1);
        if step % 20 == 19 {
            let recent = &state.history.losses[step - 19..];
            let mean = recent.iter().map(|r| r.total).sum::<f64>() / recent.len() as f64;
            observer.detail(&format!("loss {mean:.4}"));
        }
        if let Some(checkpoint) = checkpoint
            && written.elapsed() > CHECKPOINT_EVERY
        {
            state.save(checkpoint)?;
            written = Instant::now();
        }
    }
    if let Some(checkpoint) = checkpoint {
        // What comes after the training may be stopped, too.
        state.save(checkpoint)?;
    }
    observer.end();
    Ok((state.kept_model()?, state.history))
}

fn drawn(model: &Draem, samples: &[Simulated]) -> Result<Vec<Shown>> {
    let drawings = validate::draw(model, samples)?;
    let samples = samples.iter().cloned();
    Ok(samples
        .zip(drawings)
        .map(|(sample, drawing)| Shown { sample, drawing })
        .collect())
}

/// Every image once, in a new order, before any comes again.
struct Order {
    images: Vec<usize>,
    seed: Seed,
    rounds: HashMap<usize, Vec<usize>>,
}

impl Order {
    fn new(images: Vec<usize>, seed: Seed) -> Self {
        Self {
            images,
            seed,
            rounds: HashMap::new(),
        }
    }

    /// Draws the rounds that `draws` draws from `first` on fall into.
    fn prepare(&mut self, first: usize, draws: usize) {
        let wanted = first / self.images.len()..=(first + draws) / self.images.len();
        self.rounds.retain(|round, _| wanted.contains(round));
        for round in wanted {
            let (images, seed) = (&self.images, self.seed);
            self.rounds.entry(round).or_insert_with(|| {
                let mut order = images.clone();
                order.shuffle(&mut seed.derive("draem.order", round as u64).rng());
                order
            });
        }
    }

    fn at(&self, draw: usize) -> usize {
        self.rounds[&(draw / self.images.len())][draw % self.images.len()]
    }
}

#[cfg(test)]
mod tests;
