//! One folder a class; masks in `masks/CLASS`, pieces in a table beside them.

use super::table::Table;
use super::{
    Catalogue, Masks, Missing, class_name, ids_for_all, label, note_list, slashed, stem, walk,
};
use crate::data::annotation::Annotation;
use crate::data::sample::{PixelSource, Sample, SampleId, Split};
use crate::error::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// Tables that say which files show one physical piece.
pub(super) const TABLES: [&str; 2] = ["pieces.csv", "groups.csv"];

/// Folders of masks; they are no classes.
const MASKS: [&str; 2] = ["masks", "ground_truth"];

fn is_mask_folder(folder: &Path) -> bool {
    let name = folder.file_name().and_then(OsStr::to_str);
    name.is_some_and(|name| MASKS.iter().any(|m| name.eq_ignore_ascii_case(m)))
}

/// A picture of a class folder, on its way to a sample.
pub(super) struct Labelled {
    pub path: PathBuf,
    pub problem: Option<String>,
    /// `None` beside the class folders.
    pub class: Option<String>,
    pub split: Option<Split>,
    pub mask: Option<PathBuf>,
}

/// Reads the layout.
pub(crate) fn read(root: &Path) -> Result<Catalogue> {
    let mut notes = Vec::new();
    let top = walk::list(root)?;
    let mut pictures = Vec::new();
    let mut unpaired = Vec::new();
    let (mask_folders, class_folders): (Vec<_>, Vec<_>) = top
        .folders
        .iter()
        .partition(|folder| is_mask_folder(folder));
    let mut masks_of: BTreeMap<OsString, Masks> = BTreeMap::new();
    for folder in mask_folders {
        let listing = walk::list(folder)?;
        unpaired.extend(listing.pictures.iter().map(|p| relative(root, &p.path)));
        for of_class in listing.folders {
            let class = of_class.file_name().unwrap_or_default().to_os_string();
            masks_of.insert(class, Masks::read(&of_class)?);
        }
    }
    for folder in class_folders {
        let class = class_name(folder)
            .ok_or_else(|| Error::malformed(folder, "the folder's name is not UTF-8; rename it"))?;
        // The folder's own spelling, which `class_name` may have changed.
        let name = folder.file_name().unwrap_or_default().to_os_string();
        let masks = masks_of.entry(name).or_default();
        pictures.extend(class_folder(folder, &class, None, masks, &mut notes)?);
    }
    unpaired.extend(masks_of.values().flat_map(|masks| masks.unpaired(root)));
    let outside: Vec<String> = top
        .pictures
        .iter()
        .map(|p| relative(root, &p.path))
        .collect();
    note_list(
        &mut notes,
        "pictures in no class folder, taken without a label",
        &outside,
    );
    pictures.extend(top.pictures.into_iter().map(|found| Labelled {
        path: found.path,
        problem: found.problem,
        class: None,
        split: None,
        mask: None,
    }));
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
        notes.push(format!(
            "class folder {} holds no picture",
            folder.display()
        ));
    }
    let stems: BTreeSet<String> = listing.pictures.iter().map(|p| stem(&p.path)).collect();
    let (beside, pictures): (Vec<_>, Vec<_>) = listing.pictures.into_iter().partition(|found| {
        let stem = stem(&found.path);
        let of = stem.strip_suffix("_mask");
        of.is_some_and(|of| stems.contains(of))
    });
    let beside: Vec<String> = beside.iter().map(|p| slashed(&p.path)).collect();
    note_list(notes, "masks beside their pictures, not read", &beside);
    Ok(pictures
        .into_iter()
        .map(|found| Labelled {
            mask: masks.take(&stem(&found.path)),
            path: found.path,
            problem: found.problem,
            class: Some(class.to_string()),
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
        let annotation = picture.class.as_deref();
        let annotation = annotation.map(|class| Annotation::original(label(class)));
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
    let Some(path) = TABLES
        .iter()
        .map(|name| root.join(name))
        .find(|p| p.is_file())
    else {
        return Ok(groups);
    };
    let table = Table::read(&path)?;
    let column = |names: &[&str]| {
        table.column(names).ok_or_else(|| {
            Error::malformed(
                &path,
                format!(
                    "columns {:?} found; file, class and piece expected",
                    table.header
                ),
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
    note_list(
        notes,
        &format!("files named in {table_name} but not there"),
        &absent,
    );
    let alone: Vec<String> = pictures
        .iter()
        .filter(|p| !groups.contains_key(&p.path))
        .map(|p| relative(root, &p.path))
        .collect();
    note_list(
        notes,
        &format!("pictures without a piece in {table_name}; each is its own"),
        &alone,
    );
    Ok(groups)
}

fn relative(root: &Path, path: &Path) -> String {
    slashed(path.strip_prefix(root).unwrap_or(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn set(files: &[&str], pieces: Option<&str>) -> Result<Catalogue> {
        let dir = tempfile::tempdir().unwrap();
        for name in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "pixels are not read here").unwrap();
        }
        if let Some(text) = pieces {
            fs::write(dir.path().join("pieces.csv"), text).unwrap();
        }
        read(dir.path())
    }

    #[test]
    fn masks_are_paired_by_stem_and_are_no_class() {
        let files = [
            "good/a.png",
            "chip/b.JPG",
            "masks/chip/b.png",
            "masks/chip/c.png",
            "masks/scratch/d.png",
            "chip/b_mask.png",
            "top.png",
            "good/read.me",
            "good/inner/z.png",
            ".hidden/x.png",
        ];
        let set = set(&files, None).unwrap();
        let found: Vec<_> = set
            .samples
            .iter()
            .map(|s| (s.id.as_str(), s.label(), s.mask.is_some()))
            .collect();
        let expected = [
            ("b", Some("chip"), true),
            ("a", Some("good"), false),
            ("top", None, false),
        ];
        assert_eq!(found, expected);
        let notes = set.notes.join("\n");
        for says in [
            "good/inner",
            "read.me",
            "in no class folder, taken without a label: top.png",
            "masks/chip/c.png",
            "masks/scratch/d.png",
            "chip/b_mask.png",
        ] {
            assert!(notes.contains(says), "{says}: {notes}");
        }
    }

    #[test]
    fn repeated_names_make_all_ids_paths() {
        let set = set(&["good/1.png", "chip/1.png", "chip/2.png"], None).unwrap();
        let ids: Vec<_> = set.samples.iter().map(|s| s.id.as_str()).collect();
        assert_eq!(ids, ["chip/1", "chip/2", "good/1"]);
    }

    #[test]
    fn the_table_of_pieces_gives_the_groups() {
        let files = ["good/1.png", "good/2.png", "chip/3.png", "chip/4.png"];
        let table = "file,class,piece\ngood/1.png,good,p1\n3.png,chip,p1\ngood\\2,good,p2\nno.png,good,p3\n";
        let catalogue = set(&files, Some(table)).unwrap();
        let groups: Vec<_> = catalogue
            .samples
            .iter()
            .map(|s| s.group.as_deref())
            .collect();
        assert_eq!(groups, [Some("p1"), None, Some("p1"), Some("p2")]);
        assert_eq!(
            catalogue.notes,
            [
                "1 files named in pieces.csv but not there: no.png",
                "1 pictures without a piece in pieces.csv; each is its own: chip/4.png"
            ]
        );
        let error = set(&files, Some("a,b\n1,2\n")).unwrap_err();
        assert!(
            error.to_string().contains("file, class and piece expected"),
            "{error}"
        );
    }
}
