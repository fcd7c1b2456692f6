use super::*;
use crate::random::Seed;
use crate::synth::{SynthOptions, pack};
use ndarray::s;

/// Pack number `index` as an image, and the box of each eraser: left, top,
/// width, height.
fn synthetic(index: u64) -> (Image, Vec<[f64; 4]>, Vec<f64>) {
    let pack = pack(&SynthOptions::default(), Seed::new(5), index);
    let image = Image::new(pack.pixels.mapv(|v| f32::from(v) / 255.0)).unwrap();
    let boxes = pack.members.iter().map(|m| m.bounds.map(|v| v as f64));
    let angles = pack.members.iter().map(|m| f64::from(m.angle));
    (image, boxes.collect(), angles.collect())
}

/// The upright box of a place: packs lie nearly straight, and corners are round.
fn bounds(place: &OrientedBox) -> [f64; 4] {
    let [w, h] = place.side;
    let [x, y] = place.centre.map(|c| c + 0.5);
    [x - w / 2.0, y - h / 2.0, w, h]
}

/// Intersection over union of two upright boxes.
fn overlap(a: [f64; 4], b: [f64; 4]) -> f64 {
    let shared = |i: usize| {
        let end = (a[i] + a[i + 2]).min(b[i] + b[i + 2]);
        (end - a[i].max(b[i])).max(0.0)
    };
    let both = shared(0) * shared(1);
    both / (a[2] * a[3] + b[2] * b[3] - both)
}

#[test]
fn all_erasers_of_synthetic_packs_are_found_where_they_lie() {
    for index in 0..2 {
        let (picture, boxes, angles) = synthetic(index);
        let found = take_apart(&picture, 15);
        assert_eq!(found.problem, None, "pack {index}");
        for ((piece, truth), angle) in found.pieces.iter().zip(&boxes).zip(&angles) {
            let iou = overlap(bounds(&piece.place), *truth);
            assert!(iou > 0.93, "pack {index} piece {}: {iou}", piece.number);
            let off = (piece.place.angle - angle).abs();
            assert!(
                off < 1.0,
                "pack {index} piece {}: {off} degrees",
                piece.number
            );
        }
    }
}

#[test]
fn one_channel_is_enough_and_a_missing_eraser_is_named() {
    let (picture, boxes, _) = synthetic(1);
    let mut grey = picture.pixels().slice(s![0..1, .., ..]).to_owned();
    assert_eq!(
        take_apart(&Image::new(grey.clone()).unwrap(), 15).problem,
        None
    );
    // The middle one taken away: belt where it lay.
    let [x, y, w, h] = boxes[7].map(|v| v as usize);
    grey.slice_mut(s![.., y - 2..y + h + 2, x - 2..x + w + 2])
        .fill(0.09);
    let found = take_apart(&Image::new(grey).unwrap(), 15);
    assert_eq!(
        found.problem.unwrap(),
        "14 of 15 pieces found; none at row 2 column 3"
    );
    assert_eq!(found.pieces[7].number, 9);
}

#[test]
fn a_crop_is_upright_centred_and_of_the_scale_asked_for() {
    // A bright square of side 60 on dark ground, turned by 10 degrees, with a
    // dark corner.
    let (sin, cos) = 10f64.to_radians().sin_cos();
    let plane = ndarray::Array3::from_shape_fn((2, 200, 240), |(channel, y, x)| {
        let (dx, dy) = (x as f64 - 110.0, y as f64 - 90.0);
        let (u, v) = (cos * dx + sin * dy, cos * dy - sin * dx);
        let inside = u.abs() <= 30.0 && v.abs() <= 30.0;
        let corner = u < -10.0 && v < -10.0 && u > -20.0 && v > -20.0;
        match (inside, corner, channel) {
            (true, false, 0) => 0.9,
            (true, false, _) => 0.5,
            _ => 0.1,
        }
    });
    let picture = Image::new(plane).unwrap();
    let found = take_apart(&picture, 1);
    assert_eq!(found.problem, None);
    let place = found.pieces[0].place;
    assert!((place.angle - 10.0).abs() < 0.8, "{place:?}");
    assert!((place.mean_side() - 61.0).abs() < 1.0, "{place:?}");
    let options = CropOptions {
        expect: 1,
        size: 100,
        margin: 0.125,
    };
    let sample = crop(&picture, &place, 60.0, &options).unwrap();
    assert_eq!(
        (sample.channels(), sample.height(), sample.width()),
        (2, 100, 100)
    );
    // 60 pixels become 80 of 100; the corner keeps its place.
    let row = sample.channel(0).row(50).to_owned();
    let wide = row.iter().filter(|&&v| v > 0.5).count();
    assert!((79..=83).contains(&wide), "{wide}");
    assert!(sample.channel(0)[[30, 30]] < 0.2 && sample.channel(0)[[30, 70]] > 0.8);
    assert!((sample.channel(1)[[60, 60]] - 0.5).abs() < 0.02);
}
