//! `goma train`: from labelled pieces to a bundle.

pub mod baseline;
mod bundle;

pub use baseline::start;
pub use bundle::write;
use bundle::{measured, table};

use super::data::DataArgs;
use super::inspected::InspectedArgs;
use super::observer::Terminal;
use super::{Common, Outcome, Work};
use candle_core::Device;
use clap::Args;
use goma::bundled;
use goma::data::annotation::GOOD;
use goma::data::dataset::{Dataset, OpenOptions};
use goma::data::fold::Fold;
use goma::data::format::PixelFormat;
use goma::data::image::Image;
use goma::data::inputs::find_inputs;
use goma::data::reader::{ImageReader, Limits};
use goma::data::sample::Channel;
use goma::decision::Criterion;
use goma::extract::InputMode;
use goma::files::{self, Existing};
use goma::pipeline::BackboneFile;
use goma::pipeline::fit::{self, Plan};
use goma::pipeline::start::Start;
use goma::random::Seed;
use goma::report::training::TrainingFolder;
use goma::settings::{ModelKind, Settings};
use goma::store::pieces::Pieces;
use goma::{Error, Result, store};
use std::path::{Path, PathBuf};

/// Train a bundle on a data set
///
/// The anomaly model learns from the good pieces alone; features, selection,
/// classifier and threshold are fitted on maps of pieces it has not seen. A
/// quarter of the groups (pieces, packs) is held out and measured on at the end.
/// Ctrl-C stops with a checkpoint; --resume goes on from it.
///
/// While it runs, the folder shows how it goes: loss.svg, validation.svg (how
/// well simulated defects are found on good pieces not trained on; the best
/// weights are kept), events for TensorBoard, and sheets/ with pictures of the
/// simulated defects and of what the model makes of them.
///
/// The models resnet18 ... resnet152 and cnn are supervised: one network from image to class,
/// by the settings' table [baseline] (--preset paper: the eraser paper's recipe, metal: the
/// metal-surface classifier's).
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  goma train erasers --out models/line3
  goma train tiles --out models/tiles --preset fast --test-share 0.25 --threshold recall:0.98
  goma train good-only --out models/new --model draem --test-share 0
  goma train erasers --out models/careful --contamination 0.05
  goma train plates --out models/plates --roi face.png --tiles overlap
  goma train newer-erasers --out models/line3-may --start models/line3 --set draem.steps=500
  goma train erasers --out models/resnet18 --model resnet18 --preset paper
  goma train erasers --out models/top --model resnet18 --freeze layer3 --set baseline.dropout=0.3
  goma train steel --out models/steel --model resnet18 --preset metal --set baseline.input=canny
  goma train erasers --model cnn --summary")]
