//! Crops as a data set on disk, in the `milan` layout.

use super::{CropOptions, Pack, Piece, crop, reduced, take_apart};
use crate::data::dataset::OpenOptions;
use crate::data::format::PixelFormat;
use crate::data::image::Image;
use crate::data::inputs::{Input, find_inputs};
use crate::data::layout::loose;
use crate::data::pixel_files::PixelFiles;
use crate::data::reader::{ImageReader, is_bytes};
use crate::error::{Error, Result, reason};
use crate::files::{CsvFile, Existing, StagedFolder, write_atomic};
use crate::metrics::bootstrap::median;
use crate::progress::Observer;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// The file that shows that goma made the folder.
const MARKER: &str = "crops.csv";

/// What became of one pack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PackOutcome {
    /// Its id.
    pub pack: String,
    /// Its (first) file.
    pub path: PathBuf,
    /// How many pieces were found and written.
    pub found: usize,
    /// How many were expected.
    pub expected: usize,
    /// Why it could not be read, or what was not found; empty if all is well.
    pub problem: String,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CropSummary {
    /// Samples written.
    pub pieces: usize,
    /// Each pack, in order of ids.
    pub packs: Vec<PackOutcome>,
    /// What a person should know of the inputs.
    pub notes: Vec<String>,
}

impl CropSummary {
    /// Packs that could not be read or have another number of pieces.
    #[must_use]
    pub fn problems(&self) -> usize {
        self.packs.iter().filter(|p| !p.problem.is_empty()).count()
    }
}

/// Crops the pieces of all packs into a data set in the `milan` layout:
///
/// - `arrays/PACK-NN.npy` (size x size x channels) or
///   `images/PACK-NN_CHANNEL.png`; bytes if the packs are bytes, else 16-bit
/// - `annotations_binary.csv`: a header, to be filled in
/// - `groups.csv` (id, group): the pack of each piece
/// - `crops.csv`: row, column, place and turn of each piece in its pack
/// - `packs.csv`: how many pieces each pack had, and what is wrong with it
/// - `dataset.json`: layout, channels, pixel range
///
/// `inputs` are files and folders; files `ID_CHANNEL` of one id are one pack.
/// One pack is in memory at a time. A pack that cannot be read, or holds another
/// number of pieces than expected, is a row with its problem; the pieces that
/// were found are written.
///
/// # Errors
/// [`Error::Setting`] for options out of range, [`Error::Exists`] if `out` is
/// in the way, [`Error::Stopped`], [`Error::Io`]; as for [`find_inputs`].
pub fn write_crops(
    inputs: &[PathBuf],
    out: &Path,
    open: &OpenOptions,
    options: &CropOptions,
    files: PixelFiles,
    existing: Existing,
    observer: &dyn Observer,
) -> Result<CropSummary> {
    options.check()?;
    let mut open = open.clone();
    if open.channels.is_none() {
        open.channels = loose::channels_of(inputs)?;
    }
    let mut found = find_inputs(inputs, &open)?;
    let format = match &open.channels {
        Some(channels) => found.format(&PixelFormat::new(channels.clone()))?,
        None => found.own_format()?,
    };
    let samples = || found.entries.iter().filter_map(|e| e.sample.as_ref().ok());
    let bytes = samples().all(|sample| is_bytes(sample, open.limits()));
    let reader = ImageReader::new(format.clone(), open.limits());
    let folder = Folder::begin(out, existing, files, bytes, &format)?;
    let mut groups = folder.table("groups.csv", &["id", "group"])?;
    let mut crops = folder.table(MARKER, &CROPS)?;
    let mut packs = folder.table(
        "packs.csv",
        &["pack", "path", "found", "expected", "problem"],
    )?;
    folder
        .table("annotations_binary.csv", &["ID", "error"])?
        .finish()?;
    let mut summary = CropSummary {
        pieces: 0,
        packs: Vec::new(),
        notes: found.notes,
    };
    observer.begin("cropping", found.entries.len() as u64);
    for input in &found.entries {
        if observer.stop_requested() {
            observer.end();
            return Err(Error::Stopped);
        }
        let mut outcome = PackOutcome {
            pack: input.id.to_string(),
            path: input.path.clone(),
            found: 0,
            expected: options.expect,
            problem: String::new(),
        };
        match input.read(&reader) {
            Err(error) => outcome.problem = reason(&error, &input.path),
            Ok(picture) => {
                let Pack { pieces, problem } = take_apart(&picture, options.expect);
                outcome.found = pieces.len();
                outcome.problem = problem.unwrap_or_default();
                for piece in &pieces {
                    let id = sample_id(input, piece);
                    groups.row(&[&id, input.id.as_str()])?;
                    crops.row(&place_row(id, input, piece))?;
                }
                folder.write_pieces(input, picture, pieces, options)?;
            }
        }
        packs.row(&[
            &outcome.pack,
            &outcome.path.to_string_lossy().into_owned(),
            &outcome.found.to_string(),
            &outcome.expected.to_string(),
            &outcome.problem,
        ])?;
        summary.pieces += outcome.found;
        summary.packs.push(outcome);
        observer.advance(1);
    }
    observer.end();
    for table in [groups, crops, packs] {
        table.finish()?;
    }
    folder.finish(options)?;
    Ok(summary)
}

