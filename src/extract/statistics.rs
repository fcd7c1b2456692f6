//! Plain numbers that describe an anomaly map: how strong, how much, how
//! many, where.

use crate::data::anomaly_map::AnomalyMap;
use image::{GrayImage, Luma};
use imageproc::region_labelling::{Connectivity, connected_components};
use ndarray::Array2;

/// Thresholds for the share of the map above them.
const AREAS: [f32; 5] = [0.1, 0.25, 0.5, 0.75, 0.9];
/// Quantiles, as parts of 1.
const QUANTILES: [f64; 4] = [0.5, 0.9, 0.99, 0.999];
/// Thresholds for regions.
const REGIONS: [f32; 2] = [0.25, 0.5];

/// The names of the statistics, in the order of [`map_statistics`].
pub(super) const NAMES: [&str; COUNT] = [
    "max",
    "mean",
    "deviation",
    "score",
    "q50",
    "q90",
    "q99",
    "q999",
    "area10",
    "area25",
    "area50",
    "area75",
    "area90",
    "regions25",
    "largest25",
    "regions50",
    "largest50",
    "peak_radius",
    "centre_radius",
    "spread",
];

/// How many there are.
pub(super) const COUNT: usize = 20;

/// Statistics of a map `[h, w]`, each independent of its size:
///
/// - `max`, `mean`, `deviation` (population) of all pixels; `score`, the
///   [`AnomalyMap::image_score`];
/// - `q50` ... `q999`: quantiles, linear between order statistics (NumPy's);
/// - `area10` ... `area90`: share of pixels at or above 0.1 ... 0.9;
/// - `regions25`, `regions50`: number of 8-connected regions at or above 0.25
///   and 0.5; `largest25`, `largest50`: share of pixels in the largest;
/// - `peak_radius`: distance of the (first) maximum from the middle, in half
///   diagonals; `centre_radius`: the same of the centre of mass; `spread`:
///   root mean square distance from the centre of mass, weighted by the map,
///   in half diagonals. All three are 0 for a map of zeros.
#[must_use]
pub fn map_statistics(map: &AnomalyMap) -> [f64; COUNT] {
    let values = map.values();
    let plane = values.as_slice().expect("kept in standard layout");
    let n = plane.len() as f64;
    let mean = plane.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
    let variance = plane
        .iter()
        .map(|v| (f64::from(*v) - mean).powi(2))
        .sum::<f64>()
        / n;
    let max = plane.iter().fold(f32::NEG_INFINITY, |max, v| max.max(*v));
    let mut out = Vec::with_capacity(COUNT);
    out.extend([f64::from(max), mean, variance.sqrt(), map.image_score()]);
    out.extend(quantiles(plane));
    out.extend(AREAS.map(|t| plane.iter().filter(|v| **v >= t).count() as f64 / n));
    for threshold in REGIONS {
        let (count, largest) = match max >= threshold {
            true => regions(values, threshold),
            false => (0, 0),
        };
        out.extend([count as f64, largest as f64 / n]);
    }
    out.extend(places(values));
    out.try_into().expect("as many statistics as names")
}

/// The [`QUANTILES`], each linear between order statistics. These are found from the largest down, each
/// among what lies below the one before, and not by sorting all values.
fn quantiles(values: &[f32]) -> [f64; QUANTILES.len()] {
    let mut values = values.to_vec();
    let last = values.len() - 1;
    let mut below = values.len();
    let mut order_statistic = |place: usize| {
        if place < below {
            values[..below].select_nth_unstable_by(place, f32::total_cmp);
            below = place;
        }
        f64::from(values[place])
    };
    let mut out = QUANTILES.map(|q| q * last as f64);
    for at in out.iter_mut().rev() {
        let high = order_statistic(at.ceil() as usize);
        let low = order_statistic(at.floor() as usize);
        *at = low + (high - low) * at.fract();
    }
    out
}

/// Number and largest size of the regions at or above a threshold.
fn regions(values: &Array2<f32>, threshold: f32) -> (usize, usize) {
    let (height, width) = values.dim();
    let above = |v: &f32| if *v >= threshold { 255 } else { 0 };
    let binary = GrayImage::from_raw(
        width as u32,
        height as u32,
        values.iter().map(above).collect(),
    )
    .expect("a byte a pixel");
    let labels = connected_components(&binary, Connectivity::Eight, Luma([0]));
    let mut sizes = Vec::new();
    for label in labels.pixels() {
        let label = label.0[0] as usize;
        if sizes.len() <= label {
            sizes.resize(label + 1, 0usize);
        }
        sizes[label] += 1;
    }
    let sizes = sizes.get(1..).unwrap_or(&[]); // label 0 is the ground
    (sizes.len(), sizes.iter().copied().max().unwrap_or(0))
}

