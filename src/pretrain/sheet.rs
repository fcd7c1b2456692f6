//! A contact sheet of the made-up surfaces, for a person to look at.

use super::textures::{Event, FAMILIES, Picture, picture_of};
use crate::error::{Error, Result};
use crate::random::Seed;
use image::{ImageFormat, Rgb, RgbImage};
use rayon::prelude::*;
use std::path::Path;

/// Side of one picture, and the gap between two, in pixels.
const SIDE: usize = 72;
const GAP: usize = 4;
const COLUMNS: usize = 22;

/// Writes a PNG with each family twice (without an event, then with one),
/// followed by two rows of each event on families drawn at random.
///
/// # Errors
/// [`Error::Io`] if the file cannot be written.
pub fn write(path: &Path, seed: &Seed) -> Result<()> {
    let mut wanted: Vec<(usize, Event)> = Vec::new();
    for family in 0..FAMILIES.len() {
        wanted.push((family, Event::None));
        wanted.push((family, Event::ALL[1 + family % (Event::ALL.len() - 1)]));
    }
    while !wanted.len().is_multiple_of(COLUMNS) {
        wanted.push((0, Event::None));
    }
    for event in &Event::ALL[1..] {
        for i in 0..COLUMNS {
            wanted.push(((i * 37 + *event as usize * 11) % FAMILIES.len(), *event));
        }
    }
    let pictures: Vec<Picture> = wanted
        .into_par_iter()
        .enumerate()
        .map(|(i, (family, event))| {
            let mut rng = seed.derive("sheet", i as u64).rng();
            picture_of(family, event, SIDE, &mut rng)
        })
        .collect();
    let sheet = lay_out(&pictures);
    let mut png = std::io::Cursor::new(Vec::new());
    sheet
        .write_to(&mut png, ImageFormat::Png)
        .map_err(|e| Error::malformed(path, e.to_string()))?;
    crate::files::write_atomic(path, png.get_ref())
}

fn lay_out(pictures: &[Picture]) -> RgbImage {
    let pitch = SIDE + GAP;
    let rows = pictures.len().div_ceil(COLUMNS);
    let mut sheet = RgbImage::from_pixel(
        (COLUMNS * pitch + GAP) as u32,
        (rows * pitch + GAP) as u32,
        Rgb([255, 255, 255]),
    );
    for (i, picture) in pictures.iter().enumerate() {
        let (left, top) = (GAP + i % COLUMNS * pitch, GAP + i / COLUMNS * pitch);
        for y in 0..SIDE {
            for x in 0..SIDE {
                let at = |c: usize| picture.pixels[(c * SIDE + y) * SIDE + x];
                let grey = |c| (at(c) * 255.0 + 0.5) as u8;
                let pixel = Rgb([grey(0), grey(1), grey(2)]);
                sheet.put_pixel((left + x) as u32, (top + y) as u32, pixel);
            }
        }
    }
    sheet
}
