//! `goma pretrain`

use super::observer::Terminal;
use super::{Common, Outcome};
use clap::Args;
use goma::Result;

/// Train a backbone on procedurally made surfaces
#[derive(Debug, Args)]
pub struct PretrainArgs {}

/// Runs the command.
pub fn run(_args: &PretrainArgs, _common: &Common, _terminal: &Terminal) -> Result<Outcome> {
    Ok(Outcome::Done)
}
