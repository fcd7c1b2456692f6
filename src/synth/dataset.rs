//! Synthetic pieces as a data set on disk, in the `milan` layout.

use super::outline::HALF_SIDE;
use super::{Defect, SIZE, SynthOptions, piece};
use crate::data::annotation::Label;
use crate::data::pixel_files::{PixelFiles, write_png};
use crate::data::sample::Channel;
use crate::error::{Error, Result};
use crate::files::{CsvFile, Existing, StagedFolder, write_atomic};
use crate::progress::Observer;
use crate::random::Seed;
use ndarray::{Array2, ArrayView2, ArrayView3};
use rayon::prelude::*;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// The file that shows that goma made the folder, and how.
pub const MARKER: &str = "dataset.json";

/// By how many pixels an eraser can reach beyond a square of its usual side in the middle of its
/// crop: it lies up to 2.6 off, is turned by up to 0.01 radians, and its sides vary and bow.
const STRAY: f32 = 8.0;

/// What was written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Pieces.
    pub pieces: u64,
    /// Pieces of each true class.
    pub classes: BTreeMap<String, u64>,
    /// Pieces whose recorded label is not the true one.
    pub mislabelled: u64,
}

impl Summary {
    pub(super) fn count(&mut self, label: &Label, noisy: &Label) {
        self.pieces += 1;
        *self.classes.entry(label.to_string()).or_default() += 1;
        self.mislabelled += u64::from(label != noisy);
    }
}

/// Writes `count` pieces as a data set in the `milan` layout:
///
/// - `arrays/ID.npy` (310 x 310 x 6, uint8) or `images/ID_CHANNEL.png`
/// - `annotations_binary.csv` (ID, 0 or 1) and `annotations_multi.csv` (ID,
///   `X_Y`: printing error, physical defect), with the recorded labels
/// - `groups.csv` (file, class, piece): the pack of each piece
/// - `masks/ID.png` for each defective piece, 0 and 255
/// - `roi.png`: white where a piece can lie, black on the belt and the
///   neighbours, for `--roi`
/// - `truth.csv`: the true and the recorded label, kinds and severities,
///   colour, group
/// - `dataset.json`: layout, channels, pixel range, how it was made
///
/// Pieces are made a few at a time, so memory does not grow with `count`. The
/// folder appears whole or not at all.
///
/// # Errors
/// [`Error::Setting`] for options out of range, [`Error::Exists`] if `out` is
/// in the way, [`Error::Stopped`] if the observer asks for it, [`Error::Io`].
pub fn write_dataset(
    out: &Path,
    options: &SynthOptions,
    seed: u64,
    count: u64,
    files: PixelFiles,
    existing: Existing,
    observer: &dyn Observer,
) -> Result<Summary> {
    let folder = Folder::begin(out, options, existing, files, false)?;
    let mut binary = folder.table("annotations_binary.csv", &["ID", "error"])?;
    let mut multi = folder.table("annotations_multi.csv", &["ID", "error"])?;
    let mut groups = folder.table("groups.csv", &["file", "class", "piece"])?;
    let mut truth = folder.table(
        "truth.csv",
        &[
            "id",
            "label",
            "noisy_label",
            "kinds",
            "severity",
            "colour",
            "group",
        ],
    )?;
    let root = Seed::new(seed);
    let mut summary = Summary::default();
    in_chunks(
        count,
        "pieces",
        observer,
        |index| {
            let piece = piece(options, root, index);
            folder.write_pixels(&piece.id, piece.pixels.view())?;
            if !piece.label.is_good() {
                folder.write_mask(&piece.id, piece.mask.view())?;
            }
            Ok((
                piece.id,
                piece.group,
                piece.label,
                piece.noisy_label,
                piece.defects,
                piece.colour,
            ))
        },
        |(id, group, label, noisy, defects, colour)| {
            summary.count(&label, &noisy);
            let (error, pair) = codes(&noisy);
            binary.row(&[&id, error])?;
            multi.row(&[&id, pair])?;
            groups.row(&[&id, noisy.name(), &group])?;
            truth.row(&[
                &id,
                label.name(),
                noisy.name(),
                &kinds(&defects),
                &severities(&defects),
                colour.name(),
                &group,
            ])
        },
    )?;
    for table in [binary, multi, groups, truth] {
        table.finish()?;
    }
    write_png(&folder.staged.path().join("roi.png"), region().view())?;
    folder.finish(seed, count)?;
    Ok(summary)
}

