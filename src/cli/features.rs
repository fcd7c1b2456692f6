//! `goma features`

use super::observer::Terminal;
use super::{Common, Outcome};
use clap::Args;
use goma::data::dataset::OpenOptions;
use goma::data::image::Image;
use goma::data::inputs::{Input, find_inputs};
use goma::data::reader::ImageReader;
use goma::extract::{Backbone, choice};
use goma::progress::Observer;
use goma::report::features::FeatureWriter;
use goma::report::scores::reason;
use goma::{Error, Result};
use std::path::PathBuf;

/// Write pooled backbone features of pictures
///
/// Rows come in the order of the sorted inputs. Three-channel pictures are normalised with
/// ImageNet's mean and deviation; pictures are resized only if their size differs from --size.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: goma features --backbone resnet18 --weights resnet18.safetensors \
                  photos --out features.csv"
)]
pub struct FeaturesArgs {
    /// Files, folders or manifests
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<PathBuf>,
    /// goma-resnet18-w32 (bundled), resnet18, resnet34, resnet50, resnet101 or resnet152 [default:
    /// the one that --weights holds, else the bundled]
    #[arg(long, value_name = "NAME")]
    backbone: Option<String>,
    /// Weights from a file (.safetensors, .pth) instead of the cache
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Side of the pictures as the backbone sees them, in pixels
    #[arg(long, default_value_t = 224, value_name = "N")]
    size: usize,
    /// The table to write: .csv, .npy or .parquet
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The largest picture taken, height x width
    #[arg(long, default_value_t = OpenOptions::default().max_pixels, value_name = "N")]
    max_pixels: u64,
    /// Replace the file if it exists
    #[arg(long)]
    force: bool,
}

/// Pictures in memory at once.
const BATCH: usize = 16;

/// Runs the command.
pub fn run(args: &FeaturesArgs, common: &Common, terminal: &Terminal) -> Result<Outcome> {
    if args.size < 32 {
        let reason = format!("{} given, at least 32 expected", args.size);
        return Err(Error::setting("size", reason));
    }
    if args.out.exists() && !args.force {
        return Err(Error::Exists {
            path: args.out.clone(),
        }
        .help("choose another name, or pass --force to replace it"));
    }
    let device = super::device(common)?;
    let (name, weights) = choice::weights(args.backbone.as_deref(), args.weights.as_deref())?;
    let options = OpenOptions {
        max_pixels: args.max_pixels,
        ..OpenOptions::default()
    };
    let mut inputs = find_inputs(&args.inputs, &options)?;
    let format = inputs.own_format()?;
    inputs.notes.iter().for_each(|note| terminal.say(note));
    let backbone = Backbone::new(&name, &weights, format.channels.len(), &device)?;
    let info = backbone.info().clone();
    let reader = ImageReader::new(format, options.limits());

    let mut writer = FeatureWriter::create(&args.out, info.features)?;
    let mut unreadable = Vec::new();
    terminal.begin("features", inputs.entries.len() as u64);
    for entries in inputs.entries.chunks(BATCH) {
        if terminal.stop_requested() {
            return Err(Error::Stopped);
        }
        let (mut ids, mut images) = (Vec::new(), Vec::new());
        for entry in entries {
            match read(&reader, entry) {
                Ok(image) => {
                    ids.push(entry.id.as_str());
                    images.push(image);
                }
                Err(e) => {
                    terminal.say(&format!("cannot read {}: {e}", entry.path.display()));
                    unreadable.push((entry, e));
                }
            }
        }
        writer.write(&ids, &backbone.features(&images, args.size)?)?;
        terminal.advance(entries.len() as u64);
    }
    terminal.end();
    let rows = writer.finish()?;
    let summary = format!(
        "{rows} of {} rows of {} features ({}, weights {}) written to {}",
        inputs.entries.len(),
        info.features,
        info.name,
        &info.sha256[..12],
        args.out.display()
    );
    if common.json {
        let errors: Vec<_> = unreadable
            .iter()
            .map(|(entry, reason)| {
                serde_json::json!({"id": entry.id, "path": entry.path, "message": reason})
            })
            .collect();
        let result = serde_json::json!({
            "rows": rows, "backbone": info, "size": args.size, "out": args.out,
            "unreadable": errors,
        });
        println!("{result}");
    } else {
        terminal.say(&summary);
    }
    Ok(match unreadable.len() {
        0 => Outcome::Done,
        n => Outcome::Unreadable(n),
    })
}

/// The image, or why there is none.
fn read(reader: &ImageReader, entry: &Input) -> std::result::Result<Image, String> {
    let read = match &entry.sample {
        Ok(sample) => reader.read(sample),
        Err(e) => return Err(reason(e, &entry.path)),
    };
    read.map_err(|e| reason(&e, &entry.path))
}
