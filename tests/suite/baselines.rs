//! The supervised baselines: trained, scored with, set beside a hybrid, varied.

use crate::tools::{goma, rows, stderr, stdout, workshop};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Settings that train in a second or two.
const TINY: [&str; 12] = [
    "--set",
    "baseline.size=32",
    "--set",
    "baseline.epochs=2",
    "--set",
    "baseline.batch=8",
    "--set",
    "baseline.start=random",
    "--set",
    "baseline.width=4",
    "--set",
    "baseline.cnn.layers=[{filters=4},{filters=8}]",
];

fn train(model: &str, out: &Path, more: &[&str]) -> assert_cmd::assert::Assert {
    goma()
        .arg("train")
        .arg(workshop().join("erasers"))
        .args(["--model", model, "--classes", "binary", "--out"])
        .arg(out)
        .args(TINY)
        .args(more)
        .assert()
}

/// A tiny ResNet-18, trained once.
pub fn resnet() -> PathBuf {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        train("resnet18", &folder.path().join("resnet18"), &[]).success();
        folder
    });
    folder.path().join("resnet18")
}

#[test]
fn a_baseline_s_bundle_is_whole_and_says_what_it_was_measured_at() {
    let model = resnet();
    for file in [
        "manifest.json",
        "network.safetensors",
        "epochs.csv",
        "epochs.svg",
        "epochs.png",
        "precision-recall.svg",
        "confusion.png",
        "evaluation.json",
        "settings.toml",
        "README.md",
    ] {
        assert!(model.join(file).is_file(), "{file}");
    }
    assert!(!model.join("baseline.checkpoint").exists());
    let csv = fs::read_to_string(model.join("epochs.csv")).unwrap();
    assert_eq!(csv.lines().count(), 3);
    let text = fs::read(model.join("evaluation.json")).unwrap();
    let evaluation: serde_json::Value = serde_json::from_slice(&text).unwrap();
    assert!(evaluation["arms"]["resnet18"]["kappa"].is_number());
}

#[test]
fn a_baseline_scores_with_heatmaps_and_the_contract_s_columns() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("scored");
    goma()
        .arg("score")
        .arg(resnet())
        .arg(workshop().join("erasers"))
        .args(["--maps", "--out"])
        .arg(&out)
        .assert()
        .success();
    let table = fs::read_to_string(out.join("scores.csv")).unwrap();
    assert!(table.starts_with(
        "id,path,status,decision,class,p_defect,anomaly_score,threshold,heatmap,message,p_good,"
    ));
    let rows = rows(&out.join("scores.csv"));
    assert_eq!(rows.len(), 90);
    for row in rows.values() {
        assert_eq!((row[2].as_str(), row[6].as_str()), ("ok", ""));
        assert!(out.join(&row[8]).is_file());
    }
    assert!(
        fs::read_to_string(out.join("report.html"))
            .unwrap()
            .contains("resnet18")
    );
}

#[test]
fn two_bundles_beside_each_other_are_scored_and_compared() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("both");
    let score = |out: &Path, beside: &[&str]| {
        goma()
            .arg("score")
            .arg(workshop().join("model"))
            .arg(workshop().join("erasers"))
            .args(beside)
            .arg("--out")
            .arg(out)
            .assert()
            .success();
    };
    let resnet = resnet();
    score(&out, &["--beside", &resnet.to_string_lossy()]);
    let table = fs::read_to_string(out.join("scores.csv")).unwrap();
    let head = table.lines().next().unwrap();
    assert!(
        head.ends_with(",beside_p_defect,beside_decision,beside_class"),
        "{head}"
    );
    // The second verdict is that of the second bundle alone; the first is untouched.
    let (alone, first) = (folder.path().join("alone"), folder.path().join("first"));
    goma()
        .arg("score")
        .arg(&resnet)
        .arg(workshop().join("erasers"))
        .arg("--out")
        .arg(&alone)
        .assert()
        .success();
    score(&first, &[]);
    let [both, alone, first] = [&out, &alone, &first].map(|f| rows(&f.join("scores.csv")));
    for (id, row) in &both {
        let n = row.len();
        assert_eq!(
            [&row[n - 3], &row[n - 2], &row[n - 1]],
            [&alone[id][5], &alone[id][3], &alone[id][4]]
        );
        assert_eq!(row[..n - 3], first[id][..]);
    }
    let report = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(report.contains("both decide alike") && report.contains("beside-filter"));

    let ran = goma()
        .arg("evaluate")
        .arg(workshop().join("model"))
        .arg(workshop().join("erasers"))
        .arg("--beside")
        .arg(&resnet)
        .args(["--json", "--bootstrap", "50", "--plots"])
        .arg(folder.path().join("plots"))
        .assert()
        .success();
    let json: serde_json::Value = serde_json::from_str(&stdout(&ran)).unwrap();
    let p = json["beside"]["paired"]["mcnemar"]["p_value"]
        .as_f64()
        .unwrap();
    assert!((0.0..=1.0).contains(&p));
    assert!(json["beside"]["paired"]["measures"]["auc_pr"]["interval"]["low"].is_number());
    for file in [
        "precision-recall.png",
        "confusion.svg",
        "confusion-beside.svg",
    ] {
        assert!(folder.path().join("plots").join(file).is_file(), "{file}");
    }
}

