//! A comparison as files: `compare.json`, `compare.csv`, each arm's
//! out-of-fold predictions, tables as Markdown and HTML, plots as SVG and PNG.
//!
//! [`tables`] says what stands in which table, once for Markdown and HTML.

mod page;
pub mod plots;
pub mod tables;

use crate::comparison::{ArmResult, Comparison};
use crate::data::annotation::GOOD;
use crate::data::dataset::Dataset;
use crate::error::{Error, Result};
use crate::files;
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::Path;

/// What a comparison was made of, for its files.
#[derive(Debug, Clone, Serialize)]
pub struct Facts {
    /// goma's version.
    pub goma: String,
    /// The data, in words; no path.
    pub data: String,
    /// The seed.
    pub seed: u64,
    /// The settings, as TOML.
    pub settings: String,
    /// Pieces left out because they could not be read: id and reason.
    pub unreadable: Vec<(String, String)>,
}

/// The name of the file that says all.
pub const JSON: &str = "compare.json";

#[derive(Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    facts: &'a Facts,
    #[serde(flatten)]
    comparison: &'a Comparison,
}

/// The whole comparison as JSON.
///
/// # Errors
/// [`Error::Data`] if it has no such form.
pub fn json(comparison: &Comparison, facts: &Facts) -> Result<String> {
    let whole = Whole { facts, comparison };
    serde_json::to_string_pretty(&whole).map_err(|e| Error::data(e.to_string()))
}

/// Writes all files into a folder; `compare.json` comes last. Predictions and
/// plots of arms that are no longer compared are removed.
///
/// # Errors
/// [`Error::Io`]; [`Error::Data`] if a plot cannot be drawn.
pub fn write(
    folder: &Path,
    comparison: &Comparison,
    dataset: &Dataset,
    facts: &Facts,
) -> Result<()> {
    let put = |name: &str, bytes: &[u8]| files::write_atomic(&folder.join(name), bytes);
    put("compare.csv", csv(comparison)?.as_bytes())?;
    let predictions = files_of(comparison, dataset)?;
    replace_files(&folder.join("predictions"), "csv", &predictions)?;
    let plots = plots::all(comparison, dataset)?;
    let mut drawn = Vec::new();
    for plot in &plots {
        drawn.push((format!("{}.svg", plot.name), plot.svg.clone().into_bytes()));
        drawn.push((format!("{}.png", plot.name), plot.png.clone()));
    }
    let folder_of_plots = folder.join("plots");
    let (svg, png): (Vec<_>, Vec<_>) = drawn.into_iter().partition(|(n, _)| n.ends_with("svg"));
    replace_files(&folder_of_plots, "svg", &svg)?;
    replace_files(&folder_of_plots, "png", &png)?;
    let tables = tables::all(comparison);
    put(
        "compare.md",
        markdown(comparison, facts, &tables, &plots).as_bytes(),
    )?;
    put(
        "compare.html",
        page::page(comparison, facts, &tables, &plots).as_bytes(),
    )?;
    put(JSON, json(comparison, facts)?.as_bytes())
}

/// Writes files of one ending into a folder, and removes its others.
fn replace_files(folder: &Path, ending: &str, files: &[(String, Vec<u8>)]) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    let names: BTreeSet<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    for entry in std::fs::read_dir(folder)
        .map_err(Error::io("read", folder))?
        .flatten()
    {
        let path = entry.path();
        let ours = path.extension().is_some_and(|e| e == ending);
        if ours && !names.contains(&*entry.file_name().to_string_lossy()) {
            std::fs::remove_file(&path).map_err(Error::io("remove", &path))?;
        }
    }
    files
        .iter()
        .try_for_each(|(name, bytes)| crate::files::write_atomic(&folder.join(name), bytes))
}

/// One row for each arm, fold and measure that is defined; fold `all` holds the
/// pooled out-of-fold predictions.
fn csv(comparison: &Comparison) -> Result<String> {
    let head = [
        "task",
        "input",
        "classifier",
        "balance",
        "defects",
        "fold",
        "measure",
        "value",
    ];
    let mut rows = vec![head.map(String::from).to_vec()];
    for arm in &comparison.arms {
        let n = &arm.name;
        let factors = [n.task, n.input, n.classifier, n.balance].map(String::from);
        for (measure, measured) in &arm.measures {
            let folds = measured
                .folds
                .iter()
                .zip(1..)
                .map(|(v, f)| (f.to_string(), *v));
            let all = std::iter::once(("all".to_string(), measured.pooled));
            for (fold, value) in folds.chain(all) {
                let Some(value) = value else { continue };
                let mut row = factors.to_vec();
                row.extend([
                    n.defects.to_string(),
                    fold,
                    measure.clone(),
                    format!("{value:?}"),
                ]);
                rows.push(row);
            }
        }
    }
    table(&rows)
}

