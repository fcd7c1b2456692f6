//! What is inspected of a piece, and where its map stands out: regions, region
//! of interest, tiles.

use crate::tools::{TINY, copy_model, goma, stderr, stdout, workshop};
use std::fs;
use std::path::Path;

fn run(command: &str, flags: &[&str], paths: &[&Path], code: i32) -> assert_cmd::assert::Assert {
    goma()
        .arg(command)
        .args(paths)
        .args(flags)
        .assert()
        .code(code)
}

fn score(
    model: &Path,
    input: &Path,
    out: &Path,
    flags: &[&str],
    code: i32,
) -> assert_cmd::assert::Assert {
    run(
        "score",
        flags,
        &[model, input, Path::new("--out"), out],
        code,
    )
}

/// A mask of 310 x 310, white where `inside` says.
fn mask(path: &Path, width: u32, height: u32, inside: impl Fn(u32, u32) -> bool) {
    image::GrayImage::from_fn(width, height, |x, y| {
        image::Luma([u8::from(inside(x, y)) * 255])
    })
    .save(path)
    .unwrap();
}

fn lines(path: &Path) -> Vec<Vec<String>> {
    let mut table = csv::Reader::from_path(path).unwrap();
    let rows = table.records();
    rows.map(|row| row.unwrap().iter().map(str::to_string).collect())
        .collect()
}

/// Height, width and numbers of an f32 array.
fn array(path: &Path) -> (usize, usize, Vec<f32>) {
    let bytes = fs::read(path).unwrap();
    let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = String::from_utf8_lossy(&bytes[10..10 + length]).into_owned();
    let shape = header.split(['(', ')']).nth(1).unwrap();
    let sides: Vec<usize> = shape
        .split(',')
        .map(|n| n.trim().parse().unwrap())
        .collect();
    let values = bytes[10 + length..].chunks_exact(4);
    let values = values
        .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
        .collect();
    (sides[0], sides[1], values)
}

/// Copies the workshop's model with regions from `threshold` on: so little
/// trained, its maps stand out nowhere by themselves.
fn with_regions_from(threshold: f64, folder: &Path) {
    copy_model(folder);
    let path = folder.join("manifest.json");
    let mut manifest: serde_json::Value =
        serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(manifest["regions"]["usual"].as_array().unwrap().len(), 6);
    manifest["regions"]["low"] = threshold.into();
    manifest["regions"]["high"] = threshold.into();
    fs::write(&path, manifest.to_string()).unwrap();
}

/// A bundle of an anomaly model alone, on the workshop's pieces.
fn anomaly_model(out: &Path, further: &[&str]) {
    let flags = ["--classes", "binary", "--seed", "3", "--model", "draem"];
    let train = [
        workshop().join("erasers"),
        "--out".into(),
        out.to_path_buf(),
    ];
    goma()
        .arg("train")
        .args(flags)
        .args(train)
        .args(TINY)
        .args(further)
        .assert()
        .success();
}

#[test]
fn regions_lie_in_the_photograph_and_come_out_the_same_after_a_stop() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    let (whole, one) = (folder.path().join("whole"), folder.path().join("one"));
    let input = workshop().join("erasers");
    score(&workshop().join("model"), &input, &whole, &["--maps"], 0);
    let (_, _, values) = array(&whole.join("maps/synth-000003.npy"));
    let peak = f64::from(values.iter().copied().fold(0.0, f32::max));
    with_regions_from(0.98 * peak, &model);
    score(&model, &input, &whole, &["--force"], 0);
    score(&model, &input, &one, &["--threads", "1"], 0);
    let bytes = |of: &Path| fs::read(of.join("regions.csv")).unwrap();
    assert_eq!(bytes(&whole), bytes(&one));
    let rows = lines(&whole.join("regions.csv"));
    assert!(
        rows.iter()
            .any(|row| row[0] == "synth-000003" && row[1] == "1")
    );
    let number = |row: &[String], column: usize| row[column].parse::<f64>().unwrap();
    for row in &rows {
        assert!(number(row, 2) + number(row, 4) <= 310.0, "{row:?}");
        assert!(number(row, 3) + number(row, 5) <= 310.0, "{row:?}");
        assert!(number(row, 6) <= number(row, 4) * number(row, 5), "{row:?}");
        assert!(
            number(row, 7) >= 0.98 * peak - 1e-6 && number(row, 8) <= number(row, 7),
            "{row:?}"
        );
        assert!(
            ["GRAY", "AM", "G", "R", "W", "NORMAL"].contains(&row[11].as_str()),
            "{row:?}"
        );
        assert!(number(row, 13) > 0.0, "{row:?}");
    }
    for pair in rows.windows(2).filter(|pair| pair[0][0] == pair[1][0]) {
        assert!(number(&pair[0], 7) >= number(&pair[1], 7));
    }
    let report = fs::read_to_string(whole.join("report.html")).unwrap();
    assert!(report.contains("<svg class=\"boxes\" viewBox=\"0 0 310 310\""));
    assert!(report.contains("the usual</span>"));
}

