//! The models that lie in the program itself, so that it works without a
//! network: the backbone taught on made-up surfaces, and the eraser model.

use crate::error::Result;
use crate::extract::choice;
use crate::pipeline::BackboneFile;
use crate::store::{self, Bundle};
use candle_core::Device;
use std::path::Path;

/// Name of the bundled backbone.
pub const BACKBONE_NAME: &str = choice::BUNDLED;

const BACKBONE: &[u8] = choice::BUNDLED_BYTES;

/// The bundled backbone: a ResNet-18 of half width, see models/backbone.
///
/// # Errors
/// [`crate::Error::Malformed`] if the program was built with a damaged file.
pub fn backbone() -> Result<BackboneFile> {
    BackboneFile::new(
        BACKBONE_NAME,
        BACKBONE.to_vec(),
        Path::new("(bundled backbone)"),
    )
}

/// The bundled eraser model, see models/eraser.
///
/// # Errors
/// [`crate::Error::Malformed`] if the program was built with a damaged file.
pub fn eraser(device: &Device) -> Result<Bundle> {
    let parts: [(&str, &[u8]); 6] = [
        (
            "manifest.json",
            include_bytes!("../models/eraser/manifest.json"),
        ),
        (
            "draem.safetensors",
            include_bytes!("../models/eraser/draem.safetensors"),
        ),
        (
            "classifier.safetensors",
            include_bytes!("../models/eraser/classifier.safetensors"),
        ),
        (
            "registration.png",
            include_bytes!("../models/eraser/registration.png"),
        ),
        ("roi.png", include_bytes!("../models/eraser/roi.png")),
        ("backbone.safetensors", BACKBONE),
    ];
    store::open_embedded(&parts, device)
}
