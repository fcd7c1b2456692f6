//! Picture and array files, decoded to numbers: nothing is scaled here.
//!
//! What a file is, its first bytes say, not its name. Its size is checked
//! against [`Limits`] before pixels are decoded. JPEG is decoded strictly (a
//! truncated file is an error, where lenient decoders make pixels up). An alpha
//! channel of one value throughout says nothing and is dropped; any other is an
//! error. A camera's note on how it was held (EXIF orientation) is not followed:
//! pixels come as they are stored.

mod jpeg;
mod tiff;

use crate::data::npy::{self, Dtype, NpyArray, NpyHeader, Values};
use crate::error::{Error, Result};
use image::{DynamicImage, ImageDecoder, ImageFormat};
use std::fs::{self, File};
use std::io::{Cursor, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Names of files that may hold pixels end in one of these (any case).
pub const EXTENSIONS: [&str; 7] = ["npy", "png", "jpg", "jpeg", "bmp", "tif", "tiff"];

/// More channels than this is no photograph.
pub(crate) const MAX_CHANNELS: usize = 256;

/// How much one file may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Height x width of a picture, at most.
    pub max_pixels: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_pixels: 64_000_000,
        }
    }
}

impl Limits {
    /// Checks a size before memory is taken for it.
    fn check(self, path: &Path, height: u64, width: u64) -> Result<()> {
        if height == 0 || width == 0 {
            return Err(Error::malformed(
                path,
                format!("{width} x {height} pixels: there is no picture in it"),
            ));
        }
        if height.saturating_mul(width) > self.max_pixels {
            return Err(Error::malformed(
                path,
                format!(
                    "{width} x {height} pixels, more than the {} allowed",
                    self.max_pixels
                ),
            )
            .help("raise the limit with --max-pixels if the file is meant to be so large"));
        }
        Ok(())
    }

    /// Checks the memory that numbers of this shape take.
    fn check_bytes(self, path: &Path, shape: &[usize], dtype: Dtype) -> Result<()> {
        let bytes = shape.iter().fold(dtype.size() as u64, |bytes, &side| {
            bytes.saturating_mul(side as u64)
        });
        if bytes > self.bytes() {
            return Err(Error::malformed(
                path,
                format!("{shape:?} values of {dtype}, more memory than the limit allows"),
            )
            .help("raise the limit with --max-pixels if the file is meant to be so large"));
        }
        Ok(())
    }

    /// Bytes a decoder may take: four 32-bit floats a pixel, and working space.
    fn bytes(self) -> u64 {
        self.max_pixels.saturating_mul(16).saturating_add(64 << 20)
    }
}

/// Which axis of a three-dimensional array counts the channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AxisOrder {
    /// `[channels, height, width]`.
    ChannelsFirst,
    /// `[height, width, channels]`.
    ChannelsLast,
}

/// A decoded picture, without alpha.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Picture {
    pub height: usize,
    pub width: usize,
    pub channels: usize,
    /// How `values` are laid out.
    pub order: AxisOrder,
    pub values: Values,
}

impl Picture {
    /// Whether all channels are equal: a grey picture stored as colour.
    pub(crate) fn is_grey(&self) -> bool {
        is_grey(&self.values, self.channels, self.order)
    }
}

/// Whether all channels are equal in every pixel.
pub(crate) fn is_grey(values: &Values, channels: usize, order: AxisOrder) -> bool {
    fn equal<T: Copy + PartialEq>(values: &[T], channels: usize, order: AxisOrder) -> bool {
        match order {
            AxisOrder::ChannelsLast => values
                .chunks_exact(channels)
                .all(|pixel| pixel.iter().all(|&v| v == pixel[0])),
            AxisOrder::ChannelsFirst => {
                let plane = values.len() / channels;
                values
                    .chunks_exact(plane)
                    .all(|channel| channel == &values[..plane])
            }
        }
    }
    match values {
        Values::U8(v) => equal(v, channels, order),
        Values::U16(v) => equal(v, channels, order),
        Values::F32(v) => equal(v, channels, order),
        Values::F64(v) => equal(v, channels, order),
    }
}

/// What a file held.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Decoded {
    /// A picture: its format says which numbers are channels.
    Picture(Picture),
    /// An array: the data set's axis order says so. Two or three axes, none
    /// zero.
    Array(NpyArray),
}

/// What a file's header says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Header {
    /// A picture of so many channels (without alpha) of such numbers.
    Picture { channels: usize, dtype: Dtype },
    /// An array.
    Array { shape: Vec<usize>, dtype: Dtype },
}

/// Whether a file of this name may hold pixels.
#[must_use]
pub fn has_picture_name(path: &Path) -> bool {
    path.extension()
        .and_then(|e| e.to_str())
        .is_some_and(|e| EXTENSIONS.iter().any(|known| e.eq_ignore_ascii_case(known)))
}

