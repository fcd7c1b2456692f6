//! Decision: the score at which a piece is rejected, and the band below it in
//! which a person looks.
//!
//! Last step of the drawing (Prediction ▶ **decision** ▶ Decision). A rule is
//! fitted on scores of labelled pieces that the model has not been trained on.

use crate::data::prediction::{Decision, Verdict};
use crate::error::{Error, Result};
use crate::metrics::bootstrap::quantile;
use crate::metrics::ranking::Sweep;
use crate::metrics::threshold::Chosen;
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// The quantile of the good scores used where there are no defects to fit on.
pub const GOOD_QUANTILE: f64 = 0.99;

/// How a threshold is chosen.
///
/// In a settings file: `"best-f1"`, `"youden"`, `{ defect-recall = 0.98 }`,
/// `{ max-false-reject = 0.02 }`, `{ good-quantile = 0.99 }`,
/// `{ fixed = 0.5 }`; on the command line see [`Criterion::from_str`].
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Criterion {
    /// The best F1 of the defects.
    #[default]
    BestF1,
    /// The largest sum of defect recall and specificity (Youden's J), whatever
    /// the share of defects among the labelled pieces.
    Youden,
    /// The highest threshold that rejects at least this share of the defects
    /// (AQL = 100 − 100 · share).
    DefectRecall(f64),
    /// The lowest threshold that rejects at most this share of the good pieces.
    MaxFalseReject(f64),
    /// This threshold.
    Fixed(f64),
    /// This quantile of the good scores; needs no defect.
    GoodQuantile(f64),
}

impl FromStr for Criterion {
    type Err = Error;

    /// Reads `best-f1`, `youden`, `recall:0.98`, `aql:2` (percent of the defects let
    /// through), `false-rejects:0.02`, `good-quantile:0.99`, or a number.
    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            Error::setting(
                "threshold",
                format!(
                    "{text:?} given; best-f1, youden, recall:SHARE, aql:PERCENT, \
                     false-rejects:SHARE, good-quantile:SHARE or a number expected"
                ),
            )
        };
        let number = |t: &str| t.trim().parse::<f64>().map_err(|_| wrong());
        let criterion = match text.split_once(':') {
            None if text == "best-f1" => Self::BestF1,
            None if text == "youden" => Self::Youden,
            None => Self::Fixed(number(text)?),
            Some(("recall", r)) => Self::DefectRecall(number(r)?),
            Some(("aql", a)) => Self::DefectRecall(1.0 - number(a)? / 100.0),
            Some(("false-rejects", r)) => Self::MaxFalseReject(number(r)?),
            Some(("good-quantile", q)) => Self::GoodQuantile(number(q)?),
            Some(_) => return Err(wrong()),
        };
        criterion.check()?;
        Ok(criterion)
    }
}

/// How a [`Rule`] is fitted.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RuleOptions {
    /// At or above this threshold a piece fails.
    pub fail: Criterion,
    /// At or above this lower one a person looks; `None`: no such band.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub review: Option<Criterion>,
}

/// A fitted rule: pass below, review between, fail at or above.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// At or above this score a piece fails.
    pub fail_at: f64,
    /// At or above this score, and below `fail_at`, a person looks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review_at: Option<f64>,
    /// How, and on what, the thresholds were chosen, for people.
    pub basis: String,
}

