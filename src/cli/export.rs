//! `goma export`: a bundle's networks as ONNX files.

use super::data::{DataArgs, require_channels};
use super::observer::Terminal;
use super::{Common, Outcome};
use clap::Args;
use goma::data::inputs::find_inputs;
use goma::data::reader::ImageReader;
use goma::error::reason;
use goma::export::{Export, SUMMARY, Summary, of_format};
use goma::files::{Existing, StagedFolder};
use goma::progress::Observer;
use goma::random::Seed;
use goma::store;
use goma::{Error, Result};
use std::path::{Path, PathBuf};

/// Write a bundle's networks as ONNX files, checked against the bundle
///
/// A hybrid or anomaly model becomes anomaly.onnx (map, score and restored picture) and,
/// where it has a backbone, image-features.onnx and map-features.onnx; a supervised baseline
/// becomes classifier.onnx (logits and probabilities). Normalisation, region of interest and
/// score are in the graphs; what is done before them, channels, classes and threshold are in
/// the files' metadata and in export.json. The files are read back and run by another runtime
/// (rten): if that says something else than goma by more than 1e-4, or decides otherwise on
/// any piece, nothing is written.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  goma export models/eraser --onnx eraser-onnx
  goma export models/line3 --onnx line3-onnx --check-on data/2026-11-23 --pieces 310x310

docs/export.md shows how to run the files with onnxruntime.")]
pub struct ExportArgs {
    /// The bundle
    bundle: PathBuf,
    /// Folder for the files
    #[arg(long, value_name = "DIR")]
    onnx: PathBuf,
    /// Pieces to check the files on [default: fresh synthetic erasers where the channels fit,
    /// else random pictures]
    #[arg(long, value_name = "DATA")]
    check_on: Option<PathBuf>,
    /// Check on this many pieces, of --check-on on at most as many, evenly spread [default: 16,
    /// of --check-on 200]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    check_count: Option<u64>,
    /// All pieces have this size (height x width, as 310x310), and the graphs take them so and
    /// reduce them themselves, in place of taking pictures of the networks' size
    #[arg(long, value_name = "HxW", value_parser = piece_size)]
    pieces: Option<(usize, usize)>,
    /// Replace the folder if goma wrote it
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    reading: DataArgs,
}

/// Reads `310x310`.
fn piece_size(text: &str) -> std::result::Result<(usize, usize), String> {
    let side = |text: &str| text.parse().ok().filter(|s| (1..=8192).contains(s));
    text.split_once('x')
        .and_then(|(height, width)| Some((side(height)?, side(width)?)))
        .ok_or_else(|| "HEIGHTxWIDTH expected, each from 1 to 8192".into())
}

/// Runs the command.
pub fn run(args: &ExportArgs, common: &Common, terminal: &Terminal) -> Result<Outcome> {
    // The graphs are those of the engine, which works on the CPU.
    let (contents, hash) = store::open_contents(&args.bundle, &candle_core::Device::Cpu)?;
    let existing = Existing::forced(args.force);
    let out = StagedFolder::begin(&args.onnx, existing, SUMMARY)?;
    let export = Export::new(contents, hash, args.pieces)?;
    let mut unreadable = 0;
    let summary = match &args.check_on {
        Some(data) => on_data(export, data, args, out.path(), terminal, &mut unreadable)?,
        None => on_made_up(export, args, common, out.path(), terminal)?,
    };
    out.commit()?;
    say(&summary, &args.onnx, common, terminal)?;
    Ok(match unreadable {
        0 => Outcome::Done,
        n => Outcome::Unreadable(n),
    })
}

/// Checks on real pieces; counts those that cannot be read.
fn on_data(
    export: Export,
    data: &Path,
    args: &ExportArgs,
    folder: &Path,
    terminal: &Terminal,
    unreadable: &mut usize,
) -> Result<Summary> {
    let about = export.about();
    let mut options = args.reading.options();
    require_channels(&mut options, about.format)?;
    let mut inputs = find_inputs(&[data.to_path_buf()], &options)?;
    let format = inputs.format(about.format)?;
    inputs.notes.iter().for_each(|note| terminal.say(note));
    let reader = ImageReader::new(format, options.limits()).within(about.roi);
    let found = inputs.entries.len() as u64;
    let count = args.check_count.unwrap_or(200).min(found);
    terminal.begin("check", count);
    let pictures = (0..count).filter_map(|i| {
        if terminal.stop_requested() {
            return Some(Err(Error::Stopped));
        }
        terminal.advance(1);
        let entry = &inputs.entries[(i * found / count) as usize];
        match entry.read(&reader) {
            Ok(image) => Some(Ok(image)),
            Err(error) => {
                let why = reason(&error, &entry.path);
                terminal.say(&format!("cannot read {}: {why}", entry.path.display()));
                *unreadable += 1;
                None
            }
        }
    });
    let on = format!("pieces given, {count} of {found} taken");
    let summary = export.write(folder, on, pictures);
    terminal.end();
    summary
}

/// Checks on pieces made up for it.
fn on_made_up(
    export: Export,
    args: &ExportArgs,
    common: &Common,
    folder: &Path,
    terminal: &Terminal,
) -> Result<Summary> {
    let about = export.about();
    let format = about.format.clone();
    let drawn = about.roi.map(|roi| roi.mask().dim());
    let size = args.pieces.or(drawn);
    let pictures = of_format(&format, size);
    let size = size.unwrap_or((320, 320));
    let seed = Seed::new(common.seed).derive("export", 0);
    let count = args.check_count.unwrap_or(16);
    terminal.begin("check", count);
    let drawn = (0..count).map(|index| {
        if terminal.stop_requested() {
            return Err(Error::Stopped);
        }
        terminal.advance(1);
        pictures.draw(&format, size, seed, index)
    });
    let on = format!("{} of seed {}", pictures.name(), common.seed);
    let summary = export.write(folder, on, drawn);
    terminal.end();
    summary
}

/// What was written, and how far it is off.
fn say(summary: &Summary, folder: &Path, common: &Common, terminal: &Terminal) -> Result<()> {
    if common.json {
        let json = serde_json::to_string_pretty(summary).map_err(|e| Error::data(e.to_string()))?;
        println!("{json}");
        return Ok(());
    }
    let check = &summary.check;
    for (what, off) in &check.findings.largest {
        println!("{what}: largest difference {off:.1e}");
    }
    if let Some(off) = check.findings.p_defect {
        println!("probability of a defect of these: largest difference {off:.1e}");
    }
    println!(
        "{} pieces ({}) run by {}, {} decisions changed",
        check.findings.pieces, check.on, check.runtime, check.findings.decisions_changed
    );
    let files: Vec<&str> = summary.files.iter().map(|f| f.file).collect();
    terminal.say(&format!("{} in {}", files.join(", "), folder.display()));
    Ok(())
}