/// Opens a file that is a file, and not empty.
pub(crate) fn open_regular(path: &Path) -> Result<(File, u64)> {
    // Asked before opening: opening a pipe would wait for its other end.
    let metadata = fs::metadata(path).map_err(Error::io("read", path))?;
    if metadata.is_dir() {
        return Err(Error::malformed(
            path,
            "this is a folder, a picture or an array is expected",
        ));
    }
    if !metadata.is_file() {
        return Err(Error::malformed(path, "this is not a regular file"));
    }
    if metadata.len() == 0 {
        return Err(Error::malformed(path, "the file is empty"));
    }
    let file = File::open(path).map_err(Error::io("read", path))?;
    Ok((file, metadata.len()))
}

/// A file's content, as far as its first bytes tell.
enum Content {
    Npy,
    Jpeg(Vec<u8>),
    Tiff(Vec<u8>),
    Other(ImageFormat, Vec<u8>),
}

fn load(path: &Path, limits: Limits) -> Result<Content> {
    let (mut file, length) = open_regular(path)?;
    let mut start = [0u8; 8];
    let mut got = 0;
    while got < start.len() {
        match file
            .read(&mut start[got..])
            .map_err(Error::io("read", path))?
        {
            0 => break,
            n => got += n,
        }
    }
    let start = &start[..got];
    let format = if start.starts_with(npy::MAGIC) {
        return Ok(Content::Npy);
    } else if start.starts_with(b"\x89PNG") {
        ImageFormat::Png
    } else if start.starts_with(b"\xff\xd8") {
        ImageFormat::Jpeg
    } else if start.starts_with(b"II*\0") || start.starts_with(b"MM\0*") {
        ImageFormat::Tiff
    } else if start.starts_with(b"BM") {
        ImageFormat::Bmp
    } else {
        return Err(Error::malformed(
            path,
            format!(
                "neither PNG, JPEG, BMP, TIFF nor npy: it starts with \"{}\"",
                start.escape_ascii()
            ),
        ));
    };
    if length > limits.bytes() {
        return Err(Error::malformed(
            path,
            format!(
                "{length} bytes, more than a picture of {} pixels takes",
                limits.max_pixels
            ),
        )
        .help("raise the limit with --max-pixels if the file is meant to be so large"));
    }
    let mut bytes = start.to_vec();
    file.take(length)
        .read_to_end(&mut bytes)
        .map_err(Error::io("read", path))?;
    Ok(match format {
        ImageFormat::Jpeg => Content::Jpeg(bytes),
        ImageFormat::Tiff => Content::Tiff(bytes),
        other => Content::Other(other, bytes),
    })
}

/// Reads what a file's header says, without decoding its pixels.
///
/// # Errors
/// [`Error::Io`], or [`Error::Malformed`] if it is no picture or array within
/// the limits.
pub(crate) fn read_header(path: &Path, limits: Limits) -> Result<Header> {
    let content = load(path, limits)?;
    guarded(path, || match &content {
        Content::Npy => {
            let header = npy::read_header(path)?;
            check_array(path, &header, limits)?;
            Ok(Header::Array {
                shape: header.shape,
                dtype: header.dtype,
            })
        }
        Content::Jpeg(bytes) => jpeg::read_header(path, bytes, limits),
        Content::Tiff(bytes) => tiff::read_header(path, bytes, limits),
        Content::Other(format, bytes) => {
            let decoder = open_image(path, *format, bytes, limits)?;
            let colour = decoder.color_type();
            let channels = usize::from(colour.channel_count()) - usize::from(colour.has_alpha());
            let dtype = match usize::from(colour.bytes_per_pixel() / colour.channel_count()) {
                1 => Dtype::U8,
                2 => Dtype::U16,
                _ => Dtype::F32,
            };
            Ok(Header::Picture { channels, dtype })
        }
    })
}

/// Decodes a file.
///
/// # Errors
/// As [`read_header`], and [`Error::Malformed`] if the pixels are damaged.
pub(crate) fn decode(path: &Path, limits: Limits) -> Result<Decoded> {
    let content = load(path, limits)?;
    guarded(path, || match &content {
        Content::Npy => {
            check_array(path, &npy::read_header(path)?, limits)?;
            Ok(Decoded::Array(npy::read(path, limits.bytes())?))
        }
        Content::Jpeg(bytes) => jpeg::decode(path, bytes, limits).map(Decoded::Picture),
        Content::Tiff(bytes) => tiff::decode(path, bytes, limits).map(Decoded::Picture),
        Content::Other(format, bytes) => {
            decode_image(path, *format, bytes, limits).map(Decoded::Picture)
        }
    })
}

/// Runs a decoder so that a bug of its own costs one file, not the batch.
fn guarded<T>(path: &Path, work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(Error::malformed(path, "the file makes its decoder fail")))
}

