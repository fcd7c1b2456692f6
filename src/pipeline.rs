//! THE STORY: fit a pipeline on labelled pieces, then inspect new ones.
//!
//! An image goes through the anomaly model; image and map give features, of
//! which a selection is kept; a classifier turns them into probabilities, and
//! a rule into a decision. [`fit`] trains all of that on a data set.
//!
//! [`supervised`] is the other way: a network from image to class. To whoever
//! scores and measures, both are an [`inspector::Inspector`].

pub mod anomaly;
pub mod decide;
pub mod evaluate;
pub mod fit;
pub mod import;
pub mod inspector;
pub mod measure;
pub mod rows;
pub mod start;
pub mod supervised;

use crate::classifier::Classifier;
use crate::data::anomaly_map::AnomalyMap;
use crate::data::colour::ColourScale;
use crate::data::feature_table::FeatureTable;
use crate::data::format::PixelFormat;
use crate::data::image::Image;
use crate::data::offset::Offset;
use crate::data::prediction::{Decision, Prediction};
use crate::data::region::{RegionRule, Regions, Seen};
use crate::data::sample::SampleId;
use crate::decision::Rule;
use crate::draem::Draem;
use crate::draem::model::Drawing;
use crate::error::Result;
use crate::extract::{Extractor, InputMode};
use crate::nn::weights::WeightFile;
use crate::selection::Selection;
use crate::settings::Settings;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;

/// A backbone's weights as their file holds them, so that a bundle carries
/// them unchanged.
#[derive(Debug, Clone)]
pub struct BackboneFile {
    /// As `--backbone` names it.
    pub name: String,
    /// The file.
    pub bytes: Arc<[u8]>,
    /// What it holds.
    pub weights: WeightFile,
}

impl BackboneFile {
    /// Takes a weight file's bytes.
    ///
    /// # Errors
    /// [`crate::Error::Malformed`] for `origin` if they are no weights.
    pub fn new(name: &str, bytes: Vec<u8>, origin: &Path) -> Result<Self> {
        let weights = WeightFile::from_bytes(&bytes)
            .map_err(|reason| crate::Error::malformed(origin, reason))?;
        Ok(Self {
            name: name.to_string(),
            bytes: bytes.into(),
            weights,
        })
    }
}

/// Features, selection and classifier of a hybrid model.
#[derive(Debug)]
pub struct Hybrid {
    /// The weights that the extractor was made of.
    pub backbone: BackboneFile,
    /// Backbone and statistics.
    pub extractor: Extractor,
    /// Which features are kept.
    pub selection: Selection,
    /// What turns them into probabilities.
    pub classifier: Classifier,
}

impl Hybrid {
    /// The features that the selection draws on: if it keeps none of the image,
    /// or none of the map, that pass of the backbone is spared.
    ///
    /// # Errors
    /// As for [`Extractor::table`].
    pub fn features(
        &self,
        ids: Vec<SampleId>,
        images: &[Image],
        maps: &[AnomalyMap],
    ) -> Result<FeatureTable> {
        let needed = InputMode::of_columns(self.selection.columns());
        self.extractor.table_of(needed, ids, images, maps)
    }

    /// Whether [`Hybrid::features`] looks at images, and not at maps alone.
    #[must_use]
    pub fn needs_images(&self) -> bool {
        InputMode::of_columns(self.selection.columns()).has_image()
    }
}

/// What a trained pipeline remembers of its training.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Training {
    /// Name of the bundle.
    pub name: String,
    /// The data, in words.
    pub data: String,
    /// The seed.
    pub seed: u64,
    /// Pieces the anomaly model saw, all good.
    pub anomaly_pieces: usize,
    /// Pieces classifier and threshold were fitted on.
    pub fitted_pieces: usize,
    /// Pieces held out.
    pub test_pieces: usize,
    /// What classifier and threshold were fitted on, in a sentence.
    pub maps: String,
    /// What else a reader should know.
    pub notes: Vec<String>,
}

/// Everything that inspects a piece.
#[derive(Debug)]
pub struct Pipeline {
    /// The channels it needs and how their files are read.
    pub format: PixelFormat,
    /// Class names: `good` first.
    pub classes: Arc<[String]>,
    /// Draws the anomaly map.
    pub draem: Draem,
    /// What decides; without it the map's score does.
    pub hybrid: Option<Hybrid>,
    /// From number to decision.
    pub rule: Rule,
    /// What the heatmaps' colours mean, on every piece alike.
    pub scale: ColourScale,
    /// Which parts of a map stand out, on every piece alike.
    pub regions: RegionRule,
    /// Where it comes from.
    pub training: Training,
    /// What it was trained with.
    pub settings: Settings,
}

