//! The one error type of the library: every variant says what, where, found,
//! expected, and the way out. The binary prints it with its chain of causes.

use std::path::{Path, PathBuf};

/// What the library returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong, with the ids, paths and shapes a person needs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be read or written.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// `read`, `write`, `create`, `rename` ...
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file was read but is not what it claims to be.
    #[error("{}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What was found and what was expected.
        reason: String,
    },
    /// Two shapes that must agree do not.
    #[error("{what}: {found} found, {expected} expected")]
    Shape {
        /// Which shape.
        what: String,
        /// The shape at hand.
        found: String,
        /// The shape that would do.
        expected: String,
    },
    /// A picture or array has another number of channels than needed.
    #[error(
        "{found} {} found, {} expected ({})",
        if *found == 1 { "channel" } else { "channels" },
        expected.len(),
        expected.join(" ")
    )]
    Channels {
        /// How many the file has.
        found: usize,
        /// The names of those needed.
        expected: Vec<String>,
    },
    /// A number that must be finite is not.
    #[error("{what}: row {row} is not a finite number")]
    NotFinite {
        /// Which series of numbers.
        what: String,
        /// The first such row, counted from 0.
        row: usize,
    },
    /// A setting is out of its range.
    #[error("setting {name}: {reason}")]
    Setting {
        /// The setting as the settings file names it.
        name: String,
        /// The value found and the values allowed.
        reason: String,
    },
    /// The data cannot support what was asked of them.
    #[error("{reason}")]
    Data {
        /// What is missing.
        reason: String,
    },
    /// One sample could not be inspected.
    #[error("cannot inspect sample {id} ({})", path.display())]
    Sample {
        /// The sample.
        id: String,
        /// Its (first) file.
        path: PathBuf,
        /// Why.
        source: Box<Error>,
    },
    /// The output exists already.
    #[error("{} exists already", path.display())]
    Exists {
        /// The file or folder in the way.
        path: PathBuf,
    },
    /// The person asked to stop (Ctrl-C).
    #[error("stopped")]
    Stopped,
    /// An error with the way out of it.
    #[error("{source}")]
    Helped {
        /// What went wrong.
        source: Box<Error>,
        /// What to do about it.
        help: String,
    },
    /// The tensor library refused an operation.
    #[error("tensor operation failed")]
    Tensor(#[from] candle_core::Error),
}

impl Error {
    /// Adds the way out to an error.
    #[must_use]
    pub fn help(self, help: impl Into<String>) -> Self {
        Self::Helped {
            source: Box::new(self),
            help: help.into(),
        }
    }

    /// An [`Error::Io`] for `path`; for use with `map_err`.
    pub fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }

    /// An [`Error::Malformed`] for `path`.
    pub fn malformed(path: impl Into<PathBuf>, reason: impl Into<String>) -> Self {
        Self::Malformed {
            path: path.into(),
            reason: reason.into(),
        }
    }

    /// An [`Error::Data`].
    pub fn data(reason: impl Into<String>) -> Self {
        Self::Data {
            reason: reason.into(),
        }
    }

    /// An [`Error::Setting`].
    pub fn setting(name: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Setting {
            name: name.into(),
            reason: reason.into(),
        }
    }

    /// An [`Error::Shape`].
    pub fn shape(
        what: impl Into<String>,
        found: impl std::fmt::Debug,
        expected: impl std::fmt::Debug,
    ) -> Self {
        Self::Shape {
            what: what.into(),
            found: format!("{found:?}"),
            expected: format!("{expected:?}"),
        }
    }
}

/// Why, on one line: the error's causes from the outermost to the innermost,
/// without the sample's name and `path` before the colon (the row has both) and
/// without repetitions.
#[must_use]
pub fn reason(error: &Error, path: &Path) -> String {
    let path = format!("{}: ", path.display());
    let mut parts: Vec<String> = Vec::new();
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = next {
        let inner = match current.downcast_ref::<Error>() {
            Some(Error::Sample { source, .. } | Error::Helped { source, .. }) => {
                Some(source.as_ref() as &(dyn std::error::Error + 'static))
            }
            _ => None,
        };
        if inner.is_none() {
            let text = current.to_string();
            let text = one_line(text.strip_prefix(&path).unwrap_or(&text));
            // Some errors repeat their cause in their own words.
            if parts.last().is_none_or(|last| !last.contains(&text)) {
                parts.push(text);
            }
        }
        next = inner.or_else(|| current.source());
    }
    parts.join(": ")
}

/// The text with control characters (line ends, terminal escapes) as blanks.
#[must_use]
pub fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
