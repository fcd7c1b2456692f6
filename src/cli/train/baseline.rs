//! `goma train --model resnet18 ... cnn`: a supervised baseline to a bundle.

use super::{SETTINGS_FILE, TrainArgs, existing, measured, read_weights, table};
use crate::cli::observer::Terminal;
use crate::cli::{Common, Outcome, Work};
use goma::baseline::network::{SummaryRow, summary};
use goma::baseline::options::StartWeights;
use goma::baseline::start::architecture;
use goma::baseline::{BaselineOptions, Kind};
use goma::bundled;
use goma::data::annotation::GOOD;
use goma::data::dataset::Dataset;
use goma::data::fold::Fold;
use goma::data::reader::{ImageReader, Limits};
use goma::data::sample::Sample;
use goma::extract::choice;
use goma::files;
use goma::metrics::ranking::Sweep;
use goma::metrics::report::{Report, ReportOptions};
use goma::nn::resnet::Depth;
use goma::nn::weights::WeightFile;
use goma::pipeline::evaluate::Evaluation;
use goma::pipeline::measure::{self, Judged};
use goma::pipeline::supervised::{self, Fitted, Plan};
use goma::random::Seed;
use goma::report::curves::{Epochs, PrecisionRecall, epochs_csv};
use goma::report::markdown::{self, Table};
use goma::report::matrix::ConfusionMatrix;
use goma::report::picture;
use goma::settings::Settings;
use goma::store::pieces::Pieces;
use goma::{Error, Result, store};
use std::collections::BTreeMap;
use std::path::Path;

/// What the command line settled.
pub struct Asked<'a> {
    pub args: &'a TrainArgs,
    pub kind: Kind,
    pub settings: Settings,
    pub dataset: &'a Dataset,
    pub fold: Fold,
    pub limits: Limits,
}

/// Name and weights that a network starts from.
pub fn start(
    kind: Kind,
    options: &BaselineOptions,
    file: Option<&Path>,
    terminal: &Terminal,
) -> Result<Option<(String, WeightFile)>> {
    let Kind::ResNet(depth) = kind else {
        return match file {
            Some(_) => Err(Error::setting("weights", "a CNN starts from drawn weights")),
            None => Ok(None),
        };
    };
    if let Some(path) = file {
        let file = read_weights(path)?;
        return Ok(Some((file.name, file.weights)));
    }
    let bundled = || -> Result<Option<(String, WeightFile)>> {
        let backbone = bundled::backbone()?;
        Ok(Some((backbone.name, backbone.weights)))
    };
    match (options.start, depth) {
        (StartWeights::Auto, Depth::Resnet18) => bundled(),
        (StartWeights::Auto, _) => {
            terminal.say(&format!(
                "note: no weights for {depth} are bundled: it starts from random ones (goma weights \
                 fetch {depth}, then --set baseline.start=imagenet)"
            ));
            Ok(None)
        }
        (StartWeights::Bundled, Depth::Resnet18) => bundled(),
        (StartWeights::Bundled, _) => Err(Error::setting(
            "baseline.start",
            format!("the bundled weights are a resnet18's, {depth} is to be trained"),
        )),
        (StartWeights::Imagenet, depth) => choice::weights(Some(depth.name()), None).map(Some),
        (StartWeights::Random, _) => Ok(None),
    }
}

