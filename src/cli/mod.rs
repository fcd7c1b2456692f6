//! The command line: the only place that knows flags, and (with `report`) the
//! only one that writes for people. One file a command; each turns its flags
//! into settled options once and calls the library.

/// As the standard one, except where it would panic: a reader that closed the
/// pipe early (`goma ... | head`) has seen enough, and the work is done; what
/// cannot be written otherwise (a full disk) is an error.
macro_rules! println {
    ($($text:tt)*) => { $crate::cli::print_line(format_args!($($text)*)) };
}

mod ablate;
mod audit;
mod bench;
mod compare;
mod crop;
mod data;
mod demo;
mod evaluate;
mod export;
mod features;
mod import;
mod inspected;
mod observer;
mod pretrain;
mod score;
mod synth;
mod train;
mod weights;

use clap::{Args, Parser, Subcommand};
use goma::nn::precision::Work;
use goma::{Error, Result};
use observer::Terminal;
use std::io::Write;
use std::process::ExitCode;

/// Tells good pieces from defective ones in photographs.
#[derive(Debug, Parser)]
#[command(name = "goma", version, propagate_version = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::DemoArgs),
    Synth(synth::SynthArgs),
    Audit(audit::AuditArgs),
    Crop(crop::CropArgs),
    Train(train::TrainArgs),
    Score(score::ScoreArgs),
    Evaluate(evaluate::EvaluateArgs),
    Ablate(ablate::AblateArgs),
    Compare(compare::CompareArgs),
    Features(features::FeaturesArgs),
    Import(import::ImportArgs),
    Export(export::ExportArgs),
    Weights(weights::WeightsArgs),
    Pretrain(pretrain::PretrainArgs),
    Bench(bench::BenchArgs),
}

/// Flags that every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Common options")]
pub struct Common {
    /// The one seed all random choices descend from
    #[arg(long, global = true, default_value_t = 0, value_name = "N")]
    pub seed: u64,
    /// Where the networks run: auto, cpu or cuda:N
    #[arg(long, global = true, default_value = "auto")]
    pub device: String,
    /// What convolutions multiply: float32, tf32 (GPUs; faster, 10 bits of
    /// fraction) or bfloat16 (faster, 7 bits; on a CPU for scoring alone, if it
    /// has AVX512-BF16 or AMX-BF16)
    #[arg(long, global = true, default_value = "float32", value_name = "NAME")]
    pub precision: String,
    /// Number of threads (default: all cores); results do not depend on it
    #[arg(long, global = true, value_name = "N")]
    pub threads: Option<usize>,
    /// Say more: the resolved settings, where time goes
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Say nothing but results and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Print the result as JSON on standard output
    #[arg(long, global = true)]
    pub json: bool,
    /// Settings from a TOML file
    #[arg(long, global = true, value_name = "FILE.toml")]
    pub config: Option<std::path::PathBuf>,
    /// One setting, as in the settings file; may be given again
    #[arg(long = "set", global = true, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// Writes a line of the result; see `println!` above.
fn print_line(text: std::fmt::Arguments<'_>) {
    match writeln!(std::io::stdout().lock(), "{text}") {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            print_error(&Error::io("write", "standard output")(e));
            std::process::exit(1);
        }
        _ => {}
    }
}

/// How a command ended, short of failing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All done: exit code 0.
    Done,
    /// Done, but this many inputs could not be read: exit code 3.
    Unreadable(usize),
}

/// Parses the command line, runs the command, prints errors, gives the exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            let _ = e.print();
            return ExitCode::from(if e.use_stderr() { 2 } else { 0 });
        }
    };
    match run(cli) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Unreadable(_)) => ExitCode::from(3),
        Err(e) => {
            print_error(&e);
            ExitCode::from(exit_code(&e))
        }
    }
}

