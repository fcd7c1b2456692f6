//! Flags about which part of a piece is inspected, and at which resolution.

use clap::Args;
use goma::data::reader::Limits;
use goma::data::roi::RegionOfInterest;
use goma::draem::Tiling;
use goma::pipeline::Pipeline;
use goma::{Error, Result};
use std::path::PathBuf;

/// What is inspected.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "What is inspected")]
pub struct InspectedArgs {
    /// Region of interest: a picture as large as the pieces' photographs, or
    /// smaller or larger in the same shape, white where they are inspected
    #[arg(long, value_name = "MASK.png")]
    pub roi: Option<PathBuf>,
    /// Pieces larger than the model: off (reduced to its size) or overlap (cut
    /// into tiles at full resolution, their maps blended)
    #[arg(long, value_name = "MODE", value_parser = Tiling::NAMES)]
    pub tiles: Option<String>,
}

impl InspectedArgs {
    /// The region of interest, if one is named.
    ///
    /// # Errors
    /// As [`RegionOfInterest::read`].
    pub fn roi(&self, limits: Limits) -> Result<Option<RegionOfInterest>> {
        let read = |path: &PathBuf| RegionOfInterest::read(path, limits);
        self.roi.as_ref().map(read).transpose()
    }

    /// The tiling, if one is named.
    pub fn tiling(&self) -> Option<Tiling> {
        self.tiles.as_deref().and_then(Tiling::named)
    }

    /// Has a bundle inspect what these flags say in place of what it was trained
    /// for; gives back what a reader of the results should know of it.
    ///
    /// # Errors
    /// As [`InspectedArgs::roi`]; [`Error::Setting`] for a hybrid: its classifier
    /// knows maps as they were in training, and fails every piece on others.
    pub fn overrule(&self, pipeline: &mut Pipeline, limits: Limits) -> Result<Vec<String>> {
        let mut notes = Vec::new();
        let roi = self.roi(limits)?;
        let other_roi = roi.is_some() && pipeline.draem.roi() != roi.as_ref();
        let other_tiles = self
            .tiling()
            .is_some_and(|tiling| tiling != pipeline.draem.tiling());
        if pipeline.hybrid.is_some() && (other_roi || other_tiles) {
            let flag = if other_roi { "--roi" } else { "--tiles" };
            return Err(Error::setting(
                flag,
                "the bundle's classifier was fitted on maps without it",
            )
            .help(format!(
                "train with {flag}; bundles of an anomaly model alone (goma train --model draem, \
                 goma import) take another"
            )));
        }
        if other_roi {
            notes.push(
                "the region of interest is another than the bundle's: its threshold was fitted \
                 without it"
                    .to_string(),
            );
            pipeline.draem.set_roi(roi);
        }
        if let Some(tiling) = self.tiling().filter(|t| *t != pipeline.draem.tiling()) {
            notes.push(format!(
                "tiles: {} in place of the bundle's {}: its threshold was fitted otherwise",
                tiling.name(),
                pipeline.draem.tiling().name()
            ));
            pipeline.draem.set_tiling(tiling);
        }
        Ok(notes)
    }
}
