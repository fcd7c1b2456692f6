//! `Registration`: how far a piece lies off its usual place, and moving it there.
//!
//! A model knows where its pieces lie, and marks one that lies elsewhere. The mean
//! of the good pieces shows the usual place; a piece is moved by the translation
//! at which its edges agree best with that mean's: the peak of the real part of
//! the cross-correlation of both gradient fields, each one complex picture
//! `dx + i dy` (V. Argyriou and T. Vlachos, "Estimation of sub-pixel motion using
//! gradient cross-correlation", Electronics Letters 39(13), 2003), with a parabola
//! through the peak and its neighbours on each axis. Edges and not tones: pieces
//! differ in colour and exposure.
//!
//! Ours: the search reaches an eighth of a side, and a piece unlike the mean stays
//! where it is.

use super::vary::moved;
use crate::data::grey_png;
use crate::data::image::{Image, resize_plane};
use crate::data::offset::Offset;
use crate::error::{Error, Result};
use fast_image_resize::Resizer;
use ndarray::{Array2, ArrayView2};
use rustfft::num_complex::Complex32;
use rustfft::{Fft, FftPlanner};
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// Good pieces that a mean is made of, at most: more make it no clearer.
pub const MOST_PIECES: usize = 512;
/// Side of the square that pieces are compared at, in pixels.
const SIDE: usize = 128;
/// Pieces are looked for this far off, in those pixels: an eighth of the side.
const REACH: usize = SIDE / 8;
/// Correlation coefficient of two gradient fields, at its peak, from which on they
/// show the same thing. Of synthetic erasers, good or defective, it is 0.63 to 0.93
/// with their mean; of magnetic tiles, textures that have no place, 0.10 to 0.51.
const LEAST_LIKENESS: f32 = 0.5;
/// How often pieces are moved onto their mean, and the mean taken anew.
const ROUNDS: usize = 2;

/// The usual place of a kind of piece.
#[derive(Debug, Clone)]
pub struct Registration {
    /// The mean good piece in grey, `[SIDE, SIDE]`.
    mean: Array2<u8>,
    edges: Edges,
}

/// A picture in grey, `[SIDE, SIDE]`, 0 to 1: what pieces are compared by.
#[derive(Debug, Clone)]
pub struct Grey(Array2<f32>);

impl Grey {
    /// The mean of an image's channels, reduced (or enlarged).
    #[must_use]
    pub fn of(image: &Image) -> Self {
        let (height, width) = (image.height(), image.width());
        let mut sum = vec![0.0; height * width];
        for plane in image.as_slice().chunks_exact(height * width) {
            for (sum, value) in sum.iter_mut().zip(plane) {
                *sum += value;
            }
        }
        let channels = image.channels() as f32;
        sum.iter_mut().for_each(|v| *v /= channels);
        let mut grey = vec![0.0; SIDE * SIDE];
        let (from, to) = ((height, width), (SIDE, SIDE));
        resize_plane(&mut Resizer::new(), &sum, from, &mut grey, to);
        Self(Array2::from_shape_vec((SIDE, SIDE), grey).expect("as many as the shape says"))
    }
}

impl Registration {
    /// Finds the usual place of good pieces; `None` without any.
    #[must_use]
    pub fn of(pieces: &[Grey]) -> Option<Self> {
        let mut found = Self::of_mean(&mean(pieces.iter().map(|p| p.0.clone()))?);
        for _ in 0..ROUNDS {
            let in_place = pieces.iter().map(|piece| {
                let (down, right) = found.edges.translation(&Edges::of(&piece.0));
                shifted(piece.0.view(), (-down, -right))
            });
            found = Self::of_mean(&mean(in_place)?);
        }
        Some(found)
    }

    fn of_mean(mean: &Array2<f32>) -> Self {
        let mean = mean.mapv(|v| (v * 255.0).round().clamp(0.0, 255.0) as u8);
        Self::of_stored(mean)
    }

    /// Edges of the picture as it is stored, so that a bundle that is opened finds
    /// what was found in its training.
    fn of_stored(mean: Array2<u8>) -> Self {
        let edges = Edges::of(&mean.mapv(|v| f32::from(v) / 255.0));
        Self { mean, edges }
    }

