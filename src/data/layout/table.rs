//! Small tables as people write them: comma, semicolon or tab, stray blanks,
//! a byte order mark, either line ending.

use crate::data::decode::open_regular;
use crate::error::{Error, Result};
use std::io::Read;
use std::path::{Path, PathBuf};

/// A larger file is no table of samples.
const MAX_BYTES: u64 = 256 << 20;
/// A longer first line is no header.
const HEAD_BYTES: u64 = 64 << 10;

/// A table, its cells without blanks at their ends.
#[derive(Debug)]
pub(crate) struct Table {
    pub path: PathBuf,
    pub header: Vec<String>,
    pub rows: Vec<Row>,
}

/// A row and the line it stands in.
#[derive(Debug)]
pub(crate) struct Row {
    pub line: u64,
    cells: Vec<String>,
}

impl Row {
    /// The cell in a column; empty where the row is shorter.
    pub fn cell(&self, column: usize) -> &str {
        self.cells.get(column).map_or("", String::as_str)
    }
}

impl Table {
    /// Reads a table; its first row with content is the header.
    pub fn read(path: &Path) -> Result<Self> {
        Self::parse(path, None)
    }

    /// The header alone, for finding out what a table is: a log of gigabytes
    /// may lie beside the pictures.
    pub fn head(path: &Path) -> Result<Self> {
        Self::parse(path, Some(HEAD_BYTES))
    }

    fn parse(path: &Path, at_most: Option<u64>) -> Result<Self> {
        let (mut file, length) = open_regular(path)?;
        if at_most.is_none() && length > MAX_BYTES {
            return Err(Error::malformed(
                path,
                format!("{length} bytes, at most {MAX_BYTES} expected of a table"),
            ));
        }
        let mut bytes = Vec::new();
        file.by_ref()
            .take(at_most.map_or(length, |limit| limit.min(length)))
            .read_to_end(&mut bytes)
            .map_err(Error::io("read", path))?;
        if at_most.is_some() {
            let first = bytes.iter().position(|b| !b.is_ascii_whitespace());
            let first = first.unwrap_or(0);
            if let Some(end) = bytes[first..].iter().position(|b| *b == b'\n') {
                bytes.truncate(first + end + 1);
            }
        }
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        let text = std::str::from_utf8(bytes).map_err(|e| {
            Error::malformed(path, format!("not UTF-8 text (byte {})", e.valid_up_to()))
                .help("save the table as UTF-8 CSV")
        })?;
        let first = text.lines().find(|l| !l.trim().is_empty()).unwrap_or("");
        let delimiter = [b',', b';', b'\t']
            .into_iter()
            .find(|&d| first.as_bytes().contains(&d))
            .unwrap_or(b',');
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(delimiter)
            .trim(csv::Trim::All)
            .from_reader(text.as_bytes());
        let mut rows = Vec::new();
        for record in reader.records() {
            let record = record.map_err(|e| Error::malformed(path, e.to_string()))?;
            if record.iter().all(str::is_empty) {
                continue;
            }
            rows.push(Row {
                line: record.position().map_or(0, csv::Position::line),
                cells: record.iter().map(str::to_string).collect(),
            });
        }
        if rows.is_empty() {
            return Err(Error::malformed(path, "the table is empty"));
        }
        let header = rows.remove(0).cells;
        Ok(Self {
            path: path.into(),
            header,
            rows,
        })
    }

    /// The column with one of these names, in any case.
    pub fn column(&self, names: &[&str]) -> Option<usize> {
        self.header
            .iter()
            .position(|h| names.iter().any(|name| h.eq_ignore_ascii_case(name)))
    }

    /// The header as a row, for tables that may have none.
    pub fn header_row(&self) -> Row {
        Row {
            line: 1,
            cells: self.header.clone(),
        }
    }

    /// An error in one row.
    pub fn bad(&self, row: &Row, reason: impl std::fmt::Display) -> Error {
        Error::malformed(&self.path, format!("line {}: {reason}", row.line))
    }
}
