//! `goma features`

use super::observer::Terminal;
use super::{Common, Outcome};
use clap::Args;
use goma::Result;

/// Write pooled backbone features of pictures
#[derive(Debug, Args)]
pub struct FeaturesArgs {}

/// Runs the command.
pub fn run(_args: &FeaturesArgs, _common: &Common, _terminal: &Terminal) -> Result<Outcome> {
    Ok(Outcome::Done)
}
