//! Thresholds: the score at which a piece is rejected, chosen on labelled data.
//!
//! Every function returns a score that occurs in the data, so that what it
//! rejects can be counted; [`crate::decision`] then moves it into the gap
//! below, where the same pieces are rejected.

use super::ranking::Sweep;
use crate::error::{Error, Result};

/// A threshold and what it does to the data it was chosen on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Chosen {
    /// Pieces at or above are rejected. Infinite where nothing may be rejected.
    pub threshold: f64,
    /// Share of the defects rejected.
    pub recall: f64,
    /// Share of the good pieces rejected; 0 where there are none.
    pub false_reject_rate: f64,
    /// Share of the rejected that are defects; 0 where nothing is rejected.
    pub precision: f64,
    /// `2 TP / (2 TP + FP + FN)`.
    pub f1: f64,
}

impl Sweep {
    /// What the point at `index` does; `None` for the threshold above all scores.
    pub(super) fn chosen(&self, index: Option<usize>) -> Chosen {
        let (threshold, tp, fp) = index.map_or((f64::INFINITY, 0, 0), |i| {
            let p = self.points[i];
            (p.threshold, p.true_positives, p.false_positives)
        });
        let share = |part: usize, whole: usize| {
            if whole == 0 {
                0.0
            } else {
                part as f64 / whole as f64
            }
        };
        Chosen {
            threshold,
            recall: share(tp, self.n_defect),
            false_reject_rate: share(fp, self.n_good),
            precision: share(tp, tp + fp),
            // TP + FN is the number of defects.
            f1: share(2 * tp, tp + fp + self.n_defect),
        }
    }

    /// See [`best_f1`].
    ///
    /// # Errors
    /// [`Error::Data`] if there is no defect.
    pub fn best_f1(&self) -> Result<Chosen> {
        self.needs_defects("the best F1")?;
        Ok(self.largest(|tp, fp| 2.0 * tp as f64 / (tp + fp + self.n_defect) as f64))
    }

    /// See [`best_youden`].
    ///
    /// # Errors
    /// [`Error::Data`] if a class is missing.
    pub fn best_youden(&self) -> Result<Chosen> {
        self.needs_both("the best Youden index")?;
        // J · defects · good: in whole pieces, so that equals are equal.
        Ok(self.largest(|tp, fp| {
            tp as i128 * self.n_good as i128 - fp as i128 * self.n_defect as i128
        }))
    }

    /// The threshold of the largest `measure` of true and false positives; of
    /// equals the lowest.
    fn largest<T: PartialOrd>(&self, measure: impl Fn(usize, usize) -> T) -> Chosen {
        let mut best = (measure(0, 0), None);
        for (i, p) in self.points.iter().enumerate() {
            let here = measure(p.true_positives, p.false_positives);
            if here >= best.0 {
                best = (here, Some(i));
            }
        }
        self.chosen(best.1)
    }

    /// See [`threshold_for_recall`].
    ///
    /// # Errors
    /// [`Error::Data`] if there is no defect, [`Error::Setting`].
    pub fn for_recall(&self, recall: f64) -> Result<Chosen> {
        share_setting("defect recall", recall)?;
        self.needs_defects("a threshold for a defect recall")?;
        let needed = at_least(recall, self.n_defect);
        let index = self
            .points
            .iter()
            .position(|p| p.true_positives >= needed)
            .filter(|_| needed > 0);
        Ok(self.chosen(index))
    }

    /// See [`threshold_for_false_rejects`].
    ///
    /// # Errors
    /// [`Error::Data`] if there is no good piece, [`Error::Setting`].
    pub fn for_false_rejects(&self, rate: f64) -> Result<Chosen> {
        share_setting("false-reject rate", rate)?;
        if self.n_good == 0 {
            return Err(Error::data(format!(
                "a threshold for a false-reject rate needs good pieces: 0 found among {}",
                self.n_defect
            )));
        }
        let allowed = at_most(rate, self.n_good);
        let index = self
            .points
            .iter()
            .rposition(|p| p.false_positives <= allowed);
        Ok(self.chosen(index))
    }
}

/// The threshold of the best F1 = 2PR / (P + R); of equals the lowest, which
/// lets the fewest defects through (scikit-learn's `precision_recall_curve`
/// with `argmax` picks the same).
///
/// # Errors
/// [`Error::Data`] if there is no defect, [`Error::Shape`], [`Error::NotFinite`].
///
/// ```
/// let best = goma::metrics::best_f1(&[0.9, 0.8, 0.7, 0.1], &[true, false, true, false]);
/// assert_eq!(best.as_ref().unwrap().threshold, 0.7);
/// assert_eq!(best.unwrap().f1, 0.8); // 2 found, 1 too many, none missed
/// ```
pub fn best_f1(scores: &[f64], is_defect: &[bool]) -> Result<Chosen> {
    Sweep::new(scores, is_defect)?.best_f1()
}

/// The threshold of the largest J = defect recall + specificity - 1 (Youden,
/// Index for rating diagnostic tests, Cancer 1950); of equals the lowest. Unlike
/// [`best_f1`] it does not depend on how many defects there are for each good
/// piece: it suits labels that hold more, or fewer, defects than the line does.
///
/// # Errors
/// [`Error::Data`] if a class is missing, [`Error::Shape`], [`Error::NotFinite`].
///
/// ```
/// let scores = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4];
/// let defect = [true, false, false, true, false, false];
/// let chosen = goma::metrics::best_youden(&scores, &defect).unwrap();
/// assert_eq!(chosen.threshold, 0.6); // all defects, half of the good pieces: J = 1/2
/// ```
pub fn best_youden(scores: &[f64], is_defect: &[bool]) -> Result<Chosen> {
    Sweep::new(scores, is_defect)?.best_youden()
}

