//! Feature tables as files: csv, npy or parquet by the name's extension,
//! written row by row, whole or not at all.

use crate::error::{Error, Result};
use crate::files::Pending;
use ndarray::Array2;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::Path;

/// Writes rows of features with their ids.
///
/// - `.csv`: columns `id`, `f0`, `f1` ...; the shortest decimals that give the
///   same 32-bit number back
/// - `.npy`: `[rows, features]`, 32-bit floats, without the ids
/// - `.parquet` (feature `parquet`): the columns of the csv
#[derive(Debug)]
pub struct FeatureWriter {
    pending: Pending,
    format: Format,
    features: usize,
    rows: usize,
}

#[derive(Debug)]
enum Format {
    Csv,
    Npy,
    /// Written at the end: its writer wants to own the file.
    #[cfg(feature = "parquet")]
    Parquet {
        ids: Vec<String>,
        values: Vec<f32>,
    },
}

/// Room for an npy header; its number of rows is known only at the end.
const NPY_HEADER: usize = 128;

impl FeatureWriter {
    /// Begins a table of `features` columns.
    ///
    /// # Errors
    /// [`Error::Setting`] if the extension is none of the three; [`Error::Io`].
    pub fn create(path: &Path, features: usize) -> Result<Self> {
        let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase());
        let format = match extension.as_deref() {
            Some("csv") => Format::Csv,
            Some("npy") => Format::Npy,
            #[cfg(feature = "parquet")]
            Some("parquet") => Format::Parquet {
                ids: Vec::new(),
                values: Vec::new(),
            },
            #[cfg(not(feature = "parquet"))]
            Some("parquet") => {
                let reason = "this build writes no parquet; csv or npy expected";
                return Err(Error::setting("out", reason)
                    .help("build with --features parquet, or choose .csv or .npy"));
            }
            _ => {
                let reason = format!("{}: .csv, .npy or .parquet expected", path.display());
                return Err(Error::setting("out", reason));
            }
        };
        let mut writer = Self {
            pending: Pending::create(path)?,
            format,
            features,
            rows: 0,
        };
        let start = match &writer.format {
            Format::Csv => {
                let columns: String = (0..features).map(|i| format!(",f{i}")).collect();
                format!("id{columns}\n").into_bytes()
            }
            Format::Npy => writer.npy_header(),
            #[cfg(feature = "parquet")]
            Format::Parquet { .. } => Vec::new(),
        };
        writer.put(&start)?;
        Ok(writer)
    }

    /// Appends rows: ids, and features `[n, features]`.
    ///
    /// # Errors
    /// [`Error::Shape`] if they do not fit; [`Error::Io`].
    pub fn write(&mut self, ids: &[&str], features: &Array2<f64>) -> Result<()> {
        if features.dim() != (ids.len(), self.features) {
            let expected = (ids.len(), self.features);
            return Err(Error::shape("feature rows", features.dim(), expected));
        }
        let bytes = match &mut self.format {
            Format::Csv => csv_rows(ids, features)?,
            Format::Npy => features
                .iter()
                .flat_map(|v| (*v as f32).to_le_bytes())
                .collect(),
            #[cfg(feature = "parquet")]
            Format::Parquet { ids: all, values } => {
                all.extend(ids.iter().map(|id| (*id).to_owned()));
                values.extend(features.iter().map(|v| *v as f32));
                Vec::new()
            }
        };
        self.put(&bytes)?;
        self.rows += ids.len();
        Ok(())
    }

    /// Completes the file and puts it in its place; returns the number of rows.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn finish(mut self) -> Result<usize> {
        if let Format::Npy = self.format {
            let path = self.pending.path().to_path_buf();
            let start = self.pending.file().seek(SeekFrom::Start(0));
            start.map_err(Error::io("write", path))?;
            let header = self.npy_header();
            self.put(&header)?;
        }
        #[cfg(feature = "parquet")]
        if let Format::Parquet { ids, values } = &self.format {
            super::features_parquet::write(self.pending.file(), ids, values, self.features)?;
        }
        self.pending.finish()?;
        Ok(self.rows)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        let path = self.pending.path().to_path_buf();
        let mut out = BufWriter::new(self.pending.file());
        out.write_all(bytes)
            .and_then(|()| out.flush())
            .map_err(Error::io("write", path))
    }

    /// Version 1.0 of the format, padded to a fixed length.
    fn npy_header(&self) -> Vec<u8> {
        let text = format!(
            "{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}",
            self.rows, self.features
        );
        let mut header = b"\x93NUMPY\x01\x00".to_vec();
        header.extend(((NPY_HEADER - 10) as u16).to_le_bytes());
        header.extend(text.bytes());
        header.resize(NPY_HEADER - 1, b' ');
        header.push(b'\n');
        header
    }
}

fn csv_rows(ids: &[&str], features: &Array2<f64>) -> Result<Vec<u8>> {
    let mut rows = csv::Writer::from_writer(Vec::new());
    for (id, row) in ids.iter().zip(features.outer_iter()) {
        let numbers = row.iter().map(|v| (*v as f32).to_string());
        rows.write_record(std::iter::once((*id).to_owned()).chain(numbers))
            .map_err(|e| Error::data(e.to_string()))?;
    }
    rows.into_inner().map_err(|e| Error::data(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::npy::read_header;
    use ndarray::array;

    #[test]
    fn csv_holds_ids_and_exact_numbers() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f.csv");
        let mut writer = FeatureWriter::create(&path, 2).unwrap();
        writer.write(&["a,b"], &array![[0.1, 2.0]]).unwrap();
        writer.write(&["c"], &array![[-1.5, 1e-7]]).unwrap();
        assert_eq!(writer.finish().unwrap(), 2);
        let text = std::fs::read_to_string(path).unwrap();
        assert_eq!(text, "id,f0,f1\n\"a,b\",0.1,2\nc,-1.5,0.0000001\n");
    }

    #[test]
    fn npy_gets_its_number_of_rows_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f.npy");
        let mut writer = FeatureWriter::create(&path, 3).unwrap();
        for row in 0..5 {
            writer
                .write(&["x"], &array![[f64::from(row), 0.5, 0.0]])
                .unwrap();
        }
        writer.finish().unwrap();
        assert_eq!(read_header(&path).unwrap().shape, [5, 3]);
        assert_eq!(std::fs::metadata(path).unwrap().len(), 128 + 5 * 3 * 4);
    }

    #[test]
    fn an_unfinished_table_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = FeatureWriter::create(&dir.path().join("f.csv"), 1).unwrap();
        writer.write(&["a"], &array![[1.0]]).unwrap();
        drop(writer);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
