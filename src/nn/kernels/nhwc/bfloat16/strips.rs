//! An output cut into strips of 16 pixels.

use super::STRIP;
use std::ops::Range;

/// Which of a strip's pixels are output pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    /// The first one's place in the strip.
    pub first: usize,
    pub pixels: usize,
    pub row: usize,
    pub column: usize,
}

/// How an output of `height` x `width` is cut into strips.
#[derive(Debug, Clone, Copy)]
pub(super) struct Strips {
    height: usize,
    width: usize,
    /// Pixels from a row to the next in the input, in steps of the stride.
    pitch: usize,
    /// Strips of a row; `None` where they go on over the ends of rows.
    per_row: Option<usize>,
    /// Whether strips are of output pixels alone, wherever they lie.
    scattered: bool,
}

impl Strips {
    pub(super) fn new((height, width): (usize, usize), pitch: usize, scattered: bool) -> Self {
        let per_row = width.div_ceil(STRIP);
        let mut strips = Self {
            height,
            width,
            pitch,
            per_row: None,
            scattered,
        };
        if !scattered && per_row * height <= strips.count() {
            strips.per_row = Some(per_row);
        }
        strips
    }

    /// Pixels from a row to the next, as strips count them.
    fn along(&self) -> usize {
        if self.scattered {
            self.width
        } else {
            self.pitch
        }
    }

    pub(super) fn count(&self) -> usize {
        match self.per_row {
            Some(per_row) => per_row * self.height,
            None => ((self.height - 1) * self.along() + self.width).div_ceil(STRIP),
        }
    }

    /// Number of a strip's first pixel, as strips count them.
    fn number(&self, strip: usize) -> usize {
        match self.per_row {
            Some(per_row) => strip / per_row * self.along() + strip % per_row * STRIP,
            None => strip * STRIP,
        }
    }

    /// The output pixels of a strip.
    pub(super) fn runs(&self, strip: usize) -> impl Iterator<Item = Run> + use<> {
        let Self { height, width, .. } = *self;
        let along = self.along();
        let number = self.number(strip);
        let last = match self.per_row {
            Some(_) => number / along,
            None => (number + STRIP - 1) / along,
        };
        (number / along..=last.min(height - 1)).filter_map(move |row| {
            let from = number.max(row * along);
            let to = (number + STRIP).min(row * along + width);
            (from < to).then(|| Run {
                first: from - number,
                pixels: to - from,
                row,
                column: from - row * along,
            })
        })
    }

    /// Place of the last pixel that is read, counted through the input's rows.
    pub(super) fn last(&self) -> usize {
        if self.scattered {
            (self.height - 1) * self.pitch + self.width - 1
        } else {
            self.number(self.count() - 1) + STRIP - 1
        }
    }

    /// Where the pixels of some strips lie, `step` values from one to the next:
    /// the beginning of `places`, 16 for each strip but the last scattered one.
    pub(super) fn places<'a>(
        &self,
        strips: Range<usize>,
        step: usize,
        places: &'a mut [usize],
    ) -> &'a [usize] {
        let mut count = 0;
        let mut run = |first: usize, pixels: usize| {
            for (i, place) in places[count..count + pixels].iter_mut().enumerate() {
                *place = (first + i) * step;
            }
            count += pixels;
        };
        for strip in strips {
            if self.scattered {
                for part in self.runs(strip) {
                    run(part.row * self.pitch + part.column, part.pixels);
                }
            } else {
                run(self.number(strip), STRIP);
            }
        }
        &places[..count]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn strips_hold_every_output_pixel_once_at_its_place(
            height in 1..40usize, width in 1..40usize, frame in 0..4usize,
            step in 1..20usize, scattered: bool,
        ) {
            let pitch = width + frame;
            let strips = Strips::new((height, width), pitch, scattered);
            let mut room = vec![0; strips.count() * STRIP];
            let places = strips.places(0..strips.count(), step, &mut room);
            let mut seen = vec![0; height * width];
            for strip in 0..strips.count() {
                for run in strips.runs(strip) {
                    for i in 0..run.pixels {
                        let (row, column) = (run.row, run.column + i);
                        seen[row * width + column] += 1;
                        let place = places[strip * STRIP + run.first + i];
                        prop_assert_eq!(place, (row * pitch + column) * step);
                    }
                }
            }
            prop_assert!(seen.iter().all(|times| *times == 1));
            prop_assert_eq!(places.iter().max(), Some(&(strips.last() * step)));
            if scattered {
                prop_assert_eq!(places.len(), height * width);
            }
        }
    }
}
