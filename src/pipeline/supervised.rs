//! `Supervised`: a baseline with all that makes it inspect pieces, and how it
//! is fitted: network and best epoch, then the threshold on the same
//! validation pieces, then what the heatmaps' colours mean.

use super::fit::describe;
use super::inspector::{About, Inspector};
use super::rows::Unreadable;
use super::{Inspection, Training};
use crate::baseline::{self, Baseline, EpochRow, Job, Kind};
use crate::data::annotation::GOOD;
use crate::data::colour::{Calibration, ColourScale};
use crate::data::dataset::Dataset;
use crate::data::fold::{Fold, TrainingSet};
use crate::data::format::PixelFormat;
use crate::data::image::Image;
use crate::data::prediction::Prediction;
use crate::data::reader::{ImageReader, Limits};
use crate::data::region::Regions;
use crate::data::sample::{Sample, SampleId};
use crate::decision::{Rule, RuleOptions};
use crate::draem::Tiling;
use crate::error::{Error, Result};
use crate::metrics::mann_whitney::no_better_than_chance;
use crate::metrics::ranking::Sweep;
use crate::nn::checkpoint::Checkpoint;
use crate::nn::weights::WeightFile;
use crate::progress::Observer;
use crate::random::Seed;
use crate::settings::Settings;
use candle_core::Device;
use sha2::{Digest, Sha256};
use std::path::Path;
use std::sync::Arc;

/// Pieces read at a time.
const CHUNK: usize = 16;

/// A trained baseline that inspects pieces.
#[derive(Debug)]
pub struct Supervised {
    /// The channels it needs and how their files are read.
    pub format: PixelFormat,
    /// The network.
    pub baseline: Baseline,
    /// From probability to decision.
    pub rule: Rule,
    /// What the heatmaps' colours mean, on every piece alike.
    pub scale: ColourScale,
    /// What the network started from, in words.
    pub start: String,
    /// Where it comes from.
    pub training: Training,
    /// What it was trained with.
    pub settings: Settings,
}

impl Inspector for Supervised {
    fn about(&self) -> About<'_> {
        About {
            model: self.baseline.shape().architecture.name(),
            format: &self.format,
            classes: self.baseline.classes(),
            names_classes: true,
            rule: &self.rule,
            scale: self.scale,
            regions: None,
            roi: None,
            tiling: Tiling::Off,
            training: &self.training,
            settings: &self.settings,
        }
    }

    fn backbone(&self) -> String {
        self.start.clone()
    }

    fn inspect(&self, _: &[SampleId], images: &[Image]) -> Result<Vec<Inspection>> {
        let found = self.baseline.inspect(images)?;
        Ok(found
            .into_iter()
            .map(|(prediction, map)| Inspection {
                decision: self.rule.decide(prediction.p_defect()),
                anomaly_score: None,
                regions: Regions::default(),
                prediction: Some(prediction),
                map,
                offset: None,
            })
            .collect())
    }
}

/// What a training run is asked to do.
pub struct Plan<'a> {
    /// Name of the bundle.
    pub name: String,
    /// The labelled pieces.
    pub dataset: &'a Dataset,
    /// Which of them are trained on.
    pub fold: &'a Fold,
    /// The network.
    pub kind: Kind,
    /// Every step's options.
    pub settings: Settings,
    /// The root of all random choices.
    pub seed: u64,
    /// Where the network runs.
    pub device: Device,
    /// What one file may ask for.
    pub limits: Limits,
    /// Name and weights that a ResNet starts from.
    pub start: Option<(String, WeightFile)>,
    /// Folder for the checkpoint; `None`: none is kept.
    pub workspace: Option<&'a Path>,
    /// Whether to go on from the checkpoint there.
    pub resume: bool,
}

/// What training gives.
pub struct Fitted {
    /// The trained baseline.
    pub supervised: Supervised,
    /// All epochs.
    pub curve: Vec<EpochRow>,
    /// Probability of a defect of each validation piece, and whether it is one.
    pub validation: Vec<(f64, bool)>,
    /// Pieces left out because they could not be read.
    pub unreadable: Vec<Unreadable>,
}

