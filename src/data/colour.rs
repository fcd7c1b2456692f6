//! `ColourScale`: which anomaly value gets which colour, on every piece alike.
//!
//! The scale is calibrated once, on the maps of good training pieces, and
//! belongs to the bundle. It is never stretched for an image: a good piece
//! stays calm, and a colour means the same today and tomorrow.
//!
//! The ramp (violet, magenta, red, orange, yellow) is defined in OKLCH by
//! control points whose lightness rises evenly, so that more anomalous is
//! always lighter, also for a colour-blind eye and on a grey print.
//! B. Ottosson, "A perceptual color space for image processing", 2020, gives
//! the OKLab matrices.

use crate::data::anomaly_map::AnomalyMap;
use crate::data::image::Image;
use crate::data::region::{RegionRule, UsualDifferences};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::sync::OnceLock;

/// Share of good pixels that lie below [`ColourScale::low`].
const QUIET_SHARE: f64 = 0.99;
/// The share of good pieces whose brightest pixel lies below the "good peak".
const PEAK_SHARE: f64 = 0.95;
/// Share of good pixels that no region reaches down to.
const REGION_SHARE: f64 = 0.999;
/// The good peak lies at one part in this many of the ramp.
const PEAK_POSITION: f64 = 3.0;
/// The ramp spans at least this much, lest the noise of a near-perfect map
/// light up.
const LEAST_SPAN: f64 = 0.05;

/// Colours for anomaly values: nothing below `low`, full colour from `high`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawScale", into = "RawScale")]
pub struct ColourScale {
    low: f32,
    high: f32,
    white: f32,
}

#[derive(Serialize, Deserialize)]
struct RawScale {
    low: f32,
    high: f32,
    #[serde(default = "one")]
    white: f32,
}

fn one() -> f32 {
    1.0
}

impl TryFrom<RawScale> for ColourScale {
    type Error = Error;
    fn try_from(raw: RawScale) -> Result<Self> {
        Self::new(raw.low, raw.high)?.with_white(raw.white)
    }
}

impl From<ColourScale> for RawScale {
    fn from(scale: ColourScale) -> Self {
        Self {
            low: scale.low,
            high: scale.high,
            white: scale.white,
        }
    }
}

impl ColourScale {
    /// A scale from `low` to `high`, both anomaly values in `0..=1`.
    ///
    /// # Errors
    /// [`Error::Setting`] unless `0 <= low < high <= 1`.
    pub fn new(low: f32, high: f32) -> Result<Self> {
        if !(0.0 <= low && low < high && high <= 1.0) {
            return Err(Error::setting(
                "colour scale",
                format!("{low} to {high} found, 0 <= low < high <= 1 expected"),
            ));
        }
        Ok(Self {
            low,
            high,
            white: 1.0,
        })
    }

    /// Sets the pixel value that photographs show as white: below 1 for
    /// cameras that use a part of their range only (12 bits in a 16-bit file).
    ///
    /// # Errors
    /// [`Error::Setting`] unless `0 < white <= 1`.
    pub fn with_white(self, white: f32) -> Result<Self> {
        if !(white > 0.0 && white <= 1.0) {
            return Err(Error::setting(
                "colour scale white",
                format!("{white} found, a number in 0..=1 above 0 expected"),
            ));
        }
        Ok(Self { white, ..self })
    }

    /// The scale for these good training pieces; see [`Calibration`].
    ///
    /// # Errors
    /// [`Error::Data`] if there is no map.
    pub fn calibrate<'a>(good: impl IntoIterator<Item = &'a AnomalyMap>) -> Result<Self> {
        let mut calibration = Calibration::new();
        for map in good {
            calibration.add_map(map);
        }
        calibration.finish()
    }

    /// The anomaly value where colour begins.
    #[must_use]
    pub fn low(&self) -> f32 {
        self.low
    }

    /// The anomaly value from which on the colour is the last one.
    #[must_use]
    pub fn high(&self) -> f32 {
        self.high
    }

    /// The pixel value that photographs show as white.
    #[must_use]
    pub fn white(&self) -> f32 {
        self.white
    }

    /// The region rule of a bundle that has none of its own: from the third of
    /// the ramp on, where [`Calibration`] puts the good peak, with a peak in its
    /// upper half, since a ramp that ends at 1 has the good peak further up.
    #[must_use]
    pub fn regions(&self) -> RegionRule {
        let at = |share: f32| self.low + share * (self.high - self.low);
        let basis = "the middle of the colour scale: the model was trained before regions";
        RegionRule::new(at(1.0 / PEAK_POSITION as f32), at(0.5), Vec::new(), basis)
            .expect("above 0, at most 1")
    }

    /// Where an anomaly value lies on the ramp: 0 at or below `low`, 1 at or
    /// above `high`.
    #[must_use]
    pub fn position(&self, value: f32) -> f32 {
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }
}

