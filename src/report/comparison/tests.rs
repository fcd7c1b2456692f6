use super::*;
use crate::comparison::differences;
use crate::comparison::fits::PredictedPiece;
use crate::comparison::measure::{self, Outcome};
use crate::comparison::{ArmName, FoldSize, OutOfFold, Task};
use crate::data::annotation::{Annotation, Label};
use crate::data::format::PixelFormat;
use crate::data::layout::Layout;
use crate::data::sample::{Channel, PixelSource, Sample, SampleId};
use crate::random::Seed;

const FOLDS: usize = 10;
/// Good and defective pieces of a fold.
const OF_FOLD: usize = 8;

/// Pieces with a hostile class name among them.
fn dataset() -> Dataset {
    let classes = ["good", "<b>|chip", "stain"].map(String::from).to_vec();
    let sample = |i: usize| Sample {
        id: SampleId::new(format!("{i}")),
        source: PixelSource::File("x.png".into()),
        annotation: Some(Annotation::original(Label::new(&*classes[class_of(i)]))),
        group: i.is_multiple_of(5).then(|| format!("g{i}")),
        mask: None,
        split: None,
    };
    Dataset {
        root: "x".into(),
        layout: Layout::Folders,
        samples: (0..FOLDS * OF_FOLD).map(sample).collect(),
        missing: Vec::new(),
        format: PixelFormat::new(vec![Channel::new("GRAY")]),
        classes,
        notes: Vec::new(),
    }
}

fn class_of(i: usize) -> usize {
    [0, 1, 0, 2, 0, 1, 0, 0][i % OF_FOLD]
}

/// `map` finds every defect, `image` those of the first `found` folds.
fn arm(
    dataset: &Dataset,
    task: Task,
    input: &'static str,
    defects: u32,
    found: usize,
) -> ArmResult {
    let name = ArmName {
        task: task.name(),
        input,
        classifier: "mlp",
        balance: "weights",
        defects,
    };
    let classes = match task {
        Task::Binary => ["good", "defect"].map(String::from).to_vec(),
        Task::MultiClass => dataset.classes.clone(),
    };
    let mut predictions = Vec::new();
    let folds: Vec<Option<Vec<Outcome>>> = (0..FOLDS)
        .map(|fold| {
            let outcomes = (0..OF_FOLD).map(|j| {
                let sample = fold * OF_FOLD + j;
                let truth = class_of(sample);
                // Of the folds where not all are found, some more than others.
                let missed = truth > 0 && fold >= found && j >= fold % 3;
                let predicted = if missed { 0 } else { truth };
                let predicted = if task == Task::Binary {
                    predicted.min(1)
                } else {
                    predicted
                };
                let mut probabilities = vec![0.1 / classes.len() as f64; classes.len()];
                probabilities[predicted] += 0.9;
                let score = 1.0 - probabilities[0] + 1e-4 * sample as f64;
                predictions.push(OutOfFold {
                    fold: fold + 1,
                    sample,
                    threshold: (task == Task::Binary).then_some(0.5),
                    piece: PredictedPiece {
                        id: dataset.samples[sample].id.clone(),
                        score,
                        probabilities: probabilities.clone(),
                        predicted,
                    },
                });
                Outcome {
                    truth,
                    score,
                    probabilities,
                    predicted,
                }
            });
            Some(outcomes.collect())
        })
        .collect();
    let groups: Vec<usize> = (0..FOLDS * OF_FOLD).collect();
    let measures =
        measure::measured(task, &dataset.classes, &folds, &groups, None, Seed::new(0)).unwrap();
    ArmResult {
        name,
        classes,
        measures,
        not_fitted: Vec::new(),
        predictions,
    }
}

fn comparison(dataset: &Dataset) -> Comparison {
    let mut arms = Vec::new();
    for task in Task::ALL {
        for (defects, found) in [(25, 0), (100, 1)] {
            arms.push(arm(dataset, task, "image", defects, found));
            arms.push(arm(dataset, task, "image+map", defects, 10));
        }
    }
    let named: Vec<_> = arms.iter().map(|a| (a.name.clone(), &a.measures)).collect();
    let differences = differences::differences(&named).unwrap();
    Comparison {
        differences,
        folds: (0..FOLDS)
            .map(|_| FoldSize {
                anomaly_pieces: 30,
                fitted_pieces: 42,
                test: [("good".to_string(), 5)].into(),
            })
            .collect(),
        notes: vec!["a note".into()],
        unreadable: Vec::new(),
        arms,
    }
}

