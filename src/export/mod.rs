//! Networks of a bundle as ONNX files, for programs without goma.
//!
//! [`parts`] says which files a bundle becomes and what stands around the
//! networks, `onnx` turns the engine's list of operations into a graph,
//! [`about`] describes what a reader must know. [`check`] reads the files back
//! into another runtime and compares what it says of pieces with what goma says.
//!
//! Selection, classifier and the statistics of the map stay in goma: of a
//! hybrid, anomaly model and backbones are exported.

pub mod about;
pub mod check;
mod onnx;
pub mod parts;
mod pictures;
pub mod proto;
mod runtime;

pub use onnx::OPSET;
pub use pictures::{Pictures, of_format};

use crate::error::{Error, Result};
use crate::pipeline::inspector::About as AboutBundle;
use crate::store::{self, Contents};
use crate::{data::image::Image, files};
use about::{About, Decides, Origin};
use check::{Check, Findings, TOLERANCE};
use parts::{Part, PieceSize};
use prost::Message;
use serde::Serialize;
use std::path::Path;

/// The file that describes an export.
pub const SUMMARY: &str = "export.json";

/// A bundle to be exported.
pub struct Export {
    contents: Contents,
    origin: Origin,
    parts: Vec<Part>,
    pieces: PieceSize,
}

/// What was written, and how it was checked.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// Where it comes from, and how it decides.
    #[serde(flatten)]
    pub origin: Origin,
    /// ONNX's operator set.
    pub opset: i64,
    /// The files.
    pub files: Vec<FileFacts>,
    /// The check.
    pub check: CheckFacts,
}

/// A file of the folder.
#[derive(Debug, Serialize)]
pub struct FileFacts {
    /// Its name.
    pub file: &'static str,
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: String,
    /// What a reader must know.
    #[serde(flatten)]
    pub about: About,
}

/// How an export was checked.
#[derive(Debug, Serialize)]
pub struct CheckFacts {
    /// What ran the files.
    pub runtime: &'static str,
    /// What they were run on.
    pub on: String,
    /// The largest difference that is let through.
    pub tolerance: f64,
    /// What was found.
    #[serde(flatten)]
    pub findings: Findings,
}

impl Export {
    /// Makes the graphs of a bundle.
    ///
    /// - `pieces`: height and width of the pieces, if the graphs shall take
    ///   them as they are and reduce them themselves
    ///
    /// # Errors
    /// As [`parts::of_pipeline`] and [`parts::of_supervised`].
    pub fn new(contents: Contents, bundle_sha256: String, pieces: PieceSize) -> Result<Self> {
        let about = contents.inspector().about();
        let on = match &contents {
            Contents::Pipeline(pipeline) if pipeline.hybrid.is_some() => {
                "the probability of a defect by the bundle's classifier, which is not exported"
            }
            Contents::Pipeline(pipeline) if parts::has_after(&pipeline.draem) => {
                "the image score of what `after` makes of anomaly.onnx's maps"
            }
            Contents::Pipeline(_) => "the output `score` of anomaly.onnx",
            Contents::Supervised(_) => "1 minus the probability of `good`; 1 without such a class",
        };
        let origin = Origin {
            goma: env!("CARGO_PKG_VERSION"),
            bundle: about.training.name.clone(),
            bundle_sha256,
            model: about.model.to_string(),
            classes: about.classes.to_vec(),
            rule: Decides::new(about.rule, on),
        };
        let parts = match &contents {
            Contents::Pipeline(pipeline) => parts::of_pipeline(pipeline, pieces, &origin)?,
            Contents::Supervised(supervised) => parts::of_supervised(supervised, pieces, &origin)?,
        };
        Ok(Self {
            contents,
            origin,
            parts,
            pieces,
        })
    }

    /// What is exported.
    #[must_use]
    pub fn about(&self) -> AboutBundle<'_> {
        self.contents.inspector().about()
    }

    /// Writes the files into an existing folder and compares them, as they lie
    /// there, with the bundle on `pictures`; then writes [`SUMMARY`].
    ///
    /// - `on`: what the pictures are, in words
    ///
    /// # Errors
    /// [`Error::Data`] if a file says something else than the bundle, or there
    /// is no picture; [`Error::Io`]; what is wrong with a picture.
    pub fn write(
        self,
        folder: &Path,
        on: String,
        pictures: impl Iterator<Item = Result<Image>>,
    ) -> Result<Summary> {
        let mut files = Vec::with_capacity(self.parts.len());
        for part in self.parts {
            let bytes = part.model.encode_to_vec();
            files::write_atomic(&folder.join(part.file), &bytes)?;
            files.push(FileFacts {
                file: part.file,
                bytes: bytes.len() as u64,
                sha256: store::sha256(&bytes),
                about: part.about,
            });
        }
        if let Contents::Pipeline(pipeline) = &self.contents
            && let Some(roi) = pipeline.draem.roi()
        {
            files::write_atomic(&folder.join(parts::ROI), &roi.to_png()?)?;
        }
        if let Contents::Pipeline(pipeline) = &self.contents
            && let Some(registration) = pipeline.draem.registration()
        {
            let path = folder.join(parts::REGISTRATION);
            files::write_atomic(&path, &registration.to_png()?)?;
        }
        let mut check = Check::begin(self.contents, folder, &files, self.pieces.is_some())?;
        for picture in pictures {
            check.add(picture?)?;
        }
        let findings = check.finish()?;
        findings.accept()?;
        let summary = Summary {
            origin: self.origin,
            opset: OPSET,
            files,
            check: CheckFacts {
                runtime: "rten",
                on,
                tolerance: TOLERANCE,
                findings,
            },
        };
        let mut text =
            serde_json::to_string_pretty(&summary).map_err(|e| Error::data(e.to_string()))?;
        text.push('\n');
        files::write_atomic(&folder.join(SUMMARY), text.as_bytes())?;
        Ok(summary)
    }
}

#[cfg(test)]
mod tests;
