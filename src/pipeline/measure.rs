//! What inspectors say of labelled pieces, and how good that is. Several of
//! them see each piece once it is read, so that they are compared on the same.

use super::Inspection;
use super::inspector::{Inspector, channels_for};
use super::rows::Unreadable;
use super::supervised::with_good;
use crate::data::annotation::GOOD;
use crate::data::image::Image;
use crate::data::prediction::{Prediction, Verdict};
use crate::data::reader::ImageReader;
use crate::data::roi::RegionOfInterest;
use crate::data::sample::Sample;
use crate::error::{Error, Result};
use crate::metrics::pixel::{PixelMetrics, PixelScores};
use crate::metrics::report::{Labelled, Report, ReportOptions};
use crate::progress::Observer;
use crate::random::Seed;
use ndarray::Array2;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Pieces read and inspected at a time.
const CHUNK: usize = 16;

/// What one inspector says of one piece.
#[derive(Debug, Clone)]
pub struct Verdicts {
    /// The number that is compared with the threshold.
    pub score: f64,
    /// Pass, fail or review.
    pub verdict: Verdict,
    /// The image score of the anomaly map, where there is one.
    pub anomaly_score: Option<f64>,
    /// Probability of each class, where there is a classifier.
    pub prediction: Option<Prediction>,
}

/// Labelled pieces as inspectors see them.
#[derive(Debug)]
pub struct Judged {
    /// For each row its sample's place among those asked for.
    pub places: Vec<usize>,
    /// Each row's label.
    pub labels: Vec<String>,
    /// A number for each row's group; `None` if no sample names one.
    pub groups: Option<Vec<usize>>,
    /// By inspector, then by row.
    pub verdicts: Vec<Vec<Verdicts>>,
    /// Pixel measures of the first inspector's maps, where there are masks, over
    /// its region of interest.
    pub pixels: Option<PixelMetrics>,
    /// Pieces that could not be read.
    pub unreadable: Vec<Unreadable>,
}

/// Has labelled pieces inspected.
///
/// # Errors
/// [`Error::Data`] if a piece has no label; [`Error::Stopped`]; whatever a step
/// says. A piece that cannot be read is listed, not an error.
pub fn judge(
    inspectors: &[&dyn Inspector],
    samples: &[&Sample],
    reader: &ImageReader,
    observer: &dyn Observer,
) -> Result<Judged> {
    let mut judged = Judged {
        places: Vec::new(),
        labels: Vec::new(),
        groups: None,
        verdicts: vec![Vec::new(); inspectors.len()],
        pixels: None,
        unreadable: Vec::new(),
    };
    let mut pixels = samples
        .iter()
        .any(|s| s.mask.is_some())
        .then(PixelScores::default);
    observer.begin("scoring", samples.len() as u64);
    for (index, chunk) in samples.chunks(CHUNK).enumerate() {
        if observer.stop_requested() {
            observer.end();
            return Err(Error::Stopped);
        }
        let read: Vec<_> = chunk.par_iter().map(|s| reader.read(s)).collect();
        let (mut ids, mut images) = (Vec::new(), Vec::new());
        let first = judged.places.len();
        for (i, image) in read.into_iter().enumerate() {
            let sample = chunk[i];
            match image {
                Ok(image) => {
                    let label = sample
                        .label()
                        .ok_or_else(|| Error::data(format!("sample {} has no label", sample.id)))?;
                    judged.labels.push(label.to_string());
                    judged.places.push(index * CHUNK + i);
                    ids.push(sample.id.clone());
                    images.push(image);
                }
                Err(error) => judged.unreadable.push(Unreadable {
                    id: sample.id.clone(),
                    reason: crate::error::reason(&error, sample.path()),
                }),
            }
        }
        for (which, inspector) in inspectors.iter().enumerate() {
            let about = inspector.about();
            let (wanted, roi) = (about.format, about.roi);
            let own: Vec<Image> = images
                .iter()
                .map(|image| channels_for(image, reader.format(), wanted))
                .collect::<Result<_>>()?;
            let found = inspector.inspect(&ids, &own)?;
            if which == 0
                && let Some(pixels) = &mut pixels
            {
                for ((place, image), found) in
                    judged.places[first..].iter().zip(&images).zip(&found)
                {
                    let context = (reader, observer);
                    add_pixels(pixels, samples[*place], image, found, roi, context)?;
                }
            }
            judged.verdicts[which].extend(found.into_iter().map(|found| Verdicts {
                score: found.decision.score,
                verdict: found.decision.verdict,
                anomaly_score: found.anomaly_score,
                prediction: found.prediction,
            }));
        }
        observer.advance(chunk.len() as u64);
    }
    observer.end();
    judged.groups = groups_of(samples, &judged.places);
    judged.pixels = match pixels {
        Some(pixels) => finish(pixels)?,
        None => None,
    };
    Ok(judged)
}

