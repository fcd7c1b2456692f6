use super::*;
use crate::draem::import::{Checkpoint, draem};
use crate::random::Seed;
use candle_core::Device;
use ndarray::Array3;
use rand::Rng;
use serde_json::Value;

/// Two dark bars on a light piece on dark ground, `height` x `width`, in three
/// channels of other exposure, `offset` off the middle.
fn piece(height: usize, width: usize, offset: Offset, gain: f32) -> Image {
    let (down, right) = (offset.down as f32, offset.right as f32);
    let at = |c: usize, y: usize, x: usize| {
        let y = (y as f32 - down) / height as f32;
        let x = (x as f32 - right) / width as f32;
        let inside = (0.2..0.8).contains(&y) && (0.25..0.7).contains(&x);
        let bar = (0.3..0.4).contains(&y) && (0.35..0.6).contains(&x)
            || (0.55..0.6).contains(&y) && (0.3..0.5).contains(&x);
        let tone = match (inside, bar) {
            (false, _) => 0.1,
            (true, false) => 0.7,
            (true, true) => 0.3,
        };
        tone * gain * (1.0 - 0.2 * c as f32)
    };
    Image::new(Array3::from_shape_fn((3, height, width), |(c, y, x)| {
        at(c, y, x)
    }))
    .unwrap()
}

fn off(down: i32, right: i32) -> Offset {
    Offset { down, right }
}

