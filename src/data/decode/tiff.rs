//! TIFF: besides grey and RGB it may hold floats, any number of channels, or
//! one page for each channel, as scientific cameras write it.
//!
//! Pages of one channel and of the first page's size are the channels of one
//! picture; a page of another size (a thumbnail) ends them.

use super::{AxisOrder, Header, Limits, MAX_CHANNELS, Picture, damaged, without_alpha};
use crate::data::npy::{Dtype, Values};
use crate::error::{Error, Result};
use image::ImageFormat;
use std::io::Cursor;
use std::path::Path;
use tiff::ColorType;
use tiff::decoder::{Decoder, DecodingResult};
use tiff::tags::{SampleFormat, Tag};

type Pages<'a> = Decoder<Cursor<&'a [u8]>>;

/// What one page holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Page {
    height: u32,
    width: u32,
    channels: usize,
    alpha: bool,
    dtype: Dtype,
}

pub(super) fn read_header(path: &Path, bytes: &[u8], limits: Limits) -> Result<Header> {
    let mut pages = open(path, bytes, limits)?;
    let Some(first) = page(path, &mut pages, limits)? else {
        let decoder = super::open_image(path, ImageFormat::Tiff, bytes, limits)?;
        let channels = usize::from(image::ImageDecoder::color_type(&decoder).channel_count());
        return Ok(Header::Picture {
            channels,
            dtype: Dtype::U8,
        });
    };
    let mut channels = first.channels - usize::from(first.alpha);
    if channels == 1 && !first.alpha {
        while next_channel(path, &mut pages, first, channels, limits)? {
            channels += 1;
        }
    }
    Ok(Header::Picture {
        channels,
        dtype: first.dtype,
    })
}

pub(super) fn decode(path: &Path, bytes: &[u8], limits: Limits) -> Result<Picture> {
    let mut pages = open(path, bytes, limits)?;
    let Some(first) = page(path, &mut pages, limits)? else {
        // Palettes, 1-bit and CMYK pictures need a conversion `image` has.
        return super::decode_image(path, ImageFormat::Tiff, bytes, limits);
    };
    let mut picture = pixels(path, &mut pages, first)?;
    if picture.channels == 1 {
        while next_channel(path, &mut pages, first, picture.channels, limits)? {
            let next = pixels(path, &mut pages, first)?;
            match (&mut picture.values, next.values) {
                (Values::U8(all), Values::U8(v)) => all.extend(v),
                (Values::U16(all), Values::U16(v)) => all.extend(v),
                (Values::F32(all), Values::F32(v)) => all.extend(v),
                (Values::F64(all), Values::F64(v)) => all.extend(v),
                _ => {
                    return Err(Error::malformed(
                        path,
                        "pages of different kinds of numbers",
                    ));
                }
            }
            picture.channels += 1;
            picture.order = AxisOrder::ChannelsFirst;
        }
    }
    without_alpha(path, picture, first.alpha)
}

fn open<'a>(path: &Path, bytes: &'a [u8], limits: Limits) -> Result<Pages<'a>> {
    let mut allowed = tiff::decoder::Limits::default();
    let most = usize::try_from(limits.bytes()).unwrap_or(usize::MAX);
    allowed.decoding_buffer_size = most;
    allowed.intermediate_buffer_size = most;
    Decoder::new(Cursor::new(bytes))
        .map(|decoder| decoder.with_limits(allowed))
        .map_err(|e| damaged(path, "TIFF", &e))
}

/// Goes to the next page, if it is the next channel of the same picture.
fn next_channel(
    path: &Path,
    pages: &mut Pages<'_>,
    first: Page,
    channels: usize,
    limits: Limits,
) -> Result<bool> {
    if !pages.more_images() || channels >= MAX_CHANNELS {
        return Ok(false);
    }
    pages.next_image().map_err(|e| damaged(path, "TIFF", &e))?;
    if page(path, pages, limits)? != Some(first) {
        return Ok(false);
    }
    let (height, width) = (first.height as usize, first.width as usize);
    limits.check_bytes(path, &[height, width, channels + 1], first.dtype)?;
    Ok(true)
}

