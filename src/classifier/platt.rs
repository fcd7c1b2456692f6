//! Platt's sigmoid: from a machine's decision value to a probability.

use serde::{Deserialize, Serialize};

/// `p = 1 / (1 + exp(a f + b))` for the decision value f.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Sigmoid {
    pub(super) a: f64,
    pub(super) b: f64,
}

impl Sigmoid {
    pub(super) fn probability(self, f: f64) -> f64 {
        let z = self.a * f + self.b;
        // Either form is exact where the other would overflow.
        if z >= 0.0 {
            (-z).exp() / (1.0 + (-z).exp())
        } else {
            1.0 / (1.0 + z.exp())
        }
    }

    /// Fits the sigmoid by Newton's method with backtracking.
    ///
    /// Targets are `(N₊ + 1)/(N₊ + 2)` and `1/(N₋ + 2)` rather than 1 and 0, so
    /// separable values do not drive the slope to infinity. Ends after at most
    /// 100 steps with the best found.
    ///
    /// # References
    /// H.-T. Lin, C.-J. Lin, R. C. Weng: A note on Platt's probabilistic outputs
    /// for support vector machines, Machine Learning 68, 2007 (algorithm 1).
    pub(super) fn fit(f: &[f64], positive: &[bool]) -> Self {
        let n_positive = positive.iter().filter(|&&p| p).count() as f64;
        let n_negative = positive.len() as f64 - n_positive;
        let high = (n_positive + 1.0) / (n_positive + 2.0);
        let low = 1.0 / (n_negative + 2.0);
        let target = |i: usize| if positive[i] { high } else { low };
        // −Σ t ln p + (1 − t) ln(1 − p), in a form that does not overflow.
        let loss = |s: Sigmoid| -> f64 {
            (0..f.len())
                .map(|i| {
                    let z = s.a * f[i] + s.b;
                    if z >= 0.0 {
                        target(i) * z + (-z).exp().ln_1p()
                    } else {
                        (target(i) - 1.0) * z + z.exp().ln_1p()
                    }
                })
                .sum()
        };
        let mut s = Sigmoid {
            a: 0.0,
            b: ((n_negative + 1.0) / (n_positive + 1.0)).ln(),
        };
        let mut value = loss(s);
        for _ in 0..100 {
            // The Hessian's diagonal is raised a little, so it stays regular.
            let (mut h11, mut h22, mut h21) = (1e-12, 1e-12, 0.0);
            let (mut g1, mut g2) = (0.0, 0.0);
            for (i, &f) in f.iter().enumerate() {
                let p = s.probability(f);
                let (d1, d2) = (target(i) - p, p * (1.0 - p));
                h11 += f * f * d2;
                h22 += d2;
                h21 += f * d2;
                g1 += f * d1;
                g2 += d1;
            }
            if g1.abs() < 1e-5 && g2.abs() < 1e-5 {
                break;
            }
            let determinant = h11 * h22 - h21 * h21;
            let da = -(h22 * g1 - h21 * g2) / determinant;
            let db = -(h11 * g2 - h21 * g1) / determinant;
            let slope = g1 * da + g2 * db;
            let mut step = 1.0;
            let better = loop {
                let next = Sigmoid {
                    a: s.a + step * da,
                    b: s.b + step * db,
                };
                let next_value = loss(next);
                if next_value < value + 1e-4 * step * slope {
                    break Some((next, next_value));
                }
                step /= 2.0;
                if step < 1e-10 {
                    break None;
                }
            };
            match better {
                Some((next, next_value)) => (s, value) = (next, next_value),
                None => break,
            }
        }
        s
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_say_nothing_give_the_share_of_the_class() {
        let s = Sigmoid::fit(
            &[0.0; 8],
            &[true, true, false, false, false, false, false, false],
        );
        // (2 · 3/4 + 6 · 1/8) / 8
        assert!((s.probability(0.0) - 0.28125).abs() < 1e-6);
    }

    #[test]
    fn separable_values_keep_a_finite_slope() {
        let s = Sigmoid::fit(&[-2.0, -1.0, 1.0, 2.0], &[false, false, true, true]);
        assert!(s.a.is_finite() && s.a < 0.0, "{s:?}");
        // By symmetry b = 0; the fitted probabilities average to the targets.
        assert!((s.probability(0.0) - 0.5).abs() < 1e-6);
        assert!((s.probability(1.0) + s.probability(2.0) - 1.5).abs() < 0.1);
    }

    #[test]
    fn extreme_values_are_probabilities() {
        let s = Sigmoid { a: -1e3, b: 0.0 };
        assert_eq!((s.probability(1e3), s.probability(-1e3)), (1.0, 0.0));
    }
}
