//! Picture sheets of a training, all on fixed scales: pixels from 0 (black) to 1
//! (white), maps from 0 to 1 in the colours of the heatmaps.
//!
//! One photograph shows all of an image of 1 or 3 channels. Of any other number
//! the channel is shown in which the simulated defect changes most; its number,
//! counted from 1, stands in the corner.

use super::{digits, heatmap};
use crate::data::anomaly_map::AnomalyMap;
use crate::data::colour::ColourScale;
use crate::data::image::Image;
use crate::draem::DefectKind;
use crate::draem::simulate::Simulated;
use crate::draem::train::Shown;
use crate::error::Result;
use image::{Rgb, RgbImage};
use ndarray::{Array2, Array3, Axis};

/// Gap between pictures, in pixels.
const GAP: usize = 4;
const PAPER: Rgb<u8> = Rgb([255, 255, 255]);

/// One row a piece: good piece, simulated defect, true mask, restored piece, map.
///
/// # Errors
/// [`crate::Error::Data`] without a piece.
pub fn progress_png(shown: &[Shown]) -> Result<Vec<u8>> {
    let scale = fixed_scale()?;
    let mut rows = Vec::new();
    for Shown { sample, drawing } in shown {
        let channel = most_changed(sample);
        let (height, width) = sample.mask.dim();
        let restored = drawing.restored.pixels();
        rows.push(vec![
            photograph(&sample.good, channel, &scale)?,
            photograph(&sample.defective, channel, &scale)?,
            mask_picture(&sample.mask, &scale)?,
            photograph(restored, channel, &scale)?,
            heatmap::map_picture(&drawing.map, &scale, height, width)?,
        ]);
    }
    heatmap::png(&lay_out(&rows))
}

/// One row a kind of defect, in the order of [`DefectKind::ALL`]: a piece with
/// it and its mask, several times.
///
/// # Errors
/// As for [`progress_png`].
pub fn examples_png(examples: &[(DefectKind, Vec<Simulated>)]) -> Result<Vec<u8>> {
    let scale = fixed_scale()?;
    let mut rows = Vec::new();
    for (_, samples) in examples {
        let mut row = Vec::new();
        for sample in samples {
            let channel = most_changed(sample);
            row.push(photograph(&sample.defective, channel, &scale)?);
            row.push(mask_picture(&sample.mask, &scale)?);
        }
        rows.push(row);
    }
    heatmap::png(&lay_out(&rows))
}

fn fixed_scale() -> Result<ColourScale> {
    ColourScale::new(0.0, 1.0)
}

/// The channel in which the defect changes most; the first without a defect.
fn most_changed(sample: &Simulated) -> usize {
    let change = |c: usize| -> f32 {
        let good = sample.good.index_axis(Axis(0), c);
        let defective = sample.defective.index_axis(Axis(0), c);
        good.iter()
            .zip(&defective)
            .map(|(a, b)| (a - b).abs())
            .sum()
    };
    let channels = (0..sample.good.dim().0).map(|c| (change(c), c));
    let most = channels.fold(
        (0.0, 0),
        |most, next| if next.0 > most.0 { next } else { most },
    );
    most.1
}

fn photograph(pixels: &Array3<f32>, channel: usize, scale: &ColourScale) -> Result<RgbImage> {
    if matches!(pixels.dim().0, 1 | 3) {
        return Ok(heatmap::photograph(&Image::new(pixels.clone())?, scale).into_rgb8());
    }
    let plane = pixels.index_axis(Axis(0), channel).to_owned();
    let image = Image::new(plane.insert_axis(Axis(0)))?;
    let mut picture = heatmap::photograph(&image, scale).into_rgb8();
    let number = (channel + 1).to_string();
    let (wide, high) = (digits::width(&number, 1) + 4, digits::HEIGHT + 4);
    for y in 0..high.min(picture.height()) {
        for x in 0..wide.min(picture.width()) {
            picture.put_pixel(x, y, Rgb([0; 3]));
        }
    }
    digits::draw(&mut picture, &number, 2, 2, 1, PAPER);
    Ok(picture)
}

fn mask_picture(mask: &Array2<bool>, scale: &ColourScale) -> Result<RgbImage> {
    let map = AnomalyMap::new(mask.mapv(|m| f32::from(u8::from(m))))?;
    let (height, width) = mask.dim();
    heatmap::map_picture(&map, scale, height, width)
}

/// Pictures of one size in rows.
fn lay_out(rows: &[Vec<RgbImage>]) -> RgbImage {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let first = rows.iter().flatten().next();
    let (width, height) = first.map_or((1, 1), RgbImage::dimensions);
    let (pitch_x, pitch_y) = (width as usize + GAP, height as usize + GAP);
    let mut sheet = RgbImage::from_pixel(
        (columns * pitch_x + GAP) as u32,
        (rows.len() * pitch_y + GAP) as u32,
        PAPER,
    );
    for (y, row) in rows.iter().enumerate() {
        for (x, picture) in row.iter().enumerate() {
            let at = ((GAP + x * pitch_x) as i64, (GAP + y * pitch_y) as i64);
            image::imageops::replace(&mut sheet, picture, at.0, at.1);
        }
    }
    sheet
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draem::model::Drawing;
    use crate::draem::vary::Variation;

    fn sample(channels: usize) -> Simulated {
        let good = Array3::from_elem((channels, 32, 40), 0.5);
        let mut defective = good.clone();
        let mut mask = Array2::from_elem((32, 40), false);
        defective[[channels - 1, 20, 30]] = 0.9;
        mask[[20, 30]] = true;
        Simulated {
            good,
            defective,
            mask,
            variation: Variation::NONE,
        }
    }

    #[test]
    fn a_row_shows_piece_defect_mask_restored_piece_and_map_on_fixed_scales() {
        let sample = sample(4);
        let drawing = Drawing {
            map: AnomalyMap::new(Array2::from_elem((32, 40), 1.0)).unwrap(),
            seen: Image::new(sample.defective.clone()).unwrap(),
            restored: Image::new(sample.good.clone()).unwrap(),
            offset: None,
        };
        let png = progress_png(&[Shown { sample, drawing }]).unwrap();
        let sheet = image::load_from_memory(&png).unwrap().to_rgb8();
        assert_eq!(sheet.dimensions(), (5 * 44 + 4, 40));
        let at = |column: u32| sheet.get_pixel(4 + column * 44 + 30, 4 + 20).0;
        assert_eq!(at(0), [128; 3]);
        assert_eq!(at(1), [230; 3]); // of the fourth channel
        assert_eq!(at(2), at(4)); // both at the end of the scale
        assert_eq!(at(3), [128; 3]);
    }

    #[test]
    fn a_sheet_of_examples_has_a_row_for_each_kind() {
        let examples = [
            (DefectKind::Texture, vec![sample(1), sample(1)]),
            (DefectKind::Stain, vec![sample(1)]),
        ];
        let png = examples_png(&examples).unwrap();
        let sheet = image::load_from_memory(&png).unwrap();
        assert_eq!((sheet.width(), sheet.height()), (4 * 44 + 4, 2 * 36 + 4));
        assert!(examples_png(&[]).is_ok());
    }
}
