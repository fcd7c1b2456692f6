//! Harmless variation of the good pieces: what a piece may look like without
//! being defective. Few pieces then stand for many.
//!
//! The published code turns some of the pieces. Mirror images, other places and
//! other exposures are ours, off unless set: a print has one right way round.

use super::augment::rotate;
use super::simulate::SimulationOptions;
use ndarray::{Array2, Array3, Axis, Slice, s};
use rand::Rng;

/// One variation, the same for all channels of a piece.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Variation {
    /// Turned by so many degrees, if at all.
    turned: Option<f32>,
    /// Left and right changed over.
    mirrored: bool,
    /// Top and bottom changed over.
    flipped: bool,
    /// Moved down and to the right by so many pixels.
    moved: (i32, i32),
    /// Factor of all tones.
    gain: f32,
}

impl Variation {
    /// The piece as it is.
    pub const NONE: Self = Self {
        turned: None,
        mirrored: false,
        flipped: false,
        moved: (0, 0),
        gain: 1.0,
    };

    /// Draws one for pieces `height` x `width`.
    pub fn draw(
        options: &SimulationOptions,
        (height, width): (usize, usize),
        rng: &mut impl Rng,
    ) -> Self {
        let turned = rng
            .random_bool(options.rotate_share)
            .then(|| rng.random_range(-1.0..1.0) * options.rotate_degrees);
        // Without a share nothing is drawn: the same seed then makes the same
        // samples as before there were these options.
        let mut happens = |share: f64| share > 0.0 && rng.random_bool(share);
        let (mirrored, flipped) = (happens(options.mirror_share), happens(options.flip_share));
        let gain = match options.exposure > 0.0 {
            true => (1.0 + options.exposure).powf(rng.random_range(-1.0..1.0)),
            false => 1.0,
        };
        let mut along = |side: usize| match (options.shift * side as f32).round() as i32 {
            0 => 0,
            most => rng.random_range(-most..=most),
        };
        Self {
            turned,
            mirrored,
            flipped,
            moved: (along(height), along(width)),
            gain,
        }
    }

    /// The piece `[channels, height, width]` in `0..=1`, varied; too light tones
    /// become white, and where a moved piece leaves room its border goes on.
    #[must_use]
    pub fn of(self, mut piece: Array3<f32>) -> Array3<f32> {
        if let Some(degrees) = self.turned {
            for mut plane in piece.axis_iter_mut(Axis(0)) {
                let turned = rotate(&plane.to_owned(), degrees);
                plane.assign(&turned);
            }
        }
        for (changed, axis) in [(self.mirrored, 2), (self.flipped, 1)] {
            if changed {
                let back = Slice::new(0, None, -1);
                piece = piece.slice_axis(Axis(axis), back).to_owned();
            }
        }
        if self.moved != (0, 0) {
            piece = moved(&piece, self.moved);
        }
        if self.gain != 1.0 {
            piece.mapv_inplace(|v| (v * self.gain).min(1.0));
        }
        piece
    }

    /// Where a region of the piece, `[height, width]`, lies afterwards.
    #[must_use]
    pub fn of_region(self, region: &Array2<bool>) -> Array2<bool> {
        let plane = region.map(|&inside| f32::from(u8::from(inside)));
        let moved = Self { gain: 1.0, ..self }.of(plane.insert_axis(Axis(0)));
        moved.index_axis(Axis(0), 0).map(|&share| share > 0.5)
    }
}

