//! Images into the arena and out of it, `[c, h, w]` outside.

use super::{Arena, Element, GROUP, View, for_each};
use crate::nn::kernels::buffer::{Shared, filled};
use crate::nn::kernels::team::Team;

/// Rows of a task.
const ROWS: usize = 8;

/// Calls `work` with every row of an image, some rows a task.
fn for_each_row(height: usize, team: Option<&Team>, work: impl Fn(usize) + Sync + Send) {
    for_each(height.div_ceil(ROWS), team, |task| {
        (task * ROWS..height.min((task + 1) * ROWS)).for_each(&work);
    });
}

/// Writes an image `[c, h, w]`, fillers 0.
///
/// # Panics
/// If it has another size than the view, or the view lies outside the arena.
pub(in crate::nn) fn put<T: Element>(
    arena: &mut [T],
    image: &[f32],
    y: &View,
    team: Option<&Team>,
) {
    let plane = y.height * y.width;
    assert_eq!(image.len(), y.channels() * plane);
    y.assert_within(arena.len());
    let arena = Arena::new(arena);
    for_each_row(y.height, team, |row| {
        let reach = (y.width - 1) * y.pixel + y.span();
        // SAFETY: a task alone writes its rows, whose pixels lie one after the
        // other; of a concatenation no other part is written in this step.
        let pixels = unsafe { arena.write(y.at(row, 0), reach) };
        let mut planes = image.chunks_exact(plane);
        for segment in &y.segments {
            for c in 0..segment.channels.next_multiple_of(GROUP) {
                let places = pixels.chunks_mut(y.pixel);
                let places = places.map(|pixel| &mut pixel[segment.offset + c]);
                if c < segment.channels {
                    let plane = planes.next().expect("as many as channels");
                    for (place, value) in places.zip(&plane[row * y.width..]) {
                        *place = T::narrow(*value);
                    }
                } else {
                    places.for_each(|place| *place = T::ZERO);
                }
            }
        }
    });
}

/// Reads an image as `[c, h, w]`.
///
/// # Panics
/// If the view lies outside the arena.
pub(in crate::nn) fn take<T: Element>(arena: &[T], x: &View, team: Option<&Team>) -> Vec<f32> {
    x.assert_within(arena.len());
    let plane = x.height * x.width;
    let fill = |image: &mut [std::mem::MaybeUninit<f32>]| {
        let image = Shared::new(image);
        for_each_row(x.height, team, |row| {
            let pixels = &arena[x.at(row, 0)..][..(x.width - 1) * x.pixel + x.span()];
            let channels = x
                .segments
                .iter()
                .flat_map(|s| s.offset..s.offset + s.channels);
            for (c, channel) in channels.enumerate() {
                // SAFETY: a task alone writes its rows of all planes.
                let line = unsafe { image.slice(c * plane + row * x.width, x.width) };
                for (value, pixel) in line.iter_mut().zip(pixels.chunks(x.pixel)) {
                    value.write(pixel[channel].widen());
                }
            }
        });
    };
    // SAFETY: all rows of all planes are written.
    unsafe { filled(x.channels() * plane, fill) }
}

/// Lays `frame` pixels of zeros round an image of `height` x `width` pixels of
/// `pixel` values; `image` begins and ends with the frame.
pub(in crate::nn) fn clear_frame<T: Element>(
    image: &mut [T],
    (height, width): (usize, usize),
    pixel: usize,
    frame: usize,
) {
    let side = frame * pixel;
    for (i, row) in image
        .chunks_exact_mut((width + 2 * frame) * pixel)
        .enumerate()
    {
        if i < frame || i >= height + frame {
            row.fill(T::ZERO);
        } else {
            let end = row.len() - side;
            row[..side].fill(T::ZERO);
            row[end..].fill(T::ZERO);
        }
    }
}