fn facts() -> Facts {
    Facts {
        goma: "0.1.0".into(),
        data: "80 pieces".into(),
        seed: 1,
        settings: "[draem]".into(),
        unreadable: vec![("7".into(), "<i>truncated</i>".into())],
    }
}

#[test]
fn all_files_are_there_and_those_of_former_arms_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = dataset();
    let comparison = comparison(&dataset);
    std::fs::create_dir(folder.path().join("predictions")).unwrap();
    let old = folder
        .path()
        .join("predictions/binary_map_svm_weights_100.csv");
    std::fs::write(&old, "old").unwrap();
    write(folder.path(), &comparison, &dataset, &facts()).unwrap();
    assert!(!old.exists());
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let json: serde_json::Value = serde_json::from_str(&read(JSON)).unwrap();
    assert_eq!(json["arms"].as_array().unwrap().len(), 8);
    assert_eq!(json["arms"][1]["measures"]["defect_recall"]["mean"], 1.0);
    assert_eq!(json["arms"][0]["input"], "image");
    let csv = read("compare.csv");
    assert!(csv.starts_with("task,input,classifier,balance,defects,fold,measure,value\n"));
    assert!(csv.contains("\nbinary,image+map,mlp,weights,100,all,defect_recall,1.0\n"));
    for name in [
        "roc_binary_mlp-weights",
        "recall-by-fraction_multi-class_mlp-weights",
    ] {
        for ending in ["svg", "png"] {
            assert!(
                folder
                    .path()
                    .join(format!("plots/{name}.{ending}"))
                    .is_file(),
                "{name}"
            );
        }
    }
    let html = read("compare.html");
    assert!(!html.contains("<b>|chip") && !html.contains("<i>truncated"));
    assert!(
        !html.contains("http://www.") || html.contains("xmlns"),
        "it opens offline"
    );
    assert!(read("compare.md").contains("\\|chip"));
}

#[test]
fn predictions_can_be_measured_by_others() {
    let dataset = dataset();
    let binary = predictions(&arm(&dataset, Task::Binary, "map", 100, 10), &dataset).unwrap();
    let lines: Vec<&str> = binary.lines().collect();
    assert_eq!(
        lines[0],
        "id,label,group,fold,class,score,threshold,predicted,p_good,p_defect"
    );
    assert!(
        lines[2].starts_with("1,defect,1,1,<b>|chip,"),
        "{}",
        lines[2]
    );
    assert!(lines[1].starts_with("0,good,g0,1,good,"), "{}", lines[1]);
    let multi = predictions(&arm(&dataset, Task::MultiClass, "map", 100, 10), &dataset).unwrap();
    assert!(multi.lines().nth(2).unwrap().starts_with("1,<b>|chip,"));
}

#[test]
fn what_differs_from_image_alone_is_bold() {
    let tables = tables::all(&comparison(&dataset()));
    let titles: Vec<&str> = tables.iter().map(|t| t.title.as_str()).collect();
    assert_eq!(titles[0], "Table 2: binary, 100% of the defects");
    assert_eq!(titles[1], "Table 3: binary, by share of the defects");
    let recall = tables[0]
        .head
        .iter()
        .position(|h| h == "defect recall")
        .unwrap();
    let cells: Vec<(&str, &str, bool)> = tables[0]
        .rows
        .iter()
        .map(|r| (r[0].text.as_str(), r[recall].text.as_str(), r[recall].bold))
        .collect();
    // Image alone misses defects in nine of ten folds: p = 2 / 2^9 < 0.005.
    assert_eq!(cells[1], ("image+map", "1.000 ± 0.000", true));
    assert!(!cells[0].2);
    assert!(tables[0].markdown().contains("**1.000 ± 0.000**"));
    let specificity = tables[0]
        .head
        .iter()
        .position(|h| h == "specificity")
        .unwrap();
    assert!(!tables[0].rows[1][specificity].bold);
}
