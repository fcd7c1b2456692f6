//! What holds for all four learners.

use super::*;
use crate::data::sample::SampleId;
use crate::metrics::roc_auc;
use crate::progress::Silent;
use rand_distr::{Distribution, Normal};

fn all_kinds() -> [ClassifierOptions; 4] {
    [
        ClassifierOptions::mlp(),
        ClassifierOptions::svm(),
        ClassifierOptions::forest(),
        ClassifierOptions::logistic(),
    ]
}

/// `n` rows of `p` normal columns, the first two shifted by the class.
fn blobs(n: usize, p: usize, sizes: &[usize], seed: u64) -> (FeatureTable, Vec<String>) {
    let normal = Normal::new(0.0, 1.0).unwrap();
    let mut rng = Seed::new(seed).rng();
    let class: Vec<usize> = sizes
        .iter()
        .enumerate()
        .flat_map(|(c, &n)| std::iter::repeat_n(c, n))
        .collect();
    assert_eq!(class.len(), n);
    let values = Array2::from_shape_fn((n, p), |(i, j)| {
        let c = class[i] as f64;
        let shift = [1.8 * (c % 2.0), 1.8 * (c / 2.0).floor()];
        normal.sample(&mut rng) + shift.get(j).copied().unwrap_or(0.0)
    });
    let ids = (0..n).map(|i| SampleId::new(format!("s{i}"))).collect();
    let columns = (0..p).map(|j| format!("f{j}")).collect();
    let labels = class.iter().map(|&c| name(c)).collect();
    (FeatureTable::new(ids, columns, values).unwrap(), labels)
}

fn name(class: usize) -> String {
    ["good", "print", "physical", "both", "stain"][class].to_string()
}

fn classes(n: usize) -> Arc<[String]> {
    (0..n).map(name).collect()
}

fn fit(
    options: &ClassifierOptions,
    data: &(FeatureTable, Vec<String>),
    n: usize,
) -> Result<Classifier> {
    options.fit(&data.0, &data.1, classes(n), Seed::new(7), &Silent)
}

#[test]
fn every_learner_tells_two_clouds_apart_on_rows_it_has_not_seen() {
    let train = blobs(200, 6, &[150, 50], 1);
    let test = blobs(400, 6, &[200, 200], 2);
    let defect: Vec<bool> = test.1.iter().map(|l| l != "good").collect();
    for options in all_kinds() {
        for balance in [Balance::None, Balance::WeightedLoss, Balance::Resample] {
            let options = ClassifierOptions { balance, ..options };
            let predictions = fit(&options, &train, 2).unwrap().predict(&test.0).unwrap();
            let scores: Vec<f64> = predictions.iter().map(Prediction::p_defect).collect();
            let auc = roc_auc(&scores, &defect).unwrap();
            // The best possible is Φ(1.8/√2) = 0.898.
            assert!(auc > 0.83, "{} {balance:?}: {auc}", options.name());
        }
    }
}

#[test]
fn every_learner_names_one_of_four_classes() {
    let train = blobs(240, 4, &[120, 40, 40, 40], 3);
    let test = blobs(200, 4, &[50, 50, 50, 50], 4);
    for options in all_kinds() {
        let predictions = fit(&options, &train, 4).unwrap().predict(&test.0).unwrap();
        let right = predictions
            .iter()
            .zip(&test.1)
            .filter(|(p, l)| p.class() == *l)
            .count();
        // The best possible is Φ(0.9)² = 0.666.
        assert!(right >= 115, "{}: {right} of 200", options.name());
    }
}

#[test]
fn awkward_data_are_fitted_or_refused_but_never_break() {
    let mut duplicate = blobs(40, 3, &[20, 20], 5);
    duplicate.0 = duplicate.0.take_rows(&[0; 40]);
    let mut constant = blobs(40, 3, &[20, 20], 6);
    constant.0 = FeatureTable::new(
        constant.0.ids().to_vec(),
        constant.0.columns().to_vec(),
        Array2::from_elem((40, 3), 0.1),
    )
    .unwrap();
    let two_each = blobs(4, 3, &[2, 2], 7);
    let one_each = blobs(2, 3, &[1, 1], 7);
    let lopsided = blobs(203, 5, &[150, 20, 20, 10, 3], 8);
    let wide = blobs(12, 60, &[6, 6], 9);
    let separable = {
        let (t, l) = blobs(40, 1, &[20, 20], 10);
        let values = Array2::from_shape_fn((40, 1), |(i, _)| if i < 20 { -1e9 } else { 1e9 });
        (
            FeatureTable::new(t.ids().to_vec(), t.columns().to_vec(), values).unwrap(),
            l,
        )
    };
    for options in all_kinds() {
        for (data, n) in [
            (&duplicate, 2),
            (&constant, 2),
            (&two_each, 2),
            (&one_each, 2),
            (&lopsided, 5),
            (&wide, 2),
            (&separable, 2),
        ] {
            for balance in [Balance::None, Balance::WeightedLoss, Balance::Resample] {
                let options = ClassifierOptions { balance, ..options };
                let predictions = fit(&options, data, n).unwrap().predict(&data.0).unwrap();
                assert_eq!(predictions.len(), data.1.len());
            }
        }
        let one_class = blobs(10, 2, &[10], 11);
        let error = fit(&options, &one_class, 2).unwrap_err();
        assert!(error.to_string().contains("two classes"), "{error}");
    }
}

