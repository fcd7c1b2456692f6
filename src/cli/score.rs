//! `goma score`: batch scoring. Reading, networks and writing overlap; at most
//! a few batches are in memory, however many inputs there are.

use super::data::DataArgs;
use super::inspected::InspectedArgs;
use super::observer::Terminal;
use super::{Common, Outcome, Work};
use clap::Args;
use goma::data::inputs::{Input, Inputs, find_inputs};
use goma::data::reader::ImageReader;
use goma::files::Existing;
use goma::pipeline::inspector::{About, Inspector};
use goma::progress::Observer;
use goma::report::journal::Fingerprint;
use goma::report::regions::RegionFacts;
use goma::report::run::{
    BesideFacts, BundleFacts, Counts, RuleFacts, RunFacts, ScoreColumn, summary_line,
};
use goma::report::score_folder::{Opened, ScoreFolder, ScoreOptions};
use goma::report::table::Format;
use goma::store::{self, Model};
use goma::stream;
use goma::{Error, Result};
use std::path::{Path, PathBuf};

/// Score pieces with a trained bundle
///
/// Writes scores.csv (one row for every input, always), regions.csv (where and
/// in which channel the maps stand out), heatmaps/, report.html and run.json. An input that cannot be read gets a row with the reason, and
/// exit code 3. A run stopped at any moment goes on with --resume.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  goma score models/line3 data/2026-11-23 --out shift-3
  goma score models/line3 erasers --out check --maps --format jsonl
  goma score models/line3 data/2026-11-23 --out shift-3 --resume
  goma score models/line3 erasers --out both --beside models/resnet18")]
pub struct ScoreArgs {
    /// Folder of the trained bundle
    #[arg(value_name = "BUNDLE")]
    bundle: PathBuf,
    /// Files, folders (searched through) or labelled data sets
    #[arg(value_name = "INPUT", required = true)]
    inputs: Vec<PathBuf>,
    /// Folder for the results
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Format of the scores table: csv, jsonl or parquet
    #[arg(long, value_name = "FORMAT", default_value = "csv")]
    format: String,
    /// Save the raw maps as maps/ID.npy (f32, height x width of the model, or of
    /// the piece where it was cut into tiles)
    #[arg(long)]
    maps: bool,
    /// A second bundle, whose verdict for each piece stands in further columns:
    /// beside_p_defect, beside_decision, beside_class
    #[arg(long, value_name = "BUNDLE")]
    beside: Option<PathBuf>,
    /// Save no heatmaps
    #[arg(long)]
    no_heatmaps: bool,
    /// Pictures of at most this many pieces, the worst, lie in the report
    #[arg(long, value_name = "N", default_value_t = ScoreOptions::default().pictures)]
    pictures: usize,
    /// Replace the folder if goma wrote it
    #[arg(long, conflicts_with = "resume")]
    force: bool,
    /// Go on with a run that was stopped
    #[arg(long)]
    resume: bool,
    #[command(flatten)]
    inspected: InspectedArgs,
    #[command(flatten)]
    reading: DataArgs,
}

