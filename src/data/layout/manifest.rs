//! A table with one row a sample: `id`, `path` (or a `path_CHANNEL` column for
//! each channel), and where wanted `label`, `group`, `split`, `mask`.
//!
//! Paths are relative to the table's folder. A path may lead out of it: files
//! are only ever read from there.

use super::table::{Row, Table};
use super::{Catalogue, Missing, label, note_list, stem, walk};
use crate::data::annotation::Annotation;
use crate::data::sample::{Channel, PixelSource, Sample, SampleId, Split};
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};

/// What a column of one channel's files starts with.
const CHANNEL_PREFIX: &str = "path_";

/// The one table of a folder that is a manifest; `manifest.csv` before others.
pub(super) fn find(folder: &Path) -> Result<Option<PathBuf>> {
    let tables: Vec<PathBuf> = walk::list(folder)?
        .others
        .into_iter()
        .filter(|p| p.extension().is_some_and(|e| e.eq_ignore_ascii_case("csv")))
        .filter(|p| {
            // By the header alone: whatever is wrong further on, reading it says so.
            Table::head(p)
                .is_ok_and(|table| columns(&table).is_ok() && table.column(&["id"]).is_some())
        })
        .collect();
    let named = tables
        .iter()
        .find(|p| stem(p).eq_ignore_ascii_case("manifest"));
    Ok(match (named, tables.len()) {
        (Some(path), _) => Some(path.clone()),
        (None, 1) => tables.into_iter().next(),
        _ => None,
    })
}

/// Where the pixels of a row are named.
enum Columns {
    One(usize),
    Channels(Vec<(Channel, usize)>),
}

fn columns(table: &Table) -> Result<Columns> {
    if let Some(column) = table.column(&["path"]) {
        return Ok(Columns::One(column));
    }
    let channels: Vec<(Channel, usize)> = table
        .header
        .iter()
        .enumerate()
        .filter_map(|(i, name)| {
            let prefix = name.get(..CHANNEL_PREFIX.len())?;
            let channel = name.get(CHANNEL_PREFIX.len()..)?;
            (prefix.eq_ignore_ascii_case(CHANNEL_PREFIX) && !channel.is_empty())
                .then(|| (Channel::new(channel), i))
        })
        .collect();
    if channels.is_empty() {
        return Err(Error::malformed(
            &table.path,
            format!(
                "columns {:?} found; id and path (or path_CHANNEL) expected",
                table.header
            ),
        ));
    }
    Ok(Columns::Channels(channels))
}

