//! `goma score`

use super::observer::Terminal;
use super::{Common, Outcome};
use clap::Args;
use goma::Result;

/// Score pieces with a trained bundle
#[derive(Debug, Args)]
pub struct ScoreArgs {}

/// Runs the command.
pub fn run(_args: &ScoreArgs, _common: &Common, _terminal: &Terminal) -> Result<Outcome> {
    Ok(Outcome::Done)
}
