//! `goma export`: bundles become ONNX files that say the same.

use crate::baselines::resnet;
use crate::tools::{goma, stderr, stdout, workshop};
use assert_cmd::assert::Assert;
use goma::export::proto::ModelProto;
use prost::Message;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

fn export(bundle: &Path, out: &Path, flags: &[&str], code: i32) -> Assert {
    let mut command = goma();
    command.arg("export").arg(bundle).arg("--onnx").arg(out);
    command.args(flags).assert().code(code)
}

fn json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Input, outputs and metadata of a file.
fn read(path: &Path) -> (Vec<String>, BTreeMap<String, String>) {
    let model = ModelProto::decode(fs::read(path).unwrap().as_slice()).unwrap();
    assert_eq!(model.opset_import[0].version, 17);
    let graph = model.graph.unwrap();
    let ports = graph.input.iter().chain(&graph.output);
    let facts = model.metadata_props.into_iter().map(|e| (e.key, e.value));
    (ports.map(|p| p.name.clone()).collect(), facts.collect())
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().flatten();
    let mut names: Vec<String> = entries
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn the_bundled_eraser_becomes_files_that_describe_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("onnx");
    let bundle = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/eraser");
    let ran = export(&bundle, &out, &["--check-count", "3", "--json"], 0);
    let files = [
        "anomaly.onnx",
        "export.json",
        "image-features.onnx",
        "map-features.onnx",
        "registration.png",
        "roi.png",
    ];
    assert_eq!(names(&out), files);
    let summary = json(&out.join("export.json"));
    assert_eq!(
        summary,
        serde_json::from_str::<serde_json::Value>(&stdout(&ran)).unwrap()
    );
    let check = &summary["check"];
    assert_eq!(
        (&check["pieces"], &check["decisions_changed"]),
        (&3.into(), &0.into())
    );
    for what in ["map", "score", "restored", "image features", "map features"] {
        let off = check["largest"][what].as_f64().unwrap();
        assert!((0.0..1e-4).contains(&off), "{what}: {off}");
    }

    let (ports, facts) = read(&out.join("anomaly.onnx"));
    assert_eq!(ports, ["image", "map", "score", "restored"]);
    let manifest = json(&bundle.join("manifest.json"));
    let said = |key: &str| -> serde_json::Value { serde_json::from_str(&facts[key]).unwrap() };
    assert_eq!(said("channels"), manifest["pixels"]["channels"]);
    assert_eq!(said("classes"), manifest["classes"]);
    assert_eq!(said("rule")["fail_at"], manifest["rule"]["fail_at"]);
    assert_eq!(said("input")["dims"], serde_json::json!([6, 128, 128]));
    let before = said("before");
    assert_eq!(before[0]["white"], manifest["pixels"]["range"]);
    let resize = serde_json::json!({
        "step": "resize", "height": 128, "width": 128, "filter": "bilinear", "antialias": true,
    });
    let align = serde_json::json!({"step": "align", "to": "registration.png"});
    assert_eq!((&before[1], &before[2]), (&align, &resize));
    // Of a map that is moved back the score is taken anew.
    let move_back = serde_json::json!([{"step": "move-back", "window": 11}]);
    assert_eq!(said("after"), move_back);
    let (ports, facts) = read(&out.join("map-features.onnx"));
    assert_eq!(ports, ["map", "features"]);
    assert!(facts["within"].contains("normalise") && facts["within"].contains("resize"));
}

#[test]
fn pieces_as_they_are_and_a_baseline_pass_the_check_on_real_data() {
    let folder = tempfile::tempdir().unwrap();
    let data = workshop().join("erasers");
    let out = folder.path().join("onnx");
    let flags = ["--pieces", "310x310", "--check-count", "5", "--check-on"];
    let flags = [&flags[..], &[data.to_str().unwrap()]].concat();
    let ran = export(&workshop().join("model"), &out, &flags, 0);
    assert!(stdout(&ran).contains("5 pieces"), "{}", stdout(&ran));
    let (_, facts) = read(&out.join("anomaly.onnx"));
    assert!(facts["input"].contains("[6,310,310]"), "{}", facts["input"]);

    // Remade only when asked.
    let before = fs::read(out.join("anomaly.onnx")).unwrap();
    let ran = export(&resnet(), &out, &flags, 1);
    assert!(stderr(&ran).contains("--force"), "{}", stderr(&ran));
    assert_eq!(fs::read(out.join("anomaly.onnx")).unwrap(), before);
    let forced = [&flags[..], &["--force"]].concat();
    export(&resnet(), &out, &forced, 0);
    assert_eq!(names(&out), ["classifier.onnx", "export.json"]);
    let (ports, facts) = read(&out.join("classifier.onnx"));
    assert_eq!(ports, ["image", "logits", "probabilities"]);
    assert_eq!(facts["model"], "resnet18");
    // The same bundle, the same bytes.
    let once = fs::read(out.join("classifier.onnx")).unwrap();
    export(&resnet(), &out, &forced, 0);
    assert_eq!(fs::read(out.join("classifier.onnx")).unwrap(), once);
}

#[test]
fn what_fails_leaves_nothing_behind_and_says_so_by_its_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("onnx");
    let model = workshop().join("model");
    let refused = |bundle: &Path, flags: &[&str], code| {
        let ran = export(bundle, &out, flags, code);
        assert!(!out.exists());
        stderr(&ran)
    };
    assert!(refused(folder.path(), &[], 1).contains("no bundle"));
    assert!(refused(&model, &["--pieces", "310"], 2).contains("HEIGHTxWIDTH"));
    let broken = folder.path().join("pieces");
    fs::create_dir(&broken).unwrap();
    fs::write(broken.join("broken.npy"), "no array").unwrap();
    let on_broken = ["--check-on", broken.to_str().unwrap()];
    let told = refused(&model, &on_broken, 1);
    assert!(told.contains("no piece could be read"), "{told}");
    // Pieces of another size than the graphs were told.
    let good = workshop().join("erasers");
    let wrong = ["--pieces", "300x310", "--check-on", good.to_str().unwrap()];
    assert!(refused(&model, &wrong, 1).contains("[6, 310, 310] found"));
    assert_eq!(names(folder.path()), ["pieces"]);
    // With a readable piece beside it, the export is done and the code is 3.
    let piece = fs::read_dir(good.join("arrays"))
        .unwrap()
        .flatten()
        .next()
        .unwrap();
    fs::copy(piece.path(), broken.join("fine.npy")).unwrap();
    export(&model, &out, &on_broken, 3);
    assert_eq!(json(&out.join("export.json"))["check"]["pieces"], 1);
    // A folder that goma did not write is not emptied.
    let other = folder.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("letter.txt"), "dear").unwrap();
    export(&model, &other, &["--force"], 1);
    assert_eq!(names(&other), ["letter.txt"]);
}
