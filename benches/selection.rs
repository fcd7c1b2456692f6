//! Mutual information of 1,024 features on 1,000 samples, as scikit-learn's
//! `mutual_info_classif` is timed by `benches/peers/mutual_information.py`.
#![allow(missing_docs)] // criterion's macros make undocumented functions

use criterion::{Criterion, criterion_group, criterion_main};
use goma::data::feature_table::FeatureTable;
use goma::data::sample::SampleId;
use goma::random::Seed;
use goma::selection::mutual_information_of_columns;
use ndarray::Array2;
use rand_distr::{Distribution, Normal};

const ROWS: usize = 1000;
const COLUMNS: usize = 1024;

fn mutual_information(c: &mut Criterion) {
    let normal = Normal::new(0.0, 1.0).expect("a valid deviation");
    let mut rng = Seed::new(1).rng();
    let class: Vec<usize> = (0..ROWS).map(|i| usize::from(i % 3 == 0)).collect();
    let values = Array2::from_shape_fn((ROWS, COLUMNS), |(i, j)| {
        normal.sample(&mut rng) + class[i] as f64 * (j % 4) as f64 / 4.0
    });
    let ids = (0..ROWS).map(|i| SampleId::new(i.to_string())).collect();
    let columns = (0..COLUMNS).map(|j| j.to_string()).collect();
    let table = FeatureTable::new(ids, columns, values).expect("finite values");
    c.bench_function("mutual_information_1000x1024", |b| {
        b.iter(|| mutual_information_of_columns(&table, &class, 3).expect("valid input"));
    });
}

criterion_group!(benches, mutual_information);
criterion_main!(benches);
