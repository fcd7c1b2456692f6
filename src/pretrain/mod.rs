//! Teaches a backbone from nothing, on made-up surfaces.
//!
//! For work without a network, goma carries a small ResNet of its own. It
//! learns two things about endlessly drawn [`textures`]: which family a surface
//! is of, and what befell it (nothing, a scratch, a crack, a missing patch
//! ...). No photograph is involved, so nobody's rights are, and the command
//! that made the weights can be run again.

mod options;
mod schedule;
pub mod sheet;
pub mod textures;
mod train;

pub use options::PretrainOptions;
pub use train::{Outcome, Report, Start};
