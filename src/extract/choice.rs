//! From a backbone's name to its weights: the bundled ones, those in the
//! cache, or those of a file.

use crate::error::{Error, Result};
use crate::nn::resnet::{Depth, ResNetConfig};
use crate::nn::weights::WeightFile;
use crate::nn::weights::cache::{Cache, Pretrained};
use std::path::Path;

/// The name of the bundled backbone.
pub const BUNDLED: &str = "goma-resnet18-w32";

/// The bundled weight file, made by `goma pretrain`; see models/backbone/README.md.
pub const BUNDLED_BYTES: &[u8] =
    include_bytes!("../../models/backbone/goma-resnet18-w32.safetensors");

/// The bundled weights: a ResNet-18 of half width (256 features), taught on
/// made-up surfaces alone.
///
/// # Errors
/// None in a sound build.
pub fn bundled() -> Result<WeightFile> {
    WeightFile::from_bytes(BUNDLED_BYTES)
        .map_err(|reason| Error::data(format!("the bundled backbone is damaged: {reason}")))
}

/// Finds the weights of a backbone by name, or of `file`; returns them with
/// the name resolved: without a name that of what the file holds, without
/// either the bundled one.
///
/// # Errors
/// [`Error::Setting`] if there is no such backbone; [`Error::Data`] if its
/// weights are not in the cache (the error says what to do), or the file holds
/// another network; as for [`WeightFile::read`].
pub fn weights(name: Option<&str>, file: Option<&Path>) -> Result<(String, WeightFile)> {
    let depth = match name {
        None | Some(BUNDLED) => None,
        Some(name) => Some(Depth::named(name).ok_or_else(|| unknown(name))?),
    };
    match (depth, file) {
        (None, None) => Ok((BUNDLED.to_owned(), bundled()?)),
        (_, Some(path)) => {
            let weights = WeightFile::read(path)?;
            let found = ResNetConfig::of_weights(&weights.weights)
                .map_err(|e| Error::malformed(path, e.to_string()))?;
            if depth.is_some_and(|wanted| wanted != found.depth) {
                let reason = format!("a {} found, {} expected", found.depth, name.unwrap_or(""));
                return Err(Error::malformed(path, reason));
            }
            Ok((name.unwrap_or(found.depth.name()).to_owned(), weights))
        }
        (Some(depth), None) => Ok((depth.name().to_owned(), cached(depth)?)),
    }
}

/// Weights from the cache, unchanged since they were fetched.
fn cached(depth: Depth) -> Result<WeightFile> {
    let entry = Pretrained::named(depth.name()).ok_or_else(|| unknown(depth.name()))?;
    let cache = Cache::from_env()?;
    let path = cache.path(entry);
    if !path.exists() {
        return Err(Error::data(format!(
            "the weights of {depth} are not in the cache ({})",
            cache.folder().display()
        ))
        .help(format!(
            "run `goma weights fetch {depth}`; without a network, copy {} from the cache of a \
             machine with one, pass --weights FILE, or use the bundled backbone (--backbone \
             {BUNDLED})",
            path.file_name().unwrap_or_default().to_string_lossy()
        )));
    }
    let weights = WeightFile::read(&path)?;
    match cache.lock(entry)? {
        Some(lock) if lock.sha256 != weights.sha256 => Err(Error::malformed(
            &path,
            format!("SHA-256 {} found, {} expected", weights.sha256, lock.sha256),
        )
        .help(format!(
            "remove the file and run: goma weights fetch {depth}"
        ))),
        _ => Ok(weights),
    }
}

fn unknown(name: &str) -> Error {
    let known: Vec<&str> = Depth::ALL.iter().map(|d| d.name()).collect();
    let reason = format!(
        "{name} given, one of {BUNDLED}, {} expected",
        known.join(", ")
    );
    Error::setting("backbone", reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundled_backbone_is_a_half_width_resnet_18() {
        let (name, weights) = weights(None, None).unwrap();
        let config = ResNetConfig::of_weights(&weights.weights).unwrap();
        assert_eq!(name, BUNDLED);
        assert_eq!(
            (config.depth, config.width, config.features()),
            (Depth::Resnet18, 32, 256)
        );
        assert!(BUNDLED_BYTES.len() < 25_000_000);
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let error = weights(Some("vgg16"), None).unwrap_err();
        assert!(error.to_string().contains("resnet152"), "{error}");
    }
}
