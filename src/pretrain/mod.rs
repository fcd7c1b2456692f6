//! Teaches a backbone from nothing, on made-up surfaces.

pub mod sheet;
pub mod textures;