/// What was found out about one piece.
#[derive(Debug, Clone)]
pub struct Inspection {
    /// Probability of a defect for each pixel.
    pub map: AnomalyMap,
    /// The map's image score; `None` if the map is a baseline's, which shows
    /// where it looked and not how unusual that is.
    pub anomaly_score: Option<f64>,
    /// The parts of the map that stand out.
    pub regions: Regions,
    /// Probability of each class, where there is a classifier.
    pub prediction: Option<Prediction>,
    /// What is done with the piece.
    pub decision: Decision,
    /// How far it lies off its usual place, where the model knows one.
    pub offset: Option<Offset>,
}

impl Pipeline {
    /// Makes ready now what the first [`Pipeline::inspect`] would have to wait for.
    ///
    /// # Errors
    /// As for [`Pipeline::inspect`].
    pub fn prepare(&self) -> Result<()> {
        let (draem, features) = rayon::join(
            || self.draem.prepare(),
            || match &self.hybrid {
                Some(hybrid) => {
                    let needed = InputMode::of_columns(hybrid.selection.columns());
                    hybrid.extractor.prepare(needed)
                }
                None => Ok(()),
            },
        );
        draem.and(features)
    }

    /// Inspects a batch; what is found of a piece does not depend on the others.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] if an image has other channels.
    pub fn inspect(&self, ids: &[SampleId], images: &[Image]) -> Result<Vec<Inspection>> {
        let drawings = self.draem.draw(images)?;
        let regions = self.regions_of(&drawings, images)?;
        let offsets: Vec<Option<Offset>> = drawings.iter().map(|d| d.offset).collect();
        let maps: Vec<AnomalyMap> = drawings.into_iter().map(|d| d.map).collect();
        let features = match &self.hybrid {
            None => None,
            Some(hybrid) => {
                let inspected = self.draem.inspected(images)?;
                Some(hybrid.features(ids.to_vec(), &inspected, &maps)?)
            }
        };
        let mut inspections = self.decide(maps, features)?;
        let seen = regions.into_iter().zip(offsets);
        for (inspection, (regions, offset)) in inspections.iter_mut().zip(seen) {
            inspection.regions = regions;
            inspection.offset = offset;
        }
        Ok(inspections)
    }

    /// The regions of what was drawn of `images`, in pixels of those.
    ///
    /// # Errors
    /// As for [`RegionRule::find`].
    pub fn regions_of(&self, drawings: &[Drawing], images: &[Image]) -> Result<Vec<Regions>> {
        let channels = self.format.names();
        drawings
            .par_iter()
            .zip(images)
            .map(|(drawing, image)| {
                let seen = Seen {
                    map: &drawing.map,
                    image: &drawing.seen,
                    restored: &drawing.restored,
                };
                self.regions
                    .find(seen, &channels, image.height(), image.width())
            })
            .collect()
    }

    /// The end of [`Pipeline::inspect`]: from maps and features to decisions;
    /// regions are left to [`Pipeline::regions_of`], offsets to the drawings.
    ///
    /// # Errors
    /// As for [`Selection::apply`] and [`Classifier::predict`].
    pub fn decide(
        &self,
        maps: Vec<AnomalyMap>,
        features: Option<FeatureTable>,
    ) -> Result<Vec<Inspection>> {
        let predictions = match (&self.hybrid, features) {
            (Some(hybrid), Some(features)) => {
                let kept = hybrid.selection.apply(&features)?;
                let predictions = hybrid.classifier.predict(&kept)?;
                predictions.into_iter().map(Some).collect()
            }
            _ => vec![None; maps.len()],
        };
        Ok(maps
            .into_iter()
            .zip(predictions)
            .map(|(map, prediction)| {
                let anomaly_score = map.image_score();
                let score = prediction
                    .as_ref()
                    .map_or(anomaly_score, Prediction::p_defect);
                Inspection {
                    decision: self.rule.decide(score),
                    map,
                    anomaly_score: Some(anomaly_score),
                    regions: Regions::default(),
                    prediction,
                    offset: None,
                }
            })
            .collect())
    }
}
