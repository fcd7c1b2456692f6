//! Validation during training: how well simulated defects are found on good
//! pieces that are not trained on. No defective piece is needed.

use super::loss;
use super::model::{Draem, Drawing};
use super::simulate::{Simulated, SimulationOptions, simulate};
use super::source::{AnomalySource, DefectKind};
use super::vary::Variation;
use crate::data::image::Image;
use crate::error::Result;
use crate::metrics::pixel::PixelScores;
use crate::metrics::ranking;
use crate::random::Seed;
use candle_core::{Device, Tensor};
use ndarray::Array3;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Samples of one validation: each piece as often as that takes.
const SAMPLES: usize = 64;
/// Samples drawn at a time.
const CHUNK: usize = 8;
/// Defective and clean samples of a picture sheet.
const SHEET: (usize, usize) = (6, 2);
/// Examples of each kind of defect.
const EXAMPLES: u64 = 5;

/// What was measured at one point of the training.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ValidationRow {
    /// Steps done.
    pub step: usize,
    /// Sum of the three losses.
    pub total: f64,
    /// Mean squared difference of restored and good image.
    pub l2: f64,
    /// 1 - SSIM of the two.
    pub ssim: f64,
    /// Focal loss of the mask.
    pub focal: f64,
    /// Average precision of the maps' pixels; `None` if no sample has a defect.
    pub pixel_ap: Option<f64>,
    /// ROC AUC of the image scores; `None` if all samples have a defect, or none.
    pub image_roc_auc: Option<f64>,
}

impl ValidationRow {
    /// Whether a model that measures so is kept in place of one that measured
    /// `other` earlier: by pixel average precision, and where there is none by
    /// focal loss. Of equals the later one is kept.
    #[must_use]
    pub fn at_least_as_good_as(&self, other: &Self) -> bool {
        match (self.pixel_ap, other.pixel_ap) {
            (Some(ours), Some(theirs)) => ours >= theirs,
            _ => self.focal <= other.focal,
        }
    }
}

/// The samples that every validation of a run is measured on: the same pieces
/// with the same defects.
#[derive(Debug)]
pub(super) struct Validation<'a> {
    pub pieces: &'a [Array3<f32>],
    pub source: &'a AnomalySource,
    pub options: &'a SimulationOptions,
    pub seed: Seed,
}

