//! Where the time of scoring goes on this machine: `goma bench`.
//!
//! Every stage is timed by itself, all threads at work on it, batch by batch;
//! then the same pieces are scored as `goma score` does, where stages overlap.

use crate::data::image::Image;
use crate::data::inputs::Input;
use crate::data::reader::ImageReader;
use crate::data::sample::SampleId;
use crate::draem::Tiling;
use crate::error::{Error, Result};
use crate::extract::{InputMode, map_statistics};
use crate::metrics::bootstrap::median;
use crate::nn::engine;
use crate::pipeline::Pipeline;
use crate::progress::Observer;
use crate::report::score_folder::ScoreFolder;
use crate::stream;
use rayon::prelude::*;
use serde::Serialize;
use std::time::{Duration, Instant};

/// Time of each stage, in milliseconds a piece.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Stages {
    /// Files to images.
    pub read: f64,
    /// Images resized to what the networks take.
    pub preprocess: f64,
    /// Anomaly model and backbone passes.
    pub networks: f64,
    /// Map statistics, selection, classifier, rule.
    pub decide: f64,
    /// Heatmaps, thumbnails, rows.
    pub write: f64,
    /// The scores table and the report, at the end.
    pub report: f64,
}

impl Stages {
    /// Names and times, in the order of work.
    #[must_use]
    pub fn named(&self) -> [(&'static str, f64); 6] {
        [
            ("read", self.read),
            ("preprocess", self.preprocess),
            ("networks", self.networks),
            ("decide", self.decide),
            ("write", self.write),
            ("report", self.report),
        ]
    }

    /// All stages, in milliseconds a piece.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.named().iter().map(|(_, ms)| ms).sum()
    }
}

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Benchmark {
    /// Pieces of one round.
    pub pieces: usize,
    /// Threads at work.
    pub threads: usize,
    /// Medians over the rounds.
    pub stages: Stages,
    /// Pieces a second, all stages overlapping, median over the rounds.
    pub pieces_per_second: f64,
    /// Multiplications with addition of all networks that run for one piece.
    pub multiply_adds: Option<u64>,
    /// What the networks reach, in GFLOP/s (a multiplication with addition is
    /// two; Winograd's savings count as done).
    pub gflops: Option<f64>,
    /// What a large matrix product reaches on this machine, in GFLOP/s.
    pub matrix_peak: f64,
    /// Most memory the process has held, in bytes, where the system tells.
    pub memory_peak: Option<u64>,
}

/// Measures `rounds` rounds over `entries`; `folder` makes a new output folder
/// for each run of scoring.
///
/// # Errors
/// [`Error::Data`] if there is no entry; whatever reading or writing says: an
/// unreadable input is an error here.
pub fn measure(
    pipeline: &Pipeline,
    entries: &[Input],
    reader: &ImageReader,
    rounds: usize,
    mut folder: impl FnMut() -> Result<ScoreFolder>,
    observer: &dyn Observer,
) -> Result<Benchmark> {
    if entries.is_empty() {
        return Err(Error::data("no input to measure on"));
    }
    observer.begin("measuring", rounds as u64);
    let (mut stages, mut rates) = (Vec::new(), Vec::new());
    for _ in 0..rounds.max(1) {
        if observer.stop_requested() {
            observer.end();
            return Err(Error::Stopped);
        }
        stages.push(round(pipeline, entries, reader, folder()?)?);
        let mut output = folder()?;
        let begun = Instant::now();
        stream::score(
            stream::Models::one(pipeline),
            entries,
            reader,
            &mut output,
            &crate::progress::Silent,
        )?;
        output.finish()?;
        rates.push(entries.len() as f64 / begun.elapsed().as_secs_f64());
        observer.advance(1);
    }
    observer.end();
    let of = |value: fn(&Stages) -> f64| median(stages.iter().map(value).collect());
    let stages = Stages {
        read: of(|s| s.read),
        preprocess: of(|s| s.preprocess),
        networks: of(|s| s.networks),
        decide: of(|s| s.decide),
        write: of(|s| s.write),
        report: of(|s| s.report),
    };
    let multiply_adds = multiply_adds(pipeline)?;
    Ok(Benchmark {
        pieces: entries.len(),
        threads: rayon::current_num_threads(),
        stages,
        pieces_per_second: median(rates),
        multiply_adds,
        gflops: multiply_adds.map(|n| 2.0 * n as f64 / (stages.networks * 1e6)),
        matrix_peak: engine::matrix_peak(),
        memory_peak: memory_peak(),
    })
}

