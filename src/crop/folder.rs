//! Crops as a data set on disk, in the `milan` layout.

use super::{CropOptions, Pack, crop, reduced, take_apart};
use crate::crop::find::median;
use crate::data::dataset::OpenOptions;
use crate::data::format::PixelFormat;
use crate::data::image::Image;
use crate::data::inputs::{Input, find_inputs};
use crate::data::layout::loose;
use crate::data::npy;
use crate::data::reader::{ImageReader, is_bytes};
use crate::error::{Error, Result, reason};
use crate::files::{Existing, StagedFolder, write_atomic};
use crate::progress::Observer;
use crate::synth::PixelFiles;
use image::{ImageBuffer, ImageFormat, Luma};
use ndarray::{Array3, Axis};
use serde::Serialize;
use std::fs::File;
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
        let stem = input.id.file_stem();
        let mut outcome = PackOutcome {
            pack: input.id.to_string(),
            path: input.path.clone(),
            found: 0,
            expected: options.expect,
            problem: String::new(),
        };
        match read(&reader, input) {
            Err(problem) => outcome.problem = problem,
            Ok(picture) => {
                let Pack { pieces, problem } = take_apart(&picture, options.expect);
                outcome.found = pieces.len();
                outcome.problem = problem.unwrap_or_default();
                for piece in &pieces {
                    let id = format!("{stem}-{:02}", piece.number);
                    let number =
                        |n: Option<usize>| n.map_or(String::new(), |n| (n + 1).to_string());
                    let place = &piece.place;
                    groups.row(&[&id, input.id.as_str()])?;
                    crops.row(&[
                        id,
                        input.id.to_string(),
                        number(piece.cell.map(|c| c.row)),
                        number(piece.cell.map(|c| c.column)),
                        format!("{:.2}", place.centre[0]),
                        format!("{:.2}", place.centre[1]),
                        format!("{:.2}", place.side[0]),
                        format!("{:.2}", place.side[1]),
                        format!("{:.3}", place.angle),
                    ])?;
                }
                let side = median(pieces.iter().map(|p| p.place.mean_side()).collect());
                if !pieces.is_empty() {
                    let (picture, pieces, side) = reduced(picture, pieces, side, options)?;
                    for piece in &pieces {
                        let id = format!("{stem}-{:02}", piece.number);
                        folder.write(&id, &crop(&picture, &piece.place, side, options)?)?;
                    }
                }
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

/// The picture, or why there is none.
fn read(reader: &ImageReader, input: &Input) -> std::result::Result<Image, String> {
    let read = match &input.sample {
        Ok(sample) => reader.read(sample),
        Err(e) => return Err(reason(e, &input.path)),
    };
    read.map_err(|e| reason(&e, &input.path))
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
        let pixels = folder.pixels();
        std::fs::create_dir(&pixels).map_err(Error::io("create", pixels))?;
        Ok(folder)
    }

    fn pixels(&self) -> PathBuf {
        self.staged.path().join(match self.files {
            PixelFiles::Arrays => "arrays",
            PixelFiles::Images => "images",
        })
    }

    fn table(&self, name: &str, header: &[&str]) -> Result<Table> {
        let path = self.staged.path().join(name);
        let file = File::create(&path).map_err(Error::io("create", &path))?;
        let mut table = Table {
            writer: csv::Writer::from_writer(file),
            path,
        };
        table.row(header)?;
        Ok(table)
    }

    fn write(&self, id: &str, image: &Image) -> Result<()> {
        if self.bytes {
            let scaled = image.pixels().mapv(|v| (v * 255.0).round() as u8);
            self.write_pixels(id, scaled)
        } else {
            let scaled = image.pixels().mapv(|v| (v * 65535.0).round() as u16);
            self.write_pixels(id, scaled)
        }
    }

    /// Writes pixels `[channels, height, width]`.
    fn write_pixels<T>(&self, id: &str, pixels: Array3<T>) -> Result<()>
    where
        T: npy::Element + image::Primitive,
        Luma<T>: image::PixelWithColorType<Subpixel = T>,
        [T]: image::EncodableLayout,
    {
        if self.files == PixelFiles::Arrays {
            let path = self.pixels().join(format!("{id}.npy"));
            return npy::write_array(&path, pixels.view().permuted_axes([1, 2, 0]));
        }
        let (_, height, width) = pixels.dim();
        for (channel, plane) in self.format.channels.iter().zip(pixels.axis_iter(Axis(0))) {
            let path = self.pixels().join(format!("{id}_{channel}.png"));
            let picture: ImageBuffer<Luma<T>, Vec<T>> =
                ImageBuffer::from_raw(width as u32, height as u32, plane.iter().copied().collect())
                    .expect("as many pixels as the plane has");
            let mut bytes = std::io::Cursor::new(Vec::new());
            picture
                .write_to(&mut bytes, ImageFormat::Png)
                .map_err(|e| Error::io("write", &path)(std::io::Error::other(e)))?;
            write_atomic(&path, bytes.get_ref())?;
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

/// A CSV file being written, row by row.
struct Table {
    writer: csv::Writer<File>,
    path: PathBuf,
}

impl Table {
    fn row(&mut self, cells: &[impl AsRef<[u8]>]) -> Result<()> {
        self.writer
            .write_record(cells)
            .map_err(|e| Error::io("write", &self.path)(e.into()))
    }

    fn finish(mut self) -> Result<()> {
        self.writer.flush().map_err(Error::io("write", &self.path))
    }
}
