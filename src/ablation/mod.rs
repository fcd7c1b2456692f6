//! Ablations: one factor at a time of a supervised recipe, everything else as
//! in the base, each with several seeds.
//!
//! A [`Grid`] names the base, the factors and their values, as changes of
//! settings. Every value is trained and measured on the same held-out pieces.
//! A run's result is a file named by what it rests on, so that a stopped
//! ablation goes on where it was, and values that come to the same settings
//! share their runs. [`tables`] puts the results together.

pub mod tables;

use crate::baseline::{BaselineOptions, Kind};
use crate::data::annotation::GOOD;
use crate::data::dataset::Dataset;
use crate::data::fold::Fold;
use crate::data::reader::{ImageReader, Limits};
use crate::data::sample::Sample;
use crate::error::{Error, Result};
use crate::files;
use crate::metrics::report::{ClassReport, ReportOptions};
use crate::nn::weights::{WeightFile, hex};
use crate::pipeline::measure;
use crate::pipeline::supervised::{self, Plan};
use crate::progress::Observer;
use crate::random::Seed;
use crate::settings::Settings;
use candle_core::Device;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::Path;

/// What an ablation varies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grid {
    /// What stands above its tables.
    pub title: String,
    /// The preset the base starts from.
    #[serde(default = "fast")]
    pub preset: String,
    /// The base's changes to it, `key=value` each.
    #[serde(default)]
    pub set: Vec<String>,
    /// Seeds of each value's runs.
    #[serde(default = "one_seed")]
    pub seeds: Vec<u64>,
    /// What is varied.
    #[serde(rename = "factor")]
    pub factors: Vec<Factor>,
}

/// One factor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Factor {
    /// Its name.
    pub name: String,
    /// Its values; one that changes nothing is the base.
    #[serde(rename = "value")]
    pub values: Vec<Value>,
}

/// One value of a factor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Value {
    /// Its name in the tables.
    pub name: String,
    /// Its changes to the base, `key=value` each.
    #[serde(default)]
    pub set: Vec<String>,
}

fn fast() -> String {
    "fast".into()
}

fn one_seed() -> Vec<u64> {
    vec![0]
}

impl Grid {
    /// Reads a grid; `extra` changes its base.
    ///
    /// # Errors
    /// [`Error::Setting`] for text that is no grid, names that occur twice, or
    /// settings that no supervised model has.
    pub fn parse(text: &str, extra: &[String]) -> Result<Self> {
        let mut grid: Self =
            toml::from_str(text).map_err(|e| Error::setting("--grid", e.message().to_string()))?;
        grid.set.extend(extra.iter().cloned());
        let wrong = |reason: String| Err(Error::setting("--grid", reason));
        if grid.seeds.is_empty() {
            return wrong("no seed given".into());
        }
        let mut slugs = Vec::new();
        for factor in &grid.factors {
            let slug = slug(&factor.name);
            if slug.is_empty() || slugs.contains(&slug) {
                return wrong(format!("a factor called {:?} is one too many", factor.name));
            }
            slugs.push(slug);
            let mut names: Vec<&str> = factor.values.iter().map(|v| v.name.as_str()).collect();
            names.sort_unstable();
            if let Some(twice) = names.windows(2).find(|w| w[0] == w[1]) {
                return wrong(format!(
                    "{} has two values called {}",
                    factor.name, twice[0]
                ));
            }
            for value in &factor.values {
                grid.settings(value)?;
            }
        }
        Ok(grid)
    }

    /// The settings of one value.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn settings(&self, value: &Value) -> Result<Settings> {
        let pairs = [self.set.clone(), value.set.clone()].concat();
        let settings = Settings::preset(&self.preset)?.with(None, &pairs)?;
        match settings.model.baseline() {
            Some(_) => Ok(settings),
            None => Err(Error::setting(
                "model",
                "an ablation varies a supervised model: set model=resnet18 ... or cnn",
            )),
        }
    }
}

/// A factor's name as a file's.
#[must_use]
pub fn slug(name: &str) -> String {
    let plain = |c: char| {
        if c.is_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '-'
        }
    };
    name.chars()
        .map(plain)
        .collect::<String>()
        .trim_matches('-')
        .to_string()
}

