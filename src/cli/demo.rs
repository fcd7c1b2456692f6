//! `goma demo`

use super::observer::Terminal;
use super::{Common, Outcome};
use clap::Args;
use goma::Result;

/// Judge fresh synthetic erasers with the bundled model and write the report
#[derive(Debug, Args)]
pub struct DemoArgs {}

/// Runs the command.
pub fn run(_args: &DemoArgs, _common: &Common, _terminal: &Terminal) -> Result<Outcome> {
    Ok(Outcome::Done)
}
