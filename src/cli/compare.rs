//! `goma compare`: image, map and both, over folds, with evidence.

use super::data::DataArgs;
use super::observer::Terminal;
use super::train::{baseline, read_pictures, read_weights};
use super::{Common, Outcome, Work};
use clap::Args;
use clap::builder::PossibleValuesParser;
use goma::baseline::Kind;
use goma::bundled;
use goma::classifier::{Balance, ClassifierOptions};
use goma::comparison::{self, ArmOptions, Cache, Job, Plan, StartingNetwork, Task};
use goma::data::dataset::{ClassView, Dataset};
use goma::extract::InputMode;
use goma::files::{self, Existing};
use goma::metrics::BootstrapOptions;
use goma::nn::resnet::Depth;
use goma::pipeline::fit;
use goma::report::comparison::{self as report, Facts};
use goma::report::markdown::Table;
use goma::settings::{ModelKind, Settings};
use goma::{Error, Result};
use std::path::PathBuf;

/// Compare image, anomaly map and both, on your own pieces
///
/// In every fold an anomaly model is trained anew on that fold's good training
/// pieces, then features, selection, classifier and threshold are fitted; no
/// test piece is seen before it is scored. Groups stay whole. Every stage's
/// product is kept in a cache: a run that was stopped, or killed, goes on with
/// --resume, and another classifier is compared in a minute.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  goma compare tiles --out tiles-compared --dry-run
  goma compare tiles --out tiles-compared --fractions 25,100
  goma compare tiles --out tiles-compared --classifiers svm,forest --resume
  goma compare tiles --out tiles-compared --baseline resnet18 --fractions 100 --resume

The folder gets compare.json, compare.csv, compare.md, compare.html, plots/ (SVG and
PNG) and predictions/ (one table an arm, as goma evaluate --predictions reads them).
--resume takes what the cache holds, whatever settings it is run with, and writes the
results anew. Settings are those of goma train; that classifier's own options count for
its kind (--set classifier.kind=mlp --set classifier.epochs=50). docs/compare.md says
how it is done.")]
pub struct CompareArgs {
    /// The labelled data set (a folder, or a manifest CSV)
    #[arg(value_name = "DATA")]
    data: PathBuf,
    /// Folder for the results
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Folds; with fewer than 9 no difference can reach p < 0.005
    #[arg(long, value_name = "K", default_value_t = 10)]
    folds: usize,
    /// Defect or not, and which
    #[arg(long, value_name = "TASKS", value_delimiter = ',', default_values = ["binary", "multi-class"], value_parser = ["binary", "multi-class"])]
    tasks: Vec<String>,
    /// What the classifier sees: image, map, image+map
    #[arg(long, value_name = "MODES", value_delimiter = ',', default_values = ["image", "map", "image+map"], value_parser = ["image", "map", "image+map"])]
    inputs: Vec<String>,
    /// mlp, svm, forest, logistic (default: that of the settings, mlp)
    #[arg(long, value_name = "KINDS", value_delimiter = ',', value_parser = ["mlp", "svm", "forest", "logistic"])]
    classifiers: Vec<String>,
    /// What is done about classes of unequal size: none, weights, resampling
    /// (default: that of the settings, weights)
    #[arg(long, value_name = "WAYS", value_delimiter = ',', value_parser = ["none", "weights", "resampling"])]
    balance: Vec<String>,
    /// Percent of the defective training pieces to learn from
    #[arg(long, value_name = "PERCENT", value_delimiter = ',', default_values_t = [25, 50, 75, 100])]
    fractions: Vec<u32>,
    /// Compare supervised networks too, on image and on image+map (the map as one
    /// more channel): resnet18, 34, 50, 101, 152, cnn. They are trained in every
    /// fold, which takes long; their recipe is that of --set baseline.KEY=VALUE
    #[arg(long, value_name = "NETWORKS", value_delimiter = ',', value_parser = PossibleValuesParser::new(ModelKind::BASELINES))]
    baseline: Vec<String>,
    /// Bootstrap draws for the intervals; 0 leaves them out
    #[arg(long, value_name = "N", default_value_t = BootstrapOptions::default().resamples)]
    bootstrap: usize,
    /// Size of the anomaly model: fast, compact or paper
    #[arg(long, value_name = "PRESET", default_value = "fast", value_parser = Settings::PRESETS)]
    preset: String,
    /// Classes of the multi-class task: as-labelled, or three (print, physical, good)
    #[arg(long, value_name = "VIEW", value_parser = ["as-labelled", "three"])]
    classes: Option<String>,
    /// Backbone weights (.safetensors or .pth) in place of the bundled ones
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Folder of pictures that simulated defects are filled with
    #[arg(long, value_name = "DIR")]
    anomaly_source: Option<PathBuf>,
    /// Folder of the cache, which several comparisons may share (default: cache
    /// within the results)
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Folds worked on at a time, each on its share of the threads
    #[arg(long, value_name = "N", default_value_t = 1)]
    jobs: usize,
    /// Print what is to be done and an estimate, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Replace the folder, with the cache in it, if goma wrote it
    #[arg(long, conflicts_with = "resume")]
    force: bool,
    /// Go on in a folder that was begun, with what its cache holds
    #[arg(long)]
    resume: bool,
    #[command(flatten)]
    reading: DataArgs,
}

