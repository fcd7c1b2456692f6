//! Plots of a comparison, as SVG and (at twice the size) as PNG: recall by
//! fraction of defects, curves of the arms, critical differences.
//!
//! Readable in print, in grey and for a colour-blind eye: Okabe and Ito's
//! palette, dashes and markers besides.

mod draw;

use crate::comparison::differences::ranked;
use crate::comparison::{ArmResult, Comparison, Measured, Task};
use crate::data::annotation::GOOD;
use crate::data::dataset::Dataset;
use crate::error::Result;
use crate::metrics::ranking::Sweep;
use draw::{Lines, RankAxis, Series};
use std::collections::BTreeSet;

/// One plot in both forms.
#[derive(Debug, Clone)]
pub struct Plot {
    /// File name without ending.
    pub name: String,
    /// What it shows, in a sentence.
    pub title: String,
    /// For the page and the press.
    pub svg: String,
    /// For slides.
    pub png: Vec<u8>,
}

/// All plots, in order.
///
/// # Errors
/// [`crate::Error::Data`] if one cannot be drawn.
pub fn all(comparison: &Comparison, dataset: &Dataset) -> Result<Vec<Plot>> {
    let mut plots = Vec::new();
    for task in Task::ALL {
        let arms: Vec<&ArmResult> = comparison
            .arms
            .iter()
            .filter(|a| a.name.task == task.name())
            .collect();
        let fractions: BTreeSet<u32> = arms.iter().map(|a| a.name.defects).collect();
        let Some(&most) = fractions.last() else {
            continue;
        };
        for group in groups(&arms) {
            if fractions.len() > 1 {
                plots.push(recall_by_fraction(task, &group)?);
            }
            let at_most: Vec<&ArmResult> = group
                .arms
                .iter()
                .copied()
                .filter(|a| a.name.defects == most)
                .collect();
            plots.extend(curves(task, &group, &at_most, dataset)?);
        }
        let at_most: Vec<&ArmResult> = arms
            .iter()
            .copied()
            .filter(|a| a.name.defects == most)
            .collect();
        for measure in ["roc_auc", "defect_recall"] {
            plots.extend(critical_differences(task, measure, &at_most)?);
        }
    }
    Ok(plots)
}

/// Arms of one classifier and balance, with the anomaly score beside them.
struct Group<'a> {
    name: String,
    arms: Vec<&'a ArmResult>,
}

fn groups<'a>(arms: &[&'a ArmResult]) -> Vec<Group<'a>> {
    let mut names: Vec<(&str, &str)> = Vec::new();
    for arm in arms {
        let name = (arm.name.classifier, arm.name.balance);
        if !names.contains(&name) && name.0 != "-" {
            names.push(name);
        }
    }
    if names.is_empty() {
        names.push(("-", "-"));
    }
    let of = |(classifier, balance): (&str, &str)| Group {
        name: match classifier {
            "-" => "score".to_string(),
            _ if balance == "-" => classifier.to_string(),
            _ => format!("{classifier}-{balance}"),
        },
        arms: arms
            .iter()
            .copied()
            .filter(|a| {
                a.name.classifier == "-"
                    || (a.name.classifier, a.name.balance) == (classifier, balance)
            })
            .collect(),
    };
    names.into_iter().map(of).collect()
}

/// Defect recall over the share of defects that was learned from.
fn recall_by_fraction(task: Task, group: &Group<'_>) -> Result<Plot> {
    let mut inputs: Vec<&str> = Vec::new();
    for arm in &group.arms {
        if !inputs.contains(&arm.name.input) {
            inputs.push(arm.name.input);
        }
    }
    let n = inputs.len() as f64;
    let series = inputs.iter().enumerate().map(|(i, input)| {
        // Side by side, so that the bars do not hide one another.
        let shift = (i as f64 - (n - 1.0) / 2.0) * 0.9;
        let mut points: Vec<(f64, f64, f64)> = group
            .arms
            .iter()
            .filter(|a| a.name.input == *input)
            .filter_map(|a| {
                let recall = &a.measures["defect_recall"];
                let x = f64::from(a.name.defects) + shift;
                Some((x, recall.mean?, recall.deviation.unwrap_or(0.0)))
            })
            .collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        Series::with_bars((*input).to_string(), points)
    });
    let series: Vec<Series> = series.collect();
    Lines {
        title: format!("Defect recall, {}, {}", task.name(), group.name),
        x: (
            "share of the defective training pieces, percent",
            0.0..105.0,
        ),
        y: ("defect recall", 0.0..1.02),
        percent_x: true,
        guess: None,
        series,
    }
    .plot(
        format!("recall-by-fraction_{}_{}", task.name(), group.name),
        format!(
            "Defect recall by share of the defects learned from ({}, {}): mean and standard \
             deviation over the folds.",
            task.name(),
            group.name
        ),
    )
}

