//! Where a piece's print is, without a label: the minority tone on its ground.
//!
//! N. Otsu, "A threshold selection method from gray-level histograms", IEEE
//! Trans. SMC 9(1), 1979, chooses between the tones.

use image::{GrayImage, Luma};
use imageproc::region_labelling::{Connectivity, connected_components};
use ndarray::{Array2, ArrayView2, ArrayView3, Axis};

/// Print covers at least and at most this share of the pixels.
const AREA: (f64, f64) = (0.002, 0.25);
/// The tones of print and ground differ by at least this much.
const CONTRAST: f64 = 0.08;
/// Two tones are two, and not the halves of one, if their means lie at least this
/// many deviations (within the tones) apart: a Gaussian cut in two has 2.6, an
/// even spread 3.5. However small the minority, the measure is the same.
const SEPARATE: f64 = 3.8;

/// A piece's print.
#[derive(Debug, Clone)]
pub struct Print {
    /// Where there is ink, `[height, width]`.
    pub ink: Array2<bool>,
    /// Where the piece's ground shows.
    pub ground: Array2<bool>,
}

/// Finds the print of a piece `[channels, height, width]` in the channel that
/// tells two tones apart best; `None` where no channel has any.
///
/// What touches the border (the belt a piece lies on) is no print. If nothing
/// else is left of the minority tone, the majority is divided once more.
pub fn find(piece: ArrayView3<'_, f32>) -> Option<Print> {
    let mut channels: Vec<(f64, usize)> = piece
        .axis_iter(Axis(0))
        .enumerate()
        .filter_map(|(c, plane)| {
            let everywhere = Array2::from_elem(plane.dim(), true);
            let tones = two_tones(plane, &everywhere)?;
            Some((tones.separation * tones.contrast, c))
        })
        .collect();
    channels.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    channels
        .into_iter()
        .take(2)
        .find_map(|(_, c)| find_in(piece.index_axis(Axis(0), c)))
}

fn find_in(plane: ArrayView2<'_, f32>) -> Option<Print> {
    let pixels = plane.len() as f64;
    let mut within = Array2::from_elem(plane.dim(), true);
    for _ in 0..2 {
        let tones = two_tones(plane, &within)?;
        let is_minority = |v: f32| (level(v) > tones.threshold) == tones.minority_is_bright;
        let minority =
            Array2::from_shape_fn(plane.dim(), |at| within[at] && is_minority(plane[at]));
        let ground = Array2::from_shape_fn(plane.dim(), |at| within[at] && !minority[at]);
        let ink = islands(&minority, &within);
        let share = ink.iter().filter(|i| **i).count() as f64 / pixels;
        if tones.distance >= SEPARATE
            && tones.contrast >= CONTRAST
            && (AREA.0..=AREA.1).contains(&share)
        {
            return Some(Print { ink, ground });
        }
        within = ground;
    }
    None
}

/// The 8-connected regions of a mask that touch neither the border nor what
/// lies outside `within`.
fn islands(mask: &Array2<bool>, within: &Array2<bool>) -> Array2<bool> {
    let (height, width) = mask.dim();
    let picture = GrayImage::from_fn(width as u32, height as u32, |x, y| {
        Luma([u8::from(mask[[y as usize, x as usize]])])
    });
    let labels = connected_components(&picture, Connectivity::Eight, Luma([0]));
    let label = |y: usize, x: usize| labels.get_pixel(x as u32, y as u32).0[0] as usize;
    let mut landlocked = vec![true; labels.iter().max().map_or(0, |m| *m as usize) + 1];
    landlocked[0] = false;
    for y in 0..height {
        for x in 0..width {
            let edge = y == 0 || x == 0 || y + 1 == height || x + 1 == width;
            let outside = || {
                let beside = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)];
                beside.into_iter().any(|at| !within[at])
            };
            if mask[[y, x]] && (edge || outside()) {
                landlocked[label(y, x)] = false;
            }
        }
    }
    Array2::from_shape_fn((height, width), |(y, x)| landlocked[label(y, x)])
}

