//! How good a pipeline is on pieces it has not seen.

use super::decide::{FittingRows, fit_deciders, fit_rule, labels_of};
use super::rows::{self, Gather, Unreadable};
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

/// Pixel measures, if there are defective pixels at all.
fn finish(pixels: PixelScores) -> Result<Option<PixelMetrics>> {
    let (good, defective) = pixels.counts();
    if good == 0 || defective == 0 {
        return Ok(None);
    }
    pixels.finish().map(Some)
}
