//! Corrected labels: a table of `id,label[,reason]` is checked against the data
//! set, applied, and written down in the layout's own form. The original files
//! are only read.

use crate::data::annotation::{Annotation, GOOD, Label, Provenance};
use crate::data::dataset::Dataset;
use crate::data::format::AxisOrder;
use crate::data::layout::Layout;
use crate::data::layout::table::{Row, Table};
use crate::data::sample::{PixelSource, Sample, Split};
use crate::error::{Error, Result};
use crate::files::{CsvFile, write_atomic};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// One changed label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The sample.
    pub id: String,
    /// Its label before; empty if it had none.
    pub from: String,
    /// Its label now.
    pub to: String,
    /// Why, as the table says.
    pub reason: String,
}

/// What a table of corrections did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Corrections {
    /// Labels that are others now, in the order of the table.
    pub changed: Vec<Change>,
    /// Rows that name the label the sample has.
    pub unchanged: usize,
}

/// Reads a table of corrections and applies it to `dataset`.
///
/// # Errors
/// [`Error::Malformed`] naming the row for an id or a class that the data set
/// does not have, or an id that stands there twice with two labels.
pub fn apply(dataset: &mut Dataset, table: &Path) -> Result<Corrections> {
    let rows = read(table)?;
    let classes = classes(dataset);
    let mut found = Corrections::default();
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    for (line, [id, label, reason]) in rows {
        let bad = |reason: String| Error::malformed(table, format!("line {line}: {reason}"));
        let label = if label.eq_ignore_ascii_case(GOOD) {
            GOOD.to_string()
        } else {
            label
        };
        if !classes.contains(&label) {
            let known: Vec<&str> = classes.iter().map(String::as_str).collect();
            return Err(bad(format!(
                "class {label:?} of {id} is not known; {} expected",
                known.join(", ")
            )));
        }
        if let Some(before) = seen.insert(id.clone(), label.clone()) {
            if before != label {
                return Err(bad(format!("{id} is {label} here and {before} above")));
            }
            continue;
        }
        let samples = dataset.samples.iter_mut();
        let annotation = samples
            .map(|s| (s.id.as_str(), &mut s.annotation))
            .chain(
                dataset
                    .missing
                    .iter_mut()
                    .map(|m| (m.id.as_str(), &mut m.annotation)),
            )
            .find(|(of, _)| *of == id)
            .map(|(_, annotation)| annotation)
            .ok_or_else(|| bad(format!("there is no sample {id:?} in the data set")))?;
        let from = annotation
            .as_ref()
            .map_or("", |a| a.label.name())
            .to_string();
        if from == label {
            found.unchanged += 1;
            continue;
        }
        *annotation = Some(Annotation {
            label: Label::new(&label),
            provenance: Provenance::Corrected {
                by: table.display().to_string(),
                why: reason.clone(),
            },
        });
        found.changed.push(Change {
            id,
            from,
            to: label,
            reason,
        });
    }
    *dataset = dataset.seen_as(crate::data::dataset::ClassView::AsLabelled)?;
    Ok(found)
}

/// The classes a correction may name: those of the data, and those the layout
/// has a code for.
fn classes(dataset: &Dataset) -> BTreeSet<String> {
    let mut classes: BTreeSet<String> = dataset.classes.iter().cloned().collect();
    classes.insert(GOOD.to_string());
    if dataset.layout == Layout::Milan {
        if dataset.root.join(MULTI).is_file() {
            classes.extend(["print", "physical", "both"].map(String::from));
        } else {
            classes.insert("defect".into());
        }
    }
    classes
}

