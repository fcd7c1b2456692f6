//! Where the pieces of a pack lie.
//!
//! No single grey level parts white, grey and green pieces from the belt, nor
//! the thin gaps between neighbours: Otsu's level of a whole pack takes dark
//! rubber for belt. So the picture is thresholded at a ladder of levels (as
//! maximally stable regions are found; Matas et al., BMVC 2002). At each level
//! what is printed within a piece is filled, what is thinner than a piece (a
//! painted line, a bridge between neighbours) is taken off by an opening, and
//! each region left that is nearly a square votes for a piece there: the
//! minimum-area rectangle of its outline. A place is the median of its votes;
//! the pieces are the largest family of places of one size.

use crate::metrics::bootstrap::median;
use image::{GrayImage, Luma};
use imageproc::contours::{BorderType, find_contours};
use imageproc::contrast::{ThresholdType, threshold};
use imageproc::distance_transform::euclidean_squared_distance_transform;
use imageproc::geometry::{contour_area, min_area_rect};
use imageproc::point::Point;
use imageproc::region_labelling::{Connectivity, connected_components};
use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

/// Longer sides than this are reduced: places need no more.
const LONGEST: usize = 1000;
/// Levels of the ladder.
const LEVELS: usize = 40;
/// Radius of the opening, as a share of the picture's shorter side.
const RADIUS: f64 = 0.0165;
/// A smaller side than this share of the picture's shorter one is no piece.
const SMALLEST: f64 = 0.05;
/// A region fills at least this share of its rectangle.
const FILLED: f64 = 0.9;
/// The longer side of a piece is at most this times the shorter.
const LONGER: f64 = 1.2;
/// Pieces of a pack differ in side by at most this share.
const ALIKE: f64 = 0.12;
/// So many levels at least must show a piece.
const VOTES: usize = 2;

/// A rectangle that may be turned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OrientedBox {
    /// Centre, x and y, in pixels; the centre of the first pixel is (0, 0).
    pub centre: [f64; 2],
    /// Width and height in pixels, before it is turned.
    pub side: [f64; 2],
    /// Clockwise turn in degrees, from -45 to 45: a square does not show whether
    /// it was turned further.
    pub angle: f64,
}

impl OrientedBox {
    /// Side of the square of the same area.
    #[must_use]
    pub fn mean_side(&self) -> f64 {
        (self.side[0] * self.side[1]).sqrt()
    }

    /// The box in a picture of another size, `by` times wider and higher (nearly
    /// the same in both).
    #[must_use]
    pub fn scaled(&self, by: [f64; 2]) -> Self {
        Self {
            centre: std::array::from_fn(|i| (self.centre[i] + 0.5) * by[i] - 0.5),
            side: std::array::from_fn(|i| self.side[i] * by[i]),
            angle: self.angle,
        }
    }

    fn distance(&self, other: &Self) -> f64 {
        (self.centre[0] - other.centre[0]).hypot(self.centre[1] - other.centre[1])
    }

    /// The same box with its angle as near to `angle` as quarter turns bring it.
    fn turned_towards(mut self, angle: f64) -> Self {
        let quarters = ((angle - self.angle) / 90.0).round();
        self.angle += 90.0 * quarters;
        if quarters.rem_euclid(2.0) == 1.0 {
            self.side.reverse();
        }
        self
    }
}

/// The pieces in one channel, `[height, width]` in 0..=1, in no order of note.
#[must_use]
pub fn places(plane: ArrayView2<'_, f32>) -> Vec<OrientedBox> {
    let (picture, by) = grey(plane);
    let levels = ladder(&picture);
    let votes: Vec<Vec<OrientedBox>> = levels
        .par_iter()
        .map(|&level| squares(&picture, level))
        .collect();
    let found = pieces(gather(votes.concat()));
    found.iter().map(|place| place.scaled(by)).collect()
}