/// Trains a baseline.
///
/// # Errors
/// As for [`baseline::fit`] and [`RuleOptions::fit`].
pub fn fit(plan: Plan<'_>, observer: &dyn Observer) -> Result<Fitted> {
    plan.settings.check()?;
    let training = plan.fold.training(plan.dataset);
    let reader = ImageReader::new(plan.dataset.format.clone(), plan.limits);
    let options = &plan.settings.baseline;
    let checkpoint = plan.workspace.map(|folder| Checkpoint {
        path: folder.join("baseline.checkpoint"),
        resume: plan.resume,
        fingerprint: fingerprint(&plan, &training),
    });
    let job = Job {
        kind: plan.kind,
        options,
        start: plan.start.as_ref().map(|(_, weights)| weights),
        reader: &reader,
        seed: Seed::new(plan.seed),
        device: &plan.device,
        checkpoint,
    };
    let fitted = baseline::fit(&training, &job, observer)?;
    let labels: Vec<&str> = fitted.validation.iter().filter_map(|s| s.label()).collect();
    let rule = fit_rule(&plan.settings.decision, &labels, &fitted.predictions)?;
    let scale = calibrate(&fitted.baseline, &fitted.validation, &reader)?;
    let best = fitted
        .curve
        .iter()
        .rfind(|row| row.best)
        .map_or(0, |r| r.epoch);
    let mut notes = vec![format!(
        "the network is that of epoch {best} of {}, the best by AUC-PR on {} validation pieces",
        fitted.curve.len(),
        fitted.validation.len()
    )];
    let validation: Vec<(f64, bool)> = fitted
        .predictions
        .iter()
        .zip(&labels)
        .map(|(p, label)| (p.p_defect(), *label != GOOD))
        .collect();
    let (scores, defects): (Vec<f64>, Vec<bool>) = validation.iter().copied().unzip();
    let doubt = no_better_than_chance(&Sweep::new(&scores, &defects)?);
    notes.extend(doubt.map(|doubt| format!("on the validation pieces, {doubt}")));
    if !fitted.unreadable.is_empty() {
        let n = fitted.unreadable.len();
        notes.push(format!("{n} pieces could not be read and were left out"));
    }
    let start = match (plan.kind, &plan.start) {
        (Kind::Cnn, _) | (_, None) => "weights drawn at random".to_string(),
        (_, Some((name, file))) => format!("{name} (SHA-256 {})", file.sha256),
    };
    Ok(Fitted {
        supervised: Supervised {
            format: plan.dataset.format.clone(),
            rule,
            scale,
            start,
            training: Training {
                name: plan.name,
                data: describe(plan.dataset),
                seed: plan.seed,
                anomaly_pieces: 0,
                fitted_pieces: fitted.trained,
                test_pieces: plan.fold.test().len(),
                maps:
                    "network and threshold were fitted on different pieces; the best epoch and the \
                       threshold on the same ones"
                        .into(),
                notes,
            },
            settings: plan.settings,
            baseline: fitted.baseline,
        },
        curve: fitted.curve,
        validation,
        unreadable: fitted
            .unreadable
            .into_iter()
            .map(|(sample, reason)| Unreadable {
                id: sample.id.clone(),
                reason,
            })
            .collect(),
    })
}

/// The threshold on the validation pieces.
fn fit_rule(options: &RuleOptions, labels: &[&str], found: &[Prediction]) -> Result<Rule> {
    let is_defect: Vec<bool> = labels.iter().map(|l| *l != GOOD).collect();
    if !is_defect.contains(&false) {
        return Ok(Rule {
            fail_at: 0.5,
            review_at: None,
            basis: "fails always: no piece of the data is good, there are defect classes alone"
                .into(),
        });
    }
    let scores: Vec<f64> = found.iter().map(Prediction::p_defect).collect();
    options.fit(&scores, &is_defect)
}

/// The colours' scale on the good validation pieces (on all, where none is).
fn calibrate(baseline: &Baseline, pieces: &[&Sample], reader: &ImageReader) -> Result<ColourScale> {
    let good: Vec<&Sample> = pieces
        .iter()
        .copied()
        .filter(|s| s.label() == Some(GOOD))
        .collect();
    let of = if good.is_empty() { pieces } else { &good };
    let mut colours = Calibration::new();
    for samples in of.chunks(CHUNK) {
        let images: Vec<Image> = samples
            .iter()
            .map(|s| reader.read(s))
            .collect::<Result<_>>()?;
        for (image, (_, map)) in images.iter().zip(baseline.inspect(&images)?) {
            colours.add_map(&map);
            colours.add_image(image);
        }
    }
    colours.finish()
}

/// What must agree for a checkpoint to be taken up.
fn fingerprint(plan: &Plan<'_>, training: &TrainingSet<'_>) -> String {
    let mut hash = Sha256::new();
    hash.update(plan.seed.to_le_bytes());
    hash.update(format!("{:?} {:?}", plan.kind, plan.settings.baseline));
    hash.update(format!("{:?}", plan.dataset.format));
    if let Some((_, weights)) = &plan.start {
        hash.update(&weights.sha256);
    }
    for sample in training.samples() {
        hash.update(sample.id.as_str());
        hash.update([0]);
        hash.update(sample.label().unwrap_or_default());
        hash.update([0]);
    }
    crate::nn::weights::hex(&hash.finalize())
}

/// The classes' names for a report: `good` before them, where there is none.
#[must_use]
pub fn with_good(classes: &Arc<[String]>) -> Vec<String> {
    let mut names = classes.to_vec();
    if names.first().map(String::as_str) != Some(GOOD) {
        names.insert(0, GOOD.to_string());
    }
    names
}

/// The error for a bundle that a command cannot take.
#[must_use]
pub fn not_a_pipeline(folder: &Path, model: &str) -> Error {
    Error::malformed(
        folder,
        format!("a supervised baseline ({model}); this command needs a hybrid or anomaly model"),
    )
}
