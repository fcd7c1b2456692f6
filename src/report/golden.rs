//! Golden files of the report's tests, remade by `REGENERATE=1` and reviewed
//! as a diff.

use std::path::{Path, PathBuf};

/// Compares `text` with `tests/golden/NAME`.
pub fn check_text(name: &str, text: &str) {
    let expected = String::from_utf8(stored(name, text.as_bytes())).unwrap();
    assert!(expected == text, "{}", advice(name));
}

/// Compares a PNG with `tests/golden/NAME`: the same size, and no value of a
/// pixel off by more than 1, which is what another `libm` may round to.
pub fn check_picture(name: &str, png: &[u8]) {
    let expected = image::load_from_memory(&stored(name, png))
        .unwrap()
        .into_rgb8();
    let found = image::load_from_memory(png).unwrap().into_rgb8();
    assert_eq!(expected.dimensions(), found.dimensions(), "{name}");
    let close = expected
        .iter()
        .zip(found.iter())
        .all(|(a, b)| a.abs_diff(*b) <= 1);
    assert!(close, "{}", advice(name));
}

fn stored(name: &str, now: &[u8]) -> Vec<u8> {
    let path = path(name);
    if std::env::var_os("REGENERATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, now).unwrap();
    }
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}; {}", path.display(), advice(name)))
}

fn advice(name: &str) -> String {
    format!("tests/golden/{name} differs; if that is meant, remake it with REGENERATE=1 and look")
}

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}
