//! Pictures and arrays without labels: a folder is searched through, in one
//! order on every machine, and no folder twice however links lead around.
//!
//! Masks are no samples: folders `masks` and `ground_truth`, and `NAME_mask.png`
//! beside `NAME.png`, are left out and noted. Where channels are expected,
//! `ID_CHANNEL.png` files of one id become one sample.

use super::{Catalogue, Missing, file_key, note_list, slashed, stem, walk};
use crate::data::declaration::Declaration;
use crate::data::sample::{Channel, PixelSource, Sample, SampleId};
use crate::error::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Folders of masks, as the labelled layouts name them.
const MASK_FOLDERS: [&str; 2] = ["masks", "ground_truth"];

/// One input: its source, or why it has none.
#[derive(Debug)]
pub(crate) struct Entry {
    pub path: PathBuf,
    /// Below the folder that was searched; just the name for a file named itself.
    pub relative: PathBuf,
    /// What its files' names have in common: the id, if no other has the same.
    pub stem: String,
    pub pixels: Pixels,
}

/// Where an input's pixels are, or why there are none.
#[derive(Debug)]
pub(crate) enum Pixels {
    At(PixelSource),
    Nowhere(String),
}

impl Entry {
    /// A file named by itself, whatever its ending.
    pub fn file(path: &Path) -> Self {
        let problem = match path.to_str() {
            None => Some("the file's name is not UTF-8; rename it".to_string()),
            Some(_) => None,
        };
        Self::new(
            path.into(),
            PathBuf::from(path.file_name().unwrap_or_default()),
            problem,
        )
    }

    fn new(path: PathBuf, relative: PathBuf, problem: Option<String>) -> Self {
        Self {
            stem: stem(&path),
            pixels: match problem {
                None => Pixels::At(PixelSource::File(path.clone())),
                Some(problem) => Pixels::Nowhere(problem),
            },
            path,
            relative,
        }
    }
}

/// Searches a folder.
pub(crate) fn find(
    root: &Path,
    expected: Option<&[Channel]>,
    notes: &mut Vec<String>,
) -> Result<Vec<Entry>> {
    let mut search = Search::new(root, expected);
    search.visit(root)?;
    note_list(notes, "masks left out", &search.masks);
    note_list(notes, "folders of results left out", &search.results);
    note_list(
        notes,
        "folders reached by a second way, left out",
        &search.again,
    );
    note_list(
        notes,
        "files of channels that are not needed, left out",
        &search.spare,
    );
    Ok(search.entries)
}

/// Files named themselves, in the order of their folders: of those, too, the
/// files of single channels are put together.
pub(crate) fn named(
    files: &[PathBuf],
    expected: Option<&[Channel]>,
    notes: &mut Vec<String>,
) -> Vec<Entry> {
    let mut folders: BTreeMap<&Path, Vec<walk::Found>> = BTreeMap::new();
    for path in files {
        let problem = path.to_str().is_none();
        let problem = problem.then(|| "the file's name is not UTF-8; rename it".to_string());
        let folder = path.parent().unwrap_or(Path::new(""));
        let path = path.clone();
        folders
            .entry(folder)
            .or_default()
            .push(walk::Found { path, problem });
    }
    let (mut entries, mut spare) = (Vec::new(), Vec::new());
    for (root, pictures) in folders {
        let mut search = Search::new(root, expected);
        search.add(pictures);
        entries.extend(search.entries);
        spare.extend(search.spare);
    }
    note_list(
        notes,
        "files of channels that are not needed, left out",
        &spare,
    );
    entries
}

/// The channels that files are named by: those of the eraser camera that at
/// least half of the ids have, if an id has two or more. A folder's
/// `dataset.json` comes first.
pub(crate) fn channels_of(paths: &[PathBuf]) -> Result<Option<Vec<Channel>>> {
    let mut stems = BTreeSet::new();
    for path in paths.iter().filter(|p| p.exists()) {
        if !path.is_dir() {
            stems.insert(path.with_extension(""));
            continue;
        }
        if let Some(channels) = Declaration::read(path)?.channels {
            return Ok(Some(channels));
        }
        let found = find(path, None, &mut Vec::new())?;
        stems.extend(found.iter().map(|entry| entry.path.with_extension("")));
    }
    let eraser = Channel::eraser();
    let mut ids: BTreeMap<PathBuf, BTreeSet<&str>> = BTreeMap::new();
    for stem in &stems {
        let name = stem.file_name().unwrap_or_default().to_string_lossy();
        if let Some((id, channel)) = name.rsplit_once('_')
            && let Some(channel) = eraser.iter().find(|c| c.name() == channel)
        {
            let id = stem.with_file_name(id);
            ids.entry(id).or_default().insert(channel.name());
        }
    }
    if !ids.values().any(|set| set.len() >= 2) {
        return Ok(None);
    }
    let common = |c: &Channel| ids.values().filter(|set| set.contains(c.name())).count();
    let channels = eraser.iter().filter(|c| 2 * common(c) >= ids.len());
    Ok(Some(channels.cloned().collect()))
}

