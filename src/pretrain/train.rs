//! The pretraining loop: two classifications of fresh pictures, AdamW, a
//! cosine, and the moving average of the weights as the result.

use super::options::PretrainOptions;
use super::schedule::warm_cosine;
use super::textures::{Event, FAMILIES, Picture, pictures};
use crate::error::{Error, Result};
use crate::nn::checkpoint::Checkpoint;
use crate::nn::ema::Ema;
use crate::nn::layers::Mode;
use crate::nn::optim::{Adam, AdamOptions};
use crate::nn::parameters::Parameters;
use crate::nn::resnet::{Classifier, ResNetConfig};
use crate::nn::thread_pool::on_pool;
use crate::nn::weights::{Precision, Weight, write_safetensors};
use crate::progress::Observer;
use crate::random::Seed;
use candle_core::{D, Device, Tensor};
use rand::Rng;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// ImageNet's mean and deviation, with which all backbones see pictures.
const MEAN: [f32; 3] = crate::extract::IMAGENET_MEAN;
const DEVIATION: [f32; 3] = crate::extract::IMAGENET_DEVIATION;

/// Whether a run begins or goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// From nothing.
    Fresh,
    /// From the checkpoint in the output folder, if there is one.
    Resume,
}

/// Means over the last steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Steps done.
    pub step: u64,
    /// The learning rate then.
    pub learning_rate: f64,
    /// Cross-entropy of the families, in nats.
    pub family_loss: f64,
    /// Cross-entropy of the events, in nats.
    pub event_loss: f64,
    /// Share of pictures whose family was most probable.
    pub family_accuracy: f64,
    /// Share of pictures whose event was most probable.
    pub event_accuracy: f64,
}

/// What came of a finished run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// As resolved.
    pub options: PretrainOptions,
    /// Number of trained parameters, the classifier's included.
    pub parameters: usize,
    /// Pictures it was measured on; none of them was trained on.
    pub held_out: usize,
    /// Accuracy there, of chance 1 in [`FAMILIES`].
    pub family_accuracy: f64,
    /// Accuracy there, of chance 1 in 4 (most pictures have an event).
    pub event_accuracy: f64,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// All steps done.
    Finished {
        /// The weights.
        weights: PathBuf,
        /// How good they are.
        report: Report,
    },
    /// Asked to stop; the checkpoint and usable weights are in the folder.
    Stopped {
        /// Steps done.
        step: u64,
    },
}

/// Steps between two points of the curve, and between two checkpoints.
const CURVE_STEPS: u64 = 50;
const CHECKPOINT_STEPS: u64 = 500;

impl PretrainOptions {
    /// Trains, and writes into `folder` (which exists): the averaged weights
    /// (`goma-DEPTH-wWIDTH.safetensors`, 16 bits, without the classifier),
    /// `loss.csv`, `pretrain.json`, and while it runs a checkpoint.
    ///
    /// # Errors
    /// [`Error::Setting`]; [`Error::Io`]; [`Error::NotFinite`] if it diverges.
    pub fn fit(
        &self,
        folder: &Path,
        start: Start,
        device: &Device,
        observer: &dyn Observer,
    ) -> Result<Outcome> {
        self.check()?;
        let mut run = Run::begin(self, folder, start, device)?;
        run.write_curve()?;
        observer.begin("pretraining", self.steps);
        observer.skip(run.step);
        let outcome = run.finish_steps(observer);
        observer.end();
        outcome
    }

    fn config(&self) -> ResNetConfig {
        ResNetConfig {
            depth: self.depth,
            width: self.width,
            channels: 3,
        }
    }

    /// The name of the weights, as `--backbone` takes it for the bundled ones.
    fn file_name(&self) -> String {
        format!("goma-{}-w{}.safetensors", self.depth, self.width)
    }
}

/// The checkpoint's name in the output folder.
const CHECKPOINT: &str = "checkpoint.safetensors";

/// What of a run's state is no tensor.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Progress {
    /// Steps done.
    step: u64,
    curve: Vec<CurvePoint>,
}

/// The settings, but for the length of a run, which may be changed on the way.
fn fingerprint(options: &PretrainOptions) -> String {
    let comparable = PretrainOptions {
        steps: 0,
        ..options.clone()
    };
    serde_json::to_string(&comparable).expect("numbers and text serialise")
}

/// A run under way.
struct Run<'a> {
    options: &'a PretrainOptions,
    folder: &'a Path,
    device: &'a Device,
    parameters: Parameters,
    network: Classifier,
    optimiser: Adam,
    average: Ema,
    checkpoint: Checkpoint,
    step: u64,
    curve: Vec<CurvePoint>,
}

