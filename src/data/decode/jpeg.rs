//! JPEG, decoded strictly.
//!
//! A truncated JPEG must not become a picture with made-up pixels. The decoder's
//! strict mode refuses nearly all of them, but takes one cut within the last few
//! bytes; so the end marker is looked for first.

use super::{AxisOrder, Header, Limits, Picture, damaged};
use crate::data::npy::{Dtype, Values};
use crate::error::{Error, Result};
use std::path::Path;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

/// A decoder at the first pixel.
struct Opened<'a> {
    decoder: JpegDecoder<ZCursor<&'a [u8]>>,
    height: usize,
    width: usize,
    channels: usize,
}

pub(super) fn read_header(path: &Path, bytes: &[u8], limits: Limits) -> Result<Header> {
    Ok(Header::Picture {
        channels: open(path, bytes, limits)?.channels,
        dtype: Dtype::U8,
    })
}

pub(super) fn decode(path: &Path, bytes: &[u8], limits: Limits) -> Result<Picture> {
    let Opened {
        mut decoder,
        height,
        width,
        channels,
    } = open(path, bytes, limits)?;
    let pixels = decoder.decode().map_err(|e| damaged(path, "JPEG", &e))?;
    if pixels.len() != height * width * channels {
        return Err(Error::malformed(
            path,
            format!(
                "damaged JPEG: {} values for {width} x {height} pixels",
                pixels.len()
            ),
        ));
    }
    Ok(Picture {
        height,
        width,
        channels,
        order: AxisOrder::ChannelsLast,
        values: Values::U8(pixels),
    })
}

fn open<'a>(path: &Path, bytes: &'a [u8], limits: Limits) -> Result<Opened<'a>> {
    if !reaches_end(bytes) {
        return Err(Error::malformed(
            path,
            "damaged JPEG: it breaks off before its end marker",
        ));
    }
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX));
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder
        .decode_headers()
        .map_err(|e| damaged(path, "JPEG", &e))?;
    let info = decoder
        .info()
        .ok_or_else(|| Error::malformed(path, "damaged JPEG: no picture in it"))?;
    let (height, width) = (usize::from(info.height), usize::from(info.width));
    limits.check(path, height as u64, width as u64)?;
    let (channels, colours) = match info.components {
        1 => (1, ColorSpace::Luma),
        _ => (3, ColorSpace::RGB),
    };
    decoder.set_options(options.jpeg_set_out_colorspace(colours));
    Ok(Opened {
        decoder,
        height,
        width,
        channels,
    })
}

/// Whether the markers lead to the end marker (ITU-T T.81, annex B).
fn reaches_end(bytes: &[u8]) -> bool {
    let mut at = 2; // behind the start marker
    while let Some(found) = bytes
        .get(at..)
        .and_then(|rest| rest.iter().position(|&b| b == 0xff))
    {
        at += found + 1;
        match bytes.get(at) {
            Some(0xd9) => return true,
            // A data byte 0xff, a restart, a fill byte, a marker without content.
            Some(0x00 | 0x01 | 0xd0..=0xd7) => at += 1,
            Some(0xff) => {}
            // A segment, whose content may look like anything.
            Some(_) => match bytes.get(at + 1..at + 3) {
                Some(&[high, low]) => at += 1 + usize::from(u16::from_be_bytes([high, low])),
                _ => return false,
            },
            None => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_marker_within_a_segment_is_not_the_end() {
        let start = [0xff, 0xd8];
        let comment = [0xff, 0xfe, 0x00, 0x04, 0xff, 0xd9];
        assert!(!reaches_end(&[&start[..], &comment].concat()));
        assert!(reaches_end(&[&start[..], &comment, &[0xff, 0xd9]].concat()));
        assert!(reaches_end(
            &[
                &start[..],
                &[1, 0xff, 0x00, 0xff, 0xd0, 0xff, 0xff, 0xd9, 7]
            ]
            .concat()
        ));
        assert!(!reaches_end(&[&start[..], &[0xff, 0xe0, 0xff]].concat()));
    }
}
