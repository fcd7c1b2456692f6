//! What `score` is asked to look at: files, folders searched through, labelled
//! data sets. One entry for each piece, readable or not.

use crate::data::dataset::{self, OpenOptions};
use crate::data::declaration::Declaration;
use crate::data::format::PixelFormat;
use crate::data::image::Image;
use crate::data::layout::loose::{self, Entry, Pixels};
use crate::data::layout::{Catalogue, Layout};
use crate::data::reader::{ImageReader, Limits};
use crate::data::sample::{Sample, SampleId};
use crate::data::survey::{self, Known};
use crate::error::{Error, Result, reason};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// One piece to be scored.
#[derive(Debug)]
pub struct Input {
    /// Unique among all inputs.
    pub id: SampleId,
    /// Its (first) file, as named or found.
    pub path: PathBuf,
    /// The sample, or why there is none; its pixels may still prove unreadable.
    pub sample: Result<Sample>,
}

impl Input {
    /// Reads its pixels.
    ///
    /// # Errors
    /// Why there is no sample; as for [`ImageReader::read`].
    pub fn read(&self, reader: &ImageReader) -> Result<Image> {
        match &self.sample {
            Ok(sample) => reader.read(sample),
            Err(error) => Err(Error::malformed(&self.path, reason(error, &self.path))),
        }
    }
}

/// All pieces to be scored.
#[derive(Debug)]
pub struct Inputs {
    /// One for each piece, sorted by id.
    pub entries: Vec<Input>,
    /// What a person should know: masks left out, labels without pixels.
    pub notes: Vec<String>,
    declared: Vec<Declaration>,
    limits: Limits,
}

/// Finds the pieces that files and folders hold.
///
/// A folder with labels is read by its layout, any other is searched through;
/// a `.csv` file is a manifest. `options.channels` are the channels the model
/// needs: files `ID_CHANNEL` of one id become one piece, in a folder or named one
/// by one. An id is a file's stem;
/// where stems repeat, its path within the folder.
///
/// # Errors
/// [`Error::Data`] if a folder holds no picture; [`Error::Io`] if nothing of what
/// was named exists. A path that does not exist among others that do is an entry
/// with that error.
pub fn find_inputs(paths: &[PathBuf], options: &OpenOptions) -> Result<Inputs> {
    let mut inputs = Inputs {
        entries: Vec::new(),
        notes: Vec::new(),
        declared: Vec::new(),
        limits: options.limits(),
    };
    let mut loose: Vec<Entry> = Vec::new();
    let mut files: Vec<PathBuf> = Vec::new();
    let mut first_absent = None;
    for path in paths {
        match std::fs::symlink_metadata(path) {
            Err(e) => {
                let mut entry = Entry::file(path);
                entry.pixels = Pixels::Nowhere(e.to_string());
                loose.push(entry);
                first_absent.get_or_insert(Error::io("read", path)(e));
            }
            Ok(_) if is_picture_file(path) => files.push(path.clone()),
            Ok(_) => inputs.add(path, options, &mut loose)?,
        }
    }
    let channels = options.channels.as_deref();
    loose.extend(loose::named(&files, channels, &mut inputs.notes));
    inputs.add_loose(loose);
    if let (Some(error), true) = (
        first_absent,
        paths.iter().all(|p| p.symlink_metadata().is_err()),
    ) {
        return Err(error);
    }
    if inputs.entries.is_empty() {
        return Err(Error::data("nothing to look at: no file or folder named"));
    }
    inputs.entries.sort_by(|a, b| a.id.cmp(&b.id));
    let mut seen = BTreeSet::new();
    for input in &inputs.entries {
        if !seen.insert(&input.id) {
            return Err(
                Error::data(format!("the id {} occurs more than once", input.id))
                    .help("score data sets with equal ids one at a time"),
            );
        }
    }
    Ok(inputs)
}