#[test]
fn the_same_seed_trains_the_same_network_whatever_the_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let of = |threads: &str| {
        let out = folder.path().join(threads);
        train("cnn", &out, &["--threads", threads, "--seed", "4"]).success();
        let mut manifest = fs::read_to_string(out.join("manifest.json")).unwrap();
        // The bundle is named by its folder.
        manifest = manifest.replace(&format!("\"name\": \"{threads}\""), "");
        (fs::read(out.join("network.safetensors")).unwrap(), manifest)
    };
    assert_eq!(of("1"), of("3"));
}

#[test]
fn a_summary_lists_layers_and_trains_nothing() {
    let ran = goma()
        .arg("train")
        .arg(workshop().join("erasers"))
        .args(["--model", "resnet50", "--summary"])
        .assert()
        .success();
    let text = stdout(&ran);
    assert!(
        text.contains("layer4.2: bottleneck") && text.contains("all"),
        "{text}"
    );
    let ran = goma()
        .arg("train")
        .arg(workshop().join("erasers"))
        .args(["--model", "hybrid", "--summary"])
        .assert()
        .code(2);
    assert!(stderr(&ran).contains("supervised"));
}

#[test]
fn wrong_settings_of_a_baseline_are_named() {
    let folder = tempfile::tempdir().unwrap();
    for (flags, word) in [
        (vec!["--freeze", "layer0"], "freeze"),
        (vec!["--set", "baseline.balance=twice"], "twice"),
        (vec!["--set", "baseline.augment.rotation=-1"], "rotation"),
        (vec!["--set", "baseline.cnn.layers=[]"], "layers"),
        (vec!["--set", "baseline.optimizer=sgd"], "optimizer"),
    ] {
        let ran = train("cnn", &folder.path().join("x"), &flags).code(2);
        assert!(stderr(&ran).contains(word), "{flags:?}: {}", stderr(&ran));
    }
    assert!(!folder.path().join("x").exists());
}

#[test]
fn a_bundle_that_was_tampered_with_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy");
    fs::create_dir(&copy).unwrap();
    for file in ["manifest.json", "network.safetensors"] {
        fs::copy(resnet().join(file), copy.join(file)).unwrap();
    }
    let score = |out: &str| {
        goma()
            .arg("score")
            .arg(&copy)
            .arg(workshop().join("erasers"))
            .arg("--out")
            .arg(folder.path().join(out))
            .assert()
            .code(1)
    };
    let mut bytes = fs::read(copy.join("network.safetensors")).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(copy.join("network.safetensors"), &bytes).unwrap();
    assert!(stderr(&score("a")).contains("network.safetensors"));
    // A manifest that asks for a giant is refused before memory is taken.
    let manifest = fs::read_to_string(resnet().join("manifest.json")).unwrap();
    let giant = manifest.replace("\"width\": 4,", "\"width\": 4000000,");
    assert_ne!(giant, manifest);
    fs::write(copy.join("manifest.json"), giant).unwrap();
    assert!(stderr(&score("b")).contains("out of range"));
}

#[test]
fn an_ablation_goes_on_where_it_was_and_writes_tables_and_plots() {
    let folder = tempfile::tempdir().unwrap();
    let grid = folder.path().join("grid.toml");
    fs::write(
        &grid,
        r#"
        title = "Two step sizes"
        set = ["model=cnn", "classes=binary", "baseline.size=32", "baseline.epochs=1",
               "baseline.batch=8", "baseline.cnn.layers=[{filters=4},{filters=8}]"]
        seeds = [0, 1]
        [[factor]]
        name = "step size"
        value = [{ name = "base" }, { name = "large", set = ["baseline.learning_rate=1e-2"] }]
        "#,
    )
    .unwrap();
    let out = folder.path().join("ablation");
    let ablate = |more: &[&str]| {
        goma()
            .arg("ablate")
            .arg(workshop().join("erasers"))
            .arg("--grid")
            .arg(&grid)
            .arg("--out")
            .arg(&out)
            .args(more)
            .assert()
    };
    ablate(&["--seeds", "0"]).success();
    let runs = |out: &Path| fs::read_dir(out.join("runs")).unwrap().count();
    assert_eq!(runs(&out), 2);
    ablate(&[]).code(1);
    let ran = ablate(&["--resume"]).success();
    assert!(stdout(&ran).contains("| large"), "{}", stdout(&ran));
    assert_eq!(runs(&out), 4);
    let csv = fs::read_to_string(out.join("ablation.csv")).unwrap();
    assert_eq!(csv.lines().count(), 5);
    for file in [
        "ablation.md",
        "step-size.png",
        "step-size-precision-recall.svg",
        "step-size-0-confusion.svg",
    ] {
        assert!(out.join(file).is_file(), "{file}");
    }
    assert!(
        fs::read_to_string(out.join("ablation.md"))
            .unwrap()
            .contains('±')
    );
}
