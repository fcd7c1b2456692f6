//! The output folder of an audit: tables, summary, report.

use super::corrections::{self, Corrections};
use super::duplicates::Pair;
use super::{Audit, AuditOptions};
use crate::data::dataset::Dataset;
use crate::data::reader::{ImageReader, Limits};
use crate::data::sample::Sample;
use crate::error::{Error, Result};
use crate::files::{CsvFile, Existing, StagedFolder, write_atomic};
use crate::report;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The file that shows that goma made the folder.
pub const MARKER: &str = "audit.json";

/// `audit.json`.
#[derive(Debug, Clone, Serialize)]
pub struct AuditSummary {
    /// The data.
    pub data: String,
    /// Their layout.
    pub layout: String,
    /// The program's version.
    pub goma: String,
    /// The seed.
    pub seed: u64,
    /// Pieces read.
    pub pieces: usize,
    /// Pieces of each class, as labelled (also those that cannot be read).
    pub classes: BTreeMap<String, usize>,
    /// Groups; a piece without one is its own.
    pub groups: usize,
    /// Channel names.
    pub channels: Vec<String>,
    /// Pairs of near-duplicates.
    pub duplicates: usize,
    /// Of these, pairs of two groups: they leak between training and test.
    pub duplicates_across_groups: usize,
    /// Of these, pairs of two labels.
    pub duplicates_with_two_labels: usize,
    /// Labels judged.
    pub judged: usize,
    /// Labels that the confident joint counts under another class.
    pub label_issues: usize,
    /// What judged them.
    pub features: String,
    /// The classifier.
    pub classifier: String,
    /// For each class the pieces so labelled, by the class they are confidently
    /// counted under, in the order of `joint_classes`.
    pub confident_joint: Vec<Vec<usize>>,
    /// The classes of `confident_joint`.
    pub joint_classes: Vec<String>,
    /// What was corrected before.
    pub corrections: Option<Corrections>,
    /// Pieces that could not be read, with the reason.
    pub unreadable: Vec<(String, String)>,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// What stands beside the numbers.
pub struct Facts<'a> {
    /// The data set, corrections applied.
    pub dataset: &'a Dataset,
    /// What one file may ask for.
    pub limits: Limits,
    /// What was used.
    pub options: &'a AuditOptions,
    /// What made the features.
    pub features: &'a str,
    /// The seed.
    pub seed: u64,
    /// What was corrected, if anything was to be.
    pub corrections: Option<Corrections>,
}

/// Writes an audit as a folder:
///
/// - `report.html`: everything to look at, in one file
/// - `samples.csv`, `channels.csv`, `histograms.csv`, `duplicates.csv`,
///   `suspects.csv` (the most suspect first), `audit.json`
/// - `corrected/`, if labels were corrected: see [`corrections::write`]
///
/// The folder appears whole or not at all.
///
/// # Errors
/// [`Error::Exists`] if `out` is in the way; [`Error::Io`].
pub fn write_audit(
    out: &Path,
    audit: &Audit,
    facts: Facts<'_>,
    existing: Existing,
) -> Result<AuditSummary> {
    let staged = StagedFolder::begin(out, existing, MARKER)?;
    let folder = staged.path();
    let dataset = facts.dataset;
    samples(&folder.join("samples.csv"), audit, dataset)?;
    channels(folder, audit, dataset)?;
    duplicates(&folder.join("duplicates.csv"), audit, dataset)?;
    suspects(&folder.join("suspects.csv"), audit, dataset)?;
    if facts.corrections.is_some() {
        corrections::write(dataset, &folder.join("corrected"))?;
    }
    let summary = summary(audit, &facts);
    // The pictures of suspects are drawn now that it is known who they are.
    let reader = ImageReader::new(dataset.format.clone(), facts.limits);
    let draw = |place: usize| -> Result<Vec<u8>> {
        let piece = &audit.pieces[place];
        match &piece.picture {
            Some(bytes) => Ok(bytes.clone()),
            None => super::look::picture(&reader.read(&dataset.samples[piece.sample])?),
        }
    };
    let page = report::audit::page(audit, dataset, &summary, facts.options, draw)?;
    write_atomic(&folder.join("report.html"), page.as_bytes())?;
    let json = serde_json::to_string_pretty(&summary).map_err(|e| Error::data(e.to_string()))?;
    write_atomic(&folder.join(MARKER), format!("{json}\n").as_bytes())?;
    staged.commit()?;
    Ok(summary)
}