impl Inputs {
    /// Decides, once for all these inputs, their axis order and range; the
    /// channels are those `expected`. What was not unanimous goes to the notes.
    ///
    /// # Errors
    /// [`Error::Data`] if the inputs declare channels that are not those expected.
    pub fn format(&mut self, expected: &PixelFormat) -> Result<PixelFormat> {
        let declared = match self.declared.first() {
            Some(first) if self.declared.iter().all(|d| d == first) => first.clone(),
            _ => Declaration::default(),
        };
        if let Some(stored) = &declared.channels
            && !expected.channels.iter().all(|c| stored.contains(c))
        {
            let names: Vec<&str> = stored.iter().map(|c| c.name()).collect();
            return Err(Error::data(format!(
                "the inputs' channels are {}, the model needs {}",
                names.join(" "),
                expected.names().join(" ")
            ))
            .help("choose a model trained on these channels, or re-export the samples"));
        }
        let known = Known {
            channels: Some(expected.channels.clone()),
            range: declared.range(),
            stored: declared.channels,
            axis: declared.axis,
            fallback: Some(expected.clone()),
            colour_as_stored: false,
        };
        self.decide(&known)
    }

    /// As [`Inputs::format`], with the channels the inputs have themselves:
    /// for work without a model. A colour picture has three channels, even if
    /// they are equal.
    ///
    /// # Errors
    /// [`Error::Data`] if none of the files looked at can be read.
    pub fn own_format(&mut self) -> Result<PixelFormat> {
        let declared = match self.declared.first() {
            Some(first) if self.declared.iter().all(|d| d == first) => first.clone(),
            _ => Declaration::default(),
        };
        let known = Known {
            channels: None,
            range: declared.range(),
            stored: declared.channels,
            axis: declared.axis,
            fallback: None,
            colour_as_stored: true,
        };
        self.decide(&known)
    }

    fn decide(&mut self, known: &Known) -> Result<PixelFormat> {
        let samples: Vec<&Sample> = self
            .entries
            .iter()
            .filter_map(|input| input.sample.as_ref().ok())
            .collect();
        let (format, notes) = survey::decide(&samples, known, self.limits)?;
        self.notes.extend(notes);
        Ok(format)
    }

    /// Adds a folder or a table that exists.
    fn add(&mut self, path: &Path, options: &OpenOptions, loose: &mut Vec<Entry>) -> Result<()> {
        let declared = match path.is_dir() {
            true => Declaration::read(path)?,
            false => Declaration::default(),
        };
        let layout = match options.layout.or(declared.layout()) {
            Some(layout) => layout,
            None => Layout::detect(path)?,
        };
        if layout == Layout::Loose {
            let found = loose::find(path, options.channels.as_deref(), &mut self.notes)?;
            if found.is_empty() {
                return Err(dataset::nothing_in(path, layout, 0));
            }
            self.declared.push(declared);
            loose.extend(found);
            return Ok(());
        }
        let (_, _, catalogue) = dataset::catalogue(path, options)?;
        let Catalogue {
            samples,
            missing,
            notes,
            channels: _,
        } = catalogue;
        if samples.is_empty() {
            return Err(dataset::nothing_in(path, layout, missing.len()));
        }
        self.declared.push(declared);
        self.notes.extend(notes);
        self.entries.extend(samples.into_iter().map(|sample| Input {
            id: sample.id.clone(),
            path: sample.path().into(),
            sample: Ok(sample),
        }));
        self.entries
            .extend(missing.into_iter().map(|missing| Input {
                sample: Err(Error::malformed(&missing.path, missing.reason)),
                id: missing.id,
                path: missing.path,
            }));
        Ok(())
    }

    /// Adds what was found without labels; ids are unique among them.
    fn add_loose(&mut self, entries: Vec<Entry>) {
        for (id, entry) in loose::ids(&entries).into_iter().zip(entries) {
            let id = SampleId::new(id);
            let path = entry.path;
            self.entries.push(Input {
                sample: match entry.pixels {
                    Pixels::At(source) => Ok(loose::unlabelled(id.clone(), source)),
                    Pixels::Nowhere(reason) => Err(Error::malformed(&path, reason)),
                },
                id,
                path,
            });
        }
    }
}

