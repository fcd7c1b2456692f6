//! Comparison: folds × arms. Does the map help, and is that certain?
//!
//! Rožanec et al. compare a classifier on the image, on the anomaly map and on
//! both; here on anybody's pieces. In every fold the anomaly model is trained
//! anew on that fold's good training pieces, then selection, classifier and
//! threshold are fitted; a test piece is seen by nothing before it is scored
//! ([`rows`] says how the types see to that).
//!
//! [`division`] says who is trained on, [`stages`] trains and draws, [`fits`]
//! fits an arm and asks it, [`measure`] and [`differences`] say how good and
//! how certain; [`cache`] keeps every stage's product, [`mod@plan`] what is to do.
//!
//! Beside the arms that are fitted on feature rows stand [`supervised`] networks,
//! trained on the same pieces.

pub mod arm;
pub mod cache;
pub mod differences;
pub mod digests;
pub mod division;
pub mod fits;
pub mod measure;
mod meter;
#[cfg(test)]
mod network_tests;
pub mod plan;
pub mod results;
pub mod rows;
pub mod stages;
pub mod stored;
pub mod supervised;
pub mod table;
#[cfg(test)]
mod tests;
mod timing;

pub use arm::{Arm, ArmName, ArmOptions, Decider, Task};
pub use cache::Cache;
pub use differences::Difference;
pub use measure::Measured;
pub use plan::Plan;
pub use results::{ArmResult, Comparison, FoldSize, OutOfFold};
pub use supervised::StartingNetwork;

use crate::data::dataset::{ClassView, Dataset};
use crate::data::fold::{Fold, TrainingSet};
use crate::data::image::Image;
use crate::data::reader::Limits;
use crate::draem::Tiling;
use crate::error::{Error, Result};
use crate::extract::{Extractor, FeatureOptions, InputMode};
use crate::metrics::BootstrapOptions;
use crate::pipeline::BackboneFile;
use crate::pipeline::rows::Unreadable;
use crate::progress::Observer;
use crate::settings::Settings;
use cache::{Key, KeyBuilder, Product};
use candle_core::Device;
use division::Division;
use fits::{FittedArm, Fitting, Predictions};
use meter::Meter;
use plan::Costs;
use rayon::prelude::*;
use rows::{TestRows, TrainingRows};
use stages::Stages;
use std::sync::{Mutex, OnceLock};
use supervised::NetworkFold;
use table::Table;

/// What a comparison is asked to do.
pub struct Job<'a> {
    /// The labelled pieces, in the classes of the multi-class task.
    pub dataset: &'a Dataset,
    /// The same pieces as good and defective.
    pub binary: &'a Dataset,
    /// Folds.
    pub folds: usize,
    /// What is compared.
    pub arms: Vec<Arm>,
    /// Every step's options; the classifier's come from the arms.
    pub settings: &'a Settings,
    /// The root of all random choices.
    pub seed: u64,
    /// Bootstrap intervals, if wanted.
    pub bootstrap: Option<BootstrapOptions>,
    /// The image backbone.
    pub backbone: &'a BackboneFile,
    /// What each supervised network among the arms starts from.
    pub networks: &'a [StartingNetwork],
    /// Pictures that simulated defects are filled with, in place of painted ones.
    pub pictures: &'a [Image],
    /// What one file may ask for.
    pub limits: Limits,
    /// Where the networks run.
    pub device: &'a Device,
    /// Keeps every stage's product.
    pub cache: &'a Cache,
    /// Folds worked on at a time; each gets its share of the threads.
    pub jobs: usize,
}

