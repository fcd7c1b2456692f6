//! `Dataset`: samples found, checked, counted and described; no pixels yet.

use crate::data::annotation::{GOOD, Label};
use crate::data::declaration::Declaration;
use crate::data::format::PixelFormat;
use crate::data::layout::{self, Catalogue, Layout, Missing};
use crate::data::reader::Limits;
use crate::data::sample::{Channel, Sample};
use crate::data::survey::{self, Known};
use crate::error::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Which classes a data set is looked at in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClassView {
    /// Those the annotations name.
    #[default]
    AsLabelled,
    /// `good`, `physical`, `print`; a piece with both kinds counts as physical,
    /// the damage that no new print would mend.
    Three,
    /// `good` and `defect`.
    Binary,
}

/// How to open a data set.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// The layout; detected if not named.
    pub layout: Option<Layout>,
    /// The channels wanted, by name; all if not named.
    pub channels: Option<Vec<Channel>>,
    /// The largest picture taken, height x width.
    pub max_pixels: u64,
    /// Which classes to see.
    pub classes: ClassView,
    /// The pixel format, where it is known: nothing is decided then.
    pub format: Option<PixelFormat>,
    /// What stands where the files do not tell: a bundle's format.
    pub fallback: Option<PixelFormat>,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            layout: None,
            channels: None,
            max_pixels: Limits::default().max_pixels,
            classes: ClassView::default(),
            format: None,
            fallback: None,
        }
    }
}

impl OpenOptions {
    /// What one file may ask for.
    #[must_use]
    pub fn limits(&self) -> Limits {
        Limits {
            max_pixels: self.max_pixels,
        }
    }
}

/// A data set: what its files and tables say, checked against each other.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// The folder, or the manifest.
    pub root: PathBuf,
    /// How it is laid out.
    pub layout: Layout,
    /// All samples with pixels, sorted by id; some may have no label.
    pub samples: Vec<Sample>,
    /// Samples known of, but without pixels; sorted by id.
    pub missing: Vec<Missing>,
    /// What the numbers in the files mean.
    pub format: PixelFormat,
    /// Class names: `good` first, then sorted.
    pub classes: Vec<String>,
    /// What a person should know: orphans, unpaired masks, unknown files.
    pub notes: Vec<String>,
}

impl Dataset {
    /// Reads a data set's tables and folders, and decides its pixel format.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Malformed`] for folders and tables that cannot
    /// be read; [`Error::Data`] if there is no picture at all, if two samples
    /// have the same id, or if none of the files looked at can be read.
    pub fn open(path: &Path, options: &OpenOptions) -> Result<Self> {
        let (layout, declared, catalogue) = catalogue(path, options)?;
        if let (Some(wanted), Some(stored)) = (&options.channels, &declared.channels)
            && let Some(absent) = wanted.iter().find(|c| !stored.contains(c))
        {
            let names: Vec<&str> = stored.iter().map(Channel::name).collect();
            return Err(Error::data(format!(
                "channel {absent} is wanted, {} has {}",
                path.display(),
                names.join(" ")
            ))
            .help("choose a model trained on these channels, or correct dataset.json"));
        }
        let Catalogue {
            mut samples,
            mut missing,
            mut notes,
            channels,
        } = catalogue;
        if samples.is_empty() {
            return Err(nothing_in(path, layout, missing.len()));
        }
        samples.sort_by(|a, b| a.id.cmp(&b.id));
        missing.sort_by(|a, b| a.id.cmp(&b.id));
        check_ids(path, &samples, &missing)?;
        see_classes(options.classes, &mut samples, &mut missing)?;
        let format = match &options.format {
            Some(format) => format.clone(),
            None => {
                let known = Known {
                    channels: options.channels.clone().or(channels),
                    range: declared.range(),
                    stored: declared.channels,
                    axis: declared.axis,
                    fallback: options.fallback.clone(),
                    colour_as_stored: false,
                };
                let all: Vec<&Sample> = samples.iter().collect();
                let (format, said) = survey::decide(&all, &known, options.limits())?;
                notes.extend(said);
                format
            }
        };
        let classes = class_names(&samples);
        Ok(Self {
            root: path.into(),
            layout,
            samples,
            missing,
            format,
            classes,
            notes,
        })
    }

    /// The same samples with their labels seen otherwise.
    ///
    /// # Errors
    /// [`Error::Data`] if a label does not occur in that view.
    pub fn seen_as(&self, view: ClassView) -> Result<Self> {
        let mut seen = self.clone();
        see_classes(view, &mut seen.samples, &mut seen.missing)?;
        seen.classes = class_names(&seen.samples);
        Ok(seen)
    }