impl RuleOptions {
    /// Chooses the thresholds.
    ///
    /// A chosen threshold lies halfway between the lowest score it rejects and
    /// the next lower one: the same pieces are rejected, with room for a score
    /// that is off a little. Without defects, [`Criterion::BestF1`],
    /// [`Criterion::Youden`] and [`Criterion::DefectRecall`] fall back to the 0.99 quantile of the good
    /// scores, and [`Rule::basis`] says so. A review threshold at or above that
    /// of failing leaves no band; the basis says that too.
    ///
    /// - `scores`: `[n]`, rising with the likelihood of a defect
    /// - `is_defect`: `[n]`
    ///
    /// # Errors
    /// [`Error::Data`] without pieces, or without the good ones a criterion
    /// needs; [`Error::Setting`] out of range; [`Error::Shape`],
    /// [`Error::NotFinite`].
    pub fn fit(&self, scores: &[f64], is_defect: &[bool]) -> Result<Rule> {
        let sweep = Sweep::new(scores, is_defect)?;
        let (fail_at, mut basis) = self.fail.threshold(&sweep, scores, is_defect)?;
        let Some(review) = self.review else {
            return Ok(Rule {
                fail_at,
                review_at: None,
                basis: format!("fails at {basis}"),
            });
        };
        let (review_at, review_basis) = review.threshold(&sweep, scores, is_defect)?;
        let review_at = (review_at < fail_at).then_some(review_at);
        basis = match review_at {
            Some(_) => format!("fails at {basis}; is reviewed from {review_basis}"),
            None => format!(
                "fails at {basis}; no review band, since its threshold ({review_basis}) is not lower"
            ),
        };
        Ok(Rule {
            fail_at,
            review_at,
            basis,
        })
    }
}

impl Criterion {
    /// Checks the number's range.
    pub(crate) fn check(self) -> Result<()> {
        let (name, value, fine) = match self {
            Self::BestF1 | Self::Youden => return Ok(()),
            Self::Fixed(t) => ("threshold", t, t.is_finite()),
            Self::DefectRecall(r) => ("defect recall", r, r > 0.0 && r <= 1.0),
            Self::MaxFalseReject(r) => ("false-reject rate", r, (0.0..1.0).contains(&r)),
            Self::GoodQuantile(q) => ("quantile", q, (0.0..=1.0).contains(&q)),
        };
        if fine {
            return Ok(());
        }
        Err(Error::setting(name, format!("{value} is out of range")))
    }

    /// The threshold and a clause that says where it comes from.
    fn threshold(self, sweep: &Sweep, scores: &[f64], is_defect: &[bool]) -> Result<(f64, String)> {
        self.check()?;
        let (n_good, n_defect) = (sweep.n_good, sweep.n_defect);
        let on = format!("{n_good} good and {n_defect} defective pieces");
        let describe = |at: f64, how: String, c: &Chosen| {
            let text = format!(
                "{at:.4}, {how} on {on} (there it rejects {:.1}% of the defects and {:.1}% of the good)",
                100.0 * c.recall,
                100.0 * c.false_reject_rate
            );
            (at, text)
        };
        match self {
            Self::Fixed(t) => Ok((t, format!("{t}, as set"))),
            Self::BestF1 if n_defect > 0 && n_good > 0 => {
                let chosen = sweep.best_f1()?;
                let how = format!("the best F1 ({:.3})", chosen.f1);
                Ok(describe(halfway(sweep, &chosen), how, &chosen))
            }
            Self::Youden if n_defect > 0 && n_good > 0 => {
                let chosen = sweep.best_youden()?;
                let how = format!(
                    "the best Youden index ({:.3})",
                    chosen.recall - chosen.false_reject_rate
                );
                Ok(describe(halfway(sweep, &chosen), how, &chosen))
            }
            Self::DefectRecall(recall) if n_defect > 0 => {
                let chosen = sweep.for_recall(recall)?;
                let how = format!(
                    "for a defect recall of {:.1}% (AQL {:.1}%)",
                    100.0 * recall,
                    crate::metrics::aql(recall)
                );
                Ok(describe(halfway(sweep, &chosen), how, &chosen))
            }
            Self::MaxFalseReject(rate) => {
                let chosen = sweep.for_false_rejects(rate)?;
                let how = format!("for at most {:.1}% false rejects", 100.0 * rate);
                Ok(describe(halfway(sweep, &chosen), how, &chosen))
            }
            Self::GoodQuantile(q) => {
                let at = good_quantile(scores, is_defect, q)?;
                Ok((
                    at,
                    format!("{at:.4}, the {q} quantile of {n_good} good pieces"),
                ))
            }
            Self::BestF1 | Self::Youden if n_good == 0 => Err(Error::data(format!(
                "a threshold by the best F1 or Youden index needs good pieces: 0 found among \
                 {n_defect}"
            ))),
            Self::BestF1 | Self::Youden | Self::DefectRecall(_) => {
                let at = good_quantile(scores, is_defect, GOOD_QUANTILE)?;
                Ok((
                    at,
                    format!(
                        "{at:.4}, the {GOOD_QUANTILE} quantile of {n_good} good pieces \
                         (no defective piece to fit a threshold on)"
                    ),
                ))
            }
        }
    }
}