/// Reads a folder, or one file, as a data set without labels.
pub(crate) fn read(root: &Path, wanted: Option<&[Channel]>) -> Result<Catalogue> {
    let mut catalogue = Catalogue::default();
    let entries = if root.is_dir() {
        find(root, wanted, &mut catalogue.notes)?
    } else {
        vec![Entry::file(root)]
    };
    let is_set = |e: &Entry| matches!(e.pixels, Pixels::At(PixelSource::Channels(_)));
    if entries.iter().any(is_set) {
        catalogue.channels = wanted.map(<[Channel]>::to_vec);
    }
    let ids = ids(&entries);
    for (entry, id) in entries.into_iter().zip(ids) {
        let id = SampleId::new(id);
        match entry.pixels {
            Pixels::At(source) => catalogue.samples.push(unlabelled(id, source)),
            Pixels::Nowhere(reason) => catalogue.missing.push(Missing {
                id,
                path: entry.path,
                annotation: None,
                reason,
            }),
        }
    }
    Ok(catalogue)
}

/// A sample of which only the pixels are known.
pub(crate) fn unlabelled(id: SampleId, source: PixelSource) -> Sample {
    Sample {
        id,
        source,
        annotation: None,
        group: None,
        mask: None,
        split: None,
    }
}

/// An id for each entry: its stem; where stems repeat, its relative path without
/// the ending; where that repeats, with it; then a number. No two ids share the
/// file name that [`SampleId::file_stem`] makes of them.
pub(crate) fn ids(entries: &[Entry]) -> Vec<String> {
    let forms: Vec<[String; 3]> = entries
        .iter()
        .map(|e| {
            let bare = e.relative.with_file_name(&e.stem);
            [e.stem.clone(), slashed(&bare), slashed(&e.relative)]
        })
        .collect();
    let mut counts: [BTreeMap<String, usize>; 3] = Default::default();
    for form in &forms {
        for (count, name) in counts.iter_mut().zip(form) {
            *count.entry(file_key(name)).or_default() += 1;
        }
    }
    let mut taken = BTreeSet::new();
    forms
        .iter()
        .map(|form| {
            let alone = form
                .iter()
                .zip(&counts)
                .find(|(name, count)| count[&file_key(name)] == 1)
                .map(|(name, _)| name);
            let base = alone.unwrap_or(&form[2]);
            let mut id = base.clone();
            let mut n = 2;
            while !taken.insert(file_key(&id)) {
                id = format!("{base}#{n}");
                n += 1;
            }
            id
        })
        .collect()
}

/// Whether `goma score` writes, or has written, its results here.
fn is_score_folder(folder: &Path) -> bool {
    let tables = [
        "scores.partial.jsonl",
        "scores.csv",
        "scores.jsonl",
        "scores.parquet",
    ];
    folder.join("run.json").is_file() && tables.iter().any(|name| folder.join(name).is_file())
}

struct Search<'a> {
    root: &'a Path,
    expected: &'a [Channel],
    /// Folders already searched, links resolved.
    seen: BTreeSet<PathBuf>,
    entries: Vec<Entry>,
    masks: Vec<String>,
    again: Vec<String>,
    spare: Vec<String>,
    /// Folders that `goma score` wrote: heatmaps are no pieces.
    results: Vec<String>,
}

impl<'a> Search<'a> {
    fn new(root: &'a Path, expected: Option<&'a [Channel]>) -> Self {
        Self {
            root,
            expected: expected.unwrap_or_default(),
            seen: BTreeSet::new(),
            entries: Vec::new(),
            masks: Vec::new(),
            again: Vec::new(),
            spare: Vec::new(),
            results: Vec::new(),
        }
    }

    fn relative(&self, path: &Path) -> PathBuf {
        path.strip_prefix(self.root).unwrap_or(path).to_path_buf()
    }