/// Runs the command.
pub fn run(args: &ScoreArgs, common: &Common, terminal: &Terminal) -> Result<Outcome> {
    let device = super::device(common, Work::Scoring)?;
    let mut model = store::open_any(&args.bundle, &device)?;
    let notes = args
        .inspected
        .overrule(model.inspector.as_mut(), args.reading.options().limits())?;
    for note in &notes {
        terminal.say(&format!("note: {note}"));
    }
    let beside = match &args.beside {
        Some(path) => Some((name_of(path), store::open_any(path, &device)?)),
        None => None,
    };
    let job = Job {
        name: name_of(&args.bundle),
        inspector: model.inspector.as_ref(),
        hash: &model.hash,
        beside: beside.as_ref().map(|(name, model)| (name.as_str(), model)),
        inputs: &args.inputs,
        out: &args.out,
        options: ScoreOptions {
            format: Format::from_name(&args.format)?,
            existing: match (args.force, args.resume) {
                (true, _) => Existing::Replace,
                (_, true) => Existing::Continue,
                _ => Existing::Refuse,
            },
            pictures: args.pictures,
            heatmaps: !args.no_heatmaps,
            maps: args.maps,
            beside: args.beside.is_some(),
            ..ScoreOptions::default()
        },
        reading: &args.reading,
        notes,
    };
    let counts = job.run(common, terminal)?;
    if common.json {
        let json = serde_json::to_string_pretty(&counts).map_err(|e| Error::data(e.to_string()))?;
        println!("{json}");
    } else {
        println!("{}", summary_line(&counts));
    }
    terminal.say(&format!(
        "report: {}",
        args.out.join("report.html").display()
    ));
    Ok(match counts.unreadable {
        0 => Outcome::Done,
        n => Outcome::Unreadable(usize::try_from(n).unwrap_or(usize::MAX)),
    })
}

fn name_of(bundle: &Path) -> String {
    let whole = bundle
        .canonicalize()
        .unwrap_or_else(|_| bundle.to_path_buf());
    whole.file_name().map_or_else(
        || "bundle".to_string(),
        |name| name.to_string_lossy().into_owned(),
    )
}

/// One run of scoring; `goma demo` runs it as well.
pub struct Job<'a> {
    /// The bundle's name in the report.
    pub name: String,
    /// What scores.
    pub inspector: &'a dyn Inspector,
    /// The hash that names it.
    pub hash: &'a str,
    /// Name and bundle of what judges beside it.
    pub beside: Option<(&'a str, &'a Model)>,
    /// What is scored.
    pub inputs: &'a [PathBuf],
    /// Where the results go.
    pub out: &'a Path,
    /// What is written.
    pub options: ScoreOptions,
    /// How inputs are read.
    pub reading: &'a DataArgs,
    /// What else a reader of the report should know.
    pub notes: Vec<String>,
}

