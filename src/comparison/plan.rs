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
use crate::draem::DraemOptions;
use crate::error::Result;
use serde::Serialize;
use std::collections::BTreeMap;

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
pub(super) fn seen_by_network(job: &Job<'_>, pieces: usize) -> f64 {
    (pieces * job.settings.baseline.epochs) as f64
}

/// Arms of one kind take about the same time.
pub(super) fn fit_kind(arm: &Arm) -> String {
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

/// Whether an arm's task can be asked of these classes.
pub(super) fn askable(task: Task, classes: usize) -> bool {
    task == Task::Binary || classes > 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draem::network::Networks;
    use crate::nn::parameters::Parameters;
    use crate::random::Seed;
    use candle_core::Device;

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
}
