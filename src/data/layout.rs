//! Layouts: how a data set's files say what belongs together. Each reads its
//! folder into a `Catalogue`; no pixel is read here.

pub(crate) mod folders;
pub(crate) mod loose;
pub(crate) mod manifest;
pub(crate) mod milan;
pub(crate) mod mvtec;
pub(crate) mod table;
mod walk;

use crate::data::annotation::{Annotation, GOOD, Label};
use crate::data::sample::{Channel, Sample, SampleId};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// How a data set's files are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// `annotations_binary.csv` and / or `annotations_multi.csv`, with
    /// `arrays/ID.npy` or `images/ID_CHANNEL.png`, and `masks/ID.png`.
    Milan,
    /// `CLASS/NAME.png`, `masks/CLASS/NAME.png`, `pieces.csv`.
    Folders,
    /// `train/good`, `test/CLASS`, `ground_truth/CLASS/NAME_mask.png`.
    Mvtec,
    /// A table with one row a sample.
    Manifest,
    /// Pictures and arrays without labels, searched for in all folders.
    Loose,
}

const ALL: [(Layout, &str); 5] = [
    (Layout::Milan, "milan"),
    (Layout::Folders, "folders"),
    (Layout::Mvtec, "mvtec"),
    (Layout::Manifest, "manifest"),
    (Layout::Loose, "loose"),
];

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = ALL.iter().find(|(l, _)| l == self).map_or("", |(_, n)| n);
        f.write_str(name)
    }
}

impl FromStr for Layout {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        ALL.iter()
            .find(|(_, n)| *n == name)
            .map(|(layout, _)| *layout)
            .ok_or_else(|| {
                Error::setting(
                    "layout",
                    format!("{name:?} found; milan, folders, mvtec, manifest or loose expected"),
                )
            })
    }
}

impl Layout {
    /// Finds the layout by what lies in the folder (or by the file named).
    ///
    /// `annotations_binary.csv` or `annotations_multi.csv` means milan;
    /// `train/good` means mvtec; one table with an id and a path column means
    /// manifest; a folder `good`, or a table of pieces beside folders, means
    /// folders; anything else is loose.
    ///
    /// # Errors
    /// [`Error::Io`] if the path cannot be read.
    pub fn detect(path: &Path) -> Result<Self> {
        let metadata = std::fs::metadata(path).map_err(Error::io("read", path))?;
        if !metadata.is_dir() {
            let is_table = path
                .extension()
                .is_some_and(|e| e.eq_ignore_ascii_case("csv"));
            return Ok(if is_table {
                Self::Manifest
            } else {
                Self::Loose
            });
        }
        if milan::TABLES.iter().any(|name| path.join(name).is_file()) {
            return Ok(Self::Milan);
        }
        if path.join("train").join(GOOD).is_dir() {
            return Ok(Self::Mvtec);
        }
        if manifest::find(path)?.is_some() {
            return Ok(Self::Manifest);
        }
        let listing = walk::list(path)?;
        let has_good = listing
            .folders
            .iter()
            .any(|folder| class_name(folder).is_some_and(|name| name == GOOD));
        let has_groups = folders::TABLES.iter().any(|name| path.join(name).is_file());
        Ok(if has_good || (has_groups && !listing.folders.is_empty()) {
            Self::Folders
        } else {
            Self::Loose
        })
    }
}

/// A sample that is known of but has no readable pixels.
#[derive(Debug, Clone, PartialEq)]
pub struct Missing {
    /// Its id.
    pub id: SampleId,
    /// Where its pixels were expected.
    pub path: PathBuf,
    /// The class, if known.
    pub annotation: Option<Annotation>,
    /// What is wrong.
    pub reason: String,
}

/// What a layout finds in its folder.
#[derive(Debug, Default)]
pub(crate) struct Catalogue {
    pub samples: Vec<Sample>,
    pub missing: Vec<Missing>,
    /// What a person should know: orphans, unpaired masks, unknown files.
    pub notes: Vec<String>,
    /// The channels' names, where file or column names give them.
    pub channels: Option<Vec<Channel>>,
}

/// A class folder's name; `good` in any case is [`GOOD`]. `None` if the name
/// is not UTF-8.
fn class_name(folder: &Path) -> Option<String> {
    let name = folder.file_name()?.to_str()?;
    Some(label(name).name().to_string())
}

/// A class name from a table or folder.
fn label(name: &str) -> Label {
    let name = name.trim();
    if name.eq_ignore_ascii_case(GOOD) {
        Label::good()
    } else {
        Label::new(name)
    }
}

/// `text: a, b, c, d, e and 3 more`, into the notes; nothing if there are no items.
fn note_list<S: AsRef<str>>(notes: &mut Vec<String>, text: &str, items: &[S]) {
    const SHOWN: usize = 5;
    if items.is_empty() {
        return;
    }
    let shown: Vec<&str> = items.iter().take(SHOWN).map(AsRef::as_ref).collect();
    let more = items.len().saturating_sub(SHOWN);
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    notes.push(format!(
        "{} {text}: {}{more}",
        items.len(),
        shown.join(", ")
    ));
}

/// Ids for files of a data set: their stems if no two are equal, else their
/// relative paths without the ending, else with it.
fn ids_for_all(relative: &[&Path]) -> Vec<String> {
    let stems = relative.iter().map(|p| stem(p)).collect::<Vec<_>>();
    if all_differ(&stems) {
        return stems;
    }
    let without: Vec<String> = relative
        .iter()
        .map(|p| slashed(&p.with_extension("")))
        .collect();
    if all_differ(&without) {
        return without;
    }
    relative.iter().map(|p| slashed(p)).collect()
}

fn all_differ(names: &[String]) -> bool {
    let mut seen = std::collections::BTreeSet::new();
    names.iter().all(|name| seen.insert(file_key(name)))
}

/// Two ids with the same key would share a file name for their results.
fn file_key(id: &str) -> String {
    SampleId::new(id).file_stem().to_lowercase()
}

/// A file's name without its ending.
fn stem(path: &Path) -> String {
    path.file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// A relative path with `/` between its parts on every system.
fn slashed(path: &Path) -> String {
    path.components()
        .map(|part| part.as_os_str().to_string_lossy())
        .collect::<Vec<_>>()
        .join("/")
}

/// A stem without the `_mask` that some data sets add to a mask's name.
fn mask_stem(path: &Path) -> String {
    let stem = stem(path);
    stem.strip_suffix("_mask")
        .map_or(stem.clone(), str::to_string)
}

/// Masks of one folder by the stem they belong to.
#[derive(Default)]
struct Masks {
    by_stem: BTreeMap<String, (PathBuf, bool)>,
}

impl Masks {
    /// The masks in `folder`, if it is there.
    fn read(folder: &Path) -> Result<Self> {
        let mut masks = Self::default();
        if folder.is_dir() {
            for picture in walk::list(folder)?.pictures {
                masks
                    .by_stem
                    .insert(mask_stem(&picture.path), (picture.path, false));
            }
        }
        Ok(masks)
    }

    /// The mask of the sample with this stem.
    fn take(&mut self, stem: &str) -> Option<PathBuf> {
        let (path, taken) = self.by_stem.get_mut(stem)?;
        *taken = true;
        Some(path.clone())
    }

    /// Masks that belong to no sample.
    fn unpaired(&self, root: &Path) -> Vec<String> {
        self.by_stem
            .values()
            .filter(|(_, taken)| !taken)
            .map(|(path, _)| slashed(path.strip_prefix(root).unwrap_or(path)))
            .collect()
    }
}
