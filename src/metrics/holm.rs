//! Holm's correction: what p-values are worth when there are many of them.

use crate::error::{Error, Result};

/// Holm's step-down correction of p-values of one family, in their own order.
///
/// With the p-values ascending, `p'_i = max over j ≤ i of min(1, (m − j + 1) p_j)`:
/// rejecting where `p' <= α` keeps the chance of a single false rejection in the
/// whole family at or below α, whatever the dependence between the tests.
///
/// # Errors
/// [`Error::NotFinite`] with the row of a value outside `0..=1`.
///
/// # References
/// S. Holm, Scandinavian Journal of Statistics 6(2), 1979.
///
/// ```
/// let p = goma::metrics::holm(&[0.01, 0.04, 0.03])?;
/// assert_eq!(p, [0.03, 0.06, 0.06]); // 3 · 0.01, then 2 · 0.03, then at least that
/// # Ok::<(), goma::Error>(())
/// ```
pub fn holm(p: &[f64]) -> Result<Vec<f64>> {
    if let Some(row) = p.iter().position(|p| !(0.0..=1.0).contains(p)) {
        let what = "p-values".into();
        return Err(Error::NotFinite { what, row });
    }
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let mut corrected = vec![0.0; p.len()];
    let mut largest = 0.0f64;
    for (rank, &i) in order.iter().enumerate() {
        let left = (p.len() - rank) as f64;
        largest = largest.max((left * p[i]).min(1.0));
        corrected[i] = largest;
    }
    Ok(corrected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_test_needs_no_correction_and_none_needs_none() {
        assert_eq!(holm(&[0.02]).unwrap(), [0.02]);
        assert!(holm(&[]).unwrap().is_empty());
    }

    #[test]
    fn a_value_that_is_no_probability_names_its_row() {
        let error = holm(&[0.5, f64::NAN]).unwrap_err();
        assert!(error.to_string().contains("row 1"), "{error}");
        assert!(holm(&[1.5]).is_err());
    }
}
