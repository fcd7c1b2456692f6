//! Pieces that a bundle was trained on: it knows them, and looks better on them
//! than on new ones.

use goma::data::sample::Sample;
use goma::progress::Observer;
use goma::store::pieces::{self, TrainedOn};
use goma::{Error, Result};
use std::path::Path;

/// The samples to measure on, and a note of those that a bundle was trained on.
/// With `held_out` these are left out.
pub fn choose<'a>(
    bundles: &[&Path],
    samples: Vec<&'a Sample>,
    held_out: bool,
    observer: &dyn Observer,
) -> Result<(Vec<&'a Sample>, Option<String>)> {
    let mut trained = TrainedOn::default();
    for bundle in bundles {
        match TrainedOn::read(bundle)? {
            Some(more) => trained = trained.and(more),
            None if held_out => {
                return Err(Error::setting(
                    "--held-out",
                    format!(
                        "{} holds no {}, so it is not known what it was trained on",
                        bundle.display(),
                        pieces::FILE
                    ),
                )
                .help(
                    "bundles that are imported or older have none; name data that are new to it",
                ));
            }
            None => {}
        }
    }
    let known = trained.holds(&samples, observer)?;
    let seen = known.iter().filter(|known| **known).count();
    let new = samples.len() - seen;
    if seen == 0 {
        return Ok((samples, None));
    }
    if !held_out {
        let note = format!(
            "{seen} of these {} pieces were trained on: new ones will do worse. \
             --held-out measures on the other {new} alone",
            samples.len()
        );
        return Ok((samples, Some(note)));
    }
    if new == 0 {
        return Err(
            Error::data(format!("all {seen} labelled pieces were trained on"))
                .help("name data that are new to the bundle"),
        );
    }
    let note = format!("left out {seen} pieces that were trained on");
    let held = samples.into_iter().zip(known);
    let held = held.filter(|(_, known)| !known).map(|(sample, _)| sample);
    Ok((held.collect(), Some(note)))
}
