//! `goma bench`: where the time of scoring goes on this machine.

use super::data::DataArgs;
use super::observer::Terminal;
use super::{Common, Outcome, Work};
use clap::Args;
use goma::bench::{self, Benchmark};
use goma::data::inputs::find_inputs;
use goma::data::pixel_files::PixelFiles;
use goma::data::reader::ImageReader;
use goma::files::Existing;
use goma::report::run::RunFacts;
use goma::report::score_folder::{Opened, ScoreFolder, ScoreOptions};
use goma::synth::{SynthOptions, write_dataset};
use goma::{Error, Result, bundled, store};
use std::path::PathBuf;

/// Measure where the time of scoring goes
///
/// Times every stage (read, preprocess, networks, decide, write, report), the pieces a
/// second of a whole run, the networks' GFLOP/s beside those of a matrix
/// product on this machine, and the memory. Without a bundle, the bundled
/// eraser model on fresh synthetic erasers. Run it while nothing else runs.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  goma bench
  goma bench models/line3 data/2026-11-23
  goma bench --threads 1 --json
  goma bench --pictures 0")]
pub struct BenchArgs {
    /// Folder of a trained bundle
    #[arg(value_name = "BUNDLE")]
    bundle: Option<PathBuf>,
    /// Files, folders or data sets to measure on
    #[arg(value_name = "INPUT")]
    inputs: Vec<PathBuf>,
    /// Measure on at most this many pieces
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    count: u64,
    /// Rounds; medians are printed
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=1000))]
    rounds: u64,
    /// Pictures of at most this many pieces lie in the report, as in goma score; with 0
    /// the cost of a piece in a folder so large that few of its pieces are pictured
    #[arg(long, value_name = "N", default_value_t = ScoreOptions::default().pictures)]
    pictures: usize,
    #[command(flatten)]
    reading: DataArgs,
}

/// Runs the command.
pub fn run(args: &BenchArgs, common: &Common, terminal: &Terminal) -> Result<Outcome> {
    let device = super::device(common, Work::Scoring)?;
    let scratch = tempfile::tempdir().map_err(Error::io("create", std::env::temp_dir()))?;
    let bundle = match &args.bundle {
        Some(folder) => store::open(folder, &device)?,
        None => bundled::eraser(&device)?,
    };
    let mut inputs = args.inputs.clone();
    if inputs.is_empty() {
        if args.bundle.is_some() {
            return Err(
                Error::setting("INPUT", "pieces to measure the bundle on are missing")
                    .help("name files or folders after the bundle"),
            );
        }
        let pieces = scratch.path().join("pieces");
        write_dataset(
            &pieces,
            &SynthOptions::default(),
            common.seed,
            args.count,
            PixelFiles::Arrays,
            Existing::Refuse,
            terminal,
        )?;
        inputs.push(pieces);
    }
    let pipeline = &bundle.pipeline;
    let mut options = args.reading.options();
    super::data::require_channels(&mut options, &pipeline.format)?;
    let mut found = find_inputs(&inputs, &options)?;
    let format = found.format(&pipeline.format)?;
    found
        .entries
        .truncate(usize::try_from(args.count).unwrap_or(usize::MAX));
    let reader = ImageReader::new(format, options.limits()).within(pipeline.draem.roi());
    let classes = match &pipeline.hybrid {
        Some(_) => pipeline.classes.to_vec(),
        None => Vec::new(),
    };
    let mut folders = 0;
    let new_folder = || {
        folders += 1;
        let path = scratch.path().join(format!("scores-{folders}"));
        let facts = RunFacts {
            colour_scale: Some(pipeline.scale),
            ..RunFacts::default()
        };
        let options = ScoreOptions {
            pictures: args.pictures,
            ..ScoreOptions::default()
        };
        match ScoreFolder::open(&path, options, facts, classes.clone())? {
            Opened::Running(folder) => Ok(*folder),
            Opened::Complete(_) => Err(Error::Exists { path }),
        }
    };
    let rounds = usize::try_from(args.rounds).unwrap_or(usize::MAX);
    let measured = bench::measure(
        pipeline,
        &found.entries,
        &reader,
        rounds,
        new_folder,
        terminal,
    )?;
    if common.json {
        let json =
            serde_json::to_string_pretty(&measured).map_err(|e| Error::data(e.to_string()))?;
        println!("{json}");
    } else {
        print(&measured);
    }
    Ok(Outcome::Done)
}

fn print(measured: &Benchmark) {
    let Benchmark {
        pieces,
        threads,
        stages,
        ..
    } = measured;
    println!("{pieces} pieces, {threads} threads; milliseconds a piece");
    let total = stages.total();
    for (name, ms) in stages.named() {
        println!("  {name:<12}{ms:>9.2}{:>7.1}%", 100.0 * ms / total);
    }
    println!("  {:<12}{total:>9.2}", "in turn");
    let rate = measured.pieces_per_second;
    println!(
        "  {:<12}{:>9.2}   ({rate:.1} pieces a second)",
        "overlapping",
        1e3 / rate
    );
    if let (Some(gflops), Some(n)) = (measured.gflops, measured.multiply_adds) {
        println!(
            "networks: {:.2} billion multiply-adds a piece, {gflops:.0} GFLOP/s, {:.0}% of a matrix \
             product's {:.0}",
            n as f64 / 1e9,
            100.0 * gflops / measured.matrix_peak,
            measured.matrix_peak
        );
    }
    if let Some(bytes) = measured.memory_peak {
        println!("memory peak: {:.0} MB", bytes as f64 / 1e6);
    }
}