impl Job<'_> {
    /// Scores everything.
    pub fn run(&self, common: &Common, terminal: &Terminal) -> Result<Counts> {
        let about = self.inspector.about();
        let mut options = self.reading.options();
        super::data::require_channels(&mut options, about.format)?;
        if let Some((name, other)) = self.beside {
            let wanted = other.inspector.about().format;
            if let Some(absent) = wanted
                .channels
                .iter()
                .find(|c| !about.format.channels.contains(c))
            {
                return Err(Error::data(format!(
                    "{name} needs channel {absent}, which {} does not read",
                    self.name
                )));
            }
        }
        // Side by side: the first row comes the sooner.
        let (prepared, inputs) = rayon::join(
            || {
                self.inspector.prepare()?;
                self.beside
                    .map_or(Ok(()), |(_, other)| other.inspector.prepare())
            },
            || {
                let mut inputs = find_inputs(self.inputs, &options)?;
                let format = inputs.format(about.format)?;
                Ok::<_, Error>((inputs, format))
            },
        );
        let (inputs, format) = inputs?;
        prepared?;
        for note in &inputs.notes {
            terminal.say(&format!("note: {note}"));
        }
        let reader = ImageReader::new(format, options.limits()).within(about.roi);
        let facts = self.facts(common, &inputs, &reader);
        let classes = match about.names_classes {
            true => about.classes.to_vec(),
            false => Vec::new(),
        };
        let mut folder = match ScoreFolder::open(self.out, self.options.clone(), facts, classes)? {
            Opened::Complete(counts) => {
                terminal.say("this run was complete already");
                return Ok(counts);
            }
            Opened::Running(folder) => folder,
        };
        let done = usize::try_from(folder.done()).unwrap_or(usize::MAX);
        let entries: &[Input] = inputs.entries.get(done..).unwrap_or_default();
        terminal.begin("scoring", inputs.entries.len() as u64);
        terminal.skip(done as u64);
        let scored = {
            let models = stream::Models {
                first: self.inspector,
                beside: self.beside.map(|(_, other)| other.inspector.as_ref()),
            };
            stream::score(models, entries, &reader, &mut folder, terminal)
        };
        terminal.end();
        scored.map_err(|error| match error {
            Error::Stopped => Error::Stopped.help(format!(
                "the rows so far are kept; the same command with --resume goes on in {}",
                self.out.display()
            )),
            Error::Io { .. } => error.help(format!(
                "the rows so far are kept; once {} can be written again, the same command with \
                 --resume goes on",
                self.out.display()
            )),
            other => other,
        })?;
        folder.finish()
    }

    fn facts(&self, common: &Common, inputs: &Inputs, reader: &ImageReader) -> RunFacts {
        let about = self.inspector.about();
        let column = match about.names_classes {
            true => ScoreColumn::PDefect,
            false => ScoreColumn::AnomalyScore,
        };
        let rule = about.rule;
        // Paths as well: tomorrow's folder may hold the same ids.
        let here = std::env::current_dir().unwrap_or_default();
        let listed = inputs.entries.iter().map(|entry| {
            let path = here.join(&entry.path);
            let path = std::path::absolute(&path).unwrap_or(path);
            let (id, path) = (entry.id.as_str().as_bytes(), path.into_os_string());
            [id, b"\0", path.as_encoded_bytes()].concat()
        });
        RunFacts {
            goma: env!("CARGO_PKG_VERSION").into(),
            command: std::env::args_os()
                .map(|argument| argument.to_string_lossy().into_owned())
                .collect(),
            bundle: BundleFacts {
                name: self.name.clone(),
                hash: self.hash.to_string(),
                model: about.model.into(),
                backbone: self.inspector.backbone(),
                channels: about.format.names(),
                trained_on: about.training.data.clone(),
            },
            data: self
                .inputs
                .iter()
                .map(|p| p.display().to_string())
                .collect(),
            input_format: reader.format().to_string(),
            rule: RuleFacts {
                basis: format!("{}; {}.", rule.basis, about.training.maps),
                ..RuleFacts::of(rule, column)
            },
            colour_scale: Some(about.scale),
            regions: about.regions.map(RegionFacts::of),
            beside: self.beside.map(|(name, other)| BesideFacts {
                name: name.to_string(),
                hash: other.hash.clone(),
                model: other.inspector.about().model.into(),
            }),
            seed: common.seed,
            device: match common.precision.as_str() {
                "float32" => common.device.clone(),
                other => format!("{}, {other}", common.device),
            },
            threads: rayon::current_num_threads(),
            settings: serde_json::to_value(about.settings).unwrap_or_default(),
            fingerprint: Fingerprint::new()
                .with("bundle", self.hash)
                .with(
                    "beside",
                    self.beside.map_or("none", |(_, other)| &other.hash),
                )
                .with("input format", reader.format().to_string())
                .with("precision", &common.precision)
                .with(
                    "options",
                    format!("{} {}", self.options.maps, self.options.heatmaps),
                )
                .with("inspected", inspected(&about))
                .with_list("inputs", listed),
            notes: [
                about.roi.map_or_else(Vec::new, |roi| {
                    let share = 100.0 * roi.share();
                    vec![format!(
                        "Region of interest: {share:.0}% of each photograph is inspected."
                    )]
                }),
                self.notes.clone(),
                about.training.notes.clone(),
                inputs.notes.clone(),
            ]
            .concat(),
            ..RunFacts::default()
        }
    }
}

/// Which part of a piece is inspected, and how, for `--resume`.
fn inspected(about: &About<'_>) -> String {
    let roi = about.roi.map_or_else(
        || "all".to_string(),
        |roi| {
            let pixels: Vec<u8> = roi.mask().iter().map(|&i| u8::from(i)).collect();
            format!("{:?} {}", roi.mask().dim(), &store::sha256(&pixels)[..16])
        },
    );
    format!("{roi}, tiles {}", about.tiling.name())
}
