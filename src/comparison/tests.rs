//! That nothing of a test fold is seen before it is scored.

use super::*;
use crate::classifier::ClassifierOptions;
use crate::data::annotation::{Annotation, GOOD, Label};
use crate::data::feature_table::FeatureTable;
use crate::data::format::PixelFormat;
use crate::data::layout::Layout;
use crate::data::sample::{Channel, PixelSource, Sample, SampleId};
use crate::metrics::roc_auc;
use crate::progress::Silent;
use crate::random::Seed;
use crate::settings::{FittingOptions, MapFitting};
use ndarray::Array2;
use rand::Rng;

/// 120 pieces, a third of them defective, three of each group.
pub(super) fn dataset() -> Dataset {
    let sample = |i: usize| Sample {
        id: SampleId::new(format!("{i:03}")),
        source: PixelSource::File("none.png".into()),
        annotation: Some(Annotation::original(Label::new(match i % 6 {
            0 => "chip",
            1 => "stain",
            _ => GOOD,
        }))),
        group: Some(format!("g{}", i / 3)),
        mask: None,
        split: None,
    };
    Dataset {
        root: "none".into(),
        layout: Layout::Folders,
        samples: (0..120).map(sample).collect(),
        missing: Vec::new(),
        format: PixelFormat::new(vec![Channel::new("GRAY")]),
        classes: [GOOD, "chip", "stain"].map(String::from).to_vec(),
        notes: Vec::new(),
    }
}

pub(super) fn divisions(dataset: &Dataset, maps: MapFitting) -> Vec<Division<'_>> {
    let options = FittingOptions {
        maps,
        ..FittingOptions::default()
    };
    let seed = stages::root(3);
    let folds = Fold::k_fold(dataset, 5, seed).unwrap();
    let divide = |(n, fold)| Division::new(dataset, fold, n, &options, seed).unwrap();
    folds.iter().enumerate().map(divide).collect()
}

/// Rows of some pieces: noise, and one column that `planted` fills.
fn table(
    dataset: &Dataset,
    pieces: &[usize],
    seed: Seed,
    planted: impl Fn(usize, f64) -> f64,
) -> Table {
    let mut rng = seed.rng();
    let mut columns: Vec<String> = (0..12).map(|c| format!("image.{c:04}")).collect();
    columns.push("map.0000".into());
    let width = columns.len();
    let values = Array2::from_shape_fn((pieces.len(), width), |(row, column)| {
        let noise = rng.random::<f64>();
        if column + 1 == width {
            planted(pieces[row], noise)
        } else {
            noise
        }
    });
    let ids = pieces
        .iter()
        .map(|&i| dataset.samples[i].id.clone())
        .collect();
    let scores = values.column(width - 1).to_vec();
    Table {
        features: FeatureTable::new(ids, columns, values).unwrap(),
        scores,
    }
}

pub(super) fn defective(dataset: &Dataset, i: usize) -> bool {
    dataset.samples[i].label() != Some(GOOD)
}

/// ROC AUC over all folds of an arm, on tables whose planted column is filled
/// by one function in training rows and by another in test rows.
fn auc_of(
    classifier: ClassifierOptions,
    training: impl Fn(&Dataset, usize, f64) -> f64 + Copy,
    test: impl Fn(&Dataset, usize, f64) -> f64 + Copy,
) -> f64 {
    let dataset = dataset();
    let binary = dataset.seen_as(ClassView::Binary).unwrap();
    let settings = Settings::default();
    let arm = Arm {
        task: Task::Binary,
        defects: 100,
        decider: Decider::Features {
            input: InputMode::ImageAndMap,
            classifier,
        },
    };
    let (mut scores, mut truth) = (Vec::new(), Vec::new());
    for division in divisions(&dataset, MapFitting::HeldOut) {
        let seed = Seed::new(division.number as u64);
        let fitting = table(&dataset, division.fitting.indices(), seed, |i, noise| {
            training(&dataset, i, noise)
        });
        let tested = table(
            &dataset,
            &division.test,
            seed.derive("test", 0),
            |i, noise| test(&dataset, i, noise),
        );
        let set = with_defects(&arm, &division).unwrap();
        let set = set.seen_in(&binary);
        let rows = TrainingRows::new(&set, &fitting, division.good_repeat);
        let how = Fitting {
            view: &binary,
            settings: &settings,
            seed: division.seed,
        };
        let fitted = fits::fit(&arm, &rows, &how, &Silent).unwrap().unwrap();
        let said = fitted.predict(&TestRows::new(&tested)).unwrap();
        for (piece, &i) in said.pieces.iter().zip(&division.test) {
            assert_eq!(piece.id, dataset.samples[i].id);
            scores.push(piece.score);
            truth.push(defective(&dataset, i));
        }
    }
    assert_eq!(scores.len(), 120);
    roc_auc(&scores, &truth).unwrap()
}

