//! Sums over strips of images, on several threads and still the same bytes
//! whatever their number.

use super::im2col::Geometry;
use rayon::prelude::*;

/// The strips are dealt to this many partial sums at most.
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

/// A sum of `size` values over strips.
pub(super) struct PartialSums {
    pub size: usize,
    pub strips: Vec<Strip>,
}

impl PartialSums {
    /// Calls `add(strip, sum)` for every strip. Which strips share a sum
    /// depends on the shapes alone; each sum is added up in the order of its
    /// strips, then the sums in their order.
    pub(super) fn add_up(self, add: impl Fn(&Strip, &mut [f32]) + Sync) -> Vec<f32> {
        let sums = (VALUES / self.size).clamp(FEWEST, SUMS);
        let share = self.strips.len().div_ceil(sums);
        let partial: Vec<Vec<f32>> = self
            .strips
            .par_chunks(share)
            .map(|strips| {
                let mut sum = vec![0.0; self.size];
                for strip in strips {
                    add(strip, &mut sum);
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
}
