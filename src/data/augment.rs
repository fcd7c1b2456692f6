//! Seeded flips and turns, for training alone: the same piece as the camera
//! might have seen it. All channels move together.

use crate::data::image::Image;
use crate::error::{Error, Result};
use crate::random::Seed;
use ndarray::Array3;
use rand::Rng;
use serde::{Deserialize, Serialize};

/// What lies beyond the picture's edge when it is turned or moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Border {
    /// Nothing, as torchvision fills it.
    Black,
    /// The pixels of the edge.
    Edge,
}

/// How pictures are varied; every range is around the picture as it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AugmentOptions {
    /// Probability of exchanging left and right.
    pub horizontal_flip: f64,
    /// Probability of exchanging top and bottom.
    pub vertical_flip: f64,
    /// Largest turn, in degrees either way.
    pub rotation: f64,
    /// Largest shift along each axis, as a share of the side.
    pub translation: f64,
    /// Smallest scale.
    pub scale_min: f64,
    /// Largest scale.
    pub scale_max: f64,
    /// Brightness is multiplied by 1 - this to 1 + this.
    pub brightness: f64,
    /// Differences to the mean are multiplied by 1 - this to 1 + this.
    pub contrast: f64,
    /// What fills the corners.
    pub border: Border,
}

impl Default for AugmentOptions {
    /// The eraser paper's table.
    fn default() -> Self {
        Self {
            horizontal_flip: 0.5,
            vertical_flip: 0.5,
            rotation: 15.0,
            translation: 0.1,
            scale_min: 0.85,
            scale_max: 1.15,
            brightness: 0.0,
            contrast: 0.0,
            border: Border::Black,
        }
    }
}

/// One drawn variation.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Move {
    /// Radians, clockwise as seen.
    angle: f64,
    /// Pixels to the right and down.
    shift: (f64, f64),
    scale: f64,
}

impl AugmentOptions {
    /// No variation at all.
    #[must_use]
    pub fn none() -> Self {
        Self {
            horizontal_flip: 0.0,
            vertical_flip: 0.0,
            rotation: 0.0,
            translation: 0.0,
            scale_min: 1.0,
            scale_max: 1.0,
            ..Self::default()
        }
    }

    /// Checks every option's range.
    ///
    /// # Errors
    /// [`Error::Setting`] naming the option.
    pub fn check(&self) -> Result<()> {
        let share = 0.0..=1.0;
        let wrong = if !share.contains(&self.horizontal_flip) {
            ("horizontal_flip", "0 to 1 expected")
        } else if !share.contains(&self.vertical_flip) {
            ("vertical_flip", "0 to 1 expected")
        } else if !(0.0..=180.0).contains(&self.rotation) {
            ("rotation", "0 to 180 degrees expected")
        } else if !share.contains(&self.translation) {
            ("translation", "0 to 1 expected")
        } else if !(self.scale_min > 0.1
            && self.scale_min <= self.scale_max
            && self.scale_max < 10.0)
        {
            ("scale_min", "above 0.1 and at most scale_max expected")
        } else if !(0.0..1.0).contains(&self.brightness) {
            ("brightness", "0 to below 1 expected")
        } else if !(0.0..1.0).contains(&self.contrast) {
            ("contrast", "0 to below 1 expected")
        } else {
            return Ok(());
        };
        Err(Error::setting(format!("augment.{}", wrong.0), wrong.1))
    }

    /// A variation of `image`, drawn from `seed`.
    ///
    /// Turn, shift and scale are one bilinear interpolation, about the
    /// picture's middle, as torchvision's `affine` on tensors.
    ///
    /// # Departures
    /// Shifts are not rounded to whole pixels, as torchvision's `RandomAffine`
    /// rounds them. Contrast turns about the mean over all channels; its
    /// `ColorJitter` takes that of the grey picture.
    #[must_use]
    pub fn vary(&self, image: &Image, seed: Seed) -> Image {
        let mut rng = seed.rng();
        let mut around = |reach: f64| reach * (2.0 * rng.random::<f64>() - 1.0);
        let (h, w) = (image.height() as f64, image.width() as f64);
        let moved = Move {
            angle: around(self.rotation).to_radians(),
            shift: (around(self.translation * w), around(self.translation * h)),
            scale: (self.scale_min + self.scale_max) / 2.0
                + around((self.scale_max - self.scale_min) / 2.0),
        };
        let brightness = 1.0 + around(self.brightness);
        let contrast = 1.0 + around(self.contrast);
        let flip = [self.horizontal_flip, self.vertical_flip].map(|p| rng.random::<f64>() < p);
        let still = moved.angle == 0.0 && moved.shift == (0.0, 0.0) && moved.scale == 1.0;
        let mut pixels = match still {
            true => image.pixels().clone(),
            false => warp(image.pixels(), moved, self.border),
        };
        if flip[0] {
            pixels.invert_axis(ndarray::Axis(2));
        }
        if flip[1] {
            pixels.invert_axis(ndarray::Axis(1));
        }
        if brightness != 1.0 {
            pixels.mapv_inplace(|v| (f64::from(v) * brightness).clamp(0.0, 1.0) as f32);
        }
        if contrast != 1.0 {
            let mean = pixels.iter().map(|v| f64::from(*v)).sum::<f64>() / pixels.len() as f64;
            pixels
                .mapv_inplace(|v| (mean + contrast * (f64::from(v) - mean)).clamp(0.0, 1.0) as f32);
        }
        Image::new(pixels).expect("finite values stay finite")
    }
}

