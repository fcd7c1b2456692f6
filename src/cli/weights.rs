//! `goma weights`

use super::observer::Terminal;
use super::{Common, Outcome};
use clap::Args;
use goma::Result;

/// List, fetch and verify pretrained backbone weights
#[derive(Debug, Args)]
pub struct WeightsArgs {}

/// Runs the command.
pub fn run(_args: &WeightsArgs, _common: &Common, _terminal: &Terminal) -> Result<Outcome> {
    Ok(Outcome::Done)
}
