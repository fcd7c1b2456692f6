//! `goma ablate`: one factor at a time of a supervised recipe.

use super::data::DataArgs;
use super::observer::Terminal;
use super::{Common, Outcome, Work};
use clap::Args;
use goma::ablation::tables::{self, Spread, values};
use goma::ablation::{self, Bench, Grid, Results, RunResult, slug};
use goma::data::dataset::{ClassView, Dataset};
use goma::data::fold::Fold;
use goma::files::{self, Existing};
use goma::metrics::ranking::Sweep;
use goma::random::Seed;
use goma::report::curves::{self, PrecisionRecall};
use goma::report::markdown::Table;
use goma::report::matrix::ConfusionMatrix;
use goma::report::picture;
use goma::{Error, Result};
use std::path::{Path, PathBuf};

/// Vary one factor at a time of a supervised recipe
///
/// A grid file names the base, the factors and their values; each is trained with every seed and
/// measured on the same held-out pieces. Writes ablation.md, ablation.csv and plots. Ready-made
/// grids lie in data/ablation.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  goma ablate erasers --grid data/ablation/eraser-small.toml --out ablation
  goma ablate erasers --grid data/ablation/eraser-small.toml --out ablation --resume
  goma ablate erasers --grid data/ablation/eraser-small.toml --out rates --factor 'learning rate'")]
pub struct AblateArgs {
    /// The labelled data set (a folder, or a manifest CSV)
    #[arg(value_name = "DATA")]
    data: PathBuf,
    /// What is varied, as TOML
    #[arg(long, value_name = "FILE.toml")]
    grid: PathBuf,
    /// Folder for the results
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Only this factor of the grid; may be given again
    #[arg(long = "factor", value_name = "NAME")]
    factors: Vec<String>,
    /// Seeds of each value's runs in place of the grid's, e.g. 0,1,2
    #[arg(long, value_name = "N", value_delimiter = ',')]
    seeds: Vec<u64>,
    /// Replace the folder if goma wrote it
    #[arg(long, conflicts_with = "resume")]
    force: bool,
    /// Go on with an ablation that was stopped, or whose grid has grown
    #[arg(long)]
    resume: bool,
    #[command(flatten)]
    reading: DataArgs,
}

/// The file that shows that goma began an ablation here.
const MARKER: &str = "grid.toml";

/// Runs the command.
pub fn run(args: &AblateArgs, common: &Common, terminal: &Terminal) -> Result<Outcome> {
    if common.config.is_some() {
        return Err(Error::setting("--config", "a grid holds the settings")
            .help("write them in its set, or give --set"));
    }
    let text = std::fs::read_to_string(&args.grid).map_err(Error::io("read", &args.grid))?;
    let mut grid = Grid::parse(&text, &common.set)?;
    if let Some(unknown) = args
        .factors
        .iter()
        .find(|n| !grid.factors.iter().any(|f| f.name == **n))
    {
        let known: Vec<&str> = grid.factors.iter().map(|f| f.name.as_str()).collect();
        return Err(Error::setting(
            "factor",
            format!("{unknown} given, one of {} expected", known.join(", ")),
        ));
    }
    if !args.factors.is_empty() {
        grid.factors.retain(|f| args.factors.contains(&f.name));
    }
    if !args.seeds.is_empty() {
        grid.seeds.clone_from(&args.seeds);
    }
    let base = grid.settings(&ablation::Value {
        name: "base".into(),
        set: Vec::new(),
    })?;
    let mut options = args.reading.options();
    options.classes = base.classes;
    let dataset = Dataset::open(&args.data, &options)?;
    for note in &dataset.notes {
        terminal.say(&format!("note: {note}"));
    }
    let seed = Seed::new(common.seed);
    let fold = if dataset.samples.iter().any(|s| s.split.is_some()) {
        Fold::from_splits(&dataset)?
    } else {
        Fold::holdout(&dataset, base.fitting.test_share, seed)?
    };
    let varies =
        |value: &ablation::Value| -> Result<ClassView> { Ok(grid.settings(value)?.classes) };
    for value in grid.factors.iter().flat_map(|f| &f.values) {
        if varies(value)? != base.classes {
            return Err(Error::setting(
                "classes",
                format!(
                    "{} changes the classes: give them in the grid's set",
                    value.name
                ),
            ));
        }
    }
    let device = super::device(common, Work::Training)?;
    let existing = match (args.force, args.resume) {
        (true, _) => Existing::Replace,
        (_, true) => Existing::Continue,
        _ => Existing::Refuse,
    };
    let out = files::output_folder(&args.out, existing, MARKER)?;
    let stored = toml::to_string_pretty(&grid).map_err(|e| Error::data(e.to_string()))?;
    files::write_atomic(&out.join(MARKER), stored.as_bytes())?;
    let bench = Bench {
        dataset: &dataset,
        fold: &fold,
        limits: options.limits(),
        device: &device,
        start: &|kind, options| super::train::start(kind, options, None, terminal),
        folder: &out,
    };
    let results = ablation::run(&grid, &bench, terminal).map_err(|error| match error {
        Error::Stopped => Error::Stopped.help(format!(
            "finished runs are kept; the same command with --resume goes on in {}",
            args.out.display()
        )),
        other => other,
    })?;
    write(&grid, &results, &fold, &out)?;
    if common.json {
        let runs: Vec<&RunResult> = results
            .iter()
            .flat_map(|(_, v)| v.iter().flatten())
            .collect();
        let json = serde_json::to_string_pretty(&runs).map_err(|e| Error::data(e.to_string()))?;
        println!("{json}");
    } else {
        for (factor, runs) in &results {
            let names: Vec<&str> = factor.values.iter().map(|v| v.name.as_str()).collect();
            println!("{}\n", table(&factor.name, &names, runs));
        }
    }
    terminal.say(&format!(
        "tables and plots: {}",
        args.out.join("ablation.md").display()
    ));
    Ok(Outcome::Done)
}

