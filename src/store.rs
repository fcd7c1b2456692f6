//! A trained pipeline as a folder: complete, portable, checksummed.
//!
//! `manifest.json` says what the model is and lists every other file with its
//! length and SHA-256; it is written last, so that a folder without it is no
//! bundle. Nothing in a bundle is executed when it is opened.

use crate::classifier::Classifier;
use crate::data::colour::ColourScale;
use crate::data::format::PixelFormat;
use crate::data::region::RegionRule;
use crate::data::roi::RegionOfInterest;
use crate::decision::Rule;
use crate::draem::model::DraemShape;
use crate::draem::{Draem, Registration};
use crate::error::{Error, Result};
use crate::extract::{Extractor, FeatureOptions};
use crate::files;
use crate::pipeline::inspector::Inspector;
use crate::pipeline::supervised::{Supervised, not_a_pipeline};
use crate::pipeline::{BackboneFile, Hybrid, Pipeline, Training};
use crate::selection::Selection;
use crate::settings::{ModelKind, Settings};
use candle_core::Device;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::Path;

pub mod pieces;
pub mod supervised;

/// The file that makes a folder a bundle.
pub const MANIFEST: &str = "manifest.json";
/// The layout of bundles that this version reads and writes.
const FORMAT: u32 = 1;
/// Larger files are no part of a bundle.
const MAX_FILE: u64 = 4 << 30;
const DRAEM: &str = "draem.safetensors";
const BACKBONE: &str = "backbone.safetensors";
const CLASSIFIER: &str = "classifier.safetensors";
const ROI: &str = "roi.png";
const REGISTRATION: &str = "registration.png";

/// Length and hash of one file of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileFacts {
    bytes: u64,
    sha256: String,
}

/// What the classifier of a hybrid needs beside its weights.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct HybridFacts {
    backbone: String,
    features: FeatureOptions,
    selection: Selection,
}

#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    format: u32,
    goma: String,
    name: String,
    model: ModelKind,
    pixels: PixelFormat,
    classes: Vec<String>,
    draem: DraemShape,
    hybrid: Option<HybridFacts>,
    rule: Rule,
    colour_scale: ColourScale,
    /// Bundles before regions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    regions: Option<RegionRule>,
    training: Training,
    settings: Settings,
    files: BTreeMap<String, FileFacts>,
}

/// A pipeline as it was opened, with the hash that names it.
#[derive(Debug)]
pub struct Bundle {
    /// The trained pipeline.
    pub pipeline: Pipeline,
    /// SHA-256 of the manifest, which holds those of all other files.
    pub hash: String,
    /// Version of goma that wrote it.
    pub goma: String,
}

/// A bundle of any kind, ready to inspect.
#[derive(Debug)]
pub struct Model {
    /// What inspects.
    pub inspector: Box<dyn Inspector>,
    /// As [`Bundle::hash`].
    pub hash: String,
}

/// What a bundle holds.
#[derive(Debug)]
pub enum Contents {
    /// A hybrid, or an anomaly model alone.
    Pipeline(Box<Pipeline>),
    /// A baseline.
    Supervised(Box<Supervised>),
}

impl Contents {
    /// As whoever scores and measures sees it.
    #[must_use]
    pub fn inspector(&self) -> &dyn Inspector {
        match self {
            Self::Pipeline(pipeline) => pipeline.as_ref(),
            Self::Supervised(supervised) => supervised.as_ref(),
        }
    }
}

/// Writes a pipeline into an existing folder, the manifest last.
///
/// # Errors
/// [`Error::Io`] if a file cannot be written.
pub fn save(pipeline: &Pipeline, folder: &Path) -> Result<()> {
    let mut parts = vec![(DRAEM, pipeline.draem.to_safetensors()?)];
    if let Some(hybrid) = &pipeline.hybrid {
        parts.push((BACKBONE, hybrid.backbone.bytes.to_vec()));
        parts.push((CLASSIFIER, hybrid.classifier.to_bytes()?));
    }
    if let Some(roi) = pipeline.draem.roi() {
        parts.push((ROI, roi.to_png()?));
    }
    if let Some(registration) = pipeline.draem.registration() {
        parts.push((REGISTRATION, registration.to_png()?));
    }
    let mut facts = BTreeMap::new();
    for (name, bytes) in parts {
        files::write_atomic(&folder.join(name), &bytes)?;
        facts.insert(
            name.to_string(),
            FileFacts {
                bytes: bytes.len() as u64,
                sha256: sha256(&bytes),
            },
        );
    }
    let manifest = Manifest {
        format: FORMAT,
        goma: env!("CARGO_PKG_VERSION").to_string(),
        name: pipeline.training.name.clone(),
        model: pipeline.settings.model,
        pixels: pipeline.format.clone(),
        classes: pipeline.classes.to_vec(),
        draem: pipeline.draem.shape(),
        hybrid: pipeline.hybrid.as_ref().map(|h| HybridFacts {
            backbone: h.backbone.name.clone(),
            features: h.extractor.options().clone(),
            selection: h.selection.clone(),
        }),
        rule: pipeline.rule.clone(),
        colour_scale: pipeline.scale,
        regions: Some(pipeline.regions.clone()),
        training: pipeline.training.clone(),
        settings: pipeline.settings.clone(),
        files: facts,
    };
    let mut text = serde_json::to_string_pretty(&manifest)
        .map_err(|e| Error::data(format!("cannot write the manifest: {e}")))?;
    text.push('\n');
    files::write_atomic(&folder.join(MANIFEST), text.as_bytes())
}

