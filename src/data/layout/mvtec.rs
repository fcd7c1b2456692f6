//! MVTec AD's layout: `train/good`, `test/CLASS`, `ground_truth/CLASS`.
//!
//! Bergmann, Fauser, Sattlegger, Steger: MVTec AD, CVPR 2019.

use super::folders::{catalogue, class_folder};
use super::{Catalogue, Masks, class_name, note_list, walk};
use crate::data::sample::Split;
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::path::Path;

/// Reads the layout; `validation/CLASS` is taken too.
pub(crate) fn read(root: &Path) -> Result<Catalogue> {
    let mut notes = Vec::new();
    let mut pictures = Vec::new();
    let truth = root.join("ground_truth");
    let mut masks: BTreeMap<_, Masks> = BTreeMap::new();
    if truth.is_dir() {
        for folder in walk::list(&truth)?.folders {
            let class = folder.file_name().unwrap_or_default().to_os_string();
            masks.insert(class, Masks::read(&folder)?);
        }
    }
    for (name, split) in [
        ("train", Split::Train),
        ("validation", Split::Validation),
        ("test", Split::Test),
    ] {
        let part = root.join(name);
        if !part.is_dir() {
            continue;
        }
        for folder in walk::list(&part)?.folders {
            let class = class_name(&folder).ok_or_else(|| {
                Error::malformed(&folder, "the folder's name is not UTF-8; rename it")
            })?;
            let mut none = Masks::default();
            // The masks are those of the test pictures: names repeat in train.
            let masks = match split {
                Split::Test => masks.get_mut(folder.file_name().unwrap_or_default()),
                _ => None,
            };
            let masks = masks.unwrap_or(&mut none);
            pictures.extend(class_folder(
                &folder,
                &class,
                Some(split),
                masks,
                &mut notes,
            )?);
        }
    }
    let unpaired: Vec<String> = masks.values().flat_map(|m| m.unpaired(root)).collect();
    note_list(&mut notes, "masks without a picture", &unpaired);
    Ok(catalogue(root, pictures, &BTreeMap::new(), notes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn parts_classes_and_masks_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "train/good/000.png",
            "test/good/000.png",
            "test/crack/000.png",
            "test/crack/001.png",
            "ground_truth/crack/000_mask.png",
            "ground_truth/crack/009_mask.png",
        ] {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "pixels are not read here").unwrap();
        }
        let set = read(dir.path()).unwrap();
        let found: Vec<_> = set
            .samples
            .iter()
            .map(|s| (s.id.as_str(), s.split.unwrap(), s.mask.is_some()))
            .collect();
        assert_eq!(
            found,
            [
                ("train/good/000", Split::Train, false),
                ("test/crack/000", Split::Test, true),
                ("test/crack/001", Split::Test, false),
                ("test/good/000", Split::Test, false),
            ]
        );
        assert_eq!(
            set.notes,
            ["1 masks without a picture: ground_truth/crack/009_mask.png"]
        );
    }
}