/// What the current page holds; `None` if it needs converting.
fn page(path: &Path, pages: &mut Pages<'_>, limits: Limits) -> Result<Option<Page>> {
    let bad = |e: tiff::TiffError| damaged(path, "TIFF", &e);
    let (width, height) = pages.dimensions().map_err(bad)?;
    limits.check(path, u64::from(height), u64::from(width))?;
    let (bits, channels, alpha) = match pages.colortype().map_err(bad)? {
        ColorType::Gray(bits) => (bits, 1, false),
        ColorType::GrayA(bits) => (bits, 2, true),
        ColorType::RGB(bits) => (bits, 3, false),
        ColorType::RGBA(bits) => (bits, 4, true),
        ColorType::Multiband {
            bit_depth,
            num_samples,
        } => (bit_depth, usize::from(num_samples), false),
        _ => return Ok(None),
    };
    if channels > MAX_CHANNELS {
        return Err(Error::malformed(
            path,
            format!("{channels} channels, at most {MAX_CHANNELS} expected"),
        ));
    }
    let format = pages
        .find_tag_unsigned_vec::<u16>(Tag::SampleFormat)
        .map_err(bad)?
        .and_then(|formats| formats.first().copied())
        .and_then(SampleFormat::from_u16)
        .unwrap_or(SampleFormat::Uint);
    let dtype = match (format, bits) {
        (SampleFormat::Uint, 8) => Dtype::U8,
        (SampleFormat::Uint, 16) => Dtype::U16,
        (SampleFormat::IEEEFP, 32) => Dtype::F32,
        (SampleFormat::IEEEFP, 64) => Dtype::F64,
        (SampleFormat::Uint, 1) => return Ok(None),
        _ => {
            return Err(Error::malformed(
                path,
                format!(
                    "TIFF of {bits}-bit numbers ({format:?}); 8 or 16-bit unsigned, \
                     32 or 64-bit floats expected"
                ),
            ));
        }
    };
    limits.check_bytes(path, &[height as usize, width as usize, channels], dtype)?;
    Ok(Some(Page {
        height,
        width,
        channels,
        alpha,
        dtype,
    }))
}

/// The current page's numbers.
fn pixels(path: &Path, pages: &mut Pages<'_>, page: Page) -> Result<Picture> {
    let mut result = DecodingResult::U8(Vec::new());
    let layout = pages
        .read_image_to_buffer(&mut result)
        .map_err(|e| damaged(path, "TIFF", &e))?;
    let values = match result {
        DecodingResult::U8(v) => Values::U8(v),
        DecodingResult::U16(v) => Values::U16(v),
        DecodingResult::F32(v) => Values::F32(v),
        DecodingResult::F64(v) => Values::F64(v),
        _ => return Err(Error::malformed(path, "numbers of a kind that is not read")),
    };
    let (height, width) = (page.height as usize, page.width as usize);
    if values.len() != height * width * page.channels {
        return Err(Error::malformed(
            path,
            format!(
                "damaged TIFF: {} values for {width} x {height} x {}",
                values.len(),
                page.channels
            ),
        ));
    }
    let order = if layout.planes > 1 {
        AxisOrder::ChannelsFirst
    } else {
        AxisOrder::ChannelsLast
    };
    if page.alpha && order == AxisOrder::ChannelsFirst {
        return Err(
            Error::malformed(path, "an alpha channel stored as a plane of its own")
                .help("store the picture without an alpha channel"),
        );
    }
    Ok(Picture {
        height,
        width,
        channels: page.channels,
        order,
        values,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tiff::encoder::TiffEncoder;
    use tiff::encoder::colortype::{Gray8, Gray32Float, RGB8};

    fn read(bytes: &[u8]) -> Picture {
        let path = Path::new("a.tif");
        let limits = Limits::default();
        let picture = decode(path, bytes, limits).unwrap();
        let Header::Picture { channels, dtype } = read_header(path, bytes, limits).unwrap() else {
            panic!("a picture was written");
        };
        assert_eq!(
            (channels, dtype),
            (picture.channels, picture.values.dtype())
        );
        picture
    }

    #[test]
    fn floats_are_read_as_they_are() {
        let mut bytes = Cursor::new(Vec::new());
        let mut encoder = TiffEncoder::new(&mut bytes).unwrap();
        encoder
            .write_image::<Gray32Float>(3, 1, &[0.0, 0.5, 1.0])
            .unwrap();
        let picture = read(bytes.get_ref());
        assert_eq!(picture.values, Values::F32(vec![0.0, 0.5, 1.0]));
        assert_eq!((picture.height, picture.width, picture.channels), (1, 3, 1));
    }

    #[test]
    fn pages_of_one_size_are_channels_and_a_thumbnail_is_not() {
        let mut bytes = Cursor::new(Vec::new());
        let mut encoder = TiffEncoder::new(&mut bytes).unwrap();
        encoder.write_image::<Gray8>(2, 2, &[1, 2, 3, 4]).unwrap();
        encoder.write_image::<Gray8>(2, 2, &[5, 6, 7, 8]).unwrap();
        encoder.write_image::<Gray8>(1, 1, &[9]).unwrap();
        let picture = read(bytes.get_ref());
        assert_eq!(
            (picture.channels, picture.order),
            (2, AxisOrder::ChannelsFirst)
        );
        assert_eq!(picture.values, Values::U8(vec![1, 2, 3, 4, 5, 6, 7, 8]));
    }

    #[test]
    fn a_second_colour_page_is_left_alone() {
        let mut bytes = Cursor::new(Vec::new());
        let mut encoder = TiffEncoder::new(&mut bytes).unwrap();
        encoder.write_image::<RGB8>(1, 1, &[1, 2, 3]).unwrap();
        encoder.write_image::<RGB8>(1, 1, &[4, 5, 6]).unwrap();
        assert_eq!(read(bytes.get_ref()).values, Values::U8(vec![1, 2, 3]));
    }
}
