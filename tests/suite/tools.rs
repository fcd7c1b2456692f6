//! What the other modules share.

use assert_cmd::Command;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;
use tempfile::TempDir;

/// The program, quiet.
pub fn goma() -> Command {
    let mut command = Command::cargo_bin("goma").expect("the program is built");
    command.arg("-q");
    command
}

/// Makes so many labelled pieces in a new folder.
pub fn erasers(out: impl AsRef<Path>, count: usize, seed: u64) {
    goma()
        .args(["synth", "--count", &count.to_string()])
        .args(["--seed", &seed.to_string(), "--out"])
        .arg(out.as_ref())
        .assert()
        .success();
}

/// A folder with `erasers` (90 labelled pieces of 6 packs) and `model` (a tiny hybrid bundle
/// trained on them): made once for all tests.
pub fn workshop() -> &'static Path {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    FOLDER
        .get_or_init(|| {
            let folder = tempfile::tempdir().expect("a temporary folder");
            erasers(folder.path().join("erasers"), 90, 5);
            goma()
                .arg("train")
                .arg(folder.path().join("erasers"))
                .args(["--classes", "binary", "--seed", "3", "--out"])
                .arg(folder.path().join("model"))
                .args(TINY)
                .assert()
                .success();
            folder
        })
        .path()
}

/// Settings that train in a second or two, of `train` and `compare`.
pub const TINY: [&str; 14] = [
    "--set",
    "draem.size=32",
    "--set",
    "draem.steps=6",
    "--set",
    "draem.batch=2",
    "--set",
    "draem.reconstructive_width=2",
    "--set",
    "draem.discriminative_width=2",
    "--set",
    "features.size=32",
    "--set",
    "fitting.test_share=0.3",
];

/// The rows of a CSV file by the first column.
pub fn rows(path: &Path) -> BTreeMap<String, Vec<String>> {
    let mut table = csv::Reader::from_path(path).expect("the table is there");
    table
        .records()
        .map(|row| {
            let row: Vec<String> = row.expect("a row").iter().map(str::to_string).collect();
            (row[0].clone(), row)
        })
        .collect()
}

/// What a command says on standard error.
pub fn stderr(assert: &assert_cmd::assert::Assert) -> String {
    String::from_utf8_lossy(&assert.get_output().stderr).into_owned()
}

/// What a command prints.
pub fn stdout(assert: &assert_cmd::assert::Assert) -> String {
    String::from_utf8_lossy(&assert.get_output().stdout).into_owned()
}

/// Copies the workshop's model into a new folder, without the pictures that its
/// training left.
pub fn copy_model(to: &Path) {
    std::fs::create_dir(to).unwrap();
    let entries = std::fs::read_dir(workshop().join("model")).unwrap();
    for entry in entries.flatten().filter(|entry| entry.path().is_file()) {
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
