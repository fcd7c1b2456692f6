//! `goma import draem`: checkpoints of the original code become bundles.

use crate::tools::{goma, stderr, stdout};
use std::fs;
use std::path::{Path, PathBuf};

fn reference(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/reference")
        .join(name)
}

fn import(
    rec: &Path,
    dis: &Path,
    out: &Path,
    flags: &[&str],
    code: i32,
) -> assert_cmd::assert::Assert {
    let mut command = goma();
    command
        .args(["import", "draem", "--reconstructive"])
        .arg(rec);
    command
        .arg("--discriminative")
        .arg(dis)
        .arg("--out")
        .arg(out);
    command.args(flags).assert().code(code)
}

fn both() -> (PathBuf, PathBuf) {
    (
        reference("draem_seg_rec.pckl"),
        reference("draem_seg_dis.pckl"),
    )
}

/// The picture of tests/reference/draem_import.py, as a colour PNG.
fn picture(path: &Path, dent: bool, shift: u32) {
    image::RgbImage::from_fn(256, 256, |x, y| {
        let dented = dent && (i64::from(y) - 100).pow(2) + (i64::from(x) - 150).pow(2) < 900;
        let x = x + shift;
        image::Rgb(std::array::from_fn(|c| {
            let c = c as u32;
            let value = 90 + 20 * c + (x * (c + 2) + y * 3) / 8 % 64;
            (if dented { 255 - value } else { value }) as u8
        }))
    })
    .save(path)
    .unwrap();
}

fn map(path: &Path) -> Vec<f32> {
    let bytes = fs::read(path).unwrap();
    let start = bytes.len() - 256 * 256 * 4;
    let values = bytes[start..].chunks_exact(4);
    values
        .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
        .collect()
}

#[test]
fn maps_and_score_of_a_picture_are_those_of_the_original() {
    let folder = tempfile::tempdir().unwrap();
    let (rec, dis) = both();
    let model = folder.path().join("model");
    import(&rec, &dis, &model, &[], 0);
    for file in [
        "manifest.json",
        "draem.safetensors",
        "README.md",
        "settings.toml",
    ] {
        assert!(model.join(file).is_file(), "{file}");
    }
    let input = folder.path().join("dent.png");
    picture(&input, true, 0);
    let scored = |model: &Path, out: &str| {
        let out = folder.path().join(out);
        let mut score = goma();
        score
            .arg("score")
            .arg(model)
            .arg(&input)
            .arg("--maps")
            .arg("--out")
            .arg(&out);
        score.assert().success();
        let table = fs::read_to_string(out.join("scores.csv")).unwrap();
        let row = table.lines().nth(1).unwrap();
        let score: f64 = row.split(',').nth(6).unwrap().parse().unwrap();
        (map(&out.join("maps/dent.npy")), score)
    };
    let text = fs::read_to_string(reference("draem_import.json")).unwrap();
    let expected: serde_json::Value = serde_json::from_str(&text).unwrap();
    let expected_map: Vec<f64> = expected["map"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v.as_f64().unwrap())
        .collect();
    let furthest = |map: &[f32]| {
        let every_fourth = |i: usize| f64::from(map[i / 64 * 4 * 256 + i % 64 * 4]);
        let off = expected_map
            .iter()
            .enumerate()
            .map(|(i, e)| (every_fourth(i) - e).abs());
        off.fold(0.0, f64::max)
    };
    let (map, score) = scored(&model, "as-opencv");
    assert!(furthest(&map) < 1e-4, "{}", furthest(&map));
    assert!((score - expected["score"].as_f64().unwrap()).abs() < 1e-5);
    // Fed in another order, it is another model.
    let red_first = folder.path().join("red-first");
    import(&rec, &dis, &red_first, &["--channels", "R,G,B"], 0);
    let (map, _) = scored(&red_first, "as-rgb");
    assert!(furthest(&map) > 1e-2);
}

#[test]
fn a_model_is_calibrated_on_good_pieces_and_measured() {
    let folder = tempfile::tempdir().unwrap();
    let good = folder.path().join("fine");
    fs::create_dir(&good).unwrap();
    for i in 0..12 {
        picture(&good.join(format!("{i}.png")), false, 3 * i);
    }
    let (rec, dis) = both();
    let model = folder.path().join("model");
    let flags = ["--calibrate", good.to_str().unwrap(), "--json"];
    let ran = import(&rec, &dis, &model, &flags, 0);
    let said: serde_json::Value = serde_json::from_str(&stdout(&ran)).unwrap();
    assert_eq!(said["calibrated_on"], 12);
    assert_eq!(said["channels"], serde_json::json!(["B", "G", "R"]));
    assert_eq!(said["regions"]["usual"].as_array().unwrap().len(), 3);
    assert!(
        said["rule"]["basis"]
            .as_str()
            .unwrap()
            .contains("12 good pieces")
    );

    // Of labelled data the good ones, and a threshold that needs defects.
    let data = folder.path().join("data");
    for (class, dent) in [("good", false), ("dent", true)] {
        fs::create_dir_all(data.join(class)).unwrap();
        for i in 0..6 {
            picture(&data.join(format!("{class}/{class}{i}.png")), dent, 5 * i);
        }
    }
    let flags = [
        "--calibrate",
        data.to_str().unwrap(),
        "--threshold",
        "best-f1",
        "--force",
    ];
    import(&rec, &dis, &model, &flags, 0);
    let ran = goma()
        .args(["evaluate", "--json"])
        .arg(&model)
        .arg(&data)
        .assert()
        .success();
    let report: serde_json::Value = serde_json::from_str(&stdout(&ran)).unwrap();
    assert_eq!(
        (&report["n_good"], &report["n_defect"]),
        (&6.into(), &6.into())
    );
    // Judged at the threshold that was fitted on these very pieces.
    let manifest = fs::read(model.join("manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    assert_eq!(report["threshold"], manifest["rule"]["fail_at"]);
    let basis = manifest["rule"]["basis"].as_str().unwrap();
    let f1 = format!("the best F1 ({:.3})", report["f1"].as_f64().unwrap());
    assert!(basis.contains(&f1), "{basis}");
}

#[test]
fn wrong_files_and_flags_leave_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("model");
    let (rec, dis) = both();
    let refused = |rec: &Path, dis: &Path, flags: &[&str], code| {
        let ran = import(rec, dis, &out, flags, code);
        assert!(!out.exists());
        stderr(&ran)
    };
    assert!(refused(&dis, &rec, &[], 1).contains("exchange the files"));
    assert!(refused(&rec, &dis, &["--size", "100"], 2).contains("multiple of 32"));
    assert!(refused(&rec, &dis, &["--channels", "R,G"], 2).contains("the networks have 3"));
    assert!(refused(&rec, &dis, &["--threshold", "best-f1"], 2).contains("--calibrate"));
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    refused(&rec, &dis, &["--calibrate", empty.to_str().unwrap()], 1);
    // Files that are cut off, of something else, or not there.
    let bytes = fs::read(&rec).unwrap();
    let cut = folder.path().join("cut.pckl");
    fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    assert!(refused(&cut, &dis, &[], 1).contains("cut.pckl"));
    fs::write(&cut, "not weights").unwrap();
    assert!(refused(&cut, &dis, &[], 1).contains("cut.pckl"));
    refused(&folder.path().join("none.pckl"), &dis, &[], 1);
}