#[test]
fn a_region_of_interest_belongs_to_the_bundle_and_is_zero_outside() {
    let folder = tempfile::tempdir().unwrap();
    let left = folder.path().join("left.png");
    mask(&left, 310, 310, |x, _| x < 155);
    let (model, out) = (folder.path().join("model"), folder.path().join("out"));
    let erasers = workshop().join("erasers");
    let train = |flags: &[&str], code| {
        goma()
            .arg("train")
            .arg(&erasers)
            .args(["--classes", "binary", "--seed", "3", "--roi"])
            .arg(&left)
            .args(flags)
            .arg("--out")
            .arg(&model)
            .args(TINY)
            .assert()
            .code(code)
    };
    train(&[], 0);
    assert!(model.join("roi.png").is_file());
    let bytes = |of: &Path| fs::read(of.join("draem.safetensors")).unwrap();
    assert_ne!(
        bytes(&model),
        bytes(&workshop().join("model")),
        "the loss looks inside alone"
    );
    score(&model, &erasers, &out, &["--maps"], 0);
    let (h, w, values) = array(&out.join("maps/synth-000003.npy"));
    assert_eq!((h, w), (32, 32));
    for row in values.chunks(w) {
        assert!(row[..16].iter().all(|&v| v > 0.0) && row[16..].iter().all(|&v| v == 0.0));
    }
    let ran = run("evaluate", &["--json"], &[&model, &erasers], 0);
    let report: serde_json::Value = serde_json::from_str(&stdout(&ran)).unwrap();
    for key in ["roc_auc", "average_precision", "aupro"] {
        assert!(report["pixels"][key].is_number(), "{key}");
    }
    let other = workshop().join("model");
    let flags = ["--force", "--roi", left.to_str().unwrap()];
    let refused = score(&other, &erasers, &out, &flags, 2);
    assert!(
        stderr(&refused).contains("classifier"),
        "{}",
        stderr(&refused)
    );
}

#[test]
fn an_anomaly_model_alone_takes_another_region_of_interest() {
    let folder = tempfile::tempdir().unwrap();
    let (model, out) = (folder.path().join("model"), folder.path().join("out"));
    let erasers = workshop().join("erasers");
    anomaly_model(&model, &[]);
    // The right half, drawn at twice the resolution of the pieces.
    let right = folder.path().join("right.png");
    mask(&right, 620, 620, |x, _| x >= 310);
    let flags = ["--maps", "--roi", right.to_str().unwrap()];
    let ran = score(&model, &erasers, &out, &flags, 0);
    assert!(!stdout(&ran).is_empty());
    let (_, w, values) = array(&out.join("maps/synth-000003.npy"));
    assert!(
        values
            .chunks(w)
            .all(|row| row[..16].iter().all(|&v| v == 0.0))
    );
    let report = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(
        report.contains("another than the bundle"),
        "the report says so"
    );
    // A run with one mask is not continued with another.
    let refused = score(&model, &erasers, &out, &["--maps", "--resume"], 1);
    assert!(
        stderr(&refused).contains("inspected"),
        "{}",
        stderr(&refused)
    );
}