/// Runs the command.
pub fn run(asked: Asked<'_>, common: &Common, terminal: &Terminal) -> Result<Outcome> {
    let Asked {
        args,
        kind,
        settings,
        dataset,
        fold,
        limits,
    } = asked;
    let options = &settings.baseline;
    let start = start(kind, options, args.weights.as_deref(), terminal)?;
    let channels = dataset.format.channels.len();
    let architecture = architecture(kind, options, start.as_ref().map(|s| &s.1), channels)?;
    let outputs = match &dataset.classes[..] {
        [first, _] if first == GOOD => 1,
        classes => classes.len(),
    };
    if args.summary {
        let rows = summary(&architecture, options.size, outputs)?;
        return print_summary(&rows, common);
    }
    let device = crate::cli::device(common, Work::Training)?;
    let target = args.target();
    let out = super::begin_folder(target, existing(args), args.resume)?;
    let settings_file = out.join(SETTINGS_FILE);
    let settings_text = settings.to_toml();
    if !settings_file.exists() {
        files::write_atomic(&settings_file, settings_text.as_bytes())?;
    }
    super::say_what(dataset, &fold, &settings, terminal);
    let name = target
        .file_name()
        .map_or_else(|| "model".to_string(), |n| n.to_string_lossy().into_owned());
    let pieces = Pieces::of(dataset, &fold, terminal)?;
    let plan = Plan {
        name,
        dataset,
        fold: &fold,
        kind,
        settings,
        seed: common.seed,
        device,
        limits,
        start,
        workspace: Some(&out),
        resume: args.resume,
    };
    let mut fitted = supervised::fit(plan, terminal).map_err(|error| match error {
        Error::Stopped => Error::Stopped.help(format!(
            "a checkpoint is in {}; the same command with --resume goes on from it",
            target.display()
        )),
        other => other,
    })?;
    let reader = ImageReader::new(dataset.format.clone(), limits);
    let test: Vec<&Sample> = fold.test().iter().map(|&i| &dataset.samples[i]).collect();
    let judged = match test.is_empty() {
        true => None,
        false => {
            let judged = measure::judge(&[&fitted.supervised], &test, &reader, terminal)?;
            fitted.unreadable.extend(judged.unreadable.iter().cloned());
            (!judged.places.is_empty()).then_some(judged)
        }
    };
    let evaluation = match &judged {
        Some(judged) => Some(evaluate(&fitted, judged, common)?),
        None => None,
    };
    fitted
        .unreadable
        .extend(crate::cli::data::without_pixels(dataset));
    files::write_atomic(&settings_file, settings_text.as_bytes())?;
    pieces.write(&out)?;
    write(&fitted, judged.as_ref(), evaluation.as_ref(), &out)?;
    if common.json {
        let json =
            serde_json::to_string_pretty(&evaluation).map_err(|e| Error::data(e.to_string()))?;
        println!("{json}");
    } else if let Some(evaluation) = &evaluation {
        print!("{}", measured(evaluation));
    }
    for piece in &fitted.unreadable {
        terminal.say(&format!("left out {}: {}", piece.id, piece.reason));
    }
    terminal.say(&format!(
        "bundle in {}: {}",
        target.display(),
        fitted.supervised.rule.basis
    ));
    Ok(match fitted.unreadable.len() {
        0 => Outcome::Done,
        n => Outcome::Unreadable(n),
    })
}

fn print_summary(rows: &[SummaryRow], common: &Common) -> Result<Outcome> {
    if common.json {
        let json = serde_json::to_string_pretty(rows).map_err(|e| Error::data(e.to_string()))?;
        println!("{json}");
        return Ok(Outcome::Done);
    }
    let mut table = Table::new(["layer", "output", "parameters"]);
    for row in rows {
        let shape: Vec<String> = row.shape.iter().map(ToString::to_string).collect();
        table.row([
            row.layer.clone(),
            shape.join(" x "),
            row.parameters.to_string(),
        ]);
    }
    print!("{table}");
    Ok(Outcome::Done)
}

/// Measures on the held-out pieces.
fn evaluate(fitted: &Fitted, judged: &Judged, common: &Common) -> Result<Evaluation> {
    let supervised = &fitted.supervised;
    let seed = Seed::new(common.seed).derive("evaluate", 0);
    let options = ReportOptions::default();
    let measured = measure::measure(judged, 0, supervised, &options, seed)?;
    let name = supervised.baseline.shape().architecture.name();
    Ok(Evaluation {
        pieces: judged.places.len(),
        defective: judged.labels.iter().filter(|l| *l != GOOD).count(),
        arms: BTreeMap::from([(name.to_string(), measured.report)]),
        pixels: judged.pixels,
        unreadable: judged.unreadable.clone(),
    })
}

