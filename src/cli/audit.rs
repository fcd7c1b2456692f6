//! `goma audit`

use super::data::DataArgs;
use super::observer::Terminal;
use super::{Common, Outcome, Work};
use clap::Args;
use goma::audit::{AuditOptions, Eyes, audit, corrections, write_audit};
use goma::classifier::{ClassifierOptions, LogisticOptions, Method};
use goma::data::dataset::Dataset;
use goma::extract::{Extractor, FeatureOptions, InputMode, choice};
use goma::files::{Existing, output_folder};
use goma::random::Seed;
use goma::{Error, Result, store};
use std::path::PathBuf;

/// Look at a data set before training: balance, channels, duplicates, suspect labels
///
/// Writes report.html (self-contained) and tables: samples.csv, channels.csv, histograms.csv,
/// duplicates.csv (near-duplicates; those across groups leak from training into the test),
/// suspects.csv (labels ranked by how little a classifier that has not seen the piece believes
/// them), audit.json.
///
/// Labels are judged on the features of a backbone, or with --bundle on the image and map features
/// of a trained model, which see small defects better. With --apply, corrected labels are written
/// into DIR/corrected, a folder that can be trained on; the data stay as they are.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  goma audit erasers --out audit
  goma audit erasers --out audit --bundle models/eraser
  goma audit erasers --out audited --apply corrections.csv
  goma train audited/corrected --out model")]
pub struct AuditArgs {
    /// The data set
    #[arg(value_name = "DATA")]
    data: PathBuf,
    /// Folder for the report and the tables
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Corrected labels to apply: a table with the columns id,label[,reason]
    #[arg(long, value_name = "FILE.csv")]
    apply: Option<PathBuf>,
    /// Judge labels by this bundle's features of image and map
    #[arg(long, value_name = "BUNDLE", conflicts_with_all = ["backbone", "weights", "size"])]
    bundle: Option<PathBuf>,
    /// goma-resnet18-w32 (bundled), resnet18 to resnet152 [default: the bundled]
    #[arg(long, value_name = "NAME")]
    backbone: Option<String>,
    /// Weights from a file (.safetensors, .pth) instead of the cache
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Side of the pictures as the backbone sees them, in pixels
    #[arg(long, value_name = "N", default_value_t = FeatureOptions::default().size)]
    size: usize,
    /// Folds in which labels are judged; groups stay together
    #[arg(long, value_name = "K", default_value_t = 5)]
    folds: usize,
    /// From this correlation on two pieces are near-duplicates
    #[arg(long, value_name = "C", default_value_t = 0.96)]
    duplicate_at: f64,
    /// Sample pictures of each class in the report
    #[arg(long, value_name = "N", default_value_t = 8)]
    pictures: usize,
    /// Suspects with a picture in the report
    #[arg(long, value_name = "N", default_value_t = 40)]
    suspects: usize,
    /// Replace the folder if goma audit made it
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    reading: DataArgs,
}

/// Strong, for there are often more features than pieces.
const PENALTY: f64 = 30.0;

/// Runs the command.
pub fn run(args: &AuditArgs, common: &Common, terminal: &Terminal) -> Result<Outcome> {
    let existing = Existing::forced(args.force);
    if !args.force {
        // Said before the work, not after it.
        output_folder(&args.out, existing, "audit.json")?;
    }
    let options = AuditOptions {
        folds: args.folds,
        classifier: ClassifierOptions {
            method: Method::Logistic(LogisticOptions { penalty: PENALTY }),
            ..ClassifierOptions::logistic()
        },
        duplicate_at: args.duplicate_at,
        pictures: args.pictures,
        suspects: args.suspects,
    };
    options.check()?;
    let device = super::device(common, Work::Training)?;
    let mut open = args.reading.options();
    let bundle = match &args.bundle {
        None => None,
        Some(path) => {
            let pipeline = store::open(path, &device)?.pipeline;
            super::data::require_channels(&mut open, &pipeline.format)?;
            open.fallback = Some(pipeline.format.clone());
            Some(Eyes::bundle(pipeline)?)
        }
    };
    let mut dataset = Dataset::open(&args.data, &open)?;
    let corrected = match &args.apply {
        Some(table) => Some(corrections::apply(&mut dataset, table)?),
        None => None,
    };
    let eyes = match bundle {
        Some(eyes) => eyes,
        None => {
            let (name, weights) =
                choice::weights(args.backbone.as_deref(), args.weights.as_deref())?;
            let features = FeatureOptions {
                size: args.size,
                input: InputMode::Image,
            };
            let channels = dataset.format.channels.len();
            Eyes::backbone(Extractor::new(
                features, &name, &weights, channels, &device,
            )?)
        }
    };
    let seed = Seed::new(common.seed);
    let found = audit(&dataset, open.limits(), &eyes, &options, seed, terminal)?;
    found.notes.iter().for_each(|note| terminal.say(note));
    for piece in &found.unreadable {
        terminal.say(&format!("cannot read {}: {}", piece.id, piece.reason));
    }
    let facts = goma::audit::Facts {
        dataset: &dataset,
        limits: open.limits(),
        options: &options,
        features: eyes.name(),
        seed: common.seed,
        corrections: corrected,
    };
    let summary = write_audit(&args.out, &found, facts, existing)?;
    if common.json {
        let json =
            serde_json::to_string_pretty(&summary).map_err(|e| Error::data(e.to_string()))?;
        println!("{json}");
    } else {
        if let Some(c) = &summary.corrections {
            println!(
                "{} labels corrected, {} were so already",
                c.changed.len(),
                c.unchanged
            );
        }
        println!(
            "{} pieces, {} label issues of {} judged, {} near-duplicates ({} across groups), {} unreadable",
            summary.pieces,
            summary.label_issues,
            summary.judged,
            summary.duplicates,
            summary.duplicates_across_groups,
            summary.unreadable.len()
        );
    }
    terminal.say(&format!(
        "report: {}",
        args.out.join("report.html").display()
    ));
    Ok(match summary.unreadable.len() {
        0 => Outcome::Done,
        n => Outcome::Unreadable(n),
    })
}