/// Output pixel (x, y), from the middle, shows input pixel `R (x - t) / s`.
fn warp(pixels: &Array3<f32>, moved: Move, border: Border) -> Array3<f32> {
    let (channels, h, w) = pixels.dim();
    let (cy, cx) = ((h as f64 - 1.0) / 2.0, (w as f64 - 1.0) / 2.0);
    let (sin, cos) = moved.angle.sin_cos();
    let mut out = Array3::zeros((channels, h, w));
    for y in 0..h {
        for x in 0..w {
            let dx = x as f64 - cx - moved.shift.0;
            let dy = y as f64 - cy - moved.shift.1;
            let sx = (cos * dx + sin * dy) / moved.scale + cx;
            let sy = (cos * dy - sin * dx) / moved.scale + cy;
            let (x0, y0) = (sx.floor(), sy.floor());
            let (fx, fy) = ((sx - x0) as f32, (sy - y0) as f32);
            // Of the four neighbours: place, if there is one, and weight.
            let corners = [
                (0.0, 0.0, (1.0 - fx) * (1.0 - fy)),
                (1.0, 0.0, fx * (1.0 - fy)),
                (0.0, 1.0, (1.0 - fx) * fy),
                (1.0, 1.0, fx * fy),
            ]
            .map(|(ox, oy, weight)| (place(x0 + ox, w, border), place(y0 + oy, h, border), weight));
            for c in 0..channels {
                let mut sum = 0.0;
                for (px, py, weight) in corners {
                    if let (Some(px), Some(py)) = (px, py) {
                        sum += weight * pixels[[c, py, px]];
                    }
                }
                out[[c, y, x]] = sum;
            }
        }
    }
    out
}

/// A coordinate's index within `0..side`.
fn place(at: f64, side: usize, border: Border) -> Option<usize> {
    let last = side as f64 - 1.0;
    match border {
        Border::Edge => Some(at.clamp(0.0, last) as usize),
        Border::Black => (0.0..=last).contains(&at).then_some(at as usize),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Reference {
        affine: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        angle: f64,
        shift: (f64, f64),
        scale: f64,
        shape: (usize, usize, usize),
        input: Vec<f32>,
        output: Vec<f32>,
    }

    #[test]
    fn turns_and_shifts_are_torchvision_s() {
        let json = include_str!("../../tests/reference/baseline.json");
        let reference: Reference = serde_json::from_str(json).unwrap();
        assert_eq!(reference.affine.len(), 4);
        for case in reference.affine {
            let input = Array3::from_shape_vec(case.shape, case.input).unwrap();
            let moved = Move {
                angle: case.angle.to_radians(),
                shift: case.shift,
                scale: case.scale,
            };
            let found = warp(&input, moved, Border::Black);
            for (a, b) in found.iter().zip(&case.output) {
                // grid_sample works in f32 coordinates.
                assert!((a - b).abs() < 1e-5, "{a} {b}");
            }
        }
    }

    fn ramp() -> Image {
        Image::new(Array3::from_shape_fn((2, 5, 4), |(c, y, x)| {
            (c * 20 + y * 4 + x) as f32 / 40.0
        }))
        .unwrap()
    }

    #[test]
    fn nothing_asked_for_changes_nothing() {
        assert_eq!(AugmentOptions::none().vary(&ramp(), Seed::new(3)), ramp());
    }

    #[test]
    fn a_sure_flip_exchanges_left_and_right_in_all_channels() {
        let flips = AugmentOptions {
            horizontal_flip: 1.0,
            ..AugmentOptions::none()
        };
        let out = flips.vary(&ramp(), Seed::new(3));
        for ((c, y, x), v) in out.pixels().indexed_iter() {
            assert_eq!(*v, ramp().pixels()[[c, y, 3 - x]]);
        }
    }

    #[test]
    fn the_edge_is_drawn_on_where_asked_for_and_values_stay_in_range() {
        let options = AugmentOptions {
            border: Border::Edge,
            brightness: 0.4,
            contrast: 0.4,
            ..AugmentOptions::default()
        };
        let white = Image::new(Array3::from_elem((1, 8, 8), 0.9)).unwrap();
        for i in 0..20 {
            let out = options.vary(&white, Seed::new(i));
            let first = out.pixels()[[0, 0, 0]];
            assert!(out.pixels().iter().all(|v| (v - first).abs() < 1e-5));
            assert!((0.0..=1.0).contains(&first));
        }
        assert_eq!(
            options.vary(&ramp(), Seed::new(1)),
            options.vary(&ramp(), Seed::new(1))
        );
        assert_ne!(
            options.vary(&ramp(), Seed::new(1)),
            options.vary(&ramp(), Seed::new(2))
        );
    }
}