/// Line, id, label and reason of each row.
fn read(path: &Path) -> Result<Vec<(u64, [String; 3])>> {
    let table = Table::read(path)?;
    let (Some(id), Some(label)) = (table.column(&["id"]), table.column(&["label"])) else {
        return Err(Error::malformed(
            path,
            format!(
                "columns {:?} found; id, label and, if wanted, reason expected",
                table.header
            ),
        ));
    };
    let reason = table.column(&["reason"]);
    let read = |row: &Row| {
        let cells = [Some(id), Some(label), reason];
        let cells = cells.map(|c| c.map_or("", |c| row.cell(c)).to_string());
        match cells[0].is_empty() || cells[1].is_empty() {
            true => Err(table.bad(row, "id and label expected")),
            false => Ok((row.line, cells)),
        }
    };
    table.rows.iter().map(read).collect()
}

const BINARY: &str = "annotations_binary.csv";
const MULTI: &str = "annotations_multi.csv";

/// Writes the labels as they are now into `folder`:
///
/// - `manifest.csv` and `dataset.json`: every sample with its pixels where they
///   lie, so that the folder can be trained on as it is
/// - for the `milan` layout also the tables of annotations that the data have
///
/// # Errors
/// [`Error::Io`].
pub fn write(dataset: &Dataset, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    if dataset.layout == Layout::Milan {
        for name in [BINARY, MULTI] {
            if dataset.root.join(name).is_file() {
                write_milan(dataset, folder, name)?;
            }
        }
    }
    write_manifest(dataset, folder)
}

/// Every annotated sample, with pixels or without: id and label.
fn labels(dataset: &Dataset) -> BTreeMap<&str, &str> {
    let samples = dataset
        .samples
        .iter()
        .map(|s| (s.id.as_str(), &s.annotation));
    let missing = dataset
        .missing
        .iter()
        .map(|m| (m.id.as_str(), &m.annotation));
    samples
        .chain(missing)
        .filter_map(|(id, a)| Some((id, a.as_ref()?.label.name())))
        .collect()
}

fn write_milan(dataset: &Dataset, folder: &Path, name: &str) -> Result<()> {
    let mut table = CsvFile::create(&folder.join(name), &["ID", "error"])?;
    for (id, label) in labels(dataset) {
        let code = match (name == BINARY, label) {
            (true, GOOD) => "0",
            (true, _) => "1",
            (false, GOOD) => "0_0",
            (false, "print") => "1_0",
            (false, "physical") => "0_1",
            (false, "both") => "1_1",
            // Known to the binary table alone.
            (false, _) => continue,
        };
        table.row(&[id, code])?;
    }
    table.finish()
}

fn write_manifest(dataset: &Dataset, folder: &Path) -> Result<()> {
    let channels = &dataset.format.channels;
    let sets = dataset
        .samples
        .iter()
        .any(|s| matches!(s.source, PixelSource::Channels(_)));
    let mut header = vec!["id".to_string()];
    if sets {
        header.extend(channels.iter().map(|c| format!("path_{c}")));
    } else {
        header.push("path".into());
    }
    header.extend(["label", "group", "split", "mask"].map(String::from));
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    let mut table = CsvFile::create(&folder.join("manifest.csv"), &header)?;
    for sample in &dataset.samples {
        table.row(&manifest_row(sample, sets, channels.len())?)?;
    }
    table.finish()?;
    let stored = dataset.format.stored.as_ref().unwrap_or(channels);
    let about = serde_json::json!({
        "layout": "manifest",
        "channels": stored,
        "axis": match dataset.format.axis {
            AxisOrder::ChannelsFirst => "channels_first",
            AxisOrder::ChannelsLast => "channels_last",
        },
        "range": dataset.format.range,
        "made_by": format!("goma audit {}", env!("CARGO_PKG_VERSION")),
    });
    write_atomic(
        &folder.join("dataset.json"),
        format!("{about:#}\n").as_bytes(),
    )
}