    /// How far a piece lies off; nought if it is not like the others.
    #[must_use]
    pub fn offset(&self, image: &Image) -> Offset {
        let (down, right) = self.edges.translation(&Edges::of(&Grey::of(image).0));
        let pixels = |by: f32, side: usize| (by * side as f32 / SIDE as f32).round() as i32;
        Offset {
            down: pixels(down, image.height()),
            right: pixels(right, image.width()),
        }
    }

    /// The piece moved to its usual place by whole pixels, which keeps it sharp (its
    /// border goes on where it leaves room), and how far it lay off.
    #[must_use]
    pub fn place(&self, image: &Image) -> (Image, Offset) {
        let offset = self.offset(image);
        if offset == Offset::default() {
            return (image.clone(), offset);
        }
        let pixels = moved(image.pixels(), (-offset.down, -offset.right));
        let placed = Image::new(pixels).expect("pixels of an image in another place");
        (placed, offset)
    }

    /// The mean good piece as a PNG.
    ///
    /// # Errors
    /// [`Error::Data`] if the encoder refuses it.
    pub fn to_png(&self) -> Result<Vec<u8>> {
        grey_png::encode(&self.mean)
    }

    /// Reads what [`Registration::to_png`] wrote; `origin` names it in errors.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn from_png(bytes: &[u8], origin: &Path) -> Result<Self> {
        let mean = grey_png::decode(bytes, SIDE as u32, origin)?;
        if mean.dim() != (SIDE, SIDE) {
            let (height, width) = mean.dim();
            let reason = format!("{height} x {width} pixels found, {SIDE} x {SIDE} expected");
            return Err(Error::malformed(origin, reason));
        }
        Ok(Self::of_stored(mean))
    }
}

/// The mean of pictures of one size; `None` without any.
fn mean(pictures: impl Iterator<Item = Array2<f32>>) -> Option<Array2<f32>> {
    let (sum, count) = pictures.fold((None, 0.0), |(sum, count), picture| {
        let sum = match sum {
            None => picture,
            Some(sum) => sum + picture,
        };
        (Some(sum), count + 1.0)
    });
    sum.map(|sum: Array2<f32>| sum / count)
}

/// A plane that was drawn of a piece at its usual place, moved to where the piece
/// lies in its photograph of this height and width; as [`shifted`].
pub(crate) fn moved_back(
    plane: ArrayView2<'_, f32>,
    photograph: (usize, usize),
    offset: Offset,
) -> Array2<f32> {
    let (height, width) = plane.dim();
    let by = (
        offset.down as f32 * height as f32 / photograph.0 as f32,
        offset.right as f32 * width as f32 / photograph.1 as f32,
    );
    shifted(plane, by)
}

/// A plane moved down and to the right, by parts of a pixel where need be: bilinear;
/// its border goes on where it leaves room.
pub(super) fn shifted(plane: ArrayView2<'_, f32>, (down, right): (f32, f32)) -> Array2<f32> {
    /// For each place on an axis the two it lies between, and how far from the first.
    fn between(side: usize, by: f32) -> (Vec<[usize; 2]>, f32) {
        let first = (-by).floor();
        let at = |i: isize| i.clamp(0, side as isize - 1) as usize;
        let pair = |i: usize| {
            let i = i as isize + first as isize;
            [at(i), at(i + 1)]
        };
        ((0..side).map(pair).collect(), -by - first)
    }
    let (rows, lower) = between(plane.nrows(), down);
    let (columns, righter) = between(plane.ncols(), right);
    let mix = |a: f32, b: f32, part: f32| a + (b - a) * part;
    Array2::from_shape_fn(plane.dim(), |(y, x)| {
        let ([above, below], [left, right]) = (rows[y], columns[x]);
        let upper_row = mix(plane[[above, left]], plane[[above, right]], righter);
        let lower_row = mix(plane[[below, left]], plane[[below, right]], righter);
        mix(upper_row, lower_row, lower)
    })
}

