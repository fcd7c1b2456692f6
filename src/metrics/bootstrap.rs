//! Bootstrap confidence intervals over groups.
//!
//! Pieces of one group (a pack, the six exposures of one tile) are not
//! independent, so whole groups are drawn.

use crate::error::{Error, Result};
use crate::random::Seed;
use rand::Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// How intervals are made.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BootstrapOptions {
    /// How often the groups are drawn anew.
    pub resamples: usize,
    /// The share of the drawn values inside the interval, in `0..1`.
    pub level: f64,
}

impl Default for BootstrapOptions {
    fn default() -> Self {
        Self {
            resamples: 1000,
            level: 0.95,
        }
    }
}

/// A percentile interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
    /// Draws on which the value was defined (a draw may lack a class).
    pub resamples: usize,
}

impl BootstrapOptions {
    /// Percentile intervals of `n_values` statistics.
    ///
    /// As many groups as there are are drawn with replacement; `statistics` sees
    /// the rows of the drawn groups (a group drawn twice brings its rows twice)
    /// and gives its values, `None` where undefined. The interval runs between
    /// the quantiles `(1 − level)/2` and `(1 + level)/2`, linearly interpolated;
    /// it is `None` if fewer than half of the draws defined the value.
    ///
    /// - `groups`: `[n_rows]`, any labels; equal labels belong together
    ///
    /// Draw i depends on the seed and i alone, not on threads.
    ///
    /// # Errors
    /// [`Error::Setting`] for a level outside `0..1` or no resamples,
    /// [`Error::Data`] without rows.
    pub fn intervals<const K: usize>(
        &self,
        groups: &[usize],
        seed: Seed,
        statistics: impl Fn(&[usize]) -> [Option<f64>; K] + Sync,
    ) -> Result<[Option<Interval>; K]> {
        let found = self.intervals_of(K, groups, seed, |rows| statistics(rows).to_vec())?;
        Ok(found.try_into().expect("as many as were asked for"))
    }

    /// As [`Self::intervals`], of `n_values` statistics, a number that is known
    /// only when running.
    ///
    /// # Errors
    /// As [`Self::intervals`].
    pub fn intervals_of(
        &self,
        n_values: usize,
        groups: &[usize],
        seed: Seed,
        statistics: impl Fn(&[usize]) -> Vec<Option<f64>> + Sync,
    ) -> Result<Vec<Option<Interval>>> {
        if !(self.level > 0.0 && self.level < 1.0) {
            return Err(Error::setting(
                "bootstrap level",
                format!("{} given, above 0 and below 1 expected", self.level),
            ));
        }
        if self.resamples == 0 {
            return Err(Error::setting(
                "bootstrap resamples",
                "0 given, at least 1 expected",
            ));
        }
        let members = rows_by_group(groups);
        if members.is_empty() {
            return Err(Error::data("bootstrap intervals need rows: 0 found"));
        }
        let draws: Vec<Vec<Option<f64>>> = (0..self.resamples as u64)
            .into_par_iter()
            .map(|i| {
                let mut rng = seed.derive("bootstrap", i).rng();
                let rows: Vec<usize> = (0..members.len())
                    .flat_map(|_| members[rng.random_range(0..members.len())].iter().copied())
                    .collect();
                statistics(&rows)
            })
            .collect();
        let interval = |k: usize| {
            let mut values: Vec<f64> = draws
                .iter()
                .filter_map(|d| d[k])
                .filter(|v| v.is_finite())
                .collect();
            if values.len() * 2 < self.resamples {
                return None;
            }
            values.sort_unstable_by(f64::total_cmp);
            Some(Interval {
                low: quantile(&values, (1.0 - self.level) / 2.0),
                high: quantile(&values, (1.0 + self.level) / 2.0),
                resamples: values.len(),
            })
        };
        Ok((0..n_values).map(interval).collect())
    }
}

/// Rows of each group, groups in order of appearance.
fn rows_by_group(groups: &[usize]) -> Vec<Vec<usize>> {
    let mut position = std::collections::BTreeMap::new();
    let mut members: Vec<Vec<usize>> = Vec::new();
    for (row, &group) in groups.iter().enumerate() {
        let at = *position.entry(group).or_insert_with(|| {
            members.push(Vec::new());
            members.len() - 1
        });
        members[at].push(row);
    }
    members
}

/// Quantile `q` of ascending values, linear between neighbours (numpy's default).
///
/// `sorted` must not be empty.
#[must_use]
pub fn quantile(sorted: &[f64], q: f64) -> f64 {
    let position = q.clamp(0.0, 1.0) * (sorted.len() - 1) as f64;
    let below = position.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    let t = position - below as f64;
    sorted[below] + t * (sorted[above] - sorted[below])
}

/// The middle value; the mean of the two middle ones of an even number. 0 of none.
#[must_use]
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.is_empty() {
        true => 0.0,
        false => quantile(&values, 0.5),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_lies_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(Vec::new()), 0.0);
    }

    fn mean(values: &'static [f64]) -> impl Fn(&[usize]) -> [Option<f64>; 1] + Sync {
        move |rows| {
            [Some(
                rows.iter().map(|&r| values[r]).sum::<f64>() / rows.len() as f64,
            )]
        }
    }

    #[test]
    fn the_interval_of_a_mean_is_about_two_standard_errors_each_way() {
        const VALUES: [f64; 100] = {
            let mut v = [0.0; 100];
            let mut i = 0;
            while i < 100 {
                v[i] = (i % 2) as f64;
                i += 1;
            }
            v
        };
        let groups: Vec<usize> = (0..100).collect();
        let [interval] = BootstrapOptions::default()
            .intervals(&groups, Seed::new(1), mean(&VALUES))
            .unwrap();
        let interval = interval.unwrap(); // 0.5 ± 1.96 · 0.05
        assert!((interval.low - 0.40).abs() < 0.025, "{interval:?}");
        assert!((interval.high - 0.60).abs() < 0.025, "{interval:?}");
    }

    #[test]
    fn a_single_group_never_varies() {
        let [interval] = BootstrapOptions::default()
            .intervals(&[7, 7, 7], Seed::new(1), mean(&[1.0, 2.0, 6.0]))
            .unwrap();
        assert_eq!(interval.map(|i| (i.low, i.high)), Some((3.0, 3.0)));
    }

    #[test]
    fn a_value_that_is_mostly_undefined_has_no_interval() {
        let none = BootstrapOptions::default().intervals(&[0, 1], Seed::new(1), |_| [None]);
        assert_eq!(none.unwrap(), [None]);
    }

    #[test]
    fn quantiles_are_numpy_s() {
        assert_eq!(quantile(&[1.0, 2.0, 4.0], 0.75), 3.0);
        assert_eq!(quantile(&[5.0], 0.3), 5.0);
    }
}