/// From the lowest rejected score halfway down to the next lower one; above the
/// highest score where nothing may be rejected.
fn halfway(sweep: &Sweep, chosen: &Chosen) -> f64 {
    let points = &sweep.points;
    match points.iter().position(|p| p.threshold == chosen.threshold) {
        None => points[0].threshold.next_up(),
        Some(i) => points.get(i + 1).map_or(points[i].threshold, |below| {
            let middle = below.threshold + (points[i].threshold - below.threshold) / 2.0;
            // Neighbouring floats have nothing between them.
            if middle > below.threshold {
                middle
            } else {
                points[i].threshold
            }
        }),
    }
}

fn good_quantile(scores: &[f64], is_defect: &[bool], q: f64) -> Result<f64> {
    let mut good: Vec<f64> = scores
        .iter()
        .zip(is_defect)
        .filter_map(|(&s, &d)| (!d).then_some(s))
        .collect();
    if good.is_empty() {
        return Err(Error::data(
            "a quantile of the good scores needs good pieces: 0 found",
        ));
    }
    good.sort_unstable_by(f64::total_cmp);
    let at = quantile(&good, q);
    // At or above fails: where many good pieces share the quantile's score, the
    // threshold lies just above it.
    let failing = good.len() - good.partition_point(|&s| s < at);
    let meant = ((1.0 - q) * good.len() as f64 - 1e-9).ceil().max(1.0) as usize;
    Ok(if failing > meant { at.next_up() } else { at })
}