/// Reads the table at `path`, or the manifest in the folder `path`. `wanted` are
/// the channels asked for.
pub(crate) fn read(path: &Path, wanted: Option<&[Channel]>) -> Result<Catalogue> {
    let file = if path.is_dir() {
        find(path)?.ok_or_else(|| {
            Error::malformed(path, "no table with the columns id and path found")
                .help("name the table itself, or give it the name manifest.csv")
        })?
    } else {
        path.to_path_buf()
    };
    let folder = file.parent().unwrap_or(Path::new(""));
    let table = Table::read(&file)?;
    let mut columns = columns(&table)?;
    let mut catalogue = Catalogue::default();
    if let Columns::Channels(all) = &mut columns {
        if let Some(wanted) = wanted {
            *all = wanted
                .iter()
                .map(|channel| {
                    let found = all.iter().find(|(c, _)| c == channel);
                    found
                        .cloned()
                        .ok_or_else(|| Error::malformed(&file, format!("no column path_{channel}")))
                })
                .collect::<Result<_>>()?;
        }
        catalogue.channels = Some(all.iter().map(|(c, _)| c.clone()).collect());
    }
    let id = table.column(&["id"]);
    let class = table.column(&["label", "class"]);
    let group = table.column(&["group", "piece", "pack"]);
    let split = table.column(&["split"]);
    let mask = table.column(&["mask"]);
    let cell = |row: &Row, column: Option<usize>| {
        let text = column.map_or("", |c| row.cell(c));
        (!text.is_empty()).then(|| text.to_string())
    };
    let mut unpaired = Vec::new();
    for row in &table.rows {
        let paths: Vec<PathBuf> = match &columns {
            Columns::One(column) => vec![row.cell(*column)],
            Columns::Channels(all) => all.iter().map(|(_, c)| row.cell(*c)).collect(),
        }
        .into_iter()
        .map(|cell| match cell {
            "" => PathBuf::new(),
            cell => folder.join(cell),
        })
        .collect();
        let first = paths.first().cloned().unwrap_or_default();
        let id = match cell(row, id) {
            Some(id) => id,
            None if !stem(&first).is_empty() => stem(&first),
            None => return Err(table.bad(row, "neither id nor path")),
        };
        let annotation = cell(row, class).map(|name| Annotation::original(label(&name)));
        let split = cell(row, split)
            .map(|name| match name.to_lowercase().as_str() {
                "train" | "training" => Ok(Split::Train),
                "validation" | "valid" | "val" => Ok(Split::Validation),
                "test" => Ok(Split::Test),
                _ => Err(table.bad(
                    row,
                    format!("split {name:?} found; train, validation or test expected"),
                )),
            })
            .transpose()?;
        let mask = cell(row, mask)
            .map(|name| folder.join(name))
            .filter(|path| {
                let there = path.exists();
                if !there {
                    unpaired.push(format!("{} (of {id})", path.display()));
                }
                there
            });
        let absent = paths
            .iter()
            .find(|p| p.as_os_str().is_empty() || !p.exists());
        if let Some(absent) = absent {
            let reason = match absent.as_os_str().is_empty() {
                true => format!("line {}: the path is empty", row.line),
                false => format!("line {}: there is no {}", row.line, absent.display()),
            };
            catalogue.missing.push(Missing {
                id: SampleId::new(id),
                path: absent.clone(),
                annotation,
                reason,
            });
            continue;
        }
        catalogue.samples.push(Sample {
            id: SampleId::new(id),
            source: match columns {
                Columns::One(_) => PixelSource::File(first),
                Columns::Channels(_) => PixelSource::Channels(paths),
            },
            annotation,
            group: cell(row, group),
            mask,
            split,
        });
    }
    let absent: Vec<&str> = catalogue.missing.iter().map(|m| m.id.as_str()).collect();
    note_list(
        &mut catalogue.notes,
        "rows whose file is not there",
        &absent,
    );
    note_list(&mut catalogue.notes, "masks that are not there", &unpaired);
    Ok(catalogue)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn set(text: &str, wanted: Option<&[Channel]>) -> Result<Catalogue> {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("inner");
        fs::create_dir(&inner).unwrap();
        for name in ["inner/a.png", "inner/b.png", "c.png"] {
            fs::write(dir.path().join(name), "pixels are not read here").unwrap();
        }
        fs::write(inner.join("list.csv"), text).unwrap();
        read(&inner, wanted)
    }

    #[test]
    fn only_id_and_path_are_needed_and_all_columns_are_used() {
        let text = "id,path,label,group,split,mask\n\
                    1,a.png,Good,p1,train,\n\
                    2,../c.png,chip,p2,TEST,b.png\n\
                    3,gone.png,chip,,val,\n\
                    ,b.png,,,,gone.png\n";
        let set = set(text, None).unwrap();
        let found: Vec<_> = set
            .samples
            .iter()
            .map(|s| (s.id.as_str(), s.label(), s.split))
            .collect();
        assert_eq!(
            found,
            [
                ("1", Some("good"), Some(Split::Train)),
                ("2", Some("chip"), Some(Split::Test)),
                ("b", None, None),
            ]
        );
        assert!(set.samples[1].mask.is_some());
        assert_eq!(set.samples[1].group.as_deref(), Some("p2"));
        assert!(set.missing[0].reason.starts_with("line 4: there is no"));
        assert_eq!(set.notes[0], "1 rows whose file is not there: 3");
        assert!(set.notes[1].starts_with("1 masks that are not there"));
    }

    #[test]
    fn a_column_for_each_channel_names_the_channels() {
        let text = "id,path_GRAY,path_AM\n1,a.png,b.png\n2,a.png,\n";
        let both = set(text, None).unwrap();
        assert_eq!(both.channels.unwrap(), ["GRAY", "AM"].map(Channel::new));
        assert_eq!(both.missing[0].reason, "line 3: the path is empty");
        let one = set(text, Some(&[Channel::new("AM")])).unwrap();
        assert_eq!(one.missing[0].id.as_str(), "2");
        assert!(one.samples[0].path().ends_with("b.png"));
        assert!(set(text, Some(&[Channel::new("UV")])).is_err());
    }

    #[test]
    fn an_unknown_split_is_an_error() {
        let error = set("id,path,split\n1,a.png,later\n", None).unwrap_err();
        assert!(
            error.to_string().contains("line 2: split \"later\" found"),
            "{error}"
        );
    }
}