#[test]
fn a_column_that_tells_the_label_of_test_rows_alone_is_of_no_use() {
    // Whoever looked at the test rows would keep this column, and know all,
    // whichever way round it tells. Who does not gives it a weight by chance:
    // of some use one way round, of as much harm the other.
    let tell = |d: &Dataset, i, _| f64::from(u8::from(defective(d, i)));
    let inverted = |d: &Dataset, i, _| f64::from(u8::from(!defective(d, i)));
    let noise = |_: &Dataset, _, noise| noise;
    for classifier in [ClassifierOptions::logistic(), ClassifierOptions::svm()] {
        let leaky = (auc_of(classifier, noise, tell) + auc_of(classifier, noise, inverted)) / 2.0;
        // 40 defects and 80 good pieces at chance: 0.5 ± 0.056 (one deviation).
        assert!((leaky - 0.5).abs() < 0.12, "{}: {leaky}", classifier.name());
    }
}

#[test]
fn a_column_that_tells_the_label_everywhere_is_used() {
    let tell = |d: &Dataset, i, noise: f64| f64::from(u8::from(defective(d, i))) + 0.2 * noise;
    for classifier in [ClassifierOptions::logistic(), ClassifierOptions::svm()] {
        let honest = auc_of(classifier, tell, tell);
        assert!(honest > 0.99, "{}: {honest}", classifier.name());
    }
}

/// Everything that a fold's arms are fitted to, as bytes.
fn fitted_bytes(dataset: &Dataset, classifier: ClassifierOptions) -> Vec<Vec<u8>> {
    let binary = dataset.seen_as(ClassView::Binary).unwrap();
    let settings = Settings::default();
    let whole = self::dataset();
    // The folds are those of the untouched data: labels stratify them.
    let divisions = divisions(&whole, MapFitting::HeldOut);
    let division = &divisions[0];
    let mut bytes = Vec::new();
    for task in Task::ALL {
        let view = if task == Task::Binary {
            &binary
        } else {
            dataset
        };
        let arm = Arm {
            task,
            defects: 50,
            decider: Decider::Features {
                input: InputMode::ImageAndMap,
                classifier,
            },
        };
        // Rows as the stages give them: of the pieces that are fitted on.
        let fitting = table(
            &whole,
            division.fitting.indices(),
            Seed::new(1),
            |i, noise| noise + if i % 6 < 2 { 0.5 } else { 0.0 },
        );
        let set = with_defects(&arm, division).unwrap();
        let set = set.seen_in(view);
        let rows = TrainingRows::new(&set, &fitting, 1);
        let how = Fitting {
            view,
            settings: &settings,
            seed: division.seed,
        };
        let fitted = fits::fit(&arm, &rows, &how, &Silent).unwrap().unwrap();
        let (_, selection, classifier) = fitted.classifier.unwrap();
        bytes.push(serde_json::to_vec(&selection).unwrap());
        bytes.push(classifier.to_bytes().unwrap());
        bytes.push(serde_json::to_vec(&fitted.rule).unwrap());
    }
    bytes
}

/// The data set with good and defective the other way round for some pieces.
pub(super) fn swapped(of: &[usize]) -> Dataset {
    let mut changed = dataset();
    for &i in of {
        let other = if defective(&changed, i) { GOOD } else { "chip" };
        changed.samples[i].annotation = Some(Annotation::original(Label::new(other)));
    }
    changed
}

