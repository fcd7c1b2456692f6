//! A border that gives way: what lies on one side of it goes on over the other.
//!
//! Where a piece borders on its ground that is a chipped edge or corner, or a burr; within its print,
//! a stroke that breaks off or has run out.

use super::region::{Blob, blend, busiest, log_uniform, sample, steepness, unit};
use ndarray::{Array3, ArrayView2, ArrayView3, Axis};
use rand::Rng;

/// The piece with one blob on a border filled with what lies beyond, all channels alike: each of
/// its pixels takes the value of the pixel so far across the border that none of the blob is left in
/// what it shows. Which side gives way is drawn.
pub fn chipped(good: ArrayView3<'_, f32>, rng: &mut impl Rng) -> Array3<f32> {
    let (_, height, width) = good.dim();
    let size = log_uniform(1.5, 16.0, rng) * unit(height, width);
    let radius = size.ceil() as usize;
    let centre = busiest(&steepness(good), radius.div_ceil(2), rng);
    let blob = Blob::about(centre, size, 0.0..0.4, rng);
    let region = blob.draw((height, width), rng);
    let (down, right) = steepest_slope(good, centre, radius);
    let reach = 2.0 * size * if rng.random() { 1.0 } else { -1.0 };
    let mut beyond = good.to_owned();
    for (from, mut to) in good.axis_iter(Axis(0)).zip(beyond.axis_iter_mut(Axis(0))) {
        for ((y, x), &weight) in region.indexed_iter() {
            if weight > 0.0 {
                to[[y, x]] = sample(&from, y as f32 + reach * down, x as f32 + reach * right);
            }
        }
    }
    blend(good, &beyond, &region, 1.0)
}

/// The direction, down and to the right, of length 1, in which the channel that changes most grows
/// about a place; 0 where none does.
fn steepest_slope(good: ArrayView3<'_, f32>, centre: (usize, usize), radius: usize) -> (f32, f32) {
    let mut most = (0.0, (0.0, 0.0));
    for plane in good.axis_iter(Axis(0)) {
        let (down, right) = slope(plane, centre, radius);
        let length = down.hypot(right);
        if length > most.0 {
            most = (length, (down / length, right / length));
        }
    }
    most.1
}

/// The sums of a square's values, weighted by how far below and to the right of its middle they lie.
fn slope(plane: ArrayView2<'_, f32>, (row, column): (usize, usize), radius: usize) -> (f32, f32) {
    let (height, width) = plane.dim();
    let value = |dy: isize, dx: isize| {
        let y = row.saturating_add_signed(dy).min(height - 1);
        let x = column.saturating_add_signed(dx).min(width - 1);
        plane[[y, x]]
    };
    let reach = radius as isize;
    let (mut down, mut right) = (0.0, 0.0);
    for dy in -reach..=reach {
        for dx in -reach..=reach {
            down += dy as f32 * value(dy, dx);
            right += dx as f32 * value(dy, dx);
        }
    }
    (down, right)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Seed;

    /// Dark belt, bright piece below: one straight border, at row 32.
    fn border() -> Array3<f32> {
        Array3::from_shape_fn((2, 64, 64), |(_, y, _)| if y < 32 { 0.1 } else { 0.8 })
    }

    #[test]
    fn a_border_gives_way_on_one_side_and_the_other_stays() {
        let good = border();
        let (mut chips, mut burrs) = (0, 0);
        for seed in 0..60 {
            let out = chipped(good.view(), &mut Seed::new(seed).rng());
            assert!(out.iter().all(|v| (0.0999..0.8001).contains(v)));
            assert_eq!(out.index_axis(Axis(0), 0), out.index_axis(Axis(0), 1));
            let change = &out - &good;
            let darker = change.iter().any(|v| *v < -0.1);
            let lighter = change.iter().any(|v| *v > 0.1);
            assert!(!(darker && lighter));
            chips += usize::from(darker);
            burrs += usize::from(lighter);
        }
        assert!(chips > 10 && burrs > 10, "{chips} {burrs}");
    }

    #[test]
    fn the_slope_points_to_the_brighter_side_of_the_steepest_channel() {
        let mut good = border();
        // Weaker, to the left.
        good.index_axis_mut(Axis(0), 1)
            .indexed_iter_mut()
            .for_each(|((_, x), v)| *v = if x < 32 { 0.4 } else { 0.3 });
        let (down, right) = steepest_slope(good.view(), (32, 32), 4);
        assert!((down - 1.0).abs() < 1e-5 && right.abs() < 1e-5);
        let second = good.index_axis(Axis(0), 1);
        let (down, right) = slope(second, (32, 32), 4);
        assert!(down.abs() < 1e-4 && right < -1.0);
        let flat = Array3::from_elem((1, 9, 9), 0.5);
        let (down, right) = steepest_slope(flat.view(), (0, 8), 3);
        assert!(down.hypot(right) <= 1.0 + 1e-6);
    }
}
