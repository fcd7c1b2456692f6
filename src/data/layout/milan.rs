//! The eraser data set's layout: tables of annotations beside one array, or one
//! picture a channel, for each id.

use super::table::Table;
use super::{Catalogue, Masks, Missing, note_list, slashed, stem, walk};
use crate::data::annotation::{Annotation, Label};
use crate::data::decode::EXTENSIONS;
use crate::data::sample::{Channel, PixelSource, Sample, SampleId};
use crate::error::Result;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The tables whose presence shows this layout.
pub(super) const TABLES: [&str; 2] = ["annotations_binary.csv", "annotations_multi.csv"];

/// Classes: `good`, `print`, `physical`, `both`; `defect` where only the binary
/// table knows a piece.
const PRINT: &str = "print";
const PHYSICAL: &str = "physical";
const BOTH: &str = "both";

/// Reads the layout. `wanted` are the channels asked for, `named` those that
/// `dataset.json` lists.
pub(crate) fn read(
    root: &Path,
    wanted: Option<&[Channel]>,
    named: Option<&[Channel]>,
) -> Result<Catalogue> {
    let mut notes = Vec::new();
    let mut labels = labels(root, &mut notes)?;
    let mut groups = groups(root)?;
    let mut masks = Masks::read(&root.join("masks"))?;
    let mut pixels = Pixels::default();
    let folders: Vec<PathBuf> = ["arrays", "images"]
        .iter()
        .map(|name| root.join(name))
        .filter(|path| path.is_dir())
        .collect();
    if folders.is_empty() {
        pixels.gather(root, wanted, named, &labels)?;
    }
    for folder in &folders {
        pixels.gather(folder, wanted, named, &labels)?;
    }
    let twice = pixels.drop_sets_beside_whole_files();
    let channels = pixels.channels(wanted, named);

    let mut catalogue = Catalogue {
        channels: channels.clone(),
        ..Catalogue::default()
    };
    let mut bare = Vec::new();
    let grouped = !groups.is_empty();
    let mut alone = Vec::new();
    let ids: BTreeSet<String> = pixels
        .whole
        .keys()
        .chain(pixels.sets.keys())
        .cloned()
        .collect();
    for id in ids {
        let annotation = labels.remove(&id).map(Annotation::original);
        if annotation.is_none() {
            bare.push(id.clone());
        }
        let whole = pixels.whole.remove(&id);
        let set = pixels.sets.remove(&id);
        let source = match (whole, set) {
            (Some((path, None)), _) => Ok(PixelSource::File(path)),
            (Some((path, Some(reason))), _) => Err(Absent { path, reason }),
            (None, Some(set)) => complete(&set, channels.as_deref().unwrap_or_default()),
            (None, None) => continue, // the id came from one of the two
        };
        let (group, mask) = (groups.remove(&id), masks.take(&id));
        if grouped && group.is_none() {
            alone.push(id.clone());
        }
        match source {
            Ok(source) => catalogue.samples.push(Sample {
                id: SampleId::new(id),
                source,
                annotation,
                group,
                mask,
                split: None,
            }),
            Err(Absent { path, reason }) => catalogue.missing.push(Missing {
                id: SampleId::new(id),
                path,
                annotation,
                reason,
            }),
        }
    }
    let orphans: Vec<String> = labels.keys().cloned().collect();
    for (id, label) in labels {
        // Its mask and group are no orphans: the sample is.
        let _ = (masks.take(&id), groups.remove(&id));
        let folder = folders.first().map_or(root, PathBuf::as_path);
        catalogue.missing.push(Missing {
            path: folder.join(SampleId::new(&*id).file_stem()),
            id: SampleId::new(id),
            annotation: Some(Annotation::original(label)),
            reason: "annotated, but there is no array or picture of it".into(),
        });
    }
    note_list(&mut notes, "annotated but without pixels", &orphans);
    note_list(&mut notes, "with pixels but not annotated", &bare);
    note_list(
        &mut notes,
        "both as one file and as a file for each channel; the one file is read",
        &twice,
    );
    note_list(
        &mut notes,
        "files of an id that has another one, not read",
        &pixels.second,
    );
    let strangers: Vec<String> = groups.into_keys().collect();
    note_list(
        &mut notes,
        "in the table of groups but not there",
        &strangers,
    );
    note_list(&mut notes, "without a group; each is its own", &alone);
    note_list(&mut notes, "masks without a sample", &masks.unpaired(root));
    note_list(
        &mut notes,
        "files that say neither id nor channel",
        &pixels.unknown,
    );
    catalogue.notes = notes;
    Ok(catalogue)
}

