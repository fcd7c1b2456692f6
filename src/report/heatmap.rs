//! Pictures of a piece: the photograph, its anomaly map, and both in one, on
//! the bundle's fixed [`ColourScale`].
//!
//! The overlay's photograph is always grey and slightly dimmed, so that the
//! only colours on it are the scale's: a red product is no red alarm.

use crate::data::anomaly_map::AnomalyMap;
use crate::data::colour::{ColourScale, ramp};
use crate::data::image::Image;
use crate::error::{Error, Result};
use crate::report::digits;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{DynamicImage, ExtendedColorType, GrayImage, ImageEncoder, Rgb, RgbImage};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use ndarray::Axis;

/// The photograph keeps this share of its brightness beneath an overlay, so
/// that yellow stands out from a white piece.
const DIMMED: f32 = 0.82;
/// The photograph shows through even the strongest colour by what is missing
/// from 1, so that an inspector sees what is there.
const OPACITY: f32 = 0.70;
/// What a map picture shows where nothing is anomalous.
const GROUND: [f32; 3] = [16.0, 18.0, 24.0];

/// The channels of an image that [`photograph`] and [`overlay`] show: all three
/// of a colour photograph, otherwise the first.
///
/// # Errors
/// As for [`Image::new`]; none of an image that is one.
pub fn shown(image: &Image) -> Result<Image> {
    if image.channels() == 3 {
        return Ok(image.clone());
    }
    Image::new(image.channel(0).insert_axis(Axis(0)).to_owned())
}

/// The photograph: in colour with 3 channels, otherwise the first channel in
/// grey. The scale's white is the pixel value shown as white.
#[must_use]
pub fn photograph(image: &Image, scale: &ColourScale) -> DynamicImage {
    let plane = image.height() * image.width();
    let pixels = image.as_slice();
    let (width, height) = (image.width() as u32, image.height() as u32);
    let shades = |channel: usize| {
        pixels[channel * plane..][..plane]
            .iter()
            .map(|v| shade(v / scale.white()))
    };
    if image.channels() != 3 {
        let raw = shades(0).collect();
        return GrayImage::from_raw(width, height, raw)
            .expect("a byte a pixel")
            .into();
    }
    let mut picture = RgbImage::new(width, height);
    for channel in 0..3 {
        for (pixel, shade) in picture.pixels_mut().zip(shades(channel)) {
            pixel.0[channel] = shade;
        }
    }
    picture.into()
}

/// The anomaly map in the scale's colours on a dark ground, at any size; the
/// map is resized to it bilinearly.
///
/// # Errors
/// [`Error::Shape`] if a side is zero.
pub fn map_picture(
    map: &AnomalyMap,
    scale: &ColourScale,
    height: usize,
    width: usize,
) -> Result<RgbImage> {
    let map = map.resize(height, width)?;
    let ground = GROUND.map(nearest);
    let mut picture = RgbImage::new(width as u32, height as u32);
    for (pixel, &value) in picture.pixels_mut().zip(map.values()) {
        pixel.0 = match value > scale.low() {
            true => blend(GROUND, scale.position(value), 1.0),
            false => ground,
        };
    }
    Ok(picture)
}

/// The map laid over the grey photograph, at the photograph's size; the map
/// is resized to it bilinearly.
///
/// # Errors
/// [`Error::Shape`] if the map cannot be brought to the image's size.
pub fn overlay(image: &Image, map: &AnomalyMap, scale: &ColourScale) -> Result<RgbImage> {
    let map = map.resize(image.height(), image.width())?;
    let plane = image.height() * image.width();
    let channel = |c: usize| &image.as_slice()[c * plane..][..plane];
    let mut picture = RgbImage::new(image.width() as u32, image.height() as u32);
    let lay = |pixel: &mut Rgb<u8>, grey: f32, value: f32| {
        let base = 255.0 * DIMMED * (grey / scale.white()).clamp(0.0, 1.0);
        // Most of a piece is quiet: no blending where there is nothing to blend.
        pixel.0 = match value > scale.low() {
            true => blend([base; 3], scale.position(value), OPACITY),
            false => [nearest(base); 3],
        };
    };
    let pixels = picture.pixels_mut().zip(map.values());
    if image.channels() == 3 {
        // Rec. 709 luma; a photograph of other channels is shown by its first.
        let (red, green, blue) = (channel(0), channel(1), channel(2));
        for (i, (pixel, &value)) in pixels.enumerate() {
            let grey = 0.2126 * red[i] + 0.7152 * green[i] + 0.0722 * blue[i];
            lay(pixel, grey, value);
        }
    } else {
        for ((pixel, &value), &grey) in pixels.zip(channel(0)) {
            lay(pixel, grey, value);
        }
    }
    Ok(picture)
}