/// The plane as bytes, at most [`LONGEST`] pixels long, and how many times
/// wider and higher the plane is.
fn grey(plane: ArrayView2<'_, f32>) -> (GrayImage, [f64; 2]) {
    let (height, width) = plane.dim();
    let reduce = (LONGEST as f64 / height.max(width) as f64).min(1.0);
    let to = [height, width].map(|n| ((n as f64 * reduce).round() as usize).max(1));
    let source: Vec<f32> = plane.iter().copied().collect();
    let mut values = vec![0.0; to[0] * to[1]];
    if reduce < 1.0 {
        let mut resizer = fast_image_resize::Resizer::new();
        let (from, to) = ((height, width), (to[0], to[1]));
        crate::data::image::resize_plane(&mut resizer, &source, from, &mut values, to);
    } else {
        values = source;
    }
    let bytes = values.iter().map(|v| (v * 255.0).round() as u8).collect();
    let picture = GrayImage::from_raw(to[1] as u32, to[0] as u32, bytes)
        .expect("as many pixels as the size says");
    let by = [width as f64 / to[1] as f64, height as f64 / to[0] as f64];
    (picture, by)
}

/// Levels between the darkest and the brightest hundredth of the pixels.
fn ladder(picture: &GrayImage) -> Vec<u8> {
    let mut values: Vec<u8> = picture.as_raw().clone();
    values.sort_unstable();
    let low = f64::from(values[values.len() / 100]);
    let high = f64::from(values[values.len() - 1 - values.len() / 100]);
    let step = (high - low) / (LEVELS + 1) as f64;
    let mut levels: Vec<u8> = (1..=LEVELS)
        .map(|i| (low + step * i as f64) as u8)
        .collect();
    levels.dedup();
    levels
}

/// The nearly square regions brighter than `level`.
fn squares(picture: &GrayImage, level: u8) -> Vec<OrientedBox> {
    let outside = outside(picture, level);
    let shorter = f64::from(picture.width().min(picture.height()));
    let radius = (RADIUS * shorter).round().max(1.0);
    let distance = euclidean_squared_distance_transform(&outside);
    let eroded = GrayImage::from_fn(picture.width(), picture.height(), |x, y| {
        let within = distance.get_pixel(x, y)[0] >= radius * radius;
        Luma([if within { 255 } else { 0 }])
    });
    // An opening would grow the eroded region again; its rectangle grows as well.
    let grown = 2.0 * radius - 1.0;
    find_contours::<i32>(&eroded)
        .into_iter()
        .filter(|contour| contour.border_type == BorderType::Outer)
        .filter_map(|contour| {
            let corners: Vec<Point<f64>> = contour
                .points
                .iter()
                .map(|p| Point::new(f64::from(p.x) * FINE, f64::from(p.y) * FINE))
                .collect();
            let outline = contour_area(&contour.points);
            square(&corners, outline, grown, shorter)
        })
        .collect()
}

/// Pixels are counted in such fractions where imageproc rounds corners to whole
/// numbers: a corner off by one pixel would turn a piece by a third of a degree.
/// More would overflow: imageproc multiplies two coordinates as 32-bit integers,
/// each at most [`LONGEST`] such fractions.
const FINE: f64 = 16.0;

/// The rectangle of an eroded outline, if it is nearly a square of some size.
fn square(outline: &[Point<f64>], area: f64, grown: f64, shorter: f64) -> Option<OrientedBox> {
    if outline.len() < 8 {
        return None;
    }
    let [a, b, c, d] = min_area_rect(outline).map(|p| [p.x / FINE, p.y / FINE]);
    let length = |p: [f64; 2], q: [f64; 2]| (p[0] - q[0]).hypot(p[1] - q[1]);
    let width = (length(a, b) + length(d, c)) / 2.0;
    let height = (length(a, d) + length(b, c)) / 2.0;
    let sides = [width + grown, height + grown];
    let large = width.min(height) > 1.0 && sides[0].min(sides[1]) >= SMALLEST * shorter;
    let square = sides[0].max(sides[1]) <= LONGER * sides[0].min(sides[1]);
    if !large || !square || area < FILLED * width * height {
        return None;
    }
    let across = [b[0] - a[0] + c[0] - d[0], b[1] - a[1] + c[1] - d[1]];
    let found = OrientedBox {
        centre: std::array::from_fn(|i| (a[i] + b[i] + c[i] + d[i]) / 4.0),
        side: sides,
        angle: across[1].atan2(across[0]).to_degrees(),
    };
    Some(found.turned_towards(0.0))
}

