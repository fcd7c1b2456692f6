//! `goma score`: a row for every input, whatever the inputs are, and the same
//! bytes however the run went.

use crate::broken::write_broken_files;
use crate::tools::{copy_model, erasers, goma, rows, stderr, stdout, workshop};
use std::fs;
use std::path::Path;

/// Scores `input` into `out` with more flags; the exit code must be `code`.
fn score(input: &Path, out: &Path, flags: &[&str], code: i32) -> assert_cmd::assert::Assert {
    goma()
        .arg("score")
        .arg(workshop().join("model"))
        .arg(input)
        .arg("--out")
        .arg(out)
        .args(flags)
        .assert()
        .code(code)
}

#[test]
fn broken_files_get_rows_and_change_no_good_row() {
    let folder = tempfile::tempdir().unwrap();
    let good = folder.path().join("good");
    fs::create_dir(&good).unwrap();
    for entry in fs::read_dir(workshop().join("erasers/arrays"))
        .unwrap()
        .flatten()
        .take(12)
    {
        fs::copy(entry.path(), good.join(entry.file_name())).unwrap();
    }
    let clean = folder.path().join("clean");
    score(&good, &clean, &[], 0);
    let broken = write_broken_files(&good);
    let mixed = folder.path().join("mixed");
    let ran = score(&good, &mixed, &[], 3);
    assert!(stdout(&ran).contains("unreadable"));

    let clean = rows(&clean.join("scores.csv"));
    let mixed = rows(&mixed.join("scores.csv"));
    assert_eq!(clean.len(), 12);
    assert_eq!(mixed.len(), 12 + broken.len());
    for (id, row) in &clean {
        assert_eq!(row, &mixed[id], "{id}");
    }
    for (id, row) in mixed.iter().filter(|(id, _)| !clean.contains_key(*id)) {
        assert_eq!(row[2], "error", "{id}");
        assert!(!row[9].is_empty(), "{id} has a reason");
    }
}

#[test]
fn the_number_of_threads_and_a_stop_change_no_byte() {
    let folder = tempfile::tempdir().unwrap();
    let input = workshop().join("erasers");
    let whole = folder.path().join("whole");
    score(&input, &whole, &["--maps"], 0);
    let one = folder.path().join("one");
    score(&input, &one, &["--maps", "--threads", "1"], 0);
    let bytes = |of: &Path, file: &str| fs::read(of.join(file)).unwrap();
    assert_eq!(bytes(&whole, "scores.csv"), bytes(&one, "scores.csv"));
    let map = "maps/synth-000003.npy";
    assert_eq!(bytes(&whole, map), bytes(&one, map));

    // Complete already: nothing is done again, nothing doubled.
    let again = score(&input, &whole, &["--maps", "--resume"], 0);
    assert!(stdout(&again).contains("scored 90 of 90"));
    assert_eq!(bytes(&whole, "scores.csv"), bytes(&one, "scores.csv"));
    score(&input, &whole, &[], 1);
}

#[test]
fn other_channels_are_an_error_that_says_which_are_needed() {
    let folder = tempfile::tempdir().unwrap();
    let grey = folder.path().join("grey");
    fs::create_dir(&grey).unwrap();
    image::GrayImage::new(64, 64)
        .save(grey.join("a.png"))
        .unwrap();
    let out = folder.path().join("out");
    score(&grey, &out, &[], 3);
    let row = &rows(&out.join("scores.csv"))["a"];
    assert_eq!(row[2], "error");
    assert!(
        row[9].contains("6 expected (GRAY AM G R W NORMAL)"),
        "{}",
        row[9]
    );
}

/// A folder with copies of the first pieces of the workshop.
fn some_pieces(folder: &Path, count: usize) {
    fs::create_dir_all(folder).unwrap();
    for i in 0..count {
        let name = format!("synth-{i:06}.npy");
        let from = workshop().join("erasers/arrays").join(&name);
        fs::copy(from, folder.join(&name)).unwrap();
    }
}

#[test]
fn a_run_is_not_resumed_with_another_folder_of_the_same_names() {
    let folder = tempfile::tempdir().unwrap();
    let (monday, tuesday) = (folder.path().join("monday"), folder.path().join("tuesday"));
    some_pieces(&monday, 3);
    some_pieces(&tuesday, 3);
    let out = folder.path().join("out");
    score(&monday, &out, &[], 0);
    let refused = score(&tuesday, &out, &["--resume"], 1);
    assert!(stderr(&refused).contains("inputs"), "{}", stderr(&refused));
    score(&monday, &out, &["--resume"], 0);
}

#[test]
fn results_within_the_input_are_not_scored() {
    let folder = tempfile::tempdir().unwrap();
    let day = folder.path().join("day");
    some_pieces(&day, 3);
    score(&day, &day.join("out"), &[], 0);
    let again = folder.path().join("again");
    score(&day, &again, &[], 0);
    assert_eq!(rows(&again.join("scores.csv")).len(), 3);
}

#[cfg(unix)]
#[test]
fn a_file_whose_name_is_no_text_is_a_row_like_any_other() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    some_pieces(folder.path(), 1);
    let odd = folder
        .path()
        .join(std::ffi::OsStr::from_bytes(b"caf\xe9.npy"));
    fs::copy(folder.path().join("synth-000000.npy"), &odd).unwrap();
    let out = folder.path().join("out");
    score(&odd, &out, &[], 3);
    assert_eq!(rows(&out.join("scores.csv")).len(), 1);
}

#[test]
fn a_damaged_bundle_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("model");
    copy_model(&copy);
    let path = copy.join("draem.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&path, bytes).unwrap();
    let ran = goma()
        .arg("score")
        .arg(&copy)
        .arg(workshop().join("erasers"))
        .arg("--out")
        .arg(folder.path().join("out"))
        .assert()
        .code(1);
    assert!(
        stderr(&ran).contains("draem.safetensors"),
        "{}",
        stderr(&ran)
    );
}

#[test]
fn a_thousand_good_and_fifty_broken_files() {
    let folder = tempfile::tempdir().unwrap();
    erasers(folder.path().join("erasers"), 1000, 6);
    let input = folder.path().join("erasers/arrays");
    let clean = folder.path().join("clean");
    score(&input, &clean, &["--no-heatmaps"], 0);
    let mut broken = Vec::new();
    for turn in 0.. {
        let part = input.join(format!("broken-{turn}"));
        fs::create_dir(&part).unwrap();
        for (path, _) in write_broken_files(&part) {
            if broken.len() < 50 {
                broken.push(path);
            } else if path.is_dir() {
                fs::remove_dir_all(path).unwrap();
            } else {
                fs::remove_file(path).unwrap();
            }
        }
        if broken.len() == 50 {
            break;
        }
    }
    let mixed = folder.path().join("mixed");
    score(&input, &mixed, &["--no-heatmaps"], 3);
    let clean = rows(&clean.join("scores.csv"));
    let mixed = rows(&mixed.join("scores.csv"));
    assert_eq!((clean.len(), mixed.len()), (1000, 1050));
    assert!(clean.iter().all(|(id, row)| row == &mixed[id]));
    assert_eq!(mixed.values().filter(|row| row[2] == "error").count(), 50);
}