/// The id in a table's cell: file names lose their ending.
fn id_of(cell: &str) -> &str {
    match cell.rsplit_once('.') {
        Some((id, ending)) if EXTENSIONS.iter().any(|e| e.eq_ignore_ascii_case(ending)) => id,
        _ => cell,
    }
}

/// Labels of both tables; what the tables say against each other goes to the notes.
fn labels(root: &Path, notes: &mut Vec<String>) -> Result<BTreeMap<String, Label>> {
    let [binary, multi] = TABLES.map(|name| root.join(name));
    // No error: pieces that are to be scored need no labels.
    if !binary.is_file() && !multi.is_file() {
        notes.push(format!("neither {} nor {} found", TABLES[0], TABLES[1]));
    }
    let defective = read_table(&binary, notes, |value| match value {
        "0" | "0.0" => Some(Label::good()),
        "1" | "1.0" => Some(Label::new("defect")),
        _ => None,
    })?;
    let kinds = read_table(&multi, notes, |value| match value {
        "0_0" => Some(Label::good()),
        "1_0" => Some(Label::new(PRINT)),
        "0_1" => Some(Label::new(PHYSICAL)),
        "1_1" => Some(Label::new(BOTH)),
        _ => None,
    })?;
    let against: Vec<&String> = kinds
        .iter()
        .filter(|(id, kind)| {
            defective
                .get(*id)
                .is_some_and(|d| d.is_good() != kind.is_good())
        })
        .map(|(id, _)| id)
        .collect();
    note_list(
        notes,
        "labelled good in one table and defective in the other; annotations_multi.csv counts",
        &against,
    );
    if !kinds.is_empty() {
        let unkind: Vec<&String> = defective
            .iter()
            .filter(|(id, label)| !label.is_good() && !kinds.contains_key(*id))
            .map(|(id, _)| id)
            .collect();
        note_list(
            notes,
            "defective by annotations_binary.csv but not in annotations_multi.csv; their class is defect",
            &unkind,
        );
    }
    let mut labels = defective;
    labels.extend(kinds);
    Ok(labels)
}

