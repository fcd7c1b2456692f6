use super::*;
use ndarray::Array3;

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

fn map(values: Array2<f32>) -> AnomalyMap {
    AnomalyMap::new(values).unwrap()
}

fn flat(channels: usize, height: usize, width: usize) -> Image {
    Image::new(Array3::from_elem((channels, height, width), 0.5)).unwrap()
}

fn rule(usual: &[f32]) -> RegionRule {
    RegionRule::new(0.5, 0.5, usual.to_vec(), "a test").unwrap()
}

#[test]
fn a_region_is_measured_in_pixels_of_the_photograph() {
    // An L of three pixels on a map of 4 x 6; the photograph is 8 x 18.
    let mut values = Array2::zeros((4, 6));
    values[[1, 2]] = 0.5;
    values[[2, 2]] = 0.9;
    values[[2, 3]] = 0.7;
    let image = flat(1, 4, 6);
    let seen = Seen {
        map: &map(values),
        image: &image,
        restored: &image,
    };
    let regions = rule(&[]).find(seen, &names(&["GRAY"]), 8, 18).unwrap();
    let [r] = &regions.found[..] else {
        panic!("{regions:?}");
    };
    assert_eq!((r.left, r.top, r.width, r.height), (6, 2, 6, 4));
    assert_eq!((r.area, r.peak), (18.0, 0.9));
    assert!((r.mean - 0.7).abs() < 1e-6);
    // Mean of columns 2, 2, 3 is 7/3: (7/3 + 1/2) * 3 - 1/2 = 8.
    assert!((r.centroid[0] - 8.0).abs() < 1e-9, "{:?}", r.centroid);
    assert!((r.centroid[1] - (5.0 / 3.0 + 0.5) * 2.0 + 0.5).abs() < 1e-9);
}

#[test]
fn corners_join_and_the_highest_peak_comes_first() {
    let mut values = Array2::zeros((5, 9));
    for (y, x, v) in [
        (0, 0, 0.6),
        (1, 1, 0.6),
        (4, 8, 0.8),
        (0, 8, 0.6),
        (0, 4, 0.6),
    ] {
        values[[y, x]] = v;
    }
    let image = flat(1, 5, 9);
    let seen = Seen {
        map: &map(values),
        image: &image,
        restored: &image,
    };
    let regions = rule(&[]).find(seen, &names(&["GRAY"]), 5, 9).unwrap();
    let places: Vec<_> = regions.found.iter().map(|r| (r.top, r.left)).collect();
    assert_eq!(places, [(4, 8), (0, 0), (0, 4), (0, 8)]);
    assert_eq!(regions.found[1].area, 2.0);
}

#[test]
fn the_channel_is_the_one_that_is_least_usual() {
    let mut values = Array2::zeros((4, 4));
    values[[1, 1]] = 1.0;
    let image = flat(3, 4, 4);
    let mut restored = image.pixels().clone();
    // Differences 0.2, 0.1 and 0.0004 in the region; more of it elsewhere.
    restored[[0, 1, 1]] += 0.2;
    restored[[1, 1, 1]] += 0.1;
    restored[[2, 1, 1]] += 0.0004;
    restored[[2, 3, 3]] += 0.4;
    let restored = Image::new(restored).unwrap();
    let map = map(values);
    let seen = Seen {
        map: &map,
        image: &image,
        restored: &restored,
    };
    let channels = names(&["A", "B", "C"]);
    let of = |usual: &[f32]| {
        rule(usual)
            .find(seen, &channels, 4, 4)
            .unwrap()
            .found
            .remove(0)
    };
    let plain = of(&[]);
    assert_eq!((plain.channel.as_str(), plain.ratio), ("A", None));
    assert!((plain.difference - 0.2).abs() < 1e-6);
    // A is four times as hard to restore as B; C is never blamed for a trifle.
    let relative = of(&[0.08, 0.02, 0.0]);
    assert_eq!(relative.channel, "B");
    assert!((relative.ratio.unwrap() - 5.0).abs() < 1e-4);
}

#[test]
fn a_calm_map_has_no_region() {
    let image = flat(2, 3, 3);
    let seen = Seen {
        map: &map(Array2::from_elem((3, 3), 0.49)),
        image: &image,
        restored: &image,
    };
    let regions = rule(&[]).find(seen, &names(&["A", "B"]), 30, 30).unwrap();
    assert!(regions.found.is_empty());
    assert_eq!((regions.height, regions.width), (30, 30));
}

#[test]
fn usual_differences_are_means_over_what_is_inspected() {
    let image = flat(2, 2, 2);
    let mut restored = image.pixels().clone();
    restored[[1, 0, 0]] += 0.4;
    let restored = Image::new(restored).unwrap();
    let mut usual = UsualDifferences::default();
    assert!(usual.means().is_empty());
    usual.add(&image, &restored, None);
    assert!((usual.means()[1] - 0.1).abs() < 1e-6 && usual.means()[0] == 0.0);
    let mut usual = UsualDifferences::default();
    let left = Array2::from_shape_fn((2, 2), |(_, x)| x == 0);
    usual.add(&image, &restored, Some(&left));
    assert!((usual.means()[1] - 0.2).abs() < 1e-6);
}

#[test]
fn a_rule_read_from_a_file_is_checked() {
    let read = |text: &str| serde_json::from_str::<RegionRule>(text);
    let rule = rule(&[0.25, 0.5]);
    let text = serde_json::to_string(&rule).unwrap();
    assert_eq!(read(&text).unwrap(), rule);
    for wrong in [
        r#"{"low": 0, "high": 0.5}"#,
        r#"{"low": 0.5, "high": 1.5}"#,
        r#"{"low": 0.5, "high": 0.4}"#,
        r#"{"low": 0.5, "high": 0.5, "usual": [-1]}"#,
    ] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_region_reaches_down_to_low_and_needs_a_pixel_of_high() {
    // 0.9 with a shoulder of 0.4; another shoulder without a peak.
    let values = ndarray::arr2(&[[0.1, 0.4, 0.9, 0.4, 0.1, 0.4, 0.4, 0.0]]);
    let image = flat(1, 1, 8);
    let rule = RegionRule::new(0.3, 0.6, Vec::new(), "a test").unwrap();
    let seen = Seen {
        map: &map(values),
        image: &image,
        restored: &image,
    };
    let regions = rule.find(seen, &names(&["GRAY"]), 1, 8).unwrap();
    let [r] = &regions.found[..] else {
        panic!("{regions:?}");
    };
    assert_eq!((r.left, r.width, r.area), (1, 3, 3.0));
}