/// The square of a crop within which all of its eraser lies, whichever it is.
fn region() -> Array2<u8> {
    let middle = (SIZE - 1) as f32 / 2.0;
    let inside = |at: usize| (at as f32 - middle).abs() <= HALF_SIDE + STRAY;
    Array2::from_shape_fn((SIZE, SIZE), |(y, x)| {
        u8::from(inside(y) && inside(x)) * 255
    })
}

/// Whether a `dataset.json` is of this command: people write their own, too.
fn is_ours(marker: &Path) -> Result<bool> {
    let text = std::fs::read(marker).map_err(Error::io("read", marker))?;
    Ok(
        serde_json::from_slice::<serde_json::Value>(&text).is_ok_and(|facts| {
            let by = facts["made_by"].as_str();
            by.is_some_and(|by| by.starts_with("goma synth"))
        }),
    )
}

/// A label as the two annotation files write it.
fn codes(label: &Label) -> (&'static str, &'static str) {
    match label.name() {
        "print" => ("1", "1_0"),
        "physical" => ("1", "0_1"),
        "both" => ("1", "1_1"),
        _ => ("0", "0_0"),
    }
}

/// `missing-ink+dent`
pub(super) fn kinds(defects: &[Defect]) -> String {
    let names: Vec<&str> = defects.iter().map(|d| d.kind.name()).collect();
    names.join("+")
}

/// `0.412+0.730`
pub(super) fn severities(defects: &[Defect]) -> String {
    let numbers: Vec<String> = defects
        .iter()
        .map(|d| format!("{:.3}", d.severity))
        .collect();
    numbers.join("+")
}

/// Makes `count` things in parallel, a few at a time, and takes them in order.
pub(super) fn in_chunks<T: Send>(
    count: u64,
    what: &str,
    observer: &dyn Observer,
    make: impl Fn(u64) -> Result<T> + Sync,
    mut take: impl FnMut(T) -> Result<()>,
) -> Result<()> {
    let chunk = 8 * rayon::current_num_threads() as u64;
    observer.begin(&format!("making {what}"), count);
    let mut next = 0;
    while next < count {
        if observer.stop_requested() {
            observer.end();
            return Err(Error::Stopped);
        }
        let end = (next + chunk).min(count);
        let made: Vec<Result<T>> = (next..end)
            .into_par_iter()
            .map(|index| {
                let made = make(index);
                observer.advance(1);
                made
            })
            .collect();
        for one in made {
            take(one?)?;
        }
        next = end;
    }
    observer.end();
    Ok(())
}

/// A data set being written.
pub(super) struct Folder {
    staged: StagedFolder,
    options: SynthOptions,
    files: PixelFiles,
    packs: bool,
}

impl Folder {
    pub(super) fn begin(
        out: &Path,
        options: &SynthOptions,
        existing: Existing,
        files: PixelFiles,
        packs: bool,
    ) -> Result<Self> {
        options.check()?;
        let marker = out.join(MARKER);
        if existing == Existing::Replace && marker.is_file() && !is_ours(&marker)? {
            return Err(Error::Exists { path: out.into() }
                .help("its dataset.json was not written by goma synth; choose another folder"));
        }
        let staged = StagedFolder::begin(out, existing, MARKER)?;
        for name in [files.folder(), "masks"] {
            let path = staged.path().join(name);
            std::fs::create_dir(&path).map_err(Error::io("create", path))?;
        }
        Ok(Self {
            staged,
            options: options.clone(),
            files,
            packs,
        })
    }