pub struct TrainArgs {
    /// The labelled data set (a folder, or a manifest CSV)
    #[arg(value_name = "DATA")]
    data: PathBuf,
    /// Folder for the bundle
    #[arg(long, value_name = "BUNDLE", required_unless_present = "summary")]
    out: Option<PathBuf>,
    /// What to train: hybrid, draem (anomaly model and threshold alone), or a
    /// supervised baseline: resnet18, 34, 50, 101, 152 or cnn
    #[arg(long, value_name = "MODEL", value_parser = ModelKind::NAMES)]
    model: Option<String>,
    /// Size and recipe: fast, compact, paper, or metal (supervised models)
    #[arg(long, value_name = "PRESET", default_value = "fast", value_parser = Settings::PRESETS)]
    preset: String,
    /// Classes to see: as-labelled, three (print, physical, good) or binary
    #[arg(long, value_name = "VIEW", value_parser = ["as-labelled", "three", "binary"])]
    classes: Option<String>,
    /// What the classifier sees: image, map or image+map
    #[arg(long, value_name = "MODE", value_parser = ["image", "map", "image+map"])]
    input: Option<String>,
    /// The classifier: mlp, svm, forest or logistic
    #[arg(long, value_name = "KIND", value_parser = ["mlp", "svm", "forest", "logistic"])]
    classifier: Option<String>,
    /// Pieces at or above fail: best-f1, youden, recall:SHARE, aql:PERCENT,
    /// false-rejects:SHARE, good-quantile:SHARE or a number
    #[arg(long, value_name = "RULE")]
    threshold: Option<Criterion>,
    /// Pieces at or above this lower threshold are for review; as --threshold
    #[arg(long, value_name = "RULE")]
    review: Option<Criterion>,
    /// Share of the groups held out and measured on; 0 trains on all
    #[arg(long, value_name = "SHARE")]
    test_share: Option<f64>,
    /// Of a supervised model, keep the weights up to and with: none, stem, layer1 ...
    #[arg(long, value_name = "STAGE")]
    freeze: Option<String>,
    /// Print a supervised model's layers, shapes and parameters, and train nothing
    #[arg(long)]
    summary: bool,
    /// Backbone weights (.safetensors or .pth) in place of the bundled ones
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Begin with the anomaly model of this bundle, not with random weights:
    /// for new pieces, another light, a longer training, or another draem.size
    #[arg(long, value_name = "BUNDLE")]
    start: Option<PathBuf>,
    /// Folder of pictures that simulated defects are filled with
    #[arg(long, value_name = "DIR")]
    anomaly_source: Option<PathBuf>,
    /// Share of the good training pieces that may be mislabelled defects: as
    /// many of the most anomalous are left out (contamination.csv)
    #[arg(long, value_name = "SHARE")]
    contamination: Option<f64>,
    /// Replace the folder if goma wrote it
    #[arg(long, conflicts_with = "resume")]
    force: bool,
    /// Go on with a training that was stopped
    #[arg(long)]
    resume: bool,
    #[command(flatten)]
    inspected: InspectedArgs,
    #[command(flatten)]
    reading: DataArgs,
}

/// The file that shows that goma began a bundle here.
const SETTINGS_FILE: &str = "settings.toml";

