//! McNemar's test: whether two classifiers differ on the same pieces.
//!
//! Only the pieces that one judges rightly and the other wrongly say anything.

use crate::error::{Error, Result};
use serde::Serialize;
use statrs::distribution::{Binomial, ChiSquared, ContinuousCDF, DiscreteCDF};

/// From this many discordant pieces on the chi-squared approximation is used
/// (below it is poor; the exact test has no upper bound but that of patience).
const EXACT_BELOW: u64 = 1000;

/// The test's result.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct McNemar {
    /// Pieces that the first alone judges rightly.
    pub first_only: u64,
    /// Pieces that the second alone judges rightly.
    pub second_only: u64,
    /// Two-sided probability of so uneven a division, or a more uneven one,
    /// were both equally good.
    pub p_value: f64,
    /// Whether it is the exact binomial one.
    pub exact: bool,
}

/// Tests whether two classifiers are right equally often.
///
/// With n discordant pieces and k the smaller part, exactly `p = min(1, 2 P(X
/// <= k))`, X binomial with n and 1/2; from 1000 discordant pieces on by
/// `(|b - c| - 1)^2 / (b + c)`, chi-squared with one degree of freedom (with
/// Edwards' correction). Without a discordant piece p is 1.
///
/// - `first`, `second`: `[n]`, whether each judges a piece rightly
///
/// # Errors
/// [`Error::Shape`] if the lengths differ.
///
/// # References
/// Q. McNemar, Psychometrika 12, 1947; A. L. Edwards, Psychometrika 13, 1948.
///
/// ```
/// use goma::metrics::mcnemar::mcnemar;
///
/// let first = [true, true, true, true, true, false];
/// let second = [false, false, false, false, true, true];
/// let test = mcnemar(&first, &second)?;
/// assert_eq!((test.first_only, test.second_only), (4, 1));
/// assert!((test.p_value - 0.375).abs() < 1e-12); // 2 (1 + 5) / 32
/// # Ok::<(), goma::Error>(())
/// ```
pub fn mcnemar(first: &[bool], second: &[bool]) -> Result<McNemar> {
    if first.len() != second.len() {
        return Err(Error::shape(
            "second classifier's pieces",
            second.len(),
            first.len(),
        ));
    }
    let alone =
        |a: &[bool], b: &[bool]| a.iter().zip(b).filter(|(a, b)| **a && !**b).count() as u64;
    let (b, c) = (alone(first, second), alone(second, first));
    let exact = b + c < EXACT_BELOW;
    Ok(McNemar {
        first_only: b,
        second_only: c,
        p_value: if exact {
            binomial(b, c)
        } else {
            chi_squared(b, c)
        },
        exact,
    })
}

fn binomial(b: u64, c: u64) -> f64 {
    match Binomial::new(0.5, b + c) {
        Ok(x) if b + c > 0 => (2.0 * x.cdf(b.min(c))).min(1.0),
        _ => 1.0,
    }
}

fn chi_squared(b: u64, c: u64) -> f64 {
    let (difference, sum) = (b.abs_diff(c) as f64, (b + c) as f64);
    let statistic = (difference - 1.0).max(0.0).powi(2) / sum;
    ChiSquared::new(1.0).map_or(f64::NAN, |x| x.sf(statistic))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Case {
        b: u64,
        c: u64,
        exact: f64,
        chi_squared: f64,
    }

    #[test]
    fn p_values_are_scipy_s() {
        let json = include_str!("../../tests/reference/mcnemar.json");
        let cases: Vec<Case> = serde_json::from_str(json).unwrap();
        assert!(cases.len() >= 8);
        for case in cases {
            let found = (binomial(case.b, case.c), chi_squared(case.b, case.c));
            assert!((found.0 - case.exact).abs() < 1e-9, "{} {}", case.b, case.c);
            assert!(
                (found.1 - case.chi_squared).abs() < 1e-9,
                "{} {}",
                case.b,
                case.c
            );
        }
    }

    #[test]
    fn equal_judgements_say_nothing() {
        let test = mcnemar(&[true, false], &[true, false]).unwrap();
        assert_eq!((test.p_value, test.first_only), (1.0, 0));
        assert!(mcnemar(&[true], &[]).is_err());
    }
}