/// ROC and precision-recall curves of "defect or not", all out-of-fold
/// predictions together.
fn curves(
    task: Task,
    group: &Group<'_>,
    arms: &[&ArmResult],
    dataset: &Dataset,
) -> Result<Vec<Plot>> {
    let (mut roc, mut pr) = (Vec::new(), Vec::new());
    let mut share = 0.0;
    for arm in arms {
        let scores: Vec<f64> = arm.predictions.iter().map(|p| p.piece.score).collect();
        let is_defect: Vec<bool> = arm
            .predictions
            .iter()
            .map(|p| dataset.samples[p.sample].label() != Some(GOOD))
            .collect();
        let sweep = Sweep::new(&scores, &is_defect)?;
        let (Ok(auc), Ok(ap)) = (sweep.roc_auc(), sweep.average_precision()) else {
            continue;
        };
        let (good, defects) = (sweep.n_good as f64, sweep.n_defect as f64);
        share = defects / (good + defects);
        let mut of_roc = vec![(0.0, 0.0)];
        let mut of_pr = Vec::new();
        let mut before = 0.0;
        for p in &sweep.points {
            let (tp, fp) = (p.true_positives as f64, p.false_positives as f64);
            of_roc.push((fp / good, tp / defects));
            let precision = tp / (tp + fp);
            of_pr.extend([(before, precision), (tp / defects, precision)]);
            before = tp / defects;
        }
        roc.push(Series::line(
            format!("{}, {auc:.3}", arm.name.input),
            of_roc,
        ));
        pr.push(Series::line(format!("{}, {ap:.3}", arm.name.input), of_pr));
    }
    if roc.is_empty() {
        return Ok(Vec::new());
    }
    let of = format!("{}, {}", task.name(), group.name);
    let file = format!("{}_{}", task.name(), group.name);
    let note = "all out-of-fold predictions together; dashed grey: guessing";
    Ok(vec![
        Lines {
            title: format!("ROC, {of}"),
            x: ("share of good pieces rejected", 0.0..1.0),
            y: ("share of defects rejected", 0.0..1.02),
            percent_x: false,
            guess: Some([(0.0, 0.0), (1.0, 1.0)]),
            series: roc,
        }
        .plot(
            format!("roc_{file}"),
            format!("ROC curves ({of}), with their areas: {note}."),
        )?,
        Lines {
            title: format!("Precision and recall, {of}"),
            x: ("recall", 0.0..1.0),
            y: ("precision", 0.0..1.02),
            percent_x: false,
            guess: Some([(0.0, share), (1.0, share)]),
            series: pr,
        }
        .plot(
            format!("precision-recall_{file}"),
            format!("Precision-recall curves ({of}), with average precision: {note}."),
        )?,
    ])
}

/// Mean ranks over the folds, and which arms Nemenyi's test does not tell apart.
fn critical_differences(task: Task, measure: &str, arms: &[&ArmResult]) -> Result<Option<Plot>> {
    let measured: Vec<&Measured> = arms.iter().map(|a| &a.measures[measure]).collect();
    let Some(ranks) = ranked(&measured)? else {
        return Ok(None);
    };
    let Some(critical_difference) = ranks.critical_difference else {
        return Ok(None);
    };
    let several = |of: fn(&ArmResult) -> &'static str| {
        let all: BTreeSet<&str> = arms.iter().map(|a| of(a)).filter(|n| *n != "-").collect();
        all.len() > 1
    };
    let (classifiers, balances) = (several(|a| a.name.classifier), several(|a| a.name.balance));
    let named = arms.iter().zip(&ranks.ranks).map(|(arm, &rank)| {
        let mut words = vec![arm.name.input];
        if classifiers && arm.name.classifier != "-" {
            words.push(arm.name.classifier);
        }
        if balances && arm.name.balance != "-" {
            words.push(arm.name.balance);
        }
        (words.join(" "), rank)
    });
    let heading = super::tables::heading(measure);
    let axis = RankAxis {
        title: format!("Mean rank by {heading}, {}", task.name()),
        arms: named.collect(),
        critical_difference,
    };
    axis.plot(
        format!("critical-differences_{}_{}", task.name(), measure.replace('_', "-")),
        format!(
            "Mean rank of the arms by {heading} over {} folds ({}; 1 is best). Arms joined by a bar \
             are not told apart (Nemenyi, α = 0.05, critical difference {critical_difference:.2}); \
             Friedman p = {:.4}.",
            ranks.folds,
            task.name(),
            ranks.p_value
        ),
    )
    .map(Some)
}
