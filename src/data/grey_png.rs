//! Grey pictures of a bundle, as PNG in memory.

use crate::error::{Error, Result};
use image::{DynamicImage, GrayImage, ImageFormat, ImageReader};
use ndarray::Array2;
use std::io::Cursor;
use std::path::Path;

/// A picture `[height, width]` as the bytes of a PNG.
///
/// # Errors
/// [`Error::Data`] if the encoder refuses it.
pub fn encode(picture: &Array2<u8>) -> Result<Vec<u8>> {
    let (height, width) = picture.dim();
    let tones = picture.iter().copied().collect();
    let grey = GrayImage::from_raw(width as u32, height as u32, tones);
    let grey = grey.expect("as many as the sides say");
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::from(grey)
        .write_to(&mut bytes, ImageFormat::Png)
        .map_err(|e| Error::data(format!("cannot encode a PNG: {e}")))?;
    Ok(bytes.into_inner())
}

/// Reads a PNG as grey, `[height, width]`; `origin` names it in errors.
///
/// # Errors
/// [`Error::Malformed`] if it is no PNG, or a side longer than `longest`.
pub fn decode(bytes: &[u8], longest: u32, origin: &Path) -> Result<Array2<u8>> {
    let mut reader = ImageReader::with_format(Cursor::new(bytes), ImageFormat::Png);
    let mut limits = image::Limits::default();
    limits.max_image_width = Some(longest);
    limits.max_image_height = Some(longest);
    reader.limits(limits);
    let picture = reader
        .decode()
        .map_err(|e| Error::malformed(origin, e.to_string()))?
        .into_luma8();
    let (width, height) = picture.dimensions();
    let shape = (height as usize, width as usize);
    Ok(Array2::from_shape_vec(shape, picture.into_raw()).expect("as many as the sides say"))
}
