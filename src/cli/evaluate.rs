//! `goma evaluate`: every measure of a set of predictions.

mod beside;
mod held_out;
mod predictions;
mod text;

use super::data::DataArgs;
use super::inspected::InspectedArgs;
use super::observer::Terminal;
use super::{Common, Outcome, Work};
use clap::Args;
use goma::data::dataset::Dataset;
use goma::data::reader::ImageReader;
use goma::data::sample::Sample;
use goma::metrics::report::{Labelled, ReportOptions};
use goma::metrics::{BootstrapOptions, Report};
use goma::pipeline::measure::{self, Measured};
use goma::random::Seed;
use goma::{Error, Result, store};
use std::path::{Path, PathBuf};

/// Measure a bundle, or anybody's predictions, on labelled data
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  goma evaluate models/line3 erasers-of-march
  goma evaluate models/line3 all-erasers --held-out
  goma evaluate --predictions scores.csv --bootstrap 1000
  goma evaluate models/line3 erasers-of-march --beside models/resnet18 --plots compared

A bundle is judged at its own threshold unless --threshold says otherwise, and its
maps against the masks, where the data have any: pixel ROC AUC, pixel average
precision, and AUPRO up to a false-positive rate of 0.3, all over the pixels of the
region of interest. A note tells of pieces that the bundle was trained on (its
pieces.csv lists them); --held-out leaves them out.

The table has the columns id, label and score, or id, label and a probability
p_CLASS for each class; a column group keeps pieces together in intervals. A label
is good (or 0) for a piece without defect; any other (or 1) is a defect. Scores rise
with the likelihood of a defect.

The measures roc_auc, auc_pr, f1, precision, recall, specificity ask \"defect or
not\": of the score, or of 1 - p_good. With three classes or more, confusion,
accuracy, kappa and per_class ask \"which\": of the most probable class. A measure
that the data do not define (no defect among them, say) is null, with a note.
Rows without a label are left out and counted; a score that is no number, an id
that occurs twice, or a label without its column is an error that names the row.")]
pub struct EvaluateArgs {
    /// Folder of the trained bundle
    #[arg(
        value_name = "BUNDLE",
        requires = "data",
        conflicts_with = "predictions"
    )]
    bundle: Option<PathBuf>,
    /// The labelled data set
    #[arg(value_name = "DATA")]
    data: Option<PathBuf>,
    /// A table of predictions: id,label,score or id,label,p_CLASS...
    #[arg(long, value_name = "FILE.csv")]
    predictions: Option<PathBuf>,
    /// The column to take as score (default: score, else what p_ columns say)
    #[arg(long, value_name = "COLUMN", requires = "predictions")]
    score: Option<String>,
    /// A second bundle to compare with on the same pieces: McNemar's test, and
    /// intervals of the differences
    #[arg(long, value_name = "BUNDLE", conflicts_with = "predictions")]
    beside: Option<PathBuf>,
    /// Measure only on pieces that no bundle here was trained on, by what their files
    /// hold
    #[arg(long, conflicts_with = "predictions")]
    held_out: bool,
    /// Folder for plots: precision over recall, confusion matrices (SVG, PNG)
    #[arg(long, value_name = "DIR", conflicts_with = "predictions")]
    plots: Option<PathBuf>,
    /// Judge at this threshold (default: that of the best F1 on these data)
    #[arg(long, value_name = "T", allow_negative_numbers = true)]
    threshold: Option<f64>,
    /// Add 95% intervals from N bootstrap draws of the groups
    #[arg(long, value_name = "N")]
    bootstrap: Option<usize>,
    #[command(flatten)]
    inspected: InspectedArgs,
    #[command(flatten)]
    reading: DataArgs,
}

/// Runs the command.
pub fn run(args: &EvaluateArgs, common: &Common, terminal: &Terminal) -> Result<Outcome> {
    if let (Some(bundle), Some(data)) = (&args.bundle, &args.data) {
        return of_bundle(bundle, data, args, common, terminal);
    }
    if args.inspected.roi.is_some() || args.inspected.tiles.is_some() {
        return Err(
            Error::setting("--roi or --tiles", "predictions have no maps")
                .help("name a bundle and data (goma evaluate BUNDLE DATA)"),
        );
    }
    let Some(path) = &args.predictions else {
        return Err(Error::setting("BUNDLE", "none given").help(
            "name a bundle and data (goma evaluate BUNDLE DATA), or a table \
             (goma evaluate --predictions FILE.csv)",
        ));
    };
    let read = predictions::read(path, args.score.as_deref())?;
    let mut report = measured(&read.labelled, args, common)?;
    report.notes.extend(read.notes);
    print(&report, common, terminal)?;
    Ok(match read.unreadable {
        0 => Outcome::Done,
        n => Outcome::Unreadable(n),
    })
}

/// All measures, as the flags ask for them.
fn measured(data: &Labelled, args: &EvaluateArgs, common: &Common) -> Result<Report> {
    if let Some(t) = args.threshold.filter(|t| !t.is_finite()) {
        return Err(Error::setting(
            "threshold",
            format!("{t} given, a number expected"),
        ));
    }
    Report::new(
        data,
        &options(args),
        Seed::new(common.seed).derive("evaluate", 0),
    )
}

