use super::*;

fn binary(truth: &[usize], scores: &[f64]) -> Labelled {
    Labelled {
        classes: vec!["good".into(), "defect".into()],
        truth: truth.to_vec(),
        scores: scores.to_vec(),
        probabilities: None,
        groups: None,
    }
}

fn report(data: &Labelled) -> Report {
    Report::new(data, &ReportOptions::default(), Seed::new(0)).unwrap()
}

#[test]
fn the_threshold_is_that_of_the_best_f1_unless_given() {
    let data = binary(&[0, 0, 1, 1], &[0.1, 0.8, 0.7, 0.9]);
    let best = report(&data);
    assert_eq!(best.threshold, Some(0.7));
    assert_eq!(
        (best.f1, best.defect_recall, best.aql),
        (Some(0.8), Some(1.0), Some(0.0))
    );
    let options = ReportOptions {
        threshold: Some(0.85),
        bootstrap: None,
    };
    let given = Report::new(&data, &options, Seed::new(0)).unwrap();
    assert_eq!(given.confusion, [vec![2, 0], vec![1, 1]]);
    assert_eq!(given.aql, Some(50.0));
}

#[test]
fn good_pieces_alone_leave_most_measures_undefined_and_say_so() {
    let r = report(&binary(&[0, 0], &[0.1, 0.8]));
    assert_eq!(
        (r.roc_auc, r.auc_pr, r.f1, r.threshold),
        (None, None, None, None)
    );
    assert!(r.notes[0].contains("no defective piece"), "{:?}", r.notes);
    let json = serde_json::to_value(&r).unwrap();
    assert!(json["roc_auc"].is_null());
}

#[test]
fn classes_are_judged_by_the_most_probable_and_defects_by_the_score() {
    let probabilities = vec![
        vec![0.6, 0.2, 0.2],
        vec![0.2, 0.5, 0.3], // a print error taken as such
        vec![0.1, 0.6, 0.3], // a physical one taken for a print error
    ];
    let data = Labelled {
        classes: vec!["good".into(), "print".into(), "physical".into()],
        truth: vec![0, 1, 2],
        scores: probabilities.iter().map(|p| 1.0 - p[0]).collect(),
        probabilities: Some(probabilities),
        groups: None,
    };
    let r = report(&data);
    assert_eq!(r.roc_auc, Some(1.0));
    assert_eq!(r.defect_recall, Some(1.0));
    assert_eq!(r.correct_defect_class_recall, Some(0.5));
    assert_eq!(r.accuracy, Some(2.0 / 3.0));
    assert_eq!(r.defect_recall_by_class["physical"], 1.0);
    assert_eq!(r.per_class["physical"].scores.recall, 0.0);
}

#[test]
fn intervals_enclose_the_value_and_come_from_the_seed() {
    let truth: Vec<usize> = (0..60).map(|i| usize::from(i % 3 == 0)).collect();
    let scores: Vec<f64> = (0..60)
        .map(|i| f64::from((i * 37) % 60) / 60.0 + truth[i as usize] as f64 * 0.3)
        .collect();
    let options = ReportOptions {
        threshold: None,
        bootstrap: Some(BootstrapOptions {
            resamples: 200,
            level: 0.9,
        }),
    };
    let make = |seed| Report::new(&binary(&truth, &scores), &options, Seed::new(seed)).unwrap();
    let r = make(1);
    let interval = r.intervals["roc_auc"];
    assert!(interval.low < r.roc_auc.unwrap() && r.roc_auc.unwrap() < interval.high);
    assert_eq!(r, make(1));
    assert_ne!(r.intervals, make(2).intervals);
}

#[test]
fn scores_that_chance_may_have_ranked_are_called_so() {
    let truth: Vec<usize> = (0..60).map(|i| usize::from(i % 3 == 0)).collect();
    let scores = |skill: f64| -> Vec<f64> {
        let of = |(i, t): (usize, &usize)| ((i * 37) % 60) as f64 / 60.0 + *t as f64 * skill;
        truth.iter().enumerate().map(of).collect()
    };
    let by_chance = report(&binary(&truth, &scores(0.0)));
    let told = "is no evidence that defects are told from good pieces";
    assert!(
        by_chance.notes.iter().any(|n| n.contains(told)),
        "{:?}",
        by_chance.notes
    );
    let skilled = report(&binary(&truth, &scores(0.6)));
    assert!(skilled.notes.is_empty(), "{:?}", skilled.notes);
}
