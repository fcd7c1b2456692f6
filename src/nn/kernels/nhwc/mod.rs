//! Loops of the inference engine, channels last: the values of a pixel lie
//! side by side, so that a vector holds one pixel's neighbouring channels and
//! a convolution needs no rearrangement of its input.
//!
//! All images of a pass live in one arena, of `f32` or of bfloat16. A [`View`] says where an
//! image lies in it: inside a frame of zeros (the padding of the convolutions
//! that read it), or among the channels of a concatenation, which is therefore
//! never copied together. Channels are filled up to whole groups of
//! [`GROUP`]; the fillers are always 0.

pub(in crate::nn) mod bfloat16;
pub(in crate::nn) mod conv;
mod element;
pub(in crate::nn) mod pool;
mod tile;
pub(in crate::nn) mod transfer;
pub(in crate::nn) mod upsample;
pub(in crate::nn) mod winograd;

use super::buffer::Shared;
use super::team::Team;
pub(in crate::nn) use element::Element;

/// Channels are stored in groups of this many: the shortest vector.
pub(in crate::nn) const GROUP: usize = 8;

/// Neighbouring channels of a view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::nn) struct Segment {
    /// From the first channel of the view, in values.
    pub offset: usize,
    /// Without fillers.
    pub channels: usize,
}

/// Where an image lies in the arena.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::nn) struct View {
    /// Index of the first channel of the pixel at the top left, the frame not
    /// counted.
    pub start: usize,
    /// Values from a pixel to the one below.
    pub row: usize,
    /// Values from a pixel to the next.
    pub pixel: usize,
    pub height: usize,
    pub width: usize,
    /// Pixels of zeros on each side.
    pub frame: usize,
    /// More than one in a concatenation whose parts end in fillers.
    pub segments: Vec<Segment>,
}

impl View {
    /// Channels without fillers.
    pub fn channels(&self) -> usize {
        self.segments.iter().map(|s| s.channels).sum()
    }

    /// Values of a pixel, fillers counted.
    pub fn span(&self) -> usize {
        let last = self.segments.last().expect("a view has channels");
        last.offset + last.channels.next_multiple_of(GROUP)
    }

    /// First and last value, the frame included.
    fn extent(&self) -> (usize, usize) {
        let before = self.frame * (self.row + self.pixel);
        assert!(before <= self.start);
        let last = self.start
            + (self.height - 1 + self.frame) * self.row
            + (self.width - 1 + self.frame) * self.pixel
            + self.span()
            - 1;
        (self.start - before, last)
    }

    /// Panics unless the view, its frame included, lies within `len` values:
    /// what the unchecked loops rest on.
    fn assert_within(&self, len: usize) {
        assert!(self.height > 0 && self.width > 0);
        assert!(self.pixel >= self.span() && self.row.is_multiple_of(self.pixel));
        let in_order = |pair: &[Segment]| pair[0].offset + pair[0].channels <= pair[1].offset;
        assert!(self.segments.windows(2).all(in_order));
        assert!(self.row >= (self.width + 2 * self.frame) * self.pixel);
        assert!(self.extent().1 < len);
    }

    /// Panics unless what is written to `self` leaves `other` as it is: they
    /// lie apart, or are different channels of one concatenation.
    fn assert_apart(&self, other: &Self) {
        let (low, high) = if self.start <= other.start {
            (self, other)
        } else {
            (other, self)
        };
        let interleaved = low.row == high.row
            && low.pixel == high.pixel
            && low.start + low.span() <= high.start
            && high.start + high.span() <= low.start + low.pixel;
        assert!(low.extent().1 < high.extent().0 || interleaved);
    }

    /// Index of the first channel of a pixel within the image.
    fn at(&self, y: usize, x: usize) -> usize {
        self.start + y * self.row + x * self.pixel
    }
}

/// The memory of one pass, which the threads of a step share.
#[derive(Clone, Copy)]
struct Arena<T = f32> {
    values: Shared<T>,
}

impl<T: Element> Arena<T> {
    fn new(values: &mut [T]) -> Self {
        Self {
            values: Shared::over(values),
        }
    }

    /// Values `index .. index + len`, to read.
    ///
    /// # Safety
    /// The arena is still borrowed, and no thread writes these values.
    unsafe fn read<'a>(self, index: usize, len: usize) -> &'a [T] {
        // SAFETY: within the arena (asserted by `at`), and not written, as the
        // caller promises.
        unsafe { std::slice::from_raw_parts(self.values.at(index, len), len) }
    }

    /// Values `index .. index + len`, to write.
    ///
    /// # Safety
    /// The arena is still borrowed, and no other thread uses these values.
    unsafe fn write<'a>(self, index: usize, len: usize) -> &'a mut [T] {
        // SAFETY: as for `read`, and used by nobody else.
        unsafe { std::slice::from_raw_parts_mut(self.values.at(index, len), len) }
    }
}

/// Calls `work` with `0..tasks`, shared by a team or in turn.
fn for_each(tasks: usize, team: Option<&Team>, work: impl Fn(usize) + Sync) {
    match team {
        Some(team) if tasks > 1 => team.for_each(tasks, &work),
        _ => (0..tasks).for_each(work),
    }
}
