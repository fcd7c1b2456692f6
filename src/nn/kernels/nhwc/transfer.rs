//! Images into the arena and out of it, `[c, h, w]` outside.

use super::{Element, GROUP, View};

/// Writes an image `[c, h, w]`, fillers 0.
///
/// # Panics
/// If it has another size than the view, or the view lies outside the arena.
pub(in crate::nn) fn put<T: Element>(arena: &mut [T], image: &[f32], y: &View) {
    let plane = y.height * y.width;
    assert_eq!(image.len(), y.channels() * plane);
    y.assert_within(arena.len());
    let mut channel = 0;
    for segment in &y.segments {
        let planes = &image[channel * plane..][..segment.channels * plane];
        let stored = segment.channels.next_multiple_of(GROUP);
        for row in 0..y.height {
            for column in 0..y.width {
                let pixel = &mut arena[y.at(row, column) + segment.offset..][..stored];
                let at = row * y.width + column;
                let (values, fillers) = pixel.split_at_mut(segment.channels);
                for (c, value) in values.iter_mut().enumerate() {
                    *value = T::narrow(planes[c * plane + at]);
                }
                fillers.fill(T::ZERO);
            }
        }
        channel += segment.channels;
    }
}

/// Reads an image as `[c, h, w]`.
///
/// # Panics
/// If the view lies outside the arena.
pub(in crate::nn) fn take<T: Element>(arena: &[T], x: &View) -> Vec<f32> {
    x.assert_within(arena.len());
    let plane = x.height * x.width;
    let mut image = vec![0.0; x.channels() * plane];
    let mut channel = 0;
    for segment in &x.segments {
        let planes = &mut image[channel * plane..][..segment.channels * plane];
        for row in 0..x.height {
            for column in 0..x.width {
                let pixel = &arena[x.at(row, column) + segment.offset..][..segment.channels];
                let at = row * x.width + column;
                for (c, value) in pixel.iter().enumerate() {
                    planes[c * plane + at] = value.widen();
                }
            }
        }
        channel += segment.channels;
    }
    image
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
