//! Pictures to check an export on, where no real ones are at hand.

use crate::data::format::PixelFormat;
use crate::data::image::Image;
use crate::data::sample::Channel;
use crate::error::Result;
use crate::pipeline::inspector::channels_for;
use crate::random::Seed;
use crate::synth::{self, SIZE, SynthOptions};
use ndarray::Array3;
use rand::Rng;
use std::f32::consts::TAU;

/// What kind of pictures they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pictures {
    /// Fresh synthetic erasers.
    Erasers,
    /// Gentle waves. Rougher pictures are unlike anything a network was trained
    /// on; single precision's rounding then grows beyond the check's tolerance
    /// in every runtime.
    Random,
}

/// What fits a format: erasers, if its channels are among those of the eraser
/// camera and pieces may have that size.
#[must_use]
pub fn of_format(format: &PixelFormat, pieces: Option<(usize, usize)>) -> Pictures {
    let eraser = Channel::eraser();
    let fits = format.channels.iter().all(|c| eraser.contains(c));
    match fits && pieces.is_none_or(|size| size == (SIZE, SIZE)) {
        true => Pictures::Erasers,
        false => Pictures::Random,
    }
}

impl Pictures {
    /// Their name for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Erasers => "fresh synthetic erasers",
            Self::Random => "random pictures",
        }
    }

    /// Picture number `index` in this format, `[channels, height, width]`.
    ///
    /// # Errors
    /// [`crate::Error::Channels`] for erasers in channels that they do not have.
    pub fn draw(
        self,
        format: &PixelFormat,
        (height, width): (usize, usize),
        seed: Seed,
        index: u64,
    ) -> Result<Image> {
        match self {
            Self::Erasers => {
                let piece = synth::piece(&SynthOptions::default(), seed, index);
                let image = Image::new(piece.pixels.mapv(|v| f32::from(v) / 255.0))?;
                channels_for(&image, &PixelFormat::new(Channel::eraser()), format)
            }
            Self::Random => {
                let mut rng = seed.derive("random picture", index).rng();
                let level = rng.random_range(0.2..0.8);
                let mut pixels = Array3::zeros((format.channels.len(), height, width));
                for mut plane in pixels.outer_iter_mut() {
                    let level: f32 = level + rng.random_range(-0.1..0.1);
                    let [down, across] = [height, width].map(|side| {
                        let waves: f32 = rng.random_range(-3.0..3.0);
                        TAU * waves / side as f32
                    });
                    let phase = rng.random_range(0.0..TAU);
                    for ((y, x), value) in plane.indexed_iter_mut() {
                        let wave = (down * y as f32 + across * x as f32 + phase).sin();
                        *value = (level + 0.1 * wave).clamp(0.0, 1.0);
                    }
                }
                Image::new(pixels)
            }
        }
    }
}