fn options(args: &EvaluateArgs) -> ReportOptions {
    ReportOptions {
        threshold: args.threshold,
        bootstrap: args.bootstrap.map(|resamples| BootstrapOptions {
            resamples,
            ..BootstrapOptions::default()
        }),
    }
}

/// Scores labelled data with a bundle and measures both verdicts and maps.
fn of_bundle(
    bundle: &Path,
    data: &Path,
    args: &EvaluateArgs,
    common: &Common,
    terminal: &Terminal,
) -> Result<Outcome> {
    let mut model = store::open_any(bundle, &super::device(common, Work::Scoring)?)?;
    let mut reading = args.reading.options();
    let notes = args
        .inspected
        .overrule(model.inspector.as_mut(), reading.limits())?;
    let about = model.inspector.about();
    reading.classes = about.settings.classes;
    super::data::require_channels(&mut reading, about.format)?;
    reading.fallback = Some(about.format.clone());
    let dataset = Dataset::open(data, &reading)?;
    let samples: Vec<&Sample> = dataset
        .labelled()
        .into_iter()
        .map(|i| &dataset.samples[i])
        .collect();
    if samples.is_empty() {
        return Err(Error::data(format!(
            "{} holds no labelled piece",
            data.display()
        )));
    }
    let mut bundles = vec![bundle];
    bundles.extend(args.beside.as_deref());
    let (samples, known) = held_out::choose(&bundles, samples, args.held_out, terminal)?;
    let reader = ImageReader::new(dataset.format.clone(), reading.limits()).within(about.roi);
    let seed = Seed::new(common.seed).derive("evaluate", 0);
    let other = match &args.beside {
        Some(path) => Some(store::open_any(
            path,
            &super::device(common, Work::Scoring)?,
        )?),
        None => None,
    };
    let mut inspectors = vec![model.inspector.as_ref()];
    inspectors.extend(other.as_ref().map(|other| other.inspector.as_ref()));
    let judged = measure::judge(&inspectors, &samples, &reader, terminal)?;
    let Measured {
        mut report,
        anomaly_score,
    } = measure::measure(&judged, 0, inspectors[0], &options(args), seed)?;
    let compared = match &args.beside {
        Some(path) => Some(beside::compare(&judged, &inspectors, path, args, seed)?),
        None => None,
    };
    if let Some(folder) = &args.plots {
        beside::plots(&judged, &report, compared.as_ref(), &inspectors, folder)?;
    }
    let (pixels, mut unreadable) = (judged.pixels, judged.unreadable);
    unreadable.extend(super::data::without_pixels(&dataset));
    report.notes.extend(notes);
    report.notes.extend(known);
    report.notes.extend(dataset.notes.iter().cloned());
    report.notes.extend(
        unreadable
            .iter()
            .map(|u| format!("left out {}: {}", u.id, u.reason)),
    );
    if common.json {
        let mut json = serde_json::to_value(&report).map_err(|e| Error::data(e.to_string()))?;
        json["anomaly_score"] =
            serde_json::to_value(&anomaly_score).map_err(|e| Error::data(e.to_string()))?;
        json["pixels"] = serde_json::to_value(pixels).map_err(|e| Error::data(e.to_string()))?;
        if let Some(compared) = &compared {
            json["beside"] =
                serde_json::to_value(compared).map_err(|e| Error::data(e.to_string()))?;
        }
        println!(
            "{}",
            serde_json::to_string_pretty(&json).map_err(|e| Error::data(e.to_string()))?
        );
        for note in &report.notes {
            terminal.say(&format!("note: {note}"));
        }
    } else {
        print(&report, common, terminal)?;
        if let Some(Report {
            roc_auc: Some(auc),
            auc_pr: Some(pr),
            ..
        }) = &anomaly_score
        {
            println!("anomaly score alone: ROC AUC {auc:.4}, AUC-PR {pr:.4}");
        }
        if let Some(p) = &pixels {
            println!(
                "pixels: ROC AUC {:.4}, AP {:.4}, AUPRO {:.4}",
                p.roc_auc, p.average_precision, p.aupro
            );
        }
        if let Some(compared) = &compared {
            print!("\n{}", compared.text());
        }
    }
    Ok(match unreadable.len() {
        0 => Outcome::Done,
        n => Outcome::Unreadable(n),
    })
}

/// The report on standard output, as JSON or as a table; notes to the terminal
/// where the table does not hold them.
fn print(report: &Report, common: &Common, terminal: &Terminal) -> Result<()> {
    if common.json {
        let json = serde_json::to_string_pretty(report)
            .map_err(|e| Error::data(format!("cannot write the report: {e}")))?;
        println!("{json}");
    } else {
        print!("{}", text::table(report));
    }
    for note in &report.notes {
        terminal.say(&format!("note: {note}"));
    }
    Ok(())
}
