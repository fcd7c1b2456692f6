//! Pictures of made-up surfaces: a hundred-odd texture families (what the
//! surface is) crossed with ten surface events (what befell it).
//!
//! A picture is drawn at the size it is learnt at, in a frame turned, shifted
//! and scaled at random, so no crop, flip or rotation has to follow; what a
//! camera adds follows in `finish`. Everything descends from the
//! picture's own seed: pictures can be made in any order, on any thread.

mod event;
mod family;
mod finish;
mod noise;
mod plane;
mod print;
mod surface;

pub use event::Event;
pub use family::{FAMILIES, Family};

use crate::random::Seed;
use rand::Rng;
use rayon::prelude::*;

/// One picture and its two classes.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// `[3, side, side]`, in `0..=1`.
    pub pixels: Vec<f32>,
    /// Index into [`FAMILIES`].
    pub family: usize,
    /// What can be seen to have befallen the surface.
    pub event: Event,
}

/// Makes picture `index` of the endless row that descends from `seed`.
///
/// The family is drawn evenly; one picture in four is meant to be without an
/// event, the others share the events evenly. `side` is in pixels, at
/// least 32.
#[must_use]
pub fn picture(seed: &Seed, index: u64, side: usize) -> Picture {
    let mut rng = seed.derive("picture", index).rng();
    let family = rng.random_range(0..FAMILIES.len());
    let event = if rng.random_bool(0.25) {
        Event::None
    } else {
        Event::ALL[rng.random_range(1..Event::ALL.len())]
    };
    picture_of(family, event, side, &mut rng)
}

/// Makes a picture of a family (index into [`FAMILIES`]) with an event.
#[must_use]
pub fn picture_of(family: usize, event: Event, side: usize, rng: &mut impl Rng) -> Picture {
    let mut plane = surface::draw(FAMILIES[family].surface, side, rng);
    let (event, mask) = event::befall(event, &mut plane, rng);
    Picture {
        pixels: finish::develop(plane, &mask, rng),
        family,
        event,
    }
}

/// Pictures `first..first + count`, made in parallel.
#[must_use]
pub fn pictures(seed: &Seed, first: u64, count: usize, side: usize) -> Vec<Picture> {
    (0..count as u64)
        .into_par_iter()
        .map(|i| picture(seed, first + i, side))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_picture_alone_or_among_others() {
        let seed = Seed::new(11);
        let row = pictures(&seed, 40, 6, 64);
        assert_eq!(row[3], picture(&seed, 43, 64));
        assert_ne!(row[3], row[4]);
    }

    #[test]
    fn every_family_and_event_gives_a_picture_within_range() {
        for (family, _) in FAMILIES.iter().enumerate() {
            for event in Event::ALL {
                let seed = Seed::new(family as u64).derive(event.name(), 0);
                let picture = picture_of(family, event, 40, &mut seed.rng());
                assert_eq!(picture.pixels.len(), 3 * 40 * 40);
                assert!(
                    picture.pixels.iter().all(|v| (0.0..=1.0).contains(v)),
                    "{} {}",
                    FAMILIES[family].name,
                    event.name()
                );
            }
        }
    }
}
