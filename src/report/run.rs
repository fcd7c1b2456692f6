//! `RunFacts`: what a run was, for `run.json` and the top of the report; and
//! `Counts` with the closing line.

use crate::data::colour::ColourScale;
use crate::data::prediction::Verdict;
use crate::decision::Rule;
use crate::report::html::figure;
use crate::report::journal::Fingerprint;
use crate::report::regions::RegionFacts;
use crate::report::scores::{RowOutcome, ScoreRow};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Everything a person, or a later run, asks about a run of `score`.
///
/// Times, threads and device stand here and nowhere in the scores table,
/// which is the same bytes for the same seed.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RunFacts {
    /// Version of goma.
    pub goma: String,
    /// The command line as typed.
    pub command: Vec<String>,
    /// The bundle.
    pub bundle: BundleFacts,
    /// The bundle that judged beside it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beside: Option<BesideFacts>,
    /// The inputs as typed.
    pub data: Vec<String>,
    /// How the inputs were read, in words: layout, channels, pixel type and range.
    pub input_format: String,
    /// How pieces are decided on.
    pub rule: RuleFacts,
    /// The colour scale of the heatmaps.
    pub colour_scale: Option<ColourScale>,
    /// What the regions are; `None` for a model without maps, and then there is
    /// no `regions.csv`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regions: Option<RegionFacts>,
    /// The seed.
    pub seed: u64,
    /// Where the networks ran.
    pub device: String,
    /// Number of threads.
    pub threads: usize,
    /// The resolved settings, as in the settings file.
    pub settings: serde_json::Value,
    /// What a `--resume` must agree on.
    pub fingerprint: Fingerprint,
    /// When the run was begun, UTC.
    pub started: String,
    /// When it was complete, UTC; `None` while it runs.
    pub finished: Option<String>,
    /// How long it took, without interruptions before a `--resume`.
    pub seconds: Option<f64>,
    /// How the pieces were decided on; `None` while it runs.
    pub counts: Option<Counts>,
    /// Metrics, where the labels are known: name, value.
    pub metrics: BTreeMap<String, f64>,
    /// What a reader should know: what was left out of the inputs, a threshold
    /// fitted on good pieces only ...
    pub notes: Vec<String>,
}

/// What a report says of the bundle.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BundleFacts {
    /// Its name.
    pub name: String,
    /// SHA-256 of its manifest, hexadecimal.
    pub hash: String,
    /// Which model it holds: `hybrid`, `draem`, `resnet18` ...
    pub model: String,
    /// Which backbone, with the origin of its weights; empty without one.
    pub backbone: String,
    /// Its channels.
    pub channels: Vec<String>,
    /// What it was trained on.
    pub trained_on: String,
}

/// What a report says of the bundle that judged beside the first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BesideFacts {
    /// Its name.
    pub name: String,
    /// SHA-256 of its manifest, hexadecimal.
    pub hash: String,
    /// Which model it holds.
    pub model: String,
}

/// What a report says of the decision rule.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RuleFacts {
    /// The rule in a sentence: "fails at p_defect 0.41 or more".
    pub sentence: String,
    /// What the thresholds rest on: "best F1 on 312 held-back pieces".
    pub basis: String,
    /// The column that is compared.
    pub score: ScoreColumn,
    /// At or above this a piece fails.
    pub fail_at: f64,
    /// At or above this, and below `fail_at`, a person looks at it.
    pub review_at: Option<f64>,
}

impl RuleFacts {
    /// What a fitted rule says, in words.
    #[must_use]
    pub fn of(rule: &Rule, score: ScoreColumn) -> Self {
        let name = match score {
            ScoreColumn::PDefect => "a defect probability",
            ScoreColumn::AnomalyScore => "an anomaly score",
        };
        let fail = figure(rule.fail_at);
        let sentence = match rule.review_at {
            Some(review) => format!(
                "A piece fails at {name} of {fail} or more; from {} on a person looks at it.",
                figure(review)
            ),
            None => format!("A piece fails at {name} of {fail} or more."),
        };
        Self {
            sentence,
            basis: format!("How the threshold was chosen: {}.", rule.basis),
            score,
            fail_at: rule.fail_at,
            review_at: rule.review_at,
        }
    }
}

