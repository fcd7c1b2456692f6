//! Masks: pictures that show where on a piece the defect is.

use crate::data::decode::{self, AxisOrder, Decoded, Limits, Picture};
use crate::data::npy::Values;
use crate::error::{Error, Result};
use ndarray::Array2;
use std::path::Path;

/// The highest number that still counts as the index of a defect kind.
const MAX_INDEX: f64 = 15.0;

/// Reads a mask `[height, width]`: true where the defect is.
///
/// A pixel counts from half of white on, so that the soft edge of a resized mask
/// falls where it was. A mask of integers with no value above 15 holds indices
/// instead (0 / 1, or a number for each kind of defect): there every pixel other
/// than 0 counts. A colour mask counts a pixel by its largest channel.
///
/// # Errors
/// [`Error::Io`]; [`Error::Malformed`] if the file is no picture or
/// two-dimensional array.
pub fn read_mask(path: &Path, limits: Limits) -> Result<Array2<bool>> {
    let levels = Levels::read(path, limits)?;
    Ok(levels.values.mapv(|v| levels.counts(v)))
}

/// A mask's numbers before they are judged.
pub(crate) struct Levels {
    /// `[height, width]`, the largest channel of each pixel.
    pub values: Array2<f64>,
    /// What white is.
    white: f64,
    /// The numbers are indices of kinds, not shades.
    indices: bool,
}

impl Levels {
    /// Reads a picture or a two-dimensional array.
    ///
    /// # Errors
    /// As [`read_mask`].
    pub fn read(path: &Path, limits: Limits) -> Result<Self> {
        let picture = match decode::decode(path, limits)? {
            Decoded::Picture(picture) => picture,
            Decoded::Array(array) => match array.shape[..] {
                [height, width] => Picture {
                    height,
                    width,
                    channels: 1,
                    order: AxisOrder::ChannelsLast,
                    values: array.values,
                },
                _ => {
                    return Err(Error::malformed(
                        path,
                        format!("mask of shape {:?}, height x width expected", array.shape),
                    ));
                }
            },
        };
        let (values, white): (Vec<f64>, f64) = match &picture.values {
            Values::U8(v) => (v.iter().map(|&x| f64::from(x)).collect(), 255.0),
            Values::U16(v) => {
                // 8-bit masks saved with 16.
                let narrow = v.iter().all(|&x| x <= 255);
                let white = if narrow { 255.0 } else { 65535.0 };
                (v.iter().map(|&x| f64::from(x)).collect(), white)
            }
            Values::F32(v) => (v.iter().map(|&x| f64::from(x)).collect(), 1.0),
            Values::F64(v) => (v.clone(), 1.0),
        };
        let (height, width, channels) = (picture.height, picture.width, picture.channels);
        let at = |y: usize, x: usize, c: usize| match picture.order {
            AxisOrder::ChannelsFirst => (c * height + y) * width + x,
            AxisOrder::ChannelsLast => (y * width + x) * channels + c,
        };
        Ok(Self {
            indices: white > 1.0 && values.iter().all(|&v| v <= MAX_INDEX),
            values: Array2::from_shape_fn((height, width), |(y, x)| {
                (0..channels)
                    .map(|c| values[at(y, x, c)])
                    .fold(f64::NEG_INFINITY, f64::max)
            }),
            white,
        })
    }

    /// Whether a pixel of this value counts.
    pub fn counts(&self, value: f64) -> bool {
        if self.indices {
            value > 0.0
        } else {
            value >= self.white / 2.0
        }
    }

    /// Whether a value is neither black nor white, nor an index.
    pub fn is_grey(&self, value: f64) -> bool {
        let share = value / self.white;
        !(self.indices || share <= 0.1 || share >= 0.9)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_white_counts_and_small_integers_are_indices() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.png");
        let read = |values: [u8; 3]| {
            image::GrayImage::from_raw(3, 1, values.to_vec())
                .unwrap()
                .save(&path)
                .unwrap();
            read_mask(&path, Limits::default())
                .unwrap()
                .into_raw_vec_and_offset()
                .0
        };
        assert_eq!(read([0, 127, 128]), [false, false, true]);
        assert_eq!(read([0, 1, 3]), [false, true, true]);
        assert_eq!(read([0, 0, 0]), [false; 3]);
    }
}