    /// Begins a table in the folder.
    pub(super) fn table(&self, name: &str, header: &[&str]) -> Result<CsvFile> {
        CsvFile::create(&self.staged.path().join(name), header)
    }

    /// Writes pixels `[channels, height, width]`.
    pub(super) fn write_pixels(&self, id: &str, pixels: ArrayView3<'_, u8>) -> Result<()> {
        let channels = Channel::eraser();
        self.files.write(self.staged.path(), id, &channels, pixels)
    }

    /// Writes a mask as a picture of 0 and 255.
    pub(super) fn write_mask(&self, id: &str, mask: ArrayView2<'_, bool>) -> Result<()> {
        let path = self.staged.path().join("masks").join(format!("{id}.png"));
        write_png(&path, mask.mapv(|m| if m { 255u8 } else { 0 }).view())
    }

    /// Writes `dataset.json` and puts the folder in its place.
    pub(super) fn finish(self, seed: u64, count: u64) -> Result<()> {
        let about = About {
            layout: (!self.packs).then_some("milan"),
            channels: Channel::eraser(),
            axis: (self.files == PixelFiles::Arrays).then_some("channels_last"),
            range: "byte",
            size: if self.packs { [729, 969] } else { [SIZE, SIZE] },
            files: self.files,
            made_by: format!("goma synth {}", env!("CARGO_PKG_VERSION")),
            seed,
            count,
            options: self.options,
        };
        let mut text =
            serde_json::to_vec_pretty(&about).map_err(|e| Error::io("write", MARKER)(e.into()))?;
        text.push(b'\n');
        write_atomic(&self.staged.path().join(MARKER), &text)?;
        self.staged.commit()
    }
}

/// The content of `dataset.json`.
#[derive(Serialize)]
struct About {
    /// Left out for packs, which are no layout of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    layout: Option<&'static str>,
    channels: Vec<Channel>,
    /// How arrays lie; left out for pictures.
    #[serde(skip_serializing_if = "Option::is_none")]
    axis: Option<&'static str>,
    /// Pixels are 0 to 255.
    range: &'static str,
    /// Height, width.
    size: [usize; 2],
    files: PixelFiles,
    made_by: String,
    seed: u64,
    count: u64,
    options: SynthOptions,
}

#[cfg(test)]
mod tests {
    use super::super::scene::{PACK, Scene};
    use super::*;

    #[test]
    fn codes_put_the_printing_error_first() {
        assert_eq!(codes(&Label::new("print")), ("1", "1_0"));
        assert_eq!(codes(&Label::new("physical")), ("1", "0_1"));
        assert_eq!(codes(&Label::new("both")), ("1", "1_1"));
        assert_eq!(codes(&Label::good()), ("0", "0_0"));
    }

    #[test]
    fn every_good_eraser_lies_within_the_region_and_fills_most_of_it() {
        let region = region();
        let white = region.iter().filter(|v| **v == 255).count();
        for pack in 0..8 {
            let scene = Scene::draw(Seed::new(6), pack);
            for member in 0..PACK {
                let surfaces = scene.surfaces(&scene.crop(member));
                let eraser = surfaces[member].as_ref().expect("its own crop shows it");
                let window = eraser.window;
                let inside = eraser
                    .distance
                    .iter()
                    .enumerate()
                    .filter(|(_, d)| **d < 0.5);
                let mut pixels = 0;
                for (at, _) in inside {
                    let (y, x) = (at / window.width, at % window.width);
                    assert_eq!(region[[window.y0 + y, window.x0 + x]], 255);
                    pixels += 1;
                }
                assert!(10 * pixels > 8 * white, "{pixels} of {white}");
            }
        }
    }
}
