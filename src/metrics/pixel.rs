//! How well anomaly maps find the pixels of defects: pixel ROC AUC, pixel AP
//! and AUPRO, over all pixels of all maps together.

use crate::error::{Error, Result};
use image::{GrayImage, Luma};
use imageproc::region_labelling::{Connectivity, connected_components};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// The three measures of a set of maps.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PixelMetrics {
    /// Pixel ROC AUC, ties half.
    pub roc_auc: f64,
    /// Pixel average precision.
    pub average_precision: f64,
    /// Area under the per-region-overlap curve up to a false-positive rate of
    /// [`AUPRO_LIMIT`], divided by it.
    pub aupro: f64,
}

/// The false-positive rate up to which AUPRO is integrated.
pub const AUPRO_LIMIT: f64 = 0.3;

/// Gathers the pixels of one map after another.
///
/// Exact: no histogram, no subsampling. Takes 4 bytes for a good pixel and 8
/// for a defective one, so 1,400 maps of 128 x 128 take 92 MB.
///
/// ```
/// let mut pixels = goma::metrics::PixelScores::default();
/// pixels.push(2, 2, &[0.9, 0.1, 0.2, 0.3], Some(&[true, false, false, false]))?;
/// pixels.push(1, 2, &[0.1, 0.0], None)?; // a good piece has no mask
/// assert_eq!(pixels.finish()?.roc_auc, 1.0);
/// # Ok::<(), goma::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct PixelScores {
    /// Sort keys of the good pixels.
    good: Vec<u32>,
    /// Sort key of a defective pixel, then its region's index.
    defect: Vec<u64>,
    /// Pixels of each region.
    region_sizes: Vec<u32>,
}

impl PixelScores {
    /// Adds one map, row by row, and the mask of its defects.
    ///
    /// A region is a set of defective pixels joined by sides or corners, within
    /// one map, as in the evaluation code of MVTec AD.
    ///
    /// # Errors
    /// [`Error::Shape`] if a length is not `height · width`,
    /// [`Error::NotFinite`] with the first such pixel.
    pub fn push(
        &mut self,
        height: usize,
        width: usize,
        scores: &[f32],
        mask: Option<&[bool]>,
    ) -> Result<()> {
        self.push_within(height, width, scores, mask, None)
    }

    /// As [`PixelScores::push`], of the pixels `inside` a region of interest
    /// alone: what lies outside is neither good nor defective, and a defect that
    /// reaches out counts as far as it is inside.
    ///
    /// # Errors
    /// As [`PixelScores::push`].
    pub fn push_within(
        &mut self,
        height: usize,
        width: usize,
        scores: &[f32],
        mask: Option<&[bool]>,
        inside: Option<&[bool]>,
    ) -> Result<()> {
        if scores.len() != height * width {
            return Err(Error::shape("pixel scores", scores.len(), height * width));
        }
        if let Some(inside) = inside.filter(|i| i.len() != scores.len()) {
            return Err(Error::shape(
                "region of interest",
                inside.len(),
                scores.len(),
            ));
        }
        let counts = |i: usize| inside.is_none_or(|inside| inside[i]);
        if let Some(row) = scores.iter().position(|s| !s.is_finite()) {
            return Err(Error::NotFinite {
                what: "pixel scores".into(),
                row,
            });
        }
        let Some(mask) = mask else {
            let counted = scores.iter().enumerate().filter(|(i, _)| counts(*i));
            self.good.extend(counted.map(|(_, &s)| key(s)));
            return Ok(());
        };
        if mask.len() != scores.len() {
            return Err(Error::shape("mask", mask.len(), scores.len()));
        }
        let picture = GrayImage::from_raw(
            width as u32,
            height as u32,
            (0..mask.len())
                .map(|i| u8::from(mask[i] && counts(i)))
                .collect(),
        )
        .expect("length was checked");
        // 0 is the background; regions are numbered from 1.
        let regions = connected_components(&picture, Connectivity::Eight, Luma([0u8]));
        let first = self.region_sizes.len() as u32;
        for (i, (&score, region)) in scores.iter().zip(regions.iter()).enumerate() {
            if !counts(i) {
                continue;
            }
            if *region == 0 {
                self.good.push(key(score));
                continue;
            }
            let region = first + region - 1;
            if self.region_sizes.len() <= region as usize {
                self.region_sizes.resize(region as usize + 1, 0);
            }
            self.region_sizes[region as usize] += 1;
            self.defect
                .push(u64::from(key(score)) << 32 | u64::from(region));
        }
        Ok(())
    }

