//! What a reader of an exported file must know to feed it and to use what it
//! gives; the same in the file's metadata and in `export.json`.

use crate::data::format::PixelRange;
use crate::decision::Rule;
use crate::error::{Error, Result};
use serde::Serialize;
use std::collections::BTreeMap;

/// An input or output: `[batch, dims]` of float32.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Port {
    /// Its name in the graph.
    pub name: &'static str,
    /// Its shape without the batch.
    pub dims: Vec<usize>,
    /// What it holds.
    pub holds: String,
}

/// One step on the way from a piece's pixels to what a network sees.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "step", rename_all = "kebab-case")]
pub enum Step {
    /// Numbers are divided by the white of their kind.
    DivideByWhite {
        /// White by kind of number.
        white: PixelRange,
    },
    /// Moved to where its edges agree best with a mean piece's, see
    /// [`crate::draem::registration`].
    Align {
        /// The file that shows the mean piece.
        to: &'static str,
    },
    /// The map is moved by as much as `align` moved the piece, back: bilinear, its
    /// border going on. The image score is that of the map where it then lies.
    MoveBack {
        /// Side of the window whose mean the image score is the maximum of.
        window: usize,
    },
    /// Cut into overlapping squares, see [`crate::draem::tiles`].
    Tiles {
        /// Pixels a side.
        size: usize,
    },
    /// Black outside the region of interest, at the picture's own size.
    BlankOutside {
        /// The file that shows it, white inside.
        roi: &'static str,
    },
    /// To this size: bilinear, with a window that grows with the reduction
    /// factor (PIL's `BILINEAR`; OpenCV's and `antialias=False` are others).
    Resize {
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
        /// `bilinear`.
        filter: &'static str,
        /// Always.
        antialias: bool,
    },
    /// The same brightness in all channels: their sum with these weights.
    Brightness {
        /// One for each channel.
        weights: Vec<f32>,
    },
    /// Canny's edges of each channel, 0 or 1, after a blur.
    Canny {
        /// Lower threshold on the gradient's norm.
        low: f32,
        /// Upper threshold.
        high: f32,
        /// The blur's deviation.
        sigma: f32,
    },
    /// Each channel minus its mean, by its deviation.
    Normalise {
        /// One for each channel.
        mean: Vec<f32>,
        /// One for each channel.
        deviation: Vec<f32>,
    },
    /// The map is 0 outside the region of interest.
    MapWithin {
        /// The file that shows it, white inside.
        roi: &'static str,
    },
    /// Maps of tiles are blended by Hann windows whose weights add up to 1.
    BlendTiles {
        /// Side of the window whose mean the image score is the maximum of.
        window: usize,
    },
}

impl Step {
    /// See [`Step::Resize`].
    pub(super) fn resize(height: usize, width: usize) -> Self {
        Self::Resize {
            height,
            width,
            filter: "bilinear",
            antialias: true,
        }
    }
}

/// From a number to a decision.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Decides {
    /// Which number.
    pub on: String,
    /// At or above this the piece fails.
    pub fail_at: f64,
    /// At or above this, and below `fail_at`, a person looks.
    pub review_at: Option<f64>,
    /// How the thresholds were chosen.
    pub basis: String,
}

impl Decides {
    pub(super) fn new(rule: &Rule, on: &str) -> Self {
        Self {
            on: on.to_string(),
            fail_at: rule.fail_at,
            review_at: rule.review_at,
            basis: rule.basis.clone(),
        }
    }
}

/// What all files of an export have in common.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Origin {
    /// goma's version.
    pub goma: &'static str,
    /// The bundle's name.
    pub bundle: String,
    /// SHA-256 of its manifest.
    pub bundle_sha256: String,
    /// `hybrid`, `draem`, `resnet18` ...
    pub model: String,
    /// Class names, in the order of probabilities.
    pub classes: Vec<String>,
    /// From number to decision.
    pub rule: Decides,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct About {
    /// `anomaly`, `image-features`, `map-features` or `classifier`.
    pub part: &'static str,
    /// The one input.
    pub input: Port,
    /// Channels of the input, in order.
    pub channels: Vec<String>,
    /// What is done with a piece before it is fed, in order.
    pub before: Vec<Step>,
    /// What the graph does with its input before the network, and with what
    /// comes out.
    pub within: Vec<Step>,
    /// What is left to do with the outputs.
    pub after: Vec<Step>,
    /// What comes out, in order.
    pub outputs: Vec<Port>,
}

/// A structure's fields as metadata: texts as they are, all else as JSON.
pub(super) fn metadata(of: &impl Serialize) -> Result<BTreeMap<String, String>> {
    let value = serde_json::to_value(of).map_err(|e| Error::data(e.to_string()))?;
    let fields = value.as_object().into_iter().flatten();
    Ok(fields
        .map(|(key, value)| {
            let text = value.as_str().map(str::to_string);
            (key.clone(), text.unwrap_or_else(|| value.to_string()))
        })
        .collect())
}
