//! Simulated defects: a good image in, a defective one and its mask out.
//!
//! DRAEM section 3.3: Perlin noise is thresholded into a mask, the mask is
//! filled from a texture source under random augmentations, and blended with
//! opacity beta: `I_a = (1 - M) I + (1 - beta) M A + beta M I`. Half of the
//! samples stay clean.
//!
//! Textures teach what is foreign; a real defect is often something familiar in
//! the wrong place, or too light, or too dark. Half of the fillings are
//! therefore taken from another good piece, a little displaced, or from the
//! piece itself with other tones (`Filling`).

use super::augment::{augment, rotate};
use super::perlin::random_perlin;
use super::source::AnomalySource;
use crate::random::Seed;
use ndarray::{Array2, Array3, ArrayView3, Axis, Zip};
use rand::Rng;
use serde::{Deserialize, Serialize};

/// How defects are simulated. The defaults are the paper's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SimulationOptions {
    /// Share of the samples that stay clean.
    pub clean_share: f64,
    /// Upper end of the opacity's range `[0, beta_max)`; 0 hides the piece wholly.
    pub beta_max: f32,
    /// The noise lattice has `2^[0, perlin_scales)` cells on each axis.
    pub perlin_scales: u32,
    /// Noise above this is defect.
    pub perlin_threshold: f32,
    /// Share of the good images that are turned before anything else.
    pub rotate_share: f64,
    /// ... by up to this many degrees either way.
    pub rotate_degrees: f32,
    /// Share of the defects filled with another good piece, displaced.
    pub displaced_share: f64,
    /// Share of the defects that change the tones of the piece itself.
    pub tone_share: f64,
}

impl Default for SimulationOptions {
    fn default() -> Self {
        Self {
            clean_share: 0.5,
            beta_max: 0.8,
            perlin_scales: 6,
            perlin_threshold: 0.5,
            rotate_share: 0.3,
            rotate_degrees: 90.0,
            displaced_share: 0.0,
            tone_share: 0.0,
        }
    }
}

/// A training sample of the anomaly model.
#[derive(Debug, Clone, PartialEq)]
pub struct Simulated {
    /// The good image, `[channels, height, width]`: what is to be restored.
    pub good: Array3<f32>,
    /// The image with the simulated defect, same shape.
    pub defective: Array3<f32>,
    /// Where the defect is, `[height, width]`; all false if it stayed clean.
    pub mask: Array2<bool>,
}

/// Makes one sample from a good image `[channels, height, width]` in `0..=1`.
///
/// # Departures
/// The texture is turned and drawn over any number of channels (see
/// [`AnomalySource`]). A clean sample's image is the good image itself.
#[must_use]
pub fn simulate(
    good: ArrayView3<'_, f32>,
    source: &AnomalySource,
    options: &SimulationOptions,
    seed: Seed,
) -> Simulated {
    let mut rng = seed.rng();
    let (channels, height, width) = good.dim();
    let mut good = good.to_owned();
    if rng.random_bool(options.rotate_share) {
        let degrees = rng.random_range(-1.0..1.0) * options.rotate_degrees;
        for mut plane in good.axis_iter_mut(Axis(0)) {
            let turned = rotate(&plane.to_owned(), degrees);
            plane.assign(&turned);
        }
    }
    if rng.random_bool(options.clean_share) {
        return Simulated {
            defective: good.clone(),
            good,
            mask: Array2::from_elem((height, width), false),
        };
    }
    let filling = Filling::draw(source, options, &mut rng);
    let texture = match filling {
        Filling::Texture => {
            let mut texture = source.draw((channels, height, width), &mut rng);
            augment(&mut texture, &mut rng);
            texture
        }
        Filling::Displaced => source.displaced(good.view(), &mut rng),
        Filling::Tone => toned(&good, &mut rng),
    };
    let (mut mask, weight) = random_mask(height, width, filling, options, &mut rng);
    // A tone is weak by itself; it is not thinned further.
    let beta = match filling {
        Filling::Tone => 0.0,
        _ => rng.random::<f32>() * options.beta_max,
    };
    let mut defective = good.clone();
    for (mut plane, filling) in defective.outer_iter_mut().zip(texture.outer_iter()) {
        Zip::from(&mut plane)
            .and(&filling)
            .and(&weight)
            .for_each(|pixel, &filling, &weight| {
                let opacity = (1.0 - beta) * weight;
                *pixel = opacity * filling + (1.0 - opacity) * *pixel;
            });
    }
    // The paper's textures are foreign wherever they lie; a displaced piece and a
    // changed tone are a defect only where one sees them.
    if filling != Filling::Texture {
        for ((y, x), inside) in mask.indexed_iter_mut() {
            let change = |c: usize| (defective[[c, y, x]] - good[[c, y, x]]).abs();
            *inside &= (0..channels).any(|c| change(c) > VISIBLE);
        }
    }
    Simulated {
        good,
        defective,
        mask,
    }
}