impl<'a> Run<'a> {
    fn begin(
        options: &'a PretrainOptions,
        folder: &'a Path,
        start: Start,
        device: &'a Device,
    ) -> Result<Self> {
        let parameters = Parameters::new(Seed::new(options.seed).derive("weights", 0), device);
        let classes = FAMILIES.len() + Event::ALL.len();
        let network = Classifier::new(&parameters.root(), &options.config(), classes)?;
        let mut adam = AdamOptions::adam_w(options.learning_rate, options.weight_decay);
        adam.max_gradient_norm = Some(options.max_gradient_norm);
        let mut optimiser = Adam::new(&parameters, adam)?;
        let mut average = Ema::new(&parameters, options.average_decay)?;
        let mut progress = Progress::default();
        let checkpoint = Checkpoint {
            path: folder.join(CHECKPOINT),
            resume: start == Start::Resume,
            fingerprint: fingerprint(options),
        };
        if let Some(mut saved) = checkpoint.read::<Progress>(device)? {
            progress = saved.progress.clone();
            parameters.load(&saved.take("network"))?;
            optimiser.load_state(&saved.take("optimiser"))?;
            average.load(&saved.take("average"), progress.step)?;
        }
        let Progress { step, curve } = progress;
        Ok(Self {
            options,
            folder,
            device,
            parameters,
            network,
            optimiser,
            average,
            checkpoint,
            step,
            curve,
        })
    }

    fn finish_steps(&mut self, observer: &dyn Observer) -> Result<Outcome> {
        let mut sums = Sums::default();
        while self.step < self.options.steps {
            if observer.stop_requested() {
                self.save()?;
                return Ok(Outcome::Stopped { step: self.step });
            }
            sums.add(on_pool(self.device, || self.one_step())?);
            self.step += 1;
            observer.advance(1);
            if self.step.is_multiple_of(CURVE_STEPS) || self.step == self.options.steps {
                let point = sums.mean(self.step, self.optimiser.learning_rate());
                observer.detail(&format!(
                    "family {:.0}% event {:.0}%",
                    100.0 * point.family_accuracy,
                    100.0 * point.event_accuracy
                ));
                self.curve.push(point);
                self.write_curve()?;
                sums = Sums::default();
            }
            if self.step.is_multiple_of(CHECKPOINT_STEPS) {
                self.save()?;
            }
        }
        self.finish()
    }

    /// One batch forth and back; losses and numbers of hits.
    fn one_step(&mut self) -> Result<[f64; 4]> {
        let options = self.options;
        let seed = Seed::new(options.seed);
        let mut rng = seed.derive("step", self.step).rng();
        let side = options.sides[rng.random_range(0..options.sides.len())];
        let first = self.step * options.batch as u64;
        let batch = pictures(&seed.derive("train", 0), first, options.batch, side);
        let rate = warm_cosine(self.step, options.warm_up, options.steps);
        self.optimiser
            .set_learning_rate(options.learning_rate * rate);

        let scores = self
            .network
            .forward(&input(&batch, side, self.device)?, Mode::Train)?;
        let tasks = tasks(&scores, &batch, options.label_smoothing)?;
        let loss = (&tasks[0].loss + &tasks[1].loss)?;
        self.optimiser.backward_step(&loss)?;
        self.average.update()?;
        Ok([
            f64::from(tasks[0].loss.to_scalar::<f32>()?),
            f64::from(tasks[1].loss.to_scalar::<f32>()?),
            tasks[0].hits as f64 / options.batch as f64,
            tasks[1].hits as f64 / options.batch as f64,
        ])
    }

    /// The checkpoint, and weights that can be used as they are.
    fn save(&self) -> Result<()> {
        let progress = Progress {
            step: self.step,
            curve: self.curve.clone(),
        };
        let parts = [
            ("network", self.parameters.tensors()),
            ("optimiser", self.optimiser.state()?),
            ("average", self.average.tensors()?),
        ];
        self.checkpoint.write(&progress, parts)?;
        self.write_weights().map(drop)
    }

    fn write_weights(&self) -> Result<PathBuf> {
        let mut weights = BTreeMap::new();
        for (name, tensor) in self.average.tensors()? {
            if name.starts_with("fc.") {
                continue;
            }
            let weight = Weight {
                shape: tensor.dims().to_vec(),
                values: tensor.flatten_all()?.to_vec1()?,
            };
            weights.insert(name, weight);
        }
        let options = serde_json::to_string(self.options).expect("numbers serialise");
        let metadata = BTreeMap::from([
            ("made-by".to_owned(), "goma pretrain".to_owned()),
            ("options".to_owned(), options),
            ("steps".to_owned(), self.step.to_string()),
        ]);
        let path = self.folder.join(self.options.file_name());
        write_safetensors(&path, &weights, Precision::F16, &metadata)?;
        Ok(path)
    }

    fn write_curve(&self) -> Result<()> {
        let mut text = csv::Writer::from_writer(Vec::new());
        for point in &self.curve {
            text.serialize(point)
                .map_err(|e| Error::data(e.to_string()))?;
        }
        let bytes = text.into_inner().map_err(|e| Error::data(e.to_string()))?;
        crate::files::write_atomic(&self.folder.join("loss.csv"), &bytes)
    }