/// The measures of a table, and their heads.
const MEASURES: [(&str, &str); 8] = [
    ("validation_auc_pr", "validation AUC-PR"),
    ("validation_f1", "validation F1"),
    ("auc_pr", "test AUC-PR"),
    ("f1", "test F1"),
    ("precision", "precision"),
    ("recall", "recall"),
    ("accuracy", "accuracy"),
    ("kappa", "kappa"),
];

fn table(factor: &str, names: &[&str], runs: &[Vec<RunResult>]) -> Table {
    let heads = MEASURES.iter().map(|(_, head)| *head);
    let mut table = Table::new(std::iter::once(factor).chain(heads));
    for (name, runs) in names.iter().zip(runs) {
        let cells = MEASURES.iter().map(|(measure, _)| {
            Spread::of(&values(runs, measure)).map_or("-".into(), |s| s.to_string())
        });
        table.row(std::iter::once((*name).to_string()).chain(cells));
    }
    table
}

/// Each class, mean and spread over the seeds.
fn class_table(runs: &[RunResult]) -> Table {
    let mut table = Table::new(["class", "pieces", "precision", "recall", "F1"]);
    let classes = runs.first().map_or(&[][..], |run| &run.classes);
    for class in classes {
        let of = |f: fn(&ablation::PerClass) -> f64| {
            let values: Vec<f64> = runs
                .iter()
                .filter_map(|r| r.per_class.get(class))
                .map(f)
                .collect();
            Spread::of(&values).map_or("-".into(), |s| s.to_string())
        };
        let n = runs
            .first()
            .and_then(|r| r.per_class.get(class))
            .map_or(0, |c| c.n);
        table.row([
            class.clone(),
            n.to_string(),
            of(|c| c.precision),
            of(|c| c.recall),
            of(|c| c.f1),
        ]);
    }
    table
}

fn write(grid: &Grid, results: &Results, fold: &Fold, out: &Path) -> Result<()> {
    files::write_atomic(&out.join("ablation.csv"), tables::csv(results).as_bytes())?;
    let mut text = format!(
        "# {}\n\nOne factor at a time; {} pieces trained on and validated, {} held out; seeds {:?}. Mean ± \
         standard deviation over the seeds. Thresholds from the validation pieces. The grid is in \
         grid.toml, every run in ablation.csv.\n",
        grid.title,
        fold.train().len(),
        fold.test().len(),
        grid.seeds
    );
    for (factor, runs) in results {
        let file = slug(&factor.name);
        let names: Vec<&str> = factor.values.iter().map(|v| v.name.as_str()).collect();
        text += &format!(
            "\n## {}\n\n{}",
            factor.name,
            table(&factor.name, &names, runs)
        );
        let rows: Vec<(String, Vec<f64>)> = names
            .iter()
            .zip(runs)
            .map(|(name, runs)| ((*name).to_string(), values(runs, "auc_pr")))
            .collect();
        if rows.iter().any(|(_, v)| !v.is_empty()) {
            let spread = curves::Spread {
                title: &factor.name,
                measure: "AUC-PR on the held-out pieces",
                rows: &rows,
            };
            picture::write(&spread, out, &file)?;
            text += &format!("\n![{}]({file}.svg)\n", factor.name);
            let sweeps = names
                .iter()
                .zip(runs)
                .filter_map(|(name, runs)| Some((*name, runs.first()?)))
                .map(|(name, run)| Ok((name, Sweep::new(&run.scores, &run.is_defect)?)))
                .collect::<Result<Vec<(&str, Sweep)>>>()?;
            let named: Vec<(&str, &Sweep)> = sweeps.iter().map(|(n, s)| (*n, s)).collect();
            let stem = format!("{file}-precision-recall");
            picture::write(&PrecisionRecall::new(&named)?, out, &stem)?;
            text += &format!("\n![Precision and recall, first seed]({stem}.svg)\n");
        }
        for (i, (name, runs)) in names.iter().zip(runs).enumerate() {
            text += &format!(
                "\n### {}: {name}, by class\n\n{}",
                factor.name,
                class_table(runs)
            );
            if let Some(run) = runs.first().filter(|r| !r.confusion.is_empty()) {
                let matrix = ConfusionMatrix {
                    title: name,
                    classes: &run.classes,
                    counts: &run.confusion,
                };
                let stem = format!("{file}-{i}-confusion");
                picture::write(&matrix, out, &stem)?;
                text += &format!("\n![Confusions, seed {}]({stem}.svg)\n", run.seed);
            }
        }
    }
    files::write_atomic(&out.join("ablation.md"), text.as_bytes())
}