/// Whether this is a file named by itself, no folder and no manifest.
fn is_picture_file(path: &Path) -> bool {
    let ending = path.extension();
    !path.is_dir() && !ending.is_some_and(|e| e.eq_ignore_ascii_case("csv"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::broken::write_broken_files;
    use crate::data::npy;
    use crate::data::reader::ImageReader;
    use crate::data::sample::{Channel, PixelSource};
    use std::fs;

    fn grey(path: &Path, value: u8) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        image::GrayImage::from_pixel(24, 20, image::Luma([value]))
            .save(path)
            .unwrap();
    }

    fn options(channels: &[&str]) -> OpenOptions {
        OpenOptions {
            channels: Some(channels.iter().copied().map(Channel::new).collect()),
            ..OpenOptions::default()
        }
    }

    fn found(paths: &[&Path], channels: &[&str]) -> Inputs {
        let paths: Vec<PathBuf> = paths.iter().map(|p| p.to_path_buf()).collect();
        find_inputs(&paths, &options(channels)).unwrap()
    }

    fn ids(inputs: &Inputs) -> Vec<&str> {
        inputs.entries.iter().map(|i| i.id.as_str()).collect()
    }

    fn grey_format() -> PixelFormat {
        PixelFormat::new(vec![Channel::new("GRAY")])
    }

    /// The error and its causes.
    fn told(error: &Error) -> String {
        let mut text = error.to_string();
        let mut next = std::error::Error::source(error);
        while let Some(cause) = next {
            text = format!("{text} / {cause}");
            next = cause.source();
        }
        text
    }

    #[test]
    fn every_broken_file_is_an_entry_with_its_reason_and_good_ones_stay_the_same() {
        let dir = tempfile::tempdir().unwrap();
        for i in 0..30 {
            grey(&dir.path().join(format!("good{i:02}.png")), i);
        }
        let read_all = |inputs: &mut Inputs| {
            let format = inputs.format(&grey_format()).unwrap();
            let reader = ImageReader::new(format, Limits::default());
            let read: Vec<_> = inputs
                .entries
                .drain(..)
                .map(|input| {
                    let image = input.sample.and_then(|sample| reader.read(&sample));
                    (input.path, image)
                })
                .collect();
            read
        };
        let before = read_all(&mut found(&[dir.path()], &["GRAY"]));
        let broken = write_broken_files(dir.path());
        assert!(broken.len() >= 24);
        let after = read_all(&mut found(&[dir.path()], &["GRAY"]));
        assert_eq!(after.len(), 30 + broken.len());
        for (path, says) in &broken {
            let (_, result) = after.iter().find(|(p, _)| p == path).unwrap();
            let told = told(result.as_ref().unwrap_err());
            assert!(told.contains(says), "{}: {told}", path.display());
        }
        for (path, image) in &before {
            let (_, again) = after.iter().find(|(p, _)| p == path).unwrap();
            assert_eq!(image.as_ref().unwrap(), again.as_ref().unwrap());
        }
    }

    #[test]
    fn stems_that_repeat_give_way_to_paths() {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "a/1.png", "b/1.png", "b/1.bmp", "b/2.png", "a_3.png", "a/3.png",
        ] {
            grey(&dir.path().join(name), 9);
        }
        let inputs = found(&[dir.path()], &["GRAY"]);
        assert_eq!(ids(&inputs), ["2", "3", "a/1", "a_3", "b/1.bmp", "b/1.png"]);
        let twice = dir.path().join("b/2.png");
        assert_eq!(
            ids(&found(&[&twice, &twice], &["GRAY"])),
            ["2.png", "2.png#2"]
        );
    }

    #[test]
    fn masks_are_left_out_and_said_to_be() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["x.png", "x_mask.png", "masks/x.png", "y_mask.png"] {
            grey(&dir.path().join(name), 9);
        }
        let inputs = found(&[dir.path()], &["GRAY"]);
        assert_eq!(ids(&inputs), ["x", "y_mask"]);
        assert_eq!(inputs.notes, ["2 masks left out: x_mask.png, masks/"]);
    }

    #[cfg(unix)]
    #[test]
    fn links_in_a_circle_are_followed_once() {
        let dir = tempfile::tempdir().unwrap();
        grey(&dir.path().join("a/1.png"), 9);
        std::os::unix::fs::symlink(dir.path(), dir.path().join("a/up")).unwrap();
        let inputs = found(&[dir.path()], &["GRAY"]);
        assert_eq!(ids(&inputs), ["1"]);
        assert!(inputs.notes[0].contains("second way"), "{:?}", inputs.notes);
    }

    #[test]
    fn files_of_single_channels_become_one_piece() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["p_GRAY.png", "p_AM.png", "q_GRAY.png", "left_R.png"] {
            grey(&dir.path().join(name), 9);
        }
        let inputs = found(&[dir.path()], &["GRAY", "AM"]);
        assert_eq!(ids(&inputs), ["left_R", "p", "q"]);
        let p = inputs.entries[1].sample.as_ref().unwrap();
        assert!(matches!(&p.source, PixelSource::Channels(paths) if paths.len() == 2));
        let q = inputs.entries[2].sample.as_ref().unwrap_err();
        assert!(q.to_string().contains("no file of channel AM"), "{q}");
        // One channel needed: the other lights of a set are left out, lone files stand.
        let inputs = found(&[dir.path()], &["GRAY"]);
        assert_eq!(ids(&inputs), ["left_R", "p", "q_GRAY"]);
        assert!(inputs.notes[0].contains("p_AM.png"), "{:?}", inputs.notes);
        // R of a colour camera may as well mean right.
        assert_eq!(ids(&found(&[dir.path()], &["R", "G", "B"])).len(), 4);
    }

    #[test]
    fn nothing_to_look_at_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("notes.txt"), "x").unwrap();
        let error = find_inputs(&[dir.path().into()], &options(&["GRAY"])).unwrap_err();
        assert!(
            error.to_string().contains("no picture or array found"),
            "{error}"
        );
        let gone = dir.path().join("gone.png");
        assert!(find_inputs(std::slice::from_ref(&gone), &options(&["GRAY"])).is_err());
        assert!(find_inputs(&[], &options(&["GRAY"])).is_err());
        let good = dir.path().join("good.png");
        grey(&good, 3);
        let inputs = found(&[&gone, &good], &["GRAY"]);
        assert_eq!(inputs.entries.len(), 2);
        assert!(inputs.entries[0].sample.is_err());
    }

    #[test]
    fn a_labelled_set_gives_its_pieces_and_an_error_for_those_without_pixels() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("arrays")).unwrap();
        npy::write(&dir.path().join("arrays/a.npy"), &[4, 5, 6], &[9u8; 120]).unwrap();
        fs::write(
            dir.path().join("annotations_binary.csv"),
            "ID,error\na,0\nb,1\n",
        )
        .unwrap();
        let mut inputs = found(&[dir.path()], &["GRAY", "AM", "G", "R", "W", "NORMAL"]);
        assert_eq!(ids(&inputs), ["a", "b"]);
        assert!(inputs.entries[1].sample.is_err());
        let format = inputs.format(&PixelFormat::new(Channel::eraser())).unwrap();
        assert_eq!(format, PixelFormat::new(Channel::eraser()));
    }

    #[test]
    fn declared_channels_that_the_model_does_not_know_are_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        grey(&dir.path().join("a.png"), 3);
        fs::write(dir.path().join("dataset.json"), r#"{"channels": ["UV"]}"#).unwrap();
        let mut inputs = found(&[dir.path()], &["GRAY"]);
        let error = inputs.format(&grey_format()).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("channels are UV, the model needs GRAY"),
            "{error}"
        );
    }
}