/// The ramp's colour at `position` in `0..=1`, as 8-bit sRGB.
#[must_use]
pub fn ramp(position: f32) -> [u8; 3] {
    static TABLE: OnceLock<[[u8; 3]; 256]> = OnceLock::new();
    let table = TABLE.get_or_init(|| std::array::from_fn(|i| ramp_colour(i as f64 / 255.0)));
    table[(position.clamp(0.0, 1.0) * 255.0 + 0.5) as usize]
}

/// Control points in OKLCH, evenly spaced: lightness, chroma, hue in degrees.
const CONTROL: [[f64; 3]; 5] = [
    [0.40, 0.17, 285.0],
    [0.52, 0.22, 325.0],
    [0.65, 0.22, 375.0],
    [0.78, 0.16, 422.0],
    [0.93, 0.18, 465.0],
];

/// Linear between the control points, then to sRGB, clipped to its gamut.
fn ramp_colour(t: f64) -> [u8; 3] {
    let at = t * (CONTROL.len() - 1) as f64;
    let i = (at as usize).min(CONTROL.len() - 2);
    let f = at - i as f64;
    let [l, c, h] = std::array::from_fn(|k| CONTROL[i][k] * (1.0 - f) + CONTROL[i + 1][k] * f);
    let (a, b) = (c * h.to_radians().cos(), c * h.to_radians().sin());
    // OKLab to linear sRGB (Ottosson).
    let l_ = (l + 0.396_337_777_4 * a + 0.215_803_757_3 * b).powi(3);
    let m_ = (l - 0.105_561_345_8 * a - 0.063_854_172_8 * b).powi(3);
    let s_ = (l - 0.089_484_177_5 * a - 1.291_485_548 * b).powi(3);
    [
        4.076_741_662_1 * l_ - 3.307_711_591_3 * m_ + 0.230_969_929_2 * s_,
        -1.268_438_004_6 * l_ + 2.609_757_401_1 * m_ - 0.341_319_396_5 * s_,
        -0.004_196_086_3 * l_ - 0.703_418_614_7 * m_ + 1.707_614_701 * s_,
    ]
    .map(|linear| {
        let v = linear.clamp(0.0, 1.0);
        let encoded = if v <= 0.003_130_8 {
            12.92 * v
        } else {
            1.055 * v.powf(1.0 / 2.4) - 0.055
        };
        (encoded * 255.0).round() as u8
    })
}

/// Gathers the maps of good training pieces into a [`ColourScale`], one at a
/// time and in fixed memory.
///
/// - `low` is the value below which 99% of all good pixels lie;
/// - the good peak is the value below which the brightest pixel of 95% of the
///   good pieces lies, and `high = low + 3 (peak - low)`: what good pieces
///   show at worst stays in the first third of the ramp. `high` is at most 1
///   and at least `low + 0.05`.
/// - the [`RegionRule`] asks for the good peak (at least `low` and a third of the
///   least span) and reaches down to the value below which 99.9% of all good
///   pixels lie; and it knows what differences are usual;
/// - `white` is 1, or the 99.9% quantile of the pixels where that is below 0.5.
#[derive(Debug, Clone)]
pub struct Calibration {
    values: Histogram,
    peaks: Histogram,
    pixels: Histogram,
    differences: UsualDifferences,
}

impl Default for Calibration {
    fn default() -> Self {
        Self::new()
    }
}