/// Runs the command.
pub fn run(args: &TrainArgs, common: &Common, terminal: &Terminal) -> Result<Outcome> {
    let settings = settings(args, common)?;
    let mut options = args.reading.options();
    options.classes = settings.classes;
    let dataset = Dataset::open(&args.data, &options)?;
    for note in &dataset.notes {
        terminal.say(&format!("note: {note}"));
    }
    let supervised = settings.model.baseline();
    if supervised.is_none() && (args.summary || args.freeze.is_some()) {
        return Err(Error::setting(
            "--summary or --freeze",
            "belongs to a supervised model: resnet18 ... resnet152 or cnn",
        ));
    }
    let good = dataset.indices_of(GOOD).len();
    if good == 0 && supervised.is_none() {
        return Err(Error::data(format!(
            "{} holds no piece labelled {GOOD}",
            args.data.display()
        ))
        .help("the anomaly model learns from good pieces; label some, or name the layout with --layout"));
    }
    let seed = Seed::new(common.seed);
    let fold = if dataset.samples.iter().any(|s| s.split.is_some()) {
        Fold::from_splits(&dataset)?
    } else if settings.fitting.test_share > 0.0 {
        Fold::holdout(&dataset, settings.fitting.test_share, seed)?
    } else {
        Fold::everything(&dataset)
    };
    let limits = options.limits();
    if let Some(kind) = supervised {
        if args.inspected.roi.is_some() || args.inspected.tiles.is_some() {
            return Err(Error::setting(
                "--roi or --tiles",
                "belongs to an anomaly model: hybrid or draem",
            ));
        }
        if args.start.is_some() {
            return Err(
                Error::setting("--start", "belongs to an anomaly model: hybrid or draem")
                    .help("--weights FILE names what a supervised network begins with"),
            );
        }
        let asked = baseline::Asked {
            args,
            kind,
            settings,
            dataset: &dataset,
            fold,
            limits,
        };
        return baseline::run(asked, common, terminal);
    }
    let roi = args.inspected.roi(limits)?;
    let backbone = match (settings.model, &args.weights) {
        (ModelKind::Hybrid, None) => Some(bundled::backbone()?),
        (ModelKind::Hybrid, Some(path)) => Some(read_weights(path)?),
        _ => None,
    };
    let pictures = match &args.anomaly_source {
        None => Vec::new(),
        Some(folder) => read_pictures(folder, settings.draem.size, limits)?,
    };
    // Everything that can be wrong with the command line has been found by now:
    // only then may an old bundle go.
    let device = super::device(common, Work::Training)?;
    let start = match &args.start {
        None => None,
        Some(folder) => {
            let start = opened_start(folder, &dataset, &settings, &device, terminal)?;
            let to_be_new = fit::to_be_new(&dataset, &fold, &settings, common.seed)?;
            start.check_new(&to_be_new, terminal)?;
            Some(start)
        }
    };
    let target = args.target();
    let out = begin_folder(target, existing(args), args.resume)?;
    let settings_file = out.join(SETTINGS_FILE);
    let settings_text = settings.to_toml();
    if !settings_file.exists() {
        files::write_atomic(&settings_file, settings_text.as_bytes())?;
    }

    say_what(&dataset, &fold, &settings, terminal);
    let name = target
        .file_name()
        .map_or_else(|| "model".to_string(), |n| n.to_string_lossy().into_owned());
    let recorder = TrainingFolder::new(&out);
    let mut pieces = Pieces::of(&dataset, &fold, terminal)?;
    pieces.networks_saw(&fit::seen(&dataset, &fold, &settings, common.seed)?);
    if let Some(earlier) = start.as_ref().and_then(|start| start.pieces.as_ref()) {
        pieces.add_seen_by(earlier);
    }
    let plan = Plan {
        name,
        dataset: &dataset,
        fold,
        settings,
        seed: common.seed,
        device,
        limits,
        backbone,
        pictures,
        roi,
        start: start.as_ref(),
        workspace: &out,
        resume: args.resume,
        recorder: Some(&recorder),
    };
    let mut fitted = fit::fit(plan, terminal).map_err(|error| match error {
        Error::Stopped => Error::Stopped.help(format!(
            "a checkpoint is in {}; the same command with --resume goes on from it",
            target.display()
        )),
        other => other,
    })?;
    fitted
        .unreadable
        .extend(super::data::without_pixels(&dataset));
    // A resumed run may have other settings after the anomaly model.
    files::write_atomic(&settings_file, settings_text.as_bytes())?;
    pieces.write(&out)?;
    write(&fitted, &out)?;
    if common.json {
        let json = serde_json::to_string_pretty(&fitted.evaluation)
            .map_err(|e| Error::data(e.to_string()))?;
        println!("{json}");
    } else if let Some(evaluation) = &fitted.evaluation {
        print!("{}", measured(evaluation));
    }
    for piece in &fitted.unreadable {
        terminal.say(&format!("left out {}: {}", piece.id, piece.reason));
    }
    terminal.say(&format!(
        "bundle in {}: {}",
        target.display(),
        fitted.pipeline.rule.basis
    ));
    Ok(match fitted.unreadable.len() {
        0 => Outcome::Done,
        n => Outcome::Unreadable(n),
    })
}

impl TrainArgs {
    /// Where the bundle goes; the parser asks for it wherever it is needed.
    fn target(&self) -> &Path {
        self.out.as_deref().unwrap_or(Path::new("model"))
    }
}

/// What the flags say of a folder that exists already.
fn existing(args: &TrainArgs) -> Existing {
    match (args.force, args.resume) {
        (true, _) => Existing::Replace,
        (_, true) => Existing::Continue,
        _ => Existing::Refuse,
    }
}

/// Makes the bundle's folder, or opens it to go on.
fn begin_folder(target: &Path, existing: Existing, resume: bool) -> Result<PathBuf> {
    if resume && target.join(store::MANIFEST).is_file() {
        return Err(Error::Exists {
            path: target.into(),
        }
        .help("the bundle there is complete; pass --force to train it anew"));
    }
    files::output_folder(target, existing, SETTINGS_FILE)
}

