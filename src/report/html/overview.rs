//! `Overview`: what the top of the report needs to know of all rows, gathered
//! in one pass and in bounded memory.

use crate::data::prediction::Verdict;
use crate::report::html::beside::Relation;
use crate::report::placement::Placement;
use crate::report::run::{Counts, ScoreColumn};
use crate::report::scores::{RowOutcome, ScoreRow};
use std::collections::BTreeMap;

/// At most this many unreadable inputs are named in the report.
pub const NAMED_ERRORS: usize = 200;
/// At most this many classes can be filtered by.
const NAMED_CLASSES: usize = 100;
/// Counts of scores in `0..=1` are this fine; the histogram joins them.
const FINE: usize = 20_000;

/// Counts, scores and what could not be read.
#[derive(Debug, Clone)]
pub struct Overview {
    /// How the pieces were decided on.
    pub counts: Counts,
    /// How many pieces were taken for each class.
    pub classes: BTreeMap<String, u64>,
    /// The first unreadable inputs: id, path, reason.
    pub errors: Vec<(String, String, String)>,
    /// How the second model's verdicts stand to the first's.
    pub relations: BTreeMap<Relation, u64>,
    /// Where the pieces lie.
    pub placement: Placement,
    /// Which column the scores are from.
    pub column: ScoreColumn,
    fine: BTreeMap<&'static str, Vec<u32>>,
    highest: f64,
}

impl Overview {
    /// Of no rows yet; scores will be those of `column`.
    #[must_use]
    pub fn new(column: ScoreColumn) -> Self {
        Self {
            counts: Counts::default(),
            classes: BTreeMap::new(),
            errors: Vec::new(),
            relations: BTreeMap::new(),
            placement: Placement::default(),
            column,
            fine: BTreeMap::new(),
            highest: 0.0,
        }
    }

    /// Takes one row.
    pub fn add(&mut self, row: &ScoreRow) {
        self.counts.add(row);
        match &row.outcome {
            RowOutcome::Error(reason) if self.errors.len() < NAMED_ERRORS => {
                self.errors
                    .push((row.id.clone(), row.path.clone(), reason.clone()));
            }
            RowOutcome::Error(_) => {}
            RowOutcome::Ok(scored) => {
                if let Some(relation) = Relation::of(scored) {
                    *self.relations.entry(relation).or_default() += 1;
                }
                if let Some(offset) = scored.offset {
                    self.placement.add(offset);
                }
                if let Some(class) = &scored.class
                    && (self.classes.len() < NAMED_CLASSES || self.classes.contains_key(class))
                {
                    *self.classes.entry(class.clone()).or_default() += 1;
                }
                if let Some(score) = self.column.of(row) {
                    let bins = self
                        .fine
                        .entry(scored.decision.name())
                        .or_insert_with(|| vec![0; FINE]);
                    bins[((score.clamp(0.0, 1.0) * FINE as f64) as usize).min(FINE - 1)] += 1;
                    self.highest = self.highest.max(score);
                }
            }
        }
    }

    /// The end of the score axis: 1 for probabilities; for anomaly scores a
    /// round number that the highest score and `threshold` stay below.
    #[must_use]
    pub fn axis_end(&self, threshold: f64) -> f64 {
        if self.column == ScoreColumn::PDefect {
            return 1.0;
        }
        let needed = self.highest.max(threshold * 1.1).clamp(1e-3, 1.0);
        let magnitude = 10f64.powf(needed.log10().floor());
        let steps = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0];
        let round = steps
            .iter()
            .map(|s| s * magnitude)
            .find(|v| *v >= needed - 1e-12);
        round.unwrap_or(1.0).min(1.0)
    }

    /// How many pieces of this decision have a score in each of `bins` equal
    /// parts of `0..=end`.
    #[must_use]
    pub fn histogram(&self, decision: Verdict, bins: usize, end: f64) -> Vec<u64> {
        let mut counts = vec![0; bins];
        if let Some(fine) = self.fine.get(decision.name()) {
            for (i, &n) in fine.iter().enumerate().filter(|(_, n)| **n > 0) {
                let score = (i as f64 + 0.5) / FINE as f64;
                let bin = ((score / end * bins as f64) as usize).min(bins - 1);
                counts[bin] += u64::from(n);
            }
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::prediction::Decision;
    use std::path::Path;

    fn row(verdict: Verdict, anomaly: f64) -> ScoreRow {
        let decision = Decision {
            verdict,
            score: anomaly,
            threshold: 0.02,
        };
        ScoreRow::scored("a", Path::new("a"), &decision, None, Some(anomaly))
    }

    #[test]
    fn scores_fall_into_the_bins_of_their_decision() {
        let mut overview = Overview::new(ScoreColumn::AnomalyScore);
        for (v, s) in [
            (Verdict::Pass, 0.001),
            (Verdict::Pass, 0.012),
            (Verdict::Fail, 0.039),
        ] {
            overview.add(&row(v, s));
        }
        let end = overview.axis_end(0.02);
        assert!((end - 0.04).abs() < 1e-12);
        assert_eq!(overview.histogram(Verdict::Pass, 4, end), [1, 1, 0, 0]);
        assert_eq!(overview.histogram(Verdict::Fail, 4, end), [0, 0, 0, 1]);
        assert_eq!(overview.histogram(Verdict::Review, 4, end), [0; 4]);
    }

    #[test]
    fn many_unreadable_inputs_do_not_fill_the_memory() {
        let mut overview = Overview::new(ScoreColumn::PDefect);
        for i in 0..NAMED_ERRORS + 5 {
            let error = crate::error::Error::data("torn");
            overview.add(&ScoreRow::unreadable(
                &i.to_string(),
                Path::new("a"),
                &error,
            ));
        }
        assert_eq!(overview.errors.len(), NAMED_ERRORS);
        assert_eq!(overview.counts.unreadable as usize, NAMED_ERRORS + 5);
    }
}