#[test]
fn masks_that_fit_no_piece_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (path, out) = (folder.path().join("m.png"), folder.path().join("out"));
    let (model, erasers) = (folder.path().join("model"), workshop().join("erasers"));
    anomaly_model(&model, &[]);
    let flags = ["--roi", path.to_str().unwrap()];
    // Another shape: every piece has a row that says so.
    mask(&path, 310, 200, |_, _| true);
    score(&model, &erasers, &out, &flags, 3);
    let table = fs::read_to_string(out.join("scores.csv")).unwrap();
    assert!(
        table.contains("200 x 310 as the region of interest"),
        "{table}"
    );
    let model_of_none = folder.path().join("none");
    let train = run(
        "train",
        &["--roi", path.to_str().unwrap(), "--model", "draem"],
        &[&erasers, Path::new("--out"), &model_of_none],
        1,
    );
    assert!(
        stderr(&train).contains("200 x 310 as the region of interest"),
        "{}",
        stderr(&train)
    );
    // No mask at all: nothing is begun.
    let refused = |out: &str| {
        let out = folder.path().join(out);
        let ran = score(&model, &erasers, &out, &flags, 1);
        assert!(!out.exists());
        stderr(&ran)
    };
    mask(&path, 310, 310, |_, _| false);
    assert!(refused("black").contains("no pixel is white"));
    image::GrayImage::from_fn(310, 310, |x, _| image::Luma([(x % 256) as u8]))
        .save(&path)
        .unwrap();
    assert!(refused("grey").contains("neither black nor white"));
    fs::write(&path, "mask").unwrap();
    assert!(refused("text").contains("m.png"));
    fs::remove_file(&path).unwrap();
    assert!(refused("missing").contains("m.png"));
}

/// Writes a grey photograph with a bright square.
fn plate(path: &Path, width: u32, height: u32, seed: u32) {
    image::GrayImage::from_fn(width, height, |x, y| {
        let texture = (x * 7 + y * 13 + (x * y + seed * 31) % 23) % 40;
        image::Luma([(100 + texture) as u8])
    })
    .save(path)
    .unwrap();
}

#[test]
fn large_pieces_are_trained_and_scored_in_tiles() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("plates");
    fs::create_dir_all(data.join("good")).unwrap();
    for i in 0..8 {
        plate(&data.join(format!("good/{i}.png")), 100, 70, i);
    }
    let model = folder.path().join("model");
    goma()
        .arg("train")
        .arg(&data)
        .args(["--model", "draem", "--tiles", "overlap", "--out"])
        .arg(&model)
        .args(TINY)
        .assert()
        .success();
    let settings = fs::read_to_string(model.join("settings.toml")).unwrap();
    assert!(settings.contains("tiles = \"overlap\""), "{settings}");
    let inputs = folder.path().join("inputs");
    fs::create_dir(&inputs).unwrap();
    plate(&inputs.join("large.png"), 300, 70, 1);
    plate(&inputs.join("fits.png"), 32, 32, 2);
    plate(&inputs.join("thin.png"), 90, 20, 3);
    let (tiles, whole) = (folder.path().join("tiles"), folder.path().join("whole"));
    score(&model, &inputs, &tiles, &["--maps"], 0);
    let ran = score(&model, &inputs, &whole, &["--maps", "--tiles", "off"], 0);
    assert!(stdout(&ran).contains("scored 3 of 3"));
    let size = |of: &Path, id: &str| {
        let (h, w, values) = array(&of.join(format!("maps/{id}.npy")));
        assert!(values.iter().all(|v| (0.0..=1.0).contains(v)));
        (h, w)
    };
    assert_eq!(size(&tiles, "large"), (70, 300));
    assert_eq!(
        size(&tiles, "thin"),
        (32, 90),
        "the short side is enlarged to a tile's"
    );
    assert_eq!(size(&whole, "large"), (32, 32));
    // A piece of the model's size is the same bytes with and without tiles.
    let bytes = |of: &Path| fs::read(of.join("maps/fits.npy")).unwrap();
    assert_eq!(bytes(&tiles), bytes(&whole));
    let row = |of: &Path| {
        let table = fs::read_to_string(of.join("scores.csv")).unwrap();
        let row = table.lines().find(|line| line.starts_with("fits,"));
        row.map(str::to_string).unwrap()
    };
    assert_eq!(row(&tiles), row(&whole));
    // The number of threads changes nothing.
    let one = folder.path().join("one");
    score(&model, &inputs, &one, &["--maps", "--threads", "1"], 0);
    let large = |of: &Path| fs::read(of.join("maps/large.npy")).unwrap();
    assert_eq!(large(&tiles), large(&one));
}

