//! The cache: every stage's product under a key of all that it depends on.
//!
//! A key is the SHA-256 of what went in: pixels (by the digest of their files),
//! which pieces, settings, seed, the keys of earlier products, goma's version
//! and [`FORMAT`]. Whatever changes, changes the key; nothing is ever updated.
//!
//! An entry is two files, `KIND/KEY.data` and `KIND/KEY.json`, the second
//! written last: what the entry is, its length and its SHA-256. An entry that
//! does not agree with them, or does not decode, is made anew.

use crate::error::{Error, Result};
use crate::files;
use crate::nn::checkpoint::Checkpoint;
use crate::progress::Observer;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use std::path::{Path, PathBuf};

/// Raised by hand when a stage computes something else than before, or stores
/// it otherwise, without a new version of goma.
pub const FORMAT: u32 = 1;

/// The address of a product.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Key(String);

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Gathers what a product depends on.
#[derive(Debug, Clone)]
pub struct KeyBuilder(Sha256);

impl KeyBuilder {
    /// Begins the key of a product of this kind, made by this version of goma.
    #[must_use]
    pub fn new(kind: &str) -> Self {
        Self(Sha256::new())
            .with("goma", env!("CARGO_PKG_VERSION"))
            .with("format", FORMAT.to_le_bytes())
            .with("kind", kind)
    }

    /// Adds one thing that the product depends on. Names and values are told
    /// apart by their lengths, so that no two lists run together.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        for part in [name.as_bytes(), value.as_ref()] {
            self.0.update((part.len() as u64).to_le_bytes());
            self.0.update(part);
        }
        self
    }

    /// Adds settings, as their JSON.
    #[must_use]
    pub fn with_settings(self, name: &str, settings: &impl Serialize) -> Self {
        let json = serde_json::to_vec(settings).expect("settings are plain values");
        self.with(name, json)
    }

    /// The key.
    #[must_use]
    pub fn finish(self) -> Key {
        Key(hex(&self.0.finalize()))
    }
}

/// Bytes in hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// What lies beside an entry.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seal {
    about: String,
    bytes: u64,
    sha256: String,
}

/// A folder of products.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// A cache in this folder, which need not exist yet.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_path_buf(),
        }
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn path(&self, kind: &str, key: &Key, extension: &str) -> PathBuf {
        self.folder.join(kind).join(format!("{key}.{extension}"))
    }

    /// Trains a product: on from the checkpoint that a stop left, if it left one. A
    /// checkpoint that does not load is worth no more than none: begun anew.
    ///
    /// # Errors
    /// What training says; [`Error::Io`].
    pub fn go_on<T>(
        &self,
        kind: &str,
        key: &Key,
        observer: &dyn Observer,
        train: impl Fn(&Checkpoint) -> Result<T>,
    ) -> Result<T> {
        self.make_folder(kind)?;
        let checkpoint = Checkpoint {
            path: self.path(kind, key, "checkpoint"),
            resume: true,
            fingerprint: key.to_string(),
        };
        let begun = checkpoint.path.exists();
        match train(&checkpoint) {
            Err(error) if begun && !matches!(error, Error::Stopped | Error::NotFinite { .. }) => {
                observer.note(&format!("the checkpoint is left ({error}); begun anew"));
                let path = &checkpoint.path;
                std::fs::remove_file(path).map_err(Error::io("remove", path))?;
                train(&checkpoint)
            }
            other => other,
        }
    }

    /// Whether there seems to be such an entry: its length agrees. Only
    /// [`Cache::get`] reads it whole.
    #[must_use]
    pub fn has(&self, kind: &str, key: &Key) -> bool {
        let length = std::fs::metadata(self.path(kind, key, "data")).map(|m| m.len());
        matches!((self.seal(kind, key), length), (Some(seal), Ok(n)) if seal.bytes == n)
    }

    fn seal(&self, kind: &str, key: &Key) -> Option<Seal> {
        let text = std::fs::read(self.path(kind, key, "json")).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// An entry's bytes, if it is there and whole. A damaged one is said.
    #[must_use]
    pub fn get(&self, kind: &str, key: &Key, observer: &dyn Observer) -> Option<Vec<u8>> {
        let seal = self.seal(kind, key)?;
        let path = self.path(kind, key, "data");
        let bytes = std::fs::read(&path).ok()?;
        if bytes.len() as u64 == seal.bytes && hex(&Sha256::digest(&bytes)) == seal.sha256 {
            return Some(bytes);
        }
        observer.note(&format!(
            "{} ({}) is damaged and is made anew",
            path.display(),
            seal.about
        ));
        None
    }

    /// Keeps a product; `about` says to a person what it is.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn put(&self, kind: &str, key: &Key, about: &str, bytes: &[u8]) -> Result<()> {
        self.make_folder(kind)?;
        let seal = Seal {
            about: about.to_string(),
            bytes: bytes.len() as u64,
            sha256: hex(&Sha256::digest(bytes)),
        };
        let seal = serde_json::to_vec_pretty(&seal).map_err(|e| Error::data(e.to_string()))?;
        files::write_atomic(&self.path(kind, key, "data"), bytes)?;
        files::write_atomic(&self.path(kind, key, "json"), &seal)?;
        let checkpoint = self.path(kind, key, "checkpoint");
        if checkpoint.exists() {
            std::fs::remove_file(&checkpoint).map_err(Error::io("remove", checkpoint))?;
        }
        Ok(())
    }

    /// The product from the cache, or made and kept.
    ///
    /// # Errors
    /// What `make` says; [`Error::Io`]. What does not decode is made anew.
    pub fn product<T: Product>(
        &self,
        key: &Key,
        about: &str,
        observer: &dyn Observer,
        make: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        if let Some(bytes) = self.get(T::KIND, key, observer) {
            match T::from_bytes(&bytes) {
                Ok(product) => return Ok(product),
                Err(error) => observer.note(&format!(
                    "the cached {about} does not decode ({error}) and is made anew"
                )),
            }
        }
        let product = make()?;
        self.put(T::KIND, key, about, &product.to_bytes()?)?;
        Ok(product)
    }

    fn make_folder(&self, kind: &str) -> Result<()> {
        let folder = self.folder.join(kind);
        std::fs::create_dir_all(&folder).map_err(Error::io("create", folder))
    }
}

