//! `Inspector`: anything that inspects pieces. The anomaly pipeline is one, a
//! supervised baseline another; scoring, measuring and reports see no more.

use super::{Inspection, Pipeline, Training};
use crate::data::colour::ColourScale;
use crate::data::format::PixelFormat;
use crate::data::image::Image;
use crate::data::region::RegionRule;
use crate::data::roi::RegionOfInterest;
use crate::data::sample::SampleId;
use crate::decision::Rule;
use crate::draem::Tiling;
use crate::error::{Error, Result};
use crate::settings::Settings;
use std::sync::Arc;

/// What an inspector is.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// `hybrid`, `draem`, `resnet18` ...
    pub model: &'a str,
    /// The channels it needs and how their files are read.
    pub format: &'a PixelFormat,
    /// Class names: `good` first, where there is such a class.
    pub classes: &'a Arc<[String]>,
    /// Whether it gives each class a probability.
    pub names_classes: bool,
    /// From number to decision.
    pub rule: &'a Rule,
    /// What the heatmaps' colours mean.
    pub scale: ColourScale,
    /// Which parts of a map stand out; `None` where maps do not say.
    pub regions: Option<&'a RegionRule>,
    /// The part of the pieces that is inspected; `None`: all of it.
    pub roi: Option<&'a RegionOfInterest>,
    /// What is done with pieces larger than the model.
    pub tiling: Tiling,
    /// Where it comes from.
    pub training: &'a Training,
    /// What it was trained with.
    pub settings: &'a Settings,
}

/// Anything that inspects pieces.
pub trait Inspector: std::fmt::Debug + Send + Sync {
    /// What it is.
    fn about(&self) -> About<'_>;

    /// The weights it starts from, in words; empty without any.
    fn backbone(&self) -> String;

    /// Has it inspect another part of the pieces, or at another resolution, than
    /// it was trained for; gives back what a reader of the results should know.
    ///
    /// # Errors
    /// [`Error::Setting`] if it cannot: a hybrid's classifier knows maps as they
    /// were in training, and fails every piece on others.
    fn overrule(
        &mut self,
        roi: Option<RegionOfInterest>,
        tiling: Option<Tiling>,
    ) -> Result<Vec<String>> {
        if roi.is_none() && tiling.is_none() {
            return Ok(Vec::new());
        }
        Err(Error::setting(
            "--roi or --tiles",
            "belongs to an anomaly model: hybrid or draem",
        ))
    }

    /// Makes ready now what the first piece would have to wait for.
    ///
    /// # Errors
    /// As for [`Inspector::inspect`].
    fn prepare(&self) -> Result<()> {
        Ok(())
    }

    /// Inspects a batch; what is found of a piece does not depend on the others.
    ///
    /// # Errors
    /// [`Error::Shape`] if an image has other channels.
    fn inspect(&self, ids: &[SampleId], images: &[Image]) -> Result<Vec<Inspection>>;
}

impl Inspector for Pipeline {
    fn about(&self) -> About<'_> {
        About {
            model: match &self.hybrid {
                Some(_) => "hybrid",
                None => "draem",
            },
            format: &self.format,
            classes: &self.classes,
            names_classes: self.hybrid.is_some(),
            rule: &self.rule,
            scale: self.scale,
            regions: Some(&self.regions),
            roi: self.draem.roi(),
            tiling: self.draem.tiling(),
            training: &self.training,
            settings: &self.settings,
        }
    }

    fn backbone(&self) -> String {
        self.hybrid.as_ref().map_or_else(String::new, |h| {
            let hash = &h.extractor.backbone().sha256;
            format!("{} (SHA-256 {hash})", h.backbone.name)
        })
    }

    fn overrule(
        &mut self,
        roi: Option<RegionOfInterest>,
        tiling: Option<Tiling>,
    ) -> Result<Vec<String>> {
        let other_roi = roi.is_some() && self.draem.roi() != roi.as_ref();
        let other_tiles = tiling.is_some_and(|tiling| tiling != self.draem.tiling());
        if self.hybrid.is_some() && (other_roi || other_tiles) {
            let flag = if other_roi { "--roi" } else { "--tiles" };
            let why = "the bundle's classifier was fitted on maps without it";
            return Err(Error::setting(flag, why).help(format!(
                "train with {flag}; bundles of an anomaly model alone (goma train --model draem, \
                 goma import) take another"
            )));
        }
        let mut notes = Vec::new();
        if other_roi {
            notes.push(
                "the region of interest is another than the bundle's: its threshold was fitted \
                 without it"
                    .to_string(),
            );
            self.draem.set_roi(roi);
        }
        if let Some(tiling) = tiling.filter(|t| *t != self.draem.tiling()) {
            notes.push(format!(
                "tiles: {} in place of the bundle's {}: its threshold was fitted otherwise",
                tiling.name(),
                self.draem.tiling().name()
            ));
            self.draem.set_tiling(tiling);
        }
        Ok(notes)
    }

    fn prepare(&self) -> Result<()> {
        self.prepare()
    }

    fn inspect(&self, ids: &[SampleId], images: &[Image]) -> Result<Vec<Inspection>> {
        self.inspect(ids, images)
    }
}

/// The channels of `image`, whose order is `from`, that an inspector needs.
///
/// # Errors
/// [`Error::Channels`] if one is not there.
pub fn channels_for(image: &Image, from: &PixelFormat, wanted: &PixelFormat) -> Result<Image> {
    if from.channels == wanted.channels {
        return Ok(image.clone());
    }
    let places: Option<Vec<usize>> = wanted
        .channels
        .iter()
        .map(|c| from.channels.iter().position(|f| f == c))
        .collect();
    let places = places.ok_or_else(|| Error::Channels {
        found: from.channels.len(),
        expected: wanted.names(),
    })?;
    Image::new(image.pixels().select(ndarray::Axis(0), &places))
}
