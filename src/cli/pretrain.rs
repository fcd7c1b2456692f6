//! `goma pretrain`

use super::observer::Terminal;
use super::{Common, Outcome, Work};
use clap::Args;
use goma::files::{Existing, output_folder};
use goma::pretrain::{self, PretrainOptions, Start, sheet};
use goma::random::Seed;
use goma::{Error, Result};
use std::path::PathBuf;

/// Train a backbone from nothing, on procedurally made surfaces
///
/// The network learns to tell about a hundred families of surfaces and prints apart, and what
/// befell them (scratches, cracks, missing patches ...). Ctrl-C leaves usable weights and a
/// checkpoint that --resume goes on from.
#[derive(Debug, Args)]
#[command(after_help = "Example: goma pretrain --out models/backbone --steps 6000 --seed 0")]
pub struct PretrainArgs {
    /// Folder for the weights, the loss curve and the settings
    #[arg(long, value_name = "DIR", required_unless_present = "sheet")]
    out: Option<PathBuf>,
    /// Steps of the optimiser
    #[arg(long, default_value_t = PretrainOptions::default().steps)]
    steps: u64,
    /// Pictures a step
    #[arg(long, default_value_t = PretrainOptions::default().batch)]
    batch: usize,
    /// Channels of the first stage (torchvision's ResNets have 64)
    #[arg(long, default_value_t = PretrainOptions::default().width)]
    width: usize,
    /// The highest learning rate
    #[arg(long, default_value_t = PretrainOptions::default().learning_rate)]
    learning_rate: f64,
    /// Go on from the checkpoint in the folder
    #[arg(long, conflicts_with = "force")]
    resume: bool,
    /// Replace what an earlier run left in the folder
    #[arg(long)]
    force: bool,
    /// Write a contact sheet of the surfaces (with --out: as well)
    #[arg(long, value_name = "FILE.png")]
    sheet: Option<PathBuf>,
}

/// Runs the command.
pub fn run(args: &PretrainArgs, common: &Common, terminal: &Terminal) -> Result<Outcome> {
    if let Some(path) = &args.sheet {
        sheet::write(path, &Seed::new(common.seed))?;
        terminal.say(&format!("contact sheet: {}", path.display()));
    }
    let Some(out) = &args.out else {
        return Ok(Outcome::Done);
    };
    let (existing, start) = match (args.resume, args.force) {
        (true, _) => (Existing::Continue, Start::Resume),
        (_, true) => (Existing::Replace, Start::Fresh),
        _ => (Existing::Refuse, Start::Fresh),
    };
    let options = PretrainOptions {
        steps: args.steps,
        batch: args.batch,
        width: args.width,
        learning_rate: args.learning_rate,
        seed: common.seed,
        ..PretrainOptions::default()
    };
    options.check()?;
    let device = super::device(common, Work::Training)?;
    let folder = output_folder(out, existing, "loss.csv")?;
    match options.fit(&folder, start, &device, terminal)? {
        pretrain::Outcome::Stopped { step } => {
            terminal.say(&format!(
                "stopped after {step} of {} steps; go on with --resume",
                args.steps
            ));
            Err(Error::Stopped)
        }
        pretrain::Outcome::Finished { weights, report } => {
            if common.json {
                println!(
                    "{}",
                    serde_json::to_string(&report).expect("numbers serialise")
                );
            } else {
                println!(
                    "{}: {} parameters; on {} pictures never trained on, family {:.1}% of {} \
                     right, event {:.1}%",
                    weights.display(),
                    report.parameters,
                    report.held_out,
                    100.0 * report.family_accuracy,
                    pretrain::textures::FAMILIES.len(),
                    100.0 * report.event_accuracy
                );
            }
            Ok(Outcome::Done)
        }
    }
}
