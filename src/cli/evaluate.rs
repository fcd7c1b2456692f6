//! `goma evaluate`

use super::observer::Terminal;
use super::{Common, Outcome};
use clap::Args;
use goma::Result;

/// Measure a bundle, or anybody's predictions, on labelled data
#[derive(Debug, Args)]
pub struct EvaluateArgs {}

/// Runs the command.
pub fn run(_args: &EvaluateArgs, _common: &Common, _terminal: &Terminal) -> Result<Outcome> {
    Ok(Outcome::Done)
}
