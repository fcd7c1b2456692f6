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
            pictures.extend(class_folder(&folder, &class, Some(split), masks, &mut notes)?);
        }
    }
    let unpaired: Vec<String> = masks.values().flat_map(|m| m.unpaired(root)).collect();
    note_list(&mut notes, "masks without a picture", &unpaired);
    Ok(catalogue(root, pictures, &BTreeMap::new(), notes))
}