impl Rule {
    /// Judges one score. A score that is no number fails: it is never passed.
    #[must_use]
    pub fn decide(&self, score: f64) -> Decision {
        let verdict = if score >= self.fail_at || score.is_nan() {
            Verdict::Fail
        } else if self.review_at.is_some_and(|t| score >= t) {
            Verdict::Review
        } else {
            Verdict::Pass
        };
        Decision {
            verdict,
            score,
            threshold: self.fail_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCORES: [f64; 6] = [0.1, 0.2, 0.4, 0.6, 0.7, 0.9];
    const DEFECT: [bool; 6] = [false, false, true, false, true, true];

    fn rule(fail: Criterion, review: Option<Criterion>) -> Rule {
        RuleOptions { fail, review }.fit(&SCORES, &DEFECT).unwrap()
    }

    #[test]
    fn good_pieces_of_one_score_do_not_all_fail_by_their_quantile() {
        let rule = RuleOptions {
            fail: Criterion::GoodQuantile(0.9),
            review: None,
        };
        let fitted = rule.fit(&[0.5; 10], &[false; 10]).unwrap();
        assert_eq!(fitted.decide(0.5).verdict, Verdict::Pass);
        assert_eq!(fitted.decide(0.51).verdict, Verdict::Fail);
    }

    #[test]
    fn the_threshold_lies_halfway_below_the_lowest_rejected_score() {
        // At 0.4: 3 defects, 1 good: F1 = 6/7. At 0.7: 2 of 3: F1 = 4/5.
        assert!((rule(Criterion::BestF1, None).fail_at - 0.3).abs() < 1e-12);
        assert!((rule(Criterion::MaxFalseReject(0.0), None).fail_at - 0.65).abs() < 1e-12);
        assert!((rule(Criterion::DefectRecall(0.6), None).fail_at - 0.65).abs() < 1e-12);
        assert!((rule(Criterion::DefectRecall(0.7), None).fail_at - 0.3).abs() < 1e-12);
    }

    #[test]
    fn youden_s_criterion_says_what_it_reached_and_needs_defects() {
        // At 0.4: all defects, one good piece of three.
        let fitted = rule(Criterion::Youden, None);
        assert!((fitted.fail_at - 0.3).abs() < 1e-12);
        assert!(
            fitted.basis.contains("Youden index (0.667)"),
            "{}",
            fitted.basis
        );
        let alone = RuleOptions {
            fail: Criterion::Youden,
            review: None,
        };
        let fitted = alone.fit(&[0.1, 0.2], &[false; 2]).unwrap();
        assert!(fitted.basis.contains("0.99 quantile"), "{}", fitted.basis);
        assert!(alone.fit(&[0.1, 0.2], &[true; 2]).is_err());
    }

    #[test]
    fn two_thresholds_give_pass_review_and_fail() {
        let rule = rule(
            Criterion::MaxFalseReject(0.0),
            Some(Criterion::DefectRecall(1.0)),
        );
        let verdict = |s| rule.decide(s).verdict;
        assert_eq!(verdict(0.2), Verdict::Pass);
        assert_eq!(verdict(0.5), Verdict::Review);
        assert_eq!(verdict(0.8), Verdict::Fail);
        assert!(rule.basis.contains("reviewed"), "{}", rule.basis);
    }

    #[test]
    fn the_threshold_itself_fails_and_so_does_what_is_no_number() {
        let rule = rule(Criterion::Fixed(0.5), None);
        assert_eq!(rule.decide(0.5).verdict, Verdict::Fail);
        assert_eq!(rule.decide(0.5f64.next_down()).verdict, Verdict::Pass);
        assert_eq!(rule.decide(f64::NAN).verdict, Verdict::Fail);
    }

    #[test]
    fn a_review_threshold_above_that_of_failing_leaves_no_band() {
        let rule = rule(Criterion::Fixed(0.3), Some(Criterion::Fixed(0.4)));
        assert_eq!(rule.review_at, None);
        assert!(rule.basis.contains("no review band"), "{}", rule.basis);
    }

    #[test]
    fn good_pieces_alone_give_a_quantile_and_the_rule_says_so() {
        let scores: Vec<f64> = (0..101).map(f64::from).collect();
        let rule = RuleOptions::default().fit(&scores, &[false; 101]).unwrap();
        assert_eq!(rule.fail_at, 99.0);
        assert!(
            rule.basis.contains("0.99 quantile of 101 good"),
            "{}",
            rule.basis
        );
        assert!(rule.basis.contains("no defective piece"), "{}", rule.basis);
    }

    #[test]
    fn nothing_fails_where_a_good_piece_has_the_top_score_and_none_may() {
        let options = RuleOptions {
            fail: Criterion::MaxFalseReject(0.0),
            review: None,
        };
        let rule = options
            .fit(&[0.5, 0.9, 0.9], &[false, true, false])
            .unwrap();
        assert_eq!(rule.decide(0.9).verdict, Verdict::Pass);
        assert_eq!(rule.decide(0.91).verdict, Verdict::Fail);
    }

    #[test]
    fn defects_alone_cannot_fit_a_threshold() {
        assert!(
            RuleOptions::default()
                .fit(&[0.5, 0.6], &[true, true])
                .is_err()
        );
        assert!(RuleOptions::default().fit(&[], &[]).is_err());
    }

    #[test]
    fn criteria_are_read_from_the_command_line() {
        let read = |t: &str| t.parse::<Criterion>().unwrap();
        assert_eq!(read("best-f1"), Criterion::BestF1);
        assert_eq!(read("youden"), Criterion::Youden);
        assert_eq!(read("aql:2"), Criterion::DefectRecall(0.98));
        assert_eq!(read("false-rejects:0.05"), Criterion::MaxFalseReject(0.05));
        assert_eq!(read("0.66"), Criterion::Fixed(0.66));
        for wrong in ["recall:1.2", "recall", "nan", "aql:x", ""] {
            assert!(wrong.parse::<Criterion>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn options_read_as_a_settings_file_writes_them() {
        let text = "fail = { max-false-reject = 0.02 }\nreview = { defect-recall = 0.99 }\n";
        let options: RuleOptions = toml::from_str(text).unwrap();
        assert_eq!(options.fail, Criterion::MaxFalseReject(0.02));
        assert_eq!(
            toml::from_str::<RuleOptions>("fail = \"best-f1\"").unwrap(),
            RuleOptions::default()
        );
        let again: RuleOptions = toml::from_str(&toml::to_string(&options).unwrap()).unwrap();
        assert_eq!(again, options);
    }
}