/// A change of at most this much, in parts of white, is not marked as a defect:
/// some three times the noise of an image at the networks' size.
const VISIBLE: f32 = 0.03;

/// What a simulated defect is filled with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Filling {
    /// The source's texture, augmented: the paper's.
    Texture,
    /// Another good piece, moved by some pixels: print where there should be
    /// none, and none where there should be.
    Displaced,
    /// The piece itself, lighter, darker or flatter, in all channels or some:
    /// stains, dents, faint print.
    Tone,
}

impl Filling {
    fn draw(source: &AnomalySource, options: &SimulationOptions, rng: &mut impl Rng) -> Self {
        let at: f64 = rng.random();
        if at < options.displaced_share && source.has_pieces() {
            Self::Displaced
        } else if at < options.displaced_share + options.tone_share {
            Self::Tone
        } else {
            Self::Texture
        }
    }
}

/// The image with another gain and level in a random choice of channels, drawn
/// towards a flat tone by a random share.
fn toned(image: &Array3<f32>, rng: &mut impl Rng) -> Array3<f32> {
    let mut toned = image.clone();
    let all = rng.random_bool(0.6);
    let sign = if rng.random_bool(0.5) { 1.0 } else { -1.0 };
    let level = sign * rng.random_range(0.03..0.3f32);
    let flatten = if rng.random_bool(0.5) {
        rng.random::<f32>()
    } else {
        0.0
    };
    let certain = rng.random_range(0..image.dim().0);
    for (c, mut plane) in toned.axis_iter_mut(Axis(0)).enumerate() {
        if !(all || c == certain || rng.random_bool(0.4)) {
            continue;
        }
        // The bright tone of the plane: where print is missing, the rubber shows.
        let mut values: Vec<f32> = plane.iter().copied().collect();
        let place = values.len() * 7 / 10;
        let flat = *values.select_nth_unstable_by(place, f32::total_cmp).1;
        let level = level * rng.random_range(0.7..1.3f32);
        plane.mapv_inplace(|v| (v + flatten * (flat - v) + level).clamp(0.0, 1.0));
    }
    toned
}

/// Thresholded Perlin noise, turned by up to 90 degrees either way: where the
/// defect is, and how much of it shows at each pixel. A change of tone fades in
/// from its edge in half of the cases, everything else begins at once.
fn random_mask(
    height: usize,
    width: usize,
    filling: Filling,
    options: &SimulationOptions,
    rng: &mut impl Rng,
) -> (Array2<bool>, Array2<f32>) {
    let mut cells = || 1usize << rng.random_range(0..options.perlin_scales);
    let lattice = (cells(), cells());
    let noise = random_perlin(height, width, lattice, rng);
    let noise = rotate(&noise, rng.random_range(-90.0..90.0));
    let mask = noise.map(|&v| v > options.perlin_threshold);
    let weight = if filling == Filling::Tone && rng.random_bool(0.5) {
        noise.map(|&v| ((v - options.perlin_threshold) / 0.2).clamp(0.0, 1.0))
    } else {
        mask.map(|&inside| f32::from(u8::from(inside)))
    };
    (mask, weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> SimulationOptions {
        SimulationOptions {
            rotate_share: 0.0,
            ..SimulationOptions::default()
        }
    }

    #[test]
    fn about_half_of_the_samples_stay_clean_and_only_the_mask_changes() {
        let good = Array3::from_elem((6, 64, 64), 0.5);
        let source = AnomalySource::textures();
        let mut clean = 0;
        for i in 0..200 {
            let s = simulate(
                good.view(),
                &source,
                &options(),
                Seed::new(5).derive("t", i),
            );
            assert_eq!(s.good, good);
            clean += usize::from(s.defective == s.good);
            for channel in s.defective.outer_iter() {
                for (v, inside) in channel.iter().zip(&s.mask) {
                    assert!(*inside || *v == 0.5);
                    assert!((0.0..=1.0).contains(v));
                }
            }
        }
        assert!((80..=140).contains(&clean), "{clean}");
    }

    #[test]
    fn what_looks_as_before_is_not_marked() {
        // All pieces are alike: a displaced one changes nothing.
        let good = Array3::from_elem((2, 32, 32), 0.5);
        let source = AnomalySource::textures().with_pieces(vec![good.clone()].into());
        let options = SimulationOptions {
            clean_share: 0.0,
            displaced_share: 1.0,
            ..options()
        };
        for i in 0..20 {
            let s = simulate(good.view(), &source, &options, Seed::new(i));
            assert!(!s.mask.iter().any(|inside| *inside));
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_sample() {
        let good = Array3::from_shape_fn((3, 32, 32), |(c, y, x)| (c + y + x) as f32 / 70.0);
        let source = AnomalySource::textures();
        let of = |seed| simulate(good.view(), &source, &SimulationOptions::default(), seed);
        assert_eq!(of(Seed::new(1)), of(Seed::new(1)));
        assert_ne!(of(Seed::new(1)).defective, of(Seed::new(2)).defective);
    }
}
