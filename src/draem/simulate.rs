//! Simulated defects: a good image in, a defective one and its mask out.
//!
//! DRAEM section 3.3. Half of the samples stay clean; the others get a defect
//! of one [`DefectKind`], drawn by the kinds' shares. In the paper all are
//! textures.

use super::source::{AnomalySource, Defect, DefectKind};
use super::vary::Variation;
use crate::random::Seed;
use ndarray::{Array2, Array3, ArrayView3};
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
    /// The edges of noise-shaped regions are smoothed 1 to this many times with `1 2 1`; 0 leaves
    /// them as sharp as pixels, which no photograph is.
    pub edge_blur: u32,
    /// Share of the good images that are turned before anything else.
    pub rotate_share: f64,
    /// ... by up to this many degrees either way.
    pub rotate_degrees: f32,
    /// Share of the good images whose left and right are changed over.
    pub mirror_share: f64,
    /// Share of the good images whose top and bottom are changed over.
    pub flip_share: f64,
    /// Good images are moved by up to this share of each side, either way; 0 leaves
    /// them in their place.
    pub shift: f32,
    /// Good images are made lighter or darker by a factor of up to 1 more than
    /// this; 0 leaves their tones.
    pub exposure: f32,
    /// Share of the defects filled with another good piece, displaced. What the
    /// shares of all kinds leave is filled with textures.
    pub displaced_share: f64,
    /// Share of the defects that change the tones of the piece itself.
    pub tone_share: f64,
    /// Share of the defects that are patches of other good pieces.
    pub cut_paste_share: f64,
    /// Share of the defects that are print without ink.
    pub ink_removal_share: f64,
    /// Share of the defects that are ink beside the print.
    pub ink_spill_share: f64,
    /// Share of the defects that are scratches and cracks.
    pub scratch_share: f64,
    /// Share of the defects that are stains.
    pub stain_share: f64,
    /// Share of the defects that are blurred.
    pub blur_share: f64,
    /// Share of the defects that show under some lights only.
    pub channel_share: f64,
    /// Share of the defects that are regions pulled out of shape.
    pub warp_share: f64,
    /// Share of the defects that are borders giving way.
    pub chip_share: f64,
}

impl Default for SimulationOptions {
    fn default() -> Self {
        Self {
            clean_share: 0.5,
            beta_max: 0.8,
            perlin_scales: 6,
            perlin_threshold: 0.5,
            edge_blur: 0,
            rotate_share: 0.3,
            rotate_degrees: 90.0,
            mirror_share: 0.0,
            flip_share: 0.0,
            shift: 0.0,
            exposure: 0.0,
            displaced_share: 0.0,
            tone_share: 0.0,
            cut_paste_share: 0.0,
            ink_removal_share: 0.0,
            ink_spill_share: 0.0,
            scratch_share: 0.0,
            stain_share: 0.0,
            blur_share: 0.0,
            channel_share: 0.0,
            warp_share: 0.0,
            chip_share: 0.0,
        }
    }
}

impl SimulationOptions {
    /// Which share of the defects is of this kind; textures take the rest.
    #[must_use]
    pub fn share(&self, kind: DefectKind) -> f64 {
        match kind {
            DefectKind::Texture => {
                let others = DefectKind::ALL.into_iter().skip(1);
                (1.0 - others.map(|kind| self.share(kind)).sum::<f64>()).max(0.0)
            }
            DefectKind::Displaced => self.displaced_share,
            DefectKind::Tone => self.tone_share,
            DefectKind::CutPaste => self.cut_paste_share,
            DefectKind::InkRemoval => self.ink_removal_share,
            DefectKind::InkSpill => self.ink_spill_share,
            DefectKind::Scratch => self.scratch_share,
            DefectKind::Stain => self.stain_share,
            DefectKind::Blur => self.blur_share,
            DefectKind::Channel => self.channel_share,
            DefectKind::Warp => self.warp_share,
            DefectKind::Chip => self.chip_share,
        }
    }

    fn draw_kind(&self, rng: &mut impl Rng) -> DefectKind {
        let mut left: f64 = rng.random();
        for kind in DefectKind::ALL.into_iter().skip(1) {
            left -= self.share(kind);
            if left < 0.0 {
                return kind;
            }
        }
        DefectKind::Texture
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
    /// How the piece was varied before.
    pub variation: Variation,
}

/// Makes one sample from a good image `[channels, height, width]` in `0..=1`,
/// which is varied first.
///
/// # Departures
/// The texture is turned and drawn over any number of channels (see
/// [`AnomalySource`]). A clean sample's image is the good image itself. Where a
/// piece does not allow the kind drawn, the defect is a texture.
#[must_use]
pub fn simulate(
    good: ArrayView3<'_, f32>,
    source: &AnomalySource,
    options: &SimulationOptions,
    seed: Seed,
) -> Simulated {
    let mut rng = seed.rng();
    let (_, height, width) = good.dim();
    let variation = Variation::draw(options, (height, width), &mut rng);
    let good = variation.of(good.to_owned());
    if rng.random_bool(options.clean_share) {
        return Simulated {
            defective: good.clone(),
            good,
            mask: Array2::from_elem((height, width), false),
            variation,
        };
    }
    let kind = options.draw_kind(&mut rng);
    let Defect { image, mask } = source
        .defect(kind, good.view(), options, &mut rng)
        .or_else(|| source.defect(DefectKind::Texture, good.view(), options, &mut rng))
        .expect("every piece allows a texture");
    Simulated {
        good,
        defective: image,
        mask,
        variation,
    }
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
    fn kinds_come_by_their_shares_and_textures_take_the_rest() {
        let options = SimulationOptions {
            stain_share: 0.2,
            blur_share: 0.5,
            ..options()
        };
        let mut rng = Seed::new(4).rng();
        let mut counts = [0; DefectKind::ALL.len()];
        for _ in 0..2000 {
            counts[options.draw_kind(&mut rng) as usize] += 1;
        }
        for kind in DefectKind::ALL {
            let (count, share) = (counts[kind as usize], options.share(kind));
            // Some four standard deviations.
            assert!(
                (count as f64 / 2000.0 - share).abs() < 0.045,
                "{}",
                kind.name()
            );
        }
        assert!((options.share(DefectKind::Texture) - 0.3).abs() < 1e-12);
    }

    #[test]
    fn where_print_is_lacking_a_texture_stands_in_for_ink() {
        let good = Array3::from_elem((1, 32, 32), 0.5);
        let options = SimulationOptions {
            clean_share: 0.0,
            ink_removal_share: 1.0,
            ..options()
        };
        let marked = (0..20).filter(|i| {
            let seed = Seed::new(*i);
            let s = simulate(good.view(), &AnomalySource::textures(), &options, seed);
            s.mask.iter().any(|m| *m)
        });
        assert!(marked.count() > 10);
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
