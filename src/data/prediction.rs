//! `Prediction`: what a classifier says about one sample; `Decision`: what is
//! done with the piece.

use crate::data::annotation::GOOD;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// One probability for each class, summing to 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    classes: std::sync::Arc<[String]>,
    probabilities: Vec<f64>,
}

impl Prediction {
    /// Puts class names and probabilities together.
    ///
    /// # Errors
    /// [`Error::Shape`] if the lengths disagree or there is no class;
    /// [`Error::NotFinite`] if a probability is no number, is negative, or the
    /// sum is off 1 by more than 1e-6.
    pub fn new(classes: std::sync::Arc<[String]>, probabilities: Vec<f64>) -> Result<Self> {
        if classes.len() != probabilities.len() || classes.is_empty() {
            return Err(Error::shape(
                "probabilities",
                probabilities.len(),
                classes.len(),
            ));
        }
        let sum: f64 = probabilities.iter().sum();
        let bad = probabilities
            .iter()
            .position(|p| !(0.0..=1.0 + 1e-9).contains(p));
        if let Some(row) = bad.or((!((sum - 1.0).abs() <= 1e-6)).then_some(0)) {
            return Err(Error::NotFinite {
                what: format!("class probabilities (sum {sum})"),
                row,
            });
        }
        Ok(Self {
            classes,
            probabilities,
        })
    }

    /// The class names, in the order of the probabilities.
    #[must_use]
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The probabilities.
    #[must_use]
    pub fn probabilities(&self) -> &[f64] {
        &self.probabilities
    }

    /// Probability of any defect: 1 minus that of `good`.
    #[must_use]
    pub fn p_defect(&self) -> f64 {
        self.classes
            .iter()
            .position(|c| c == GOOD)
            .map_or(1.0, |good| (1.0 - self.probabilities[good]).clamp(0.0, 1.0))
    }

    /// The most probable class (the first of equals).
    #[must_use]
    pub fn class(&self) -> &str {
        let mut best = 0;
        for (i, p) in self.probabilities.iter().enumerate() {
            if *p > self.probabilities[best] {
                best = i;
            }
        }
        &self.classes[best]
    }

    /// The most probable class among the defects; `None` if there is none.
    #[must_use]
    pub fn defect_class(&self) -> Option<&str> {
        let mut best: Option<usize> = None;
        for (i, p) in self.probabilities.iter().enumerate() {
            if self.classes[i] != GOOD && best.is_none_or(|b| *p > self.probabilities[b]) {
                best = Some(i);
            }
        }
        best.map(|b| self.classes[b].as_str())
    }
}

/// What is done with a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Goes on.
    Pass,
    /// Is rejected.
    Fail,
    /// A person looks at it.
    Review,
}

impl Verdict {
    /// `pass`, `fail` or `review`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Review => "review",
        }
    }
}

/// A verdict with the number it rests on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// Pass, fail or review.
    pub verdict: Verdict,
    /// The number that was compared.
    pub score: f64,
    /// At or above this the piece fails.
    pub threshold: f64,
}
