//! `goma compare`: the whole way, killed and resumed, from a warm and from a
//! damaged cache.

use crate::tools::{TINY, goma, stderr, stdout, workshop};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// What, beside [`TINY`], makes a comparison of seconds.
const FEW: [&str; 10] = [
    "--folds",
    "3",
    "--classifiers",
    "logistic",
    "--bootstrap",
    "50",
    "--seed",
    "4",
    "--classes",
    "three",
];

/// All defects, and maps of all training pieces: of so few packs the kept-back
/// ones alone leave a network nothing to choose its threshold on.
const ALL_PIECES: [&str; 6] = [
    "--fractions",
    "100",
    "--set",
    "fitting.maps=cross-fit",
    "--set",
    "fitting.cross_fit_parts=2",
];

const HALF_AND_ALL: [&str; 2] = ["--fractions", "50,100"];

fn compare(out: &Path) -> assert_cmd::Command {
    compare_of(&HALF_AND_ALL, out)
}

/// A comparison of seconds of these pieces.
fn compare_of(pieces: &[&str], out: &Path) -> assert_cmd::Command {
    let mut command = goma();
    command
        .arg("compare")
        .arg(workshop().join("erasers"))
        .args(TINY)
        .args(FEW)
        .args(pieces)
        .arg("--out")
        .arg(out);
    command
}

/// Every result file's bytes; the cache is none.
fn results(out: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for folder in ["", "predictions", "plots"] {
        for entry in fs::read_dir(out.join(folder)).unwrap().flatten() {
            if entry.path().is_file() {
                let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
                found.insert(name, fs::read(entry.path()).unwrap());
            }
        }
    }
    found
}

