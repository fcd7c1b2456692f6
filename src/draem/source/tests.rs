//! What holds for every kind of defect.

use super::*;
use crate::random::Seed;
use rand::Rng;

/// A printed piece with some grain: bright ground, dark bars.
fn piece(channels: usize, height: usize, width: usize) -> Array3<f32> {
    let mut rng = Seed::new(9).rng();
    Array3::from_shape_fn((channels, height, width), |(c, y, x)| {
        let bar = y * 8 / height % 2 == 1 && (width / 5..width * 4 / 5).contains(&x);
        let inside = y > height / 10 && y < height * 9 / 10;
        let tone = if bar && inside { 0.25 } else { 0.75 };
        tone - 0.02 * c as f32 + 0.01 * rng.random::<f32>()
    })
}

fn all_alone(options: SimulationOptions) -> impl Iterator<Item = (DefectKind, SimulationOptions)> {
    DefectKind::ALL
        .into_iter()
        .map(move |kind| (kind, options.clone()))
}

#[test]
fn a_defect_lies_within_its_mask_and_its_range_whatever_channels_and_sides() {
    for (channels, height, width) in [(1, 33, 47), (3, 64, 64), (6, 61, 40)] {
        let good = piece(channels, height, width);
        let pieces = vec![good.clone(), good.mapv(|v| 1.0 - v)];
        let source = AnomalySource::textures().with_pieces(pieces.into());
        for (kind, options) in all_alone(SimulationOptions::default()) {
            let mut seen = 0;
            for i in 0..25 {
                let seed = Seed::new(1).derive(kind.name(), i);
                let defect = source.defect(kind, good.view(), &options, &mut seed.rng());
                let again = source.defect(kind, good.view(), &options, &mut seed.rng());
                assert_eq!(defect, again, "{}", kind.name());
                let Some(Defect { image, mask }) = defect else {
                    assert!(
                        kind == DefectKind::Channel && channels == 1,
                        "{}",
                        kind.name()
                    );
                    continue;
                };
                assert_eq!(image.dim(), good.dim());
                for ((c, y, x), v) in image.indexed_iter() {
                    assert!((0.0..=1.0).contains(v), "{}: {v}", kind.name());
                    assert!(
                        mask[[y, x]] || *v == good[[c, y, x]],
                        "{}: {y} {x}",
                        kind.name()
                    );
                }
                seen += usize::from(mask.iter().any(|m| *m));
            }
            let expected = !(kind == DefectKind::Channel && channels == 1);
            assert_eq!(seen > 5, expected, "{}: {seen}", kind.name());
        }
    }
}

#[test]
fn every_marked_pixel_of_what_is_no_texture_is_seen() {
    let good = piece(3, 64, 64);
    let source = AnomalySource::textures().with_pieces(vec![good.mapv(|v| 1.0 - v)].into());
    for (kind, options) in all_alone(SimulationOptions::default()).skip(1) {
        for i in 0..10 {
            let rng = &mut Seed::new(2).derive(kind.name(), i).rng();
            let Defect { image, mask } = source.defect(kind, good.view(), &options, rng).unwrap();
            for ((y, x), inside) in mask.indexed_iter() {
                let change = |c: usize| (image[[c, y, x]] - good[[c, y, x]]).abs();
                let most = (0..3).map(change).fold(0.0, f32::max);
                // Weakened by up to a half at the visible's edge.
                assert_eq!(*inside, most > 0.49 * visible::VISIBLE, "{}", kind.name());
            }
        }
    }
}

#[test]
fn a_piece_without_print_allows_no_ink_defect_and_all_others() {
    let flat = Array3::from_elem((2, 32, 32), 0.5);
    let source = AnomalySource::textures();
    for (kind, options) in all_alone(SimulationOptions::default()) {
        let rng = &mut Seed::new(3).rng();
        let defect = source.defect(kind, flat.view(), &options, rng);
        let ink = matches!(kind, DefectKind::InkRemoval | DefectKind::InkSpill);
        assert_eq!(defect.is_none(), ink, "{}", kind.name());
    }
}