#[test]
fn a_class_without_training_samples_gets_probability_0() {
    let data = blobs(60, 3, &[30, 0, 30], 12);
    for options in all_kinds() {
        let predictions = fit(&options, &data, 3).unwrap().predict(&data.0).unwrap();
        assert!(predictions.iter().all(|p| p.probabilities()[1] == 0.0));
    }
}

#[test]
fn a_stored_classifier_predicts_the_same_bits() {
    let two = blobs(60, 5, &[40, 20], 13);
    let three = blobs(60, 5, &[30, 20, 10], 14);
    for options in all_kinds() {
        for (data, n) in [(&two, 2), (&three, 3)] {
            let classifier = fit(&options, data, n).unwrap();
            let bytes = classifier.to_bytes().unwrap();
            let again = Classifier::from_bytes(&bytes).unwrap();
            assert_eq!(classifier, again);
            assert_eq!(
                classifier.predict(&data.0).unwrap(),
                again.predict(&data.0).unwrap()
            );
            assert_eq!(bytes, again.to_bytes().unwrap());
        }
    }
}

#[test]
fn a_damaged_file_is_refused_and_never_breaks() {
    let data = blobs(30, 3, &[15, 15], 15);
    for options in all_kinds() {
        let bytes = fit(&options, &data, 2).unwrap().to_bytes().unwrap();
        for cut in [0, 7, 8, 100, bytes.len() / 2, bytes.len() - 1] {
            assert!(Classifier::from_bytes(&bytes[..cut]).is_err(), "{cut}");
        }
        // Any byte may be wrong: an error, or numbers that still predict.
        for place in (0..bytes.len()).step_by(bytes.len() / 400 + 1) {
            let mut damaged = bytes.clone();
            damaged[place] ^= 0x81;
            if let Ok(classifier) = Classifier::from_bytes(&damaged) {
                let _ = classifier.predict(&data.0);
            }
        }
    }
}

#[test]
fn a_prediction_does_not_depend_on_the_rows_beside_it() {
    let data = blobs(50, 4, &[30, 20], 16);
    for options in all_kinds() {
        let classifier = fit(&options, &data, 2).unwrap();
        let all = classifier.predict(&data.0).unwrap();
        let alone = classifier.predict(&data.0.take_rows(&[17])).unwrap();
        assert_eq!(all[17], alone[0]);
    }
}

#[test]
fn the_seed_decides_and_the_number_of_threads_does_not() {
    let data = blobs(120, 5, &[80, 40], 17);
    for options in all_kinds() {
        let in_pool = |threads: usize, seed: u64| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| {
                let c = options.fit(&data.0, &data.1, classes(2), Seed::new(seed), &Silent);
                c.unwrap().to_bytes().unwrap()
            })
        };
        let one = in_pool(1, 1);
        assert!(one == in_pool(3, 1), "{}", options.name());
        if options.name() != "logistic" {
            assert!(one != in_pool(1, 2), "{}", options.name());
        }
    }
}

#[test]
fn other_columns_are_refused_by_name() {
    let data = blobs(20, 2, &[10, 10], 18);
    let classifier = fit(&ClassifierOptions::logistic(), &data, 2).unwrap();
    let error = classifier
        .predict(&data.0.take_columns(&[1, 0]))
        .unwrap_err();
    assert!(error.to_string().contains("f0 where f1"), "{error}");
    assert!(classifier.predict(&data.0.take_columns(&[0])).is_err());
}

#[test]
fn a_label_outside_the_classes_names_its_sample() {
    let mut data = blobs(20, 2, &[10, 10], 19);
    data.1[4] = "dent".into();
    let error = fit(&ClassifierOptions::svm(), &data, 2).unwrap_err();
    assert!(
        error.to_string().contains("sample s4 is labelled dent"),
        "{error}"
    );
}

#[test]
fn out_of_fold_predictions_are_worse_than_those_on_the_training_rows() {
    let data = blobs(100, 20, &[50, 50], 20);
    let defect: Vec<bool> = data.1.iter().map(|l| l != "good").collect();
    let fold: Vec<usize> = (0..100).map(|i| i % 5).collect();
    let auc = |p: Vec<Prediction>| {
        let scores: Vec<f64> = p.iter().map(Prediction::p_defect).collect();
        roc_auc(&scores, &defect).unwrap()
    };
    let options = ClassifierOptions::forest();
    let seen = auc(fit(&options, &data, 2).unwrap().predict(&data.0).unwrap());
    let out = options
        .predict_out_of_fold(&data.0, &data.1, &classes(2), &fold, Seed::new(1), &Silent)
        .unwrap();
    assert_eq!(seen, 1.0);
    let unseen = auc(out);
    assert!((0.7..0.97).contains(&unseen), "{unseen}");
}

#[test]
fn options_read_as_a_settings_file_writes_them() {
    let options: ClassifierOptions =
        toml::from_str("kind = \"svm\"\nc = 10.0\nbalance = \"resample\"\n").unwrap();
    assert_eq!(options.balance, Balance::Resample);
    assert!(matches!(
        options.method,
        Method::Svm(SvmOptions { c: 10.0, .. })
    ));
    for options in all_kinds() {
        let text = toml::to_string(&options).unwrap();
        assert_eq!(toml::from_str::<ClassifierOptions>(&text).unwrap(), options);
    }
}