/// The file that shows that goma began a comparison here.
const SETTINGS_FILE: &str = "settings.toml";

/// Runs the command.
pub fn run(args: &CompareArgs, common: &Common, terminal: &Terminal) -> Result<Outcome> {
    let settings = settings(args, common)?;
    let arms = arm_options(args, &settings).arms()?;
    if args.jobs == 0 {
        return Err(Error::setting("jobs", "0 given, at least 1 expected"));
    }
    let mut options = args.reading.options();
    options.classes = settings.classes;
    let dataset = Dataset::open(&args.data, &options)?;
    let (binary, arms, mut notes) = comparison::views(&dataset, arms)?;
    for note in dataset.notes.iter().chain(&notes) {
        terminal.say(&format!("note: {note}"));
    }
    let backbone = match &args.weights {
        None => bundled::backbone()?,
        Some(path) => read_weights(path)?,
    };
    let networks = networks(args, &settings, terminal)?;
    let limits = options.limits();
    let pictures = match &args.anomaly_source {
        None => Vec::new(),
        Some(folder) => read_pictures(folder, settings.draem.size, limits)?,
    };
    let device = super::device(common, Work::Training)?;
    let cache = Cache::new(&args.cache.clone().unwrap_or_else(|| args.out.join("cache")));
    let job = Job {
        dataset: &dataset,
        binary: &binary,
        folds: args.folds,
        arms,
        settings: &settings,
        seed: common.seed,
        bootstrap: (args.bootstrap > 0).then(|| BootstrapOptions {
            resamples: args.bootstrap,
            ..BootstrapOptions::default()
        }),
        backbone: &backbone,
        networks: &networks,
        pictures: &pictures,
        limits,
        device: &device,
        cache: &cache,
        jobs: args.jobs,
    };
    comparison::check(&job)?;
    if args.dry_run {
        let plan = comparison::plan(&job, terminal)?;
        print_plan(&plan, common)?;
        return Ok(Outcome::Done);
    }
    let existing = match (args.force, args.resume) {
        (true, _) => Existing::Replace,
        // A run that was killed before it began leaves nothing to go on with.
        (_, true) if args.out.join(SETTINGS_FILE).exists() => Existing::Continue,
        _ => Existing::Refuse,
    };
    let out = files::output_folder(&args.out, existing, SETTINGS_FILE)?;
    let settings_text = settings.to_toml();
    files::write_atomic(&out.join(SETTINGS_FILE), settings_text.as_bytes())?;
    terminal.say(&format!(
        "{}; {} folds, {} arms",
        fit::describe(&dataset),
        args.folds,
        job.arms.len()
    ));
    terminal.detail_line(&settings_text);
    let mut compared = comparison::compare(&job, terminal).map_err(|error| match error {
        Error::Stopped => Error::Stopped.help(format!(
            "what is done lies in {}; the same command with --resume goes on from it",
            cache.folder().display()
        )),
        other => other,
    })?;
    compared
        .unreadable
        .extend(super::data::without_pixels(&dataset));
    notes.append(&mut compared.notes);
    compared.notes = notes;
    let facts = Facts {
        goma: env!("CARGO_PKG_VERSION").to_string(),
        data: fit::describe(&dataset),
        seed: common.seed,
        settings: settings_text,
        unreadable: compared
            .unreadable
            .iter()
            .map(|u| (u.id.to_string(), u.reason.clone()))
            .collect(),
    };
    report::write(&out, &compared, &dataset, &facts)?;
    if common.json {
        println!("{}", report::json(&compared, &facts)?);
    } else {
        for table in report::tables::all(&compared) {
            if table.title.starts_with("Table") {
                println!("{}\n\n{}", table.title, table.markdown());
            }
        }
    }
    for note in &compared.notes {
        terminal.say(&format!("note: {note}"));
    }
    for piece in &compared.unreadable {
        terminal.say(&format!("left out {}: {}", piece.id, piece.reason));
    }
    terminal.say(&format!(
        "results in {}: open compare.html",
        args.out.display()
    ));
    Ok(match compared.unreadable.len() {
        0 => Outcome::Done,
        n => Outcome::Unreadable(n),
    })
}

