//! `goma pretrain`

use super::observer::Terminal;
use super::{Common, Outcome};
use clap::Args;
use goma::Result;
use goma::random::Seed;

/// Train a backbone on procedurally made surfaces
#[derive(Debug, Args)]
pub struct PretrainArgs {
    /// Only write a contact sheet of the surfaces, as PNG
    #[arg(long, value_name = "FILE.png")]
    sheet: Option<std::path::PathBuf>,
}

/// Runs the command.
pub fn run(args: &PretrainArgs, common: &Common, _terminal: &Terminal) -> Result<Outcome> {
    if let Some(path) = &args.sheet {
        goma::pretrain::sheet::write(path, &Seed::new(common.seed))?;
    }
    let t = std::time::Instant::now();
    let p = goma::pretrain::textures::pictures(&Seed::new(1), 0, 2000, 72);
    eprintln!("{} {:?}", p.len(), t.elapsed());
    Ok(Outcome::Done)
}