fn add_pixels(
    pixels: &mut PixelScores,
    sample: &Sample,
    image: &Image,
    found: &Inspection,
    roi: Option<&RegionOfInterest>,
    (reader, observer): (&ImageReader, &dyn Observer),
) -> Result<()> {
    let mask = match reader.read_mask(sample, image) {
        Ok(mask) => mask,
        Err(error) => {
            observer.note(&error.to_string());
            return Ok(());
        }
    };
    // A defective piece without a mask says nothing of its pixels.
    if mask.is_none() && sample.label() != Some(GOOD) {
        return Ok(());
    }
    let (h, w) = (image.height(), image.width());
    let map = found.map.resize(h, w)?;
    let values = map.values().as_slice().expect("kept in standard layout");
    let flat = |mask: Array2<bool>| mask.iter().copied().collect::<Vec<_>>();
    let mask = mask.map(flat);
    let inside = roi.map(|roi| roi.resized(h, w)).transpose()?.map(flat);
    pixels.push_within(h, w, values, mask.as_deref(), inside.as_deref())
}

/// Pixel measures, if there are defective pixels at all.
fn finish(pixels: PixelScores) -> Result<Option<PixelMetrics>> {
    let (good, defective) = pixels.counts();
    if good == 0 || defective == 0 {
        return Ok(None);
    }
    pixels.finish().map(Some)
}

fn groups_of(samples: &[&Sample], places: &[usize]) -> Option<Vec<usize>> {
    if places.iter().all(|&p| samples[p].group.is_none()) {
        return None;
    }
    let mut numbers = BTreeMap::new();
    let number = |&p: &usize| {
        let sample = samples[p];
        let name = sample.group_or_id();
        let next = numbers.len();
        *numbers.entry(name).or_insert(next)
    };
    Some(places.iter().map(number).collect())
}

impl Judged {
    /// One inspector's numbers as measures take them. A label that it does not
    /// know is a defect class of its own.
    #[must_use]
    pub fn labelled(&self, which: usize, classes: &Arc<[String]>) -> Labelled {
        let mut names = with_good(classes);
        let shift = names.len() - classes.len();
        for label in &self.labels {
            if !names.contains(label) {
                names.push(label.clone());
            }
        }
        let class = |l: &String| names.iter().position(|c| c == l).unwrap_or_default();
        let verdicts = &self.verdicts[which];
        let wide = |p: &Prediction| {
            let mut all = vec![0.0; shift];
            all.extend(p.probabilities());
            all.resize(names.len(), 0.0);
            all
        };
        Labelled {
            truth: self.labels.iter().map(class).collect(),
            scores: verdicts.iter().map(|v| v.score).collect(),
            probabilities: verdicts
                .iter()
                .map(|v| v.prediction.as_ref().map(wide))
                .collect(),
            groups: self.groups.clone(),
            classes: names,
        }
    }
}

/// Measures of a whole inspector.
#[derive(Debug)]
pub struct Measured {
    /// Of the number that decides.
    pub report: Report,
    /// Of the anomaly score alone, where a classifier decides.
    pub anomaly_score: Option<Report>,
}

/// Measures one inspector of [`judge`], at its own threshold unless `options`
/// name one.
///
/// # Errors
/// As for [`Report::new`].
pub fn measure(
    judged: &Judged,
    which: usize,
    inspector: &dyn Inspector,
    options: &ReportOptions,
    seed: Seed,
) -> Result<Measured> {
    let about = inspector.about();
    let labelled = judged.labelled(which, about.classes);
    let at_own = ReportOptions {
        threshold: options.threshold.or(Some(about.rule.fail_at)),
        ..*options
    };
    let report = Report::new(&labelled, &at_own, seed)?;
    let scores: Option<Vec<f64>> = judged.verdicts[which]
        .iter()
        .map(|v| v.anomaly_score)
        .collect();
    let anomaly_score = match scores {
        Some(scores) if about.names_classes => {
            let labelled = Labelled {
                scores,
                probabilities: None,
                ..labelled
            };
            let at_best = ReportOptions {
                threshold: None,
                ..*options
            };
            Some(Report::new(&labelled, &at_best, seed)?)
        }
        _ => None,
    };
    Ok(Measured {
        report,
        anomaly_score,
    })
}