/// The model to begin from, if it fits what is to be trained.
fn opened_start(
    folder: &Path,
    dataset: &Dataset,
    settings: &Settings,
    device: &Device,
    terminal: &Terminal,
) -> Result<Start> {
    let start = Start::open(folder, device)?;
    let channels = &dataset.format.channels;
    let wanted = settings.draem.shape(channels.len());
    let learnt = start.draem.shape();
    learnt.check_continues_as(wanted)?;
    if learnt.size != wanted.size {
        terminal.say(&format!(
            "note: the weights of {} were learnt at {1} x {1} pixels and are trained on at {2} x {2}",
            folder.display(),
            learnt.size,
            wanted.size
        ));
    }
    if &start.channels != channels {
        let names = |channels: &[Channel]| {
            let names: Vec<&str> = channels.iter().map(Channel::name).collect();
            names.join(" ")
        };
        terminal.say(&format!(
            "note: {} was trained on channels {}, these pieces have {}",
            folder.display(),
            names(&start.channels),
            names(channels)
        ));
    }
    if start.pieces.is_none() {
        terminal.say(&format!(
            "note: {} does not list its training pieces; make sure that none is held out here",
            folder.display()
        ));
    }
    Ok(start)
}

/// Says what is trained on, and with -v how.
fn say_what(dataset: &Dataset, fold: &Fold, settings: &Settings, terminal: &Terminal) {
    let counts: Vec<String> = dataset
        .counts()
        .iter()
        .map(|(class, n)| format!("{n} {class}"))
        .collect();
    terminal.say(&format!(
        "{} pieces ({}); {} to train on, {} held out",
        dataset.samples.len(),
        counts.join(", "),
        fold.train().len(),
        fold.test().len()
    ));
    terminal.detail_line(&settings.to_toml());
}

/// Preset, then settings file and pairs, then the flags of this command.
fn settings(args: &TrainArgs, common: &Common) -> Result<Settings> {
    let config = match &common.config {
        None => None,
        Some(path) => Some(std::fs::read_to_string(path).map_err(Error::io("read", path))?),
    };
    // The classifier's kind stands first, so that pairs set its own options,
    // and last, so that the flag wins.
    let mut pairs: Vec<String> = args
        .classifier
        .iter()
        .map(|kind| format!("classifier.kind={kind:?}"))
        .chain(common.set.clone())
        .collect();
    let mut set = |key: &str, value: &Option<String>| {
        if let Some(value) = value {
            pairs.push(format!("{key}={value:?}"));
        }
    };
    set("model", &args.model);
    set("classes", &args.classes);
    set("classifier.kind", &args.classifier);
    set("baseline.freeze", &args.freeze);
    let mut settings = Settings::preset(&args.preset)?.with(config.as_deref(), &pairs)?;
    if let Some(tiling) = args.inspected.tiling() {
        settings.draem.tiles = tiling;
    }
    if let Some(mode) = args.input.as_deref().and_then(InputMode::named) {
        settings.features.input = mode;
    }
    if let Some(criterion) = args.threshold {
        settings.decision.fail = criterion;
    }
    if args.review.is_some() {
        settings.decision.review = args.review;
    }
    if let Some(share) = args.test_share {
        settings.fitting.test_share = share;
    }
    if let Some(share) = args.contamination {
        settings.draem.contamination = share;
    }
    settings.check()?;
    Ok(settings)
}

pub(super) fn read_weights(path: &Path) -> Result<BackboneFile> {
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    let name = path.file_stem().map_or_else(
        || "backbone".to_string(),
        |stem| stem.to_string_lossy().into_owned(),
    );
    BackboneFile::new(&name, bytes, path)
}

/// Pictures for simulated defects, larger than the model's size so that each
/// defect shows another part.
pub(super) fn read_pictures(folder: &Path, size: usize, limits: Limits) -> Result<Vec<Image>> {
    let options = OpenOptions {
        max_pixels: limits.max_pixels,
        ..OpenOptions::default()
    };
    let mut inputs = find_inputs(&[folder.to_path_buf()], &options)?;
    let colour = PixelFormat::new(["R", "G", "B"].map(Channel::new).to_vec());
    let format = PixelFormat {
        grey_as_colour: true,
        ..inputs.format(&colour)?
    };
    let reader = ImageReader::new(format, limits);
    inputs
        .entries
        .into_iter()
        .map(|input| reader.read(&input.sample?)?.resize(2 * size, 2 * size))
        .collect()
}
