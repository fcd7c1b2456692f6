//! `goma evaluate --beside`: two bundles on the same pieces.

use super::{EvaluateArgs, options};
use goma::data::annotation::GOOD;
use goma::files::{self, Existing};
use goma::metrics::paired::{self, Judgement, Paired};
use goma::metrics::ranking::Sweep;
use goma::metrics::{BootstrapOptions, Report};
use goma::pipeline::inspector::Inspector;
use goma::pipeline::measure::{self, Judged};
use goma::random::Seed;
use goma::report::curves::PrecisionRecall;
use goma::report::markdown::Table;
use goma::report::matrix::ConfusionMatrix;
use goma::report::picture;
use goma::{Error, Result};
use serde::Serialize;
use std::path::Path;

/// The second bundle's measures, and the difference to the first.
#[derive(Serialize)]
pub struct Compared {
    /// The second bundle's name.
    name: String,
    /// The second bundle's measures.
    report: Report,
    /// First against second.
    paired: Paired,
}

/// Compares the first two inspectors, each at its own threshold.
pub fn compare(
    judged: &Judged,
    inspectors: &[&dyn Inspector],
    path: &Path,
    args: &EvaluateArgs,
    seed: Seed,
) -> Result<Compared> {
    let [first, second] = inspectors[..] else {
        return Err(Error::setting("beside", "two bundles expected"));
    };
    let own = goma::metrics::report::ReportOptions {
        threshold: None,
        ..options(args)
    };
    let report = measure::measure(judged, 1, second, &own, seed)?.report;
    let scores =
        |which: usize| -> Vec<f64> { judged.verdicts[which].iter().map(|v| v.score).collect() };
    let (a, b) = (scores(0), scores(1));
    let is_defect: Vec<bool> = judged.labels.iter().map(|l| l != GOOD).collect();
    let alone: Vec<usize> = (0..is_defect.len()).collect();
    let bootstrap = BootstrapOptions {
        resamples: args.bootstrap.unwrap_or(1000),
        ..BootstrapOptions::default()
    };
    let paired = paired::compare(
        Judgement {
            scores: &a,
            threshold: args.threshold.unwrap_or(first.about().rule.fail_at),
        },
        Judgement {
            scores: &b,
            threshold: second.about().rule.fail_at,
        },
        &is_defect,
        judged.groups.as_ref().unwrap_or(&alone),
        &bootstrap,
        seed.derive("beside", 0),
    )?;
    let name = path
        .canonicalize()
        .ok()
        .and_then(|p| p.file_name().map(|n| n.to_string_lossy().into_owned()))
        .unwrap_or_else(|| "beside".into());
    Ok(Compared {
        name,
        report,
        paired,
    })
}

impl Compared {
    /// For people.
    pub fn text(&self) -> String {
        let mut table = Table::new(["measure", "first", &self.name, "difference", "95% interval"]);
        for (name, d) in &self.paired.measures {
            table.row([
                (*name).to_string(),
                format!("{:.4}", d.first),
                format!("{:.4}", d.second),
                format!("{:+.4}", d.difference),
                d.interval.map_or(String::new(), |i| {
                    format!("{:+.4} to {:+.4}", i.low, i.high)
                }),
            ]);
        }
        let m = &self.paired.mcnemar;
        format!(
            "{table}\nBoth decide alike on {} of {} pieces. Right where the other is wrong: first {}, \
             {} {}; McNemar p = {} ({}).\n",
            self.paired.agreed,
            self.paired.n,
            m.first_only,
            self.name,
            m.second_only,
            probability(m.p_value),
            if m.exact { "exact" } else { "chi-squared" }
        )
    }
}

/// A p-value to four digits, or as a power of ten below them.
fn probability(p: f64) -> String {
    match p < 1e-4 {
        true => format!("{p:.1e}"),
        false => format!("{p:.4}"),
    }
}

/// Precision over recall of all in one picture, and each one's confusions.
pub fn plots(
    judged: &Judged,
    report: &Report,
    compared: Option<&Compared>,
    inspectors: &[&dyn Inspector],
    folder: &Path,
) -> Result<()> {
    let out = files::output_folder(folder, Existing::Refuse, "precision-recall.svg")?;
    let is_defect: Vec<bool> = judged.labels.iter().map(|l| l != GOOD).collect();
    let mut sweeps = Vec::new();
    for (which, inspector) in inspectors.iter().enumerate() {
        let about = inspector.about();
        let scores: Vec<f64> = judged.verdicts[which].iter().map(|v| v.score).collect();
        let name = format!("{} ({})", about.training.name, about.model);
        sweeps.push((name, Sweep::new(&scores, &is_defect)?));
    }
    let named: Vec<(&str, &Sweep)> = sweeps.iter().map(|(n, s)| (n.as_str(), s)).collect();
    if is_defect.contains(&true) {
        picture::write(&PrecisionRecall::new(&named)?, &out, "precision-recall")?;
    }
    let second = compared.map(|c| &c.report);
    for (i, report) in [Some(report), second].into_iter().flatten().enumerate() {
        if report.confusion.is_empty() {
            continue;
        }
        let matrix = ConfusionMatrix {
            title: named[i].0,
            classes: &report.classes,
            counts: &report.confusion,
        };
        picture::write(&matrix, &out, ["confusion", "confusion-beside"][i])?;
    }
    Ok(())
}
