//! `Region`: a connected part of an anomaly map that stands out, and the
//! channel in which it does so most.
//!
//! A region reaches as far as the map is higher than good pieces mostly are, and
//! counts if it is somewhere higher than they are at worst: hysteresis
//! thresholding (J. Canny, "A computational approach to edge detection", 1986).
//!
//! Which values stand out is the bundle's [`RegionRule`], calibrated on good
//! pieces as the [`ColourScale`](crate::data::colour::ColourScale) is.

use crate::data::anomaly_map::AnomalyMap;
use crate::data::image::Image;
use crate::error::{Error, Result};
use image::{GrayImage, Luma};
use imageproc::region_labelling::{Connectivity, connected_components};
use ndarray::{Array2, Zip};
use serde::{Deserialize, Serialize};

/// A channel's usual difference counts as at least this much, in parts of
/// white: one that is restored all but perfectly is not blamed for a trifle.
const LEAST_USUAL: f32 = 1e-3;

/// Part of an anomaly map. Lengths are in pixels of the photograph, whose
/// top left pixel has its centre at (0, 0).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Region {
    /// First column of the box.
    pub left: usize,
    /// First row of the box.
    pub top: usize,
    /// Columns of the box.
    pub width: usize,
    /// Rows of the box.
    pub height: usize,
    /// Pixels inside; a broken number where map and photograph differ in size.
    pub area: f64,
    /// The highest anomaly value inside.
    pub peak: f32,
    /// The mean anomaly value inside.
    pub mean: f32,
    /// Centroid of its pixels, x and y.
    pub centroid: [f64; 2],
    /// The channel that stands out most, see [`RegionRule::find`].
    pub channel: String,
    /// That channel's mean absolute difference of photograph and restored
    /// photograph inside, in parts of white.
    pub difference: f32,
    /// `difference` over what is usual on good pieces, where that is known.
    pub ratio: Option<f32>,
}

/// All regions of a piece, the highest peak first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Regions {
    /// Columns of the photograph.
    pub width: usize,
    /// Rows of the photograph.
    pub height: usize,
    /// The regions.
    pub found: Vec<Region>,
}

/// What counts as a region, and what differences are usual; of one bundle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawRule", into = "RawRule")]
pub struct RegionRule {
    low: f32,
    high: f32,
    usual: Vec<f32>,
    basis: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    low: f32,
    high: f32,
    #[serde(default)]
    usual: Vec<f32>,
    #[serde(default)]
    basis: String,
}

impl TryFrom<RawRule> for RegionRule {
    type Error = Error;
    fn try_from(raw: RawRule) -> Result<Self> {
        Self::new(raw.low, raw.high, raw.usual, raw.basis)
    }
}

impl From<RegionRule> for RawRule {
    fn from(rule: RegionRule) -> Self {
        Self {
            low: rule.low,
            high: rule.high,
            usual: rule.usual,
            basis: rule.basis,
        }
    }
}

/// What a model saw in a piece, all at one size.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// The anomaly map.
    pub map: &'a AnomalyMap,
    /// The photograph as the model saw it.
    pub image: &'a Image,
    /// The photograph as it restored it.
    pub restored: &'a Image,
}

impl RegionRule {
    /// Pixels at or above `low` make regions where one of them is at or above
    /// `high`.
    ///
    /// - `usual`: mean absolute difference of photograph and restored
    ///   photograph on good pieces, one a channel; empty if not known
    /// - `basis`: where `high` comes from, for people
    ///
    /// # Errors
    /// [`Error::Setting`] unless `0 < low <= high <= 1`, and all of `usual` are 0
    /// or more.
    pub fn new(low: f32, high: f32, usual: Vec<f32>, basis: impl Into<String>) -> Result<Self> {
        if !(0.0 < low && low <= high && high <= 1.0) {
            return Err(Error::setting(
                "region thresholds",
                format!("{low} and {high} found, 0 < low <= high <= 1 expected"),
            ));
        }
        if let Some(wrong) = usual.iter().find(|u| !(u.is_finite() && **u >= 0.0)) {
            return Err(Error::setting(
                "usual differences",
                format!("{wrong} found, 0 or more expected"),
            ));
        }
        Ok(Self {
            low,
            high,
            usual,
            basis: basis.into(),
        })
    }

    /// A region reaches as far as pixels are at or above this.
    #[must_use]
    pub fn low(&self) -> f32 {
        self.low
    }

    /// A region has a pixel at or above this.
    #[must_use]
    pub fn high(&self) -> f32 {
        self.high
    }

    /// The usual difference of each channel; empty if not known.
    #[must_use]
    pub fn usual(&self) -> &[f32] {
        &self.usual
    }

    /// Where `high` comes from, for people.
    #[must_use]
    pub fn basis(&self) -> &str {
        &self.basis
    }

