//! Sums over strips of images, on several threads and still the same bytes
//! whatever their number.

use super::im2col::Geometry;
use rayon::prelude::*;

/// Parts are dealt to this many partial sums at most.
const SUMS: usize = 8;

/// Partial sums may take this many values together (64 MiB) ...
const VALUES: usize = 16 << 20;

/// ... but are never fewer than this, so that two cores have work.
const FEWEST: usize = 2;

/// Some output rows of one image.
pub(super) struct Strip {
    pub image: usize,
    /// The first row.
    pub first: usize,
    pub rows: usize,
}

impl Strip {
    /// Strips of `rows` rows that cover every image, in order.
    pub(super) fn all(g: &Geometry, rows: usize) -> Vec<Self> {
        let height = g.out_height();
        (0..g.batch)
            .flat_map(|image| {
                (0..height).step_by(rows).map(move |first| Self {
                    image,
                    first,
                    rows: rows.min(height - first),
                })
            })
            .collect()
    }
}

/// The sum of `size` values over all parts of a work, `add(part, sum)` each.
///
/// Which parts share a partial sum depends on the shapes alone; each is added
/// up in the order of its parts, then the partial sums in their order.
pub(super) fn partial_sums<T: Sync>(
    size: usize,
    parts: &[T],
    add: impl Fn(&T, &mut [f32]) + Sync,
) -> Vec<f32> {
    let sums = (VALUES / size).clamp(FEWEST, SUMS);
    let partial: Vec<Vec<f32>> = parts
        .par_chunks(parts.len().div_ceil(sums))
        .map(|parts| {
            let mut sum = vec![0.0; size];
            for part in parts {
                add(part, &mut sum);
            }
            sum
        })
        .collect();
    let mut partial = partial.into_iter();
    let mut total = partial.next().unwrap_or_default();
    for sum in partial {
        total.iter_mut().zip(&sum).for_each(|(t, s)| *t += s);
    }
    total
}
