//! Numbers that say how good scores, classes and anomaly maps are.
//!
//! Beneath every step: plain functions on slices that know nothing of samples.
//! Scores rise with the likelihood of a defect; a piece is rejected at
//! `score >= threshold`. What cannot be computed is an error, never a silent
//! value: a missing class, a score that is no number (its row named), lengths
//! that disagree.
//!
//! - [`ranking`]: ROC AUC, average precision (AUC-PR), the curves themselves
//! - [`threshold`]: best F1, wanted recall, tolerated false rejects
//! - [`confusion`]: everything that follows from counting classes
//! - [`pixel`]: ROC AUC, AP and AUPRO of anomaly maps against masks
//! - [`mod@mann_whitney`], [`mod@wilcoxon`], [`mod@mcnemar`], [`mod@holm`], [`ranks`],
//!   [`bootstrap`]: how certain a value or a difference is
//! - [`paired`]: two models on the same pieces
//! - [`report`]: all of them for one set of predictions

pub mod bootstrap;
pub mod confusion;
pub mod holm;
pub mod mann_whitney;
pub mod mcnemar;
pub mod paired;
pub mod pixel;
pub mod ranking;
pub mod ranks;
pub mod report;
pub mod threshold;
pub mod wilcoxon;

#[cfg(test)]
mod reference;
#[cfg(test)]
mod reference_comparison;

pub use bootstrap::{BootstrapOptions, Interval};
pub use confusion::Confusion;
pub use holm::holm;
pub use pixel::{PixelMetrics, PixelScores};
pub use ranking::{average_precision, average_precision_one_vs_rest, roc_auc, roc_auc_one_vs_rest};
pub use report::Report;
pub use threshold::{
    best_f1, best_youden, recall_at_false_rejects, threshold_for_false_rejects,
    threshold_for_recall,
};
pub use wilcoxon::{Alternative, wilcoxon};

/// Acceptable quality level as Rožanec et al. (eq. 1) use it: the defects that
/// slip through, in percent: `AQL = 100 − recall · 100`.
///
/// - `recall`: defect recall, in `0..=1`
///
/// ```
/// assert_eq!(goma::metrics::aql(0.75), 25.0);
/// ```
#[must_use]
pub fn aql(recall: f64) -> f64 {
    100.0 - 100.0 * recall
}