    /// Pixels gathered so far, good and defective.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        (self.good.len(), self.defect.len())
    }

    /// Sorts the pixels once and reads off all three measures.
    ///
    /// AUPRO (Bergmann et al., IJCV 2021): at each threshold the share of each
    /// region that lies above it, averaged over regions, against the share of
    /// all good pixels that do; trapezoids up to the limit, where the curve is
    /// interpolated; divided by the limit.
    ///
    /// # Errors
    /// [`Error::Data`] without good or without defective pixels.
    pub fn finish(mut self) -> Result<PixelMetrics> {
        if self.good.is_empty() || self.defect.is_empty() {
            return Err(Error::data(format!(
                "pixel metrics need good and defective pixels: {} and {} found",
                self.good.len(),
                self.defect.len()
            )));
        }
        self.good.par_sort_unstable();
        self.defect.par_sort_unstable();
        let n_good = self.good.len() as f64;
        let n_defect = self.defect.len() as f64;
        let weights: Vec<f64> = self
            .region_sizes
            .iter()
            .map(|&size| 1.0 / (f64::from(size) * self.region_sizes.len() as f64))
            .collect();

        let mut roc = 0u128; // twice the area, in pairs of pixels
        let mut precision_sum = 0.0;
        let mut pro_area = 0.0;
        let (mut tp, mut fp) = (0usize, 0usize);
        let (mut pro, mut fpr) = (0.0, 0.0);
        let mut good = self.good.iter().rev().copied().peekable();
        let mut defect = self.defect.iter().rev().copied().peekable();
        // From the highest score down; pixels of equal score fall together.
        while let Some(threshold) = good
            .peek()
            .copied()
            .max(defect.peek().map(|&d| (d >> 32) as u32))
        {
            let (tp_before, fp_before, pro_before, fpr_before) = (tp, fp, pro, fpr);
            while good.next_if(|&g| g == threshold).is_some() {
                fp += 1;
            }
            while let Some(d) = defect.next_if(|&d| (d >> 32) as u32 == threshold) {
                tp += 1;
                pro += weights[(d & u64::from(u32::MAX)) as usize];
            }
            fpr = fp as f64 / n_good;
            roc += (fp - fp_before) as u128 * (tp + tp_before) as u128;
            precision_sum += (tp - tp_before) as f64 * tp as f64 / (tp + fp) as f64;
            if fpr_before < AUPRO_LIMIT && fpr > fpr_before {
                let end = fpr.min(AUPRO_LIMIT);
                let share = (end - fpr_before) / (fpr - fpr_before);
                let pro_end = pro_before + share * (pro - pro_before);
                pro_area += (end - fpr_before) * (pro_before + pro_end) / 2.0;
            }
        }
        Ok(PixelMetrics {
            roc_auc: roc as f64 / (2.0 * n_good * n_defect),
            average_precision: precision_sum / n_defect,
            aupro: pro_area / AUPRO_LIMIT,
        })
    }
}