    /// How many samples each class has, in the order of the classes.
    #[must_use]
    pub fn counts(&self) -> Vec<(String, usize)> {
        self.classes
            .iter()
            .map(|class| (class.clone(), self.indices_of(class).len()))
            .collect()
    }

    /// Indices of the samples of one class.
    #[must_use]
    pub fn indices_of(&self, label: &str) -> Vec<usize> {
        self.indices_where(|sample| sample.label() == Some(label))
    }

    /// Indices of the samples that have a label.
    #[must_use]
    pub fn labelled(&self) -> Vec<usize> {
        self.indices_where(|sample| sample.label().is_some())
    }

    fn indices_where(&self, holds: impl Fn(&Sample) -> bool) -> Vec<usize> {
        (0..self.samples.len())
            .filter(|&i| holds(&self.samples[i]))
            .collect()
    }
}

/// Finds the layout and reads it.
pub(crate) fn catalogue(
    path: &Path,
    options: &OpenOptions,
) -> Result<(Layout, Declaration, Catalogue)> {
    let declared = if path.is_dir() {
        Declaration::read(path)?
    } else {
        Declaration::default()
    };
    let layout = match options.layout.or(declared.layout()) {
        Some(layout) => layout,
        None => Layout::detect(path)?,
    };
    let wanted = options
        .channels
        .as_deref()
        .or(options.format.as_ref().map(|f| f.channels.as_slice()));
    let catalogue = match layout {
        Layout::Milan => layout::milan::read(path, wanted, declared.channels.as_deref()),
        Layout::Folders => layout::folders::read(path),
        Layout::Mvtec => layout::mvtec::read(path),
        Layout::Manifest => layout::manifest::read(path, wanted),
        Layout::Loose => layout::loose::read(path, wanted.or(declared.channels.as_deref())),
    }?;
    Ok((layout, declared, catalogue))
}

/// The error for a data set without pictures.
pub(crate) fn nothing_in(path: &Path, layout: Layout, missing: usize) -> Error {
    let known_of = match missing {
        0 => String::new(),
        n => format!(" ({n} known of, but unreadable)"),
    };
    Error::data(format!(
        "no picture or array found in {}, read as {layout}{known_of}",
        path.display()
    ))
    .help("npy, png, jpg, bmp and tif files are read; --layout names another layout")
}

fn check_ids(path: &Path, samples: &[Sample], missing: &[Missing]) -> Result<()> {
    let mut seen = BTreeSet::new();
    for id in samples
        .iter()
        .map(|s| &s.id)
        .chain(missing.iter().map(|m| &m.id))
    {
        if !seen.insert(id) {
            return Err(Error::data(format!(
                "{}: the id {id} occurs more than once",
                path.display()
            )));
        }
    }
    Ok(())
}

fn see_classes(view: ClassView, samples: &mut [Sample], missing: &mut [Missing]) -> Result<()> {
    let annotations = samples
        .iter_mut()
        .map(|s| &mut s.annotation)
        .chain(missing.iter_mut().map(|m| &mut m.annotation));
    for annotation in annotations.flatten() {
        let label = &annotation.label;
        annotation.label = match (view, label.name()) {
            (ClassView::AsLabelled, _) | (_, GOOD) => continue,
            (ClassView::Binary, _) => Label::new("defect"),
            (ClassView::Three, "print" | "physical") => continue,
            (ClassView::Three, "both") => Label::new("physical"),
            (ClassView::Three, other) => {
                return Err(Error::data(format!(
                    "class {other} found; the three-class view knows good, print, physical and both"
                )));
            }
        };
    }
    Ok(())
}

