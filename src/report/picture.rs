//! A plot as SVG and as PNG: one drawing, two backends. The PNG is drawn at
//! three times the size (about 288 dots an inch at the SVG's size), with a font
//! that lies in the program, so that it looks the same on every machine.

use crate::error::{Error, Result};
use crate::files;
use crate::report::font;
use image::{ExtendedColorType, ImageEncoder};
use plotters::coord::Shift;
use plotters::prelude::*;
use std::path::Path;

/// Pixels of the PNG for each unit of the drawing.
const ENLARGED: u32 = 3;

/// What a drawing returns.
pub type Drawn = std::result::Result<(), Box<dyn std::error::Error>>;

/// Something that can be drawn on any backend. `unit` is the length of one
/// unit: sizes of type, margins and strokes are to be multiplied by it.
pub trait Drawing {
    /// What it is, for messages.
    fn name(&self) -> &'static str;
    /// Its size, in units.
    fn size(&self) -> (u32, u32);
    /// Draws it.
    ///
    /// # Errors
    /// What the backend says.
    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>, unit: u32) -> Drawn
    where
        B::ErrorType: 'static;
}

/// The drawing as SVG.
///
/// # Errors
/// [`Error::Data`] if it cannot be drawn.
pub fn svg(drawing: &impl Drawing) -> Result<String> {
    font::ready();
    let mut out = String::new();
    {
        let area = SVGBackend::with_string(&mut out, drawing.size()).into_drawing_area();
        on(&area, drawing, 1)?;
    }
    Ok(out)
}

/// The drawing as PNG.
///
/// # Errors
/// [`Error::Data`] if it cannot be drawn.
pub fn png(drawing: &impl Drawing) -> Result<Vec<u8>> {
    font::ready();
    let (w, h) = drawing.size();
    let (w, h) = (w * ENLARGED, h * ENLARGED);
    let mut pixels = vec![0u8; (w * h * 3) as usize];
    {
        let area = BitMapBackend::with_buffer(&mut pixels, (w, h)).into_drawing_area();
        on(&area, drawing, ENLARGED)?;
    }
    let mut out = Vec::new();
    image::codecs::png::PngEncoder::new(&mut out)
        .write_image(&pixels, w, h, ExtendedColorType::Rgb8)
        .map_err(|e| Error::data(format!("cannot encode {}: {e}", drawing.name())))?;
    Ok(out)
}

/// Writes `STEM.svg` and `STEM.png` into a folder.
///
/// # Errors
/// As [`svg`], and [`Error::Io`].
pub fn write(drawing: &impl Drawing, folder: &Path, stem: &str) -> Result<()> {
    files::write_atomic(
        &folder.join(format!("{stem}.svg")),
        svg(drawing)?.as_bytes(),
    )?;
    files::write_atomic(&folder.join(format!("{stem}.png")), &png(drawing)?)
}

fn on<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    drawing: &impl Drawing,
    unit: u32,
) -> Result<()>
where
    B::ErrorType: 'static,
{
    area.fill(&WHITE)
        .map_err(Into::into)
        .and_then(|()| drawing.draw(area, unit))
        .and_then(|()| area.present().map_err(Into::into))
        .map_err(|e| Error::data(format!("cannot draw {}: {e}", drawing.name())))
}
