//! The nouns that the steps hand on to one another, and how they are read.

pub mod annotation;
pub mod anomaly_map;
pub mod augment;
pub mod colour;
pub mod dataset;
pub(crate) mod declaration;
mod decode;
pub mod digest;
pub mod feature_table;
pub mod fold;
pub mod format;
pub mod grey_png;
pub mod image;
pub mod inputs;
pub mod layout;
pub mod mask;
pub mod npy;
pub mod offset;
pub mod pixel_files;
pub mod prediction;
pub mod reader;
pub mod region;
pub mod roi;
pub mod sample;
pub(crate) mod survey;

/// Broken files for the tests here; the command-line tests use them too.
#[cfg(test)]
#[path = "../../tests/suite/broken.rs"]
mod broken;