/// The two views of a data set that a [`Job`] works with, and the arms whose
/// task can be asked of them; a note where one cannot.
///
/// # Errors
/// [`Error::Data`] if there are not two classes.
pub fn views(dataset: &Dataset, arms: Vec<Arm>) -> Result<(Dataset, Vec<Arm>, Vec<String>)> {
    let binary = dataset.seen_as(ClassView::Binary)?;
    if binary.classes.len() < 2 || binary.classes[0] != crate::data::annotation::GOOD {
        return Err(Error::data(format!(
            "good and defective pieces are needed; found: {}",
            dataset.classes.join(", ")
        )));
    }
    let classes = dataset.classes.len();
    let (kept, left): (Vec<Arm>, Vec<Arm>) = arms
        .into_iter()
        .partition(|arm| plan::askable(arm.task, classes));
    let mut notes = Vec::new();
    if !left.is_empty() {
        notes.push(
            "one defect class: the multi-class task would be the binary one, and is left out"
                .to_string(),
        );
    }
    if kept.is_empty() {
        return Err(Error::data(
            "nothing to compare: no task can be asked of these classes",
        ));
    }
    Ok((binary, kept, notes))
}

impl Job<'_> {
    fn divisions(&self) -> Result<Vec<Division<'_>>> {
        let seed = stages::root(self.seed);
        let folds = Fold::k_fold(self.dataset, self.folds, seed)?;
        let divide = |(number, fold): (usize, &Fold)| {
            Division::new(self.dataset, fold, number, &self.settings.fitting, seed)
        };
        folds.iter().enumerate().map(divide).collect()
    }

    fn stages(&self, observer: &dyn Observer) -> Result<Stages<'_>> {
        Stages::new(
            self.dataset,
            self.settings,
            self.backbone,
            self.pictures,
            self.limits,
            self.seed,
            self.device,
            self.cache,
            observer,
        )
    }

    fn view(&self, task: Task) -> &Dataset {
        match task {
            Task::Binary => self.binary,
            Task::MultiClass => self.dataset,
        }
    }

    fn extractor(&self) -> Result<Extractor> {
        let options = FeatureOptions {
            input: InputMode::ImageAndMap,
            ..self.settings.features.clone()
        };
        let channels = self.dataset.format.channels.len();
        let backbone = self.backbone;
        Extractor::new(
            options,
            &backbone.name,
            &backbone.weights,
            channels,
            self.device,
        )
    }

    /// Names of all feature columns.
    fn columns(&self) -> Result<Vec<String>> {
        Ok(self.extractor()?.columns())
    }

    /// Pooled features of one pass.
    fn backbone_features(&self) -> Result<usize> {
        Ok(self.extractor()?.backbone().features)
    }
}

/// Whether the data can be divided as asked for; before anything is written.
///
/// # Errors
/// [`Error::Setting`] for fewer than two folds; [`Error::Data`] if there are too
/// few groups or good pieces for them.
pub fn check(job: &Job<'_>) -> Result<()> {
    job.settings.check()?;
    if job.settings.draem.tiles != Tiling::Off {
        let why = "a comparison draws maps of whole pieces: off expected";
        return Err(Error::setting("draem.tiles", why));
    }
    for arm in &job.arms {
        if let Decider::Network { network, input } = arm.decider {
            supervised::check(job, network, input)?;
        }
    }
    job.divisions().map(|_| ())
}

/// What is to be done, with an estimate, and nothing of it done.
///
/// # Errors
/// As [`compare`].
pub fn plan(job: &Job<'_>, observer: &dyn Observer) -> Result<Plan> {
    let stages = job.stages(observer)?;
    let divisions = job.divisions()?;
    let costs = timing::time(job, &stages, &divisions, observer)?;
    Plan::new(job, &stages, &divisions, &costs, true)
}

/// Compares.
///
/// Everything that was done before is taken from the cache, so that a run that
/// was stopped or killed goes on where it was. The same job gives the same
/// results, whatever the number of threads and jobs.
///
/// # Errors
/// [`Error::Data`] if the data do not support the folds; [`Error::Stopped`]
/// after a requested stop; whatever a step says.
pub fn compare(job: &Job<'_>, observer: &dyn Observer) -> Result<Comparison> {
    let stages = job.stages(observer)?;
    let divisions = job.divisions()?;
    let mut costs = Costs::rough(job);
    let mut plan = Plan::new(job, &stages, &divisions, &costs, false)?;
    if plan.stages.iter().any(|s| s.takes_long() && s.to_do() > 0) {
        costs = timing::time(job, &stages, &divisions, observer)?;
        plan = Plan::new(job, &stages, &divisions, &costs, true)?;
    }
    observer.begin("comparing", whole(&plan));
    let done = work(job, &stages, &divisions, &costs, observer);
    observer.end();
    let (predictions, unreadable) = done?;
    let mut comparison = results::results(job, &divisions, predictions, observer)?;
    comparison.unreadable = unreadable;
    Ok(comparison)
}