/// What can be kept in a cache.
pub trait Product: Sized {
    /// The folder of its entries.
    const KIND: &'static str;

    /// As an entry holds it; the same bytes for the same product.
    ///
    /// # Errors
    /// [`Error::Data`] if it has no such form.
    fn to_bytes(&self) -> Result<Vec<u8>>;

    /// Reads [`Product::to_bytes`] back, exactly.
    ///
    /// # Errors
    /// Saying what does not fit.
    fn from_bytes(bytes: &[u8]) -> Result<Self>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;
    use std::cell::Cell;

    #[derive(Debug, PartialEq)]
    struct Number(u32);

    impl Product for Number {
        const KIND: &'static str = "numbers";
        fn to_bytes(&self) -> Result<Vec<u8>> {
            Ok(self.0.to_le_bytes().to_vec())
        }
        fn from_bytes(bytes: &[u8]) -> Result<Self> {
            let bytes = bytes.try_into();
            let bytes = bytes.map_err(|_| Error::data("four bytes expected"))?;
            Ok(Self(u32::from_le_bytes(bytes)))
        }
    }

    #[test]
    fn a_product_is_made_once_and_a_damaged_one_again() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(dir.path());
        let key = KeyBuilder::new("numbers").with("of", "seven").finish();
        let made = Cell::new(0);
        let get = || {
            cache
                .product(&key, "the number", &Silent, || {
                    made.set(made.get() + 1);
                    Ok(Number(7))
                })
                .unwrap()
        };
        assert_eq!((get(), get(), made.get()), (Number(7), Number(7), 1));
        assert!(cache.has("numbers", &key));
        let data = dir.path().join(format!("numbers/{key}.data"));
        for damage in [&b"\x08\0\0\0"[..], b"", b"\x07\0\0\0\0"] {
            std::fs::write(&data, damage).unwrap();
            let before = made.get();
            assert_eq!((get(), made.get()), (Number(7), before + 1));
        }
        // A kill between the two files leaves an entry that does not count.
        std::fs::remove_file(dir.path().join(format!("numbers/{key}.json"))).unwrap();
        assert!(!cache.has("numbers", &key));
        let before = made.get();
        assert_eq!((get(), made.get()), (Number(7), before + 1));
        // Sealed, but nothing that decodes.
        cache.put("numbers", &key, "nonsense", b"abc").unwrap();
        assert_eq!((get(), made.get()), (Number(7), before + 2));
    }

    #[test]
    fn neighbouring_values_do_not_run_together() {
        let key = |a: &str, b: &str| KeyBuilder::new("x").with("a", a).with("b", b).finish();
        assert_eq!(key("12", "3"), key("12", "3"));
        assert_ne!(key("12", "3"), key("1", "23"));
        assert_ne!(
            KeyBuilder::new("x").with("a", "b").finish(),
            KeyBuilder::new("x").with("ab", "").finish()
        );
    }
}