/// What came of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// What it rests on: settings, seed, data, starting weights.
    pub fingerprint: String,
    /// The model.
    pub model: String,
    /// The seed.
    pub seed: u64,
    /// The best epoch, of how many.
    pub best_epoch: (usize, usize),
    /// On the validation pieces, at the best epoch.
    pub validation_auc_pr: f64,
    /// Best F1 there.
    pub validation_f1: f64,
    /// On the held-out pieces, at the threshold of the validation pieces; what
    /// the data do not define is missing.
    pub test: BTreeMap<String, f64>,
    /// Each class there.
    pub per_class: BTreeMap<String, PerClass>,
    /// The confusion matrix's classes.
    pub classes: Vec<String>,
    /// Its counts.
    pub confusion: Vec<Vec<usize>>,
    /// Score of each held-out piece.
    pub scores: Vec<f64>,
    /// Whether it is defective.
    pub is_defect: Vec<bool>,
}

/// One class of a run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PerClass {
    /// Held-out pieces.
    pub n: usize,
    /// Share of those taken for it that are of it.
    pub precision: f64,
    /// Share of those of it that are taken for it.
    pub recall: f64,
    /// Their harmonic mean.
    pub f1: f64,
}

impl From<&ClassReport> for PerClass {
    fn from(report: &ClassReport) -> Self {
        Self {
            n: report.n,
            precision: report.scores.precision,
            recall: report.scores.recall,
            f1: report.scores.f1,
        }
    }
}

/// Finds the weights that a network starts from.
pub type Start<'a> = dyn Fn(Kind, &BaselineOptions) -> Result<Option<(String, WeightFile)>> + 'a;

/// What all runs share.
pub struct Bench<'a> {
    /// The labelled pieces.
    pub dataset: &'a Dataset,
    /// Which of them are trained on, and which measured on.
    pub fold: &'a Fold,
    /// What one file may ask for.
    pub limits: Limits,
    /// Where networks run.
    pub device: &'a Device,
    /// Where they start.
    pub start: &'a Start<'a>,
    /// Where results go: `runs/` within.
    pub folder: &'a Path,
}

/// The results of each factor's values, in the grid's order.
pub type Results = Vec<(Factor, Vec<Vec<RunResult>>)>;

/// Runs what has no result yet.
///
/// # Errors
/// [`Error::Stopped`] after a requested stop: finished runs are kept, the one
/// under way has its checkpoint; whatever a run says.
pub fn run(grid: &Grid, bench: &Bench<'_>, observer: &dyn Observer) -> Result<Results> {
    let runs = bench.folder.join("runs");
    std::fs::create_dir_all(&runs).map_err(Error::io("create", &runs))?;
    let total: usize = grid
        .factors
        .iter()
        .map(|f| f.values.len() * grid.seeds.len())
        .sum();
    let mut done = 0;
    let mut results = Vec::new();
    for factor in &grid.factors {
        let mut of_factor = Vec::new();
        for value in &factor.values {
            let mut of_value = Vec::new();
            for &seed in &grid.seeds {
                done += 1;
                observer.note(&format!(
                    "run {done} of {total}: {} = {}, seed {seed}",
                    factor.name, value.name
                ));
                of_value.push(bench.one(grid.settings(value)?, seed, observer)?);
            }
            of_factor.push(of_value);
        }
        results.push((factor.clone(), of_factor));
    }
    Ok(results)
}