impl Calibration {
    /// Nothing gathered yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            values: Histogram::new(),
            peaks: Histogram::new(),
            pixels: Histogram::new(),
            differences: UsualDifferences::default(),
        }
    }

    /// Takes the map of one good piece.
    pub fn add_map(&mut self, map: &AnomalyMap) {
        self.add_map_within(map, None);
    }

    /// Takes the map of one good piece, of pixels `inside` alone, where that is
    /// given at the map's size: the zeros outside say nothing of good pieces.
    pub fn add_map_within(&mut self, map: &AnomalyMap, inside: Option<&ndarray::Array2<bool>>) {
        let mut peak = 0.0f32;
        for (at, &v) in map.values().indexed_iter() {
            if inside.is_none_or(|inside| inside.get(at) == Some(&true)) {
                self.values.add(v);
                peak = peak.max(v);
            }
        }
        self.peaks.add(peak);
    }

    /// Takes the photograph of one piece, for the brightness it is shown at.
    pub fn add_image(&mut self, image: &Image) {
        for &v in image.as_slice() {
            self.pixels.add(v);
        }
    }

    /// Takes what the model saw in one good piece and what it restored of it; of
    /// pixels `inside` alone, where that is given.
    pub fn add_differences(
        &mut self,
        seen: &Image,
        restored: &Image,
        inside: Option<&ndarray::Array2<bool>>,
    ) {
        self.differences.add(seen, restored, inside);
    }

    /// `low` and the good peak.
    fn levels(&self) -> Result<(f64, f64)> {
        let (Some(quiet), Some(peak)) = (
            self.values.quantile(QUIET_SHARE),
            self.peaks.quantile(PEAK_SHARE),
        ) else {
            return Err(Error::data(
                "no anomaly map of a good piece to calibrate the colour scale on",
            ));
        };
        Ok((quiet.min(1.0 - LEAST_SPAN), peak))
    }

    /// What counts as a region of a map.
    ///
    /// # Errors
    /// [`Error::Data`] if no map was added.
    pub fn regions(&self) -> Result<RegionRule> {
        let (low, peak) = self.levels()?;
        let high = peak.clamp(low + LEAST_SPAN / PEAK_POSITION, 1.0);
        let reach = self.values.quantile(REGION_SHARE).unwrap_or(low);
        let basis = format!(
            "the maps of {:.0}% of {} good pieces stay below it everywhere",
            100.0 * PEAK_SHARE,
            self.peaks.total
        );
        let means = self.differences.means();
        RegionRule::new(reach.min(high) as f32, high as f32, means, basis)
    }

    /// The scale.
    ///
    /// # Errors
    /// [`Error::Data`] if no map was added.
    pub fn finish(&self) -> Result<ColourScale> {
        let (low, peak) = self.levels()?;
        let high = (low + PEAK_POSITION * (peak - low)).clamp(low + LEAST_SPAN, 1.0);
        let white = match self.pixels.quantile(0.999) {
            Some(v) if v < 0.5 => v.max(1.0 / 255.0),
            _ => 1.0,
        };
        ColourScale::new(low as f32, high.min(1.0) as f32)?.with_white(white as f32)
    }
}

/// Counts of values in `0..=1`, fine enough for quantiles to 1/65536.
#[derive(Debug, Clone)]
struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

const BINS: usize = 1 << 16;

impl Histogram {
    fn new() -> Self {
        Self {
            counts: vec![0; BINS],
            total: 0,
        }
    }

    fn add(&mut self, value: f32) {
        let bin = (f64::from(value).clamp(0.0, 1.0) * BINS as f64) as usize;
        self.counts[bin.min(BINS - 1)] += 1;
        self.total += 1;
    }

