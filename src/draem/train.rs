//! Training of the anomaly model on good pieces alone.
//!
//! DRAEM sections 3.1 to 3.4: in every step a batch of good images gets
//! simulated defects; the reconstructive network is to undo them (L2 + SSIM),
//! the discriminative one to mark them (focal loss); both learn together.

use super::DraemOptions;
use super::loss;
use super::model::{Draem, DraemShape};
use super::network::Networks;
use super::simulate::{Simulated, simulate};
use super::source::AnomalySource;
use crate::error::{Error, Result};
use crate::files;
use crate::nn::layers::Mode;
use crate::nn::optim::{Adam, AdamOptions};
use crate::nn::parameters::Parameters;
use crate::progress::Observer;
use crate::random::Seed;
use candle_core::{Device, Tensor};
use ndarray::{Array2, Array3};
use rand::seq::SliceRandom;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

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
}

/// Where training keeps what it needs to go on after a stop.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// The file.
    pub path: PathBuf,
    /// Whether to take it up if it is there.
    pub resume: bool,
    /// What must agree between the run that wrote it and the one that reads it.
    pub fingerprint: String,
}

/// How often the checkpoint is written.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(60);

/// The part of each image that losses are taken in, `[size, size]`, in the order
/// of the images; none at all if they are taken everywhere.
pub type LossRegions = [Arc<Array2<bool>>];

