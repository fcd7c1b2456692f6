//! `goma crop` and `goma audit`: packs taken apart, data looked at.

use crate::tools::{erasers, goma, rows, stderr, stdout, workshop};
use std::fs;
use std::path::Path;

/// Two synthetic packs.
fn packs(folder: &Path) -> std::path::PathBuf {
    let packs = folder.join("packs");
    goma()
        .args(["synth", "--packs", "--count", "2", "--seed", "8", "--out"])
        .arg(&packs)
        .assert()
        .success();
    packs
}

#[test]
fn packs_are_cropped_into_a_data_set_that_can_be_scored() {
    let folder = tempfile::tempdir().unwrap();
    let packs = packs(folder.path());
    let crops = folder.path().join("crops");
    goma()
        .arg("crop")
        .arg(&packs)
        .arg("--out")
        .arg(&crops)
        .assert()
        .success();
    let groups = rows(&crops.join("groups.csv"));
    assert_eq!(groups.len(), 30);
    assert_eq!(groups["pack-000001-15"][1], "pack-000001");
    // Piece by piece where packs.csv says that it lies, within two pixels.
    let found = rows(&crops.join("crops.csv"));
    let truth = fs::read_to_string(packs.join("packs.csv")).unwrap();
    for line in truth.lines().skip(1) {
        let cell: Vec<&str> = line.split(',').collect();
        let n = |i: usize| cell[i].parse::<f64>().unwrap();
        let id = format!("{}-{:02}", cell[0], 1 + n(1) as usize * 5 + n(2) as usize);
        let at = |i: usize| found[&id][i].parse::<f64>().unwrap();
        let centre = [n(4) + (n(6) - 1.0) / 2.0, n(5) + (n(7) - 1.0) / 2.0];
        let off = (at(4) - centre[0]).hypot(at(5) - centre[1]);
        assert!(off < 2.0, "{id}: {off} pixels off");
    }
    goma()
        .args(["score", "--no-heatmaps"])
        .arg(workshop().join("model"))
        .arg(&crops)
        .arg("--out")
        .arg(folder.path().join("scored"))
        .assert()
        .success();
    goma()
        .arg("crop")
        .arg(&packs)
        .arg("--out")
        .arg(&crops)
        .assert()
        .code(1);
}

#[test]
fn a_pack_that_lacks_a_piece_is_named_and_so_is_a_broken_one() {
    let folder = tempfile::tempdir().unwrap();
    let packs = packs(folder.path());
    let images = packs.join("images");
    let mut grey = image::open(images.join("pack-000000_GRAY.png"))
        .unwrap()
        .to_luma8();
    for y in 60..240 {
        for x in 32..210 {
            grey.put_pixel(x, y, image::Luma([22]));
        }
    }
    let lone = folder.path().join("lone");
    fs::create_dir(&lone).unwrap();
    grey.save(lone.join("fourteen.png")).unwrap();
    fs::write(lone.join("broken.png"), "no picture").unwrap();
    let out = folder.path().join("out");
    let ran = goma()
        .args(["crop", "--json"])
        .arg(&lone)
        .arg("--out")
        .arg(&out)
        .assert()
        .code(3);
    let told: serde_json::Value = serde_json::from_str(&stdout(&ran)).unwrap();
    let problem = |i: usize| told["packs"][i]["problem"].as_str().unwrap();
    assert!(problem(0).contains("neither PNG"), "{}", problem(0));
    assert_eq!(problem(1), "14 of 15 pieces found; none at row 1 column 1");
    assert!(!out.join("arrays/fourteen-01.npy").exists());
    assert!(out.join("arrays/fourteen-02.npy").exists());
}

#[test]
fn an_audit_finds_a_planted_duplicate_and_writes_corrected_labels() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("erasers");
    erasers(&data, 45, 5);
    // The same photograph under another id, in another pack; and a broken file.
    fs::copy(
        data.join("arrays/synth-000003.npy"),
        data.join("arrays/twin.npy"),
    )
    .unwrap();
    fs::write(data.join("arrays/synth-000044.npy"), "no array").unwrap();
    let mut groups = fs::read_to_string(data.join("groups.csv")).unwrap();
    groups.push_str("twin,good,pack-000002\n");
    fs::write(data.join("groups.csv"), groups).unwrap();
    let original = fs::read(data.join("annotations_multi.csv")).unwrap();
    let table = folder.path().join("corrections.csv");
    fs::write(&table, "id,label,reason\ntwin,both,seen\n").unwrap();
    let audit = |out: &str, threads: &str| {
        let out = folder.path().join(out);
        goma()
            .args(["audit", "--size", "32", "--threads", threads, "--apply"])
            .arg(&table)
            .arg(&data)
            .arg("--out")
            .arg(&out)
            .assert()
            .code(3);
        out
    };
    let out = audit("audit", "2");
    let pairs = fs::read_to_string(out.join("duplicates.csv")).unwrap();
    let first = pairs.lines().nth(1).unwrap();
    assert!(
        first.starts_with("synth-000003,twin,1.0") && first.contains(",yes,"),
        "{first}"
    );
    assert_eq!(rows(&out.join("samples.csv"))["synth-000044"][2], "error");
    let suspects = fs::read_to_string(out.join("suspects.csv")).unwrap();
    assert!(suspects.lines().count() > 40, "{suspects}");
    let corrected = rows(&out.join("corrected/annotations_multi.csv"));
    assert_eq!(corrected["twin"][1], "1_1");
    assert_eq!(
        fs::read(data.join("annotations_multi.csv")).unwrap(),
        original
    );
    let page = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("twin") && !page.contains("http://") && !page.contains("https://"));
    let again = audit("again", "1");
    for name in ["report.html", "suspects.csv", "channels.csv", "audit.json"] {
        let same = fs::read(out.join(name)).unwrap() == fs::read(again.join(name)).unwrap();
        assert!(same, "{name} depends on the number of threads");
    }
}

#[test]
fn a_correction_of_an_unknown_piece_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("corrections.csv");
    fs::write(&table, "id,label\nnobody,good\n").unwrap();
    let ran = goma()
        .args(["audit", "--apply"])
        .arg(&table)
        .arg(workshop().join("erasers"))
        .arg("--out")
        .arg(folder.path().join("out"))
        .assert()
        .code(1);
    let told = stderr(&ran);
    assert!(
        told.contains("line 2: there is no sample \"nobody\""),
        "{told}"
    );
}
