//! What a comparison's stages cost on this machine: a few steps of each, timed.

use super::arm::{Arm, Decider};
use super::division::Division;
use super::plan::{Costs, fit_kind, seen_by_network};
use super::stages::Stages;
use super::{Job, supervised};
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
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

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
        let clock = StepClock::default();
        let watch = Watch {
            checkpoint: None,
            recorder: None,
            observer: &clock,
        };
        let (draem, _) = train::fit(pieces, None, &source, &options, seed, job.device, watch)?;
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
struct StepClock(Mutex<Vec<Instant>>);

impl StepClock {
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

impl Observer for StepClock {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn one_slow_step_among_three_does_not_count() {
        let clock = StepClock::default();
        let start = Instant::now();
        let at = [100, 107, 900, 908].map(|ms| start + Duration::from_millis(ms));
        clock.0.lock().unwrap().extend(at);
        assert!((clock.milliseconds() - 8.0).abs() < 1e-9);
    }
}
