//! The exact mask: where the picture with the defect differs from the same
//! picture without it.

use ndarray::{Array2, Array3, Zip};

/// A difference at or below this many grey levels is nobody's defect.
const LEAST: u8 = 3;
/// A difference above this always counts, however strong the rest is.
const CLEAR: u8 = 8;
/// Fewer pixels than this are no visible defect.
const FEWEST: usize = 6;
/// Gaps up to twice this wide are closed: the masks stay those of the strokes.
const CLOSING: usize = 1;

/// The pixels where any channel of two pictures (`[channels, height, width]`)
/// differs, small gaps closed; `None` if hardly anything does.
///
/// The threshold is 35% of the largest difference, within 3 to 8 grey levels,
/// so that the soft fringe of a strong defect and the whole of a faint one are
/// both covered.
pub fn difference(clean: &Array3<u8>, spoiled: &Array3<u8>) -> Option<Array2<bool>> {
    let (channels, height, width) = clean.dim();
    let mut largest = Array2::<u8>::zeros((height, width));
    for c in 0..channels {
        Zip::from(&mut largest)
            .and(clean.index_axis(ndarray::Axis(0), c))
            .and(spoiled.index_axis(ndarray::Axis(0), c))
            .for_each(|most, &a, &b| *most = (*most).max(a.abs_diff(b)));
    }
    let top = largest.iter().copied().max().unwrap_or(0);
    let threshold = (u16::from(top) * 35 / 100).clamp(u16::from(LEAST), u16::from(CLEAR)) as u8;
    let differs = largest.mapv(|d| d > threshold);
    if differs.iter().filter(|&&d| d).count() < FEWEST {
        return None;
    }
    // Eroding outside the picture counts as set, so that the border stays.
    let dilated = spread(&differs, CLOSING, true);
    Some(spread(&dilated, CLOSING, false))
}

/// Spreads pixels of this value by `radius` in all eight directions.
fn spread(mask: &Array2<bool>, radius: usize, value: bool) -> Array2<bool> {
    let (height, width) = mask.dim();
    let line = |get: &dyn Fn(usize) -> bool, n: usize, i: usize| {
        (i.saturating_sub(radius)..(i + radius + 1).min(n)).any(|j| get(j) == value) == value
    };
    let rows = Array2::from_shape_fn((height, width), |(y, x)| line(&|j| mask[(y, j)], width, x));
    Array2::from_shape_fn((height, width), |(y, x)| line(&|j| rows[(j, x)], height, y))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_closed_and_a_faint_difference_is_kept_whole() {
        let clean = Array3::<u8>::from_elem((2, 12, 12), 100);
        let mut spoiled = clean.clone();
        for x in [3, 4, 5, 7, 8, 9] {
            spoiled[(1, 6, x)] = 105;
        }
        let mask = difference(&clean, &spoiled).unwrap();
        let set: Vec<usize> = (0..12).filter(|&x| mask[(6, x)]).collect();
        assert_eq!(set, [3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(mask.iter().filter(|&&m| m).count(), 7);
    }

    #[test]
    fn two_equal_pictures_have_no_mask() {
        let clean = Array3::<u8>::from_elem((1, 5, 5), 7);
        assert!(difference(&clean, &clean.mapv(|v| v + 2)).is_none());
    }
}