fn summary(audit: &Audit, facts: &Facts<'_>) -> AuditSummary {
    let dataset = facts.dataset;
    let sample = |place: usize| &dataset.samples[audit.pieces[place].sample];
    let count = |holds: fn(&Sample, &Sample) -> bool| {
        let pairs = audit.duplicates.iter();
        pairs
            .filter(|p| holds(sample(p.first), sample(p.second)))
            .count()
    };
    let groups: BTreeSet<&str> = dataset.samples.iter().map(Sample::group_or_id).collect();
    AuditSummary {
        data: dataset.root.display().to_string(),
        layout: dataset.layout.to_string(),
        goma: env!("CARGO_PKG_VERSION").into(),
        seed: facts.seed,
        pieces: audit.pieces.len(),
        classes: dataset.counts().into_iter().collect(),
        groups: groups.len(),
        channels: dataset.format.names(),
        duplicates: audit.duplicates.len(),
        duplicates_across_groups: count(|a, b| a.group_or_id() != b.group_or_id()),
        duplicates_with_two_labels: count(|a, b| a.label() != b.label()),
        judged: audit.ranked.len(),
        label_issues: audit
            .suspicions
            .iter()
            .flatten()
            .filter(|s| s.issue)
            .count(),
        features: facts.features.into(),
        classifier: facts.options.classifier.name().into(),
        confident_joint: audit.joint.clone(),
        joint_classes: audit.classes.clone(),
        corrections: facts.corrections.clone(),
        unreadable: audit
            .unreadable
            .iter()
            .map(|u| (u.id.to_string(), u.reason.clone()))
            .collect(),
        notes: audit.notes.clone(),
    }
}

fn samples(path: &Path, audit: &Audit, dataset: &Dataset) -> Result<()> {
    let mut header: Vec<String> = ["id", "path", "status", "label", "group", "height", "width"]
        .map(String::from)
        .to_vec();
    for name in dataset.format.names() {
        header.extend(["mean", "deviation", "saturated"].map(|what| format!("{what}_{name}")));
    }
    header.extend(["self_confidence", "suggested", "duplicates", "message"].map(String::from));
    let mut alike = vec![0usize; audit.pieces.len()];
    for pair in &audit.duplicates {
        alike[pair.first] += 1;
        alike[pair.second] += 1;
    }
    let mut table = CsvFile::create(path, &header)?;
    for (place, piece) in audit.pieces.iter().enumerate() {
        let sample = &dataset.samples[piece.sample];
        let mut row = vec![
            sample.id.to_string(),
            sample.path().to_string_lossy().into_owned(),
            "ok".into(),
            sample.label().unwrap_or_default().into(),
            sample.group.clone().unwrap_or_default(),
            piece.size[0].to_string(),
            piece.size[1].to_string(),
        ];
        let numbers = piece
            .means
            .iter()
            .zip(&piece.deviations)
            .zip(&piece.saturated);
        for ((mean, deviation), saturated) in numbers {
            row.extend([mean, deviation, saturated].map(|v| format!("{v:.6}")));
        }
        let suspicion = audit.suspicions[place].as_ref();
        row.push(suspicion.map_or(String::new(), |s| format!("{:.6}", s.self_confidence)));
        row.push(suspicion.map_or(String::new(), |s| s.suggested.clone()));
        row.push(alike[place].to_string());
        row.push(String::new());
        table.row(&row)?;
    }
    for piece in &audit.unreadable {
        let known = dataset.samples.iter().find(|s| s.id == piece.id);
        let missing = dataset.missing.iter().find(|m| m.id == piece.id);
        let mut row = vec![String::new(); header.len()];
        row[0] = piece.id.to_string();
        row[1] = known
            .map(|s| s.path().to_string_lossy().into_owned())
            .or(missing.map(|m| m.path.to_string_lossy().into_owned()))
            .unwrap_or_default();
        row[2] = "error".into();
        row[3] = known.and_then(|s| s.label()).unwrap_or_default().into();
        if let Some(last) = row.last_mut() {
            last.clone_from(&piece.reason);
        }
        table.row(&row)?;
    }
    table.finish()
}

