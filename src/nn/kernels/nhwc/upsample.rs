//! Bilinear doubling with aligned corners, channels last.

use super::conv::checked;
use super::{Element, View, for_each};
use crate::nn::kernels::buffer::with_scratch;
use crate::nn::kernels::simd::vectorised;
use crate::nn::kernels::team::Team;

/// Output row i lies at input row `i (h - 1) / (2 h - 1)`, columns alike. Two
/// input rows are blended first, then the columns of the blend.
///
/// # Panics
/// As for [`super::pool::max_pool`].
pub(in crate::nn) fn bilinear2x<T: Element>(
    arena: &mut [T],
    x: &View,
    y: &View,
    team: Option<&Team>,
) {
    assert_eq!((y.height, y.width), (2 * x.height, 2 * x.width));
    assert_eq!(x.segments, y.segments);
    let arena = checked(arena, x, y, None);
    let span = x.span();
    let columns: Vec<Column> = (0..y.width)
        .map(|column| {
            let (left, across) = place(column, x.width);
            let right = (left + 1).min(x.width - 1);
            Column {
                left: left * span,
                right: right * span,
                across,
            }
        })
        .collect();
    for_each(y.height, team, |row| {
        let (top, down) = place(row, x.height);
        let bottom = (top + 1).min(x.height - 1);
        with_scratch(x.width * span, |line| {
            // SAFETY (all three): both views lie within the arena; a task alone
            // writes its row, and reads what this step does not write: images
            // of two sizes are not parts of one concatenation.
            let reach = (x.width - 1) * x.pixel + span;
            let [above, below] = [top, bottom].map(|i| unsafe { arena.read(x.at(i, 0), reach) });
            if x.pixel == span {
                blend(line, above, below, down);
            } else {
                for (column, line) in line.chunks_exact_mut(span).enumerate() {
                    let at = column * x.pixel;
                    blend(line, &above[at..][..span], &below[at..][..span], down);
                }
            }
            let reach = (y.width - 1) * y.pixel + span;
            let out = unsafe { arena.write(y.at(row, 0), reach) };
            stretch(out, y.pixel, line, span, &columns);
        });
    });
}

/// Where an output column lies in a line of the input.
struct Column {
    /// The pixel at its left begins here,
    left: usize,
    /// that at its right here,
    right: usize,
    /// and has this share.
    across: f32,
}

/// The input row above output row `i` of `2 side`, and the share of the next.
fn place(i: usize, side: usize) -> (usize, f32) {
    let at = (i * (side - 1)) as f32 / (2 * side - 1) as f32;
    let first = (at as usize).min(side - 1);
    (first, at - first as f32)
}

vectorised! {
    fn blend<T: Element>(out: &mut [f32], above: &[T], below: &[T], down: f32) {
        for ((out, a), b) in out.iter_mut().zip(above).zip(below) {
            *out = (1.0 - down) * a.widen() + down * b.widen();
        }
    }
}

vectorised! {
    fn stretch<T: Element>(
        out: &mut [T],
        pixel: usize,
        line: &[f32],
        span: usize,
        columns: &[Column],
    ) {
        for (out, column) in out.chunks_mut(pixel).zip(columns) {
            let (left, right) = (&line[column.left..][..span], &line[column.right..][..span]);
            for ((out, a), b) in out.iter_mut().zip(left).zip(right) {
                *out = T::narrow((1.0 - column.across) * a + column.across * b);
            }
        }
    }
}
