//! Output files are written whole or not at all.

use crate::error::{Error, Result};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Writes `bytes` to a temporary file beside `path`, then renames it there.
///
/// # Errors
/// [`Error::Io`]; `path` is then as it was.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    write_atomic_with(path, |file| file.write_all(bytes))
}

/// As [`write_atomic`], the content coming from `write`.
///
/// # Errors
/// [`Error::Io`]; `path` is then as it was.
pub fn write_atomic_with(
    path: &Path,
    write: impl FnOnce(&mut std::io::BufWriter<&mut fs::File>) -> std::io::Result<()>,
) -> Result<()> {
    let mut pending = Pending::create(path)?;
    {
        let mut buffer = std::io::BufWriter::new(pending.file());
        write(&mut buffer)
            .and_then(|()| buffer.flush())
            .map_err(Error::io("write", path))?;
    }
    pending.finish()
}

/// An output file under way: a temporary file beside its place, taken there
/// by [`Pending::finish`] and removed without it.
#[derive(Debug)]
pub struct Pending {
    file: tempfile::NamedTempFile,
    path: PathBuf,
}

impl Pending {
    /// Begins a file for `path`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn create(path: &Path) -> Result<Self> {
        let folder = match path.parent() {
            Some(p) if !p.as_os_str().is_empty() => p,
            _ => Path::new("."),
        };
        let file = tempfile::Builder::new()
            .prefix(".goma-")
            .suffix(".part")
            .tempfile_in(folder)
            .map_err(Error::io("create", path))?;
        Ok(Self {
            file,
            path: path.into(),
        })
    }

    /// The file to write to.
    pub fn file(&mut self) -> &mut fs::File {
        self.file.as_file_mut()
    }

    /// Where it will lie.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts the file in its place.
    ///
    /// # Errors
    /// [`Error::Io`]; what was at that place is then as it was.
    pub fn finish(self) -> Result<()> {
        set_default_permissions(self.file.path())?;
        self.file
            .persist(&self.path)
            .map_err(|e| Error::io("write", self.path)(e.error))?;
        Ok(())
    }
}

/// Temporary files are private to their owner; results are not.
#[cfg(unix)]
fn set_default_permissions(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).map_err(Error::io("write", path))
}

#[cfg(not(unix))]
fn set_default_permissions(_path: &Path) -> Result<()> {
    Ok(())
}

/// A CSV file being written row by row, within a folder that is not in its place
/// yet: it is no file of its own that could be half there.
#[derive(Debug)]
pub struct CsvFile {
    writer: csv::Writer<fs::File>,
    path: PathBuf,
}

impl CsvFile {
    /// Begins a table with its header.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn create(path: &Path, header: &[impl AsRef<str>]) -> Result<Self> {
        let file = fs::File::create(path).map_err(Error::io("create", path))?;
        let mut table = Self {
            writer: csv::Writer::from_writer(file),
            path: path.into(),
        };
        let header: Vec<&str> = header.iter().map(AsRef::as_ref).collect();
        table.row(&header)?;
        Ok(table)
    }

    /// Adds a row.
    ///
    /// # Errors
    /// [`Error::Io`], also if it has more or fewer cells than the header.
    pub fn row(&mut self, cells: &[impl AsRef<[u8]>]) -> Result<()> {
        self.writer
            .write_record(cells)
            .map_err(|e| Error::io("write", &self.path)(e.into()))
    }

    /// Writes what is still in memory.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn finish(mut self) -> Result<()> {
        self.writer.flush().map_err(Error::io("write", &self.path))
    }
}

/// What to do when an output folder exists already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Refuse (an empty folder is taken).
    Refuse,
    /// Make it anew (`--force`).
    Replace,
    /// Go on with what is there (`--resume`).
    Continue,
}

impl Existing {
    /// What `--force`, given or not, asks for.
    #[must_use]
    pub fn forced(force: bool) -> Self {
        match force {
            true => Self::Replace,
            false => Self::Refuse,
        }
    }
}

/// Makes an output folder.
///
/// [`Existing::Replace`] removes a folder's content only where `marker`, a
/// file every such output holds, shows that goma wrote it: a home folder
/// named by mistake is not emptied.
///
/// # Errors
/// [`Error::Exists`] if a non-empty folder, or a file, is in the way.
pub fn output_folder(path: &Path, existing: Existing, marker: &str) -> Result<PathBuf> {
    let occupied = match fs::read_dir(path) {
        Ok(entries) => entries.flatten().any(|e| !is_leftover(&e.file_name())),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => false,
        Err(_) if path.is_file() => {
            return Err(Error::Exists { path: path.into() }
                .help("it is a file; name a folder that is new, or one that goma wrote"));
        }
        Err(e) => return Err(Error::io("read", path)(e)),
    };
    if occupied {
        match existing {
            Existing::Continue if path.join(marker).exists() => {}
            Existing::Continue => {
                return Err(Error::Exists { path: path.into() }.help(format!(
                    "it holds no {marker}, so there is nothing to resume; choose another folder"
                )));
            }
            Existing::Refuse => {
                return Err(Error::Exists { path: path.into() }
                    .help("choose another folder, or pass --force to replace it"));
            }
            Existing::Replace if path.join(marker).exists() => {
                fs::remove_dir_all(path).map_err(Error::io("remove", path))?;
            }
            Existing::Replace => {
                return Err(Error::Exists { path: path.into() }.help(format!(
                    "it holds no {marker}, so goma did not write it and will not remove it; \
                     choose another folder"
                )));
            }
        }
    }
    fs::create_dir_all(path).map_err(Error::io("create", path))?;
    Ok(path.to_path_buf())
}