/// Whole numbers in the order of the (finite) scores; 0.0 and -0.0 are equal.
fn key(score: f32) -> u32 {
    let bits = (score + 0.0).to_bits();
    if bits >> 31 == 1 {
        !bits
    } else {
        bits | 1 << 31
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_keep_the_order_of_the_scores() {
        let scores = [-2.0f32, -1.0, -1e-30, 0.0, 1e-30, 0.5, 1.0, 3e30];
        assert!(scores.windows(2).all(|w| key(w[0]) < key(w[1])));
        assert_eq!(key(0.0), key(-0.0));
    }

    #[test]
    fn a_small_region_counts_as_much_as_a_large_one() {
        // A region of one pixel missed, one of three found: PRO is 1/2 until
        // the last good pixel is reached.
        let mut pixels = PixelScores::default();
        let mask = [true, true, true, false, true, false];
        pixels
            .push(1, 6, &[0.9, 0.9, 0.9, 0.5, 0.0, 0.4], Some(&mask))
            .unwrap();
        let m = pixels.finish().unwrap();
        assert!((m.aupro - 0.5).abs() < 1e-12, "{m:?}");
        assert!((m.roc_auc - 0.75).abs() < 1e-12, "{m:?}");
    }

    #[test]
    fn what_lies_outside_the_region_of_interest_does_not_count() {
        let inside = [true, true, true, true, false, false];
        let mask = [true, false, false, false, false, true];
        let mut within = PixelScores::default();
        // Outside: a missed defect, and the highest score of a good pixel.
        within
            .push_within(
                1,
                6,
                &[0.9, 0.2, 0.1, 0.3, 1.0, 0.0],
                Some(&mask),
                Some(&inside),
            )
            .unwrap();
        within
            .push_within(1, 6, &[0.1, 0.1, 0.1, 0.1, 1.0, 1.0], None, Some(&inside))
            .unwrap();
        assert_eq!(within.counts(), (7, 1));
        let m = within.finish().unwrap();
        assert_eq!((m.roc_auc, m.average_precision, m.aupro), (1.0, 1.0, 1.0));
    }

    #[test]
    fn maps_without_a_defect_have_no_measure() {
        let mut pixels = PixelScores::default();
        pixels.push(1, 2, &[0.1, 0.2], None).unwrap();
        assert!(pixels.finish().is_err());
    }

    /// AUPRO as its definition reads: every threshold, every region, counted anew.
    fn slow_aupro(scores: &[f32], mask: &[bool], width: usize) -> f64 {
        let height = scores.len() / width;
        let mut region = vec![usize::MAX; scores.len()];
        let mut n_regions = 0;
        for start in 0..scores.len() {
            if !mask[start] || region[start] != usize::MAX {
                continue;
            }
            let mut stack = vec![start];
            while let Some(p) = stack.pop() {
                if !mask[p] || region[p] != usize::MAX {
                    continue;
                }
                region[p] = n_regions;
                let (y, x) = (p / width, p % width);
                for ny in y.saturating_sub(1)..(y + 2).min(height) {
                    for nx in x.saturating_sub(1)..(x + 2).min(width) {
                        stack.push(ny * width + nx);
                    }
                }
            }
            n_regions += 1;
        }
        let mut thresholds = scores.to_vec();
        thresholds.sort_by(|a, b| b.total_cmp(a));
        thresholds.dedup();
        let mut curve = vec![(0.0, 0.0)];
        for t in thresholds {
            let above = |p: &usize| scores[*p] >= t;
            let good: Vec<usize> = (0..scores.len()).filter(|&p| !mask[p]).collect();
            let fpr = good.iter().filter(|p| above(p)).count() as f64 / good.len() as f64;
            let pro = (0..n_regions)
                .map(|r| {
                    let all: Vec<usize> = (0..scores.len()).filter(|&p| region[p] == r).collect();
                    all.iter().filter(|p| above(p)).count() as f64 / all.len() as f64
                })
                .sum::<f64>()
                / n_regions as f64;
            curve.push((fpr, pro));
        }
        let mut area = 0.0;
        for w in curve.windows(2) {
            let ((x0, y0), (x1, y1)) = (w[0], w[1]);
            if x0 >= 0.3 || x1 == x0 {
                continue;
            }
            let x = x1.min(0.3);
            let y = y0 + (y1 - y0) * (x - x0) / (x1 - x0);
            area += (x - x0) * (y0 + y) / 2.0;
        }
        area / 0.3
    }

    proptest! {
        #[test]
        fn one_sort_finds_what_the_definition_finds(
            pixels in proptest::collection::vec((0u8..12, proptest::bool::weighted(0.3)), 35)
        ) {
            let scores: Vec<f32> = pixels.iter().map(|p| f32::from(p.0) / 12.0).collect();
            let mask: Vec<bool> = pixels.iter().map(|p| p.1).collect();
            prop_assume!(mask.iter().any(|&m| m) && !mask.iter().all(|&m| m));
            let mut fast = PixelScores::default();
            fast.push(5, 7, &scores, Some(&mask)).unwrap();
            let fast = fast.finish().unwrap();
            prop_assert!((fast.aupro - slow_aupro(&scores, &mask, 7)).abs() < 1e-12);
            let wide: Vec<f64> = scores.iter().map(|&s| f64::from(s)).collect();
            prop_assert!((fast.roc_auc - crate::metrics::roc_auc(&wide, &mask).unwrap()).abs() < 1e-12);
            let ap = crate::metrics::average_precision(&wide, &mask).unwrap();
            prop_assert!((fast.average_precision - ap).abs() < 1e-12);
        }
    }
}
