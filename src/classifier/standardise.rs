//! Features with mean 0 and deviation 1, as the training rows have them.

use ndarray::{Array2, Axis};

/// The largest standardised value: an absurd one stays finite in f32.
const LARGEST: f64 = 1e6;

/// Mean and deviation of each column.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Standardiser {
    pub(super) mean: Vec<f64>,
    /// `1 / deviation`, or 0 for a constant column, which thus becomes 0.
    pub(super) factor: Vec<f64>,
}

impl Standardiser {
    pub(super) fn fit(x: &Array2<f64>) -> Self {
        let n = x.nrows().max(1) as f64;
        let (mean, factor) = x
            .axis_iter(Axis(1))
            .map(|column| {
                let mean = column.sum() / n;
                let variance = column.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
                let deviation = variance.sqrt();
                // Rounding alone makes a constant column deviate a little.
                let constant = deviation <= 1e-12 * mean.abs() || !deviation.is_normal();
                let factor = if constant { 0.0 } else { 1.0 / deviation };
                (mean, if factor.is_finite() { factor } else { 0.0 })
            })
            .unzip();
        Self { mean, factor }
    }

    /// `[n, n_features]` to the same, in standard layout.
    pub(super) fn apply(&self, x: &Array2<f64>) -> Array2<f64> {
        Array2::from_shape_fn(x.dim(), |(i, j)| {
            ((x[[i, j]] - self.mean[j]) * self.factor[j]).clamp(-LARGEST, LARGEST)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn columns_get_mean_0_and_deviation_1_and_constant_ones_become_0() {
        let s = Standardiser::fit(&array![[1.0, 0.1], [3.0, 0.1], [1.0, 0.1], [3.0, 0.1]]);
        let z = s.apply(&array![[1.0, 0.1], [3.0, 0.1], [4.0, 9.0]]);
        assert_eq!(z, array![[-1.0, 0.0], [1.0, 0.0], [2.0, 0.0]]);
    }

    #[test]
    fn an_absurd_value_stays_finite() {
        let s = Standardiser::fit(&array![[0.0], [1.0]]);
        assert_eq!(s.apply(&array![[1e300]])[[0, 0]], LARGEST);
    }
}