fn manifest_row(sample: &Sample, sets: bool, channels: usize) -> Result<Vec<String>> {
    let full = |path: &PathBuf| -> Result<String> {
        let path = std::path::absolute(path).map_err(Error::io("read", path))?;
        Ok(path.to_string_lossy().into_owned())
    };
    let mut row = vec![sample.id.to_string()];
    match &sample.source {
        PixelSource::Channels(paths) => {
            for path in paths {
                row.push(full(path)?);
            }
        }
        // A data set of both kinds has a column for each channel: one file of
        // all channels stands in none of them.
        PixelSource::File(_) if sets => row.extend(vec![String::new(); channels]),
        PixelSource::File(path) => row.push(full(path)?),
    }
    row.push(sample.label().unwrap_or_default().to_string());
    row.push(sample.group.clone().unwrap_or_default());
    row.push(match sample.split {
        None => String::new(),
        Some(Split::Train) => "train".into(),
        Some(Split::Validation) => "validation".into(),
        Some(Split::Test) => "test".into(),
    });
    row.push(
        sample
            .mask
            .as_ref()
            .map(full)
            .transpose()?
            .unwrap_or_default(),
    );
    Ok(row)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::dataset::OpenOptions;
    use crate::data::npy;
    use std::fs;

    /// Three pieces of a milan data set with both tables.
    fn data(dir: &Path) -> Dataset {
        fs::create_dir(dir.join("arrays")).unwrap();
        for id in ["a", "b", "c"] {
            let path = dir.join(format!("arrays/{id}.npy"));
            npy::write(&path, &[4, 5, 6], &[9u8; 120]).unwrap();
        }
        fs::write(dir.join(BINARY), "ID,error\na,0\nb,1\nc,0\n").unwrap();
        fs::write(dir.join(MULTI), "ID,error\na,0_0\nb,1_0\nc,0_0\n").unwrap();
        Dataset::open(dir, &OpenOptions::default()).unwrap()
    }

    fn corrected(text: &str) -> Result<(tempfile::TempDir, Dataset, Corrections)> {
        let dir = tempfile::tempdir().unwrap();
        let mut dataset = data(dir.path());
        let table = dir.path().join("corrections.csv");
        fs::write(&table, text).unwrap();
        let found = apply(&mut dataset, &table)?;
        Ok((dir, dataset, found))
    }

    #[test]
    fn corrections_are_applied_and_written_in_the_layouts_own_form() {
        let text = "id, label, reason\na, both, two flaws\nb, print,\nb, print,\nc,Good,\n";
        let (dir, dataset, found) = corrected(text).unwrap();
        assert_eq!(found.unchanged, 2);
        let change = Change {
            id: "a".into(),
            from: "good".into(),
            to: "both".into(),
            reason: "two flaws".into(),
        };
        assert_eq!(found.changed, [change]);
        let out = dir.path().join("corrected");
        write(&dataset, &out).unwrap();
        let read = |name: &str| fs::read_to_string(out.join(name)).unwrap();
        assert_eq!(read(BINARY), "ID,error\na,1\nb,1\nc,0\n");
        assert_eq!(read(MULTI), "ID,error\na,1_1\nb,1_0\nc,0_0\n");
        let original = fs::read_to_string(dir.path().join(MULTI)).unwrap();
        assert!(original.contains("a,0_0"), "the data are as they were");
        // The folder is a data set of its own, with the same pixels.
        let again = Dataset::open(&out, &OpenOptions::default()).unwrap();
        assert_eq!(again.samples[0].label(), Some("both"));
        assert_eq!(again.format.channels, dataset.format.channels);
        assert_eq!(again.samples.len(), 3);
    }

    #[test]
    fn what_the_data_do_not_have_is_named_with_its_line() {
        for (text, says) in [
            ("id,label\nz,good\n", "line 2: there is no sample \"z\""),
            (
                "id,label\na,good\nb,scratch\n",
                "line 3: class \"scratch\" of b is not known",
            ),
            (
                "id,label\na,good\na,print\n",
                "line 3: a is print here and good above",
            ),
            ("id,label\na,\n", "line 2: id and label expected"),
            (
                "piece,class\na,good\n",
                "id, label and, if wanted, reason expected",
            ),
        ] {
            let error = corrected(text).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
