//! What simulated defects are made of: one file for each kind.
//!
//! The paper fills noise-shaped regions with pictures of the Describable
//! Textures Dataset. Textures teach what is foreign; a real defect is often
//! something familiar in the wrong place, too light or too dark, or missing.
//! Hence the other kinds, each switched on by its share in
//! [`SimulationOptions`]. goma needs no download: it paints textures itself
//! and cuts up good pieces, or takes a folder of pictures (`--anomaly-source`).

mod blur;
mod channel;
mod chip;
mod cut_paste;
mod displaced;
mod ink;
mod print;
mod region;
mod scratch;
mod stain;
#[cfg(test)]
mod tests;
mod texture;
mod tone;
mod visible;
mod warp;

use super::simulate::SimulationOptions;
use crate::data::image::Image;
use crate::error::{Error, Result};
use ndarray::{Array2, Array3, ArrayView3};
use rand::Rng;
use std::sync::Arc;

/// A kind of simulated defect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefectKind {
    /// A region filled with a foreign texture: the paper's.
    Texture,
    /// A region of another good piece, moved by some pixels: print where there
    /// should be none, and none where there should be.
    Displaced,
    /// A region lighter, darker or flatter, in all channels or some.
    Tone,
    /// A rectangle or strip of another good piece, put down elsewhere (after
    /// CutPaste).
    CutPaste,
    /// Print that lacks ink.
    InkRemoval,
    /// Ink beside the print: blots, specks, smears.
    InkSpill,
    /// Thin curves: scratches, cracks with a lit lip.
    Scratch,
    /// Large smooth blobs, lighter or darker.
    Stain,
    /// A region out of focus.
    Blur,
    /// Another kind under some of the lights only.
    Channel,
    /// A region pulled out of shape: a dented outline, bent print.
    Warp,
    /// A border that gives way: a chipped edge, a burr, a stroke that breaks off.
    Chip,
}

impl DefectKind {
    /// All kinds; the first takes what the others' shares leave.
    pub const ALL: [Self; 12] = [
        Self::Texture,
        Self::Displaced,
        Self::Tone,
        Self::CutPaste,
        Self::InkRemoval,
        Self::InkSpill,
        Self::Scratch,
        Self::Stain,
        Self::Blur,
        Self::Channel,
        Self::Warp,
        Self::Chip,
    ];

    /// As its setting is called: `simulation.NAME_share`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Texture => "texture",
            Self::Displaced => "displaced",
            Self::Tone => "tone",
            Self::CutPaste => "cut_paste",
            Self::InkRemoval => "ink_removal",
            Self::InkSpill => "ink_spill",
            Self::Scratch => "scratch",
            Self::Stain => "stain",
            Self::Blur => "blur",
            Self::Channel => "channel",
            Self::Warp => "warp",
            Self::Chip => "chip",
        }
    }
}

/// A piece with a defect.
#[derive(Debug, Clone, PartialEq)]
pub struct Defect {
    /// The image, `[channels, height, width]` in `0..=1`: outside the mask that
    /// of the good piece.
    pub image: Array3<f32>,
    /// Where the defect is, `[height, width]`.
    pub mask: Array2<bool>,
}

/// How often a defect that hardly shows is drawn.
const DRAWS: usize = 4;
/// A defect of fewer pixels hardly shows.
const FEWEST: usize = 6;

/// What defects are made from: textures, pictures, good pieces.
#[derive(Debug, Clone)]
pub struct AnomalySource {
    pictures: Vec<Array3<f32>>,
    pieces: Arc<Vec<Array3<f32>>>,
}

impl AnomalySource {
    /// Painted textures alone.
    #[must_use]
    pub fn textures() -> Self {
        Self {
            pictures: Vec::new(),
            pieces: Arc::default(),
        }
    }

    /// Adds good pieces, all of the size and channels of those that get the
    /// defects: they have the right grain and print, for the wrong place.
    #[must_use]
    pub fn with_pieces(mut self, pieces: Arc<Vec<Array3<f32>>>) -> Self {
        self.pieces = pieces;
        self
    }

    /// Takes pictures in place of painted textures.
    ///
    /// # Errors
    /// [`Error::Data`] if there is none.
    pub fn with_pictures(mut self, pictures: &[Image]) -> Result<Self> {
        if pictures.is_empty() {
            return Err(Error::data("the anomaly source holds no picture"));
        }
        self.pictures = pictures.iter().map(|p| p.pixels().clone()).collect();
        Ok(self)
    }

    /// Any good piece; `image` itself where there is none.
    fn piece(&self, image: ArrayView3<'_, f32>, rng: &mut impl Rng) -> Array3<f32> {
        match self.pieces.len() {
            0 => image.to_owned(),
            n => self.pieces[rng.random_range(0..n)].clone(),
        }
    }

    /// A defect of this kind on a good piece `[channels, height, width]` in
    /// `0..=1`; `None` where the piece does not allow it (no print to lack ink,
    /// one channel alone).
    ///
    /// The paper's textures are foreign wherever they lie: their mask is the
    /// region that was filled. Of all other kinds the mask is what one sees
    /// (`visible`); a defect that hardly shows where it fell is drawn anew a few
    /// times, and if it never shows the mask is empty. Outside its mask a defect
    /// changes nothing.
    pub fn defect(
        &self,
        kind: DefectKind,
        good: ArrayView3<'_, f32>,
        options: &SimulationOptions,
        rng: &mut impl Rng,
    ) -> Option<Defect> {
        if kind == DefectKind::Texture {
            return Some(texture::textured(self, good, options, rng));
        }
        let mut defect = visible::settle(good, self.change(kind, good, options, rng)?);
        for _ in 1..DRAWS {
            if defect.mask.iter().filter(|m| **m).count() >= FEWEST {
                break;
            }
            defect = visible::settle(good, self.change(kind, good, options, rng)?);
        }
        Some(defect)
    }

    /// The changed image, before what nobody sees is taken back.
    fn change(
        &self,
        kind: DefectKind,
        good: ArrayView3<'_, f32>,
        options: &SimulationOptions,
        rng: &mut impl Rng,
    ) -> Option<Array3<f32>> {
        Some(match kind {
            DefectKind::Texture => texture::textured(self, good, options, rng).image,
            DefectKind::Displaced => displaced::displaced(self, good, options, rng),
            DefectKind::Tone => tone::toned(good, options, rng),
            DefectKind::CutPaste => cut_paste::pasted(self, good, rng),
            DefectKind::InkRemoval => ink::removed(good, rng)?,
            DefectKind::InkSpill => ink::spilt(good, rng)?,
            DefectKind::Scratch => scratch::scratched(good, rng),
            DefectKind::Stain => stain::stained(good, rng),
            DefectKind::Blur => blur::blurred(good, rng),
            DefectKind::Channel => channel::under_some_lights(self, good, options, rng)?,
            DefectKind::Warp => warp::warped(good, rng),
            DefectKind::Chip => chip::chipped(good, rng),
        })
    }
}
