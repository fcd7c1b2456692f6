//! `RegionOfInterest`: the part of a piece that is inspected.
//!
//! A picture as large as the pieces' photographs, white where they are
//! inspected and black elsewhere. Outside it the anomaly map is 0, no loss is
//! taken, and no feature looks. It belongs to the bundle.

use crate::data::grey_png;
use crate::data::image::Image;
use crate::data::mask::Levels;
use crate::data::reader::Limits;
use crate::error::{Error, Result};
use ndarray::{Array2, Array3};
use std::path::Path;

/// More shades of grey than this share of the pixels, and the picture is no mask.
const SOFT_EDGES: f64 = 0.05;
/// Height by width may differ from a piece's by this share: rounding by whoever
/// scaled one of the two.
const SHAPE_TOLERANCE: f64 = 0.01;
/// Larger stored masks are refused, height x width.
const MAX_STORED: u32 = 16_384;

/// `[height, width]`: true where pieces are inspected, at least in one pixel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegionOfInterest(Array2<bool>);

impl RegionOfInterest {
    /// Takes a mask `[height, width]`.
    ///
    /// # Errors
    /// [`Error::Data`] if no pixel is inside.
    pub fn new(mask: Array2<bool>) -> Result<Self> {
        if !mask.iter().any(|&inside| inside) {
            return Err(Error::data("the region of interest is empty")
                .help("paint white what is inspected, black what is not"));
        }
        Ok(Self(mask))
    }

    /// Reads a picture (or a two-dimensional array): white, or any number other
    /// than 0 where none is above 15, is inside; soft edges count from half of
    /// white on.
    ///
    /// # Errors
    /// [`Error::Malformed`] if the file is no picture, if more than one pixel in
    /// twenty is neither black nor white, or if none is white; [`Error::Io`].
    pub fn read(path: &Path, limits: Limits) -> Result<Self> {
        let levels = Levels::read(path, limits)?;
        let grey = levels.values.iter().filter(|&&v| levels.is_grey(v)).count();
        let share = grey as f64 / levels.values.len() as f64;
        if share > SOFT_EDGES {
            return Err(Error::malformed(
                path,
                format!(
                    "{:.0}% of the pixels are neither black nor white: this is no mask",
                    100.0 * share
                ),
            )
            .help("a region of interest is white where pieces are inspected and black elsewhere"));
        }
        Self::new(levels.values.mapv(|v| levels.counts(v))).map_err(|_| {
            Error::malformed(path, "no pixel is white: nothing would be inspected")
                .help("paint white what is inspected, black what is not")
        })
    }

    /// The mask as it was drawn, `[height, width]`.
    #[must_use]
    pub fn mask(&self) -> &Array2<bool> {
        &self.0
    }

    /// The share of the picture that is inside, above 0.
    #[must_use]
    pub fn share(&self) -> f64 {
        self.0.iter().filter(|&&inside| inside).count() as f64 / self.0.len() as f64
    }

    /// Whether it fits a photograph of this size: of the same size, or of the
    /// same shape and another resolution.
    ///
    /// # Errors
    /// [`Error::Shape`] if height by width differs by more than 1%.
    pub fn check(&self, height: usize, width: usize) -> Result<()> {
        let (h, w) = self.0.dim();
        let ratio = (height * w) as f64 / (width * h) as f64;
        if (ratio - 1.0).abs() <= SHAPE_TOLERANCE {
            return Ok(());
        }
        Err(Error::shape(
            "photograph (height, width)",
            (height, width),
            format_args!(
                "{h} x {w} as the region of interest, or the same shape larger or smaller"
            ),
        )
        .help("draw the region of interest on a photograph of these pieces"))
    }

    /// The mask at another size: inside is what is inside by half at least.
    ///
    /// # Errors
    /// [`Error::Shape`] if a side is zero; [`Error::Data`] if nothing is left
    /// inside, as of a thin line at a small size.
    pub fn resized(&self, height: usize, width: usize) -> Result<Array2<bool>> {
        if (height, width) == self.0.dim() {
            return Ok(self.0.clone());
        }
        let plane = self.0.mapv(|inside| f32::from(u8::from(inside)));
        let plane = Image::new(plane.insert_axis(ndarray::Axis(0)))?.resize(height, width)?;
        let mask = plane.channel(0).mapv(|v| v >= 0.5);
        match mask.iter().any(|&inside| inside) {
            true => Ok(mask),
            false => Err(Error::data(format!(
                "nothing is left of the region of interest at {height} x {width} pixels"
            ))
            .help("draw it larger, or take a larger model")),
        }
    }

