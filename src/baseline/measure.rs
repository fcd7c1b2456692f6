//! How well an epoch's network does on the validation pieces.

use crate::data::prediction::Prediction;
use crate::error::{Error, Result};
use crate::metrics::ranking::{Sweep, average_precision};

/// Average precision of the defects; with more than two classes the mean over
/// those that occur.
pub(super) fn ranking(found: &[Prediction], class: &[usize], classes: usize) -> Result<f64> {
    let of = |c: usize| -> Result<Option<f64>> {
        let is: Vec<bool> = class.iter().map(|&x| x == c).collect();
        if !is.contains(&true) {
            return Ok(None);
        }
        let p: Vec<f64> = found.iter().map(|f| f.probabilities()[c]).collect();
        average_precision(&p, &is).map(Some)
    };
    let chosen = if classes == 2 { 1..2 } else { 0..classes };
    let each: Vec<f64> = chosen
        .filter_map(|c| of(c).transpose())
        .collect::<Result<_>>()?;
    match each.len() {
        0 => Err(Error::data(
            "no defective piece among the validation pieces",
        )),
        n => Ok(each.iter().sum::<f64>() / n as f64),
    }
}

/// Best F1 of the defects; 0 where all pieces are.
pub(super) fn best_f1(found: &[Prediction], class: &[usize], first_is_good: bool) -> Result<f64> {
    let is_defect: Vec<bool> = class.iter().map(|&c| c > 0 || !first_is_good).collect();
    if !is_defect.contains(&true) || !is_defect.contains(&false) {
        return Ok(0.0);
    }
    let scores: Vec<f64> = found.iter().map(Prediction::p_defect).collect();
    Ok(Sweep::new(&scores, &is_defect)?.best_f1()?.f1)
}
