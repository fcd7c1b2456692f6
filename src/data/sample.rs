//! `Sample`: one piece, before its pixels are read.

use crate::data::annotation::Annotation;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Path, PathBuf};

/// Names a sample within its data set; unique there.
///
/// Ids come from file names and tables, so they may hold any character;
/// [`SampleId::file_stem`] gives the form that is safe as a file name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SampleId(String);

impl SampleId {
    /// Takes an id as it stands.
    #[must_use]
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id as a file name without folders: every character other than
    /// letters, digits, `.`, `_`, `-` becomes `_`, a leading dot too.
    #[must_use]
    pub fn file_stem(&self) -> String {
        let mut stem: String = self
            .0
            .chars()
            .map(|c| {
                if c.is_alphanumeric() || matches!(c, '.' | '_' | '-') {
                    c
                } else {
                    '_'
                }
            })
            .collect();
        if stem.starts_with('.') || stem.is_empty() {
            stem.insert(0, '_');
        }
        stem
    }
}

impl fmt::Display for SampleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One light or filter of the camera, by name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Channel(String);

impl Channel {
    /// A channel of this name.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }

    /// The eraser camera's six, in their order.
    #[must_use]
    pub fn eraser() -> Vec<Self> {
        ["GRAY", "AM", "G", "R", "W", "NORMAL"]
            .into_iter()
            .map(Self::new)
            .collect()
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a sample's pixels lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PixelSource {
    /// One picture or array with all channels.
    File(PathBuf),
    /// One single-channel file for each channel, in the order of the channels.
    Channels(Vec<PathBuf>),
}

/// Which part of the data a sample was assigned to beforehand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// For training.
    Train,
    /// For choosing thresholds and checkpoints.
    Validation,
    /// For the last measurement alone.
    Test,
}

/// One piece: an id, where its pixels lie, and what is known about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Unique within the data set.
    pub id: SampleId,
    /// Where the pixels lie.
    pub source: PixelSource,
    /// The class, if known.
    pub annotation: Option<Annotation>,
    /// What must not be split: a physical piece, a pack.
    pub group: Option<String>,
    /// A picture of the defect's pixels.
    pub mask: Option<PathBuf>,
    /// The part of the data it was assigned to beforehand.
    pub split: Option<Split>,
}

impl Sample {
    /// The (first) file, for messages and the `path` column.
    #[must_use]
    pub fn path(&self) -> &Path {
        match &self.source {
            PixelSource::File(path) => path,
            PixelSource::Channels(paths) => paths.first().map_or(Path::new(""), PathBuf::as_path),
        }
    }

    /// What it stays together with: its group; one without a group is its own.
    #[must_use]
    pub fn group_or_id(&self) -> &str {
        self.group.as_deref().unwrap_or(self.id.as_str())
    }

    /// The class name, if known.
    #[must_use]
    pub fn label(&self) -> Option<&str> {
        self.annotation.as_ref().map(|a| a.label.name())
    }
}
