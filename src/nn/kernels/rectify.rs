//! ReLU and dropout over a layer's values in one pass, for networks without a
//! graph; the branch is drawn by lot, so that a jump would be guessed wrong.

use super::simd::vectorised;

vectorised! {
    fn forward_loop(values: &mut [f32], slopes: &mut [f32], drawn: &[u32], limit: u32, kept: f32) {
        for ((value, slope), drawn) in values.iter_mut().zip(slopes).zip(drawn) {
            let stays = (*value > 0.0) & (*drawn >= limit);
            *slope = if stays { kept } else { 0.0 };
            *value = if stays { *value * kept } else { 0.0 };
        }
    }
}

vectorised! {
    fn backward_loop(gradient: &mut [f32], slopes: &[f32]) {
        for (gradient, slope) in gradient.iter_mut().zip(slopes) {
            *gradient *= slope;
        }
    }
}

vectorised! {
    fn sums_loop(sums: &mut [f32], rows: &[f32]) {
        sums.fill(0.0);
        for row in rows.chunks_exact(sums.len()) {
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += value;
            }
        }
    }
}

/// Positive values whose `drawn` number is at least `limit` are multiplied by
/// `kept`, the others become 0; `slopes` says by what each was multiplied.
pub(in crate::nn) fn forward(
    values: &mut [f32],
    slopes: &mut [f32],
    drawn: &[u32],
    limit: u32,
    kept: f32,
) {
    assert!(values.len() == slopes.len() && values.len() == drawn.len());
    forward_loop(values, slopes, drawn, limit, kept);
}

/// The gradient before [`forward`] from the one after it.
pub(in crate::nn) fn backward(gradient: &mut [f32], slopes: &[f32]) {
    assert_eq!(gradient.len(), slopes.len());
    backward_loop(gradient, slopes);
}

/// The sum of each column of `rows`, which lie one after the other.
pub(in crate::nn) fn column_sums(sums: &mut [f32], rows: &[f32]) {
    assert!(!sums.is_empty() && rows.len().is_multiple_of(sums.len()));
    sums_loop(sums, rows);
}
