//! Sharing samples out: groups whole, classes as even as the groups allow.

use crate::data::dataset::Dataset;
use crate::data::sample::Sample;
use crate::error::{Error, Result};
use crate::random::Seed;
use rand::seq::SliceRandom;
use std::collections::BTreeMap;

pub(super) fn check_share(name: &str, share: f64) -> Result<()> {
    if share > 0.0 && share < 1.0 {
        return Ok(());
    }
    Err(Error::setting(
        name,
        format!("{share} given, a share between 0 and 1 expected"),
    ))
}

pub(super) fn group_of(sample: &Sample) -> &str {
    sample.group.as_deref().unwrap_or(sample.id.as_str())
}

/// A labelled sample's class.
pub(super) fn class_index(dataset: &Dataset, sample: &Sample) -> usize {
    let label = sample.label().unwrap_or_default();
    dataset
        .classes
        .iter()
        .position(|class| class == label)
        .expect("a data set lists the classes of all its samples")
}

pub(super) fn divide(
    dataset: &Dataset,
    indices: &[usize],
    targets: [f64; 2],
    seed: Seed,
) -> Result<[Vec<usize>; 2]> {
    let mut parts = shared_out(dataset, indices, &targets, seed)?.into_iter();
    // As many parts as targets.
    Ok([
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    ])
}

/// Samples of one group, and how many of each class.
struct Unit {
    members: Vec<usize>,
    counts: Vec<usize>,
}

/// Shares samples out into parts of these target shares (which sum to 1). Every
/// part gets at least one group.
pub(super) fn shared_out(
    dataset: &Dataset,
    indices: &[usize],
    targets: &[f64],
    seed: Seed,
) -> Result<Vec<Vec<usize>>> {
    let classes = dataset.classes.len();
    // A group and a lone sample's id may be the same word.
    let mut by_group: BTreeMap<(bool, &str), Unit> = BTreeMap::new();
    let mut totals = vec![0usize; classes];
    for &i in indices {
        let sample = &dataset.samples[i];
        let unit = by_group
            .entry((sample.group.is_some(), group_of(sample)))
            .or_insert_with(|| Unit {
                members: Vec::new(),
                counts: vec![0; classes],
            });
        let class = class_index(dataset, sample);
        unit.members.push(i);
        unit.counts[class] += 1;
        totals[class] += 1;
    }
    let mut units: Vec<Unit> = by_group.into_values().collect();
    if units.len() < targets.len() {
        return Err(Error::data(format!(
            "{} groups cannot be shared out over {} parts",
            units.len(),
            targets.len()
        ))
        .help("more pieces are needed; one piece is never on both sides"));
    }
    units.shuffle(&mut seed.rng());
    units.sort_by_key(|unit| std::cmp::Reverse(unit.members.len())); // stable

    let mut counts = vec![vec![0usize; classes]; targets.len()];
    let mut parts: Vec<Vec<usize>> = vec![Vec::new(); targets.len()];
    let last = units.len();
    for (placed, unit) in units.into_iter().enumerate() {
        // How much the squared distance to the targets grows, each class weighed
        // by its size: sum over c of g (2 (n - tN) + g) / N.
        let cost = |part: usize| -> f64 {
            (0..classes)
                .filter(|&c| unit.counts[c] > 0)
                .map(|c| {
                    let (g, n) = (unit.counts[c] as f64, counts[part][c] as f64);
                    let total = totals[c] as f64;
                    g * (2.0 * (n - targets[part] * total) + g) / total
                })
                .sum()
        };
        let empty = parts.iter().filter(|p| p.is_empty()).count();
        let must_fill = last - placed <= empty;
        let best = (0..parts.len())
            .filter(|&part| !must_fill || parts[part].is_empty())
            .min_by(|&a, &b| {
                cost(a)
                    .total_cmp(&cost(b))
                    .then(parts[a].len().cmp(&parts[b].len()))
            })
            .unwrap_or(0);
        for (count, more) in counts[best].iter_mut().zip(&unit.counts) {
            *count += more;
        }
        parts[best].extend(unit.members);
    }
    for part in &mut parts {
        part.sort_unstable();
    }
    Ok(parts)
}
