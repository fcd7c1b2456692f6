//! How good a pipeline is on pieces it has not seen.

use super::Pipeline;
use super::decide::{FittingRows, fit_deciders, fit_rule, labels_of};
use super::rows::{self, Gather, Rows, Unreadable};
use crate::data::annotation::GOOD;
use crate::data::dataset::Dataset;
use crate::data::prediction::Prediction;
use crate::data::reader::ImageReader;
use crate::data::sample::Sample;
use crate::decision::Rule;
use crate::draem::Draem;
use crate::error::Result;
use crate::extract::{Extractor, InputMode};
use crate::metrics::pixel::{PixelMetrics, PixelScores};
use crate::metrics::report::{Labelled, Report, ReportOptions};
use crate::progress::Observer;
use crate::random::Seed;
use crate::settings::{ModelKind, Settings};
use serde::Serialize;
use std::collections::BTreeMap;

/// Measures on held-out pieces.
#[derive(Debug, Serialize)]
pub struct Evaluation {
    /// Held-out pieces.
    pub pieces: usize,
    /// Of those, defective.
    pub defective: usize,
    /// By what is compared: `anomaly score`, and of the classifier `image`,
    /// `map`, `image+map`. The threshold is the one fitted in training.
    pub arms: BTreeMap<String, Report>,
    /// Pixel measures of the map, where there are masks.
    pub pixels: Option<PixelMetrics>,
    /// Held-out pieces that could not be read.
    #[serde(skip)]
    pub unreadable: Vec<Unreadable>,
}

/// What the deciders were fitted on.
pub struct FittedOn<'a> {
    /// The rows.
    pub on: FittingRows<'a>,
    /// The rule of the pipeline that is kept.
    pub rule: &'a Rule,
}

/// Measures the anomaly score and the classifier on every input mode.
///
/// # Errors
/// [`crate::Error::Stopped`]; whatever a step says.
#[allow(clippy::too_many_arguments)] // the whole of a training run is measured here
pub fn held_out(
    test: &[&Sample],
    fitted: FittedOn<'_>,
    reader: &ImageReader,
    draem: &Draem,
    extractor: Option<&Extractor>,
    dataset: &Dataset,
    settings: &Settings,
    seed: Seed,
    observer: &dyn Observer,
) -> Result<Evaluation> {
    let mut pixels = PixelScores::default();
    let gather = Gather {
        colours: None,
        pixels: test.iter().any(|s| s.mask.is_some()).then_some(&mut pixels),
    };
    let rows = rows::draw(
        test,
        reader,
        draem,
        extractor,
        gather,
        "measuring held-out pieces",
        observer,
    )?;
    if rows.places.is_empty() {
        // No measure, but a bundle all the same.
        return Ok(Evaluation {
            pieces: 0,
            defective: 0,
            arms: BTreeMap::new(),
            pixels: None,
            unreadable: rows.unreadable,
        });
    }
    let labels = labels_of(test, &rows)?;
    let truth: Vec<usize> = labels
        .iter()
        .map(|l| {
            dataset
                .classes
                .iter()
                .position(|c| c == l)
                .unwrap_or_default()
        })
        .collect();
    let report = |scores: Vec<f64>, probabilities, threshold| {
        let labelled = Labelled {
            classes: dataset.classes.clone(),
            truth: truth.clone(),
            scores,
            probabilities,
            groups: None,
        };
        let options = ReportOptions {
            threshold,
            bootstrap: None,
        };
        Report::new(&labelled, &options, seed)
    };
    let mut arms = BTreeMap::new();
    let fitted_labels = labels_of(fitted.on.samples, fitted.on.rows)?;
    let fitted_defect: Vec<bool> = fitted_labels.iter().map(|l| l != GOOD).collect();
    let hybrid = settings.model == ModelKind::Hybrid && fitted_defect.contains(&true);
    let map_threshold = if hybrid {
        fit_rule(
            settings,
            fitted.on.good_repeat,
            &fitted.on.rows.scores,
            &fitted_defect,
        )?
        .fail_at
    } else {
        fitted.rule.fail_at
    };
    arms.insert(
        "anomaly score".to_string(),
        report(rows.scores.clone(), None, Some(map_threshold))?,
    );
    if let (true, Some(train), Some(table)) = (hybrid, &fitted.on.rows.features, &rows.features) {
        for mode in InputMode::ALL {
            let deciders = fit_deciders(fitted.on, mode, dataset, settings, seed, observer)?;
            debug_assert_eq!(train.columns(), table.columns());
            let Some((selection, classifier)) = deciders.hybrid else {
                continue;
            };
            let predictions = classifier.predict(&selection.apply(&mode.of(table))?)?;
            let scores = predictions.iter().map(Prediction::p_defect).collect();
            let probabilities = predictions
                .iter()
                .map(|p| p.probabilities().to_vec())
                .collect();
            arms.insert(
                mode.name().to_string(),
                report(scores, Some(probabilities), Some(deciders.rule.fail_at))?,
            );
        }
    }
    Ok(Evaluation {
        pieces: rows.places.len(),
        defective: labels.iter().filter(|l| *l != GOOD).count(),
        arms,
        pixels: finish(pixels)?,
        unreadable: rows.unreadable,
    })
}

