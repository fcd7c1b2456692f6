//! Logistic regression by smartcore (L-BFGS with an L2 penalty), its
//! probabilities computed here from the coefficients.
//!
//! # Departures
//! smartcore takes no weights, so [`super::Balance::WeightedLoss`] repeats the
//! rows of smaller classes a whole number of times; the penalty grows with the
//! number of rows, so its share stays the same.

use super::Problem;
use super::stored::{Found, Parts};
use crate::error::{Error, Result};
use ndarray::Axis;
use serde::{Deserialize, Serialize};
use smartcore::linalg::basic::arrays::Array;
use smartcore::linalg::basic::matrix::DenseMatrix;
use smartcore::linear::logistic_regression::{LogisticRegression, LogisticRegressionParameters};

/// Settings of logistic regression.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogisticOptions {
    /// Strength of the penalty `½ · penalty · ‖w‖²`, scikit-learn's `1 / C`.
    pub penalty: f64,
}

impl Default for LogisticOptions {
    fn default() -> Self {
        Self { penalty: 1.0 }
    }
}

/// `softmax(W x + b)`; of two classes `sigmoid(w x + b)` for the second.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Logistic {
    n_classes: usize,
    /// One row of `n_features` for each class, or a single one for two.
    weight: Vec<Vec<f64>>,
    bias: Vec<f64>,
}

impl LogisticOptions {
    pub(super) fn fit(&self, problem: &Problem) -> Result<Logistic> {
        // Without a penalty, separable classes drive the weights to infinity.
        if !(self.penalty > 0.0 && self.penalty.is_finite()) {
            return Err(Error::setting(
                "logistic.penalty",
                format!("{} given, above 0 expected", self.penalty),
            ));
        }
        problem.check_stop()?;
        let seed = problem.seed.derive("logistic", 0);
        let rows = problem
            .balance
            .repeated_rows(problem.y, problem.n_classes, seed);
        let y: Vec<u32> = rows.iter().map(|&i| problem.y[i] as u32).collect();
        let x = problem.x.select(Axis(0), &rows);
        let (n, p) = x.dim();
        let failed = |e: smartcore::error::Failed| Error::data(format!("logistic regression: {e}"));
        let x = DenseMatrix::new(n, p, x.iter().copied().collect(), false).map_err(failed)?;
        let parameters = LogisticRegressionParameters::default()
            .with_alpha(self.penalty * n as f64 / problem.y.len() as f64);
        let fitted = LogisticRegression::fit(&x, &y, parameters).map_err(failed)?;
        let (w, b) = (fitted.coefficients(), fitted.intercept());
        let n_rows = w.shape().0;
        let logistic = Logistic {
            n_classes: problem.n_classes,
            weight: (0..n_rows)
                .map(|c| (0..p).map(|j| *w.get((c, j))).collect())
                .collect(),
            bias: (0..n_rows).map(|c| *b.get((c, 0))).collect(),
        };
        if logistic
            .weight
            .iter()
            .flatten()
            .chain(&logistic.bias)
            .any(|v| !v.is_finite())
        {
            return Err(Error::data("logistic regression did not converge"));
        }
        Ok(logistic)
    }
}

impl Logistic {
    pub(super) fn probabilities(&self, x: &[f64]) -> Vec<f64> {
        let mut z: Vec<f64> = self
            .weight
            .iter()
            .zip(&self.bias)
            .map(|(w, b)| w.iter().zip(x).map(|(w, x)| w * x).sum::<f64>() + b)
            .collect();
        if self.n_classes == 2 {
            z.insert(0, 0.0);
        }
        softmax(&z)
    }

    pub(super) fn store(&self, parts: &mut Parts) -> Result<()> {
        let shape = [self.weight.len(), self.weight.first().map_or(0, Vec::len)];
        parts.put("logistic.weight", &shape, self.weight.concat())?;
        parts.put("logistic.bias", &[self.bias.len()], self.bias.clone())
    }

    pub(super) fn load(found: &Found, n_columns: usize, n_classes: usize) -> Result<Self> {
        let rows = if n_classes == 2 { 1 } else { n_classes };
        let weight: Vec<f64> = found.finite("logistic.weight", &[rows, n_columns])?;
        Ok(Self {
            n_classes,
            weight: weight
                .chunks(n_columns.max(1))
                .map(<[f64]>::to_vec)
                .collect(),
            bias: found.finite("logistic.bias", &[rows])?,
        })
    }
}

/// `exp(z) / Σ exp(z)`, shifted by the maximum so that nothing overflows.
pub(super) fn softmax(z: &[f64]) -> Vec<f64> {
    let top = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let e: Vec<f64> = z.iter().map(|z| (z - top).exp()).collect();
    let sum: f64 = e.iter().sum();
    e.iter().map(|e| e / sum).collect()
}
