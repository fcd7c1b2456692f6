//! Harmless variation of the good pieces: what a piece may look like without
//! being defective. Few pieces then stand for many.
//!
//! The published code turns some of the pieces. Mirror images and other
//! exposures are ours, off unless set: a print has one right way round.

use super::augment::rotate;
use super::simulate::SimulationOptions;
use ndarray::{Array2, Array3, Axis, Slice};
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
    /// Factor of all tones.
    gain: f32,
}

impl Variation {
    /// The piece as it is.
    pub const NONE: Self = Self {
        turned: None,
        mirrored: false,
        flipped: false,
        gain: 1.0,
    };

    /// Draws one.
    pub fn draw(options: &SimulationOptions, rng: &mut impl Rng) -> Self {
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
        Self {
            turned,
            mirrored,
            flipped,
            gain,
        }
    }

    /// The piece `[channels, height, width]` in `0..=1`, varied; too light tones
    /// become white.
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
        let drawn: Vec<_> = (0..1000).map(|_| Variation::draw(&options, rng)).collect();
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
            let turned = Variation::draw(&options, &mut one);
            let expected = other
                .random_bool(options.rotate_share)
                .then(|| other.random_range(-1.0..1.0) * options.rotate_degrees);
            assert_eq!(turned.turned, expected);
            assert_eq!(turned.gain, 1.0);
        }
    }
}