fn class_names(samples: &[Sample]) -> Vec<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for label in samples.iter().filter_map(Sample::label) {
        *counts.entry(label).or_default() += 1;
    }
    let mut names: Vec<String> = counts.into_keys().map(str::to_string).collect();
    names.sort_by_key(|name| name != GOOD); // stable: the rest stays sorted
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::fold::Fold;
    use crate::data::reader::ImageReader;
    use crate::random::Seed;
    use std::fs;

    /// The folder of an optional data set, or `None` after saying so.
    #[allow(clippy::print_stderr)] // a test that skips says it
    fn optional(variable: &str) -> Option<PathBuf> {
        let folder = std::env::var_os(variable).map(PathBuf::from);
        if folder.is_none() {
            eprintln!("skipped: {variable} does not name a folder");
        }
        folder
    }

    #[test]
    fn the_magnetic_tiles_are_read_whole() {
        let Some(root) = optional("GOMA_MAGNETIC_TILE") else {
            return;
        };
        let dataset = Dataset::open(&root, &OpenOptions::default()).unwrap();
        assert_eq!(dataset.layout, Layout::Folders);
        assert_eq!(
            dataset.classes,
            ["good", "blowhole", "break", "crack", "fray", "uneven"]
        );
        assert_eq!(dataset.samples.len(), 935); // 1,208 with the masks, which are none
        assert_eq!(dataset.indices_of("good").len(), 662);
        assert_eq!(dataset.format.names(), ["GRAY"]);
        assert!(dataset.notes.is_empty(), "{:?}", dataset.notes);
        let reader = ImageReader::new(dataset.format.clone(), Limits::default());
        let (mut masks, mut blank) = (0, 0);
        for sample in &dataset.samples {
            let image = reader.read(sample).unwrap();
            if let Some(mask) = reader.read_mask(sample, &image).unwrap() {
                masks += 1;
                blank += usize::from(!mask.iter().any(|&m| m));
            }
        }
        assert_eq!((masks, blank), (273, 2)); // two masks of the published set are all black
        let fold = Fold::holdout(&dataset, 0.25, Seed::new(0)).unwrap();
        for (class, count) in dataset.counts() {
            let tested = fold
                .test()
                .iter()
                .filter(|&&i| dataset.samples[i].label() == Some(&class))
                .count();
            assert!(
                (tested as f64 / count as f64 - 0.25).abs() < 0.1,
                "{class}: {tested}"
            );
        }
    }

    #[test]
    fn a_folder_is_told_by_its_content() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let detected = || Layout::detect(root).unwrap();
        assert_eq!(detected(), Layout::Loose);
        fs::create_dir(root.join("Good")).unwrap();
        assert_eq!(detected(), Layout::Folders);
        fs::write(root.join("list.csv"), "ID;path\n1;Good/a.png\n").unwrap();
        assert_eq!(detected(), Layout::Manifest);
        fs::create_dir_all(root.join("train/good")).unwrap();
        assert_eq!(detected(), Layout::Mvtec);
        fs::write(root.join("annotations_multi.csv"), "a,0_0\n").unwrap();
        assert_eq!(detected(), Layout::Milan);
        for layout in ["milan", "folders", "mvtec", "manifest", "loose"] {
            assert_eq!(layout.parse::<Layout>().unwrap().to_string(), layout);
        }
        assert!("Milan ".parse::<Layout>().is_err());
    }

    #[test]
    fn classes_are_seen_as_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let table = "ID, error\na,0_0\nb,1_0\nc,0_1\nd,1_1\n";
        fs::write(dir.path().join("annotations_multi.csv"), table).unwrap();
        fs::create_dir(dir.path().join("arrays")).unwrap();
        for id in ["a", "b", "c", "d"] {
            let path = dir.path().join(format!("arrays/{id}.npy"));
            crate::data::npy::write(&path, &[8, 7, 6], &[9u8; 336]).unwrap();
        }
        let open = |classes| {
            let options = OpenOptions {
                classes,
                ..OpenOptions::default()
            };
            Dataset::open(dir.path(), &options).unwrap()
        };
        let dataset = open(ClassView::AsLabelled);
        assert_eq!(dataset.classes, ["good", "both", "physical", "print"]);
        assert_eq!(dataset.format, PixelFormat::new(Channel::eraser()));
        let three = open(ClassView::Three);
        assert_eq!(three.classes, ["good", "physical", "print"]);
        assert_eq!(three.indices_of("physical"), [2, 3]);
        let binary = open(ClassView::Binary);
        assert_eq!(binary.counts(), [("good".into(), 1), ("defect".into(), 3)]);
    }

    #[test]
    fn one_channel_of_named_six_is_picked() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("annotations_binary.csv"), "a,0\n").unwrap();
        let about = r#"{"channels": ["GRAY", "AM", "G", "R", "W", "NORMAL"], "range": "byte"}"#;
        fs::write(dir.path().join("dataset.json"), about).unwrap();
        let values: Vec<u8> = (0..24).map(|i| i % 6 * 51).collect();
        crate::data::npy::write(&dir.path().join("a.npy"), &[2, 2, 6], &values).unwrap();
        let options = OpenOptions {
            channels: Some(vec![Channel::new("AM")]),
            ..OpenOptions::default()
        };
        let dataset = Dataset::open(dir.path(), &options).unwrap();
        assert_eq!(dataset.format.stored, Some(Channel::eraser()));
        let reader = ImageReader::new(dataset.format.clone(), Limits::default());
        assert_eq!(
            reader.read(&dataset.samples[0]).unwrap().as_slice(),
            [0.2; 4]
        );
    }
}
