//! `goma weights`

use super::observer::Terminal;
use super::{Common, Outcome};
use clap::{Args, Subcommand};
use goma::nn::weights::cache::{Cache, PRETRAINED, Pretrained, State};
use goma::{Error, Result};

/// List, fetch and verify pretrained backbone weights
///
/// Weights lie in the folder that GOMA_CACHE names, else in goma's folder within the user's
/// cache. They come from the Hugging Face hub, or from the mirror that HF_ENDPOINT names. The
/// first fetch writes down the hash the hub gives; nothing else is accepted afterwards.
#[derive(Debug, Args)]
#[command(after_help = "Example: goma weights fetch resnet18")]
pub struct WeightsArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// What there is, and what of it lies in the cache
    List,
    /// Fetch weights into the cache; an interrupted fetch is continued
    #[command(after_help = "Example: goma weights fetch resnet18 resnet50")]
    Fetch {
        /// resnet18, resnet34, resnet50, resnet101 or resnet152
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Check what lies in the cache against the hashes written down
    #[command(after_help = "Example: goma weights verify")]
    Verify {
        /// Which (default: all that are there)
        names: Vec<String>,
    },
}

/// Runs the command.
pub fn run(args: &WeightsArgs, common: &Common, terminal: &Terminal) -> Result<Outcome> {
    let cache = Cache::from_env()?;
    match &args.action {
        Action::List => list(&cache, common)?,
        Action::Fetch { names } => {
            for weights in chosen(names)? {
                let path = cache.fetch(weights, terminal)?;
                let (sha256, locked) = cache.verify(weights)?;
                print(
                    common,
                    weights,
                    &sha256,
                    locked,
                    &path.display().to_string(),
                );
            }
        }
        Action::Verify { names } => verify(&cache, names, common, terminal)?,
    }
    Ok(Outcome::Done)
}

fn list(cache: &Cache, common: &Common) -> Result<()> {
    let mut rows = Vec::new();
    for weights in &PRETRAINED {
        let state = match cache.state(weights)? {
            State::Absent => "not fetched".to_owned(),
            State::Partial(bytes) => format!("{} MB fetched", bytes / 1_000_000),
            State::Present { locked: true, .. } => "in the cache".to_owned(),
            State::Present { locked: false, .. } => "in the cache, hash not known".to_owned(),
        };
        if common.json {
            rows.push(serde_json::json!({
                "name": weights.name,
                "repository": weights.repository,
                "file": weights.file,
                "megabytes": weights.megabytes,
                "origin": weights.origin,
                "state": state,
                "path": cache.path(weights).to_string_lossy(),
            }));
        } else {
            println!(
                "{:10} {:>4} MB  {:28}  {:24}  {}",
                weights.name, weights.megabytes, state, weights.repository, weights.origin
            );
        }
    }
    if common.json {
        println!("{}", serde_json::Value::from(rows));
    } else {
        println!("cache: {}", cache.folder().display());
    }
    Ok(())
}

fn verify(cache: &Cache, names: &[String], common: &Common, terminal: &Terminal) -> Result<()> {
    let mut there = Vec::new();
    for weights in chosen(names)? {
        match cache.state(weights)? {
            State::Present { .. } => there.push(weights),
            _ if names.is_empty() => {}
            _ => {
                return Err(Error::data(format!("{} is not in the cache", weights.name))
                    .help(format!("goma weights fetch {}", weights.name)));
            }
        }
    }
    if there.is_empty() {
        terminal.say("nothing in the cache");
    }
    for weights in there {
        let (sha256, locked) = cache.verify(weights)?;
        print(common, weights, &sha256, locked, "as fetched");
    }
    Ok(())
}

fn print(common: &Common, weights: &Pretrained, sha256: &str, locked: bool, what: &str) {
    if common.json {
        let row = serde_json::json!({
            "name": weights.name, "sha256": sha256, "hash_known": locked,
        });
        println!("{row}");
    } else {
        let what = if locked {
            what
        } else {
            "copied in; its hash was not written down"
        };
        println!("{:10} {sha256}  {what}", weights.name);
    }
}

/// The weights of these names; all if none is named.
fn chosen(names: &[String]) -> Result<Vec<&'static Pretrained>> {
    if names.is_empty() {
        return Ok(PRETRAINED.iter().collect());
    }
    names
        .iter()
        .map(|name| {
            Pretrained::named(name).ok_or_else(|| {
                let known: Vec<&str> = PRETRAINED.iter().map(|p| p.name).collect();
                let reason = format!("{name} found, one of {} expected", known.join(", "));
                Error::setting("name", reason)
            })
        })
        .collect()
}