/// A picture's gradient field as its spectrum, `SIDE` x `SIDE`, columns first.
#[derive(Debug, Clone)]
struct Edges {
    spectrum: Vec<Complex32>,
    /// Euclidean norm of the field.
    norm: f32,
}

impl Edges {
    /// The edges of a picture `[SIDE, SIDE]`.
    fn of(grey: &Array2<f32>) -> Self {
        let mut field = vec![Complex32::new(0.0, 0.0); SIDE * SIDE];
        // The outermost pixels have no gradient: a picture's border is no edge.
        for y in 1..SIDE - 1 {
            for x in 1..SIDE - 1 {
                field[y * SIDE + x] = Complex32::new(
                    grey[[y, x + 1]] - grey[[y, x - 1]],
                    grey[[y + 1, x]] - grey[[y - 1, x]],
                );
            }
        }
        let norm = field.iter().map(Complex32::norm_sqr).sum::<f32>().sqrt();
        transform(&mut field, &plans().forward);
        Self {
            spectrum: field,
            norm,
        }
    }

    /// By how many pixels, down and to the right, `other` lies off this picture;
    /// nought if they show different things.
    fn translation(&self, other: &Self) -> (f32, f32) {
        let (translation, likeness) = self.agreement(other);
        match likeness >= LEAST_LIKENESS {
            true => translation,
            false => (0.0, 0.0),
        }
    }

    /// The translation at which `other` agrees best with this picture, and the two
    /// fields' correlation coefficient there; 0 where one has no edges.
    fn agreement(&self, other: &Self) -> ((f32, f32), f32) {
        let norms = self.norm * other.norm;
        if norms == 0.0 {
            return ((0.0, 0.0), 0.0);
        }
        let pairs = self.spectrum.iter().zip(&other.spectrum);
        let mut correlation: Vec<Complex32> = pairs.map(|(a, b)| a.conj() * b).collect();
        transform(&mut correlation, &plans().inverse);
        let at = |down: isize, right: isize| {
            let wrapped = |by: isize| by.rem_euclid(SIDE as isize) as usize;
            correlation[wrapped(down) * SIDE + wrapped(right)].re
        };
        let reach = -(REACH as isize)..=REACH as isize;
        let (mut down, mut right) = (0, 0);
        for y in reach.clone() {
            for x in reach.clone() {
                if at(y, x) > at(down, right) {
                    (down, right) = (y, x);
                }
            }
        }
        let peak = at(down, right);
        let summits = (
            summit(at(down - 1, right), peak, at(down + 1, right)),
            summit(at(down, right - 1), peak, at(down, right + 1)),
        );
        // The transform there and back multiplies by the number of pixels.
        let likeness = peak / (norms * (SIDE * SIDE) as f32);
        (
            (down as f32 + summits.0, right as f32 + summits.1),
            likeness,
        )
    }
}

/// Where the parabola through three values, one pixel apart, is highest: from the
/// middle one on, by at most half a pixel.
fn summit(before: f32, middle: f32, after: f32) -> f32 {
    let bend = before - 2.0 * middle + after;
    match bend < 0.0 {
        true => (0.5 * (before - after) / bend).clamp(-0.5, 0.5),
        // At the end of the reach the middle value need not be the highest.
        false => 0.0,
    }
}

struct Plans {
    forward: Arc<dyn Fft<f32>>,
    inverse: Arc<dyn Fft<f32>>,
}

fn plans() -> &'static Plans {
    static PLANS: OnceLock<Plans> = OnceLock::new();
    PLANS.get_or_init(|| {
        let mut planner = FftPlanner::new();
        Plans {
            forward: planner.plan_fft_forward(SIDE),
            inverse: planner.plan_fft_inverse(SIDE),
        }
    })
}

/// Transforms rows, then columns; rows and columns change places, so that twice
/// is as it was.
fn transform(field: &mut [Complex32], plan: &Arc<dyn Fft<f32>>) {
    plan.process(field);
    transpose(field);
    plan.process(field);
}

fn transpose(field: &mut [Complex32]) {
    for y in 0..SIDE {
        for x in 0..y {
            field.swap(y * SIDE + x, x * SIDE + y);
        }
    }
}

#[cfg(test)]
#[path = "registration_tests.rs"]
mod tests;