/// Opens a bundle: every file is there, whole, and what the manifest says.
///
/// # Errors
/// [`Error::Io`] and [`Error::Malformed`] naming the file.
pub fn open(folder: &Path, device: &Device) -> Result<Bundle> {
    check_folder(folder)?;
    read(|name| read_file(folder, name), folder, device)
}

/// Opens a bundle of any kind: hybrid, anomaly model or supervised baseline.
///
/// # Errors
/// As [`open`].
pub fn open_any(folder: &Path, device: &Device) -> Result<Model> {
    let (contents, hash) = open_contents(folder, device)?;
    let inspector: Box<dyn Inspector> = match contents {
        Contents::Pipeline(pipeline) => pipeline,
        Contents::Supervised(supervised) => supervised,
    };
    Ok(Model { inspector, hash })
}

/// As [`open_any`], for whoever needs to look inside; with the hash.
///
/// # Errors
/// As [`open`].
pub fn open_contents(folder: &Path, device: &Device) -> Result<(Contents, String)> {
    check_folder(folder)?;
    let bytes = read_file(folder, MANIFEST)?;
    if baseline_named(&bytes).is_none() {
        let bundle = open(folder, device)?;
        return Ok((Contents::Pipeline(Box::new(bundle.pipeline)), bundle.hash));
    }
    check_format(&bytes, folder)?;
    let fetch = |name: &str, facts: Option<&FileFacts>| {
        let wrong = |reason: String| Error::malformed(folder.join(MANIFEST), reason);
        let facts = facts.ok_or_else(|| wrong(format!("it does not list {name}")))?;
        checked(read_file(folder, name)?, facts, &folder.join(name))
    };
    let (supervised, _) = supervised::read(&bytes, fetch, folder, device)?;
    Ok((Contents::Supervised(Box::new(supervised)), sha256(&bytes)))
}

/// The model's name, if this is the manifest of a supervised baseline.
fn baseline_named(manifest: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Kind {
        model: ModelKind,
    }
    let kind: Kind = serde_json::from_slice(manifest).ok()?;
    kind.model.baseline()?;
    serde_json::to_value(kind.model)
        .ok()?
        .as_str()
        .map(str::to_string)
}

fn check_folder(folder: &Path) -> Result<()> {
    let path = folder.join(MANIFEST);
    if !path.is_file() {
        return Err(Error::malformed(
            folder,
            format!("no bundle: it holds no {MANIFEST}"),
        )
        .help("name a folder that `goma train --out` wrote; an unfinished training goes on with --resume"));
    }
    Ok(())
}

fn read_file(folder: &Path, name: &str) -> Result<Vec<u8>> {
    let path = folder.join(name);
    let length = std::fs::metadata(&path)
        .map_err(Error::io("read", &path))?
        .len();
    if length > MAX_FILE {
        return Err(Error::malformed(
            path,
            format!("{length} bytes are too many"),
        ));
    }
    std::fs::read(&path).map_err(Error::io("read", &path))
}

/// A file's bytes, if they are those that the manifest lists.
fn checked(bytes: Vec<u8>, facts: &FileFacts, path: &Path) -> Result<Vec<u8>> {
    if bytes.len() as u64 != facts.bytes || sha256(&bytes) != facts.sha256 {
        return Err(
            Error::malformed(path, "the file is not the one the bundle was written with")
                .help("copy the bundle anew, or train it again"),
        );
    }
    Ok(bytes)
}

