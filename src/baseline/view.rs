//! What a network sees of a piece: the picture at its size, or the edges in
//! it, with values centred.

use super::options::BaselineOptions;
use super::pieces::PieceReader;
use crate::data::image::Image;
use crate::error::{Error, Result};
use image::GrayImage;
use imageproc::edges::canny;
use ndarray::Array3;
use serde::{Deserialize, Serialize};

/// ImageNet's mean of each channel, pictures in `0..=1`.
const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
/// ImageNet's deviation of each channel.
const DEVIATION: [f32; 3] = [0.229, 0.224, 0.225];

/// What is taken from a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PixelInput {
    /// Its pixels.
    Pixels,
    /// Its brightness in every channel: of three channels 0.299 R + 0.587 G +
    /// 0.114 B (ITU-R BT.601), of others the mean.
    Grey,
    /// Canny's edges of each channel, 0 or 1.
    ///
    /// J. Canny: A computational approach to edge detection, PAMI 8(6), 1986,
    /// as imageproc does it: Gaussian of sigma 1.4, thresholds on the norm of
    /// Sobel's gradient (up to 1140 for 8-bit pictures). OpenCV, which the
    /// metal-surface recipe used, does not blur and takes the sum of the
    /// gradient's absolute parts.
    Canny,
}

/// How values are centred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Normalise {
    /// By ImageNet's mean and deviation; those of the three colours on
    /// average where there are not three channels.
    Imagenet,
    /// Not at all.
    None,
}

/// The way from a picture to what a network sees.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct View {
    /// Channels of the pictures.
    pub channels: usize,
    /// Whether the last one is an anomaly map: no light, so that it stays out of
    /// brightness and edges and is not centred (where nothing is odd it is 0).
    /// Networks of bundles have none.
    #[serde(skip)]
    pub map: bool,
    /// Pixels a side.
    pub size: usize,
    /// Pixels or edges.
    pub input: PixelInput,
    /// Canny's thresholds.
    pub canny: (f32, f32),
    /// How values are centred.
    pub normalise: Normalise,
}

impl View {
    /// What the options make of a reader's pictures.
    #[must_use]
    pub fn new(options: &BaselineOptions, reader: &dyn PieceReader) -> Self {
        Self {
            channels: reader.channels(),
            map: reader.has_map(),
            size: options.size,
            input: options.input,
            canny: options.canny,
            normalise: options.normalise,
        }
    }

    /// How many of the channels are the camera's.
    pub(super) fn lights(&self) -> usize {
        self.channels - usize::from(self.map)
    }

    /// The picture at the network's size, its edges where they are wanted.
    ///
    /// # Errors
    /// [`Error::Shape`] if it has other channels.
    pub fn picture(&self, image: &Image) -> Result<Image> {
        if image.channels() != self.channels {
            return Err(Error::shape("channels", image.channels(), self.channels));
        }
        let image = image.resize(self.size, self.size)?;
        match self.input {
            PixelInput::Pixels => Ok(image),
            PixelInput::Grey => Image::new(grey(&image, self.lights())),
            PixelInput::Canny => Image::new(self.edges(&image)),
        }
    }

    fn edges(&self, image: &Image) -> Array3<f32> {
        let mut out = image.pixels().clone();
        let side = self.size as u32;
        for c in 0..self.lights() {
            let bytes = image
                .channel(c)
                .iter()
                .map(|v| (v.clamp(0.0, 1.0) * 255.0).round() as u8)
                .collect();
            let grey = GrayImage::from_raw(side, side, bytes).expect("one byte a pixel");
            let edges = canny(&grey, self.canny.0, self.canny.1);
            for (out, edge) in out
                .index_axis_mut(ndarray::Axis(0), c)
                .iter_mut()
                .zip(edges.as_raw())
            {
                *out = f32::from(*edge) / 255.0;
            }
        }
        out
    }

    /// The values of a picture of the network's size, `[channels, size, size]`.
    #[must_use]
    pub fn values(&self, picture: &Image) -> Vec<f32> {
        let mut values = picture.as_slice().to_vec();
        if self.normalise == Normalise::None {
            return values;
        }
        for (c, plane) in values.chunks_exact_mut(self.size * self.size).enumerate() {
            let (mean, deviation) = self.statistics(c);
            for value in plane {
                *value = (*value - mean) / deviation;
            }
        }
        values
    }

