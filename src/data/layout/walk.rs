//! Folders listed in one order on every machine.

use crate::data::decode::has_picture_name;
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};

/// A file whose name says that it holds pixels.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub path: PathBuf,
    /// Why it cannot be read, where its name or kind shows it already.
    pub problem: Option<String>,
}

/// What lies in a folder, each list sorted by name. Hidden entries are left out.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub pictures: Vec<Found>,
    pub folders: Vec<PathBuf>,
    pub others: Vec<PathBuf>,
}

/// Lists one folder.
pub(super) fn list(folder: &Path) -> Result<Listing> {
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Error::io("read", folder))? {
        let entry = entry.map_err(Error::io("read", folder))?;
        // What the folder itself says of it: no file is asked.
        entries.push((entry.path(), entry.file_type().ok()));
    }
    entries.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    let mut listing = Listing::default();
    for (path, kind) in entries {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('.') {
            continue;
        }
        let is_text = path.file_name().is_some_and(|n| n.to_str().is_some());
        let kind = match kind {
            Some(kind) if !kind.is_symlink() => Ok(kind),
            _ => std::fs::metadata(&path).map(|m| m.file_type()),
        };
        let is_folder = kind.as_ref().is_ok_and(std::fs::FileType::is_dir);
        if looks_like_picture(&path) {
            let problem = match kind {
                _ if !is_text => Some("the file's name is not UTF-8; rename it".to_string()),
                Ok(_) if is_folder => {
                    Some("this is a folder, a picture or an array is expected".into())
                }
                Ok(_) => None,
                Err(e) => Some(format!("the link leads nowhere readable: {e}")),
            };
            listing.pictures.push(Found { path, problem });
        } else if is_folder {
            listing.folders.push(path);
        } else {
            listing.others.push(path);
        }
    }
    Ok(listing)
}

/// As [`has_picture_name`], for names that are not UTF-8 too.
fn looks_like_picture(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    has_picture_name(Path::new(name.as_ref()))
}