/// An array of uint8 `[310, 310, 6]` whose picture is moved down and to the right; its border goes on.
fn moved_array(from: &Path, to: &Path, down: usize, right: usize) {
    const SIDE: usize = 310;
    const CHANNELS: usize = 6;
    let bytes = fs::read(from).unwrap();
    let start = bytes.len() - SIDE * SIDE * CHANNELS;
    let mut out = bytes[..start].to_vec();
    for y in 0..SIDE {
        for x in 0..SIDE {
            let pixel = y.saturating_sub(down) * SIDE + x.saturating_sub(right);
            let at = start + pixel * CHANNELS;
            out.extend_from_slice(&bytes[at..at + CHANNELS]);
        }
    }
    fs::write(to, out).unwrap();
}

#[test]
fn where_pieces_lie_is_told_of_an_aligned_model() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    anomaly_model(&model, &["--set", "draem.align=true"]);
    assert!(model.join("registration.png").is_file());
    let (there, moved) = (folder.path().join("there"), folder.path().join("moved"));
    for input in [&there, &moved] {
        fs::create_dir(input).unwrap();
    }
    for i in 0..6 {
        let name = format!("synth-{i:06}.npy");
        let piece = workshop().join("erasers/arrays").join(&name);
        fs::copy(&piece, there.join(&name)).unwrap();
        moved_array(&piece, &moved.join(&name), 11, 7);
    }
    let run_of = |input: &Path| {
        let out = input.with_extension("scored");
        score(&model, input, &out, &[], 0);
        let facts: serde_json::Value =
            serde_json::from_slice(&fs::read(out.join("run.json")).unwrap()).unwrap();
        let note = facts["notes"]
            .as_array()
            .unwrap()
            .iter()
            .find_map(|note| note.as_str().filter(|n| n.starts_with("Pieces lie")))
            .unwrap()
            .to_string();
        let page = fs::read_to_string(out.join("report.html")).unwrap();
        assert!(page.contains(&note), "{note}");
        // "Pieces lie 11.3 below and 6.8 to the right of ...".
        let words: Vec<&str> = note.split(' ').collect();
        let along = |number: usize, forth: &str| {
            let by: f64 = words[number].parse().unwrap();
            if note.contains(forth) { by } else { -by }
        };
        [along(2, "below"), along(5, "to the right")]
    };
    let (usual, found) = (run_of(&there), run_of(&moved));
    // Rounding to whole pixels, piece by piece.
    for (found, expected) in found.iter().zip([usual[0] + 11.0, usual[1] + 7.0]) {
        assert!((found - expected).abs() < 1.0, "{found} {expected}");
    }
}

#[test]
fn features_of_a_bundle_leave_out_what_lies_outside_its_region() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/eraser");
    let region = image::open(bundle.join("roi.png")).unwrap().to_luma8();
    let pieces = folder.path().join("pieces");
    fs::create_dir(&pieces).unwrap();
    let bytes = fs::read(workshop().join("erasers/arrays/synth-000000.npy")).unwrap();
    let start = bytes.len() - 310 * 310 * 6;
    // Other values outside the region, then inside.
    for (name, changed) in [("whole", None), ("belt", Some(0)), ("face", Some(255))] {
        let mut bytes = bytes.clone();
        for (pixel, inside) in region.pixels().enumerate() {
            if changed == Some(inside.0[0]) {
                bytes[start + pixel * 6..][..6].fill(200);
            }
        }
        fs::write(pieces.join(name).with_extension("npy"), bytes).unwrap();
    }
    let out = folder.path().join("features.csv");
    run(
        "features",
        &[],
        &[&bundle, &pieces, Path::new("--out"), &out],
        0,
    );
    let rows = lines(&out);
    let of = |id: &str| &rows.iter().find(|row| row[0] == id).unwrap()[1..];
    assert_eq!(of("belt"), of("whole"));
    assert_ne!(of("face"), of("whole"));
}