/// All channels side by side in reading order, each at most `side` pixels
/// wide and high; grey.
///
/// # Errors
/// [`Error::Shape`] if a channel cannot be brought to that size.
pub fn panel(image: &Image, scale: &ColourScale, side: usize) -> Result<GrayImage> {
    let small = fitted(image, side)?;
    let columns = small.channels().min(3);
    let rows = small.channels().div_ceil(columns);
    let (w, h, gap) = (small.width(), small.height(), 2);
    let (width, height) = (columns * (w + gap) - gap, rows * (h + gap) - gap);
    let mut out = vec![GROUND[1] as u8; width * height];
    for (c, plane) in small.as_slice().chunks_exact(w * h).enumerate() {
        let (left, top) = (c % columns * (w + gap), c / columns * (h + gap));
        for (y, row) in plane.chunks_exact(w).enumerate() {
            let out = &mut out[(top + y) * width + left..][..w];
            for (out, v) in out.iter_mut().zip(row) {
                *out = shade(v / scale.white());
            }
        }
    }
    Ok(GrayImage::from_raw(width as u32, height as u32, out).expect("a byte a pixel"))
}

/// The picture with the colour bar and its numbers below it. A picture too
/// narrow for numbers is returned as it is.
#[must_use]
pub fn with_legend(picture: RgbImage, scale: &ColourScale) -> RgbImage {
    let (width, height) = picture.dimensions();
    let Some(legend) = legend(width, scale) else {
        return picture;
    };
    let height = height + legend.height();
    let mut raw = picture.into_raw();
    raw.extend_from_slice(legend.as_raw());
    RgbImage::from_raw(width, height, raw).expect("rows of one width")
}

/// The strip with the colour bar and its numbers, if there is room for them.
fn legend(width: u32, scale: &ColourScale) -> Option<RgbImage> {
    let unit = (width / 320).max(1);
    let labels = tick_labels(scale);
    let needed: u32 = labels
        .iter()
        .map(|l| digits::width(l, unit) + 8 * unit)
        .sum();
    if width < needed {
        return None;
    }
    let (margin, bar) = (4 * unit, 6 * unit);
    let height = margin + bar + 3 * unit + digits::HEIGHT * unit + margin;
    let mut out = RgbImage::from_pixel(width, height, Rgb(GROUND.map(|v| v as u8)));
    let length = width - 2 * margin;
    for x in 0..length {
        let position = x as f32 / (length - 1).max(1) as f32;
        let colour = Rgb(blend(GROUND, position, 1.0));
        for y in 0..bar {
            out.put_pixel(margin + x, margin + y, colour);
        }
    }
    let text_top = margin + bar + 3 * unit;
    for (i, label) in labels.iter().enumerate() {
        let width = digits::width(label, unit);
        let x = match i {
            0 => margin,
            1 => margin + (length - width) / 2,
            _ => margin + length - width,
        };
        digits::draw(&mut out, label, x, text_top, unit, Rgb([214; 3]));
    }
    Some(out)
}

/// The numbers at the start, middle and end of the scale, with as many
/// decimals as its span needs.
#[must_use]
pub fn tick_labels(scale: &ColourScale) -> [String; 3] {
    let span = f64::from(scale.high() - scale.low());
    let decimals = ((1.0 - span.log10().floor()) as usize).clamp(2, 5);
    let (low, high) = (f64::from(scale.low()), f64::from(scale.high()));
    [low, (low + high) / 2.0, high].map(|v| format!("{v:.decimals$}"))
}

