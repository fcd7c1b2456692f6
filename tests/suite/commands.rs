//! Every command: what it writes, what it says to wrong use.

use crate::tools::{TINY, copy_model, erasers, goma, stderr, stdout, workshop};
use std::fs;

#[test]
fn the_demo_judges_fresh_pieces_with_the_bundled_model() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("demo");
    let ran = goma()
        .args(["demo", "--count", "15", "--out"])
        .arg(&out)
        .assert()
        .success();
    assert!(stdout(&ran).contains("scored 15 of 15"), "{}", stdout(&ran));
    let table = fs::read_to_string(out.join("scores/scores.csv")).unwrap();
    assert_eq!(table.lines().count(), 16);
    assert!(table.starts_with(
        "id,path,status,decision,class,p_defect,anomaly_score,threshold,heatmap,message"
    ));
    let report = fs::read_to_string(out.join("scores/report.html")).unwrap();
    assert!(
        report.contains("goma-resnet18-w32"),
        "the report names the backbone"
    );
    assert!(
        !report.contains("http://") && !report.contains("https://"),
        "it opens offline"
    );
    assert_eq!(
        fs::read_dir(out.join("scores/heatmaps")).unwrap().count(),
        15
    );
}

#[test]
fn a_trained_bundle_says_what_it_is_and_was_measured_at() {
    let model = workshop().join("model");
    for file in [
        "manifest.json",
        "draem.safetensors",
        "backbone.safetensors",
        "loss.csv",
        "loss.svg",
        "evaluation.json",
        "pieces.csv",
        "README.md",
        "settings.toml",
    ] {
        assert!(model.join(file).is_file(), "{file}");
    }
    let evaluation: serde_json::Value =
        serde_json::from_slice(&fs::read(model.join("evaluation.json")).unwrap()).unwrap();
    for arm in ["anomaly score", "image", "map", "image+map"] {
        let auc = evaluation["arms"][arm]["roc_auc"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&auc), "{arm}: {auc}");
    }
    assert!(evaluation["pixels"]["aupro"].is_number());
    let left = fs::read_dir(&model).unwrap().flatten();
    assert!(
        left.into_iter()
            .all(|f| f.path().extension() != Some("checkpoint".as_ref()))
    );
}

#[test]
fn the_same_seed_trains_the_same_bundle_whatever_the_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let again = folder.path().join("model");
    goma()
        .arg("train")
        .arg(workshop().join("erasers"))
        .args([
            "--classes",
            "binary",
            "--seed",
            "3",
            "--threads",
            "1",
            "--out",
        ])
        .arg(&again)
        .args(TINY)
        .assert()
        .success();
    for file in [
        "manifest.json",
        "draem.safetensors",
        "classifier.safetensors",
    ] {
        let bytes = |of: &std::path::Path| fs::read(of.join(file)).unwrap();
        assert_eq!(bytes(&workshop().join("model")), bytes(&again), "{file}");
    }
}

#[test]
fn evaluate_gives_the_keys_of_the_contract() {
    let ran = goma()
        .args(["evaluate", "--json"])
        .arg(workshop().join("model"))
        .arg(workshop().join("erasers"))
        .assert()
        .success();
    let report: serde_json::Value = serde_json::from_str(&stdout(&ran)).unwrap();
    for key in ["roc_auc", "auc_pr", "f1"] {
        assert!(report[key].is_number(), "{key}");
    }
    assert_eq!(report["n"], 90);
    assert!(report["pixels"]["roc_auc"].is_number());
}

#[test]
fn pieces_that_were_trained_on_are_told_apart_by_what_they_hold() {
    let folder = tempfile::tempdir().unwrap();
    let model = workshop().join("model");
    let evaluate = |model: &std::path::Path, more: &[&str]| {
        let mut command = goma();
        command.args(["evaluate", "--json"]).arg(model);
        command.arg(workshop().join("erasers")).args(more).assert()
    };
    let json = |ran: &assert_cmd::assert::Assert| -> serde_json::Value {
        serde_json::from_str(&stdout(ran)).unwrap()
    };
    let all = json(&evaluate(&model, &[]).success());
    let notes = all["notes"].to_string();
    assert!(notes.contains("were trained on"), "{notes}");

    // The held-out pieces are those that training measured on.
    let held_out = json(&evaluate(&model, &["--held-out"]).success());
    let measured: serde_json::Value =
        serde_json::from_slice(&fs::read(model.join("evaluation.json")).unwrap()).unwrap();
    assert_eq!(held_out["n"], measured["pieces"]);
    for key in ["roc_auc", "auc_pr"] {
        assert_eq!(held_out[key], measured["arms"]["image+map"][key], "{key}");
    }

    // A bundle that does not say what it was trained on, and one whose list is none.
    let copy = folder.path().join("copy");
    copy_model(&copy);
    let list = copy.join("pieces.csv");
    fs::write(&list, "id,split,sha256\na,never,0\n").unwrap();
    let ran = evaluate(&copy, &[]).failure();
    assert!(stderr(&ran).contains("pieces.csv"), "{}", stderr(&ran));
    fs::remove_file(&list).unwrap();
    evaluate(&copy, &[]).success();
    let ran = evaluate(&copy, &["--held-out"]).failure();
    assert!(stderr(&ran).contains("pieces.csv"), "{}", stderr(&ran));
}

