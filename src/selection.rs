//! Selection: the features that tell most about the class.
//!
//! Between features and classifier (FeatureTable ▶ **selection** ▶ classifier).
//! Mutual information of each feature with the class (Ross 2014), computed on
//! training rows alone; the best `K = round(√N)` of them stay (Hua et al. 2005,
//! as Rožanec et al. use it).

use crate::data::feature_table::FeatureTable;
use crate::error::{Error, Result};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap};

/// How many columns stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Count {
    /// `round(√N)` for `N` training rows.
    #[default]
    SqrtN,
    /// This many.
    Fixed(usize),
    /// All of them, ranked.
    All,
}

/// How columns are selected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SelectionOptions {
    /// Neighbours within the class, `k`.
    pub neighbours: usize,
    /// How many columns stay.
    pub count: Count,
}

impl Default for SelectionOptions {
    fn default() -> Self {
        Self {
            neighbours: 3,
            count: Count::SqrtN,
        }
    }
}

impl SelectionOptions {
    /// Ranks the columns by mutual information with the class and keeps the best.
    ///
    /// - `class`: `[n_samples]`, class indices of the table's rows
    ///
    /// # Errors
    /// [`Error::Data`] with fewer than two classes, or a column name that occurs
    /// twice; [`Error::Shape`], [`Error::Setting`].
    pub fn fit(&self, table: &FeatureTable, class: &[usize]) -> Result<Selection> {
        let columns = table.columns();
        let mut seen = BTreeSet::new();
        if let Some(twice) = columns.iter().find(|c| !seen.insert(c.as_str())) {
            return Err(Error::data(format!("feature column {twice} occurs twice")));
        }
        if class.iter().all(|c| Some(c) == class.first()) {
            return Err(Error::data(format!(
                "feature selection needs two classes: all {} samples are of one",
                class.len()
            )));
        }
        if let Count::Fixed(0) = self.count {
            return Err(Error::setting(
                "selection.count",
                "0 given, at least 1 expected",
            ));
        }
        let scores = mutual_information_of_columns(table, class, self.neighbours)?;
        let mut ranked: Vec<usize> = (0..columns.len()).collect();
        ranked.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
        let wanted = match self.count {
            Count::SqrtN => ((class.len() as f64).sqrt().round() as usize).max(1),
            Count::Fixed(k) => k,
            Count::All => columns.len(),
        };
        ranked.truncate(wanted);
        Ok(Selection {
            columns: ranked.iter().map(|&c| columns[c].clone()).collect(),
            scores: ranked.iter().map(|&c| scores[c]).collect(),
        })
    }
}

/// The columns that stay, best first, ties in the order of the table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selection {
    columns: Vec<String>,
    scores: Vec<f64>,
}

impl Selection {
    /// Column names, best first.
    #[must_use]
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Their mutual information with the class, in nats.
    #[must_use]
    pub fn scores(&self) -> &[f64] {
        &self.scores
    }

    /// The selected columns of a table, best first.
    ///
    /// # Errors
    /// [`Error::Data`] naming the first column that the table lacks.
    pub fn apply(&self, table: &FeatureTable) -> Result<FeatureTable> {
        let position: HashMap<&str, usize> = table
            .columns()
            .iter()
            .enumerate()
            .map(|(i, name)| (name.as_str(), i))
            .collect();
        let picked = self
            .columns
            .iter()
            .map(|name| {
                position.get(name.as_str()).copied().ok_or_else(|| {
                    Error::data(format!(
                        "feature column {name} is missing among the {} found",
                        table.columns().len()
                    ))
                })
            })
            .collect::<Result<Vec<usize>>>()?;
        Ok(table.take_columns(&picked))
    }
}

/// Mutual information of every column with the class, in nats; see
/// [`mutual_information`].
///
/// # Errors
/// [`Error::Shape`] if the lengths differ, [`Error::Setting`] for `k = 0`.
pub fn mutual_information_of_columns(
    table: &FeatureTable,
    class: &[usize],
    k: usize,
) -> Result<Vec<f64>> {
    let classes = Classes::new(class, k)?;
    let values = table.values();
    if values.nrows() != class.len() {
        return Err(Error::shape("classes", class.len(), values.nrows()));
    }
    Ok((0..values.ncols())
        .into_par_iter()
        .map_init(Workspace::default, |space, column| {
            space.feature.clear();
            space.feature.extend(values.column(column));
            classes.mutual_information(space)
        })
        .collect())
}

