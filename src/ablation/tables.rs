//! An ablation's results as numbers: mean and spread over the seeds.

use super::{Results, RunResult};
use std::collections::BTreeSet;

/// Mean and deviation over seeds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// The mean.
    pub mean: f64,
    /// The sample's standard deviation; `None` with one seed.
    pub deviation: Option<f64>,
}

impl Spread {
    /// Of these values; `None` without any.
    #[must_use]
    pub fn of(values: &[f64]) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
        Some(Self {
            mean,
            deviation: (values.len() > 1).then(|| (squares / (n - 1.0)).sqrt()),
        })
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.deviation {
            Some(d) => write!(f, "{:.4} ± {d:.4}", self.mean),
            None => write!(f, "{:.4}", self.mean),
        }
    }
}

/// A measure of one value's runs; those of the validation pieces have the
/// names `validation_auc_pr` and `validation_f1`.
#[must_use]
pub fn values(runs: &[RunResult], measure: &str) -> Vec<f64> {
    runs.iter()
        .filter_map(|run| match measure {
            "validation_auc_pr" => Some(run.validation_auc_pr),
            "validation_f1" => Some(run.validation_f1),
            other => run.test.get(other).copied(),
        })
        .collect()
}

/// A line for each run: factor, value, seed, epochs, every measure.
#[must_use]
pub fn csv(results: &Results) -> String {
    let mut names = BTreeSet::new();
    for (_, values) in results {
        names.extend(
            values
                .iter()
                .flatten()
                .flat_map(|run| run.test.keys().cloned()),
        );
    }
    let mut out = csv::Writer::from_writer(Vec::new());
    let fixed = [
        "factor",
        "value",
        "model",
        "seed",
        "best_epoch",
        "epochs",
        "validation_auc_pr",
        "validation_f1",
    ];
    let head = fixed.iter().map(|n| (*n).to_string());
    // Writing into memory cannot fail.
    let _ = out.write_record(head.chain(names.iter().map(|n| format!("test_{n}"))));
    for (factor, values) in results {
        for (value, runs) in factor.values.iter().zip(values) {
            for run in runs {
                let mut cells = vec![
                    factor.name.clone(),
                    value.name.clone(),
                    run.model.clone(),
                    run.seed.to_string(),
                    run.best_epoch.0.to_string(),
                    run.best_epoch.1.to_string(),
                    format!("{:?}", run.validation_auc_pr),
                    format!("{:?}", run.validation_f1),
                ];
                cells.extend(names.iter().map(|name| {
                    let value = run.test.get(name);
                    value.map_or(String::new(), |v| format!("{v:?}"))
                }));
                let _ = out.write_record(cells);
            }
        }
    }
    let bytes = out.into_inner().unwrap_or_default();
    String::from_utf8(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_is_the_sample_s() {
        let spread = Spread::of(&[0.7, 0.8, 0.9]).unwrap();
        assert_eq!(spread.to_string(), "0.8000 ± 0.1000");
        assert_eq!(Spread::of(&[0.7]).unwrap().to_string(), "0.7000");
        assert_eq!(Spread::of(&[]), None);
    }
}