/// Writes the bundle, its curves, and what it was measured at.
fn write(
    fitted: &Fitted,
    judged: Option<&Judged>,
    evaluation: Option<&Evaluation>,
    out: &Path,
) -> Result<()> {
    let csv = epochs_csv(&fitted.curve);
    files::write_atomic(&out.join("epochs.csv"), csv.as_bytes())?;
    picture::write(&Epochs(&fitted.curve), out, "epochs")?;
    let (scores, defects): (Vec<f64>, Vec<bool>) = fitted.validation.iter().copied().unzip();
    let validation = Sweep::new(&scores, &defects)?;
    let mut sweeps = vec![("validation", &validation)];
    let test;
    if let Some(judged) = judged {
        let scores: Vec<f64> = judged.verdicts[0].iter().map(|v| v.score).collect();
        let defects: Vec<bool> = judged.labels.iter().map(|l| l != GOOD).collect();
        test = Sweep::new(&scores, &defects)?;
        if test.n_defect > 0 {
            sweeps.push(("held out", &test));
        }
    }
    if validation.n_defect > 0 {
        picture::write(&PrecisionRecall::new(&sweeps)?, out, "precision-recall")?;
    }
    if let Some(evaluation) = evaluation {
        let json = serde_json::to_vec_pretty(evaluation).map_err(|e| Error::data(e.to_string()))?;
        files::write_atomic(&out.join("evaluation.json"), &json)?;
        for (name, report) in &evaluation.arms {
            confusion(name, report, out)?;
        }
    }
    files::write_atomic(&out.join("README.md"), card(fitted, evaluation).as_bytes())?;
    store::supervised::save(&fitted.supervised, out)?;
    // The bundle is whole: what only a resumed training needs goes.
    let checkpoint = out.join("baseline.checkpoint");
    if checkpoint.exists() {
        std::fs::remove_file(&checkpoint).map_err(Error::io("remove", &checkpoint))?;
    }
    Ok(())
}

fn confusion(name: &str, report: &Report, out: &Path) -> Result<()> {
    if report.confusion.is_empty() {
        return Ok(());
    }
    let matrix = ConfusionMatrix {
        title: name,
        classes: &report.classes,
        counts: &report.confusion,
    };
    picture::write(&matrix, out, "confusion")
}

/// The bundle's card, for people.
fn card(fitted: &Fitted, evaluation: Option<&Evaluation>) -> String {
    let supervised = &fitted.supervised;
    let training = &supervised.training;
    let shape = supervised.baseline.shape();
    let options = &supervised.settings.baseline;
    let measured = evaluation.map_or_else(
        || "No piece was held out: nothing is measured here.\n".to_string(),
        |evaluation| {
            let reports: String = evaluation.arms.values().map(markdown::evaluation).collect();
            format!("{}\n{reports}", table(evaluation))
        },
    );
    let notes: String = training.notes.iter().map(|n| format!("- {n}\n")).collect();
    format!(
        "# {}\n\nA supervised baseline of goma {}. Use it with `goma score`.\n\n\
         Trained on {}; seed {}.\n\n\
         Network: {}, {} channels, {} x {}, from {}; balance {:?}, {:?} from {}, batches of {}, \
         {} pieces trained on.\n\n\
         Decision: {}.\n\n![Epochs](epochs.svg)\n\n## Measured\n\n{measured}\n{notes}\n\
         ## What it is not\n\nIt knows the defects it was shown. What it never saw it may pass. The \
         heatmap shows where the network looked, not how unusual a pixel is.\n",
        training.name,
        env!("CARGO_PKG_VERSION"),
        training.data,
        training.seed,
        shape.architecture.name(),
        shape.view.channels,
        shape.view.size,
        shape.view.size,
        supervised.start,
        options.balance,
        options.optimiser,
        options.learning_rate,
        options.batch,
        training.fitted_pieces,
        supervised.rule.basis,
    )
}
