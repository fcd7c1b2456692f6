//! The learners against scikit-learn (`tests/reference/classifier.py`).

use super::platt::Sigmoid;
use super::standardise::Standardiser;
use super::*;
use crate::data::sample::SampleId;
use crate::progress::Silent;

#[derive(Deserialize)]
struct Reference {
    train: Vec<Vec<f64>>,
    class: Vec<usize>,
    test: Vec<Vec<f64>>,
    svc: Vec<f64>,
    svc_balanced: Vec<f64>,
    logistic: Vec<Vec<f64>>,
    softmax: Vec<Vec<f64>>,
    platt: Platt,
}

#[derive(Deserialize)]
struct Platt {
    f: Vec<f64>,
    positive: Vec<bool>,
    a: f64,
    b: f64,
}

fn reference() -> Reference {
    serde_json::from_str(include_str!("../../tests/reference/classifier.json")).unwrap()
}

fn array(rows: &[Vec<f64>]) -> Array2<f64> {
    Array2::from_shape_vec((rows.len(), rows[0].len()), rows.concat()).unwrap()
}

fn table(rows: &[Vec<f64>]) -> FeatureTable {
    let ids = (0..rows.len())
        .map(|i| SampleId::new(i.to_string()))
        .collect();
    let columns = (0..rows[0].len()).map(|j| j.to_string()).collect();
    FeatureTable::new(ids, columns, array(rows)).unwrap()
}

#[test]
fn decision_values_are_those_of_scikit_learn_s_svc() {
    let r = reference();
    let standardiser = Standardiser::fit(&array(&r.train));
    let x = standardiser.apply(&array(&r.train));
    let positive: Vec<bool> = r.class.iter().map(|&c| c == 1).collect();
    for (balance, expected) in [
        (Balance::None, &r.svc),
        (Balance::WeightedLoss, &r.svc_balanced),
    ] {
        let options = SvmOptions {
            tolerance: 1e-8,
            ..SvmOptions::default()
        };
        let found = svm::decision_values(
            &options,
            balance,
            &x,
            &positive,
            &standardiser.apply(&array(&r.test)),
        );
        for (f, e) in found.iter().zip(expected) {
            // Both solvers stop at a violation of 1e-8.
            assert!((f - e).abs() < 1e-6, "{balance:?}: {f} {e}");
        }
    }
}

#[test]
fn logistic_probabilities_are_scikit_learn_s() {
    let r = reference();
    let options = ClassifierOptions {
        balance: Balance::None,
        ..ClassifierOptions::logistic()
    };
    for (n, expected) in [(2, &r.logistic), (3, &r.softmax)] {
        let name = |c: usize| if n == 2 { usize::from(c == 1) } else { c }.to_string();
        let labels: Vec<String> = r.class.iter().map(|&c| name(c)).collect();
        let classes: Arc<[String]> = (0..n).map(|c| c.to_string()).collect();
        let classifier = options
            .fit(&table(&r.train), &labels, classes, Seed::new(0), &Silent)
            .unwrap();
        let found = classifier.predict(&table(&r.test)).unwrap();
        for (f, e) in found.iter().zip(expected) {
            for (f, e) in f.probabilities().iter().zip(e) {
                // Both stop where the gradient is small, not at the optimum.
                assert!((f - e).abs() < 1e-5, "{n} classes: {f} {e}");
            }
        }
    }
}

#[test]
fn platt_s_sigmoid_is_scikit_learn_s() {
    let r = reference().platt;
    let found = Sigmoid::fit(&r.f, &r.positive);
    // scikit-learn minimises by L-BFGS and stops a little earlier.
    assert!(
        (found.a - r.a).abs() < 1e-3 && (found.b - r.b).abs() < 1e-3,
        "{found:?}"
    );
}
