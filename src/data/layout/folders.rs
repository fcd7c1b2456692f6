//! One folder a class; masks in `masks/CLASS`, pieces in a table beside them.

use super::table::Table;
use super::{Catalogue, Masks, Missing, class_name, ids_for_all, label, note_list, slashed, stem, walk};
use crate::data::annotation::Annotation;
use crate::data::sample::{PixelSource, Sample, SampleId, Split};
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Tables that say which files show one physical piece.
pub(super) const TABLES: [&str; 2] = ["pieces.csv", "groups.csv"];

/// The folder of masks; it is no class.
const MASKS: &str = "masks";

/// A picture of a class folder, on its way to a sample.
pub(super) struct Labelled {
    pub path: PathBuf,
    pub problem: Option<String>,
    pub class: String,
    pub split: Option<Split>,
    pub mask: Option<PathBuf>,
}

/// Reads the layout.
pub(crate) fn read(root: &Path) -> Result<Catalogue> {
    let mut notes = Vec::new();
    let top = walk::list(root)?;
    let mut pictures = Vec::new();
    let mut unpaired = Vec::new();
    for folder in &top.folders {
        let class = class_name(folder).ok_or_else(|| {
            Error::malformed(folder, "the folder's name is not UTF-8; rename it")
        })?;
        if class.eq_ignore_ascii_case(MASKS) {
            continue;
        }
        // The folder's own spelling, which `class_name` may have changed.
        let folder_name = folder.file_name().unwrap_or_default();
        let mut masks = Masks::read(&root.join(MASKS).join(folder_name))?;
        pictures.extend(class_folder(folder, &class, None, &mut masks, &mut notes)?);
        unpaired.extend(masks.unpaired(root));
    }
    let outside: Vec<String> = top.pictures.iter().map(|p| relative(root, &p.path)).collect();
    note_list(&mut notes, "pictures in no class folder, not read", &outside);
    note_list(&mut notes, "masks without a picture", &unpaired);
    let groups = groups(root, &pictures, &mut notes)?;
    Ok(catalogue(root, pictures, &groups, notes))
}

/// The pictures of one class folder.
pub(super) fn class_folder(
    folder: &Path,
    class: &str,
    split: Option<Split>,
    masks: &mut Masks,
    notes: &mut Vec<String>,
) -> Result<Vec<Labelled>> {
    let listing = walk::list(folder)?;
    let nested: Vec<String> = listing.folders.iter().map(|f| slashed(f)).collect();
    note_list(notes, "folders inside class folders, not read", &nested);
    let others: Vec<String> = listing.others.iter().map(|f| slashed(f)).collect();
    note_list(notes, "files of another kind, not read", &others);
    if listing.pictures.is_empty() {
        notes.push(format!("class folder {} holds no picture", folder.display()));
    }
    Ok(listing
        .pictures
        .into_iter()
        .map(|found| Labelled {
            mask: masks.take(&stem(&found.path)),
            path: found.path,
            problem: found.problem,
            class: class.to_string(),
            split,
        })
        .collect())
}

/// Samples of labelled pictures, with ids for all of them.
pub(super) fn catalogue(
    root: &Path,
    pictures: Vec<Labelled>,
    groups: &BTreeMap<PathBuf, String>,
    notes: Vec<String>,
) -> Catalogue {
    let relative: Vec<&Path> = pictures
        .iter()
        .map(|p| p.path.strip_prefix(root).unwrap_or(&p.path))
        .collect();
    let ids = ids_for_all(&relative);
    let mut catalogue = Catalogue {
        notes,
        ..Catalogue::default()
    };
    for (picture, id) in pictures.into_iter().zip(ids) {
        let annotation = Some(Annotation::original(label(&picture.class)));
        let id = SampleId::new(id);
        match picture.problem {
            Some(reason) => catalogue.missing.push(Missing {
                id,
                path: picture.path,
                annotation,
                reason,
            }),
            None => catalogue.samples.push(Sample {
                id,
                group: groups.get(&picture.path).cloned(),
                source: PixelSource::File(picture.path),
                annotation,
                mask: picture.mask,
                split: picture.split,
            }),
        }
    }
    catalogue
}

/// The piece of each file, from the first table there is.
fn groups(
    root: &Path,
    pictures: &[Labelled],
    notes: &mut Vec<String>,
) -> Result<BTreeMap<PathBuf, String>> {
    let mut groups = BTreeMap::new();
    let Some(path) = TABLES.iter().map(|name| root.join(name)).find(|p| p.is_file()) else {
        return Ok(groups);
    };
    let table = Table::read(&path)?;
    let column = |names: &[&str]| {
        table.column(names).ok_or_else(|| {
            Error::malformed(
                &path,
                format!("columns {:?} found; file, class and piece expected", table.header),
            )
        })
    };
    let file = column(&["file", "path", "filename", "image", "id"])?;
    let piece = column(&["piece", "group", "pack"])?;
    let class = table.column(&["class", "label"]);

    // By relative path as it stands; by class and name where only that is given.
    let known: BTreeMap<String, &PathBuf> = pictures
        .iter()
        .flat_map(|p| {
            let whole = relative(root, &p.path);
            let bare = slashed(&Path::new(&whole).with_extension(""));
            [(bare, &p.path), (whole, &p.path)]
        })
        .collect();
    let mut absent = Vec::new();
    for row in &table.rows {
        let name = row.cell(file).replace('\\', "/");
        let in_class = class.map(|c| format!("{}/{name}", row.cell(c)));
        let found = known.get(&name).or_else(|| known.get(&in_class?));
        match found {
            Some(path) if !row.cell(piece).is_empty() => {
                let before = groups.insert((*path).clone(), row.cell(piece).to_string());
                if before.is_some_and(|before| before != row.cell(piece)) {
                    return Err(table.bad(row, format!("{name} belongs to another piece above")));
                }
            }
            Some(_) => {}
            None => absent.push(name),
        }
    }
    let table_name = path.file_name().unwrap_or_default().to_string_lossy();
    note_list(notes, &format!("files named in {table_name} but not there"), &absent);
    let alone: Vec<String> = pictures
        .iter()
        .filter(|p| !groups.contains_key(&p.path))
        .map(|p| relative(root, &p.path))
        .collect();
    note_list(notes, &format!("pictures without a piece in {table_name}; each is its own"), &alone);
    Ok(groups)
}

fn relative(root: &Path, path: &Path) -> String {
    slashed(path.strip_prefix(root).unwrap_or(path))
}
