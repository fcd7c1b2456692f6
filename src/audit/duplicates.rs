//! Near-duplicates: pieces whose photographs are (nearly) the same.
//!
//! A duplicate in another group is dangerous: it stands in training and in test
//! at once. Pieces of one product all look alike, so a plain perceptual hash
//! finds thousands; here each channel is reduced to 32 x 32, brought to mean 0
//! and deviation 1 (a brighter exposure is no other piece), and what all pieces
//! have in common, their mean, is taken off. What is left is this piece's own;
//! its correlation with another's is near 1 for the same photograph, also if
//! that was stored anew, brightened or moved by a fraction of a pixel.

use crate::data::image::Image;
use crate::error::Result;
use ndarray::{Array1, Array2, Axis, s};
use rayon::prelude::*;

/// Side of the reduced channels.
pub const SIDE: usize = 32;
/// Rows compared at a time: memory stays flat.
const BLOCK: usize = 256;
/// At most so many pairs are kept, the most alike.
const MOST: usize = 10_000;

/// Two pieces alike.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    /// The first piece's row.
    pub first: usize,
    /// The second's, larger.
    pub second: usize,
    /// Correlation of what is their own, -1 to 1.
    pub correlation: f64,
}

/// A piece in small: `[channels * SIDE * SIDE]`, each channel of mean 0 and
/// deviation 1 (0 throughout if it is even).
///
/// # Errors
/// As [`Image::resize`].
pub fn reduced(image: &Image) -> Result<Vec<f32>> {
    let small = image.resize(SIDE, SIDE)?;
    let mut values = small.as_slice().to_vec();
    for channel in values.chunks_exact_mut(SIDE * SIDE) {
        let n = channel.len() as f32;
        let mean = channel.iter().sum::<f32>() / n;
        let deviation = (channel.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / n).sqrt();
        for v in channel {
            *v = if deviation > 1e-4 {
                (*v - mean) / deviation
            } else {
                0.0
            };
        }
    }
    Ok(values)
}

/// All pairs of pieces whose correlation is at least `at`, the most alike first.
///
/// - `pieces`: `[n_pieces, channels * SIDE * SIDE]` as of [`reduced`]
#[must_use]
pub fn pairs(mut pieces: Array2<f32>, at: f64) -> Vec<Pair> {
    let Some(mean) = pieces.mean_axis(Axis(0)) else {
        return Vec::new();
    };
    // Of two pieces the mean takes all but their difference: they would be opposites.
    if pieces.nrows() > 2 {
        pieces -= &mean;
    }
    let n = pieces.nrows();
    for mut row in pieces.axis_iter_mut(Axis(0)) {
        let norm = row.dot(&row).sqrt();
        if norm > 1e-6 {
            row /= norm;
        }
    }
    let starts: Vec<usize> = (0..n).step_by(BLOCK).collect();
    let blocks: Vec<(usize, usize)> = starts
        .iter()
        .flat_map(|&a| {
            starts
                .iter()
                .filter(move |b| **b >= a)
                .map(move |&b| (a, b))
        })
        .collect();
    let mut found: Vec<Pair> = blocks
        .par_iter()
        .flat_map_iter(|&(a, b)| {
            let rows = pieces.slice(s![a..(a + BLOCK).min(n), ..]);
            let others = pieces.slice(s![b..(b + BLOCK).min(n), ..]);
            let products: Array2<f32> = rows.dot(&others.t());
            let mut alike = Vec::new();
            for ((i, j), &c) in products.indexed_iter() {
                let (first, second) = (a + i, b + j);
                if first < second && f64::from(c) >= at {
                    alike.push(Pair {
                        first,
                        second,
                        correlation: f64::from(c),
                    });
                }
            }
            alike
        })
        .collect();
    found.sort_by(|a, b| {
        let by = b.correlation.total_cmp(&a.correlation);
        by.then((a.first, a.second).cmp(&(b.first, b.second)))
    });
    found.truncate(MOST);
    found
}

/// Rows of equal length as a matrix.
///
/// # Errors
/// [`crate::Error::Shape`] if a row is longer or shorter.
pub(super) fn matrix(rows: Vec<Vec<f32>>) -> Result<Array2<f32>> {
    let width = rows.first().map_or(0, Vec::len);
    let mut all = Array2::zeros((rows.len(), width));
    for (mut out, row) in all.axis_iter_mut(Axis(0)).zip(rows) {
        if row.len() != width {
            return Err(crate::Error::shape("reduced piece", row.len(), width));
        }
        out.assign(&Array1::from(row));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array3;
    use rand::Rng;

    /// Pieces that share a pattern and have one of their own.
    fn piece(number: u64, gain: f32) -> Image {
        let mut rng = crate::random::Seed::new(number).rng();
        let own: Vec<f32> = (0..64).map(|_| rng.random::<f32>()).collect();
        let pixels = Array3::from_shape_fn((2, 64, 64), |(c, y, x)| {
            let common = if (x / 16 + y / 16 + c) % 2 == 0 {
                0.5
            } else {
                0.1
            };
            gain * (common + 0.2 * own[y / 8 * 8 + x / 8])
        });
        Image::new(pixels).unwrap()
    }

    #[test]
    fn a_brighter_copy_is_found_among_pieces_that_all_look_alike() {
        let mut rows: Vec<Vec<f32>> = (0..20).map(|i| reduced(&piece(i, 1.0)).unwrap()).collect();
        rows.push(reduced(&piece(7, 1.25)).unwrap());
        let found = pairs(matrix(rows).unwrap(), 0.96);
        let places: Vec<_> = found.iter().map(|p| (p.first, p.second)).collect();
        assert_eq!(places, [(7, 20)]);
        assert!(found[0].correlation > 0.999);
    }

    #[test]
    fn an_even_piece_is_like_no_other() {
        let even = Image::new(Array3::from_elem((1, 40, 40), 0.5)).unwrap();
        let rows = vec![reduced(&even).unwrap(); 2];
        assert!(pairs(matrix(rows).unwrap(), 0.5).is_empty());
    }
}