/// A piece `[channels, height, width]` moved down and to the right, in whole pixels, which keep it
/// sharp; its border goes on where it leaves room.
pub(super) fn moved(piece: &Array3<f32>, (down, right): (i32, i32)) -> Array3<f32> {
    let (_, height, width) = piece.dim();
    let by = (right.unsigned_abs() as usize).min(width);
    let mut out = Array3::zeros(piece.dim());
    for (from, mut to) in piece.outer_iter().zip(out.outer_iter_mut()) {
        for (y, row) in to.outer_iter_mut().enumerate() {
            let source = from.row(y.saturating_add_signed(-down as isize).min(height - 1));
            if right >= 0 {
                let (mut room, mut kept) = row.split_at(Axis(0), by);
                kept.assign(&source.slice(s![..width - by]));
                room.fill(source[0]);
            } else {
                let (mut kept, mut room) = row.split_at(Axis(0), width - by);
                kept.assign(&source.slice(s![by..]));
                room.fill(source[width - 1]);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Seed;

    fn piece() -> Array3<f32> {
        Array3::from_shape_fn((2, 3, 4), |(c, y, x)| (c * 12 + y * 4 + x) as f32 / 23.0)
    }

    #[test]
    fn mirrored_and_flipped_pieces_are_the_same_pixels_in_another_order() {
        let piece = piece();
        let mirrored = Variation {
            mirrored: true,
            ..Variation::NONE
        };
        let flipped = Variation {
            flipped: true,
            ..Variation::NONE
        };
        let (left, down) = (mirrored.of(piece.clone()), flipped.of(piece.clone()));
        for ((c, y, x), v) in piece.indexed_iter() {
            assert_eq!(left[[c, y, 3 - x]], *v);
            assert_eq!(down[[c, 2 - y, x]], *v);
        }
        assert_eq!(Variation::NONE.of(piece.clone()), piece);
    }

    #[test]
    fn a_moved_piece_keeps_its_pixels_and_its_border_goes_on() {
        let piece = piece();
        let variation = Variation {
            moved: (1, -2),
            ..Variation::NONE
        };
        let moved = variation.of(piece.clone());
        for ((c, y, x), v) in moved.indexed_iter() {
            assert_eq!(*v, piece[[c, y.max(1) - 1, (x + 2).min(3)]]);
        }
        let region = Array2::from_shape_fn((3, 4), |(y, x)| y == 1 && x == 2);
        let expected = Array2::from_shape_fn((3, 4), |(y, x)| y == 2 && x == 0);
        assert_eq!(variation.of_region(&region), expected);
    }

    #[test]
    fn pieces_are_moved_by_up_to_the_share_of_each_side() {
        let options = SimulationOptions {
            shift: 0.05,
            ..SimulationOptions::default()
        };
        let rng = &mut Seed::new(3).rng();
        let mut seen = [[0; 7], [0; 7]];
        for _ in 0..700 {
            // 2.0 and 3.2 pixels at most.
            let (down, right) = Variation::draw(&options, (40, 64), rng).moved;
            seen[0][(down + 3) as usize] += 1;
            seen[1][(right + 3) as usize] += 1;
        }
        assert_eq!((seen[0][0], seen[0][6]), (0, 0));
        assert!(
            seen[0][1..6].iter().all(|n| (100..180).contains(n)),
            "{seen:?}"
        );
        assert!(seen[1].iter().all(|n| (65..140).contains(n)), "{seen:?}");
    }

    #[test]
    fn a_region_moves_with_its_piece_and_knows_no_exposure() {
        let region = Array2::from_shape_fn((3, 4), |(y, x)| y == 0 && x < 2);
        let variation = Variation {
            mirrored: true,
            flipped: true,
            gain: 0.4,
            ..Variation::NONE
        };
        let expected = Array2::from_shape_fn((3, 4), |(y, x)| y == 2 && x >= 2);
        assert_eq!(variation.of_region(&region), expected);
    }

    #[test]
    fn exposures_lie_in_their_range_and_shares_are_kept() {
        let options = SimulationOptions {
            rotate_share: 0.0,
            mirror_share: 0.25,
            flip_share: 1.0,
            exposure: 0.5,
            ..SimulationOptions::default()
        };
        let rng = &mut Seed::new(8).rng();
        let drawn: Vec<_> = (0..1000)
            .map(|_| Variation::draw(&options, (3, 4), rng))
            .collect();
        let mirrored = drawn.iter().filter(|v| v.mirrored).count();
        assert!((200..300).contains(&mirrored), "{mirrored}");
        assert!(drawn.iter().all(|v| v.flipped && v.turned.is_none()));
        let gains = || drawn.iter().map(|v| v.gain);
        assert!(gains().all(|g| (1.0 / 1.5..=1.5).contains(&g)));
        let darker = gains().filter(|g| *g < 1.0).count();
        assert!((430..570).contains(&darker), "{darker}");
        let white = drawn.iter().map(|v| v.of(piece()));
        assert!(white.flatten().all(|v| (0.0..=1.0).contains(&v)));
    }

    #[test]
    fn nothing_is_drawn_for_what_is_off() {
        let options = SimulationOptions::default();
        let (mut one, mut other) = (Seed::new(5).rng(), Seed::new(5).rng());
        for _ in 0..50 {
            let turned = Variation::draw(&options, (64, 64), &mut one);
            let expected = other
                .random_bool(options.rotate_share)
                .then(|| other.random_range(-1.0..1.0) * options.rotate_degrees);
            assert_eq!(turned.turned, expected);
            assert_eq!((turned.moved, turned.gain), ((0, 0), 1.0));
        }
    }
}