/// One table of ids and values, with or without a header.
fn read_table(
    path: &Path,
    notes: &mut Vec<String>,
    meaning: impl Fn(&str) -> Option<Label>,
) -> Result<BTreeMap<String, Label>> {
    let mut labels: BTreeMap<String, Label> = BTreeMap::new();
    if !path.is_file() {
        return Ok(labels);
    }
    let table = Table::read(path)?;
    let header = table.header_row();
    let headless = meaning(header.cell(1)).is_some();
    let mut repeated = Vec::new();
    for row in headless.then_some(&header).into_iter().chain(&table.rows) {
        let (id, value) = (id_of(row.cell(0)), row.cell(1));
        if id.is_empty() {
            return Err(table.bad(row, "no id"));
        }
        let label = meaning(value)
            .ok_or_else(|| table.bad(row, format!("label {value:?} of {id} is not known")))?;
        match labels.insert(id.to_string(), label.clone()) {
            Some(before) if before != label => {
                return Err(table.bad(row, format!("{id} is {label} here and {before} above")));
            }
            Some(_) => repeated.push(id.to_string()),
            None => {}
        }
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    note_list(
        notes,
        &format!("in {name} more than once, always the same"),
        &repeated,
    );
    Ok(labels)
}

/// Groups from `groups.csv`, `pieces.csv` or `truth.csv`, where one has such a column.
fn groups(root: &Path) -> Result<BTreeMap<String, String>> {
    for name in ["groups.csv", "pieces.csv", "truth.csv"] {
        let path = root.join(name);
        if !path.is_file() {
            continue;
        }
        let table = Table::read(&path)?;
        let id = table.column(&["id", "file", "file_prefix", "sample"]);
        let group = table.column(&["group", "piece", "pack"]);
        let (Some(id), Some(group)) = (id, group) else {
            continue;
        };
        let mut groups: BTreeMap<String, String> = BTreeMap::new();
        for row in &table.rows {
            let file = row.cell(id).replace('\\', "/");
            let key = id_of(file.rsplit('/').next().unwrap_or_default()).to_string();
            let piece = row.cell(group);
            if piece.is_empty() {
                continue;
            }
            let before = groups.insert(key.clone(), piece.to_string());
            if before.is_some_and(|before| before != piece) {
                return Err(table.bad(row, format!("{key} belongs to another piece above")));
            }
        }
        return Ok(groups);
    }
    Ok(BTreeMap::new())
}

/// A file for each channel of one id, by channel name.
type Set = BTreeMap<String, (PathBuf, Option<String>)>;

/// What the pixel folders hold.
#[derive(Default)]
struct Pixels {
    whole: BTreeMap<String, (PathBuf, Option<String>)>,
    sets: BTreeMap<String, Set>,
    unknown: Vec<String>,
    /// Files of an id that has one before.
    second: Vec<String>,
}

impl Pixels {
    fn gather(
        &mut self,
        folder: &Path,
        wanted: Option<&[Channel]>,
        named: Option<&[Channel]>,
        labels: &BTreeMap<String, Label>,
    ) -> Result<()> {
        let eraser = Channel::eraser();
        let known: BTreeSet<&str> = wanted
            .into_iter()
            .chain(named)
            .flatten()
            .chain(&eraser)
            .map(Channel::name)
            .collect();
        for found in walk::list(folder)?.pictures {
            let stem = stem(&found.path);
            let entry = (found.path, found.problem);
            if labels.contains_key(&stem) {
                self.take_whole(stem, entry);
            } else if let Some((id, channel)) = split_channel(&stem, &known, labels) {
                self.sets.entry(id).or_default().insert(channel, entry);
            } else {
                self.take_whole(stem, entry);
            }
        }
        Ok(())
    }

    /// The first file of an id is read: arrays before pictures, which may be
    /// previews.
    fn take_whole(&mut self, id: String, entry: (PathBuf, Option<String>)) {
        match self.whole.entry(id) {
            Entry::Vacant(free) => {
                free.insert(entry);
            }
            Entry::Occupied(_) => self.second.push(slashed(&entry.0)),
        }
    }

    /// Drops the files of single channels of ids that have one file of all, and
    /// returns these ids: they must not say what channels the data have.
    fn drop_sets_beside_whole_files(&mut self) -> Vec<String> {
        let whole = &self.whole;
        let beside: Vec<String> = self
            .sets
            .keys()
            .filter(|id| whole.contains_key(*id))
            .cloned()
            .collect();
        self.sets.retain(|id, _| !whole.contains_key(id));
        beside
    }

    /// The channels of the sets: as asked for, as `dataset.json` names them, or
    /// those that at least half of the ids have.
    fn channels(
        &mut self,
        wanted: Option<&[Channel]>,
        named: Option<&[Channel]>,
    ) -> Option<Vec<Channel>> {
        if self.sets.is_empty() {
            return None;
        }
        if let Some(channels) = wanted.or(named) {
            return Some(channels.to_vec());
        }
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for set in self.sets.values() {
            for channel in set.keys() {
                *counts.entry(channel).or_default() += 1;
            }
        }
        let order = Channel::eraser();
        let mut names: Vec<&str> = counts
            .iter()
            .filter(|(_, count)| *count * 2 >= self.sets.len())
            .map(|(name, _)| *name)
            .collect();
        names.sort_by_key(|name| {
            let place = order.iter().position(|c| c.name() == *name);
            (place.unwrap_or(order.len()), *name)
        });
        let channels: Vec<Channel> = names.into_iter().map(Channel::new).collect();
        for set in self.sets.values() {
            for (name, (path, _)) in set {
                if !channels.iter().any(|c| c.name() == name) {
                    self.unknown
                        .push(slashed(Path::new(path.file_name().unwrap_or_default())));
                }
            }
        }
        Some(channels)
    }
}

/// `ID_CHANNEL` taken apart: by the channel names known, else by the ids known.
fn split_channel(
    stem: &str,
    known: &BTreeSet<&str>,
    labels: &BTreeMap<String, Label>,
) -> Option<(String, String)> {
    let cuts: Vec<(&str, &str)> = stem
        .match_indices('_')
        .map(|(at, _)| (&stem[..at], &stem[at + 1..]))
        .filter(|(id, channel)| !id.is_empty() && !channel.is_empty())
        .collect();
    cuts.iter()
        .find(|(_, channel)| known.contains(channel))
        .or_else(|| cuts.iter().rev().find(|(id, _)| labels.contains_key(*id)))
        .map(|(id, channel)| (id.to_string(), channel.to_string()))
}

/// Why a sample has no pixels.
struct Absent {
    path: PathBuf,
    reason: String,
}

/// A source of all channels.
fn complete(set: &Set, channels: &[Channel]) -> Result<PixelSource, Absent> {
    let (mut paths, mut absent) = (Vec::new(), Vec::new());
    for channel in channels {
        match set.get(channel.name()) {
            Some((path, None)) => paths.push(path.clone()),
            Some((path, Some(problem))) => {
                return Err(Absent {
                    path: path.clone(),
                    reason: format!("channel {channel}: {problem}"),
                });
            }
            None => absent.push(channel.name()),
        }
    }
    if absent.is_empty() {
        return Ok(PixelSource::Channels(paths));
    }
    let any = set.values().next().map(|(path, _)| path.clone());
    Err(Absent {
        path: any.unwrap_or_default(),
        reason: format!("no file of channel {}", absent.join(", ")),
    })
}

#[cfg(test)]
mod tests;