#[test]
fn labels_of_test_pieces_change_nothing_that_is_fitted() {
    let untouched = dataset();
    let division = &divisions(&untouched, MapFitting::HeldOut)[0];
    let logistic = ClassifierOptions::logistic();
    let before = fitted_bytes(&untouched, logistic);
    assert_eq!(fitted_bytes(&swapped(&division.test), logistic), before);
    // That the comparison can fail: training labels do matter.
    let trained = &division.fitting.indices()[..10];
    assert_ne!(fitted_bytes(&swapped(trained), logistic), before);
}

#[test]
fn no_model_learns_from_a_test_piece_or_from_one_whose_map_is_fitted_on() {
    let dataset = dataset();
    for maps in [MapFitting::HeldOut, MapFitting::CrossFit, MapFitting::Seen] {
        let mut tested = Vec::new();
        for division in divisions(&dataset, maps) {
            let group = |i: &usize| dataset.samples[*i].group.clone().unwrap();
            let test_groups: Vec<String> = division.test.iter().map(group).collect();
            let drawn: Vec<usize> = division
                .sources
                .iter()
                .flat_map(|s| s.fitting.clone())
                .collect();
            assert_eq!(drawn.len(), division.fitting.len());
            for source in &division.sources {
                for i in source.learns.indices() {
                    assert!(!defective(&dataset, *i));
                    assert!(!test_groups.contains(&group(i)));
                    assert!(maps == MapFitting::Seen || !source.fitting.contains(i));
                }
            }
            for i in division.fitting.indices() {
                assert!(!test_groups.contains(&group(i)));
            }
            let asked: Vec<usize> = division
                .sources
                .iter()
                .flat_map(|s| s.test.clone())
                .collect();
            assert_eq!(asked, division.test);
            tested.extend(asked);
        }
        tested.sort_unstable();
        assert_eq!(tested, (0..120).collect::<Vec<_>>());
    }
}

#[test]
fn training_rows_hold_no_piece_outside_their_set() {
    let dataset = dataset();
    let division = &divisions(&dataset, MapFitting::HeldOut)[0];
    // A table with too much in it, test pieces among them.
    let all: Vec<usize> = (0..120).collect();
    let everything = table(&dataset, &all, Seed::new(0), |_, noise| noise);
    let rows = TrainingRows::new(&division.fitting, &everything, 1);
    let ids = rows.on().rows.features.as_ref().unwrap().ids().to_vec();
    let expected: Vec<SampleId> = division.fitting.samples().map(|s| s.id.clone()).collect();
    assert_eq!(ids, expected);
    assert!(
        division
            .test
            .iter()
            .all(|&i| !ids.contains(&dataset.samples[i].id))
    );
}

#[test]
fn a_piece_that_has_no_row_is_left_out() {
    let dataset = dataset();
    let division = &divisions(&dataset, MapFitting::HeldOut)[0];
    let readable = &division.fitting.indices()[3..];
    let some = table(&dataset, readable, Seed::new(0), |_, noise| noise);
    let rows = TrainingRows::new(&division.fitting, &some, 1);
    assert_eq!(rows.scores(), some.scores);
    let first = &rows.on().samples[rows.on().rows.places[0]].id;
    assert_eq!(first, &some.features.ids()[0]);
}

#[test]
fn one_defect_class_leaves_the_binary_task_alone() {
    let mut dataset = dataset();
    let arms = ArmOptions::default().arms().unwrap();
    let (binary, kept, notes) = views(&dataset, arms.clone()).unwrap();
    assert_eq!(binary.classes, [GOOD, "defect"]);
    assert_eq!((kept.len(), notes.len()), (arms.len(), 0));
    for sample in &mut dataset.samples {
        if sample.label() != Some(GOOD) {
            sample.annotation = Some(Annotation::original(Label::new("chip")));
        }
    }
    dataset.classes.truncate(2);
    let (_, kept, notes) = views(&dataset, arms).unwrap();
    assert!(kept.iter().all(|a| a.task == Task::Binary) && notes.len() == 1);
}