/// Mutual information between one feature and the class, in nats.
///
/// Ross (2014), the nearest-neighbour estimator, in the paper's symbols:
///
/// `I = ψ(N) − ⟨ψ(N_x)⟩ + ψ(k) − ⟨ψ(m)⟩`
///
/// with `N_x` the samples of a sample's class, and `m` the samples of any class
/// nearer than its k-th neighbour within the class, itself included.
///
/// - `feature`: `[n_samples]`, any unit
/// - `class`: `[n_samples]`, class indices
/// - `k`: neighbours within the class, 3 by default
///
/// Takes `O(N log N)`: one sort, then neighbours are found by walking outwards.
///
/// # Departures
/// Equal to scikit-learn's `mutual_info_classif` without the noise it adds:
/// the feature is divided by its standard deviation; a class with `n ≤ k`
/// samples uses `n − 1` neighbours; singletons are left out; a negative estimate
/// becomes 0. The k-th neighbour itself, being no nearer than itself, is not
/// counted; for classes of at most `2k + 1` samples, scikit-learn's distances
/// carry a rounding error (`√(x² − 2xy + y²)`) that decides whether it is. That
/// rounding is reproduced.
///
/// # Errors
/// [`Error::Shape`] if lengths differ; [`Error::NotFinite`] with the first row;
/// [`Error::Setting`] for `k = 0`.
///
/// # References
/// B. C. Ross, PLoS ONE 9(2), e87357, 2014.
///
/// ```
/// let class = [0, 0, 0, 0, 1, 1, 1, 1];
/// let apart = [0.0, 0.1, 0.2, 0.3, 9.0, 9.1, 9.2, 9.3];
/// let same = [1.0; 8];
/// assert!(goma::selection::mutual_information(&apart, &class, 3)? > 0.6); // ln 2 = 0.69
/// assert_eq!(goma::selection::mutual_information(&same, &class, 3)?, 0.0);
/// # Ok::<(), goma::Error>(())
/// ```
pub fn mutual_information(feature: &[f64], class: &[usize], k: usize) -> Result<f64> {
    if feature.len() != class.len() {
        return Err(Error::shape("classes", class.len(), feature.len()));
    }
    if let Some(row) = feature.iter().position(|v| !v.is_finite()) {
        return Err(Error::NotFinite {
            what: "feature".into(),
            row,
        });
    }
    let mut space = Workspace {
        feature: feature.to_vec(),
        ..Workspace::default()
    };
    Ok(Classes::new(class, k)?.mutual_information(&mut space))
}

/// What depends on the classes alone, shared by all features.
struct Classes {
    /// Class of each sample, renumbered from 0; `None` for singletons.
    of_row: Vec<Option<u32>>,
    /// Neighbours looked for in each class.
    k: Vec<usize>,
    /// Whether scikit-learn would search the class by brute force.
    brute: Vec<bool>,
    /// `ψ(N) + ⟨ψ(k)⟩ − ⟨ψ(N_x)⟩`.
    constant: f64,
    /// `ψ(n)` at index n.
    psi: Vec<f64>,
    /// Samples that are no singletons.
    n: usize,
}

/// Memory reused from feature to feature.
#[derive(Default)]
struct Workspace {
    feature: Vec<f64>,
    /// (value, class), ascending.
    sorted: Vec<(f64, u32)>,
    values: Vec<f64>,
    /// Positions in `sorted` of each class.
    members: Vec<Vec<u32>>,
}

impl Classes {
    fn new(class: &[usize], k: usize) -> Result<Self> {
        if k == 0 {
            return Err(Error::setting(
                "selection.neighbours",
                "0 given, at least 1 expected",
            ));
        }
        let mut counts = std::collections::BTreeMap::new();
        for &c in class {
            *counts.entry(c).or_insert(0usize) += 1;
        }
        counts.retain(|_, n| *n > 1);
        let number: HashMap<usize, u32> = counts.keys().copied().zip(0..).collect();
        let sizes: Vec<usize> = counts.into_values().collect();
        let n: usize = sizes.iter().sum();
        let psi = digammas(n);
        let neighbours: Vec<usize> = sizes.iter().map(|&s| k.min(s - 1)).collect();
        let mean = |of: &dyn Fn(usize) -> f64| -> f64 {
            (0..sizes.len())
                .map(|c| sizes[c] as f64 * of(c))
                .sum::<f64>()
                / n as f64
        };
        let constant = if n == 0 {
            0.0
        } else {
            psi[n] + mean(&|c| psi[neighbours[c]]) - mean(&|c| psi[sizes[c]])
        };
        Ok(Self {
            of_row: class.iter().map(|c| number.get(c).copied()).collect(),
            brute: (0..sizes.len())
                .map(|c| neighbours[c] >= sizes[c] / 2)
                .collect(),
            k: neighbours,
            constant,
            psi,
            n,
        })
    }

