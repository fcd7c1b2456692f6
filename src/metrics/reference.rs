//! The metrics against scikit-learn, SciPy and numpy (`tests/reference/metrics.py`).

use super::*;
use crate::metrics::report::{Labelled, ReportOptions};
use crate::random::Seed;
use serde_json::Value;

/// Both sides sum in f64, in another order.
const TOLERANCE: f64 = 1e-9;

fn cases(kind: &str) -> Vec<Value> {
    let all: Value =
        serde_json::from_str(include_str!("../../tests/reference/metrics.json")).unwrap();
    all[kind].as_array().unwrap().clone()
}

fn numbers(value: &Value) -> Vec<f64> {
    serde_json::from_value(value.clone()).unwrap()
}

fn booleans(value: &Value) -> Vec<bool> {
    serde_json::from_value(value.clone()).unwrap()
}

fn indices(value: &Value) -> Vec<usize> {
    serde_json::from_value(value.clone()).unwrap()
}

#[track_caller]
fn agree(name: &str, what: &str, found: Option<f64>, expected: &Value) {
    match (found, expected.as_f64()) {
        (None, None) => {}
        (Some(f), Some(e)) if (f - e).abs() <= TOLERANCE => {}
        _ => panic!("{name}, {what}: {found:?} found, {expected} expected"),
    }
}

fn labelled(classes: usize, truth: Vec<usize>, scores: Vec<f64>) -> Labelled {
    Labelled {
        classes: (0..classes).map(|c| format!("class {c}")).collect(),
        truth,
        scores,
        probabilities: None,
        groups: None,
    }
}

#[test]
fn binary_measures_are_scikit_learn_s() {
    for case in cases("binary") {
        let name = case["name"].as_str().unwrap();
        let defect = booleans(&case["defect"]);
        let truth = defect.iter().map(|&d| usize::from(d)).collect();
        let data = labelled(2, truth, numbers(&case["scores"]));
        let r = Report::new(&data, &ReportOptions::default(), Seed::new(0)).unwrap();
        agree(name, "roc_auc", r.roc_auc, &case["roc_auc"]);
        agree(name, "auc_pr", r.auc_pr, &case["auc_pr"]);
        agree(
            name,
            "recall at 5%",
            r.recall_at_5pct_false_rejects,
            &case["recall_at_5pct"],
        );
        let youden = best_youden(&numbers(&case["scores"]), &defect);
        match case["youden"].as_object() {
            Some(expected) => {
                let chosen = youden.unwrap();
                let j = chosen.recall - chosen.false_reject_rate;
                agree(name, "Youden index", Some(j), &expected["j"]);
                let finite = Some(chosen.threshold).filter(|t| t.is_finite());
                assert_eq!(finite, expected["threshold"].as_f64(), "{name}");
            }
            None => assert!(youden.is_err(), "{name}"),
        }
        let best = &case["best"];
        assert_eq!(r.threshold, best["threshold"].as_f64(), "{name}");
        agree(name, "f1", r.f1, &best["f1"]);
        agree(name, "precision", r.precision, &best["precision"]);
        agree(name, "recall", r.recall, &best["recall"]);
        if r.n_good > 0 {
            agree(name, "specificity", r.specificity, &best["specificity"]);
        }
        agree(name, "accuracy", r.accuracy, &best["accuracy"]);
        agree(name, "kappa", r.kappa, &best["kappa"]);
        if r.n_defect > 0 {
            assert_eq!(
                serde_json::to_value(&r.confusion).unwrap(),
                best["confusion"],
                "{name}"
            );
        }
    }
}