/// Two or three axes, none zero; the two longest are the picture's sides.
fn check_array(path: &Path, header: &NpyHeader, limits: Limits) -> Result<()> {
    let shape = &header.shape;
    if !(2..=3).contains(&shape.len()) {
        return Err(Error::malformed(
            path,
            format!(
                "array of {} axes, shape {shape:?}; height x width, height x width x channels \
                 or channels x height x width expected",
                shape.len()
            ),
        ));
    }
    let mut sides = shape.clone();
    sides.sort_unstable();
    if sides[0] == 0 {
        return Err(Error::malformed(
            path,
            format!("shape {shape:?}: there is no picture in it"),
        ));
    }
    if sides.len() == 3 && sides[0] > MAX_CHANNELS {
        return Err(Error::malformed(
            path,
            format!("shape {shape:?}: no axis of at most {MAX_CHANNELS} channels"),
        ));
    }
    let [.., a, b] = sides[..] else {
        return Ok(()); // two axes at least, as checked above
    };
    limits.check(path, a as u64, b as u64)?;
    limits.check_bytes(path, shape, header.dtype)
}

fn damaged(path: &Path, format: &str, error: &dyn std::fmt::Display) -> Error {
    Error::malformed(path, format!("damaged {format}: {error}"))
}

fn format_name(format: ImageFormat) -> &'static str {
    match format {
        ImageFormat::Png => "PNG",
        ImageFormat::Bmp => "BMP",
        ImageFormat::Tiff => "TIFF",
        _ => "picture",
    }
}

fn open_image<'a>(
    path: &Path,
    format: ImageFormat,
    bytes: &'a [u8],
    limits: Limits,
) -> Result<impl ImageDecoder + 'a> {
    let mut reader = image::ImageReader::with_format(Cursor::new(bytes), format);
    let mut allowed = image::Limits::default();
    allowed.max_alloc = Some(limits.bytes());
    reader.limits(allowed);
    let decoder = reader
        .into_decoder()
        .map_err(|e| damaged(path, format_name(format), &e))?;
    let (width, height) = decoder.dimensions();
    limits.check(path, u64::from(height), u64::from(width))?;
    Ok(decoder)
}

fn decode_image(path: &Path, format: ImageFormat, bytes: &[u8], limits: Limits) -> Result<Picture> {
    let decoder = open_image(path, format, bytes, limits)?;
    let picture =
        DynamicImage::from_decoder(decoder).map_err(|e| damaged(path, format_name(format), &e))?;
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let (channels, alpha) = (
        usize::from(picture.color().channel_count()),
        picture.color().has_alpha(),
    );
    let values = match picture {
        DynamicImage::ImageLuma8(p) => Values::U8(p.into_raw()),
        DynamicImage::ImageLumaA8(p) => Values::U8(p.into_raw()),
        DynamicImage::ImageRgb8(p) => Values::U8(p.into_raw()),
        DynamicImage::ImageRgba8(p) => Values::U8(p.into_raw()),
        DynamicImage::ImageLuma16(p) => Values::U16(p.into_raw()),
        DynamicImage::ImageLumaA16(p) => Values::U16(p.into_raw()),
        DynamicImage::ImageRgb16(p) => Values::U16(p.into_raw()),
        DynamicImage::ImageRgba16(p) => Values::U16(p.into_raw()),
        DynamicImage::ImageRgb32F(p) => Values::F32(p.into_raw()),
        DynamicImage::ImageRgba32F(p) => Values::F32(p.into_raw()),
        _ => return Err(Error::malformed(path, "numbers of a kind that is not read")),
    };
    without_alpha(
        path,
        Picture {
            height,
            width,
            channels,
            order: AxisOrder::ChannelsLast,
            values,
        },
        alpha,
    )
}

/// Drops the last channel, if it is an alpha channel of one value throughout.
fn without_alpha(path: &Path, picture: Picture, alpha: bool) -> Result<Picture> {
    if !alpha {
        return Ok(picture);
    }
    fn strip<T: Copy + PartialEq>(values: Vec<T>, channels: usize) -> Option<Vec<T>> {
        let constant = values
            .chunks_exact(channels)
            .all(|pixel| pixel[channels - 1] == values[channels - 1]);
        constant.then(|| {
            values
                .chunks_exact(channels)
                .flat_map(|pixel| &pixel[..channels - 1])
                .copied()
                .collect()
        })
    }
    let channels = picture.channels;
    let values = match picture.values {
        Values::U8(v) => strip(v, channels).map(Values::U8),
        Values::U16(v) => strip(v, channels).map(Values::U16),
        Values::F32(v) => strip(v, channels).map(Values::F32),
        Values::F64(v) => strip(v, channels).map(Values::F64),
    };
    let values = values.ok_or_else(|| {
        Error::malformed(path, "partly transparent: its alpha channel varies")
            .help("flatten the picture, or store it without an alpha channel")
    })?;
    Ok(Picture {
        channels: channels - 1,
        values,
        ..picture
    })
}

#[cfg(test)]
mod tests;