/// Length of the progress bar: milliseconds of all stages, done or not.
fn whole(plan: &Plan) -> u64 {
    let all = plan.stages.iter().map(|s| s.count as f64 * s.each_ms);
    (all.sum::<f64>().round() as u64).max(1)
}

/// What each arm said in each fold, `[fold][arm]`.
type AllPredictions = Vec<Vec<Option<Predictions>>>;

fn work(
    job: &Job<'_>,
    stages: &Stages<'_>,
    divisions: &[Division<'_>],
    costs: &Costs,
    observer: &dyn Observer,
) -> Result<(AllPredictions, Vec<Unreadable>)> {
    let (image, unreadable) = stages.image_features(costs, observer)?;
    let predictions = in_jobs(job.jobs, divisions, |division| {
        predictions_of_fold(job, stages, division, &image, costs, observer)
    })?;
    Ok((predictions, stages::once(unreadable)))
}

/// Does the work of every fold, some at a time, each on its share of the threads.
fn in_jobs<'d, T: Send>(
    jobs: usize,
    divisions: &'d [Division<'d>],
    work: impl Fn(&'d Division<'d>) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let jobs = jobs.clamp(1, divisions.len().max(1));
    if jobs == 1 {
        return divisions.iter().map(work).collect();
    }
    let threads = (rayon::current_num_threads() / jobs).max(1);
    let next = Mutex::new(divisions.iter().enumerate());
    let done: Mutex<Vec<(usize, Result<T>)>> = Mutex::new(Vec::new());
    let one_job = || {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        loop {
            let taken = next.lock().unwrap_or_else(|e| e.into_inner()).next();
            let Some((i, division)) = taken else { return };
            let result = match &pool {
                Ok(pool) => pool.install(|| work(division)),
                Err(_) => work(division),
            };
            let failed = result.is_err();
            let mut done = done.lock().unwrap_or_else(|e| e.into_inner());
            done.push((i, result));
            if failed {
                // The others finish their fold; no new one is begun.
                let mut next = next.lock().unwrap_or_else(|e| e.into_inner());
                next.by_ref().for_each(drop);
                return;
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(one_job);
        }
    });
    let mut done = done.into_inner().unwrap_or_else(|e| e.into_inner());
    done.sort_by_key(|(i, _)| *i);
    done.into_iter().map(|(_, result)| result).collect()
}

/// All arms in one fold: fits side by side, then networks one after another,
/// each on all threads.
fn predictions_of_fold(
    job: &Job<'_>,
    stages: &Stages<'_>,
    division: &Division<'_>,
    image: &crate::data::feature_table::FeatureTable,
    costs: &Costs,
    observer: &dyn Observer,
) -> Result<Vec<Option<Predictions>>> {
    let key = stages.tables_key(division);
    let tables = stages.tables(division, image, costs, observer)?;
    let networks = NetworkFold {
        job,
        stages,
        division,
        tables: &tables,
        costs,
        observer,
        maps: OnceLock::new(),
    };
    let one = |(place, arm): (usize, &Arm)| {
        let arm_key = arm_key(job, stages, arm, division, &key)?;
        let label = format!("fold {}", division.number + 1);
        let steps = match arm.decider {
            Decider::Network { .. } => supervised::steps(job, arm, division)?,
            Decider::AnomalyScore | Decider::Features { .. } => 1,
        };
        let meter = Meter::new(observer, &label, costs.fit(arm), steps);
        let cached = job.cache.has(<Option<Predictions>>::KIND, &arm_key);
        let about = format!("{} in {label}", arm.name().file_stem());
        let made = job.cache.product(&arm_key, &about, &meter, || {
            if observer.stop_requested() {
                return Err(Error::Stopped);
            }
            match arm.decider {
                Decider::Network { network, input } => {
                    networks.predictions(arm, (network, input), &meter)
                }
                Decider::AnomalyScore | Decider::Features { .. } => {
                    let fitted = fitted(job, arm, division, &tables.fitting, &meter)?;
                    let test = TestRows::new(&tables.test);
                    fitted.map(|fitted| fitted.predict(&test)).transpose()
                }
            }
        })?;
        meter.finish(cached);
        Ok((place, made))
    };
    let (of_networks, of_rows): (Vec<_>, Vec<_>) = job
        .arms
        .iter()
        .enumerate()
        .partition(|(_, arm)| arm.is_network());
    let mut made = of_rows
        .into_par_iter()
        .map(one)
        .collect::<Result<Vec<_>>>()?;
    for arm in of_networks {
        made.push(one(arm)?);
    }
    made.sort_by_key(|(place, _)| *place);
    Ok(made.into_iter().map(|(_, made)| made).collect())
}

