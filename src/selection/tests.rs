use super::*;
use crate::data::sample::SampleId;
use ndarray::Array2;
use proptest::prelude::*;

fn feature_table<const C: usize>(columns: [(&str, [f64; 6]); C]) -> FeatureTable {
    let ids = (0..6).map(|i| SampleId::new(format!("s{i}"))).collect();
    let names = columns.iter().map(|c| c.0.to_string()).collect();
    let values = Array2::from_shape_fn((6, C), |(r, c)| columns[c].1[r]);
    FeatureTable::new(ids, names, values).unwrap()
}

const CLASS: [usize; 6] = [0, 0, 0, 1, 1, 1];

#[test]
fn selection_keeps_the_column_that_separates_the_classes() {
    let table = feature_table([
        ("noise", [3.0, 1.0, 2.0, 2.0, 3.0, 1.0]),
        ("signal", [0.0, 1.0, 2.0, 7.0, 8.0, 9.0]),
    ]);
    let options = SelectionOptions {
        count: Count::Fixed(1),
        ..SelectionOptions::default()
    };
    let selection = options.fit(&table, &CLASS).unwrap();
    assert_eq!(selection.columns(), ["signal"]);
    assert_eq!(selection.apply(&table).unwrap().columns(), ["signal"]);
}

#[test]
fn equal_columns_keep_the_order_of_the_table_and_sqrt_n_of_them_stay() {
    let same = [0.0, 1.0, 2.0, 7.0, 8.0, 9.0];
    let table = feature_table([("a", same), ("b", same), ("c", same)]);
    let selection = SelectionOptions::default().fit(&table, &CLASS).unwrap();
    assert_eq!(selection.columns(), ["a", "b"]); // √6 = 2.45
}

#[test]
fn columns_are_found_by_name_wherever_they_stand() {
    let x = [0.0, 1.0, 2.0, 7.0, 8.0, 9.0];
    let y = [3.0, 1.0, 2.0, 2.0, 3.0, 1.0];
    let selection = SelectionOptions::default()
        .fit(&feature_table([("x", x), ("y", y)]), &CLASS)
        .unwrap();
    let moved = selection
        .apply(&feature_table([("y", y), ("x", x)]))
        .unwrap();
    assert_eq!(moved.columns(), ["x", "y"]);
    let error = selection.apply(&feature_table([("y", y)])).unwrap_err();
    assert!(error.to_string().contains("column x is missing"), "{error}");
}

#[test]
fn one_class_cannot_be_selected_for() {
    let table = feature_table([("x", [0.0; 6])]);
    assert!(SelectionOptions::default().fit(&table, &[1; 6]).is_err());
}

#[test]
fn a_gallop_counts_the_leading_run() {
    for n in 1..20 {
        for run in 1..=n {
            assert_eq!(gallop(n, |step| step < run), run);
        }
    }
}

#[test]
fn mutual_information_is_scikit_learn_s_without_its_noise() {
    #[derive(Deserialize)]
    struct Case {
        name: String,
        k: usize,
        class: Vec<usize>,
        columns: Vec<Vec<f64>>,
        mutual_information: Vec<f64>,
    }
    let cases: Vec<Case> =
        serde_json::from_str(include_str!("../../tests/reference/selection.json")).unwrap();
    for case in cases {
        for (i, column) in case.columns.iter().enumerate() {
            let found = mutual_information(column, &case.class, case.k).unwrap();
            let expected = case.mutual_information[i];
            assert!(
                (found - expected).abs() < 1e-9,
                "{}, column {i}: {found} found, {expected} expected",
                case.name
            );
        }
    }
}

#[test]
fn digamma_of_whole_numbers() {
    let psi = digammas(1000);
    assert!((psi[10] - 2.251_752_589_066_721).abs() < 1e-14);
    assert!((psi[1000] - 6.907_255_195_648_812).abs() < 1e-14);
}

/// The estimator as it is written, every pair of samples compared.
fn slow(feature: &[f64], class: &[usize], k: usize) -> f64 {
    let scale = standard_deviation(feature);
    let size = |i: usize| class.iter().filter(|&&c| c == class[i]).count();
    let rows: Vec<usize> = (0..feature.len()).filter(|&i| size(i) > 1).collect();
    if rows.is_empty() {
        return 0.0;
    }
    let psi = digammas(feature.len());
    let d = |i: usize, j: usize| (feature[i] / scale - feature[j] / scale).abs();
    let mean =
        |of: &dyn Fn(usize) -> f64| rows.iter().map(|&i| of(i)).sum::<f64>() / rows.len() as f64;
    let m = |i: usize| {
        let mut own: Vec<f64> = rows
            .iter()
            .filter(|&&j| j != i && class[j] == class[i])
            .map(|&j| d(i, j))
            .collect();
        own.sort_by(f64::total_cmp);
        let kth = own[k.min(own.len()) - 1];
        // Nearer than the k-th; equals of a sample count where it has k of them.
        rows.iter()
            .filter(|&&j| d(i, j) < kth || d(i, j) == 0.0)
            .count()
    };
    let n = psi[rows.len()];
    (n - mean(&|i| psi[size(i)]) + mean(&|i| psi[k.min(size(i) - 1)]) - mean(&|i| psi[m(i)]))
        .max(0.0)
}

proptest! {
    #[test]
    fn one_sort_finds_what_comparing_all_pairs_finds(
        // A coarse grid, so that ties abound.
        rows in proptest::collection::vec((0i32..40, 0usize..3), 30..60)
    ) {
        let class: Vec<usize> = rows.iter().map(|r| r.1).collect();
        // Classes too small for the tree have rounding of their own.
        prop_assume!((0..3).all(|c| {
            let n = class.iter().filter(|&&x| x == c).count();
            !(2..8).contains(&n)
        }));
        let feature: Vec<f64> = rows.iter().map(|r| f64::from(r.0) / 8.0).collect();
        let fast = mutual_information(&feature, &class, 3).unwrap();
        let plain = slow(&feature, &class, 3);
        prop_assert!((fast - plain).abs() < 1e-9, "{fast} {plain}");
    }
}