/// Whether a file is what a killed process left of an unfinished write.
#[must_use]
pub fn is_leftover(name: &std::ffi::OsStr) -> bool {
    let name = name.to_string_lossy();
    name.starts_with(".goma-") && name.ends_with(".part")
}

/// An output folder that appears whole or not at all.
///
/// It is filled under a temporary name beside its place; [`Self::commit`] puts
/// it there. Dropped before that, it leaves nothing behind.
#[derive(Debug)]
pub struct StagedFolder {
    place: PathBuf,
    staging: tempfile::TempDir,
    existing: Existing,
    marker: &'static str,
}

impl StagedFolder {
    /// Begins a folder that will stand at `place`. With [`Existing::Replace`]
    /// a folder there that holds `marker` stays until the new one is complete.
    ///
    /// # Errors
    /// [`Error::Exists`] as [`output_folder`]; [`Error::Io`].
    pub fn begin(place: &Path, existing: Existing, marker: &'static str) -> Result<Self> {
        let replaceable = existing == Existing::Replace && place.join(marker).exists();
        if !replaceable {
            let is_new = !place.exists();
            output_folder(place, existing, marker)?;
            if is_new {
                // What it stands in stays: the temporary folder lies there too.
                fs::remove_dir(place).map_err(Error::io("remove", place))?;
            }
        }
        let parent = match place.parent() {
            Some(p) if !p.as_os_str().is_empty() => p,
            _ => Path::new("."),
        };
        let staging = tempfile::Builder::new()
            .prefix(".goma-")
            .suffix(".part")
            .tempdir_in(parent)
            .map_err(Error::io("create", place))?;
        Ok(Self {
            place: place.to_path_buf(),
            staging,
            existing,
            marker,
        })
    }

    /// Where to write.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.staging.path()
    }

    /// Puts the folder in its place.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Exists`] if something has come in the way.
    pub fn commit(self) -> Result<()> {
        set_folder_permissions(self.staging.path())?;
        let rename = Error::io("rename", &self.place);
        // The old folder steps aside whole, and goes when the new one stands.
        let aside = if self.existing == Existing::Replace && self.place.join(self.marker).exists() {
            let parent = self.staging.path().parent().unwrap_or(Path::new("."));
            let aside = tempfile::Builder::new()
                .prefix(".goma-")
                .suffix(".old")
                .tempdir_in(parent)
                .map_err(Error::io("create", &self.place))?;
            fs::rename(&self.place, aside.path().join("old"))
                .map_err(Error::io("rename", &self.place))?;
            Some(aside)
        } else {
            output_folder(&self.place, self.existing, self.marker)?;
            // Empty by now; not every system renames onto a folder.
            fs::remove_dir(&self.place).map_err(Error::io("remove", &self.place))?;
            None
        };
        if let Err(error) = fs::rename(self.staging.path(), &self.place) {
            if let Some(aside) = aside {
                // Kept, whatever comes of putting it back.
                let kept = aside.keep();
                let _ = fs::rename(kept.join("old"), &self.place);
            }
            return Err(rename(error));
        }
        // The temporary name is gone; there is nothing left to remove.
        let _ = self.staging.keep();
        drop(aside);
        Ok(())
    }
}

/// Temporary folders are private to their owner; results are not.
#[cfg(unix)]
fn set_folder_permissions(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).map_err(Error::io("write", path))
}

#[cfg(not(unix))]
fn set_folder_permissions(_path: &Path) -> Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.csv");
        write_atomic(&path, b"old").unwrap();
        let failed = write_atomic_with(&path, |f| {
            f.write_all(b"half")?;
            Err(std::io::Error::other("disk full"))
        });
        assert!(failed.is_err());
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn force_does_not_empty_a_folder_that_goma_did_not_write() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("letter.txt"), "dear").unwrap();
        assert!(output_folder(dir.path(), Existing::Refuse, "run.json").is_err());
        assert!(output_folder(dir.path(), Existing::Replace, "run.json").is_err());
        assert!(dir.path().join("letter.txt").exists());
        fs::write(dir.path().join("run.json"), "{}").unwrap();
        output_folder(dir.path(), Existing::Replace, "run.json").unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
