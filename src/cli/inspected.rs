//! Flags about which part of a piece is inspected, and at which resolution.

use clap::Args;
use goma::Result;
use goma::data::reader::Limits;
use goma::data::roi::RegionOfInterest;
use goma::draem::Tiling;
use goma::pipeline::inspector::Inspector;
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
    /// As [`InspectedArgs::roi`] and [`Inspector::overrule`].
    pub fn overrule(&self, inspector: &mut dyn Inspector, limits: Limits) -> Result<Vec<String>> {
        inspector.overrule(self.roi(limits)?, self.tiling())
    }
}