#[test]
fn class_measures_are_scikit_learn_s() {
    for case in cases("classes") {
        let name = case["name"].as_str().unwrap();
        let k = case["k"].as_u64().unwrap() as usize;
        let probabilities: Vec<Vec<f64>> = case["probabilities"]
            .as_array()
            .unwrap()
            .iter()
            .map(numbers)
            .collect();
        let scores = probabilities.iter().map(|p| 1.0 - p[0]).collect();
        let mut data = labelled(k, indices(&case["class"]), scores);
        data.probabilities = Some(probabilities);
        let r = Report::new(&data, &ReportOptions::default(), Seed::new(0)).unwrap();
        assert_eq!(
            serde_json::to_value(&r.confusion).unwrap(),
            case["confusion"],
            "{name}"
        );
        for c in 0..k {
            let class = &r.per_class[&format!("class {c}")].scores;
            agree(
                name,
                "precision",
                Some(class.precision),
                &case["precision"][c],
            );
            agree(name, "recall", Some(class.recall), &case["recall"][c]);
            agree(name, "f1", Some(class.f1), &case["f1"][c]);
            for d in 0..k {
                agree(
                    name,
                    "normalised",
                    Some(r.confusion_normalised[c][d]),
                    &case["normalised"][c][d],
                );
            }
        }
        agree(name, "accuracy", r.accuracy, &case["accuracy"]);
        agree(name, "kappa", r.kappa, &case["kappa"]);
        agree(
            name,
            "macro precision",
            r.macro_precision,
            &case["macro"][0],
        );
        agree(name, "macro recall", r.macro_recall, &case["macro"][1]);
        agree(name, "macro f1", r.macro_f1, &case["macro"][2]);
        agree(
            name,
            "weighted precision",
            r.weighted_precision,
            &case["weighted"][0],
        );
        agree(
            name,
            "weighted recall",
            r.weighted_recall,
            &case["weighted"][1],
        );
        agree(name, "weighted f1", r.weighted_f1, &case["weighted"][2]);
        let predicted: Vec<usize> = data
            .probabilities
            .iter()
            .flatten()
            .map(|p| (1..k).fold(0, |b, i| if p[i] > p[b] { i } else { b }))
            .collect();
        let confusion = Confusion::new(&data.truth, &predicted, k).unwrap();
        agree(
            name,
            "defect recall",
            confusion.defect_recall(0),
            &case["defect_recall"],
        );
        if !case["roc_auc"].is_null() {
            agree(name, "roc_auc", r.roc_auc_one_vs_rest, &case["roc_auc"]);
        }
    }
}

#[test]
fn pixel_measures_are_scikit_learn_s_and_aupro_is_its_definition() {
    for case in cases("pixels") {
        let name = case["name"].as_str().unwrap();
        let shape = indices(&case["shape"]);
        let mut pixels = PixelScores::default();
        for (map, mask) in case["maps"]
            .as_array()
            .unwrap()
            .iter()
            .zip(case["masks"].as_array().unwrap())
        {
            let map: Vec<f32> = numbers(map).iter().map(|&v| v as f32).collect();
            let mask = booleans(mask);
            // A mask without a defect and no mask are the same.
            let mask = mask.contains(&true).then_some(mask);
            pixels
                .push(shape[0], shape[1], &map, mask.as_deref())
                .unwrap();
        }
        let found = pixels.finish().unwrap();
        agree(name, "roc_auc", Some(found.roc_auc), &case["roc_auc"]);
        agree(
            name,
            "auc_pr",
            Some(found.average_precision),
            &case["auc_pr"],
        );
        agree(name, "aupro", Some(found.aupro), &case["aupro"]);
    }
}

#[test]
fn wilcoxon_is_scipy_s() {
    for case in cases("wilcoxon") {
        let name = case["name"].as_str().unwrap();
        let (x, y) = (numbers(&case["x"]), numbers(&case["y"]));
        for (key, alternative) in [
            ("two-sided", Alternative::TwoSided),
            ("greater", Alternative::Greater),
            ("less", Alternative::Less),
        ] {
            let w = wilcoxon(&x, &y, alternative).unwrap();
            // For a two-sided permutation test scipy reports the sum of the
            // positive ranks, else the smaller of the two sums, as we do.
            let expected = case[key][0].as_f64().unwrap();
            let other = (w.n * (w.n + 1)) as f64 / 2.0 - expected;
            let smaller = if key == "two-sided" {
                expected.min(other)
            } else {
                expected
            };
            agree(name, "statistic", Some(w.statistic), &smaller.into());
            agree(name, key, Some(w.p_value), &case[key][1]);
        }
    }
}
