//! `Annotation`: what a sample was labelled as, and by whom.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The class without a defect.
pub const GOOD: &str = "good";

/// A class name; [`GOOD`] is the class without defect, all others are defects.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Label(String);

impl Label {
    /// A label of this name.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The class without defect.
    #[must_use]
    pub fn good() -> Self {
        Self::new(GOOD)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }

    /// Whether this is the class without defect.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.0 == GOOD
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a label stands as first given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Provenance {
    /// As the data set gives it.
    Original,
    /// Changed afterwards.
    Corrected {
        /// By whom.
        by: String,
        /// For what reason.
        why: String,
    },
}

/// A label and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Annotation {
    /// The class.
    pub label: Label,
    /// Original or corrected.
    pub provenance: Provenance,
}

impl Annotation {
    /// A label as the data set gives it.
    #[must_use]
    pub fn original(label: Label) -> Self {
        Self {
            label,
            provenance: Provenance::Original,
        }
    }
}
