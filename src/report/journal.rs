//! The journal of a `score` run: every row is on disk before the next begins,
//! so a run killed at any moment is continued with no row lost and none
//! doubled.
//!
//! `scores.partial.jsonl` holds a header line (what the run rests on, see
//! [`Fingerprint`]) and then one line for each input, in the order of the
//! inputs. A line counts once its line end is written. On resume the longest
//! valid beginning is kept and the rest, a torn line, is cut off. The row's
//! pictures are written before the row.

use crate::error::{Error, Result};
use crate::report::scores::ScoreRow;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// What the rows of a run rest on, by name: the bundle, the settings, the
/// list of inputs. Runs with different fingerprints cannot be joined.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(BTreeMap<String, String>);

impl Fingerprint {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a part: `bundle` and its hash, `settings` and their hash ...
    #[must_use]
    pub fn with(mut self, part: &str, value: impl Into<String>) -> Self {
        self.0.insert(part.into(), value.into());
        self
    }

    /// Adds a list (the inputs' ids and paths) as its length and SHA-256.
    #[must_use]
    pub fn with_list<T: AsRef<[u8]>>(self, part: &str, items: impl IntoIterator<Item = T>) -> Self {
        let mut hash = Sha256::new();
        let mut count = 0u64;
        for item in items {
            let item = item.as_ref();
            hash.update((item.len() as u64).to_le_bytes());
            hash.update(item);
            count += 1;
        }
        let hex: String = hash
            .finalize()
            .iter()
            .take(16)
            .map(|b| format!("{b:02x}"))
            .collect();
        self.with(part, format!("{count} {hex}"))
    }

    /// The parts in which the two differ, in alphabetical order.
    #[must_use]
    pub fn differences<'a>(&'a self, other: &'a Self) -> Vec<&'a str> {
        let mut parts: Vec<&str> = self
            .0
            .keys()
            .chain(other.0.keys())
            .map(String::as_str)
            .collect();
        parts.sort_unstable();
        parts.dedup();
        parts.retain(|p| self.0.get(*p) != other.0.get(*p));
        parts
    }

    /// An error that says what differs, unless they are the same.
    ///
    /// # Errors
    /// [`Error::Data`].
    pub fn require_same(&self, begun_with: &Self, folder: &Path) -> Result<()> {
        let differs = self.differences(begun_with);
        if differs.is_empty() {
            return Ok(());
        }
        let part = |of: &Self, name: &str| of.0.get(name).cloned().unwrap_or_else(|| "none".into());
        let details: Vec<String> = differs
            .iter()
            .map(|p| format!("{p} ({} then, {} now)", part(begun_with, p), part(self, p)))
            .collect();
        Err(Error::data(format!(
            "{} holds a run that differs from this one in: {}",
            folder.display(),
            details.join(", ")
        ))
        .help("resume with what it was begun with, or pass --force to start anew"))
    }
}

/// The first line of a journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalHeader {
    /// What the rows rest on.
    pub fingerprint: Fingerprint,
    /// The classes of the rows' probabilities, in order.
    pub classes: Vec<String>,
}

/// Where a row lies in the journal, in bytes.
pub type Offset = u64;

/// A journal open for writing, locked against a second run.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
    end: Offset,
    rows: u64,
}

impl Journal {
    /// Opens the journal at `path`, or begins it; `on_row` is given every row
    /// that is there already, in order.
    ///
    /// # Errors
    /// [`Error::Data`] if it was begun with another header, or is being
    /// written by another run; [`Error::Io`].
    pub fn open(
        path: &Path,
        header: &JournalHeader,
        mut on_row: impl FnMut(Offset, &ScoreRow),
    ) -> Result<Self> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(Error::io("open", path))?;
        if file.try_lock().is_err() {
            return Err(Error::data(format!(
                "{} is being written by another run",
                path.display()
            ))
            .help("wait for it to end, or choose another output folder"));
        }
        let mut rows = 0;
        let mut lines = Lines::new(BufReader::new(&mut file));
        let begun: Option<JournalHeader> = lines.next_json().map_err(Error::io("read", path))?;
        if let Some(begun) = &begun {
            let folder = path.parent().unwrap_or(path);
            header
                .fingerprint
                .require_same(&begun.fingerprint, folder)?;
            if begun.classes != header.classes {
                return Err(Error::data(format!(
                    "{} was begun with the classes {:?}; now they are {:?}",
                    path.display(),
                    begun.classes,
                    header.classes
                )));
            }
            loop {
                let start = lines.valid;
                match lines
                    .next_json::<ScoreRow>()
                    .map_err(Error::io("read", path))?
                {
                    Some(row) => on_row(start, &row),
                    None => break,
                }
                rows += 1;
            }
        }
        let end = lines.valid;
        file.set_len(end).map_err(Error::io("truncate", path))?;
        file.seek(SeekFrom::Start(end))
            .map_err(Error::io("read", path))?;
        let mut journal = Self {
            file,
            path: path.into(),
            end,
            rows,
        };
        if begun.is_none() {
            journal.write_line(header)?;
        }
        Ok(journal)
    }

    /// Number of rows so far.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Appends a row; it is in the hands of the operating system on return.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn push(&mut self, row: &ScoreRow) -> Result<Offset> {
        let start = self.end;
        self.write_line(row)?;
        self.rows += 1;
        Ok(start)
    }

    fn write_line(&mut self, value: &impl Serialize) -> Result<()> {
        let failed = |e| Error::io("write", &self.path)(e);
        let mut line = serde_json::to_vec(value).map_err(|e| failed(e.into()))?;
        line.push(b'\n');
        self.file.write_all(&line).map_err(failed)?;
        self.end += line.len() as u64;
        Ok(())
    }

    /// Reads all rows from the beginning.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be opened.
    pub fn reader(&self) -> Result<JournalReader> {
        let file = File::open(&self.path).map_err(Error::io("read", &self.path))?;
        let mut lines = Lines::new(BufReader::new(file));
        lines
            .next_json::<JournalHeader>()
            .map_err(Error::io("read", &self.path))?;
        Ok(JournalReader {
            lines,
            path: self.path.clone(),
        })
    }

    /// Closes and removes the journal: the run is complete.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn remove(self) -> Result<()> {
        std::fs::remove_file(&self.path).map_err(Error::io("remove", &self.path))
    }
}