impl Bench<'_> {
    /// The result of one run, from its file if it is there.
    fn one(&self, settings: Settings, seed: u64, observer: &dyn Observer) -> Result<RunResult> {
        let kind = settings
            .model
            .baseline()
            .ok_or_else(|| Error::setting("model", "a supervised one expected"))?;
        let start = (self.start)(kind, &settings.baseline)?;
        let fingerprint = self.fingerprint(&settings, seed, start.as_ref());
        let runs = self.folder.join("runs");
        let path = runs.join(format!("{}.json", &fingerprint[..16]));
        if path.is_file() {
            let bytes = std::fs::read(&path).map_err(Error::io("read", &path))?;
            let result: RunResult = serde_json::from_slice(&bytes)
                .map_err(|e| Error::malformed(&path, e.to_string()))?;
            if result.fingerprint == fingerprint {
                return Ok(result);
            }
        }
        let workspace = runs.join(format!("{}.part", &fingerprint[..16]));
        std::fs::create_dir_all(&workspace).map_err(Error::io("create", &workspace))?;
        let plan = Plan {
            name: "ablation".into(),
            dataset: self.dataset,
            fold: self.fold,
            kind,
            settings,
            seed,
            device: self.device.clone(),
            limits: self.limits,
            start,
            workspace: Some(&workspace),
            resume: true,
        };
        let fitted = supervised::fit(plan, observer)?;
        let dataset = self.dataset;
        let test: Vec<&Sample> = self
            .fold
            .test()
            .iter()
            .map(|&i| &dataset.samples[i])
            .collect();
        let reader = ImageReader::new(dataset.format.clone(), self.limits);
        let judged = measure::judge(&[&fitted.supervised], &test, &reader, observer)?;
        let options = ReportOptions::default();
        let report = measure::measure(&judged, 0, &fitted.supervised, &options, Seed::new(seed))?;
        let report = report.report;
        let best = fitted.curve.iter().rfind(|row| row.best);
        let best = best.ok_or_else(|| Error::data("no epoch was finished"))?;
        let measures = [
            ("roc_auc", report.roc_auc),
            ("auc_pr", report.auc_pr),
            ("f1", report.f1),
            ("precision", report.precision),
            ("recall", report.recall),
            ("specificity", report.specificity),
            ("accuracy", report.accuracy),
            ("kappa", report.kappa),
            ("macro_f1", report.macro_f1),
        ];
        let result = RunResult {
            fingerprint,
            model: fitted
                .supervised
                .baseline
                .shape()
                .architecture
                .name()
                .into(),
            seed,
            best_epoch: (best.epoch, fitted.curve.len()),
            validation_auc_pr: best.validation_auc_pr,
            validation_f1: best.validation_f1,
            test: measures
                .into_iter()
                .filter_map(|(name, v)| Some((name.to_string(), v?)))
                .collect(),
            per_class: report
                .per_class
                .iter()
                .map(|(n, c)| (n.clone(), c.into()))
                .collect(),
            classes: report.classes,
            confusion: report.confusion,
            scores: judged.verdicts[0].iter().map(|v| v.score).collect(),
            is_defect: judged.labels.iter().map(|l| l != GOOD).collect(),
        };
        let json = serde_json::to_vec_pretty(&result).map_err(|e| Error::data(e.to_string()))?;
        files::write_atomic(&path, &json)?;
        std::fs::remove_dir_all(&workspace).map_err(Error::io("remove", &workspace))?;
        Ok(result)
    }

    fn fingerprint(
        &self,
        settings: &Settings,
        seed: u64,
        start: Option<&(String, WeightFile)>,
    ) -> String {
        let mut hash = Sha256::new();
        hash.update(settings.to_toml());
        hash.update(seed.to_le_bytes());
        hash.update(format!("{:?}", self.dataset.format));
        if let Some((_, weights)) = start {
            hash.update(&weights.sha256);
        }
        for (side, indices) in [self.fold.train(), self.fold.test()]
            .into_iter()
            .enumerate()
        {
            for &i in indices {
                let sample = &self.dataset.samples[i];
                hash.update([side as u8]);
                hash.update(sample.id.as_str());
                hash.update([0]);
                hash.update(sample.label().unwrap_or_default());
                hash.update([0]);
            }
        }
        hex(&hash.finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRID: &str = r#"
        title = "Optimiser"
        set = ["model=resnet18", "baseline.epochs=3"]
        seeds = [0, 1]
        [[factor]]
        name = "Step size, optimiser"
        value = [
            { name = "base" },
            { name = "SGD", set = ["baseline.optimiser=sgd"] },
        ]
    "#;

    #[test]
    fn a_value_changes_the_base_and_nothing_else() {
        let grid = Grid::parse(GRID, &["baseline.batch=4".into()]).unwrap();
        let [base, sgd] = [0, 1].map(|i| grid.settings(&grid.factors[0].values[i]).unwrap());
        assert_eq!((base.baseline.epochs, base.baseline.batch), (3, 4));
        let mut same = sgd.clone();
        same.baseline.optimiser = base.baseline.optimiser;
        assert_ne!(base, sgd);
        assert_eq!(base, same);
        assert_eq!(slug(&grid.factors[0].name), "step-size--optimiser");
    }

    #[test]
    fn a_grid_that_cannot_be_run_is_refused_before_anything_is() {
        for (from, to) in [
            ("model=resnet18", "model=draem"),
            ("optimiser=sgd", "optimizer=sgd"),
            ("name = \"SGD\"", "name = \"base\""),
            ("seeds = [0, 1]", "seeds = []"),
            ("title", "titel"),
        ] {
            assert!(Grid::parse(&GRID.replace(from, to), &[]).is_err(), "{to}");
        }
    }

    #[test]
    fn the_grids_of_the_repository_can_be_run() {
        for text in [
            include_str!("../../data/ablation/eraser.toml"),
            include_str!("../../data/ablation/eraser-small.toml"),
            include_str!("../../data/ablation/metal.toml"),
        ] {
            let grid = Grid::parse(text, &[]).unwrap();
            assert!(grid.factors.iter().all(|f| f.values.len() > 1));
        }
    }
}
