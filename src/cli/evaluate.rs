//! `goma evaluate`: every measure of a set of predictions.

mod predictions;
mod text;

use super::observer::Terminal;
use super::{Common, Outcome};
use clap::Args;
use goma::metrics::report::{Labelled, ReportOptions};
use goma::metrics::{BootstrapOptions, Report};
use goma::random::Seed;
use goma::{Error, Result};
use std::path::PathBuf;

/// Measure anybody's predictions on labelled data
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  goma evaluate --predictions scores.csv --bootstrap 1000

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
    /// A table of predictions: id,label,score or id,label,p_CLASS...
    #[arg(long, value_name = "FILE.csv")]
    predictions: Option<PathBuf>,
    /// The column to take as score (default: score, else what p_ columns say)
    #[arg(long, value_name = "COLUMN", requires = "predictions")]
    score: Option<String>,
    /// Judge at this threshold (default: that of the best F1 on these data)
    #[arg(long, value_name = "T", allow_negative_numbers = true)]
    threshold: Option<f64>,
    /// Add 95% intervals from N bootstrap draws of the groups
    #[arg(long, value_name = "N")]
    bootstrap: Option<usize>,
}

/// Runs the command.
pub fn run(args: &EvaluateArgs, common: &Common, terminal: &Terminal) -> Result<Outcome> {
    let Some(path) = &args.predictions else {
        return Err(Error::setting("predictions", "none given")
            .help("name a table: goma evaluate --predictions FILE.csv"));
    };
    let read = predictions::read(path, args.score.as_deref())?;
    let mut report = measure(&read.labelled, args, common)?;
    report.notes.extend(read.notes);
    print(&report, common, terminal)?;
    Ok(match read.unreadable {
        0 => Outcome::Done,
        n => Outcome::Unreadable(n),
    })
}

/// All measures, as the flags ask for them.
fn measure(data: &Labelled, args: &EvaluateArgs, common: &Common) -> Result<Report> {
    if let Some(t) = args.threshold.filter(|t| !t.is_finite()) {
        return Err(Error::setting(
            "threshold",
            format!("{t} given, a number expected"),
        ));
    }
    let options = ReportOptions {
        threshold: args.threshold,
        bootstrap: args.bootstrap.map(|resamples| BootstrapOptions {
            resamples,
            ..BootstrapOptions::default()
        }),
    };
    Report::new(data, &options, Seed::new(common.seed).derive("evaluate", 0))
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
