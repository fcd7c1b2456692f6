//! `goma crop`

use super::data::Stored;
use super::observer::Terminal;
use super::{Common, Outcome};
use clap::Args;
use goma::crop::{CropOptions, write_crops};
use goma::data::dataset::OpenOptions;
use goma::data::sample::Channel;
use goma::files::Existing;
use goma::{Error, Result};
use std::path::PathBuf;

/// Crop the single pieces out of pictures of whole packs
///
/// Finds the pieces of each pack (15 erasers on the belt, say), turns them
/// upright and writes each as a 310 x 310 sample in the `milan` layout, with the
/// pack as its group. Places are found once, on all channels together, and used
/// for every channel alike. Files ID_CHANNEL.png of one ID are one pack; a
/// folder is searched through.
///
/// A sample is called PACK-NN, counted row by row; crops.csv says where it lay.
/// Where another number of pieces is found than expected, packs.csv and the
/// messages name the pack and the empty places, the pieces found are written
/// with their own numbers, and the exit code is 3.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  goma crop photos/2026-11-25 --out crops
  goma crop pack7_*.png --out pack7 --format images
  goma crop trays --out pieces --expect 12 --size 256 --margin 0.1")]
pub struct CropArgs {
    /// Pictures of packs, or folders of them
    #[arg(required = true, value_name = "PACK")]
    packs: Vec<PathBuf>,
    /// Folder to make
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Pieces in a pack
    #[arg(long, value_name = "N", default_value_t = CropOptions::default().expect)]
    expect: usize,
    /// Height and width of a sample, in pixels
    #[arg(long, value_name = "N", default_value_t = CropOptions::default().size)]
    size: usize,
    /// What a sample shows around the piece, on each side, as a share of the piece's side
    /// [default: 20/270, as in the eraser data set]
    #[arg(long, value_name = "SHARE")]
    margin: Option<f64>,
    /// How pixels are stored
    #[arg(long, value_enum, default_value = "arrays")]
    format: Stored,
    /// Channels, by name and in this order, e.g. GRAY,AM [default: those the files are named by]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    channels: Vec<String>,
    /// Largest picture taken, in pixels (height x width)
    #[arg(long, value_name = "N", default_value_t = OpenOptions::default().max_pixels)]
    max_pixels: u64,
    /// Replace the folder if goma crop made it
    #[arg(long)]
    force: bool,
}

/// Runs the command.
pub fn run(args: &CropArgs, common: &Common, terminal: &Terminal) -> Result<Outcome> {
    let options = CropOptions {
        expect: args.expect,
        size: args.size,
        margin: args.margin.unwrap_or(CropOptions::default().margin),
    };
    let open = OpenOptions {
        channels: (!args.channels.is_empty())
            .then(|| args.channels.iter().map(Channel::new).collect()),
        max_pixels: args.max_pixels,
        ..OpenOptions::default()
    };
    let existing = Existing::forced(args.force);
    let summary = write_crops(
        &args.packs,
        &args.out,
        &open,
        &options,
        args.format.into(),
        existing,
        terminal,
    )?;
    summary.notes.iter().for_each(|note| terminal.say(note));
    for pack in summary.packs.iter().filter(|p| !p.problem.is_empty()) {
        terminal.say(&format!("{}: {}", pack.path.display(), pack.problem));
    }
    if common.json {
        let text =
            serde_json::to_string(&summary).map_err(|e| Error::io("write", &args.out)(e.into()))?;
        println!("{text}");
    }
    terminal.say(&format!(
        "{} pieces of {} packs in {}",
        summary.pieces,
        summary.packs.len(),
        args.out.display()
    ));
    Ok(match summary.problems() {
        0 => Outcome::Done,
        n => Outcome::Unreadable(n),
    })
}