/// Reads the rows of a journal, in order or one by its offset.
#[derive(Debug)]
pub struct JournalReader {
    lines: Lines<BufReader<File>>,
    path: PathBuf,
}

impl JournalReader {
    /// The row at an offset that [`Journal`] gave.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Malformed`] if there is no row.
    pub fn row_at(&mut self, offset: Offset) -> Result<ScoreRow> {
        let failed = |e| Error::io("read", &self.path)(e);
        self.lines
            .inner
            .seek(SeekFrom::Start(offset))
            .map_err(failed)?;
        self.lines.valid = offset;
        let row = self.lines.next_json().map_err(failed)?;
        row.ok_or_else(|| Error::malformed(&self.path, format!("no row at byte {offset}")))
    }
}

impl Iterator for JournalReader {
    type Item = Result<(Offset, ScoreRow)>;

    fn next(&mut self) -> Option<Self::Item> {
        let start = self.lines.valid;
        let row = self
            .lines
            .next_json()
            .map_err(Error::io("read", &self.path));
        row.map(|r| r.map(|row| (start, row))).transpose()
    }
}

/// Lines of JSON up to the first that is torn or is not what it should be.
#[derive(Debug)]
struct Lines<R> {
    inner: R,
    /// Bytes up to the end of the last valid line.
    valid: u64,
    line: Vec<u8>,
}

impl<R: Read + BufRead> Lines<R> {
    fn new(inner: R) -> Self {
        Self {
            inner,
            valid: 0,
            line: Vec::new(),
        }
    }

    fn next_json<T: serde::de::DeserializeOwned>(&mut self) -> std::io::Result<Option<T>> {
        self.line.clear();
        self.inner.read_until(b'\n', &mut self.line)?;
        let Some(json) = self.line.strip_suffix(b"\n") else {
            return Ok(None);
        };
        let value = serde_json::from_slice(json).ok();
        if value.is_some() {
            self.valid += self.line.len() as u64;
        }
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(bundle: &str) -> JournalHeader {
        JournalHeader {
            fingerprint: Fingerprint::new()
                .with("bundle", bundle)
                .with_list("inputs", ["a", "b"]),
            classes: vec!["good".into()],
        }
    }

    fn row(id: usize) -> ScoreRow {
        ScoreRow::unreadable(&format!("{id} é\n"), Path::new("p"), &Error::data("torn"))
    }

    #[test]
    fn a_journal_cut_at_any_byte_is_continued_to_the_same_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("j");
        let mut journal = Journal::open(&path, &header("x"), |_, _| panic!("is new")).unwrap();
        for i in 0..4 {
            journal.push(&row(i)).unwrap();
        }
        drop(journal);
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..=whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let mut kept = Vec::new();
            let mut journal =
                Journal::open(&path, &header("x"), |_, r| kept.push(r.clone())).unwrap();
            assert_eq!(kept.len() as u64, journal.rows());
            for i in kept.len()..4 {
                journal.push(&row(i)).unwrap();
            }
            assert_eq!(std::fs::read(&path).unwrap(), whole, "cut at {cut}");
        }
    }

    #[test]
    fn another_bundle_is_refused_and_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("j");
        Journal::open(&path, &header("x"), |_, _| ()).unwrap();
        let error = Journal::open(&path, &header("y"), |_, _| ()).unwrap_err();
        assert!(
            error.to_string().contains("bundle (x then, y now)"),
            "{error}"
        );
    }

    #[test]
    fn two_runs_cannot_write_one_journal() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("j");
        let _first = Journal::open(&path, &header("x"), |_, _| ()).unwrap();
        assert!(Journal::open(&path, &header("x"), |_, _| ()).is_err());
    }

    #[test]
    fn rows_are_found_again_by_offset() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(&dir.path().join("j"), &header("x"), |_, _| ()).unwrap();
        let offsets: Vec<Offset> = (0..3).map(|i| journal.push(&row(i)).unwrap()).collect();
        let mut reader = journal.reader().unwrap();
        assert_eq!(reader.row_at(offsets[2]).unwrap(), row(2));
        assert_eq!(reader.row_at(offsets[0]).unwrap(), row(0));
        let all: Vec<_> = journal.reader().unwrap().map(Result::unwrap).collect();
        assert_eq!(
            all,
            (0..3).map(|i| (offsets[i], row(i))).collect::<Vec<_>>()
        );
    }

    #[test]
    fn the_list_of_inputs_is_told_apart_by_content_and_order() {
        let of = |items: &[&str]| Fingerprint::new().with_list("inputs", items);
        assert_ne!(of(&["ab", "c"]), of(&["a", "bc"]));
        assert_ne!(of(&["a", "b"]), of(&["b", "a"]));
        assert_eq!(of(&["a", "b"]), of(&["a", "b"]));
    }
}