/// Preset, then settings file and pairs, then the flags of this command.
fn settings(args: &CompareArgs, common: &Common) -> Result<Settings> {
    let config = match &common.config {
        None => None,
        Some(path) => Some(std::fs::read_to_string(path).map_err(Error::io("read", path))?),
    };
    let mut pairs = common.set.clone();
    if let Some(view) = &args.classes {
        pairs.push(format!("classes={view:?}"));
    }
    let settings = Settings::preset(&args.preset)?.with(config.as_deref(), &pairs)?;
    if settings.classes == ClassView::Binary {
        return Err(
            Error::setting("classes", "binary given, as-labelled or three expected")
                .help("--tasks binary asks for defect or not"),
        );
    }
    Ok(settings)
}

/// The networks that are asked for, with the weights that they start from.
fn networks(
    args: &CompareArgs,
    settings: &Settings,
    terminal: &Terminal,
) -> Result<Vec<StartingNetwork>> {
    let start = |network| {
        let weights = baseline::start(network, &settings.baseline, None, terminal)?;
        Ok(StartingNetwork { network, weights })
    };
    kinds(args).into_iter().map(start).collect()
}

fn kinds(args: &CompareArgs) -> Vec<Kind> {
    let of = |name: &String| Depth::named(name).map_or(Kind::Cnn, Kind::ResNet);
    args.baseline.iter().map(of).collect()
}

/// The arms that the flags ask for.
fn arm_options(args: &CompareArgs, settings: &Settings) -> ArmOptions {
    let own = settings.classifier;
    let of_kind = |kind: &String| match kind.as_str() {
        kind if kind == own.name() => own,
        "svm" => ClassifierOptions::svm(),
        "forest" => ClassifierOptions::forest(),
        "logistic" => ClassifierOptions::logistic(),
        _ => ClassifierOptions::mlp(),
    };
    let way = |way: &String| match way.as_str() {
        "none" => Balance::None,
        "resampling" => Balance::Resample,
        _ => Balance::WeightedLoss,
    };
    let or_own = |given: &[String]| !given.is_empty();
    ArmOptions {
        tasks: Task::ALL
            .into_iter()
            .filter(|task| args.tasks.iter().any(|t| t == task.name()))
            .collect(),
        inputs: args
            .inputs
            .iter()
            .filter_map(|name| InputMode::named(name))
            .collect(),
        classifiers: match or_own(&args.classifiers) {
            true => args.classifiers.iter().map(of_kind).collect(),
            false => vec![own],
        },
        balances: match or_own(&args.balance) {
            true => args.balance.iter().map(way).collect(),
            false => vec![own.balance],
        },
        defects: args.fractions.clone(),
        anomaly_score: true,
        networks: kinds(args),
    }
}

/// What is to be done, as a table or as JSON.
fn print_plan(plan: &Plan, common: &Common) -> Result<()> {
    if common.json {
        let json = serde_json::to_string_pretty(plan).map_err(|e| Error::data(e.to_string()))?;
        println!("{json}");
        return Ok(());
    }
    let mut table = Table::new([
        "stage",
        "count",
        "cached",
        "to do",
        "each",
        "time",
        "cache size",
    ]);
    for stage in &plan.stages {
        table.row([
            stage.what.clone(),
            stage.count.to_string(),
            stage.ready.to_string(),
            stage.to_do().to_string(),
            duration(stage.each_ms / 1000.0),
            duration(stage.seconds()),
            size(stage.count as u64 * stage.each_bytes),
        ]);
    }
    println!("{} folds, {} arms\n\n{table}", plan.folds, plan.arms);
    println!(
        "About {} from a few steps timed on this machine just now, {} of cache.",
        duration(plan.seconds()),
        size(plan.bytes())
    );
    Ok(())
}

fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 1.0 => format!("{:.0} ms", 1000.0 * s),
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

fn size(bytes: u64) -> String {
    match bytes as f64 {
        b if b < 1e6 => format!("{:.0} kB", b / 1e3),
        b if b < 1e9 => format!("{:.0} MB", b / 1e6),
        b => format!("{:.1} GB", b / 1e9),
    }
}