/// Each arm's predictions as a table that `goma evaluate --predictions` reads.
fn files_of(comparison: &Comparison, dataset: &Dataset) -> Result<Vec<(String, Vec<u8>)>> {
    comparison
        .arms
        .iter()
        .map(|arm| {
            let name = format!("{}.csv", arm.name.file_stem());
            Ok((name, predictions(arm, dataset)?.into_bytes()))
        })
        .collect()
}

fn predictions(arm: &ArmResult, dataset: &Dataset) -> Result<String> {
    let probabilities = arm
        .predictions
        .iter()
        .any(|p| !p.piece.probabilities.is_empty());
    let mut head: Vec<String> = [
        "id",
        "label",
        "group",
        "fold",
        "class",
        "score",
        "threshold",
        "predicted",
    ]
    .map(String::from)
    .to_vec();
    if probabilities {
        head.extend(arm.classes.iter().map(|c| format!("p_{c}")));
    }
    let mut rows = vec![head];
    for out in &arm.predictions {
        let sample = &dataset.samples[out.sample];
        let class = sample.label().unwrap_or_default();
        let known = arm.classes.iter().any(|c| c == class);
        // Where the task knows no such class it asks for any defect.
        let label = if known || class == GOOD {
            class
        } else {
            "defect"
        };
        let group = sample.group_or_id();
        let predicted = arm
            .classes
            .get(out.piece.predicted)
            .map_or("", String::as_str);
        let mut row = vec![
            sample.id.to_string(),
            label.to_string(),
            group.to_string(),
            out.fold.to_string(),
            class.to_string(),
            format!("{:?}", out.piece.score),
            out.threshold.map_or(String::new(), |t| format!("{t:?}")),
            predicted.to_string(),
        ];
        row.extend(out.piece.probabilities.iter().map(|p| format!("{p:?}")));
        rows.push(row);
    }
    table(&rows)
}

fn table(rows: &[Vec<String>]) -> Result<String> {
    let mut writer = csv::WriterBuilder::new().from_writer(Vec::new());
    let failed = |e: csv::Error| Error::data(e.to_string());
    for row in rows {
        writer.write_record(row).map_err(failed)?;
    }
    let bytes = writer
        .into_inner()
        .map_err(|e| Error::data(e.to_string()))?;
    String::from_utf8(bytes).map_err(|e| Error::data(e.to_string()))
}

/// The sentence above all tables.
fn summary(comparison: &Comparison, facts: &Facts) -> String {
    let folds = comparison.folds.len();
    let (least, most) = comparison.folds.iter().fold((usize::MAX, 0), |(l, m), f| {
        (l.min(f.anomaly_pieces), m.max(f.anomaly_pieces))
    });
    format!(
        "{}; {folds} folds, groups whole; in each fold an anomaly model of its own, trained on \
         {} good pieces; {} arms; seed {}; goma {}.",
        facts.data,
        if least == most {
            most.to_string()
        } else {
            format!("{least} to {most}")
        },
        comparison.arms.len(),
        facts.seed,
        facts.goma
    )
}

fn markdown(
    comparison: &Comparison,
    facts: &Facts,
    tables: &[tables::Titled],
    plots: &[plots::Plot],
) -> String {
    let mut text = format!("# Comparison\n\n{}\n", summary(comparison, facts));
    for note in &comparison.notes {
        text.push_str(&format!("\n- {}", crate::error::one_line(note)));
    }
    if !comparison.notes.is_empty() {
        text.push('\n');
    }
    for table in tables {
        text.push_str(&format!(
            "\n## {}\n\n{}\n\n{}",
            table.title,
            table.about,
            table.markdown()
        ));
    }
    text.push_str("\n## Plots\n");
    for plot in plots {
        text.push_str(&format!(
            "\n{}\n\n![{}](plots/{}.svg)\n",
            plot.title, plot.title, plot.name
        ));
    }
    text
}

#[cfg(test)]
mod tests;