    fn visit(&mut self, folder: &Path) -> Result<()> {
        let place = folder.canonicalize().map_err(Error::io("read", folder))?;
        if !self.seen.insert(place) {
            self.again.push(slashed(&self.relative(folder)));
            return Ok(());
        }
        let listing = walk::list(folder)?;
        let stems: BTreeSet<String> = listing.pictures.iter().map(|p| stem(&p.path)).collect();
        let (masks, pictures): (Vec<_>, Vec<_>) = listing.pictures.into_iter().partition(|found| {
            let stem = stem(&found.path);
            stem.strip_suffix("_mask")
                .is_some_and(|of| stems.contains(of))
        });
        for mask in masks {
            self.masks.push(slashed(&self.relative(&mask.path)));
        }
        self.add(pictures);
        for inner in listing.folders {
            let name = inner.file_name().unwrap_or_default().to_string_lossy();
            if MASK_FOLDERS.iter().any(|m| name.eq_ignore_ascii_case(m)) {
                self.masks
                    .push(format!("{}/", slashed(&self.relative(&inner))));
            } else if is_score_folder(&inner) {
                let relative = slashed(&self.relative(&inner));
                self.results.push(format!("{relative}/"));
            } else if let Err(error) = self.visit(&inner) {
                // A folder that cannot be looked into may hide pieces: say so.
                let reason = match &error {
                    Error::Io { source, .. } => format!("{error}: {source}"),
                    _ => error.to_string(),
                };
                let relative = self.relative(&inner);
                self.entries.push(Entry::new(inner, relative, Some(reason)));
            }
        }
        Ok(())
    }

    /// Adds one folder's pictures, files of single channels put together.
    fn add(&mut self, pictures: Vec<walk::Found>) {
        let eraser = Channel::eraser();
        let mut sets: BTreeMap<String, BTreeMap<&str, usize>> = BTreeMap::new();
        let stems: Vec<String> = pictures.iter().map(|p| stem(&p.path)).collect();
        for (i, stem) in stems.iter().enumerate() {
            let names = self.expected.iter().chain(&eraser).map(Channel::name);
            let split = names
                .filter_map(|name| {
                    let id = stem.strip_suffix(name)?.strip_suffix('_')?;
                    (!id.is_empty()).then_some((id, name))
                })
                .min_by_key(|(id, _)| id.len());
            if let Some((id, name)) = split {
                sets.entry(id.to_string())
                    .or_default()
                    .entry(name)
                    .or_insert(i);
            }
        }
        sets.retain(|_, files| self.is_set(files));

        let mut member: BTreeMap<usize, &String> = BTreeMap::new();
        for (id, files) in &sets {
            member.extend(files.values().map(|&i| (i, id)));
        }
        let mut done = BTreeSet::new();
        for (i, picture) in pictures.iter().enumerate() {
            let Some(id) = member.get(&i) else {
                let relative = self.relative(&picture.path);
                self.entries.push(Entry::new(
                    picture.path.clone(),
                    relative,
                    picture.problem.clone(),
                ));
                continue;
            };
            if done.insert(*id) {
                let entry = self.join(id, &sets[*id], &pictures);
                self.entries.push(entry);
            }
        }
        for files in sets.values() {
            for (name, &i) in files {
                if !self.expected.iter().any(|c| c.name() == *name) {
                    self.spare.push(slashed(&self.relative(&pictures[i].path)));
                }
            }
        }
    }

    /// Whether files with these endings are the channels of one piece. One file
    /// alone is, unless R or B may as well mean right and back; where a single
    /// channel is needed, other lights beside it tell.
    fn is_set(&self, files: &BTreeMap<&str, usize>) -> bool {
        let expected = files
            .keys()
            .filter(|name| self.expected.iter().any(|c| c.name() == **name))
            .count();
        let colours = self.expected.iter().all(|c| c.name().len() == 1);
        match self.expected.len() {
            0 => false,
            1 => expected == 1 && files.len() >= 2,
            _ => expected >= 2 || (expected == 1 && !colours),
        }
    }

    fn join(&self, id: &str, files: &BTreeMap<&str, usize>, pictures: &[walk::Found]) -> Entry {
        let (mut paths, mut absent, mut problem) = (Vec::new(), Vec::new(), None);
        for channel in self.expected {
            match files.get(channel.name()).map(|&i| &pictures[i]) {
                Some(found) => {
                    if let (None, Some(reason)) = (&problem, &found.problem) {
                        problem = Some(format!("channel {channel}: {reason}"));
                    }
                    paths.push(found.path.clone());
                }
                None => absent.push(channel.name()),
            }
        }
        let path = paths.first().cloned().unwrap_or_default();
        if !absent.is_empty() {
            problem = Some(format!("no file of channel {}", absent.join(", ")));
        }
        Entry {
            relative: self.relative(&path),
            path,
            stem: id.to_string(),
            pixels: match problem {
                None => Pixels::At(PixelSource::Channels(paths)),
                Some(problem) => Pixels::Nowhere(problem),
            },
        }
    }
}
