//! What a comparison has to do: stages, how much of them the cache holds, and
//! an estimate from work that was timed on this machine.

use super::arm::{Arm, Decider, Task};
use super::cache::Product;
use super::division::Division;
use super::fits::Predictions;
use super::stages::{CHUNK, Stages};
use super::stored::{Features, Maps, Weights};
use super::supervised::{self, Answers};
use super::{Job, arm_key};
use crate::baseline;
use crate::data::annotation::GOOD;
use crate::data::anomaly_map::AnomalyMap;
use crate::data::feature_table::FeatureTable;
use crate::data::image::Image;
use crate::data::sample::SampleId;
use crate::draem::train::{self, Pieces, Watch};
use crate::draem::{AnomalySource, Draem, DraemOptions};
use crate::error::{Error, Result};
use crate::extract::InputMode;
use crate::progress::{Observer, Silent};
use crate::random::Seed;
use ndarray::Array2;
use rand::Rng;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Milliseconds of one unit of each stage.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Costs {
    /// An anomaly model, all its steps.
    pub model: f64,
    /// A piece's map.
    pub draw: f64,
    /// A piece's features of the map.
    pub map_features: f64,
    /// A piece's features of the image.
    pub image_features: f64,
    /// An arm in a fold, by `fit_kind`.
    pub fits: BTreeMap<String, f64>,
}

impl Costs {
    /// Rough shares for a progress bar where nothing was timed.
    #[must_use]
    pub fn rough(job: &Job<'_>) -> Self {
        let draem = &job.settings.draem;
        let pixels = (draem.size * draem.size) as f64;
        let width = draem.reconstructive_width as f64;
        let draw = 2e-6 * pixels * width * width / 16.0;
        let network = 2e-4 * (job.settings.baseline.size as f64).powi(2);
        let fit = |arm: &Arm| match arm.is_network() {
            true => network * seen_by_network(job, job.dataset.samples.len()),
            false => 500.0,
        };
        Self {
            model: draw * 4.0 * (draem.steps * draem.batch) as f64,
            draw,
            map_features: 10.0,
            image_features: 12.0,
            fits: job
                .arms
                .iter()
                .map(|arm| (fit_kind(arm), fit(arm)))
                .collect(),
        }
    }

    /// What an arm costs in a fold.
    #[must_use]
    pub fn fit(&self, arm: &Arm) -> f64 {
        self.fits.get(&fit_kind(arm)).copied().unwrap_or(500.0)
    }
}

/// How many pictures pass through a network in training on so many pieces.
fn seen_by_network(job: &Job<'_>, pieces: usize) -> f64 {
    (pieces * job.settings.baseline.epochs) as f64
}

/// Arms of one kind take about the same time.
fn fit_kind(arm: &Arm) -> String {
    let name = arm.name();
    format!("{} {}", name.task, name.classifier)
}

/// One kind of stage.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlannedStage {
    /// What is made.
    pub what: String,
    /// How many of them.
    pub count: usize,
    /// How many the cache holds or nobody asks for.
    pub ready: usize,
    /// Estimated milliseconds for one.
    pub each_ms: f64,
    /// Bytes of one in the cache, about.
    pub each_bytes: u64,
}

impl PlannedStage {
    /// Whether it is one of the stages that are worth an estimate before they
    /// are begun: trainings.
    #[must_use]
    pub fn takes_long(&self) -> bool {
        self.what == MODELS || self.what.starts_with(NETWORKS)
    }

    /// How many are to be made.
    #[must_use]
    pub fn to_do(&self) -> usize {
        self.count - self.ready
    }

    /// Estimated seconds for those.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.to_do() as f64 * self.each_ms / 1000.0
    }
}

const MODELS: &str = "anomaly models";
const NETWORKS: &str = "networks";

/// Everything that a comparison has to do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// Folds.
    pub folds: usize,
    /// Arms.
    pub arms: usize,
    /// The kinds of stages, in their order.
    pub stages: Vec<PlannedStage>,
    /// Whether the times were measured on this machine just now.
    pub timed: bool,
}