#[test]
fn a_training_begins_with_an_earlier_bundle_that_does_not_know_what_is_held_out() {
    let folder = tempfile::tempdir().unwrap();
    let newer = folder.path().join("newer");
    erasers(&newer, 60, 77);
    let start = workshop().join("model");
    let train = |data: &std::path::Path, out: &str, more: &[&str]| {
        let mut command = goma();
        command.arg("train").arg(data);
        command.args(["--classes", "binary"]).args(TINY);
        command.arg("--out").arg(folder.path().join(out)).args(more);
        command.arg("--start").arg(&start).assert()
    };
    train(&newer, "further", &[]).success();
    let further = folder.path().join("further");
    let card = fs::read_to_string(further.join("README.md")).unwrap();
    assert!(card.contains("began with the weights of model"), "{card}");
    // It knows the pieces of both.
    let trained = |of: &std::path::Path| -> Vec<String> {
        let list = fs::read_to_string(of.join("pieces.csv")).unwrap();
        let lines = list.lines().filter(|line| line.contains(",train,"));
        lines.map(str::to_string).collect()
    };
    let (earlier, both) = (trained(&start), trained(&further));
    assert!(earlier.iter().all(|line| both.contains(line)));
    assert!(both.len() > earlier.len());
    let list = fs::read_to_string(start.join("pieces.csv")).unwrap();
    let defective = list.lines().filter(|line| line.contains(",fit,"));
    assert!(
        defective.count() > 0,
        "the anomaly model saw good pieces alone"
    );

    // Another division of the earlier pieces holds out what the model knows; what
    // lies in the folder is still there after that.
    let erasers = workshop().join("erasers");
    let ran = train(&erasers, "further", &["--seed", "8", "--force"]).failure();
    assert!(stderr(&ran).contains("trained on by"), "{}", stderr(&ran));
    assert!(further.join("manifest.json").is_file());
    // The same division does not: what was kept back then is kept back again.
    train(&erasers, "same", &["--seed", "3"]).success();
    train(&newer, "larger", &["--set", "draem.size=64"]).success();
    let card = fs::read_to_string(folder.path().join("larger/README.md")).unwrap();
    assert!(card.contains("learnt at 32 x 32 pixels"), "{card}");
    let wider = ["--set", "draem.discriminative_width=12"];
    let ran = train(&newer, "wider", &wider).failure();
    let help = "--set draem.discriminative_width=";
    assert!(stderr(&ran).contains(help), "{}", stderr(&ran));
    let ran = train(&newer, "cnn", &["--model", "cnn"]).failure();
    assert!(stderr(&ran).contains("--weights"), "{}", stderr(&ran));
}

#[test]
fn predictions_of_anybody_are_measured() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("p.csv");
    fs::write(
        &table,
        "id,label,score\na,good,0.1\nb,good,0.4\nc,crack,0.35\nd,crack,0.8\n",
    )
    .unwrap();
    let ran = goma()
        .args(["evaluate", "--json", "--predictions"])
        .arg(&table)
        .assert()
        .success();
    let report: serde_json::Value = serde_json::from_str(&stdout(&ran)).unwrap();
    assert_eq!(report["roc_auc"], 0.75);
    // Precision 1 at recall 1/2, 2/3 at recall 1: 0.5 * 1 + 0.5 * 2/3.
    assert!((report["auc_pr"].as_f64().unwrap() - 5.0 / 6.0).abs() < 1e-12);
    fs::write(&table, "id,label,score\na,good,NaN\nb,crack,1\n").unwrap();
    let ran = goma()
        .args(["evaluate", "--predictions"])
        .arg(&table)
        .assert()
        .code(1);
    assert!(stderr(&ran).contains("error:"), "{}", stderr(&ran));
}

#[test]
fn measures_of_predictions_are_scikit_learn_s() {
    let cases: serde_json::Value =
        serde_json::from_str(include_str!("../reference/predictions.json")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("p.csv");
    for case in cases.as_array().unwrap() {
        fs::write(&table, case["table"].as_str().unwrap()).unwrap();
        let ran = goma()
            .args(["evaluate", "--json", "--threshold", "0.5", "--predictions"])
            .arg(&table)
            .assert()
            .success();
        let report: serde_json::Value = serde_json::from_str(&stdout(&ran)).unwrap();
        for (key, expected) in case["expected"].as_object().unwrap() {
            let found = &report[key];
            let near = match (found.as_f64(), expected.as_f64()) {
                (Some(f), Some(e)) => (f - e).abs() < 1e-9,
                (None, None) => found.is_null() && expected.is_null(),
                _ => false,
            };
            assert!(near, "{}, {key}: {found}, not {expected}", case["name"]);
        }
    }
}

#[test]
fn features_of_a_bundle_have_a_row_for_each_piece() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("f.csv");
    goma()
        .arg("features")
        .args([workshop().join("model"), workshop().join("erasers")])
        .arg("--out")
        .arg(&out)
        .assert()
        .success();
    let text = fs::read_to_string(&out).unwrap();
    assert_eq!(text.lines().count(), 91);
    assert_eq!(text.lines().next().unwrap().split(',').count(), 257);
}