    /// The upper edge of the bin that reaches this share of all values.
    fn quantile(&self, share: f64) -> Option<f64> {
        let wanted = ((share * self.total as f64).ceil() as u64).max(1);
        let mut sum = 0;
        let bin = self.counts.iter().position(|&n| {
            sum += n;
            sum >= wanted
        })?;
        Some((bin + 1) as f64 / BINS as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    fn flat(value: f32, peak: f32) -> AnomalyMap {
        let mut values = Array2::from_elem((32, 32), value);
        values[[3, 4]] = peak;
        AnomalyMap::new(values).unwrap()
    }

    #[test]
    fn low_is_what_good_pixels_stay_below_and_their_peak_a_third_of_the_ramp() {
        let maps = [flat(0.02, 0.2), flat(0.02, 0.2)];
        let scale = ColourScale::calibrate(&maps).unwrap();
        assert!((scale.low() - 0.02).abs() < 1e-4);
        assert!((scale.position(0.2) - 1.0 / 3.0).abs() < 1e-3);
        assert_eq!(scale.position(0.01), 0.0);
        assert_eq!(scale.position(1.0), 1.0);
    }

    #[test]
    fn all_black_and_all_white_maps_still_give_a_scale() {
        for value in [0.0, 1.0] {
            let scale = ColourScale::calibrate(&[flat(value, value)]).unwrap();
            assert!(scale.low() < scale.high() && scale.high() <= 1.0);
        }
    }

    #[test]
    fn no_map_is_an_error() {
        assert!(ColourScale::calibrate([]).is_err());
        assert!(Calibration::new().regions().is_err());
    }

    #[test]
    fn zeros_outside_the_region_of_interest_do_not_lower_the_scale() {
        let inside = Array2::from_shape_fn((32, 32), |(y, _)| y < 8);
        let mut within = Calibration::new();
        let map = AnomalyMap::new(Array2::from_elem((32, 32), 0.3)).unwrap();
        within.add_map_within(&map.within(&inside).unwrap(), Some(&inside));
        assert!((within.finish().unwrap().low() - 0.3).abs() < 1e-4);
    }

    #[test]
    fn regions_begin_where_good_pieces_end() {
        let mut calibration = Calibration::new();
        // 19 of 20 good pieces stay at 0.2.
        for peak in [0.2; 19].into_iter().chain([0.9]) {
            calibration.add_map(&flat(0.02, peak));
        }
        let rule = calibration.regions().unwrap();
        assert!((rule.high() - 0.2).abs() < 1e-4, "{rule:?}");
        // One pixel in a thousand is a peak, the others are flat.
        assert!((rule.low() - 0.02).abs() < 1e-4, "{rule:?}");
        assert!(rule.basis().contains("95% of 20"), "{}", rule.basis());
        let of_scale = calibration.finish().unwrap().regions();
        assert!((of_scale.low() - 0.2).abs() < 1e-3 && of_scale.high() > of_scale.low());
        // Good pieces without any anomaly leave room for noise.
        let mut calm = Calibration::new();
        calm.add_map(&flat(0.0, 0.0));
        assert!(calm.regions().unwrap().high() > 0.016);
    }

    #[test]
    fn a_camera_that_uses_a_tenth_of_its_range_is_shown_brighter() {
        let mut calibration = Calibration::new();
        calibration.add_map(&flat(0.0, 0.1));
        calibration.add_image(&Image::new(ndarray::Array3::from_elem((1, 9, 9), 0.1)).unwrap());
        assert!((calibration.finish().unwrap().white() - 0.1).abs() < 1e-4);
    }

    #[test]
    fn every_step_of_the_ramp_is_lighter_than_the_one_before() {
        let luma = |[r, g, b]: [u8; 3]| {
            0.2126 * f64::from(r) + 0.7152 * f64::from(g) + 0.0722 * f64::from(b)
        };
        let steps: Vec<f64> = (0..=32).map(|i| luma(ramp(i as f32 / 32.0))).collect();
        assert!(steps.windows(2).all(|w| w[1] > w[0]), "{steps:?}");
    }

    #[test]
    fn a_scale_read_from_a_file_is_checked() {
        assert!(serde_json::from_str::<ColourScale>(r#"{"low":0.1,"high":0.6}"#).is_ok());
        assert!(serde_json::from_str::<ColourScale>(r#"{"low":0.6,"high":0.6}"#).is_err());
        assert!(serde_json::from_str::<ColourScale>(r#"{"low":0,"high":1,"white":0}"#).is_err());
    }
}