#[test]
fn translations_are_those_of_direct_correlation_in_scipy() {
    let expected: Value =
        serde_json::from_str(include_str!("../../tests/reference/registration.json")).unwrap();
    let number = |v: &Value| v.as_f64().unwrap();
    let blobs: Vec<Vec<f64>> = serde_json::from_value(expected["blobs"].clone()).unwrap();
    let picture = |down: f64, right: f64| {
        Array2::from_shape_fn((SIDE, SIDE), |(y, x)| {
            let blob = |b: &Vec<f64>| {
                let (dy, dx) = (y as f64 - b[1] - down, x as f64 - b[2] - right);
                b[0] * (-(dy * dy + dx * dx) / (2.0 * b[3] * b[3])).exp()
            };
            (0.3 + blobs.iter().map(blob).sum::<f64>()) as f32
        })
    };
    let usual = Edges::of(&picture(0.0, 0.0));
    let cases = expected["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 5);
    for case in cases {
        let moved = &case["moved"];
        let away = Edges::of(&picture(number(&moved[0]), number(&moved[1])));
        let ((down, right), likeness) = usual.agreement(&away);
        assert_eq!(usual.translation(&away), (down, right));
        let expected = &case["found"];
        for (found, expected, tolerance) in [
            (down, &expected[0], 1e-3),
            (right, &expected[1], 1e-3),
            (likeness, &case["likeness"], 1e-5),
        ] {
            let (found, expected) = (f64::from(found), number(expected));
            assert!((found - expected).abs() < tolerance, "{found} {expected}");
        }
    }
}

#[test]
fn pieces_are_found_and_moved_to_their_usual_place_whatever_their_exposure() {
    let rng = &mut Seed::new(4).rng();
    // Not square, and larger than what is compared.
    let (height, width) = (200, 300);
    let somewhere =
        |rng: &mut rand_chacha::ChaCha8Rng| off(rng.random_range(-6..=6), rng.random_range(-6..=6));
    let good: Vec<Grey> = (0..40)
        .map(|_| {
            Grey::of(&piece(
                height,
                width,
                somewhere(rng),
                rng.random_range(0.7..1.0),
            ))
        })
        .collect();
    let usual = Registration::of(&good).unwrap();
    let middle = usual.offset(&piece(height, width, Offset::default(), 1.0));
    for offset in [off(0, 0), off(17, -25), off(-5, 12)] {
        let away = piece(height, width, offset, 0.8);
        let found = usual.offset(&away);
        let expected = off(offset.down + middle.down, offset.right + middle.right);
        assert!(
            (found.down - expected.down).abs() <= 1 && (found.right - expected.right).abs() <= 1,
            "{found:?} {expected:?}"
        );
        let (placed, told) = usual.place(&away);
        assert_eq!(told, found);
        let again = usual.offset(&placed);
        assert!(again.down.abs() <= 1 && again.right.abs() <= 1, "{again:?}");
    }
}

#[test]
fn what_is_unlike_the_pieces_stays_where_it_is() {
    let good = [Grey::of(&piece(128, 128, Offset::default(), 1.0))];
    let usual = Registration::of(&good).unwrap();
    let grey = Image::new(Array3::from_elem((3, 128, 128), 0.4)).unwrap();
    let rng = &mut Seed::new(9).rng();
    let noise = Array3::from_shape_fn((3, 128, 128), |_| rng.random_range(0.0..1.0));
    for other in [grey, Image::new(noise).unwrap()] {
        let (placed, offset) = usual.place(&other);
        assert_eq!(offset, Offset::default());
        assert_eq!(placed, other);
    }
    // Nor do pieces move to a mean that shows nothing.
    let black = Registration::of(&[Grey(Array2::zeros((SIDE, SIDE)))]).unwrap();
    assert_eq!(
        black.offset(&piece(128, 128, off(9, 9), 1.0)),
        Offset::default()
    );
    assert!(Registration::of(&[]).is_none());
}

#[test]
fn a_plane_moved_by_whole_pixels_keeps_its_values_and_by_parts_mixes_neighbours() {
    let plane = Array2::from_shape_fn((4, 5), |(y, x)| (y * 5 + x) as f32);
    let there = shifted(plane.view(), (1.0, -2.0));
    for ((y, x), v) in there.indexed_iter() {
        assert_eq!(*v, plane[[y.max(1) - 1, (x + 2).min(4)]]);
    }
    let half = shifted(plane.view(), (0.5, 0.25));
    // Half of row 1 and row 2, a quarter of column 2 and the rest of column 3.
    let expected = 0.5 * (5.0 + 10.0) + (0.25 * 2.0 + 0.75 * 3.0);
    assert!((half[[2, 3]] - expected).abs() < 1e-5);
}

#[test]
fn it_survives_its_own_file_and_no_other_picture_passes_for_one() {
    let usual = Registration::of(&[Grey::of(&piece(90, 90, off(3, 1), 1.0))]).unwrap();
    let origin = Path::new("registration.png");
    let bytes = usual.to_png().unwrap();
    let again = Registration::from_png(&bytes, origin).unwrap();
    assert_eq!(again.mean, usual.mean);
    let away = piece(90, 90, off(-4, 6), 0.9);
    assert_eq!(again.offset(&away), usual.offset(&away));
    assert_eq!(again.offset(&away), off(-7, 5));
    assert!(Registration::from_png(&bytes[..bytes.len() / 2], origin).is_err());
    for side in [127, 129] {
        let other = grey_png::encode(&Array2::zeros((SIDE, side))).unwrap();
        assert!(Registration::from_png(&other, origin).is_err());
    }
}

#[test]
fn what_is_drawn_of_a_piece_lies_where_the_piece_does() {
    let read = |name: &str| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference");
        Checkpoint::read(&folder.join(name)).unwrap()
    };
    let (rec, dis) = (read("draem_seg_rec.pckl"), read("draem_seg_dis.pckl"));
    let mut model = draem(&rec, &dis, 64, &Device::Cpu).unwrap().draem;
    let usual = piece(64, 64, Offset::default(), 1.0);
    let plain = model.draw(std::slice::from_ref(&usual)).unwrap();
    assert_eq!(plain[0].offset, None);
    model.set_registration(Registration::of(&[Grey::of(&usual)]));
    let pieces = [usual, piece(64, 64, off(4, -6), 1.0)];
    let drawn = model.draw(&pieces).unwrap();
    assert_eq!(drawn[0].offset, Some(Offset::default()));
    assert_eq!(drawn[0].map, plain[0].map);
    assert_eq!(drawn[1].offset, Some(off(4, -6)));
    // On even ground the second piece, moved, is the first to the bit.
    let (map, moved_map) = (plain[0].map.values(), drawn[1].map.values());
    let mut values = Vec::new();
    for ((y, x), v) in moved_map.indexed_iter() {
        let expected = map[[y.saturating_sub(4), (x + 6).min(63)]];
        assert_eq!(*v, expected, "{y} {x}");
        values.push(expected);
    }
    let spread = values
        .iter()
        .fold(0.0f32, |most, v| most.max((v - values[0]).abs()));
    assert!(
        spread > 0.01,
        "{spread}: the map must show where things lie"
    );
    for (c, y, x) in [(0, 20, 20), (2, 40, 31)] {
        assert_eq!(
            drawn[1].seen.pixels()[[c, y, x]],
            pieces[1].pixels()[[c, y, x]]
        );
        assert_eq!(
            drawn[1].restored.pixels()[[c, y, x]],
            plain[0].restored.pixels()[[c, y - 4, x + 6]]
        );
    }
}
