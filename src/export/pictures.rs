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

/// What kind of pictures they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pictures {
    /// Fresh synthetic erasers.
    Erasers,
    /// Blocks of random brightness.
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
                let (channels, side) = (format.channels.len(), 1 << rng.random_range(0..5));
                let blocks = (channels, height.div_ceil(side), width.div_ceil(side));
                let level: f32 = rng.random();
                let blocks = Array3::from_shape_simple_fn(blocks, || {
                    0.5 * level + 0.5 * rng.random::<f32>()
                });
                Image::new(Array3::from_shape_fn(
                    (channels, height, width),
                    |(c, y, x)| blocks[[c, y / side, x / side]],
                ))
            }
        }
    }
}