/// The saved heatmap of a piece: the overlay with its legend, as PNG.
///
/// # Errors
/// As [`overlay`] and [`png`].
pub fn heatmap_png(image: &Image, map: &AnomalyMap, scale: &ColourScale) -> Result<Vec<u8>> {
    png(&with_legend(overlay(image, map, scale)?, scale))
}

/// The image scaled down (never up) to at most `side` pixels a side.
///
/// # Errors
/// [`Error::Shape`] if `side` is zero.
pub fn fitted(image: &Image, side: usize) -> Result<Image> {
    let (height, width) = fitted_size(image.height(), image.width(), side);
    image.resize(height, width)
}

/// Height and width scaled down (never up) to at most `side`.
#[must_use]
pub fn fitted_size(height: usize, width: usize, side: usize) -> (usize, usize) {
    let longest = height.max(width);
    if longest <= side {
        return (height, width);
    }
    let shrink = |v: usize| ((v * side) as f64 / longest as f64).round().max(1.0) as usize;
    (shrink(height), shrink(width))
}

/// A picture as PNG, compressed fast: compressing well takes eight times as
/// long, nearly that of the networks, and saves a sixth of the bytes; faster
/// still, and it has two thirds more. Few heatmaps have less than 257 colours,
/// so that a palette does not pay.
///
/// # Errors
/// [`Error::Data`] if the encoder refuses it (a side of zero).
pub fn png(picture: &RgbImage) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    PngEncoder::new_with_quality(&mut bytes, CompressionType::Level(1), FilterType::Up)
        .write_image(
            picture.as_raw(),
            picture.width(),
            picture.height(),
            ExtendedColorType::Rgb8,
        )
        .map_err(|e| Error::data(format!("cannot encode a PNG: {e}")))?;
    Ok(bytes)
}

/// A picture as JPEG of good quality, for the report's thumbnails. The colours
/// of small marks are kept: no chroma subsampling.
///
/// # Errors
/// [`Error::Data`] if the encoder refuses it (a side of zero or over 65535).
pub fn jpeg(picture: &DynamicImage) -> Result<Vec<u8>> {
    let refused = |e: String| Error::data(format!("cannot encode a JPEG: {e}"));
    let side = |side: u32| u16::try_from(side).map_err(|e| refused(e.to_string()));
    let (width, height) = (side(picture.width())?, side(picture.height())?);
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, 84);
    encoder.set_sampling_factor(SamplingFactor::R_4_4_4);
    match picture {
        DynamicImage::ImageLuma8(grey) => encoder.encode(grey, width, height, ColorType::Luma),
        other => encoder.encode(&other.to_rgb8(), width, height, ColorType::Rgb),
    }
    .map_err(|e| refused(e.to_string()))?;
    Ok(bytes)
}

/// `0..=1` to 8 bits.
fn shade(value: f32) -> u8 {
    nearest(value.clamp(0.0, 1.0) * 255.0)
}

/// The ramp's colour over a base. Colour fades in over the first quarter of
/// the ramp, so that the edge at `low` is no false contour.
fn blend(base: [f32; 3], position: f32, opacity: f32) -> [u8; 3] {
    let rise = (position * 4.0).min(1.0);
    let alpha = opacity * rise * rise * (3.0 - 2.0 * rise);
    if alpha == 0.0 {
        return base.map(nearest);
    }
    let colour = ramp(position);
    std::array::from_fn(|c| nearest(base[c] * (1.0 - alpha) + f32::from(colour[c]) * alpha))
}