/// White where nothing brighter than `level` is, nor is surrounded by it: the
/// dark print on a piece belongs to the piece.
fn outside(picture: &GrayImage, level: u8) -> GrayImage {
    let dark = threshold(picture, level, ThresholdType::BinaryInverted);
    let regions = connected_components(&dark, Connectivity::Four, Luma([0]));
    let (width, height) = picture.dimensions();
    let count = regions.iter().copied().max().unwrap_or(0) as usize;
    let mut open = vec![false; count + 1];
    for x in 0..width {
        open[regions.get_pixel(x, 0)[0] as usize] = true;
        open[regions.get_pixel(x, height - 1)[0] as usize] = true;
    }
    for y in 0..height {
        open[regions.get_pixel(0, y)[0] as usize] = true;
        open[regions.get_pixel(width - 1, y)[0] as usize] = true;
    }
    open[0] = false;
    GrayImage::from_fn(width, height, |x, y| {
        let region = regions.get_pixel(x, y)[0] as usize;
        Luma([if open[region] { 255 } else { 0 }])
    })
}

/// A place, and how many levels show it.
struct Voted {
    place: OrientedBox,
    votes: usize,
}

/// Votes for one place put together: the median of each number.
fn gather(votes: Vec<OrientedBox>) -> Vec<Voted> {
    let mut groups: Vec<Vec<OrientedBox>> = Vec::new();
    for vote in votes {
        let side = vote.mean_side();
        let same = |group: &&mut Vec<OrientedBox>| {
            let first = &group[0];
            first.distance(&vote) < 0.2 * side && alike(first.mean_side(), side)
        };
        match groups.iter_mut().find(same) {
            Some(group) => {
                let vote = vote.turned_towards(group[0].angle);
                group.push(vote);
            }
            None => groups.push(vec![vote]),
        }
    }
    groups
        .iter()
        .map(|group| {
            let of = |number: fn(&OrientedBox) -> f64| median(group.iter().map(number).collect());
            let place = OrientedBox {
                centre: [of(|b| b.centre[0]), of(|b| b.centre[1])],
                side: [of(|b| b.side[0]), of(|b| b.side[1])],
                angle: of(|b| b.angle),
            };
            Voted {
                place: place.turned_towards(0.0),
                votes: group.len(),
            }
        })
        .filter(|voted| voted.votes >= VOTES)
        .collect()
}

/// The largest family of places of one size; of two that overlap, the one with
/// more votes.
fn pieces(mut voted: Vec<Voted>) -> Vec<OrientedBox> {
    // Most votes first; sorting is stable, so equals stay in one order.
    voted.sort_by_key(|v| std::cmp::Reverse(v.votes));
    let family = |side: f64| {
        let mut kept: Vec<&Voted> = Vec::new();
        for v in voted.iter().filter(|v| alike(v.place.mean_side(), side)) {
            if kept.iter().all(|k| k.place.distance(&v.place) > 0.6 * side) {
                kept.push(v);
            }
        }
        kept
    };
    let best = voted
        .iter()
        .map(|v| family(v.place.mean_side()))
        .max_by_key(|kept| (kept.len(), kept.iter().map(|v| v.votes).sum::<usize>()));
    let Some(best) = best else {
        return Vec::new();
    };
    let side = median(best.iter().map(|v| v.place.mean_side()).collect());
    family(side).iter().map(|v| v.place).collect()
}

fn alike(a: f64, b: f64) -> bool {
    (a - b).abs() <= ALIKE * a.max(b)
}

/// A plane of the mean over `[channels, height, width]`.
pub(super) fn mean(pixels: &ndarray::Array3<f32>) -> Array2<f32> {
    pixels
        .mean_axis(ndarray::Axis(0))
        .expect("an image has at least one channel")
}
