//! The nouns that the steps hand on to one another, and how they are read.

pub mod annotation;
pub mod anomaly_map;
pub mod dataset;
pub mod feature_table;
pub mod fold;
pub mod image;
pub mod layout;
pub mod npy;
pub mod prediction;
pub mod reader;
pub mod sample;
