//! Bilinear doubling with aligned corners, channels last.

use super::conv::checked;
use super::{Element, View, for_each};
use crate::nn::kernels::simd::vectorised;

/// Output row i lies at input row `i (h - 1) / (2 h - 1)`, columns alike.
///
/// # Panics
/// As for [`super::pool::max_pool`].
pub(in crate::nn) fn bilinear2x<T: Element>(arena: &mut [T], x: &View, y: &View, parallel: bool) {
    assert_eq!((y.height, y.width), (2 * x.height, 2 * x.width));
    assert_eq!(x.segments, y.segments);
    let arena = checked(arena, x, y, None);
    for_each(y.height, parallel, |row| {
        let (top, down) = place(row, x.height);
        let bottom = (top + 1).min(x.height - 1);
        for column in 0..y.width {
            let (left, across) = place(column, x.width);
            let right = (left + 1).min(x.width - 1);
            // SAFETY (all five): both views lie within the arena; a task alone
            // writes its row, and reads what this step does not write.
            let corner = |i, j| unsafe { arena.read(x.at(i, j), x.span()) };
            let corners = [
                corner(top, left),
                corner(top, right),
                corner(bottom, left),
                corner(bottom, right),
            ];
            let weights = [
                (1.0 - down) * (1.0 - across),
                (1.0 - down) * across,
                down * (1.0 - across),
                down * across,
            ];
            blend(
                unsafe { arena.write(y.at(row, column), y.span()) },
                corners,
                weights,
            );
        }
    });
}

/// The input row above output row `i` of `2 side`, and the share of the next.
fn place(i: usize, side: usize) -> (usize, f32) {
    let at = (i * (side - 1)) as f32 / (2 * side - 1) as f32;
    let first = (at as usize).min(side - 1);
    (first, at - first as f32)
}

vectorised! {
    fn blend<T: Element>(out: &mut [T], corners: [&[T]; 4], weights: [f32; 4]) {
        let [a, b, c, d] = corners.map(|corner| &corner[..out.len()]);
        for (i, out) in out.iter_mut().enumerate() {
            let [a, b, c, d] = [a[i], b[i], c[i], d[i]].map(T::widen);
            *out = T::narrow(weights[0] * a + weights[1] * b + weights[2] * c + weights[3] * d);
        }
    }
}
