//! From the picture of a pack to the pieces in it.
//!
//! A camera photographs fifteen erasers on the belt at once, under each light.
//! [`find`] sees where they lie, [`grid`] which row and column each is in, and
//! [`write_crops`] writes every piece, upright and of one scale, as a sample in
//! the `milan` layout with its pack as group. The places are found once, on all
//! channels together, and used for every channel alike, so the channels stay
//! aligned.

pub mod find;
mod folder;
pub mod grid;

pub use folder::{CropSummary, PackOutcome, write_crops};

use crate::data::image::Image;
use crate::error::{Error, Result};
use find::OrientedBox;
use grid::Cell;
use image::Luma;
use imageproc::definitions::Image as Buffer;
use imageproc::geometric_transformations::{Border, Interpolation, warp_into_with};
use ndarray::Array3;

/// How a pack is taken apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CropOptions {
    /// How many pieces a pack holds; any other number found is a problem.
    pub expect: usize,
    /// Height and width of a sample, in pixels.
    pub size: usize,
    /// What of its surroundings a sample shows: on each side this share of the
    /// piece's own side.
    pub margin: f64,
}

impl Default for CropOptions {
    /// Fifteen pieces of 310 x 310; an eraser is 270 pixels wide in them, as in
    /// the eraser data set.
    fn default() -> Self {
        Self {
            expect: crate::synth::PACK,
            size: crate::synth::SIZE,
            margin: 20.0 / 270.0,
        }
    }
}

impl CropOptions {
    /// Whether the options make sense.
    ///
    /// # Errors
    /// [`Error::Setting`] naming the first that is out of its range.
    pub fn check(&self) -> Result<()> {
        let wrong = |name: &str, found: String, expected: &str| {
            Err(Error::setting(
                name,
                format!("{found} given, {expected} expected"),
            ))
        };
        if !(1..=1000).contains(&self.expect) {
            return wrong("expect", self.expect.to_string(), "1 to 1000");
        }
        if !(16..=4096).contains(&self.size) {
            return wrong("size", self.size.to_string(), "16 to 4096");
        }
        if !(0.0..=1.0).contains(&self.margin) {
            return wrong("margin", self.margin.to_string(), "0 to 1");
        }
        Ok(())
    }
}

/// A piece of a pack.
#[derive(Debug, Clone)]
pub struct Piece {
    /// From 1, in reading order. Where rows and columns make up the number
    /// expected, a missing piece leaves its number out.
    pub number: usize,
    /// Row and column, if the pieces lie in such.
    pub cell: Option<Cell>,
    /// Where it lies in the pack's picture.
    pub place: OrientedBox,
}

/// What was found in a pack's picture.
#[derive(Debug, Clone)]
pub struct Pack {
    /// The pieces, by number.
    pub pieces: Vec<Piece>,
    /// What is wrong, in words; `None` if as many pieces as expected were found.
    pub problem: Option<String>,
}

/// Finds the pieces of a pack and gives them their numbers.
///
/// Looks at the mean of all channels; if that shows another number of pieces
/// than expected, at each channel by itself, and takes what comes nearest.
#[must_use]
pub fn take_apart(picture: &Image, expect: usize) -> Pack {
    let off = |places: &[OrientedBox]| places.len().abs_diff(expect);
    let mut places = find::places(find::mean(picture.pixels()).view());
    for channel in 0..picture.channels() {
        if off(&places) == 0 || picture.channels() == 1 {
            break;
        }
        let others = find::places(picture.channel(channel));
        if off(&others) < off(&places) {
            places = others;
        }
    }
    grid::numbered(places, expect)
}

/// The piece at `place`, turned upright, `[channels, size, size]`.
///
/// - `side`: the side in pixels of what counts as one piece, the same for all
///   pieces of a pack: a smaller piece stays smaller
///
/// Bicubic; a picture finer than the sample is reduced first. What lies outside
/// the picture repeats its edge.
///
/// # Errors
/// [`Error::Shape`] if `side` is no size.
pub fn crop(
    picture: &Image,
    place: &OrientedBox,
    side: f64,
    options: &CropOptions,
) -> Result<Image> {
    let scale = options.size as f64 / (side * (1.0 + 2.0 * options.margin));
    if !(scale > 0.0 && scale.is_finite()) {
        return Err(Error::shape("side of a piece", side, "above 0"));
    }
    let mut pixels = Vec::with_capacity(picture.channels() * options.size * options.size);
    let [x, y] = place.centre.map(|c| c as f32);
    let (sin, cos) = (place.angle.to_radians() as f32).sin_cos();
    let middle = (options.size as f32 - 1.0) / 2.0;
    let step = (1.0 / scale) as f32;
    let side = options.size as u32;
    for channel in 0..picture.channels() {
        let plane = picture.channel(channel);
        let (height, width) = plane.dim();
        let plane: Buffer<Luma<f32>> =
            Buffer::from_raw(width as u32, height as u32, plane.iter().copied().collect())
                .expect("as many pixels as the plane has");
        let mut out: Buffer<Luma<f32>> = Buffer::new(side, side);
        let back = |u: f32, v: f32| {
            let (u, v) = ((u - middle) * step, (v - middle) * step);
            (x + cos * u - sin * v, y + sin * u + cos * v)
        };
        warp_into_with(
            &plane,
            back,
            Interpolation::Bicubic,
            Border::Replicate,
            &mut out,
        );
        pixels.extend(out.into_raw().into_iter().map(|v| v.clamp(0.0, 1.0)));
    }
    let shape = (picture.channels(), options.size, options.size);
    Image::new(Array3::from_shape_vec(shape, pixels).expect("as many as the shape says"))
}

/// A pack's picture no finer than its samples: reduced so that a piece is as
/// wide as in a sample, its pieces' places with it. The side comes last.
fn reduced(
    picture: Image,
    mut pieces: Vec<Piece>,
    side: f64,
    options: &CropOptions,
) -> Result<(Image, Vec<Piece>, f64)> {
    let scale = options.size as f64 / (side * (1.0 + 2.0 * options.margin));
    if scale >= 1.0 {
        return Ok((picture, pieces, side));
    }
    let smaller = |n: usize| ((n as f64 * scale).round() as usize).max(1);
    let image = picture.resize(smaller(picture.height()), smaller(picture.width()))?;
    let by = [
        image.width() as f64 / picture.width() as f64,
        image.height() as f64 / picture.height() as f64,
    ];
    for piece in &mut pieces {
        piece.place = piece.place.scaled(by);
    }
    Ok((image, pieces, side * (by[0] * by[1]).sqrt()))
}

#[cfg(test)]
mod tests;
