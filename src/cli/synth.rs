//! `goma synth`

use super::observer::Terminal;
use super::{Common, Outcome};
use clap::Args;
use goma::Result;

/// Make synthetic eraser images with masks and true labels
#[derive(Debug, Args)]
pub struct SynthArgs {}

/// Runs the command.
pub fn run(_args: &SynthArgs, _common: &Common, _terminal: &Terminal) -> Result<Outcome> {
    Ok(Outcome::Done)
}