    /// Mean and deviation by which a channel is centred.
    #[must_use]
    pub fn statistics(&self, channel: usize) -> (f32, f32) {
        let average = |three: [f32; 3]| three.iter().sum::<f32>() / 3.0;
        match (self.normalise, self.lights()) {
            (Normalise::None, _) => (0.0, 1.0),
            (_, lights) if channel >= lights => (0.0, 1.0),
            (Normalise::Imagenet, 3) => (MEAN[channel], DEVIATION[channel]),
            (Normalise::Imagenet, _) => (average(MEAN), average(DEVIATION)),
        }
    }
}

/// The share of each channel in a picture's brightness.
pub(crate) fn brightness(channels: usize) -> Vec<f32> {
    match channels {
        3 => vec![0.299, 0.587, 0.114],
        n => vec![1.0 / n as f32; n],
    }
}

/// The picture's brightness in place of each of its first `lights` channels.
fn grey(image: &Image, lights: usize) -> Array3<f32> {
    let weights = brightness(lights);
    let (_, h, w) = image.pixels().dim();
    let mut sum = Array3::zeros((1, h, w));
    for (c, weight) in weights.into_iter().enumerate() {
        sum.index_axis_mut(ndarray::Axis(0), 0)
            .scaled_add(weight, &image.channel(c));
    }
    let mut out = image.pixels().clone();
    for c in 0..lights {
        let mut plane = out.index_axis_mut(ndarray::Axis(0), c);
        plane.assign(&sum.index_axis(ndarray::Axis(0), 0));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(input: PixelInput, normalise: Normalise) -> View {
        View {
            channels: 1,
            map: false,
            size: 32,
            input,
            canny: (100.0, 200.0),
            normalise,
        }
    }

    #[test]
    fn edges_are_where_brightness_jumps_and_nowhere_else() {
        let step = Array3::from_shape_fn((1, 32, 32), |(_, _, x)| if x < 16 { 0.1 } else { 0.9 });
        let view = view(PixelInput::Canny, Normalise::None);
        let edges = view.picture(&Image::new(step).unwrap()).unwrap();
        for ((_, y, x), v) in edges.pixels().indexed_iter() {
            assert!(*v == 0.0 || *v == 1.0);
            assert!(*v == 0.0 || (14..=17).contains(&x), "{y} {x}");
        }
        assert!(edges.as_slice().iter().sum::<f32>() > 20.0);
    }

    #[test]
    fn a_green_picture_s_brightness_stands_in_all_three_channels() {
        let green = Array3::from_shape_fn((3, 32, 32), |(c, _, _)| if c == 1 { 1.0 } else { 0.0 });
        let view = View {
            channels: 3,
            ..view(PixelInput::Grey, Normalise::None)
        };
        let seen = view.picture(&Image::new(green).unwrap()).unwrap();
        assert!(seen.as_slice().iter().all(|v| (v - 0.587).abs() < 1e-6));
    }

    #[test]
    fn a_map_beside_three_colours_changes_nothing_about_them() {
        let values = |c, x| {
            if c == 3 {
                0.7
            } else {
                0.1 * (c + x % 5) as f32
            }
        };
        let with_map = Array3::from_shape_fn((4, 32, 32), |(c, _, x)| values(c, x));
        let colours = with_map.slice(ndarray::s![..3, .., ..]).to_owned();
        for input in [PixelInput::Pixels, PixelInput::Grey, PixelInput::Canny] {
            let alone = View {
                channels: 3,
                ..view(input, Normalise::Imagenet)
            };
            let beside = View {
                channels: 4,
                map: true,
                ..alone
            };
            let seen = |view: View, pixels: &Array3<f32>| {
                let image = Image::new(pixels.clone()).unwrap();
                view.values(&view.picture(&image).unwrap())
            };
            let (expected, found) = (seen(alone, &colours), seen(beside, &with_map));
            assert_eq!(found[..expected.len()], expected);
            assert!(found[expected.len()..].iter().all(|v| *v == 0.7));
        }
    }

    #[test]
    fn a_grey_picture_is_centred_by_the_average_of_the_colours() {
        let grey = Image::new(Array3::from_elem((1, 32, 32), 0.449)).unwrap();
        let view = view(PixelInput::Pixels, Normalise::Imagenet);
        let values = view.values(&view.picture(&grey).unwrap());
        assert!(values.iter().all(|v| v.abs() < 1e-5));
        let colour = Image::new(Array3::zeros((3, 8, 8))).unwrap();
        assert!(view.picture(&colour).is_err());
    }
}