/// An arm fitted on a fold's training rows, of which it gets its share of the
/// defects.
fn fitted(
    job: &Job<'_>,
    arm: &Arm,
    division: &Division<'_>,
    fitting: &Table,
    observer: &dyn Observer,
) -> Result<Option<FittedArm>> {
    let view = job.view(arm.task);
    let set = with_defects(arm, division)?.seen_in(view);
    let rows = TrainingRows::new(&set, fitting, division.good_repeat);
    let how = Fitting {
        view,
        settings: job.settings,
        seed: division.seed,
    };
    fits::fit(arm, &rows, &how, &Quiet(observer))
}

fn with_defects<'d>(arm: &Arm, division: &Division<'d>) -> Result<TrainingSet<'d>> {
    let share = f64::from(arm.defects) / 100.0;
    let seed = division.seed.derive("compare.defects", 0);
    division.fitting.with_share_of_defects(share, seed)
}

/// Passes on nothing but the wish to stop: the same notes from every arm and
/// fold would bury all others.
struct Quiet<'a>(&'a dyn Observer);

impl Observer for Quiet<'_> {
    fn stop_requested(&self) -> bool {
        self.0.stop_requested()
    }
}

/// Raised by hand when a perceptron of the same settings and seed becomes
/// another one, so that what it said before is not taken for what it says.
const PERCEPTRON: u32 = 2;

/// The key of what an arm says in a fold.
fn arm_key(
    job: &Job<'_>,
    stages: &Stages<'_>,
    arm: &Arm,
    division: &Division<'_>,
    tables: &Key,
) -> Result<Key> {
    let mut key = KeyBuilder::new(<Option<Predictions>>::KIND);
    if let Decider::Network { network, input } = arm.decider {
        let answers = supervised::key(job, stages, arm, division, (network, input))?;
        return Ok(key
            .with("answers", answers.to_string())
            .with_settings("arm", arm)
            .with_settings("decision", &job.settings.decision)
            .with("repeat", division.good_repeat.to_le_bytes())
            .finish());
    }
    let view = job.view(arm.task);
    let set = with_defects(arm, division)?.seen_in(view);
    key = key
        .with("tables", tables.to_string())
        .with_settings("arm", arm)
        .with_settings("selection", &job.settings.selection)
        .with_settings("decision", &job.settings.decision)
        .with("folds", job.settings.fitting.threshold_folds.to_le_bytes())
        .with("repeat", division.good_repeat.to_le_bytes())
        .with("seed", job.seed.to_le_bytes())
        .with("fold", division.number.to_le_bytes());
    if matches!(arm.decider, Decider::Features { classifier, .. } if classifier.name() == "mlp") {
        key = key.with("perceptron", PERCEPTRON.to_le_bytes());
    }
    Ok(with_pieces(key, &set).finish())
}

/// Adds the classes of a set, and what its pieces are: label and group.
fn with_pieces(mut key: KeyBuilder, set: &TrainingSet<'_>) -> KeyBuilder {
    for class in set.classes() {
        key = key.with("class", class);
    }
    for ((sample, label), group) in set.samples().zip(set.labels()).zip(set.groups()) {
        key = key
            .with("piece", sample.id.as_str())
            .with("label", label)
            .with("group", group)
            .with("grouped", [u8::from(sample.group.is_some())]);
    }
    key
}