impl Plan {
    /// Estimated seconds of all that is to be done.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.stages.iter().map(PlannedStage::seconds).sum()
    }

    /// Bytes that the whole takes in the cache, about.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.stages
            .iter()
            .map(|s| s.count as u64 * s.each_bytes)
            .sum()
    }

    /// Looks what the cache holds.
    pub(super) fn new(
        job: &Job<'_>,
        stages: &Stages<'_>,
        divisions: &[Division<'_>],
        costs: &Costs,
        timed: bool,
    ) -> Result<Self> {
        let cache = stages.cache;
        let (mut images, mut images_ready) = (0, 0);
        for chunk in job.dataset.labelled().chunks(CHUNK) {
            images += chunk.len();
            if cache.has(Features::KIND, &stages.image_key(chunk)) {
                images_ready += chunk.len();
            }
        }
        let (mut models, mut models_ready) = (0, 0);
        let (mut pieces, mut maps_ready, mut features_ready) = (0, 0, 0);
        for division in divisions {
            let for_networks = wants_maps(job, stages, division)?;
            for source in &division.sources {
                let model = stages.model_key(division, source);
                let mut asked_for = false;
                for chunk in source
                    .fitting
                    .chunks(CHUNK)
                    .chain(source.test.chunks(CHUNK))
                {
                    let (maps, features) = stages.chunk_keys(&model, chunk);
                    pieces += chunk.len();
                    let has_features = cache.has(Features::KIND, &features);
                    let has_maps = cache.has(Maps::KIND, &maps);
                    if has_features {
                        features_ready += chunk.len();
                    }
                    if has_maps || (has_features && !for_networks) {
                        maps_ready += chunk.len();
                    } else {
                        asked_for = true;
                    }
                }
                models += 1;
                if !asked_for || cache.has(Weights::KIND, &model) {
                    models_ready += 1;
                }
            }
        }
        let size = job.settings.draem.size as u64;
        let columns = (2 * job.backbone_features()? + 20) as u64;
        let weights = weights_bytes(&job.settings.draem);
        let stage = |what: &str, count, ready, each_ms, each_bytes| PlannedStage {
            what: what.to_string(),
            count,
            ready,
            each_ms,
            each_bytes,
        };
        let mut planned = vec![
            stage(
                "image features, pieces",
                images,
                images_ready,
                costs.image_features,
                columns * 4,
            ),
            stage(MODELS, models, models_ready, costs.model, weights),
            stage(
                "anomaly maps, pieces",
                pieces,
                maps_ready,
                costs.draw,
                size * size * 4,
            ),
            stage(
                "map features, pieces",
                pieces,
                features_ready,
                costs.map_features,
                columns * 4,
            ),
        ];
        let mut fits: BTreeMap<String, PlannedStage> = BTreeMap::new();
        for division in divisions {
            let tables = stages.tables_key(division);
            for arm in &job.arms {
                let key = arm_key(job, stages, arm, division, &tables)?;
                let kind = fit_kind(arm);
                let entry = fits.entry(kind.clone()).or_insert_with(|| {
                    let bytes = 100 * division.test.len() as u64;
                    let made = if arm.is_network() { NETWORKS } else { "fits" };
                    stage(
                        &format!("{made}, {}", kind.replace(" -", ", anomaly score")),
                        0,
                        0,
                        costs.fit(arm),
                        bytes,
                    )
                });
                entry.count += 1;
                entry.ready += usize::from(cache.has(<Option<Predictions>>::KIND, &key));
            }
        }
        planned.extend(fits.into_values());
        Ok(Self {
            folds: divisions.len(),
            arms: job.arms.len(),
            stages: planned,
            timed,
        })
    }
}