fn check_format(manifest: &[u8], origin: &Path) -> Result<()> {
    let malformed = |reason: String| Error::malformed(origin.join(MANIFEST), reason);
    let version: serde_json::Value =
        serde_json::from_slice(manifest).map_err(|e| malformed(e.to_string()))?;
    if version.get("format").and_then(serde_json::Value::as_u64) != Some(u64::from(FORMAT)) {
        return Err(malformed(format!(
            "bundle format {} found, {FORMAT} expected",
            version.get("format").unwrap_or(&serde_json::Value::Null)
        )));
    }
    Ok(())
}

/// Opens a bundle from bytes in the program, given by file name.
///
/// # Errors
/// As [`open`].
pub fn open_embedded(parts: &[(&str, &[u8])], device: &Device) -> Result<Bundle> {
    let origin = Path::new("(bundled model)");
    read(
        |name| {
            parts
                .iter()
                .find(|(part, _)| *part == name)
                .map(|(_, bytes)| bytes.to_vec())
                .ok_or_else(|| Error::malformed(origin, format!("{name} is missing")))
        },
        origin,
        device,
    )
}

fn read(
    fetch: impl Fn(&str) -> Result<Vec<u8>> + Sync,
    origin: &Path,
    device: &Device,
) -> Result<Bundle> {
    let bytes = fetch(MANIFEST)?;
    let malformed = |reason: String| Error::malformed(origin.join(MANIFEST), reason);
    check_format(&bytes, origin)?;
    if let Some(model) = baseline_named(&bytes) {
        return Err(not_a_pipeline(origin, &model));
    }
    let manifest: Manifest =
        serde_json::from_slice(&bytes).map_err(|e| malformed(e.to_string()))?;
    let part = |name: &str| -> Result<Vec<u8>> {
        let facts = manifest
            .files
            .get(name)
            .ok_or_else(|| malformed(format!("it does not list {name}")))?;
        checked(fetch(name)?, facts, &origin.join(name))
    };
    let regions = match manifest.regions.clone() {
        Some(regions) => regions,
        None => manifest.colour_scale.regions(),
    };
    if !regions.usual().is_empty() && regions.usual().len() != manifest.draem.channels {
        return Err(malformed("usual differences and channels disagree".into()));
    }
    if manifest.draem.channels != manifest.pixels.channels.len() {
        return Err(malformed("channels of model and images differ".into()));
    }
    let draem = || -> Result<Draem> {
        let weights = candle_core::safetensors::load_buffer(&part(DRAEM)?, device)?;
        let mut draem = Draem::new(manifest.draem, weights, device)?;
        draem.set_tiling(manifest.settings.draem.tiles);
        if manifest.files.contains_key(ROI) {
            let roi = RegionOfInterest::from_png(&part(ROI)?, &origin.join(ROI))?;
            draem.set_roi(Some(roi));
        }
        if manifest.files.contains_key(REGISTRATION) {
            let (bytes, origin) = (part(REGISTRATION)?, origin.join(REGISTRATION));
            draem.set_registration(Some(Registration::from_png(&bytes, &origin)?));
        }
        Ok(draem)
    };
    let hybrid = || match manifest.hybrid.clone() {
        None => Ok(None),
        Some(facts) => {
            let backbone =
                BackboneFile::new(&facts.backbone, part(BACKBONE)?, &origin.join(BACKBONE))?;
            let extractor = Extractor::new(
                facts.features,
                &backbone.name,
                &backbone.weights,
                manifest.pixels.channels.len(),
                device,
            )?;
            let classifier = Classifier::from_bytes(&part(CLASSIFIER)?)?;
            if classifier.classes().as_ref() != manifest.classes.as_slice()
                || classifier.columns() != facts.selection.columns()
            {
                return Err(malformed("classifier and manifest disagree".into()));
            }
            Ok(Some(Hybrid {
                backbone,
                extractor,
                selection: facts.selection,
                classifier,
            }))
        }
    };
    let (draem, hybrid) = rayon::join(draem, hybrid);
    let (draem, hybrid) = (draem?, hybrid?);
    Ok(Bundle {
        hash: sha256(&bytes),
        goma: manifest.goma,
        pipeline: Pipeline {
            format: manifest.pixels,
            classes: manifest.classes.into(),
            draem,
            hybrid,
            rule: manifest.rule,
            scale: manifest.colour_scale,
            regions,
            training: manifest.training,
            settings: manifest.settings,
        },
    })
}

/// SHA-256, hexadecimal.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    use std::fmt::Write;
    Sha256::digest(bytes)
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}