    /// The photograph with black outside.
    ///
    /// # Errors
    /// As [`RegionOfInterest::check`].
    pub fn blank(&self, image: &Image) -> Result<Image> {
        let (channels, height, width) = image.pixels().dim();
        self.check(height, width)?;
        let mask = self.resized(height, width)?;
        let pixels = image.pixels();
        Image::new(Array3::from_shape_fn(
            (channels, height, width),
            |(c, y, x)| {
                if mask[[y, x]] { pixels[[c, y, x]] } else { 0.0 }
            },
        ))
    }

    /// As a PNG, black and white.
    ///
    /// # Errors
    /// [`Error::Data`] if the encoder refuses it.
    pub fn to_png(&self) -> Result<Vec<u8>> {
        grey_png::encode(&self.0.mapv(|inside| u8::from(inside) * 255))
    }

    /// Reads what [`RegionOfInterest::to_png`] wrote; `origin` names it in errors.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn from_png(bytes: &[u8], origin: &Path) -> Result<Self> {
        let picture = grey_png::decode(bytes, MAX_STORED, origin)?;
        Self::new(picture.mapv(|tone| tone >= 128))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{GrayImage, Luma};

    /// The left half of `height` x `width` pixels.
    fn left_half(height: usize, width: usize) -> RegionOfInterest {
        RegionOfInterest::new(Array2::from_shape_fn((height, width), |(_, x)| {
            x < width / 2
        }))
        .unwrap()
    }

    #[test]
    fn another_resolution_is_scaled_and_another_shape_refused() {
        let roi = left_half(20, 40);
        roi.check(310, 620).unwrap();
        let error = roi.check(310, 310).unwrap_err();
        assert!(error.to_string().contains("20 x 40"), "{error}");
        let small = roi.resized(5, 10).unwrap();
        assert_eq!(small, *left_half(5, 10).mask());
    }

    #[test]
    fn outside_the_photograph_is_black() {
        let image = Image::new(Array3::from_elem((2, 4, 4), 0.5)).unwrap();
        let blank = left_half(8, 8).blank(&image).unwrap();
        assert_eq!(blank.pixels()[[1, 3, 1]], 0.5);
        assert_eq!(blank.pixels()[[1, 3, 2]], 0.0);
    }

    #[test]
    fn it_survives_its_own_file() {
        let roi = left_half(7, 13);
        let bytes = roi.to_png().unwrap();
        assert_eq!(
            RegionOfInterest::from_png(&bytes, Path::new("roi.png")).unwrap(),
            roi
        );
        for cut in [0, 8, bytes.len() / 2] {
            assert!(RegionOfInterest::from_png(&bytes[..cut], Path::new("roi.png")).is_err());
        }
    }

    #[test]
    fn photographs_and_black_pictures_are_no_masks() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.png");
        let read = |value: fn(u32) -> u8| {
            GrayImage::from_fn(40, 10, |x, _| Luma([value(x)]))
                .save(&path)
                .unwrap();
            RegionOfInterest::read(&path, Limits::default())
        };
        assert_eq!(read(|x| u8::from(x < 20) * 255).unwrap().share(), 0.5);
        // One soft column of forty; indices of 0 and 1.
        assert_eq!(
            read(|x| [255, 140, 0][x.clamp(19, 21) as usize - 19])
                .unwrap()
                .share(),
            21.0 / 40.0
        );
        assert_eq!(read(|x| u8::from(x < 10)).unwrap().share(), 0.25);
        let photograph = read(|x| 20 + 5 * x as u8).unwrap_err();
        assert!(
            photograph.to_string().contains("neither black nor white"),
            "{photograph}"
        );
        assert!(
            read(|_| 0)
                .unwrap_err()
                .to_string()
                .contains("no pixel is white")
        );
    }
}