    /// The regions of a piece whose photograph has `height` x `width` pixels.
    ///
    /// A region is a set of map pixels at or above `low`, joined by sides or
    /// corners, one of which at least is at or above `high`. Its channel is the one with the largest mean absolute
    /// difference of `image` and `restored` inside, each divided by what is
    /// usual for that channel on good pieces (at least 0.001) where that is
    /// known: a channel that is hard to restore does not win for that alone.
    ///
    /// The order: by falling peak, then by the first row and the first column.
    ///
    /// # Errors
    /// [`Error::Shape`] if sizes or channels disagree.
    pub fn find(
        &self,
        seen: Seen<'_>,
        channels: &[String],
        height: usize,
        width: usize,
    ) -> Result<Regions> {
        let Seen {
            map,
            image,
            restored,
        } = seen;
        let values = map.values();
        let (h, w) = values.dim();
        let expected = (channels.len(), h, w);
        for pixels in [image.pixels(), restored.pixels()] {
            if pixels.dim() != expected {
                return Err(Error::shape("image of a map", pixels.dim(), expected));
            }
        }
        let mut regions = Regions {
            width,
            height,
            found: Vec::new(),
        };
        if !values.iter().any(|&v| v >= self.high) {
            return Ok(regions);
        }
        let above = values.iter().map(|&v| u8::from(v >= self.low)).collect();
        let picture = GrayImage::from_raw(w as u32, h as u32, above).expect("one value a pixel");
        let labels = connected_components(&picture, Connectivity::Eight, Luma([0u8]));
        let mut sums: Vec<Sums> = Vec::new();
        for ((y, x), &value) in values.indexed_iter() {
            // 0 is the background; regions are numbered from 1.
            let Some(label) = (labels.get_pixel(x as u32, y as u32).0[0] as usize).checked_sub(1)
            else {
                continue;
            };
            if sums.len() <= label {
                sums.resize_with(label + 1, || Sums::new(channels.len(), (y, x)));
            }
            sums[label].add((y, x), value);
            for (c, sum) in sums[label].differences.iter_mut().enumerate() {
                let difference = image.pixels()[[c, y, x]] - restored.pixels()[[c, y, x]];
                *sum += f64::from(difference.abs());
            }
        }
        let scale = [width as f64 / w as f64, height as f64 / h as f64];
        regions.found = sums
            .into_iter()
            .filter(|s| s.peak >= self.high)
            .map(|s| self.region(s, channels, scale, (height, width)))
            .collect();
        regions.found.sort_by(|a, b| {
            b.peak
                .total_cmp(&a.peak)
                .then((a.top, a.left).cmp(&(b.top, b.left)))
        });
        Ok(regions)
    }

    fn region(
        &self,
        s: Sums,
        channels: &[String],
        [across, down]: [f64; 2],
        (height, width): (usize, usize),
    ) -> Region {
        let n = s.pixels as f64;
        let means: Vec<f32> = s.differences.iter().map(|d| (d / n) as f32).collect();
        let ratio = |c: usize| {
            let usual = self.usual.get(c)?;
            Some(means[c] / usual.max(LEAST_USUAL))
        };
        let weight = |c: usize| ratio(c).unwrap_or(means[c]);
        let mut most = 0;
        for c in 1..means.len() {
            if weight(c) > weight(most) {
                most = c;
            }
        }
        let left = (s.left as f64 * across).floor() as usize;
        let top = (s.top as f64 * down).floor() as usize;
        let right = (((s.right + 1) as f64 * across).ceil() as usize).min(width);
        let bottom = (((s.bottom + 1) as f64 * down).ceil() as usize).min(height);
        Region {
            left,
            top,
            width: right - left,
            height: bottom - top,
            area: n * across * down,
            peak: s.peak,
            mean: (s.sum / n) as f32,
            centroid: [(s.x / n + 0.5) * across - 0.5, (s.y / n + 0.5) * down - 0.5],
            channel: channels.get(most).cloned().unwrap_or_default(),
            difference: means.get(most).copied().unwrap_or(0.0),
            ratio: ratio(most),
        }
    }
}

/// What is gathered of one region, in pixels of the map.
struct Sums {
    left: usize,
    top: usize,
    right: usize,
    bottom: usize,
    pixels: u64,
    peak: f32,
    sum: f64,
    x: f64,
    y: f64,
    differences: Vec<f64>,
}

impl Sums {
    fn new(channels: usize, (y, x): (usize, usize)) -> Self {
        Self {
            left: x,
            top: y,
            right: x,
            bottom: y,
            pixels: 0,
            peak: 0.0,
            sum: 0.0,
            x: 0.0,
            y: 0.0,
            differences: vec![0.0; channels],
        }
    }

    fn add(&mut self, (y, x): (usize, usize), value: f32) {
        self.left = self.left.min(x);
        self.top = self.top.min(y);
        self.right = self.right.max(x);
        self.bottom = self.bottom.max(y);
        self.pixels += 1;
        self.peak = self.peak.max(value);
        self.sum += f64::from(value);
        self.x += x as f64;
        self.y += y as f64;
    }
}

/// Gathers how far good pieces differ from what the model restores of them.
#[derive(Debug, Clone, Default)]
pub struct UsualDifferences {
    sums: Vec<f64>,
    pixels: u64,
}

impl UsualDifferences {
    /// Takes one good piece as it was seen and as it was restored; of pixels
    /// `inside` alone, where that is given, at the same size.
    pub fn add(&mut self, image: &Image, restored: &Image, inside: Option<&Array2<bool>>) {
        self.sums.resize(image.channels(), 0.0);
        for (c, sum) in self.sums.iter_mut().enumerate() {
            let (seen, restored) = (image.channel(c), restored.channel(c));
            match inside {
                None => Zip::from(&seen)
                    .and(&restored)
                    .for_each(|a, b| *sum += f64::from((a - b).abs())),
                Some(inside) => {
                    Zip::from(&seen)
                        .and(&restored)
                        .and(inside)
                        .for_each(|a, b, &inside| {
                            *sum += f64::from(u8::from(inside)) * f64::from((a - b).abs());
                        })
                }
            }
        }
        let all = image.height() * image.width();
        self.pixels += inside.map_or(all, |i| i.iter().filter(|&&inside| inside).count()) as u64;
    }

    /// The mean absolute difference of each channel; empty if there was none.
    #[must_use]
    pub fn means(&self) -> Vec<f32> {
        if self.pixels == 0 {
            return Vec::new();
        }
        let mean = |sum: &f64| (sum / self.pixels as f64) as f32;
        self.sums.iter().map(mean).collect()
    }
}

#[cfg(test)]
#[path = "region_tests.rs"]
mod tests;