/// The column that the thresholds apply to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScoreColumn {
    /// The classifier's probability of any defect.
    #[default]
    PDefect,
    /// The anomaly map's image score.
    AnomalyScore,
}

impl ScoreColumn {
    /// The column's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::PDefect => "p_defect",
            Self::AnomalyScore => "anomaly_score",
        }
    }

    /// The row's number in this column, if it has one.
    #[must_use]
    pub fn of(self, row: &ScoreRow) -> Option<f64> {
        let scored = row.ok()?;
        match self {
            Self::PDefect => scored.p_defect,
            Self::AnomalyScore => scored.anomaly_score,
        }
    }
}

/// How many pieces were decided on in which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Pieces that passed.
    pub pass: u64,
    /// Pieces that failed.
    pub fail: u64,
    /// Pieces that a person looks at.
    pub review: u64,
    /// Inputs that could not be read.
    pub unreadable: u64,
}

impl Counts {
    /// Counts one row.
    pub fn add(&mut self, row: &ScoreRow) {
        let of = match &row.outcome {
            RowOutcome::Error(_) => &mut self.unreadable,
            RowOutcome::Ok(s) => match s.decision {
                Verdict::Pass => &mut self.pass,
                Verdict::Fail => &mut self.fail,
                Verdict::Review => &mut self.review,
            },
        };
        *of += 1;
    }

    /// Pieces that were inspected.
    #[must_use]
    pub fn scored(&self) -> u64 {
        self.pass + self.fail + self.review
    }

    /// All inputs.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.scored() + self.unreadable
    }
}

/// The closing line of a run.
///
/// ```
/// use goma::report::run::{Counts, summary_line};
///
/// let counts = Counts { pass: 1302, fail: 71, review: 7, unreadable: 1 };
/// assert_eq!(
///     summary_line(&counts),
///     "scored 1380 of 1381: 1302 pass, 71 fail, 7 review, 1 unreadable"
/// );
/// ```
#[must_use]
pub fn summary_line(counts: &Counts) -> String {
    format!(
        "scored {} of {}: {} pass, {} fail, {} review, {} unreadable",
        counts.scored(),
        counts.total(),
        counts.pass,
        counts.fail,
        counts.review,
        counts.unreadable
    )
}

/// Now, as `2026-01-31T09:05:00Z`.
#[must_use]
pub fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    utc(since.unwrap_or(Duration::ZERO).as_secs())
}

/// A time in seconds since 1970 as RFC 3339, UTC.
///
/// The date follows H. Hinnant, "chrono-compatible low-level date algorithms"
/// (`civil_from_days`): years begin in March, so that the leap day is last.
#[must_use]
pub fn utc(seconds: u64) -> String {
    let (days, of_day) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        of_day / 3600,
        of_day / 60 % 60,
        of_day % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_come_right_around_leap_days() {
        assert_eq!(utc(0), "1970-01-01T00:00:00Z");
        assert_eq!(utc(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(utc(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(utc(1_709_251_200), "2024-03-01T00:00:00Z");
        assert_eq!(utc(4_107_542_400), "2100-03-01T00:00:00Z");
    }

    #[test]
    fn facts_are_read_back_and_missing_ones_are_empty() {
        let facts = RunFacts {
            seed: 7,
            colour_scale: ColourScale::new(0.1, 0.5).ok(),
            ..RunFacts::default()
        };
        let json = serde_json::to_string(&facts).unwrap();
        assert_eq!(serde_json::from_str::<RunFacts>(&json).unwrap(), facts);
        assert_eq!(
            serde_json::from_str::<RunFacts>("{}").unwrap(),
            RunFacts::default()
        );
    }
}
