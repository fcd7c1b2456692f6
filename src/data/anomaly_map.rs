//! `AnomalyMap`: how defective each pixel looks, and the image score.

use crate::data::image::{first_not_finite, resize_plane};
use crate::error::{Error, Result};
use fast_image_resize::Resizer;
use ndarray::Array2;

/// `[height, width]`, the probability of a defect for each pixel, in `0..=1`.
#[derive(Debug, Clone, PartialEq)]
pub struct AnomalyMap {
    values: Array2<f32>,
    /// Side of the image score's window.
    window: usize,
}

impl AnomalyMap {
    /// Takes the probabilities `[height, width]`.
    ///
    /// # Errors
    /// [`Error::Shape`] if empty, [`Error::NotFinite`] if a value is no number.
    pub fn new(values: Array2<f32>) -> Result<Self> {
        if values.is_empty() {
            return Err(Error::shape("anomaly map", values.dim(), "at least 1 x 1"));
        }
        let values = if values.is_standard_layout() {
            values
        } else {
            values.as_standard_layout().into_owned()
        };
        if let Some(row) = first_not_finite(values.as_slice().expect("in standard layout")) {
            return Err(Error::NotFinite {
                what: "anomaly map".into(),
                row,
            });
        }
        Ok(Self {
            window: score_window(values.nrows()),
            values,
        })
    }

    /// The probabilities, `[height, width]`.
    #[must_use]
    pub fn values(&self) -> &Array2<f32> {
        &self.values
    }

    /// The map with the image score's window of a model of `size` x `size`: for
    /// maps blended from tiles, on which a defect is as large as on one tile.
    #[must_use]
    pub fn with_window_of(self, size: usize) -> Self {
        Self {
            window: score_window(size),
            ..self
        }
    }

    /// The map with 0 outside a region of interest of the same size.
    ///
    /// # Errors
    /// [`Error::Shape`] if the sizes differ.
    pub fn within(mut self, inside: &Array2<bool>) -> Result<Self> {
        if inside.dim() != self.values.dim() {
            return Err(Error::shape(
                "region of interest",
                inside.dim(),
                self.values.dim(),
            ));
        }
        ndarray::Zip::from(&mut self.values)
            .and(inside)
            .for_each(|value, &inside| {
                if !inside {
                    *value = 0.0;
                }
            });
        Ok(self)
    }

    /// The map at another size, as [`Image::resize`](crate::data::image::Image::resize) does it.
    ///
    /// # Errors
    /// [`Error::Shape`] if a side is zero.
    pub fn resize(&self, height: usize, width: usize) -> Result<Self> {
        let from = self.values.dim();
        if (height, width) == from {
            return Ok(self.clone());
        }
        if height == 0 || width == 0 {
            let found = (height, width);
            return Err(Error::shape("resized anomaly map", found, "at least 1 x 1"));
        }
        let mut values = Array2::zeros((height, width));
        resize_plane(
            &mut Resizer::new(),
            self.values.as_slice().expect("kept in standard layout"),
            from,
            values.as_slice_mut().expect("freshly made"),
            (height, width),
        );
        Ok(Self {
            values,
            window: score_window(height),
        })
    }

    /// The maximum of the map after a square mean filter.
    ///
    /// The window is 21 x 21 at 256 x 256 and scales with the height (with the
    /// model's size, where tiles were blended), kept odd; pixels outside count as zero and the divisor stays the full window, as
    /// `avg_pool2d(map, 21, stride=1, padding=10)` of the original code does.
    #[must_use]
    pub fn image_score(&self) -> f64 {
        mean_filter(&self.values, self.window)
            .iter()
            .fold(0.0f64, |top, &v| top.max(v))
    }
}

/// Side of the image score's window for a map of this height: 21 at 256.
#[must_use]
pub fn score_window(height: usize) -> usize {
    let side = (21.0 * height as f64 / 256.0).round() as usize;
    (side.max(1)) | 1
}

/// Mean over a centred `window` x `window` square, zeros outside.
fn mean_filter(values: &Array2<f32>, window: usize) -> Array2<f64> {
    let (h, w) = values.dim();
    let r = window / 2;
    // Summed-area table, one row and column larger than the map.
    let mut sum = vec![0.0f64; (h + 1) * (w + 1)];
    for (y, values) in values.outer_iter().enumerate() {
        let (above, here) = sum[y * (w + 1)..][..2 * (w + 1)].split_at_mut(w + 1);
        let mut row = 0.0;
        for ((value, above), here) in values.iter().zip(&above[1..]).zip(&mut here[1..]) {
            row += f64::from(*value);
            *here = above + row;
        }
    }
    let area = (window * window) as f64;
    Array2::from_shape_fn((h, w), |(y, x)| {
        let row = |y: usize| &sum[y * (w + 1)..][..w + 1];
        let (top, low) = (row(y.saturating_sub(r)), row((y + r + 1).min(h)));
        let (x0, x1) = (x.saturating_sub(r), (x + r + 1).min(w));
        (low[x1] - top[x1] - low[x0] + top[x0]) / area
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_is_21_at_256_and_stays_odd() {
        assert_eq!(score_window(256), 21);
        assert_eq!(score_window(128), 11);
        assert_eq!(score_window(1), 1);
    }

    #[test]
    fn a_map_blended_from_tiles_keeps_the_window_of_one() {
        let mut values = Array2::zeros((512, 512));
        values[[100, 40]] = 0.882;
        let map = AnomalyMap::new(values).unwrap().with_window_of(256);
        assert!((map.image_score() - 0.882 / 441.0).abs() < 1e-7);
    }

    #[test]
    fn outside_the_region_of_interest_the_map_is_zero() {
        let inside = Array2::from_shape_fn((4, 4), |(_, x)| x < 2);
        let map = AnomalyMap::new(Array2::ones((4, 4))).unwrap();
        assert_eq!(map.clone().within(&inside).unwrap().values().sum(), 8.0);
        assert!(map.within(&Array2::from_elem((2, 2), true)).is_err());
    }

    #[test]
    fn one_bright_pixel_scores_its_share_of_the_window() {
        let mut values = Array2::zeros((256, 256));
        values[[100, 40]] = 0.882;
        let score = AnomalyMap::new(values).unwrap().image_score();
        assert!((score - 0.882 / 441.0).abs() < 1e-7, "{score}");
    }

    #[test]
    fn the_border_counts_zeros_outside() {
        let map = AnomalyMap::new(Array2::ones((12, 12))).unwrap(); // window 1
        assert!((map.image_score() - 1.0).abs() < 1e-12);
        let filtered = mean_filter(&Array2::ones((12, 12)), 3);
        assert!((filtered[[0, 0]] - 4.0 / 9.0).abs() < 1e-12);
        assert!((filtered[[0, 5]] - 6.0 / 9.0).abs() < 1e-12);
    }
}