/// Peak radius, radius of the centre of mass, spread.
fn places(values: &Array2<f32>) -> [f64; 3] {
    let (height, width) = values.dim();
    let middle = ((height - 1) as f64 / 2.0, (width - 1) as f64 / 2.0);
    let half_diagonal = (height as f64).hypot(width as f64) / 2.0;
    let (mut mass, mut sum_y, mut sum_x) = (0.0, 0.0, 0.0);
    let mut peak = (0.0f32, middle);
    for ((y, x), &v) in values.indexed_iter() {
        let (y, x, weight) = (y as f64, x as f64, f64::from(v));
        mass += weight;
        sum_y += weight * y;
        sum_x += weight * x;
        if v > peak.0 {
            peak = (v, (y, x));
        }
    }
    if mass <= 0.0 {
        return [0.0; 3];
    }
    let centre = (sum_y / mass, sum_x / mass);
    let square: f64 = values
        .indexed_iter()
        .map(|((y, x), &v)| {
            let (dy, dx) = (y as f64 - centre.0, x as f64 - centre.1);
            f64::from(v) * (dy * dy + dx * dx)
        })
        .sum();
    let radius = |at: (f64, f64)| (at.0 - middle.0).hypot(at.1 - middle.1) / half_diagonal;
    [
        radius(peak.1),
        radius(centre),
        (square / mass).max(0.0).sqrt() / half_diagonal,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;

    fn named(map: Array2<f32>) -> impl Fn(&str) -> f64 {
        let values = map_statistics(&AnomalyMap::new(map).unwrap());
        move |name| values[NAMES.iter().position(|n| *n == name).unwrap()]
    }

    #[test]
    fn two_separate_spots_are_two_regions() {
        let mut map = Array2::zeros((10, 10));
        map[[1, 1]] = 0.9;
        map[[2, 2]] = 0.3; // touches the first by a corner
        map[[7, 8]] = 0.6;
        let stat = named(map);
        assert_eq!((stat("regions25"), stat("largest25")), (2.0, 0.02));
        assert_eq!((stat("regions50"), stat("largest50")), (2.0, 0.01));
        assert_eq!(
            (stat("area25"), stat("area50"), stat("area90")),
            (0.03, 0.02, 0.01)
        );
        assert!((stat("mean") - 0.018).abs() < 1e-7);
    }

    #[test]
    fn quantiles_are_linear_between_order_statistics() {
        let map = Array2::from_shape_fn((1, 11), |(_, x)| x as f32 / 10.0);
        let stat = named(map);
        assert!((stat("q50") - 0.5).abs() < 1e-6);
        assert!((stat("q99") - 0.99).abs() < 1e-6);
    }

    #[test]
    fn quantiles_are_those_of_the_sorted_values() {
        let mut rng = crate::random::Seed::new(6).rng();
        for n in [1, 2, 3, 10, 997, 4096] {
            // Some values come more than once.
            let values: Vec<f32> = (0..n)
                .map(|_| (rng.random::<f32>() * 500.0).floor() / 500.0)
                .collect();
            let mut sorted = values.clone();
            sorted.sort_by(f32::total_cmp);
            for (q, found) in QUANTILES.into_iter().zip(quantiles(&values)) {
                let at = q * (n - 1) as f64;
                let of = |place: f64| f64::from(sorted[place as usize]);
                let (low, high) = (of(at.floor()), of(at.ceil()));
                assert_eq!(found, low + (high - low) * at.fract(), "{q} of {n}");
            }
        }
    }

    #[test]
    fn a_map_of_zeros_has_no_place() {
        let stat = named(Array2::zeros((4, 4)));
        for name in ["max", "regions25", "peak_radius", "centre_radius", "spread"] {
            assert_eq!(stat(name), 0.0, "{name}");
        }
    }

    #[test]
    fn one_bright_corner_lies_a_half_diagonal_from_the_middle() {
        let mut map = Array2::zeros((101, 101));
        map[[0, 0]] = 1.0;
        let stat = named(map);
        // 50 sqrt 2 of 101 sqrt 2 / 2.
        assert!((stat("peak_radius") - 50.0 / 50.5).abs() < 1e-9);
        assert!((stat("centre_radius") - 50.0 / 50.5).abs() < 1e-9);
        assert_eq!(stat("spread"), 0.0);
    }
}
