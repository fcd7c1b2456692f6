//! Classification losses with their gradients, on the few numbers that come
//! out of a network: computed in `f64`, by the book, on the CPU.
//!
//! [`Loss::backward`] hands the gradient on to the network. Formulas and means
//! are PyTorch's (`binary_cross_entropy_with_logits`, `cross_entropy`).

use crate::error::{Error, Result};
use candle_core::Tensor;
use candle_core::backprop::GradStore;

/// A batch's loss.
#[derive(Debug, Clone, PartialEq)]
pub struct Loss {
    /// The mean over the batch, in nats.
    pub value: f64,
    /// Its derivative by each class score, `[n * outputs]`.
    pub gradient: Vec<f64>,
}

impl Loss {
    /// The gradients of everything that `scores` (`[n, outputs]`), whose loss
    /// this is, were computed from.
    ///
    /// # Errors
    /// [`Error::Shape`] if the scores are others; [`Error::NotFinite`] if the
    /// loss is no number: the training has diverged.
    pub fn backward(&self, scores: &Tensor) -> Result<GradStore> {
        if !self.value.is_finite() {
            return Err(Error::NotFinite {
                what: "the loss".into(),
                row: 0,
            });
        }
        if scores.elem_count() != self.gradient.len() {
            return Err(Error::shape(
                "scores",
                scores.elem_count(),
                self.gradient.len(),
            ));
        }
        let gradient: Vec<f32> = self.gradient.iter().map(|g| *g as f32).collect();
        let gradient = Tensor::from_vec(gradient, scores.shape(), scores.device())?;
        // d(sum s g)/ds = g, with g held fixed.
        Ok((scores * gradient)?.sum_all()?.backward()?)
    }
}

/// `log(1 + exp(x))` without overflow.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// 1 / (1 + exp(-x)).
#[must_use]
pub fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 {
        1.0 / (1.0 + (-x).exp())
    } else {
        let e = x.exp();
        e / (1.0 + e)
    }
}

/// Probabilities from class scores.
#[must_use]
pub fn softmax(scores: &[f64]) -> Vec<f64> {
    let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = scores.iter().map(|s| (s - top).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|p| p / sum).collect()
}

/// Binary cross-entropy of one score a sample:
/// `-mean( w y log s(x) + (1 - y) log(1 - s(x)) )`, s the logistic function and
/// w the weight of the positive samples.
///
/// # Errors
/// [`Error::Shape`] if the lengths differ or are 0.
pub fn binary_cross_entropy(scores: &[f64], positive: &[bool], weight: f64) -> Result<Loss> {
    if scores.len() != positive.len() || scores.is_empty() {
        return Err(Error::shape("scores", scores.len(), positive.len()));
    }
    let n = scores.len() as f64;
    let mut value = 0.0;
    let gradient = scores
        .iter()
        .zip(positive)
        .map(|(&x, &y)| {
            if y {
                value += weight * softplus(-x);
                weight * (sigmoid(x) - 1.0) / n
            } else {
                value += softplus(x);
                sigmoid(x) / n
            }
        })
        .collect();
    Ok(Loss {
        value: value / n,
        gradient,
    })
}

/// Cross-entropy of `classes` scores a sample: `-sum w_y log softmax(x)_y /
/// sum w_y` over the samples, y their classes.
///
/// - `scores`: `[n * weights.len()]`, sample by sample
/// - `weights`: one for each class; all 1 for none
///
/// # Errors
/// [`Error::Shape`] if the lengths differ or are 0, or a class is out of range.
pub fn cross_entropy(scores: &[f64], class: &[usize], weights: &[f64]) -> Result<Loss> {
    let k = weights.len();
    if scores.len() != class.len() * k || scores.is_empty() {
        return Err(Error::shape("scores", scores.len(), class.len() * k));
    }
    if let Some(&other) = class.iter().find(|c| **c >= k) {
        return Err(Error::shape("class", other, format!("below {k}")));
    }
    let total: f64 = class.iter().map(|&c| weights[c]).sum();
    let mut value = 0.0;
    let mut gradient = Vec::with_capacity(scores.len());
    for (row, &c) in scores.chunks_exact(k).zip(class) {
        let p = softmax(row);
        let top = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let log_sum = top + row.iter().map(|s| (s - top).exp()).sum::<f64>().ln();
        value += weights[c] * (log_sum - row[c]);
        gradient.extend(p.iter().enumerate().map(|(i, p)| {
            let target = if i == c { 1.0 } else { 0.0 };
            weights[c] * (p - target) / total
        }));
    }
    Ok(Loss {
        value: value / total,
        gradient,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Reference {
        loss: Losses,
    }

    #[derive(Deserialize)]
    struct Losses {
        scores: Vec<f64>,
        positive: Vec<bool>,
        pos_weight: f64,
        binary: Case,
        class: Vec<usize>,
        class_weights: Vec<f64>,
        multi: Case,
    }

    #[derive(Deserialize)]
    struct Case {
        value: f64,
        gradient: Vec<f64>,
    }

    fn close(found: &Loss, expected: &Case) {
        assert!((found.value - expected.value).abs() < 1e-12);
        for (a, b) in found.gradient.iter().zip(&expected.gradient) {
            assert!((a - b).abs() < 1e-12, "{a} {b}");
        }
        assert_eq!(found.gradient.len(), expected.gradient.len());
    }

    #[test]
    fn losses_and_gradients_are_pytorch_s() {
        let json = include_str!("../../tests/reference/baseline.json");
        let r: Reference = serde_json::from_str(json).unwrap();
        let r = r.loss;
        let found = binary_cross_entropy(&r.scores, &r.positive, r.pos_weight).unwrap();
        close(&found, &r.binary);
        let found = cross_entropy(&r.scores, &r.class, &r.class_weights).unwrap();
        close(&found, &r.multi);
    }

    #[test]
    fn huge_scores_do_not_overflow() {
        let sure = binary_cross_entropy(&[1000.0, -1000.0], &[true, false], 3.0).unwrap();
        assert_eq!(sure.value, 0.0);
        let wrong = cross_entropy(&[0.0, 1000.0], &[0], &[1.0, 1.0]).unwrap();
        assert!((wrong.value - 1000.0).abs() < 1e-9);
    }

    #[test]
    fn a_class_that_is_none_is_refused() {
        assert!(cross_entropy(&[0.0, 1.0], &[2], &[1.0, 1.0]).is_err());
        assert!(binary_cross_entropy(&[], &[], 1.0).is_err());
    }
}
