//! `goma import`: models that were trained elsewhere become bundles.

use super::data::DataArgs;
use super::inspected::InspectedArgs;
use super::observer::Terminal;
use super::{Common, Outcome, Work};
use clap::{Args, Subcommand};
use goma::data::dataset::Dataset;
use goma::data::reader::ImageReader;
use goma::decision::Criterion;
use goma::draem::import::{self, Checkpoint, Imported};
use goma::files::{Existing, StagedFolder};
use goma::pipeline::Pipeline;
use goma::pipeline::import::{Pieces, Plan};
use goma::{Result, files, pipeline, store};
use std::path::{Path, PathBuf};

/// Make a bundle of a model that was trained elsewhere
#[derive(Debug, Args)]
pub struct ImportArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Draem(DraemArgs),
}

/// Take over checkpoints of the original PyTorch DRAEM
///
/// Reads the state dictionaries of both networks (.pckl, .pth or .safetensors;
/// nothing in them is executed), with widths and channels from their shapes. The
/// original has no threshold: name good pieces with --calibrate, none of them
/// trained on, and threshold, heatmap colours and regions are fitted on them.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  goma import draem --reconstructive DRAEM_700_bottle_.pckl \\
    --discriminative DRAEM_700_bottle__seg.pckl --calibrate bottle/test/good --out models/bottle
  goma import draem --reconstructive rec.pth --discriminative seg.pth --channels R,G,B --out model

The networks are fed pixels from 0 to 1 in the order of --channels. The original code
reads pictures with OpenCV, blue first: three channels are B,G,R unless named otherwise.
Without --calibrate the threshold is 0.5, colours run from 0.1 to 1, and regions have a
peak of 0.5 and reach down to 0.3; the bundle says so.")]
struct DraemArgs {
    /// State dictionary of the reconstructive network
    #[arg(long, value_name = "FILE")]
    reconstructive: PathBuf,
    /// State dictionary of the discriminative network (the original's _seg)
    #[arg(long, value_name = "FILE")]
    discriminative: PathBuf,
    /// Folder for the bundle
    #[arg(long, value_name = "BUNDLE")]
    out: PathBuf,
    /// Side of the square the networks were trained on, in pixels
    #[arg(long, value_name = "N", default_value_t = 256)]
    size: usize,
    /// Good pieces, or labelled ones, to fit threshold, colours and regions on
    #[arg(long, value_name = "DATA")]
    calibrate: Option<PathBuf>,
    /// Pieces at or above fail: good-quantile:SHARE, best-f1, youden, recall:SHARE,
    /// aql:PERCENT, false-rejects:SHARE or a number (default: good-quantile:0.99;
    /// 0.5 without --calibrate)
    #[arg(long, value_name = "RULE")]
    threshold: Option<Criterion>,
    /// Pieces at or above this lower threshold are for review; as --threshold
    #[arg(long, value_name = "RULE")]
    review: Option<Criterion>,
    /// Replace the folder if goma wrote it
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    inspected: InspectedArgs,
    #[command(flatten)]
    reading: DataArgs,
}

/// Runs the command.
pub fn run(args: &ImportArgs, common: &Common, terminal: &Terminal) -> Result<Outcome> {
    match &args.what {
        What::Draem(args) => draem(args, common, terminal),
    }
}

