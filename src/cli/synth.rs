//! `goma synth`

use super::data::Stored;
use super::observer::Terminal;
use super::{Common, Outcome};
use clap::Args;
use goma::data::pixel_files::PixelFiles;
use goma::files::Existing;
use goma::synth::{SynthOptions, write_dataset, write_packs};
use goma::{Error, Result};
use std::path::PathBuf;

/// Make synthetic eraser images with masks and true labels
///
/// Each piece is a 310 x 310 photograph under six lights (GRAY, AM, G, R, W,
/// NORMAL) in the `milan` layout: arrays/ID.npy, annotations_binary.csv,
/// annotations_multi.csv, masks/ID.png of the defective pieces, truth.csv with
/// the true label, kinds and severity, groups.csv, and roi.png, which is white
/// where a piece can lie (for `goma train --roi`).
///
/// Fifteen consecutive pieces lay in one pack under one light and are of one
/// printing lot; groups.csv names the pack of each, so that a split can keep
/// them together. With --packs the whole packs are photographed instead, N of
/// them, 969 x 729, and packs.csv holds the box and the truth of each eraser;
/// their erasers are those that the same seed gives without --packs.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  goma synth --out erasers --count 400 --seed 7
  goma synth --out noisy --count 1000 --label-noise 0.05 --format images
  goma synth --out packs --count 10 --packs")]
pub struct SynthArgs {
    /// Folder to make
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Number of pieces, or of packs with --packs
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    count: u64,
    /// Share of defective pieces
    #[arg(long, value_name = "R", default_value_t = SynthOptions::default().defect_rate)]
    defect_rate: f64,
    /// Share of pieces that are recorded with a wrong label
    #[arg(long, value_name = "R", default_value_t = SynthOptions::default().label_noise)]
    label_noise: f64,
    /// Photograph whole packs of fifteen on the belt
    #[arg(long)]
    packs: bool,
    /// How pixels are stored [default: arrays; images with --packs]
    #[arg(long, value_enum)]
    format: Option<Stored>,
    /// Replace the folder if goma synth made it
    #[arg(long)]
    force: bool,
}

/// Runs the command.
pub fn run(args: &SynthArgs, common: &Common, terminal: &Terminal) -> Result<Outcome> {
    let options = SynthOptions {
        defect_rate: args.defect_rate,
        label_noise: args.label_noise,
        ..SynthOptions::default()
    };
    let files = match args.format {
        Some(format) => format.into(),
        None if args.packs => PixelFiles::Images,
        None => PixelFiles::Arrays,
    };
    let existing = Existing::forced(args.force);
    let write = if args.packs {
        write_packs
    } else {
        write_dataset
    };
    let summary = write(
        &args.out,
        &options,
        common.seed,
        args.count,
        files,
        existing,
        terminal,
    )?;
    if common.json {
        let text =
            serde_json::to_string(&summary).map_err(|e| Error::io("write", &args.out)(e.into()))?;
        println!("{text}");
    }
    let classes: Vec<String> = summary
        .classes
        .iter()
        .map(|(class, n)| format!("{n} {class}"))
        .collect();
    terminal.say(&format!(
        "{} pieces ({}), {} mislabelled, in {}",
        summary.pieces,
        classes.join(", "),
        summary.mislabelled,
        args.out.display()
    ));
    Ok(Outcome::Done)
}
