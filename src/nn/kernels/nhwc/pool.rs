//! Maximum and mean pooling, channels last.

use super::conv::checked;
use super::{Element, View, for_each};
use crate::nn::kernels::simd::vectorised;
use crate::nn::kernels::team::Team;

/// The maximum of every `kernel` x `kernel` window; the padding counts as
/// minus infinity.
///
/// # Panics
/// If sizes do not fit, a view lies outside the arena, or the two overlap.
pub(in crate::nn) fn max_pool<T: Element>(
    arena: &mut [T],
    x: &View,
    y: &View,
    (kernel, stride, padding): (usize, usize, usize),
    team: Option<&Team>,
) {
    let outputs = |side: usize| (side + 2 * padding - kernel) / stride + 1;
    assert_eq!((y.height, y.width), (outputs(x.height), outputs(x.width)));
    assert_eq!(x.segments, y.segments);
    assert!(padding < kernel);
    let arena = checked(arena, x, y, None);
    // The part of a window that lies in the image.
    let clipped = |output: usize, side: usize| {
        let first = output * stride;
        first.saturating_sub(padding)..(first + kernel - padding).min(side)
    };
    for_each(y.height, team, |row| {
        for column in 0..y.width {
            // SAFETY: both views lie within the arena; a task alone writes its
            // row, and reads what this step does not write.
            let out = unsafe { arena.write(y.at(row, column), y.span()) };
            out.fill(T::narrow(f32::NEG_INFINITY));
            for i in clipped(row, x.height) {
                for j in clipped(column, x.width) {
                    // SAFETY: as above.
                    raise(out, unsafe { arena.read(x.at(i, j), x.span()) });
                }
            }
        }
    });
}

vectorised! {
    fn raise<T: Element>(out: &mut [T], values: &[T]) {
        for (out, value) in out.iter_mut().zip(values) {
            // NaN stays NaN, as in training.
            let (a, b) = (value.widen(), out.widen());
            *out = if a > b || a.is_nan() { *value } else { *out };
        }
    }
}

/// The mean of every channel, fillers left out.
///
/// # Panics
/// If the view lies outside the arena.
pub(in crate::nn) fn mean<T: Element>(arena: &[T], x: &View) -> Vec<f32> {
    x.assert_within(arena.len());
    let mut total = vec![0.0_f64; x.span()];
    for row in 0..x.height {
        let mut sum = vec![0.0_f32; x.span()];
        for column in 0..x.width {
            add(&mut sum, &arena[x.at(row, column)..][..x.span()]);
        }
        for (total, sum) in total.iter_mut().zip(sum) {
            *total += f64::from(sum);
        }
    }
    let pixels = (x.height * x.width) as f64;
    x.segments
        .iter()
        .flat_map(|s| &total[s.offset..][..s.channels])
        .map(|sum| (sum / pixels) as f32)
        .collect()
}

vectorised! {
    fn add<T: Element>(sum: &mut [f32], values: &[T]) {
        for (sum, value) in sum.iter_mut().zip(values) {
            *sum += value.widen();
        }
    }
}