/// The nearest of 0 to 255. (`f32::round` is a slow call where the processor's
/// baseline lacks an instruction for it.)
fn nearest(value: f32) -> u8 {
    (value + 0.5) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::golden;
    use ndarray::Array2;
    use ndarray::Array3;

    fn scale() -> ColourScale {
        ColourScale::new(0.1, 0.6).unwrap()
    }

    /// A grey gradient with a round anomaly in the middle.
    fn piece(channels: usize, height: usize, width: usize) -> (Image, AnomalyMap) {
        let image = Array3::from_shape_fn((channels, height, width), |(c, _, x)| {
            ((x as f32 / width as f32) * 0.6 + 0.3 + 0.05 * c as f32).min(1.0)
        });
        let map = Array2::from_shape_fn((height / 2, width / 2), |(y, x)| {
            let (dy, dx) = (
                y as f32 / (height / 2) as f32 - 0.5,
                x as f32 / (width / 2) as f32 - 0.5,
            );
            (0.8 - 2.5 * (dy * dy + dx * dx).sqrt()).max(0.0)
        });
        (Image::new(image).unwrap(), AnomalyMap::new(map).unwrap())
    }

    #[test]
    fn where_the_map_is_quiet_the_overlay_is_the_dimmed_grey_photograph() {
        let (image, _) = piece(1, 8, 8);
        let quiet = AnomalyMap::new(Array2::from_elem((4, 4), 0.1)).unwrap();
        let picture = overlay(&image, &quiet, &scale()).unwrap();
        for (x, y, p) in picture.enumerate_pixels() {
            let expected = (image.pixels()[[0, y as usize, x as usize]] * 255.0 * 0.82).round();
            assert_eq!(p.0, [expected as u8; 3]);
        }
    }

    #[test]
    fn the_same_anomaly_has_the_same_colour_whatever_else_is_on_the_map() {
        let mut lone = Array2::zeros((8, 8));
        lone[[2, 2]] = 0.3;
        let mut with_peak = lone.clone();
        with_peak[[6, 6]] = 1.0;
        let a = map_picture(&AnomalyMap::new(lone).unwrap(), &scale(), 8, 8).unwrap();
        let b = map_picture(&AnomalyMap::new(with_peak).unwrap(), &scale(), 8, 8).unwrap();
        assert_eq!(a.get_pixel(2, 2), b.get_pixel(2, 2));
    }

    #[test]
    fn the_overlay_has_the_size_of_the_photograph() {
        let (image, map) = piece(6, 31, 50);
        let picture = overlay(&image, &map, &scale()).unwrap();
        assert_eq!(picture.dimensions(), (50, 31));
    }

    #[test]
    fn three_channels_are_a_colour_photograph_but_a_grey_overlay() {
        let mut pixels = Array3::zeros((3, 4, 4));
        pixels.index_axis_mut(Axis(0), 0).fill(1.0);
        let red = Image::new(pixels).unwrap();
        let quiet = AnomalyMap::new(Array2::zeros((4, 4))).unwrap();
        let photograph = photograph(&red, &scale()).into_rgb8();
        assert_eq!(photograph.get_pixel(0, 0).0, [255, 0, 0]);
        let p = overlay(&red, &quiet, &scale()).unwrap().get_pixel(0, 0).0;
        assert!(p[0] == p[1] && p[1] == p[2]);
    }

    #[test]
    fn a_picture_too_narrow_for_numbers_gets_no_legend() {
        let narrow = RgbImage::new(40, 40);
        assert_eq!(with_legend(narrow, &scale()).dimensions(), (40, 40));
        let wide = RgbImage::new(310, 310);
        assert_eq!(with_legend(wide, &scale()).dimensions(), (310, 334));
    }

    #[test]
    fn ticks_have_the_decimals_their_span_needs() {
        assert_eq!(tick_labels(&scale()), ["0.10", "0.35", "0.60"]);
        let fine = ColourScale::new(0.001, 0.051).unwrap();
        assert_eq!(tick_labels(&fine), ["0.001", "0.026", "0.051"]);
    }

    #[test]
    fn six_channels_are_shown_in_two_rows_of_three() {
        let (image, _) = piece(6, 40, 40);
        let picture = panel(&image, &scale(), 20).unwrap();
        assert_eq!(picture.dimensions(), (64, 42));
    }

    #[test]
    fn the_heatmap_looks_as_it_did() {
        let (image, map) = piece(1, 96, 160);
        golden::check_picture("overlay.png", &heatmap_png(&image, &map, &scale()).unwrap());
        let large = map_picture(&map, &scale(), 96, 160).unwrap();
        golden::check_picture("map.png", &png(&large).unwrap());
    }
}
