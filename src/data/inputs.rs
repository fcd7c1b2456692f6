//! What `score` is asked to look at: files, folders searched through, labelled
//! data sets. One entry for each piece, readable or not.

use crate::data::dataset::{self, OpenOptions};
use crate::data::declaration::Declaration;
use crate::data::format::PixelFormat;
use crate::data::layout::loose::{self, Entry, Pixels};
use crate::data::layout::{Catalogue, Layout};
use crate::data::reader::Limits;
use crate::data::sample::{Sample, SampleId};
use crate::data::survey::{self, Known};
use crate::error::{Error, Result};
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
/// needs: files `ID_CHANNEL` of one id become one piece. An id is a file's stem;
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
    let mut first_absent = None;
    for path in paths {
        match std::fs::symlink_metadata(path) {
            Err(e) => {
                let mut entry = Entry::file(path);
                entry.pixels = Pixels::Nowhere(e.to_string());
                loose.push(entry);
                first_absent.get_or_insert(Error::io("read", path)(e));
            }
            Ok(_) => inputs.add(path, options, &mut loose)?,
        }
    }
    inputs.add_loose(loose);
    if let (Some(error), true) = (first_absent, paths.iter().all(|p| p.symlink_metadata().is_err()))
    {
        return Err(error);
    }
    if inputs.entries.is_empty() {
        return Err(Error::data("nothing to look at: no file or folder named"));
    }
    inputs.entries.sort_by(|a, b| a.id.cmp(&b.id));
    let mut seen = BTreeSet::new();
    for input in &inputs.entries {
        if !seen.insert(&input.id) {
            return Err(Error::data(format!("the id {} occurs more than once", input.id))
                .help("score data sets with equal ids one at a time"));
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

    /// Adds one path that exists.
    fn add(&mut self, path: &Path, options: &OpenOptions, loose: &mut Vec<Entry>) -> Result<()> {
        let is_table = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("csv"));
        if !path.is_dir() && !is_table {
            loose.push(Entry::file(path));
            return Ok(());
        }
        let layout = match options.layout {
            Some(layout) => layout,
            None => match path.is_dir().then(|| Declaration::read(path)).transpose()? {
                Some(Declaration {
                    layout: Some(layout),
                    ..
                }) => layout,
                _ => Layout::detect(path)?,
            },
        };
        if layout == Layout::Loose {
            let found = loose::find(path, options.channels.as_deref(), &mut self.notes)?;
            if found.is_empty() {
                return Err(dataset::nothing_in(path, layout, 0));
            }
            self.declared.push(Declaration::read(path)?);
            loose.extend(found);
            return Ok(());
        }
        let (layout, declared, catalogue) = dataset::catalogue(path, options)?;
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
        self.entries.extend(missing.into_iter().map(|missing| Input {
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