    /// The estimate for `space.feature`, one value a sample.
    fn mutual_information(&self, space: &mut Workspace) -> f64 {
        if self.n == 0 {
            return 0.0;
        }
        let scale = standard_deviation(&space.feature);
        space.sorted.clear();
        space.sorted.extend(
            space
                .feature
                .iter()
                .zip(&self.of_row)
                .filter_map(|(&v, c)| Some((v / scale, (*c)?))),
        );
        space.sorted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        space.values.clear();
        space.values.extend(space.sorted.iter().map(|s| s.0));
        space.members.resize(self.k.len(), Vec::new());
        for members in &mut space.members {
            members.clear();
        }
        for (position, &(_, c)) in space.sorted.iter().enumerate() {
            space.members[c as usize].push(position as u32);
        }
        let x = &space.values;
        let mut sum = 0.0;
        for (c, members) in space.members.iter().enumerate() {
            for place in 0..members.len() {
                let distance = if self.brute[c] {
                    expanded_kth_distance(x, members, place, self.k[c])
                } else {
                    kth_distance(x, members, place, self.k[c])
                };
                let radius = distance.next_down().max(0.0);
                sum += self.psi[count_within(x, members[place] as usize, radius)];
            }
        }
        (self.constant - sum / self.n as f64).max(0.0)
    }
}

/// Distance to the k-th nearest other member of the class.
fn kth_distance(x: &[f64], members: &[u32], place: usize, k: usize) -> f64 {
    let at = |p: usize| x[members[p] as usize];
    let (mut left, mut right) = (place, place + 1);
    let mut distance = 0.0;
    for _ in 0..k {
        let below = if left > 0 {
            at(place) - at(left - 1)
        } else {
            f64::INFINITY
        };
        let above = if right < members.len() {
            at(right) - at(place)
        } else {
            f64::INFINITY
        };
        if below <= above {
            left -= 1;
            distance = below;
        } else {
            right += 1;
            distance = above;
        }
    }
    distance
}

/// As [`kth_distance`], with `√(x² − 2xy + y²)` and its rounding.
fn expanded_kth_distance(x: &[f64], members: &[u32], place: usize, k: usize) -> f64 {
    let a = x[members[place] as usize];
    let mut squares: Vec<f64> = members
        .iter()
        .map(|&m| {
            let b = x[m as usize];
            (-2.0 * (a * b) + a * a + b * b).max(0.0)
        })
        .collect();
    squares.sort_unstable_by(f64::total_cmp);
    squares[k].sqrt() // index 0 is the sample itself, at exactly 0
}

/// Number of values within `radius` of the one at `i`, itself included.
fn count_within(x: &[f64], i: usize, radius: f64) -> usize {
    // Squares are compared, as scikit-learn's tree does: they underflow alike.
    let reach = radius * radius;
    let near = |j: usize| {
        let d = x[j] - x[i];
        d * d <= reach
    };
    let above = gallop(x.len() - i, |step| near(i + step));
    let below = gallop(i + 1, |step| near(i - step));
    above + below - 1
}

/// The number of leading steps `0..n` that are `near`; step 0 always is.
/// Doubles the stride, then halves it, so that a short run costs little.
fn gallop(n: usize, near: impl Fn(usize) -> bool) -> usize {
    let mut stride = 1;
    while stride < n && near(stride) {
        stride *= 2;
    }
    // Steps up to stride/2 are near; stride is not, or lies beyond the end.
    let (mut low, mut high) = (stride / 2, stride.min(n));
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if near(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    low + 1
}

/// Population standard deviation, 1 for a (nearly) constant feature.
///
/// Rounded as numpy rounds it: the last bit decides which distances tie.
fn standard_deviation(x: &[f64]) -> f64 {
    let n = x.len() as f64;
    let mean = pairwise_sum(x) / n;
    let squares: Vec<f64> = x.iter().map(|v| (v - mean) * (v - mean)).collect();
    let deviation = (pairwise_sum(&squares) / n).sqrt();
    if deviation < 10.0 * f64::EPSILON {
        1.0
    } else {
        deviation
    }
}

/// numpy's sum of a contiguous array: halves down to 128 values, eight running
/// sums within these.
fn pairwise_sum(x: &[f64]) -> f64 {
    if x.len() > 128 {
        let half = x.len() / 2;
        let (a, b) = x.split_at(half - half % 8);
        return pairwise_sum(a) + pairwise_sum(b);
    }
    let (eights, rest) = x.as_chunks::<8>();
    let Some((first, more)) = eights.split_first() else {
        return x.iter().sum();
    };
    let mut r = *first;
    for chunk in more {
        for (r, v) in r.iter_mut().zip(chunk) {
            *r += v;
        }
    }
    let sum = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
    rest.iter().fold(sum, |sum, v| sum + v)
}

/// `ψ(0..=n)` by `ψ(n + 1) = ψ(n) + 1/n`; index 0 is not used.
fn digammas(n: usize) -> Vec<f64> {
    const EULER_GAMMA: f64 = 0.577_215_664_901_532_9;
    let mut psi = vec![f64::NEG_INFINITY, -EULER_GAMMA];
    // Compensated (Kahan), so that the error does not grow with n.
    let mut lost = 0.0;
    for i in 1..n {
        let step = 1.0 / i as f64 - lost;
        let next = psi[i] + step;
        lost = (next - psi[i]) - step;
        psi.push(next);
    }
    psi
}

#[cfg(test)]
mod tests;
