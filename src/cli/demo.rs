//! `goma demo`: the main job on what lies in the program, no download.

use super::data::DataArgs;
use super::observer::Terminal;
use super::score::Job;
use super::{Common, Outcome, Work};
use clap::Args;
use goma::data::annotation::GOOD;
use goma::data::dataset::{Dataset, OpenOptions};
use goma::data::fold::Fold;
use goma::data::pixel_files::PixelFiles;
use goma::data::reader::Limits;
use goma::files::{self, Existing};
use goma::metrics::report::{Labelled, Report, ReportOptions};
use goma::pipeline::fit::{self, Plan};
use goma::random::Seed;
use goma::report::run::summary_line;
use goma::report::score_folder::ScoreOptions;
use goma::settings::Settings;
use goma::store::{self, Bundle};
use goma::synth::{SynthOptions, write_dataset};
use goma::{Error, Result, bundled};
use std::path::{Path, PathBuf};

/// Judge fresh synthetic erasers with the bundled model and write the report
///
/// Makes erasers that the model has never seen, scores them, and writes scores,
/// heatmaps and report. With --train a model is trained from nothing first.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  goma demo
  goma demo --out look --count 400 --seed 3
  goma demo --train --set draem.steps=500")]
pub struct DemoArgs {
    /// Folder for everything the demo makes
    #[arg(long, value_name = "DIR", default_value = "goma-demo")]
    out: PathBuf,
    /// Number of fresh pieces
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    count: u64,
    /// Train a model from nothing instead of taking the bundled one (some 30 minutes)
    #[arg(long)]
    pub(super) train: bool,
    /// Pieces to train on, with --train
    #[arg(long, value_name = "N", default_value_t = 1400, requires = "train")]
    train_count: u64,
    /// Replace the folder if goma wrote it
    #[arg(long)]
    force: bool,
}

/// Laid over the seed of fresh pieces, so that they are none of a training's.
const FRESH: u64 = 0x6672_6573_6800;
const MARKER: &str = "demo.json";

/// Runs the command.
pub fn run(args: &DemoArgs, common: &Common, terminal: &Terminal) -> Result<Outcome> {
    let existing = if args.force {
        Existing::Replace
    } else {
        Existing::Refuse
    };
    let device = super::device(common, Work::Training)?;
    let config = match &common.config {
        None => None,
        Some(path) => Some(std::fs::read_to_string(path).map_err(Error::io("read", path))?),
    };
    let settings = Settings::default().with(config.as_deref(), &common.set)?;
    let out = files::output_folder(&args.out, existing, MARKER)?;
    let facts = serde_json::json!({
        "goma": env!("CARGO_PKG_VERSION"), "seed": common.seed, "count": args.count, "train": args.train,
    });
    files::write_atomic(&out.join(MARKER), facts.to_string().as_bytes())?;
    let (bundle, name) = if args.train {
        (
            train(args, settings, common, &out, &device, terminal)?,
            "trained here",
        )
    } else {
        (bundled::eraser(&device)?, "eraser (bundled)")
    };

    terminal.say(&format!("making {} fresh erasers", args.count));
    let pieces = out.join("pieces");
    write_dataset(
        &pieces,
        &SynthOptions::default(),
        FRESH ^ common.seed,
        args.count,
        PixelFiles::Arrays,
        Existing::Refuse,
        terminal,
    )?;
    let reading = DataArgs::default();
    let inputs = [pieces.clone()];
    let results = out.join("scores");
    let job = Job {
        name: name.to_string(),
        inspector: &bundle.pipeline,
        hash: &bundle.hash,
        beside: None,
        inputs: &inputs,
        out: &results,
        options: ScoreOptions::default(),
        reading: &reading,
        notes: Vec::new(),
    };
    let counts = job.run(common, terminal)?;
    let measured = measure(&pieces, &results, &bundle)?;
    if common.json {
        let json = serde_json::json!({ "counts": counts, "measured": measured });
        println!(
            "{}",
            serde_json::to_string_pretty(&json).map_err(|e| Error::data(e.to_string()))?
        );
    } else {
        println!("{}", summary_line(&counts));
        if let (Some(auc), Some(pr), Some(recall), Some(rejects)) = (
            measured.roc_auc,
            measured.auc_pr,
            measured.defect_recall,
            measured.false_reject_rate,
        ) {
            println!(
                "against the true labels: ROC AUC {auc:.3}, AUC-PR {pr:.3}; {:.1}% of {} defects \
                 and {:.1}% of {} good pieces rejected",
                100.0 * recall,
                measured.n_defect,
                100.0 * rejects,
                measured.n_good,
            );
        }
        println!("report:   {}", results.join("report.html").display());
        println!("scores:   {}", results.join("scores.csv").display());
        println!("heatmaps: {}", results.join("heatmaps").display());
    }
    Ok(Outcome::Done)
}

/// Trains on synthetic erasers of the run's own seed.
fn train(
    args: &DemoArgs,
    settings: Settings,
    common: &Common,
    out: &Path,
    device: &candle_core::Device,
    terminal: &Terminal,
) -> Result<Bundle> {
    let pieces = out.join("training-pieces");
    terminal.say(&format!("making {} erasers to train on", args.train_count));
    write_dataset(
        &pieces,
        &SynthOptions::default(),
        common.seed,
        args.train_count,
        PixelFiles::Arrays,
        Existing::Refuse,
        terminal,
    )?;
    let dataset = Dataset::open(&pieces, &OpenOptions::default())?;
    let folder = out.join("model");
    std::fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
    let plan = Plan {
        name: "demo".into(),
        fold: Fold::everything(&dataset),
        dataset: &dataset,
        settings,
        seed: common.seed,
        device: device.clone(),
        limits: Limits::default(),
        backbone: Some(bundled::backbone()?),
        pictures: Vec::new(),
        roi: None,
        start: None,
        workspace: &folder,
        resume: false,
        recorder: None,
    };
    super::train::write(&fit::fit(plan, terminal)?, &folder)?;
    store::open(&folder, device)
}

/// How good the scores are against the true labels, at the model's threshold.
fn measure(pieces: &Path, results: &Path, bundle: &Bundle) -> Result<Report> {
    let dataset = Dataset::open(pieces, &OpenOptions::default())?;
    let path = results.join("scores.csv");
    let wrong = |e: csv::Error| Error::malformed(&path, e.to_string());
    let mut table = csv::Reader::from_path(&path).map_err(wrong)?;
    let head = table.headers().map_err(wrong)?.clone();
    let column = |name: &str| head.iter().position(|h| h == name).unwrap_or_default();
    let (id, p_defect) = (column("id"), column("p_defect"));
    let (mut truth, mut scores) = (Vec::new(), Vec::new());
    for row in table.records() {
        let row = row.map_err(wrong)?;
        let cell = |i: usize| row.get(i).unwrap_or_default();
        let sample = dataset.samples.iter().find(|s| s.id.as_str() == cell(id));
        if let (Some(sample), Ok(score)) = (sample, cell(p_defect).parse()) {
            truth.push(usize::from(sample.label() != Some(GOOD)));
            scores.push(score);
        }
    }
    let labelled = Labelled {
        classes: vec![GOOD.into(), "defect".into()],
        truth,
        scores,
        probabilities: None,
        groups: None,
    };
    let options = ReportOptions {
        threshold: Some(bundle.pipeline.rule.fail_at),
        bootstrap: None,
    };
    Report::new(&labelled, &options, Seed::new(0))
}