/// Whether a network that the cache does not answer for wants a fold's maps
/// themselves, and not only their features.
fn wants_maps(job: &Job<'_>, stages: &Stages<'_>, division: &Division<'_>) -> Result<bool> {
    for arm in &job.arms {
        if let Decider::Network { network, input } = arm.decider
            && input.has_map()
        {
            let key = supervised::key(job, stages, arm, division, (network, input))?;
            if !stages.cache.has(<Option<Answers>>::KIND, &key) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Bytes of a model's weights (float32), nearly: both networks grow with the square
/// of their widths.
fn weights_bytes(options: &DraemOptions) -> u64 {
    let (r, d) = (options.reconstructive_width, options.discriminative_width);
    (17_000 * r * r + 27_000 * d * d) as u64
}

/// Times a few steps of each stage that has something to do.
///
/// # Errors
/// [`Error::Data`] if no good piece can be read; what the steps say.
pub(super) fn time(
    job: &Job<'_>,
    stages: &Stages<'_>,
    divisions: &[Division<'_>],
    observer: &dyn Observer,
) -> Result<Costs> {
    observer.begin("timing a few steps", 0);
    let timed = time_stages(job, stages, divisions, observer);
    observer.end();
    timed
}

fn time_stages(
    job: &Job<'_>,
    stages: &Stages<'_>,
    divisions: &[Division<'_>],
    observer: &dyn Observer,
) -> Result<Costs> {
    let good = divisions.first().map(|d| d.sources[0].learns.samples());
    let images: Vec<Image> = good
        .into_iter()
        .flatten()
        .filter_map(|sample| stages.reader.read(sample).ok())
        .take(4)
        .collect();
    if images.is_empty() {
        return Err(Error::data("no good piece can be read"));
    }
    let mut costs = Costs::rough(job);
    let (draem, step) = time_training(job, &images)?;
    costs.model = step * job.settings.draem.steps as f64;
    let n = images.len() as f64;
    let maps: Vec<AnomalyMap> = draem.draw(&images)?.into_iter().map(|d| d.map).collect();
    costs.draw = milliseconds(|| draem.draw(&images).map(|_| ()))? / n;
    stages.map_rows(&maps)?; // memory is taken the first time
    costs.map_features = milliseconds(|| stages.map_rows(&maps))? / n;
    stages.image_rows(&images)?;
    costs.image_features = milliseconds(|| stages.image_rows(&images))? / n;
    let division = &divisions[0];
    for arm in &job.arms {
        // The largest fraction takes longest; the rest are guessed in its image.
        let kind = fit_kind(arm);
        let largest = job.arms.iter().map(|a| a.defects).max() == Some(arm.defects);
        let widest = match arm.decider {
            Decider::AnomalyScore => true,
            _ => is_widest(arm) || job.arms.iter().all(|a| !is_widest(a)),
        };
        if !largest || !widest {
            continue;
        }
        if observer.stop_requested() {
            return Err(Error::Stopped);
        }
        let ms = match arm.decider {
            Decider::Network { network, input } => {
                let each = baseline::timing::milliseconds_a_picture(
                    network,
                    &job.settings.baseline,
                    supervised::starting(job, network).map(|(_, weights)| weights),
                    supervised::channels(job, input),
                    &job.view(arm.task).classes,
                    job.device,
                )?;
                each * seen_by_network(job, division.fitting.len())
            }
            Decider::AnomalyScore | Decider::Features { .. } => time_fit(job, arm, division)?,
        };
        costs.fits.insert(kind, ms);
    }
    Ok(costs)
}

fn is_widest(arm: &Arm) -> bool {
    matches!(
        arm.decider,
        Decider::Features { input, .. } | Decider::Network { input, .. }
            if input == InputMode::ImageAndMap
    )
}

/// Steps of a training that are timed, after the first, which also takes memory.
const TIMED_STEPS: usize = 3;

/// A model of a few steps, and milliseconds for a step.
fn time_training(job: &Job<'_>, images: &[Image]) -> Result<(Draem, f64)> {
    let options = &job.settings.draem;
    let size = options.size;
    let resized: Vec<_> = images
        .iter()
        .map(|image| Ok(image.resize(size, size)?.pixels().clone()))
        .collect::<Result<_>>()?;
    let run = |batch| {
        let options = DraemOptions {
            steps: 1 + TIMED_STEPS,
            batch,
            ..options.clone()
        };
        let source = AnomalySource::textures();
        let seed = Seed::new(0);
        let pieces = Pieces {
            train: &resized,
            regions: &[],
            validation: &[],
        };
        let clock = Clock::default();
        let watch = Watch {
            checkpoint: None,
            recorder: None,
            observer: &clock,
        };
        let (draem, _) = train::fit(pieces, &source, &options, seed, job.device, watch)?;
        Ok((draem, clock.milliseconds()))
    };
    // A step of a large model takes minutes, and its time grows with the batch; one
    // of a small model is timed as it will be.
    let batch = options.batch.min(2);
    let (draem, few) = run(batch)?;
    let step = few * options.batch as f64 / batch as f64;
    if batch == options.batch || step > 1000.0 {
        return Ok((draem, step));
    }
    run(options.batch)
}

/// Notes when each step was done.
#[derive(Default)]
struct Clock(Mutex<Vec<Instant>>);

impl Clock {
    /// Median time between two steps. (The difference of a long and a short run is
    /// no measure of it: where other work runs beside, it can be nothing at all.)
    fn milliseconds(self) -> f64 {
        let at = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut gaps: Vec<f64> = at
            .windows(2)
            .map(|pair| (pair[1] - pair[0]).as_secs_f64() * 1000.0)
            .collect();
        gaps.sort_by(f64::total_cmp);
        gaps.get(gaps.len() / 2).copied().unwrap_or(0.0)
    }
}

impl Observer for Clock {
    fn advance(&self, _steps: u64) {
        let mut at = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        at.push(Instant::now());
    }
}

/// Milliseconds of one arm's fit in one fold, on made-up rows.
fn time_fit(job: &Job<'_>, arm: &Arm, division: &Division<'_>) -> Result<f64> {
    let columns = job.columns()?;
    let ids: Vec<SampleId> = division.fitting.samples().map(|s| s.id.clone()).collect();
    let mut rng = Seed::new(1).rng();
    let defects = division.fitting.labels();
    let values = Array2::from_shape_fn((ids.len(), columns.len()), |(row, _)| {
        let shift = if defects[row] == GOOD { 0.0 } else { 0.3 };
        rng.random::<f64>() + shift
    });
    let scores = values.column(0).to_vec();
    let table = super::table::Table {
        features: FeatureTable::new(ids, columns, values)?,
        scores,
    };
    milliseconds(|| super::fitted(job, arm, division, &table, &Silent).map(|_| ()))
}

fn milliseconds(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed().as_secs_f64() * 1000.0)
}

/// Whether an arm's task can be asked of these classes.
pub(super) fn askable(task: Task, classes: usize) -> bool {
    task == Task::Binary || classes > 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draem::network::Networks;
    use crate::nn::parameters::Parameters;
    use candle_core::Device;
    use std::time::Duration;

    #[test]
    fn the_bytes_of_a_model_are_known_beforehand() {
        for (r, d) in [(16, 8), (8, 16), (32, 16)] {
            let parameters = Parameters::new(Seed::new(0), &Device::Cpu);
            Networks::new(&parameters.root(), 6, r, d).unwrap();
            let bytes = parameters.to_safetensors().unwrap().len() as f64;
            let planned = weights_bytes(&DraemOptions {
                reconstructive_width: r,
                discriminative_width: d,
                ..DraemOptions::default()
            }) as f64;
            assert!((planned / bytes - 1.0).abs() < 0.1, "{planned} {bytes}");
        }
    }

    #[test]
    fn one_slow_step_among_three_does_not_count() {
        let clock = Clock::default();
        let start = Instant::now();
        let at = [100, 107, 900, 908].map(|ms| start + Duration::from_millis(ms));
        clock.0.lock().unwrap().extend(at);
        assert!((clock.milliseconds() - 8.0).abs() < 1e-9);
    }
}