/// Measures of a whole pipeline.
#[derive(Debug)]
pub struct Measured {
    /// Of the number that decides.
    pub report: Report,
    /// Of the anomaly score alone, where a classifier decides.
    pub anomaly_score: Option<Report>,
    /// Of the maps, where there are masks.
    pub pixels: Option<PixelMetrics>,
    /// Pieces that could not be read.
    pub unreadable: Vec<Unreadable>,
}

/// Measures a whole pipeline on labelled pieces.
///
/// # Errors
/// [`crate::Error::Data`] if no piece can be read; [`crate::Error::Stopped`]; whatever a step
/// says. A class that the pipeline does not know counts as a defect.
pub fn bundle(
    pipeline: &Pipeline,
    samples: &[&Sample],
    reader: &ImageReader,
    options: &ReportOptions,
    seed: Seed,
    observer: &dyn Observer,
) -> Result<Measured> {
    let mut pixels = PixelScores::default();
    let gather = Gather {
        colours: None,
        pixels: samples
            .iter()
            .any(|s| s.mask.is_some())
            .then_some(&mut pixels),
    };
    let extractor = pipeline.hybrid.as_ref().map(|h| &h.extractor);
    let rows = rows::draw(
        samples,
        reader,
        &pipeline.draem,
        extractor,
        gather,
        "scoring",
        observer,
    )?;
    let labels = labels_of(samples, &rows)?;
    let mut classes: Vec<String> = pipeline.classes.to_vec();
    for label in &labels {
        if !classes.contains(label) {
            classes.push(label.clone());
        }
    }
    let truth = labels
        .iter()
        .map(|l| classes.iter().position(|c| c == l).unwrap_or_default())
        .collect();
    let (scores, probabilities) = match (&pipeline.hybrid, &rows.features) {
        (Some(hybrid), Some(features)) => {
            let kept = hybrid.selection.apply(features)?;
            let predictions = hybrid.classifier.predict(&kept)?;
            let wide = |p: &Prediction| {
                let mut p = p.probabilities().to_vec();
                p.resize(classes.len(), 0.0);
                p
            };
            (
                predictions.iter().map(Prediction::p_defect).collect(),
                Some(predictions.iter().map(wide).collect()),
            )
        }
        _ => (rows.scores.clone(), None),
    };
    let labelled = Labelled {
        groups: groups_of(samples, &rows),
        classes,
        truth,
        scores,
        probabilities,
    };
    let at_own = ReportOptions {
        threshold: options.threshold.or(Some(pipeline.rule.fail_at)),
        ..*options
    };
    let report = Report::new(&labelled, &at_own, seed)?;
    let anomaly_score = if pipeline.hybrid.is_some() {
        let labelled = Labelled {
            scores: rows.scores,
            probabilities: None,
            ..labelled
        };
        let at_best = ReportOptions {
            threshold: None,
            ..*options
        };
        Some(Report::new(&labelled, &at_best, seed)?)
    } else {
        None
    };
    Ok(Measured {
        report,
        anomaly_score,
        pixels: finish(pixels)?,
        unreadable: rows.unreadable,
    })
}

/// A number for each row's group; `None` if no sample names one.
fn groups_of(samples: &[&Sample], rows: &Rows) -> Option<Vec<usize>> {
    if rows.places.iter().all(|&p| samples[p].group.is_none()) {
        return None;
    }
    let mut numbers = BTreeMap::new();
    Some(
        rows.places
            .iter()
            .map(|&p| {
                let name = samples[p]
                    .group
                    .as_deref()
                    .unwrap_or(samples[p].id.as_str());
                let next = numbers.len();
                *numbers.entry(name).or_insert(next)
            })
            .collect(),
    )
}

/// Pixel measures, if there are defective pixels at all.
fn finish(pixels: PixelScores) -> Result<Option<PixelMetrics>> {
    let (good, defective) = pixels.counts();
    if good == 0 || defective == 0 {
        return Ok(None);
    }
    pixels.finish().map(Some)
}