/// The columns of `crops.csv`: places in pixels of the pack's picture.
const CROPS: [&str; 9] = [
    "id", "pack", "row", "column", "centre_x", "centre_y", "width", "height", "angle",
];

fn sample_id(pack: &Input, piece: &Piece) -> String {
    format!("{}-{:02}", pack.id.file_stem(), piece.number)
}

/// A piece's row in `crops.csv`.
fn place_row(id: String, pack: &Input, piece: &Piece) -> [String; 9] {
    let number = |n: Option<usize>| n.map_or(String::new(), |n| (n + 1).to_string());
    let place = &piece.place;
    [
        id,
        pack.id.to_string(),
        number(piece.cell.map(|c| c.row)),
        number(piece.cell.map(|c| c.column)),
        format!("{:.2}", place.centre[0]),
        format!("{:.2}", place.centre[1]),
        format!("{:.2}", place.side[0]),
        format!("{:.2}", place.side[1]),
        format!("{:.3}", place.angle),
    ]
}

/// A data set being written.
struct Folder<'a> {
    staged: StagedFolder,
    files: PixelFiles,
    bytes: bool,
    format: &'a PixelFormat,
}

impl<'a> Folder<'a> {
    fn begin(
        out: &Path,
        existing: Existing,
        files: PixelFiles,
        bytes: bool,
        format: &'a PixelFormat,
    ) -> Result<Self> {
        let folder = Self {
            staged: StagedFolder::begin(out, existing, MARKER)?,
            files,
            bytes,
            format,
        };
        let pixels = folder.staged.path().join(files.folder());
        std::fs::create_dir(&pixels).map_err(Error::io("create", pixels))?;
        Ok(folder)
    }

    fn table(&self, name: &str, header: &[&str]) -> Result<CsvFile> {
        CsvFile::create(&self.staged.path().join(name), header)
    }

    fn write(&self, id: &str, image: &Image) -> Result<()> {
        let (root, channels) = (self.staged.path(), &self.format.channels);
        if self.bytes {
            let scaled = image.pixels().mapv(|v| (v * 255.0).round() as u8);
            self.files.write(root, id, channels, scaled.view())
        } else {
            let scaled = image.pixels().mapv(|v| (v * 65535.0).round() as u16);
            self.files.write(root, id, channels, scaled.view())
        }
    }

    /// Cuts the pieces out and writes them, all at one scale.
    fn write_pieces(
        &self,
        pack: &Input,
        picture: Image,
        pieces: Vec<Piece>,
        options: &CropOptions,
    ) -> Result<()> {
        if pieces.is_empty() {
            return Ok(());
        }
        let side = median(pieces.iter().map(|p| p.place.mean_side()).collect());
        let (picture, pieces, side) = reduced(picture, pieces, side, options)?;
        for piece in &pieces {
            let crop = crop(&picture, &piece.place, side, options)?;
            self.write(&sample_id(pack, piece), &crop)?;
        }
        Ok(())
    }

    fn finish(self, options: &CropOptions) -> Result<()> {
        let about = serde_json::json!({
            "layout": "milan",
            "channels": self.format.channels,
            "axis": "channels_last",
            "range": if self.bytes { "byte" } else { "word" },
            "size": [options.size, options.size],
            "margin": options.margin,
            "made_by": format!("goma crop {}", env!("CARGO_PKG_VERSION")),
        });
        let path = self.staged.path().join("dataset.json");
        write_atomic(&path, format!("{about:#}\n").as_bytes())?;
        self.staged.commit()
    }
}