#[test]
fn wrong_use_is_code_2_and_names_the_way_out() {
    goma().args(["score"]).assert().code(2);
    goma().args(["nonsense"]).assert().code(2);
    let folder = tempfile::tempdir().unwrap();
    let erasers = workshop().join("erasers");
    let wrong = |setting: &str| {
        let ran = goma()
            .arg("train")
            .arg(&erasers)
            .args(["--set", setting, "--out"])
            .arg(folder.path().join("m"))
            .assert()
            .code(2);
        stderr(&ran)
    };
    assert!(wrong("draem.stepps=3").contains("stepps"));
    assert!(wrong("draem.size=100").contains("multiple of 32"));
    assert!(
        !folder.path().join("m").exists(),
        "nothing is written before settings are checked"
    );
}

#[test]
fn a_setting_that_does_not_exist_or_has_no_effect_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let (model, erasers) = (workshop().join("model"), workshop().join("erasers"));
    for pair in [
        "classifier.epochz=9",
        "features.sizee=64",
        "features.size=16",
    ] {
        let mut train = goma();
        train
            .arg("train")
            .arg(&erasers)
            .args(["--set", pair, "--out"]);
        train.arg(&out).assert().code(2);
    }
    let mut score = goma();
    score.arg("score").arg(&model).arg(&erasers).arg("--out");
    score
        .arg(&out)
        .args(["--set", "decision.fail=0.2"])
        .assert()
        .code(2);
    assert!(!out.exists());
}

#[test]
fn a_wrong_device_costs_no_earlier_bundle() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    copy_model(&model);
    let train = |flags: &[&str]| {
        let mut train = goma();
        train
            .arg("train")
            .arg(workshop().join("erasers"))
            .args(flags);
        train.args(TINY).arg("--out").arg(&model).assert()
    };
    train(&["--force", "--device", "gpu"]).code(2);
    let refused = train(&["--resume"]).code(1);
    assert!(
        stderr(&refused).contains("complete"),
        "{}",
        stderr(&refused)
    );
    assert!(model.join("manifest.json").is_file());
}

#[test]
fn what_is_in_the_way_is_not_overwritten() {
    let ran = goma()
        .arg("train")
        .arg(workshop().join("erasers"))
        .arg("--out")
        .arg(workshop().join("erasers"))
        .assert()
        .code(1);
    assert!(stderr(&ran).contains("exists already"), "{}", stderr(&ran));
    let ran = goma()
        .arg("train")
        .arg(workshop().join("erasers"))
        .args(["--force", "--out"])
        .arg(workshop().join("erasers"))
        .assert()
        .code(1);
    assert!(
        stderr(&ran).contains("goma did not write it"),
        "{}",
        stderr(&ran)
    );
    assert!(workshop().join("erasers/arrays").is_dir());
}

#[test]
fn an_empty_folder_and_a_folder_that_is_no_bundle_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let score = |bundle: &std::path::Path| {
        let ran = goma()
            .arg("score")
            .arg(bundle)
            .arg(&empty)
            .arg("--out")
            .arg(&out)
            .assert()
            .code(1);
        stderr(&ran)
    };
    assert!(score(&workshop().join("model")).contains("no picture"));
    assert!(score(&empty).contains("no bundle"));
}

#[test]
fn a_reader_that_has_gone_is_no_panic_and_a_full_one_an_error() {
    let run = |out: std::process::Stdio| {
        std::process::Command::new(env!("CARGO_BIN_EXE_goma"))
            .args(["weights", "list"])
            .stdout(out)
            .output()
            .unwrap()
    };
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ran = run(writer.into());
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success() && said.is_empty(), "{said}");

    if cfg!(target_os = "linux") {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let ran = run(full.into());
        let said = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.code(), Some(1));
        assert!(said.contains("cannot write standard output"), "{said}");
    }
}

#[test]
fn a_file_in_the_way_of_the_output_folder_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("letter.txt");
    fs::write(&file, "dear").unwrap();
    for flags in [&[][..], &["--force"], &["--resume"]] {
        let ran = goma()
            .arg("score")
            .args([workshop().join("model"), workshop().join("erasers")])
            .args(flags)
            .arg("--out")
            .arg(&file)
            .assert()
            .code(1);
        assert!(stderr(&ran).contains("it is a file"), "{}", stderr(&ran));
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "dear");
}