impl Validation<'_> {
    /// They are made anew each time, so that they take no memory in between.
    fn sample(&self, i: usize) -> Simulated {
        let piece = &self.pieces[i % self.pieces.len()];
        let seed = self.seed.derive("sample", i as u64);
        simulate(piece.view(), self.source, self.options, seed)
    }

    /// Measures a model after `step` steps, by the inference that scores pieces.
    ///
    /// The losses are those of training, over restored images cut to `0..=1`.
    pub fn measure(&self, model: &Draem, step: usize) -> Result<ValidationRow> {
        let mut pixels = PixelScores::default();
        let (mut scores, mut defective) = (Vec::new(), Vec::new());
        let mut sums = [0.0; 3];
        for first in (0..SAMPLES).step_by(CHUNK) {
            let samples: Vec<Simulated> = (first..first + CHUNK)
                .into_par_iter()
                .map(|i| self.sample(i))
                .collect();
            let drawings = draw(model, &samples)?;
            for (sample, drawing) in samples.iter().zip(&drawings) {
                let (h, w) = sample.mask.dim();
                let has_defect = sample.mask.iter().any(|m| *m);
                let mask = has_defect.then(|| sample.mask.iter().copied().collect::<Vec<_>>());
                let map: Vec<f32> = drawing.map.values().iter().copied().collect();
                pixels.push(h, w, &map, mask.as_deref())?;
                scores.push(drawing.map.image_score());
                defective.push(has_defect);
            }
            let losses: Vec<[f64; 3]> = samples
                .par_iter()
                .zip(&drawings)
                .map(|(sample, drawing)| losses(sample, drawing))
                .collect::<Result<_>>()?;
            for loss in losses {
                sums.iter_mut().zip(loss).for_each(|(sum, l)| *sum += l);
            }
        }
        let [l2, ssim, focal] = sums.map(|sum| sum / SAMPLES as f64);
        let both = defective.contains(&true) && defective.contains(&false);
        let pixel_ap = match defective.contains(&true) {
            true => Some(pixels.finish()?.average_precision),
            false => None,
        };
        Ok(ValidationRow {
            step,
            total: l2 + ssim + focal,
            l2,
            ssim,
            focal,
            pixel_ap,
            image_roc_auc: match both {
                true => Some(ranking::roc_auc(&scores, &defective)?),
                false => None,
            },
        })
    }

    /// The first defective and clean samples, for people to look at.
    pub fn shown(&self) -> Vec<Simulated> {
        let (mut defective, mut clean) = (Vec::new(), Vec::new());
        for i in 0..SAMPLES {
            let sample = self.sample(i);
            let (of, most) = match sample.mask.iter().any(|m| *m) {
                true => (&mut defective, SHEET.0),
                false => (&mut clean, SHEET.1),
            };
            if of.len() < most {
                of.push(sample);
            }
        }
        defective.append(&mut clean);
        defective
    }

    /// Some defects of each kind that has a share, for people to look at.
    pub fn examples(&self) -> Vec<(DefectKind, Vec<Simulated>)> {
        let kinds = DefectKind::ALL.into_iter();
        kinds
            .filter(|kind| self.options.share(*kind) > 0.0)
            .map(|kind| (kind, self.examples_of(kind)))
            .filter(|(_, examples)| !examples.is_empty())
            .collect()
    }

    fn examples_of(&self, kind: DefectKind) -> Vec<Simulated> {
        let of = |i: u64| {
            let good = &self.pieces[i as usize % self.pieces.len()];
            let rng = &mut self.seed.derive(kind.name(), i).rng();
            let defect = self.source.defect(kind, good.view(), self.options, rng)?;
            defect.mask.iter().any(|m| *m).then(|| Simulated {
                good: good.clone(),
                defective: defect.image,
                mask: defect.mask,
                variation: Variation::NONE,
            })
        };
        // Some draws show nothing.
        (0..4 * EXAMPLES)
            .filter_map(of)
            .take(EXAMPLES as usize)
            .collect()
    }
}

/// Maps and restored images of the samples' defective images.
pub(super) fn draw(model: &Draem, samples: &[Simulated]) -> Result<Vec<Drawing>> {
    let images = samples
        .iter()
        .map(|s| Image::new(s.defective.clone()))
        .collect::<Result<Vec<_>>>()?;
    model.draw(&images)
}

/// L2, SSIM and focal loss of one sample.
fn losses(sample: &Simulated, drawing: &Drawing) -> Result<[f64; 3]> {
    let (c, h, w) = sample.good.dim();
    let tensor = |values: Vec<f32>, channels: usize| {
        Tensor::from_vec(values, (1, channels, h, w), &Device::Cpu)
    };
    let good = tensor(sample.good.iter().copied().collect(), c)?;
    let restored = tensor(drawing.restored.as_slice().to_vec(), c)?;
    let map = drawing.map.values();
    let both = map.iter().map(|p| 1.0 - p).chain(map.iter().copied());
    let classes = tensor(both.collect(), 2)?;
    let mask = sample.mask.iter().map(|&m| f32::from(u8::from(m)));
    let mask = tensor(mask.collect(), 1)?;
    let value = |t: Tensor| -> Result<f64> { Ok(f64::from(t.to_scalar::<f32>()?)) };
    Ok([
        value(loss::l2(&restored, &good)?)?,
        value(loss::ssim(&restored, &good)?)?,
        value(loss::focal(&classes, &mask)?)?,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(pixel_ap: Option<f64>, focal: f64) -> ValidationRow {
        ValidationRow {
            step: 1,
            total: 1.0,
            l2: 0.0,
            ssim: 0.0,
            focal,
            pixel_ap,
            image_roc_auc: None,
        }
    }

    #[test]
    fn average_precision_decides_and_focal_loss_where_there_is_none() {
        assert!(row(Some(0.6), 9.0).at_least_as_good_as(&row(Some(0.5), 1.0)));
        assert!(!row(Some(0.4), 0.1).at_least_as_good_as(&row(Some(0.5), 1.0)));
        assert!(row(Some(0.5), 2.0).at_least_as_good_as(&row(Some(0.5), 1.0)));
        assert!(!row(None, 2.0).at_least_as_good_as(&row(None, 1.0)));
    }
}