fn run(cli: Cli) -> Result<Outcome> {
    if let Some(threads) = cli.common.threads {
        if threads == 0 {
            return Err(Error::setting("threads", "0 given, at least 1 expected"));
        }
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build_global()
            .map_err(|e| Error::setting("threads", e.to_string()))?;
    }
    let takes_settings = match &cli.command {
        Command::Train(_) | Command::Ablate(_) | Command::Compare(_) => true,
        Command::Demo(args) => args.train,
        _ => false,
    };
    if !takes_settings && (cli.common.config.is_some() || !cli.common.set.is_empty()) {
        return Err(
            Error::setting("--set or --config", "this command takes no settings")
                .help("a bundle keeps those it was trained with: give them to goma train"),
        );
    }
    let terminal = Terminal::new(&cli.common);
    let common = &cli.common;
    match cli.command {
        Command::Demo(args) => demo::run(&args, common, &terminal),
        Command::Synth(args) => synth::run(&args, common, &terminal),
        Command::Audit(args) => audit::run(&args, common, &terminal),
        Command::Crop(args) => crop::run(&args, common, &terminal),
        Command::Train(args) => train::run(&args, common, &terminal),
        Command::Score(args) => score::run(&args, common, &terminal),
        Command::Ablate(args) => ablate::run(&args, common, &terminal),
        Command::Evaluate(args) => evaluate::run(&args, common, &terminal),
        Command::Compare(args) => compare::run(&args, common, &terminal),
        Command::Features(args) => features::run(&args, common, &terminal),
        Command::Import(args) => import::run(&args, common, &terminal),
        Command::Export(args) => export::run(&args, common, &terminal),
        Command::Weights(args) => weights::run(&args, common, &terminal),
        Command::Pretrain(args) => pretrain::run(&args, common, &terminal),
        Command::Bench(args) => bench::run(&args, common, &terminal),
    }
}

/// The device that `--device` names; `auto` is the first GPU if this build
/// and machine have one, else the CPU. Convolutions have the precision that
/// `--precision` names, as far as the device has it for this work.
fn device(common: &Common, work: Work) -> Result<candle_core::Device> {
    use candle_core::Device;
    use goma::nn::precision::Precision;
    let precision = Precision::named(&common.precision).ok_or_else(|| {
        let expected = Precision::NAMES.join(", ");
        let found = &common.precision;
        Error::setting("precision", format!("{found} given, {expected} expected"))
    })?;
    let device = match common.device.as_str() {
        "cpu" => Device::Cpu,
        "auto" => Device::cuda_if_available(0).unwrap_or(Device::Cpu),
        other => {
            let index = other.strip_prefix("cuda:").and_then(|n| n.parse().ok());
            let index: usize = index.ok_or_else(|| {
                Error::setting(
                    "device",
                    format!("{other} given, auto, cpu or cuda:N expected"),
                )
            })?;
            Device::new_cuda(index)?
        }
    };
    precision.choose(&device, work)?;
    Ok(device)
}

/// 2 for what was wrong on the command line, 1 for what went wrong afterwards.
fn exit_code(error: &Error) -> u8 {
    match error {
        Error::Setting { .. } => 2,
        Error::Helped { source, .. } => exit_code(source),
        _ => 1,
    }
}

/// The error, its causes, and the way out.
fn print_error(error: &Error) {
    let mut helps = Vec::new();
    let mut lines = Vec::new();
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = next {
        if let Some(Error::Helped { source, help }) = current.downcast_ref::<Error>() {
            helps.push(help.clone());
            next = Some(source.as_ref());
            continue;
        }
        let text = current.to_string();
        if lines.last() != Some(&text) {
            lines.push(text);
        }
        next = current.source().map(|s| {
            // Boxed library errors keep their concrete type behind the box.
            s.downcast_ref::<Box<Error>>().map_or(s, |boxed| {
                boxed.as_ref() as &(dyn std::error::Error + 'static)
            })
        });
    }
    for (i, line) in lines.iter().enumerate() {
        eprintln!("{}{line}", if i == 0 { "error: " } else { "  cause: " });
    }
    for help in helps {
        eprintln!("  help: {help}");
    }
}
