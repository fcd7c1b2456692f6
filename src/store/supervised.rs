//! A supervised baseline as a folder: the same layout as any bundle's, a
//! manifest of its own kind and one weight file.

use super::{FORMAT, FileFacts, MANIFEST, sha256};
use crate::baseline::{Baseline, BaselineShape};
use crate::data::colour::ColourScale;
use crate::data::format::PixelFormat;
use crate::decision::Rule;
use crate::error::{Error, Result};
use crate::files;
use crate::pipeline::Training;
use crate::pipeline::supervised::Supervised;
use crate::settings::{ModelKind, Settings};
use candle_core::Device;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

const NETWORK: &str = "network.safetensors";

#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    format: u32,
    goma: String,
    name: String,
    model: ModelKind,
    pixels: PixelFormat,
    classes: Vec<String>,
    network: BaselineShape,
    start: String,
    rule: Rule,
    colour_scale: ColourScale,
    training: Training,
    settings: Settings,
    files: BTreeMap<String, FileFacts>,
}

/// Writes a baseline into an existing folder, the manifest last.
///
/// # Errors
/// [`Error::Io`] if a file cannot be written.
pub fn save(supervised: &Supervised, folder: &Path) -> Result<()> {
    let bytes = supervised.baseline.to_safetensors()?;
    files::write_atomic(&folder.join(NETWORK), &bytes)?;
    let facts = FileFacts {
        bytes: bytes.len() as u64,
        sha256: sha256(&bytes),
    };
    let manifest = Manifest {
        format: FORMAT,
        goma: env!("CARGO_PKG_VERSION").to_string(),
        name: supervised.training.name.clone(),
        model: supervised.settings.model,
        pixels: supervised.format.clone(),
        classes: supervised.baseline.classes().to_vec(),
        network: supervised.baseline.shape().clone(),
        start: supervised.start.clone(),
        rule: supervised.rule.clone(),
        colour_scale: supervised.scale,
        training: supervised.training.clone(),
        settings: supervised.settings.clone(),
        files: BTreeMap::from([(NETWORK.to_string(), facts)]),
    };
    let mut text = serde_json::to_string_pretty(&manifest)
        .map_err(|e| Error::data(format!("cannot write the manifest: {e}")))?;
    text.push('\n');
    files::write_atomic(&folder.join(MANIFEST), text.as_bytes())
}

/// The baseline of a manifest; `fetch` gives a file's bytes, checked against
/// the facts given.
pub(super) fn read(
    bytes: &[u8],
    fetch: impl Fn(&str, Option<&FileFacts>) -> Result<Vec<u8>>,
    origin: &Path,
    device: &Device,
) -> Result<(Supervised, String)> {
    let malformed = |reason: String| Error::malformed(origin.join(MANIFEST), reason);
    let manifest: Manifest = serde_json::from_slice(bytes).map_err(|e| malformed(e.to_string()))?;
    if manifest.network.view.channels != manifest.pixels.channels.len() {
        return Err(malformed("channels of network and images differ".into()));
    }
    manifest
        .network
        .architecture
        .check()
        .map_err(|e| malformed(e.to_string()))?;
    let weights = fetch(NETWORK, manifest.files.get(NETWORK))?;
    let weights = candle_core::safetensors::load_buffer(&weights, device)?;
    let classes = manifest.classes.into();
    let supervised = Supervised {
        format: manifest.pixels,
        baseline: Baseline::new(manifest.network, classes, weights, device)?,
        rule: manifest.rule,
        scale: manifest.colour_scale,
        start: manifest.start,
        training: manifest.training,
        settings: manifest.settings,
    };
    Ok((supervised, manifest.goma))
}