/// The highest threshold that rejects at least the share `recall` of the
/// defects: the fewest good pieces rejected for it.
///
/// # Errors
/// [`Error::Data`] if there is no defect; [`Error::Setting`] if `recall` is
/// outside `0..=1`; [`Error::Shape`], [`Error::NotFinite`].
pub fn threshold_for_recall(scores: &[f64], is_defect: &[bool], recall: f64) -> Result<Chosen> {
    Sweep::new(scores, is_defect)?.for_recall(recall)
}

/// The lowest threshold that rejects at most the share `rate` of the good
/// pieces: the most defects found for it. Infinite if the highest score is
/// shared by more good pieces than that.
///
/// # Errors
/// [`Error::Data`] if there is no good piece; [`Error::Setting`] if `rate` is
/// outside `0..=1`; [`Error::Shape`], [`Error::NotFinite`].
pub fn threshold_for_false_rejects(
    scores: &[f64],
    is_defect: &[bool],
    rate: f64,
) -> Result<Chosen> {
    Sweep::new(scores, is_defect)?.for_false_rejects(rate)
}

/// Defect recall when at most the share `rate` of the good pieces may be
/// rejected; not interpolated.
///
/// # Errors
/// [`Error::Data`] if a class is missing; as [`threshold_for_false_rejects`].
pub fn recall_at_false_rejects(scores: &[f64], is_defect: &[bool], rate: f64) -> Result<f64> {
    let sweep = Sweep::new(scores, is_defect)?;
    sweep.needs_both("defect recall at a false-reject rate")?;
    Ok(sweep.for_false_rejects(rate)?.recall)
}

/// The smallest count that is at least `share` of `n`; the slack undoes
/// rounding such as 0.7 · 10 = 7.000000000000001.
fn at_least(share: f64, n: usize) -> usize {
    (share * n as f64 - 1e-9).ceil().max(0.0) as usize
}

/// The largest count that is at most `share` of `n`.
fn at_most(share: f64, n: usize) -> usize {
    (share * n as f64 + 1e-9).floor() as usize
}

fn share_setting(name: &str, value: f64) -> Result<()> {
    if (0.0..=1.0).contains(&value) {
        return Ok(());
    }
    Err(Error::setting(
        name,
        format!("{value} given, a share in 0..=1 expected"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCORES: [f64; 6] = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4];
    const DEFECT: [bool; 6] = [true, false, true, true, false, false];

    #[test]
    fn a_wanted_recall_takes_the_highest_threshold_that_reaches_it() {
        let t = |r| threshold_for_recall(&SCORES, &DEFECT, r).unwrap().threshold;
        assert_eq!(t(0.3), 0.9);
        assert_eq!(t(0.34), 0.7);
        assert_eq!(t(1.0), 0.6);
        assert_eq!(t(0.0), f64::INFINITY);
        assert!(threshold_for_recall(&SCORES, &DEFECT, 1.5).is_err());
    }

    #[test]
    fn tolerated_false_rejects_take_the_lowest_threshold_that_keeps_them() {
        let t = |r| threshold_for_false_rejects(&SCORES, &DEFECT, r).unwrap();
        assert_eq!(t(0.0).threshold, 0.9);
        assert_eq!(t(0.34).threshold, 0.6); // one of three
        assert_eq!(t(0.34).recall, 1.0);
        assert_eq!(t(1.0).threshold, 0.4);
    }

    #[test]
    fn nothing_is_rejected_where_a_good_piece_has_the_top_score() {
        let t = threshold_for_false_rejects(&[0.9, 0.9], &[true, false], 0.0).unwrap();
        assert_eq!((t.threshold, t.recall), (f64::INFINITY, 0.0));
        let r = recall_at_false_rejects(&[0.9, 0.9], &[true, false], 0.05).unwrap();
        assert_eq!(r, 0.0);
    }

    #[test]
    fn youden_s_threshold_does_not_move_with_the_number_of_good_pieces() {
        let mut scores = SCORES.to_vec();
        let mut defect = DEFECT.to_vec();
        for (score, _) in SCORES.iter().zip(DEFECT).filter(|(_, d)| !d) {
            scores.extend([score; 2]);
            defect.extend([false; 2]);
        }
        let once = best_youden(&SCORES, &DEFECT).unwrap();
        assert_eq!(once.threshold, 0.6);
        assert_eq!(
            best_youden(&scores, &defect).unwrap(),
            Chosen {
                precision: 0.5,
                f1: 2.0 / 3.0,
                ..once
            }
        );
    }

    #[test]
    fn of_equal_f1_the_lowest_threshold_is_taken() {
        // F1 at 0.9: 2/3 (1 of 2 found); at 0.6: 2·2/(4+2) = 2/3 as well.
        let best = best_f1(&[0.9, 0.8, 0.7, 0.6], &[true, false, false, true]).unwrap();
        assert_eq!(best.threshold, 0.6);
    }
}
