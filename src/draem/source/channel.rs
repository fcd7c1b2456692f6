//! A defect that shows under some of the lights only.

use super::{AnomalySource, DefectKind, SimulationOptions};
use ndarray::{Array3, ArrayView3, Axis};
use rand::Rng;
use rand::seq::index::sample;

/// What may show under one light alone.
const KINDS: [DefectKind; 5] = [
    DefectKind::Stain,
    DefectKind::Scratch,
    DefectKind::Tone,
    DefectKind::Displaced,
    DefectKind::Texture,
];

/// The piece with a defect of another kind in one channel, at times in more, but
/// never in all; `None` if there is only one.
pub fn under_some_lights(
    source: &AnomalySource,
    good: ArrayView3<'_, f32>,
    options: &SimulationOptions,
    rng: &mut impl Rng,
) -> Option<Array3<f32>> {
    let channels = good.dim().0;
    if channels < 2 {
        return None;
    }
    let lit = if rng.random_bool(0.7) {
        1
    } else {
        rng.random_range(1..channels)
    };
    let lit = sample(rng, channels, lit).into_vec();
    let kind = KINDS[rng.random_range(0..KINDS.len())];
    // `good` has several channels and none of these kinds asks for more.
    let everywhere = source.change(kind, good, options, rng)?;
    let mut out = good.to_owned();
    for c in lit {
        out.index_axis_mut(Axis(0), c)
            .assign(&everywhere.index_axis(Axis(0), c));
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Seed;

    #[test]
    fn at_least_one_light_shows_nothing() {
        let good = Array3::from_shape_fn((4, 32, 32), |(c, y, x)| ((c + y + x) % 9) as f32 / 9.0);
        let source = AnomalySource::textures();
        let options = SimulationOptions::default();
        for seed in 0..40 {
            let rng = &mut Seed::new(seed).rng();
            let out = under_some_lights(&source, good.view(), &options, rng).unwrap();
            let same = |c| out.index_axis(Axis(0), c) == good.index_axis(Axis(0), c);
            assert!((0..4).any(same));
        }
        let grey = good.slice(ndarray::s![..1, .., ..]);
        let rng = &mut Seed::new(0).rng();
        assert!(under_some_lights(&source, grey, &options, rng).is_none());
    }
}