    fn finish(&self) -> Result<Outcome> {
        let weights = self.write_weights()?;
        let [family_accuracy, event_accuracy] = self.held_out_accuracy()?;
        let trainable = self.parameters.trainable();
        let report = Report {
            options: self.options.clone(),
            parameters: trainable.iter().map(|(_, v)| v.elem_count()).sum(),
            held_out: self.options.held_out,
            family_accuracy,
            event_accuracy,
        };
        let text = serde_json::to_string_pretty(&report).expect("numbers serialise");
        crate::files::write_atomic(&self.folder.join("pretrain.json"), text.as_bytes())?;
        let checkpoint = &self.checkpoint.path;
        if checkpoint.exists() {
            std::fs::remove_file(checkpoint).map_err(Error::io("remove", checkpoint))?;
        }
        Ok(Outcome::Finished { weights, report })
    }

    /// Shares of hits of the averaged network on pictures of another stream.
    fn held_out_accuracy(&self) -> Result<[f64; 2]> {
        let average = self.average.tensors()?.into_iter().collect();
        let frozen = Parameters::frozen(average, self.device);
        let classes = FAMILIES.len() + Event::ALL.len();
        let network = Classifier::new(&frozen.root(), &self.options.config(), classes)?;
        let seed = Seed::new(self.options.seed).derive("held-out", 0);
        let side = self.options.sides[self.options.sides.len() / 2];
        let mut hits = [0usize; 2];
        let mut first = 0;
        while first < self.options.held_out {
            let count = (self.options.held_out - first).min(64);
            let batch = pictures(&seed, first as u64, count, side);
            let scores = network.forward(&input(&batch, side, self.device)?, Mode::Eval)?;
            for (sum, task) in hits.iter_mut().zip(tasks(&scores, &batch, 0.0)?) {
                *sum += task.hits;
            }
            first += count;
        }
        Ok(hits.map(|h| h as f64 / self.options.held_out as f64))
    }
}

/// Pictures as the network sees them, `[n, 3, side, side]`.
fn input(batch: &[Picture], side: usize, device: &Device) -> Result<Tensor> {
    let area = side * side;
    let mut values = Vec::with_capacity(batch.len() * 3 * area);
    for picture in batch {
        for (c, plane) in picture.pixels.chunks_exact(area).enumerate() {
            values.extend(plane.iter().map(|v| (v - MEAN[c]) / DEVIATION[c]));
        }
    }
    Ok(Tensor::from_vec(
        values,
        (batch.len(), 3, side, side),
        device,
    )?)
}

/// One of the two classifications of a batch.
struct Task {
    /// Mean cross-entropy, in nats.
    loss: Tensor,
    hits: usize,
}

/// Families first, then events; `scores` is `[n, families + events]`.
fn tasks(scores: &Tensor, batch: &[Picture], smoothing: f64) -> Result<[Task; 2]> {
    let families: Vec<usize> = batch.iter().map(|p| p.family).collect();
    let events: Vec<usize> = batch.iter().map(|p| p.event as usize).collect();
    let (f, e) = (FAMILIES.len(), Event::ALL.len());
    Ok([
        task(&scores.narrow(1, 0, f)?, &families, smoothing)?,
        task(&scores.narrow(1, f, e)?, &events, smoothing)?,
    ])
}

/// Cross-entropy with smoothed targets (C. Szegedy and others, CVPR 2016).
fn task(scores: &Tensor, targets: &[usize], smoothing: f64) -> Result<Task> {
    let (n, classes) = scores.dims2()?;
    let mut wanted = vec![(smoothing / classes as f64) as f32; n * classes];
    for (row, &target) in targets.iter().enumerate() {
        wanted[row * classes + target] += (1.0 - smoothing) as f32;
    }
    let wanted = Tensor::from_vec(wanted, (n, classes), scores.device())?;
    let highest = scores.max_keepdim(D::Minus1)?.detach();
    let shifted = scores.broadcast_sub(&highest)?;
    let log_sum = shifted.exp()?.sum_keepdim(D::Minus1)?.log()?;
    let log_p = shifted.broadcast_sub(&log_sum)?; // [n, classes]
    let loss = ((wanted * log_p)?.sum_all()? * (-1.0 / n as f64))?;
    let best: Vec<u32> = scores.argmax(D::Minus1)?.to_vec1()?;
    let hits = best
        .iter()
        .zip(targets)
        .filter(|(b, t)| **b as usize == **t)
        .count();
    Ok(Task { loss, hits })
}

/// Sums of losses and accuracies since the last point of the curve.
#[derive(Default)]
struct Sums {
    values: [f64; 4],
    count: u32,
}

impl Sums {
    fn add(&mut self, values: [f64; 4]) {
        for (sum, value) in self.values.iter_mut().zip(values) {
            *sum += value;
        }
        self.count += 1;
    }

    fn mean(&self, step: u64, learning_rate: f64) -> CurvePoint {
        let [family_loss, event_loss, family_accuracy, event_accuracy] =
            self.values.map(|v| v / f64::from(self.count.max(1)));
        CurvePoint {
            step,
            learning_rate,
            family_loss,
            event_loss,
            family_accuracy,
            event_accuracy,
        }
    }
}

#[cfg(test)]
mod tests;