fn draem(args: &DraemArgs, common: &Common, terminal: &Terminal) -> Result<Outcome> {
    let device = super::device(common, Work::Training)?;
    let mut reading = args.reading.options();
    let roi = args.inspected.roi(reading.limits())?;
    let reconstructive = Checkpoint::read(&args.reconstructive)?;
    let discriminative = Checkpoint::read(&args.discriminative)?;
    let Imported { mut draem, unused } =
        import::draem(&reconstructive, &discriminative, args.size, &device)?;
    if let Some(name) = unused.first() {
        terminal.say(&format!(
            "note: {} weights belong to neither network and are left out ({name} ...)",
            unused.len()
        ));
    }
    draem.set_roi(roi);
    draem.set_tiling(args.inspected.tiling().unwrap_or_default());
    let mut format = pipeline::import::format(draem.shape().channels, reading.channels.take())?;
    terminal.say(&format!(
        "the networks are fed {} in this order",
        format.names().join(",")
    ));

    let existing = Existing::forced(args.force);
    let replaced = args.force && args.out.join(store::MANIFEST).exists();
    if args.out.exists() && !replaced {
        files::output_folder(&args.out, existing, store::MANIFEST)?;
    }
    let dataset = match &args.calibrate {
        None => None,
        Some(path) => {
            reading.channels = Some(format.channels.clone());
            reading.fallback = Some(format.clone());
            let dataset = Dataset::open(path, &reading)?;
            for note in &dataset.notes {
                terminal.say(&format!("note: {note}"));
            }
            format = dataset.format.clone();
            Some(dataset)
        }
    };
    let reader = ImageReader::new(format.clone(), reading.limits()).within(draem.roi());
    let pieces = dataset.as_ref().map(|dataset| Pieces {
        samples: &dataset.samples,
        reader: &reader,
        data: described(dataset),
    });
    let plan = Plan {
        name: args
            .out
            .file_name()
            .map_or_else(|| "model".into(), |n| n.to_string_lossy().into_owned()),
        draem,
        format,
        origin: format!(
            "weights of the original DRAEM: {} and {}",
            reconstructive.origin(),
            discriminative.origin()
        ),
        pieces,
        fail: args.threshold,
        review: args.review,
        seed: common.seed,
    };
    let (pipeline, mut unreadable) = pipeline::import::pipeline(plan, terminal)?;
    unreadable.extend(dataset.iter().flat_map(super::data::without_pixels));
    let out = StagedFolder::begin(&args.out, existing, store::MANIFEST)?;
    write(&pipeline, out.path())?;
    out.commit()?;
    for piece in &unreadable {
        terminal.say(&format!("left out {}: {}", piece.id, piece.reason));
    }
    for note in &pipeline.training.notes {
        terminal.say(&format!("note: {note}"));
    }
    if common.json {
        let shape = pipeline.draem.shape();
        let json = serde_json::json!({
            "bundle": args.out, "draem": shape, "channels": pipeline.format.names(),
            "rule": pipeline.rule, "colour_scale": pipeline.scale, "regions": pipeline.regions,
            "calibrated_on": pipeline.training.fitted_pieces,
        });
        println!("{json:#}");
    } else {
        terminal.say(&format!(
            "bundle in {}: {}",
            args.out.display(),
            pipeline.rule.basis
        ));
    }
    Ok(match unreadable.len() {
        0 => Outcome::Done,
        n => Outcome::Unreadable(n),
    })
}

/// Counts and classes of a data set, without its path.
fn described(dataset: &Dataset) -> String {
    let counts: Vec<String> = dataset
        .counts()
        .into_iter()
        .map(|(class, n)| format!("{n} {class}"))
        .collect();
    match dataset.labelled().is_empty() {
        true => format!("{} pieces taken as good", dataset.samples.len()),
        false => format!("labelled pieces ({})", counts.join(", ")),
    }
}

fn write(pipeline: &Pipeline, folder: &Path) -> Result<()> {
    files::write_atomic(&folder.join("README.md"), card(pipeline).as_bytes())?;
    let settings = pipeline.settings.to_toml();
    files::write_atomic(&folder.join("settings.toml"), settings.as_bytes())?;
    store::save(pipeline, folder)
}

/// The bundle's card, for people.
fn card(pipeline: &Pipeline) -> String {
    let training = &pipeline.training;
    let shape = pipeline.draem.shape();
    let notes: String = training.notes.iter().map(|n| format!("- {n}\n")).collect();
    format!(
        "# {}\n\nAn imported model of goma {}. Use it with `goma score`.\n\n\
         Made of {}.\n\n\
         Anomaly model: DRAEM, {} x {}, widths {} and {}; its channels, in order: {}.\n\n\
         Decision: {}. {} ({} pieces).\n\n{notes}\n\
         ## What it is not\n\nIt knows pieces like those it was trained on, under that camera and light. \
         Of others its numbers say nothing.\n",
        training.name,
        env!("CARGO_PKG_VERSION"),
        training.data,
        shape.size,
        shape.size,
        shape.reconstructive_width,
        shape.discriminative_width,
        pipeline.format.names().join(", "),
        pipeline.rule.basis,
        training.maps,
        training.fitted_pieces,
    )
}