/// Trains on good images `[channels, size, size]`, all of one shape.
///
/// Where `regions` are given, losses are taken inside them alone.
///
/// The same images, options and seed give the same weights, also across a stop
/// and a resume, on the CPU.
///
/// # Errors
/// [`Error::Stopped`] after a requested stop, with the checkpoint written;
/// [`Error::Data`] without images; [`Error::NotFinite`] if training diverges.
#[allow(clippy::too_many_arguments)] // a training is made of all of these
pub fn fit(
    images: &[Array3<f32>],
    regions: &LossRegions,
    source: &AnomalySource,
    options: &DraemOptions,
    seed: Seed,
    device: &Device,
    checkpoint: Option<&Checkpoint>,
    observer: &dyn Observer,
) -> Result<(Draem, Vec<LossRow>)> {
    options.check()?;
    let first = images
        .first()
        .ok_or_else(|| Error::data("there is no good piece to train the anomaly model on"))?;
    let expected = (first.dim().0, options.size, options.size);
    if let Some(other) = images.iter().find(|i| i.dim() != expected) {
        return Err(Error::shape("training image", other.dim(), expected));
    }
    if !regions.is_empty() && regions.len() != images.len() {
        return Err(Error::shape("loss regions", regions.len(), images.len()));
    }
    let mut state = State::new(expected.0, options, seed, device)?;
    if let Some(checkpoint) = checkpoint.filter(|c| c.resume && c.path.exists()) {
        state.load(checkpoint)?;
        observer.note(&format!("going on from step {}", state.losses.len()));
    }
    observer.begin("training anomaly model", options.steps as u64);
    observer.skip(state.losses.len() as u64);
    let mut written = Instant::now();
    let mut order = Order::new(images.len(), seed);
    for step in state.losses.len()..options.steps {
        if observer.stop_requested() {
            if let Some(checkpoint) = checkpoint {
                state.save(checkpoint)?;
            }
            observer.end();
            return Err(Error::Stopped);
        }
        order.prepare(step * options.batch, options.batch);
        let step_seed = seed.derive("draem.step", step as u64);
        let batch: Vec<Simulated> = (0..options.batch)
            .into_par_iter()
            .map(|i| {
                let good = &images[order.at(step * options.batch + i)];
                let seed = step_seed.derive("sample", i as u64);
                simulate(good.view(), source, &options.simulation, seed)
            })
            .collect();
        let drawn = (0..options.batch).map(|i| order.at(step * options.batch + i));
        let regions: Vec<_> = drawn.filter_map(|image| regions.get(image)).collect();
        state.step(step, &batch, &regions, options)?;
        observer.advance(1);
        if step % 20 == 19 {
            let recent = &state.losses[step - 19..];
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
    observer.end();
    let shape = DraemShape {
        channels: expected.0,
        size: options.size,
        reconstructive_width: options.reconstructive_width,
        discriminative_width: options.discriminative_width,
    };
    let weights = state.parameters.tensors().into_iter().collect();
    Ok((Draem::new(shape, weights, device)?, state.losses))
}

/// Every image once, in a new order, before any comes again.
struct Order {
    images: usize,
    seed: Seed,
    rounds: HashMap<usize, Vec<usize>>,
}

impl Order {
    fn new(images: usize, seed: Seed) -> Self {
        Self {
            images,
            seed,
            rounds: HashMap::new(),
        }
    }

    /// Draws the rounds that `draws` draws from `first` on fall into.
    fn prepare(&mut self, first: usize, draws: usize) {
        let wanted = first / self.images..=(first + draws) / self.images;
        self.rounds.retain(|round, _| wanted.contains(round));
        for round in wanted {
            let (images, seed) = (self.images, self.seed);
            self.rounds.entry(round).or_insert_with(|| {
                let mut order: Vec<usize> = (0..images).collect();
                order.shuffle(&mut seed.derive("draem.order", round as u64).rng());
                order
            });
        }
    }

    fn at(&self, draw: usize) -> usize {
        self.rounds[&(draw / self.images)][draw % self.images]
    }
}

/// Everything that changes during training.
struct State {
    parameters: Parameters,
    networks: Networks,
    adam: Adam,
    losses: Vec<LossRow>,
    device: Device,
}

impl State {
    fn new(channels: usize, options: &DraemOptions, seed: Seed, device: &Device) -> Result<Self> {
        let parameters = Parameters::new(seed.derive("draem.weights", 0), device);
        let networks = Networks::new(
            &parameters.root(),
            channels,
            options.reconstructive_width,
            options.discriminative_width,
        )?;
        let adam = Adam::new(
            &parameters,
            AdamOptions {
                max_gradient_norm: (options.clip > 0.0).then_some(options.clip),
                ..AdamOptions::adam(options.learning_rate)
            },
        )?;
        Ok(Self {
            parameters,
            networks,
            adam,
            losses: Vec::new(),
            device: device.clone(),
        })
    }

    fn step(
        &mut self,
        step: usize,
        batch: &[Simulated],
        regions: &[&Arc<Array2<bool>>],
        options: &DraemOptions,
    ) -> Result<()> {
        let images = |of: fn(&Simulated) -> &Array3<f32>| -> Result<Tensor> {
            let (c, h, w) = of(&batch[0]).dim();
            let pixels: Vec<f32> = batch.iter().flat_map(|s| of(s).iter().copied()).collect();
            Ok(Tensor::from_vec(
                pixels,
                (batch.len(), c, h, w),
                &self.device,
            )?)
        };
        let good = images(|s| &s.good)?;
        let defective = images(|s| &s.defective)?;
        let (h, w) = batch[0].mask.dim();
        let planes = |of: &mut dyn Iterator<Item = &Array2<bool>>| -> Result<Tensor> {
            let values: Vec<f32> = of
                .flat_map(|plane| plane.iter().map(|&inside| f32::from(u8::from(inside))))
                .collect();
            Ok(Tensor::from_vec(
                values,
                (batch.len(), 1, h, w),
                &self.device,
            )?)
        };
        let mask = planes(&mut batch.iter().map(|s| &s.mask))?;
        let roi = match regions {
            [] => None,
            regions => Some(planes(&mut regions.iter().map(|r| r.as_ref()))?),
        };

        let (restored, classes) = self.networks.forward(&defective, Mode::Train)?;
        let loss::Losses { l2, ssim, focal } =
            loss::losses(&restored, &good, &classes, &mask, roi.as_ref())?;
        let total = ((&l2 + &ssim)? + &focal)?;
        let learning_rate = options.learning_rate_at(step);
        self.adam.set_learning_rate(learning_rate);
        self.adam.backward_step(&total)?;
        let value = |t: &Tensor| -> Result<f64> { Ok(f64::from(t.to_scalar::<f32>()?)) };
        self.losses.push(LossRow {
            step: step + 1,
            total: value(&total)?,
            l2: value(&l2)?,
            ssim: value(&ssim)?,
            focal: value(&focal)?,
            learning_rate,
        });
        Ok(())
    }

    fn save(&self, checkpoint: &Checkpoint) -> Result<()> {
        let tensors = self
            .parameters
            .tensors()
            .into_iter()
            .map(|(name, t)| (format!("weights.{name}"), t))
            .chain(
                self.adam
                    .state()?
                    .into_iter()
                    .map(|(name, t)| (format!("adam.{name}"), t)),
            );
        let losses = serde_json::to_string(&self.losses)
            .map_err(|e| Error::data(format!("cannot write the losses: {e}")))?;
        let metadata = HashMap::from([
            ("fingerprint".to_string(), checkpoint.fingerprint.clone()),
            ("losses".to_string(), losses),
        ]);
        let bytes = safetensors::serialize(tensors, Some(metadata))
            .map_err(|e| Error::data(format!("cannot write the checkpoint: {e}")))?;
        files::write_atomic(&checkpoint.path, &bytes)
    }

    fn load(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        let path = &checkpoint.path;
        let (tensors, metadata) = read_checkpoint(path, &self.device)?;
        if metadata.get("fingerprint") != Some(&checkpoint.fingerprint) {
            return Err(Error::malformed(
                path,
                "the checkpoint is of a run with other data, settings or seed",
            )
            .help("resume with what that run was started with, or start anew with --force"));
        }
        let part = |prefix: &str| -> HashMap<String, Tensor> {
            tensors
                .iter()
                .filter_map(|(name, t)| Some((name.strip_prefix(prefix)?.to_string(), t.clone())))
                .collect()
        };
        self.parameters.load(&part("weights."))?;
        self.adam.load_state(&part("adam."))?;
        self.losses = metadata
            .get("losses")
            .and_then(|text| serde_json::from_str(text).ok())
            .ok_or_else(|| Error::malformed(path, "the checkpoint lacks its losses"))?;
        Ok(())
    }
}

type Tensors = HashMap<String, Tensor>;

/// A checkpoint's tensors and texts.
fn read_checkpoint(path: &Path, device: &Device) -> Result<(Tensors, HashMap<String, String>)> {
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    let wrong = |e: safetensors::SafeTensorError| Error::malformed(path, e.to_string());
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).map_err(wrong)?;
    let metadata = header.metadata().clone().unwrap_or_default();
    let tensors = candle_core::safetensors::load_buffer(&bytes, device)?;
    Ok((tensors, metadata))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn tiny() -> DraemOptions {
        DraemOptions {
            size: 32,
            reconstructive_width: 2,
            discriminative_width: 2,
            steps: 6,
            batch: 2,
            warmup: 2,
            ..DraemOptions::default()
        }
    }

    fn images() -> Vec<Array3<f32>> {
        (0..5)
            .map(|i| {
                Array3::from_shape_fn((2, 32, 32), |(c, y, x)| {
                    ((c * 5 + i + y / 4 + x / 8) % 7) as f32 / 7.0
                })
            })
            .collect()
    }

    /// Asks to stop after some questions.
    struct StopAfter(AtomicUsize);

    impl Observer for StopAfter {
        fn stop_requested(&self) -> bool {
            self.0.fetch_sub(1, Ordering::SeqCst) == 0
        }
    }

    #[test]
    fn a_stopped_and_resumed_training_ends_in_the_same_weights() {
        let (images, source, seed) = (images(), AnomalySource::textures(), Seed::new(1));
        let train = |checkpoint: Option<&Checkpoint>, observer: &dyn Observer| {
            fit(
                &images,
                &[],
                &source,
                &tiny(),
                seed,
                &Device::Cpu,
                checkpoint,
                observer,
            )
        };
        let (whole, losses) = train(None, &Silent).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let mut checkpoint = Checkpoint {
            path: dir.path().join("checkpoint.safetensors"),
            resume: true,
            fingerprint: "a".into(),
        };
        let stopped = train(Some(&checkpoint), &StopAfter(AtomicUsize::new(3)));
        assert!(matches!(stopped, Err(Error::Stopped)));
        let (resumed, again) = train(Some(&checkpoint), &Silent).unwrap();
        assert_eq!(
            whole.to_safetensors().unwrap(),
            resumed.to_safetensors().unwrap()
        );
        assert_eq!(losses, again);
        checkpoint.fingerprint = "b".into();
        assert!(train(Some(&checkpoint), &Silent).is_err());
    }

    #[test]
    fn the_number_of_threads_changes_nothing() {
        let (images, source, seed) = (images(), AnomalySource::textures(), Seed::new(2));
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| {
                let options = tiny();
                fit(
                    &images,
                    &[],
                    &source,
                    &options,
                    seed,
                    &Device::Cpu,
                    None,
                    &Silent,
                )
                .unwrap()
                .0
                .to_safetensors()
                .unwrap()
            })
        };
        assert_eq!(with(1), with(3));
    }

    #[test]
    fn losses_are_taken_in_the_regions_given() {
        let (images, source, seed) = (images(), AnomalySource::textures(), Seed::new(4));
        let train = |regions: &LossRegions| {
            let fitted = fit(
                &images,
                regions,
                &source,
                &tiny(),
                seed,
                &Device::Cpu,
                None,
                &Silent,
            );
            fitted.map(|(draem, losses)| (draem.to_safetensors().unwrap(), losses))
        };
        let (everywhere, losses) = train(&[]).unwrap();
        let all = Arc::new(Array2::from_elem((32, 32), true));
        let (_, of_all) = train(&vec![all; 5]).unwrap();
        assert!((losses[0].total - of_all[0].total).abs() < 1e-5);
        let left = Arc::new(Array2::from_shape_fn((32, 32), |(_, x)| x < 16));
        let (inside, _) = train(&vec![left.clone(); 5]).unwrap();
        assert_ne!(everywhere, inside);
        assert!(train(&[left]).is_err(), "one region for five images");
    }

    #[test]
    fn every_image_comes_once_before_any_comes_again() {
        let mut order = Order::new(5, Seed::new(3));
        let mut seen = Vec::new();
        for step in 0..5 {
            order.prepare(step * 2, 2);
            seen.extend([order.at(step * 2), order.at(step * 2 + 1)]);
        }
        for round in seen.chunks(5) {
            let mut round = round.to_vec();
            round.sort_unstable();
            assert_eq!(round, [0, 1, 2, 3, 4]);
        }
    }
}
