//! `goma train`

use super::observer::Terminal;
use super::{Common, Outcome};
use clap::Args;
use goma::Result;

/// Train a bundle on a data set
#[derive(Debug, Args)]
pub struct TrainArgs {}

/// Runs the command.
pub fn run(_args: &TrainArgs, _common: &Common, _terminal: &Terminal) -> Result<Outcome> {
    Ok(Outcome::Done)
}