/// One round, stage by stage.
fn round(
    pipeline: &Pipeline,
    entries: &[Input],
    reader: &ImageReader,
    mut folder: ScoreFolder,
) -> Result<Stages> {
    let mut clock = Clock::default();
    let mut times = [Duration::ZERO; 6];
    for batch in entries.chunks(stream::BATCH) {
        clock.start();
        let read = stream::read_batch(batch, reader);
        clock.stop(&mut times[0]);
        let mut images = Vec::new();
        for (_, image) in read {
            images.push(image?);
        }
        let ids: Vec<SampleId> = batch.iter().map(|input| input.id.clone()).collect();

        clock.start();
        let draem = &pipeline.draem;
        // Tiles are cut from the photograph as it is, and a region of interest
        // has its shape.
        let for_map = if draem.tiling() == Tiling::Off && draem.roi().is_none() {
            resized(&images, draem.shape().size)?
        } else {
            images.clone()
        };
        let for_features = match &pipeline.hybrid {
            Some(hybrid) if hybrid.needs_images() => {
                resized(&images, hybrid.extractor.options().size)?
            }
            _ => Vec::new(),
        };
        clock.stop(&mut times[1]);

        clock.start();
        let drawn = pipeline.draem.draw(&for_map)?;
        let maps: Vec<_> = drawn.into_iter().map(|d| d.map).collect();
        let features = match &pipeline.hybrid {
            Some(hybrid) => Some(hybrid.features(ids, &for_features, &maps)?),
            None => None,
        };
        clock.stop(&mut times[2]);

        // Extraction has computed the statistics already: timed again, and
        // counted here and not there.
        clock.start();
        maps.par_iter().for_each(|map| {
            std::hint::black_box(map_statistics(map));
        });
        let statistics = clock.elapsed();
        times[2] = times[2].saturating_sub(statistics);
        times[3] += statistics;
        clock.start();
        let inspections = pipeline.decide(maps, features)?;
        clock.stop(&mut times[3]);

        clock.start();
        let found = batch
            .iter()
            .zip(images.into_iter().zip(inspections))
            .map(|(input, (image, inspection))| (input, Ok((image, inspection, None))));
        stream::write_batch(found.collect(), &pipeline.scale, &mut folder)?;
        clock.stop(&mut times[4]);
    }
    clock.start();
    folder.finish()?;
    clock.stop(&mut times[5]);
    let [read, preprocess, networks, decide, write, report] =
        times.map(|time| 1e3 * time.as_secs_f64() / entries.len() as f64);
    Ok(Stages {
        read,
        preprocess,
        networks,
        decide,
        write,
        report,
    })
}

fn resized(images: &[Image], size: usize) -> Result<Vec<Image>> {
    images.par_iter().map(|i| i.resize(size, size)).collect()
}

/// Adds up the time of a stage.
struct Clock(Instant);

impl Default for Clock {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Clock {
    fn start(&mut self) {
        self.0 = Instant::now();
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    fn stop(&self, total: &mut Duration) {
        *total += self.elapsed();
    }
}

fn multiply_adds(pipeline: &Pipeline) -> Result<Option<u64>> {
    let draem = pipeline.draem.multiply_adds()?;
    let features = match &pipeline.hybrid {
        Some(hybrid) => {
            let needed = InputMode::of_columns(hybrid.selection.columns());
            hybrid.extractor.multiply_adds(needed)?
        }
        None => Some(0),
    };
    Ok(draem.zip(features).map(|(a, b)| a + b))
}

/// The process's peak resident set, from Linux's /proc.
fn memory_peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}