/// How a plane's pixels fall into two tones.
struct Tones {
    /// The highest of 256 levels that belongs to the dark tone.
    threshold: usize,
    minority_is_bright: bool,
    /// Variance between the tones over all variance.
    separation: f64,
    /// Difference of the tones' means over the deviation within the tones.
    distance: f64,
    /// Difference of the tones' means, in parts of white.
    contrast: f64,
}

fn level(value: f32) -> usize {
    (value.clamp(0.0, 1.0) * 255.0 + 0.5) as usize
}

/// Otsu's threshold over the pixels of `within`; `None` if all are alike.
fn two_tones(plane: ArrayView2<'_, f32>, within: &Array2<bool>) -> Option<Tones> {
    let mut counts = [0u32; 256];
    for (v, inside) in plane.iter().zip(within) {
        if *inside {
            counts[level(*v)] += 1;
        }
    }
    let total: f64 = counts.iter().map(|n| f64::from(*n)).sum();
    let moment = |power: i32| -> f64 {
        let terms = counts.iter().enumerate();
        terms
            .map(|(v, n)| f64::from(*n) * (v as f64).powi(power))
            .sum::<f64>()
            / total.max(1.0)
    };
    let (mean, squares) = (moment(1), moment(2));
    let variance = squares - mean * mean;
    if total < 2.0 || variance < 1e-9 {
        return None;
    }
    let (mut dark, mut sum) = (0.0, 0.0);
    let mut best = (0.0, 0, 0.0, 0.0);
    for (threshold, n) in counts.iter().enumerate() {
        dark += f64::from(*n);
        sum += f64::from(*n) * threshold as f64;
        let bright = total - dark;
        if dark == 0.0 || bright == 0.0 {
            continue;
        }
        let difference = (mean * total - sum) / bright - sum / dark;
        let between = dark * bright / (total * total) * difference * difference;
        if between > best.0 {
            best = (between, threshold, dark, difference);
        }
    }
    let (between, threshold, dark, difference) = best;
    Some(Tones {
        threshold,
        minority_is_bright: dark * 2.0 >= total,
        separation: between / variance,
        distance: difference / (variance - between).max(1e-9).sqrt(),
        contrast: difference / 255.0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array3;

    /// A belt at the border, a piece on it, a bar of ink on that; a second
    /// channel in which nothing shows.
    fn piece(belt: f32, ink: f32) -> Array3<f32> {
        Array3::from_shape_fn((2, 40, 50), |(c, y, x)| {
            let grain = ((y * 7 + x * 3) % 5) as f32 * 0.004;
            match (c, y, x) {
                (1, ..) => 0.6 + grain,
                (_, 18..22, 15..30) => ink + grain,
                (_, 5..35, 6..44) => 0.8 + grain,
                _ => belt + grain,
            }
        })
    }

    #[test]
    fn print_is_found_on_a_dark_and_on_a_bright_belt() {
        for belt in [0.1, 0.97] {
            let print = find(piece(belt, 0.2).view()).unwrap();
            for ((y, x), ink) in print.ink.indexed_iter() {
                assert_eq!(*ink, (18..22).contains(&y) && (15..30).contains(&x));
            }
            assert!(print.ground[[10, 10]] && !print.ground[[20, 20]]);
        }
    }

    #[test]
    fn grain_is_no_print() {
        assert!(find(piece(0.8, 0.8).view()).is_none());
        let flat = Array3::from_elem((3, 16, 16), 0.4);
        assert!(find(flat.view()).is_none());
    }

    #[test]
    fn otsu_parts_two_tones_where_it_should() {
        let plane = ndarray::arr2(&[[0.1, 0.1, 0.1], [0.1, 0.9, 0.9]]);
        let tones = two_tones(plane.view(), &Array2::from_elem((2, 3), true)).unwrap();
        assert!((26..229).contains(&tones.threshold));
        assert!(tones.minority_is_bright);
        assert!((tones.contrast - 0.8).abs() < 0.01);
        assert!(tones.separation > 0.999);
    }
}
