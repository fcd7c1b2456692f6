//! `goma features`

use super::observer::Terminal;
use super::{Common, Outcome, Work};
use clap::Args;
use goma::data::dataset::OpenOptions;
use goma::data::format::PixelFormat;
use goma::data::image::Image;
use goma::data::inputs::{Input, find_inputs};
use goma::data::reader::ImageReader;
use goma::draem::Draem;
use goma::error::reason;
use goma::extract::{Backbone, choice};
use goma::pipeline::Hybrid;
use goma::progress::Observer;
use goma::report::features::FeatureWriter;
use goma::{Error, Result, store};
use std::path::PathBuf;

/// Write pooled backbone features of pictures
///
/// Rows come in the order of the sorted inputs. Three-channel pictures are normalised with
/// ImageNet's mean and deviation; pictures are resized only if their size differs from --size.
/// If the first input is a bundle, the others are read as that bundle's pieces, and its backbone,
/// size and region of interest are taken.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  goma features --backbone resnet18 --weights resnet18.safetensors photos --out features.csv
  goma features models/line3 data/2026-11-23 --out features.npy")]
pub struct FeaturesArgs {
    /// A bundle (optional), then files, folders or manifests
    #[arg(required = true, value_name = "[BUNDLE] INPUT")]
    inputs: Vec<PathBuf>,
    /// goma-resnet18-w32 (bundled), resnet18, resnet34, resnet50, resnet101 or resnet152 [default:
    /// the one that --weights holds, else the bundled]
    #[arg(long, value_name = "NAME")]
    backbone: Option<String>,
    /// Weights from a file (.safetensors, .pth) instead of the cache
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Side of the pictures as the backbone sees them, in pixels
    /// [default: the bundle's, else 224]
    #[arg(long, value_name = "N")]
    size: Option<usize>,
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
    if let Some(size) = args.size.filter(|s| !(32..=4096).contains(s)) {
        let reason = format!("{size} given, 32 to 4096 expected");
        return Err(Error::setting("size", reason));
    }
    if args.out.exists() && !args.force {
        return Err(Error::Exists {
            path: args.out.clone(),
        }
        .help("choose another name, or pass --force to replace it"));
    }
    let device = super::device(common, Work::Scoring)?;
    let bundle = bundle(args, &device)?;
    let (name, weights) = match &bundle {
        Some(bundle) => (
            bundle.hybrid.backbone.name.clone(),
            bundle.hybrid.backbone.weights.clone(),
        ),
        None => choice::weights(args.backbone.as_deref(), args.weights.as_deref())?,
    };
    let size = args.size.unwrap_or_else(|| {
        bundle
            .as_ref()
            .map_or(224, |bundle| bundle.hybrid.extractor.options().size)
    });
    let options = OpenOptions {
        max_pixels: args.max_pixels,
        channels: bundle.as_ref().map(|b| b.format.channels.clone()),
        ..OpenOptions::default()
    };
    let named = &args.inputs[usize::from(bundle.is_some())..];
    let mut inputs = find_inputs(named, &options)?;
    let format = match &bundle {
        Some(bundle) => inputs.format(&bundle.format)?,
        None => inputs.own_format()?,
    };
    inputs.notes.iter().for_each(|note| terminal.say(note));
    let backbone = Backbone::new(&name, &weights, format.channels.len(), &device)?;
    let info = backbone.info().clone();
    let roi = bundle.as_ref().and_then(|bundle| bundle.draem.roi());
    let reader = ImageReader::new(format, options.limits()).within(roi);

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
        let seen = match &bundle {
            Some(bundle) => bundle.draem.inspected(&images)?,
            None => images.into(),
        };
        writer.write(&ids, &backbone.features(&seen, size)?)?;
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
                serde_json::json!({"id": entry.id, "path": entry.path.to_string_lossy(), "message": reason})
            })
            .collect();
        let result = serde_json::json!({
            "rows": rows, "backbone": info, "size": size, "out": args.out.to_string_lossy(),
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

/// What a bundle makes its features of, and with.
struct Maker {
    format: PixelFormat,
    draem: Draem,
    hybrid: Hybrid,
}

/// The first input, if it is a bundle.
fn bundle(args: &FeaturesArgs, device: &candle_core::Device) -> Result<Option<Maker>> {
    let [first, _, ..] = args.inputs.as_slice() else {
        return Ok(None);
    };
    let named = args.backbone.is_some() || args.weights.is_some();
    if named || !first.join(store::MANIFEST).is_file() {
        return Ok(None);
    }
    let pipeline = store::open(first, device)?.pipeline;
    match pipeline.hybrid {
        Some(hybrid) => Ok(Some(Maker {
            format: pipeline.format,
            draem: pipeline.draem,
            hybrid,
        })),
        None => Err(Error::data(format!(
            "the bundle {} has no backbone: its anomaly score decides",
            first.display()
        ))),
    }
}

/// The image, or why there is none.
fn read(reader: &ImageReader, entry: &Input) -> std::result::Result<Image, String> {
    let read = match &entry.sample {
        Ok(sample) => reader.read(sample),
        Err(e) => return Err(reason(e, &entry.path)),
    };
    read.map_err(|e| reason(&e, &entry.path))
}