/// The percentiles of `channels.csv`.
pub const PERCENTILES: [f64; 5] = [0.01, 0.25, 0.5, 0.75, 0.99];

fn channels(folder: &Path, audit: &Audit, dataset: &Dataset) -> Result<()> {
    let header = [
        "class",
        "channel",
        "pixels",
        "mean",
        "deviation",
        "p01",
        "p25",
        "p50",
        "p75",
        "p99",
        "black",
        "saturated",
    ];
    let mut table = CsvFile::create(&folder.join("channels.csv"), &header)?;
    let header = ["class", "channel", "level", "pixels"];
    let mut histograms = CsvFile::create(&folder.join("histograms.csv"), &header)?;
    for (class, of) in &audit.channels {
        for (name, s) in dataset.format.names().iter().zip(of) {
            let mut row = vec![class.clone(), name.clone(), s.pixels().to_string()];
            let percentiles = PERCENTILES.map(|share| s.percentile(share));
            let numbers = [s.mean(), s.deviation()].into_iter().chain(percentiles);
            row.extend(numbers.map(|v| format!("{v:.6}")));
            row.extend([s.black(), s.saturated()].map(|v| format!("{v:.6}")));
            table.row(&row)?;
            for (level, count) in s.histogram().iter().enumerate().filter(|(_, n)| **n > 0) {
                histograms.row(&[class, name, &level.to_string(), &count.to_string()])?;
            }
        }
    }
    table.finish()?;
    histograms.finish()
}

fn duplicates(path: &Path, audit: &Audit, dataset: &Dataset) -> Result<()> {
    let header = [
        "id",
        "other",
        "correlation",
        "group",
        "other_group",
        "across_groups",
        "label",
        "other_label",
    ];
    let mut table = CsvFile::create(path, &header)?;
    for Pair {
        first,
        second,
        correlation,
    } in &audit.duplicates
    {
        let [a, b] = [first, second].map(|p| &dataset.samples[audit.pieces[*p].sample]);
        table.row(&[
            a.id.as_str(),
            b.id.as_str(),
            &format!("{correlation:.5}"),
            a.group.as_deref().unwrap_or_default(),
            b.group.as_deref().unwrap_or_default(),
            if a.group_or_id() == b.group_or_id() {
                "no"
            } else {
                "yes"
            },
            a.label().unwrap_or_default(),
            b.label().unwrap_or_default(),
        ])?;
    }
    table.finish()
}

fn suspects(path: &Path, audit: &Audit, dataset: &Dataset) -> Result<()> {
    let header = [
        "rank",
        "id",
        "path",
        "label",
        "suggested",
        "self_confidence",
        "p_suggested",
        "issue",
    ];
    let mut table = CsvFile::create(path, &header)?;
    for (rank, &place) in audit.ranked.iter().enumerate() {
        let sample = &dataset.samples[audit.pieces[place].sample];
        let Some(s) = &audit.suspicions[place] else {
            continue; // only judged pieces are ranked
        };
        table.row(&[
            (rank + 1).to_string().as_str(),
            sample.id.as_str(),
            &sample.path().to_string_lossy(),
            sample.label().unwrap_or_default(),
            &s.suggested,
            &format!("{:.6}", s.self_confidence),
            &format!("{:.6}", s.p_suggested),
            if s.issue { "yes" } else { "no" },
        ])?;
    }
    table.finish()
}