fn data_files(cache: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for kind in fs::read_dir(cache).into_iter().flatten().flatten() {
        for entry in fs::read_dir(kind.path()).into_iter().flatten().flatten() {
            if entry.path().extension().is_some_and(|e| e == "data") {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

#[test]
fn a_comparison_is_planned_killed_resumed_and_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    let ran = compare(&whole).arg("--dry-run").assert().success();
    assert!(stdout(&ran).contains("anomaly models"), "{}", stdout(&ran));
    assert!(!whole.exists(), "a dry run writes nothing");
    compare(&whole).assert().success();
    let expected = results(&whole);
    assert!(expected.contains_key("/compare.json"));
    assert!(expected.contains_key("/compare.html"));

    // Killed in the middle, again and again, then resumed to the end.
    let killed = folder.path().join("killed");
    for wanted in [3, 9] {
        let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin("goma"));
        command
            .args(["-q", "compare"])
            .arg(workshop().join("erasers"))
            .args(TINY)
            .args(FEW)
            .args(HALF_AND_ALL)
            .arg("--out")
            .arg(&killed)
            .arg("--resume")
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null());
        let mut child = command.spawn().unwrap();
        let begun = Instant::now();
        while data_files(&killed.join("cache")).len() < wanted
            && begun.elapsed() < Duration::from_secs(120)
            && child.try_wait().unwrap().is_none()
        {
            std::thread::sleep(Duration::from_millis(2));
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(
        !killed.join("compare.json").exists(),
        "it was killed before the end"
    );
    compare(&killed).assert().code(1); // neither --force nor --resume
    compare(&killed)
        .args(["--resume", "--jobs", "2", "--threads", "2"])
        .assert()
        .success();
    assert_eq!(results(&killed), expected);

    // Nothing is left to do; a damaged entry is made anew.
    let plan = |out: &Path| {
        let ran = compare(out)
            .args(["--dry-run", "--json"])
            .assert()
            .success();
        let plan: serde_json::Value = serde_json::from_str(&stdout(&ran)).unwrap();
        let of = |key: &str| -> u64 {
            let stages = plan["stages"].as_array().unwrap();
            stages.iter().map(|s| s[key].as_u64().unwrap()).sum()
        };
        (of("count"), of("ready"))
    };
    let (count, ready) = plan(&killed);
    assert_eq!(count, ready);
    let files = data_files(&killed.join("cache"));
    for (i, file) in files.iter().enumerate() {
        let mut bytes = fs::read(file).unwrap();
        let at = bytes.len() / 2;
        bytes[at] ^= 1 << (i % 8);
        fs::write(file, bytes).unwrap();
    }
    let mut command = assert_cmd::Command::cargo_bin("goma").unwrap();
    let ran = command
        .arg("compare")
        .arg(workshop().join("erasers"))
        .args(TINY)
        .args(FEW)
        .args(HALF_AND_ALL)
        .arg("--out")
        .arg(&killed)
        .arg("--resume")
        .assert()
        .success();
    assert!(stderr(&ran).contains("damaged"), "{}", stderr(&ran));
    assert_eq!(results(&killed), expected);
}

#[test]
fn another_classifier_trains_no_model_and_predictions_are_measured_alike() {
    let folder = tempfile::tempdir().unwrap();
    let (out, cache) = (folder.path().join("out"), folder.path().join("shared"));
    compare(&out).arg("--cache").arg(&cache).assert().success();
    let models = || {
        let made = |file: &std::path::PathBuf| {
            (!file.to_string_lossy().contains("predictions")).then(|| {
                (
                    file.clone(),
                    fs::metadata(file).unwrap().modified().unwrap(),
                )
            })
        };
        data_files(&cache)
            .iter()
            .filter_map(made)
            .collect::<Vec<_>>()
    };
    let before = models();
    assert!(!before.is_empty());
    compare(&out)
        .arg("--cache")
        .arg(&cache)
        .args(["--classifiers", "svm", "--resume"])
        .assert()
        .success();
    assert_eq!(models(), before);
    let table = out.join("predictions/multi-class_image+map_svm_weights_100.csv");
    let ran = goma()
        .args(["evaluate", "--json", "--predictions"])
        .arg(&table)
        .assert()
        .success();
    let report: serde_json::Value = serde_json::from_str(&stdout(&ran)).unwrap();
    let compared: serde_json::Value =
        serde_json::from_slice(&fs::read(out.join("compare.json")).unwrap()).unwrap();
    let arm = compared["arms"]
        .as_array()
        .unwrap()
        .iter()
        .find(|a| {
            let [task, input, classifier] =
                ["task", "input", "classifier"].map(|key| a[key].as_str());
            (task, input) == (Some("multi-class"), Some("image+map"))
                && (classifier, a["defects"].as_u64()) == (Some("svm"), Some(100))
        })
        .unwrap();
    let pooled = |measure: &str| arm["measures"][measure]["pooled"].as_f64().unwrap();
    for (measure, key) in [
        ("defect_roc_auc", "roc_auc"),
        ("roc_auc", "roc_auc_one_vs_rest"),
        ("macro_f1", "macro_f1"),
        ("kappa", "kappa"),
        ("accuracy", "accuracy"),
        ("correct_defect_class_recall", "correct_defect_class_recall"),
    ] {
        let other = report[key].as_f64().unwrap();
        assert!((pooled(measure) - other).abs() < 1e-9, "{measure}: {other}");
    }
}

#[test]
fn supervised_networks_stand_beside_the_classifiers() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let networks = |more: &[&str]| {
        compare_of(&ALL_PIECES, &out)
            .args(["--baseline", "cnn"])
            .args(["--set", "baseline.size=32", "--set", "baseline.epochs=2"])
            .args(["--set", "baseline.cnn.layers=[{filters=4},{filters=8}]"])
            .args(more)
            .assert()
    };
    let plan = |more: &[&str]| {
        let ran = networks(&[&["--dry-run", "--json"], more].concat()).success();
        let plan: serde_json::Value = serde_json::from_str(&stdout(&ran)).unwrap();
        let stages = plan["stages"].as_array().unwrap().clone();
        let of = |s: &&serde_json::Value| s["what"].as_str().unwrap().starts_with("networks");
        let networks: Vec<_> = stages.iter().filter(of).cloned().collect();
        let sum = |key: &str| {
            networks
                .iter()
                .map(|s| s[key].as_u64().unwrap())
                .sum::<u64>()
        };
        assert!(
            networks
                .iter()
                .all(|s| s["each_ms"].as_f64().unwrap() > 0.0)
        );
        (sum("count"), sum("ready"))
    };
    // Three folds, two tasks, with the map and without.
    assert_eq!(plan(&[]), (12, 0));
    networks(&[]).success();
    assert_eq!(plan(&[]), (12, 12));
    let compared: serde_json::Value =
        serde_json::from_slice(&fs::read(out.join("compare.json")).unwrap()).unwrap();
    let arms = compared["arms"].as_array().unwrap();
    let place = |input: &str, classifier: &str| {
        let is = |a: &serde_json::Value| {
            (a["task"].as_str(), a["input"].as_str()) == (Some("binary"), Some(input))
                && a["classifier"].as_str() == Some(classifier)
        };
        arms.iter().position(is).unwrap() as u64
    };
    let tested = |a: u64, b: u64, factor: &str| {
        let both = [a.min(b), a.max(b)];
        let is = |d: &serde_json::Value| {
            [d["a"].as_u64(), d["b"].as_u64()] == both.map(Some) && d["factor"] == factor
        };
        compared["differences"].as_array().unwrap().iter().any(is)
    };
    let (image, both) = (place("image", "cnn"), place("image+map", "cnn"));
    assert!(tested(image, both, "input"));
    assert!(tested(both, place("image+map", "logistic"), "classifier"));
    for file in [
        "predictions/binary_image+map_cnn_100.csv",
        "predictions/multi-class_image_cnn_100.csv",
        "plots/roc_binary_cnn.svg",
    ] {
        assert!(out.join(file).is_file(), "{file}");
    }
    for file in ["compare.md", "compare.html", "compare.csv"] {
        let text = fs::read_to_string(out.join(file)).unwrap();
        assert!(text.contains("cnn"), "{file}");
    }
    // The other numbers are those of a comparison without networks.
    let first =
        fs::read(out.join("predictions/binary_image+map_logistic_weights_100.csv")).unwrap();
    let alone = folder.path().join("alone");
    compare_of(&ALL_PIECES, &alone)
        .arg("--cache")
        .arg(out.join("cache"))
        .assert()
        .success();
    let second = fs::read(alone.join("predictions/binary_image+map_logistic_weights_100.csv"));
    assert_eq!(second.unwrap(), first);
}

#[test]
fn wrong_use_is_said_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    for (flags, said) in [
        (vec!["--fractions", "0"], "fractions"),
        (vec!["--folds", "1"], "folds"),
        (vec!["--set", "draem.stepps=3"], "stepps"),
        (vec!["--jobs", "0"], "jobs"),
        (vec!["--inputs", "map", "--baseline", "cnn"], "baseline"),
    ] {
        let mut command = goma();
        let ran = command
            .arg("compare")
            .arg(workshop().join("erasers"))
            .arg("--out")
            .arg(&out)
            .args(&flags)
            .assert()
            .code(2);
        assert!(stderr(&ran).contains(said), "{}", stderr(&ran));
        assert!(!out.exists());
    }
}

#[test]
fn tiles_are_refused_before_anything_is_trained() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let refused = compare(&out)
        .args(["--set", "draem.tiles=overlap"])
        .assert()
        .code(2);
    let told = stderr(&refused);
    assert!(told.contains("draem.tiles"), "{told}");
    assert!(told.contains("whole pieces"), "{told}");
    assert!(!out.exists());
}
