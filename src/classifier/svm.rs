//! A support vector machine with a Gaussian kernel and probabilities.
//!
//! linfa-svm solves each binary problem (C-SVC by sequential minimal
//! optimisation, as LIBSVM). Several classes: one machine for each against the
//! rest, their probabilities divided by their sum.
//!
//! # Departures
//! linfa-svm calibrates its probabilities on the very values it was fitted to;
//! here Platt's sigmoid is fitted on decision values of five-fold
//! cross-validation, as LIBSVM does. LIBSVM puts classes one against one.
//!
//! # References
//! C.-C. Chang, C.-J. Lin: LIBSVM, ACM TIST 2(3), 2011; J. Platt, 1999.

use super::platt::Sigmoid;
use super::stored::{Found, Parts};
use super::{Balance, Problem};
use crate::error::{Error, Result};
use crate::random::Seed;
use linfa::DatasetBase;
use linfa::traits::Fit;
use ndarray::{Array1, Array2, Axis};
use rand::seq::SliceRandom;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Settings of the support vector machine.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SvmOptions {
    /// The cost of a violated margin, C.
    pub c: f64,
    /// `γ` of the kernel `exp(−γ ‖x − x'‖²)`; `None`: `1 / (n_features · var(X))`,
    /// scikit-learn's `"scale"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gamma: Option<f64>,
    /// The solver stops when the margins are violated by less.
    pub tolerance: f64,
}

impl Default for SvmOptions {
    fn default() -> Self {
        Self {
            c: 1.0,
            gamma: None,
            tolerance: 1e-3,
        }
    }
}

/// Decision values that the sigmoid is fitted on come from this many folds.
const FOLDS: usize = 5;

/// The kernel matrix is kept whole: 800 MB at this many rows.
const MOST_ROWS: usize = 10_000;

/// One machine for each class, or a single one for two classes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Svm {
    gamma: f64,
    n_classes: usize,
    machines: Vec<Machine>,
}

/// `f(x) = Σ α_i exp(−γ ‖s_i − x‖²) − ρ`, positive on the side of its class.
#[derive(Debug, Clone, PartialEq)]
struct Machine {
    /// s, `[n_support, n_features]`.
    support: Array2<f64>,
    /// α with the sign of the class, `[n_support]`.
    alpha: Vec<f64>,
    rho: f64,
    sigmoid: Sigmoid,
}

impl SvmOptions {
    fn check(&self) -> Result<()> {
        for (name, value) in [
            ("svm.c", self.c),
            ("svm.gamma", self.gamma.unwrap_or(1.0)),
            ("svm.tolerance", self.tolerance),
        ] {
            if !(value > 0.0 && value.is_finite()) {
                return Err(Error::setting(
                    name,
                    format!("{value} given, above 0 expected"),
                ));
            }
        }
        Ok(())
    }

    pub(super) fn fit(&self, problem: &Problem) -> Result<Svm> {
        self.check()?;
        if problem.y.len() > MOST_ROWS {
            return Err(Error::data(format!(
                "the support vector machine takes at most {MOST_ROWS} training samples: {} found",
                problem.y.len()
            ))
            .help("choose the classifier mlp, forest or logistic"));
        }
        let gamma = self.gamma.unwrap_or_else(|| scale_gamma(problem.x));
        // The machine of two classes is that of the second against the first.
        let of_class: Vec<usize> = match problem.n_classes {
            2 => vec![1],
            n => (0..n).collect(),
        };
        problem
            .observer
            .begin("fitting support vectors", of_class.len() as u64);
        let machines = of_class
            .iter()
            .map(|&class| {
                problem.check_stop()?;
                let positive: Vec<bool> = problem.y.iter().map(|&c| c == class).collect();
                let solver = Solver {
                    options: *self,
                    gamma,
                    balance: problem.balance,
                    seed: problem.seed.derive("svm", class as u64),
                };
                let machine = solver.calibrated(problem.x, &positive)?;
                problem.observer.advance(1);
                Ok(machine)
            })
            .collect::<Result<Vec<Machine>>>();
        problem.observer.end();
        Ok(Svm {
            gamma,
            n_classes: problem.n_classes,
            machines: machines?,
        })
    }
}

/// `1 / (n_features · var(X))`, the variance over all numbers of X; 1 for a
/// constant X.
fn scale_gamma(x: &Array2<f64>) -> f64 {
    let mean = x.sum() / x.len() as f64;
    let variance = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / x.len() as f64;
    if variance > 0.0 {
        1.0 / (x.ncols() as f64 * variance)
    } else {
        1.0
    }
}

struct Solver {
    options: SvmOptions,
    gamma: f64,
    balance: Balance,
    seed: Seed,
}

impl Solver {
    /// A machine on all rows, its sigmoid on decision values of rows it has
    /// not seen.
    fn calibrated(&self, x: &Array2<f64>, positive: &[bool]) -> Result<Machine> {
        let fold = stratified_folds(positive, self.seed);
        // Fold FOLDS holds no row: the machine that stays.
        let mut fits: Vec<(Machine, Vec<(usize, f64)>)> = (0..=FOLDS)
            .into_par_iter()
            .map(|left_out| {
                let (test, train): (Vec<usize>, Vec<usize>) =
                    (0..fold.len()).partition(|&i| fold[i] == left_out);
                let machine = self.solve(x, positive, &train, left_out as u64)?;
                let values = test
                    .into_iter()
                    .map(|i| (i, machine.decision(row(x, i), self.gamma)))
                    .collect();
                Ok((machine, values))
            })
            .collect::<Result<_>>()?;
        let (mut machine, _) = fits.pop().expect("FOLDS + 1 of them");
        let mut values = vec![0.0; positive.len()];
        for (i, f) in fits.into_iter().flat_map(|(_, values)| values) {
            values[i] = f;
        }
        machine.sigmoid = Sigmoid::fit(&values, positive);
        Ok(machine)
    }

    /// A machine on some rows, not calibrated.
    fn solve(
        &self,
        x: &Array2<f64>,
        positive: &[bool],
        rows: &[usize],
        index: u64,
    ) -> Result<Machine> {
        let y: Vec<usize> = rows.iter().map(|&i| usize::from(positive[i])).collect();
        let sigmoid = Sigmoid { a: -1.0, b: 0.0 };
        if y.iter().all(|&c| c == 0) || y.iter().all(|&c| c == 1) {
            // One class alone: its side, wherever the sample lies (LIBSVM's way).
            return Ok(Machine {
                support: Array2::zeros((0, x.ncols())),
                alpha: Vec::new(),
                rho: if y.contains(&1) { -1.0 } else { 1.0 },
                sigmoid,
            });
        }
        let weights = self.balance.weights(&y, 2);
        let drawn = self
            .balance
            .rows(&y, 2, self.seed.derive("resample", index));
        let rows: Vec<usize> = drawn.iter().map(|&i| rows[i]).collect();
        let targets: Array1<bool> = rows.iter().map(|&i| positive[i]).collect();
        let records = x.select(Axis(0), &rows);
        let fitted = linfa_svm::Svm::<f64, bool>::params()
            .pos_neg_weights(self.options.c * weights[1], self.options.c * weights[0])
            .gaussian_kernel(1.0 / self.gamma) // linfa divides by it
            .eps(self.options.tolerance)
            .fit(&DatasetBase::new(records, targets))
            .map_err(|e| Error::data(format!("support vector machine: {e}")))?;
        let support: Vec<usize> = (0..rows.len())
            .filter(|&i| fitted.alpha[i] != 0.0)
            .collect();
        let machine = Machine {
            support: x.select(
                Axis(0),
                &support.iter().map(|&i| rows[i]).collect::<Vec<_>>(),
            ),
            alpha: support.iter().map(|&i| fitted.alpha[i]).collect(),
            rho: fitted.rho,
            sigmoid,
        };
        if !machine.rho.is_finite() || machine.alpha.iter().any(|a| !a.is_finite()) {
            return Err(Error::data("the support vector machine did not converge"));
        }
        Ok(machine)
    }
}

/// The fold of each row, classes spread evenly.
fn stratified_folds(positive: &[bool], seed: Seed) -> Vec<usize> {
    let mut fold = vec![0; positive.len()];
    for side in [false, true] {
        let mut rows: Vec<usize> = (0..positive.len())
            .filter(|&i| positive[i] == side)
            .collect();
        rows.shuffle(&mut seed.derive("calibration", u64::from(side)).rng());
        for (i, &row) in rows.iter().enumerate() {
            fold[row] = i % FOLDS;
        }
    }
    fold
}

fn row(x: &Array2<f64>, i: usize) -> &[f64] {
    let p = x.ncols();
    &x.as_slice().expect("standardised in standard layout")[i * p..(i + 1) * p]
}

impl Machine {
    fn decision(&self, x: &[f64], gamma: f64) -> f64 {
        let sum: f64 = self
            .support
            .outer_iter()
            .zip(&self.alpha)
            .map(|(s, a)| {
                let square: f64 = s.iter().zip(x).map(|(s, x)| (s - x) * (s - x)).sum();
                a * (-gamma * square).exp()
            })
            .sum();
        sum - self.rho
    }
}

impl Svm {
    pub(super) fn probabilities(&self, x: &[f64]) -> Vec<f64> {
        let each: Vec<f64> = self
            .machines
            .iter()
            .map(|m| m.sigmoid.probability(m.decision(x, self.gamma)))
            .collect();
        if let [p] = each[..] {
            return vec![1.0 - p, p];
        }
        let sum: f64 = each.iter().sum();
        if sum > 0.0 {
            each.iter().map(|p| p / sum).collect()
        } else {
            vec![1.0 / self.n_classes as f64; self.n_classes]
        }
    }

    pub(super) fn store(&self, parts: &mut Parts) -> Result<()> {
        parts.put("svm.gamma", &[1], vec![self.gamma])?;
        for (i, m) in self.machines.iter().enumerate() {
            let name = |what: &str| format!("svm.{i}.{what}");
            let (n, p) = m.support.dim();
            parts.put(
                &name("support"),
                &[n, p],
                m.support.iter().copied().collect(),
            )?;
            parts.put(&name("alpha"), &[n], m.alpha.clone())?;
            let scalars = vec![m.rho, m.sigmoid.a, m.sigmoid.b];
            parts.put(&name("rho_a_b"), &[3], scalars)?;
        }
        Ok(())
    }

    pub(super) fn load(found: &Found, n_columns: usize, n_classes: usize) -> Result<Self> {
        let gamma = found.finite::<f64>("svm.gamma", &[1])?[0];
        let n_machines = if n_classes == 2 { 1 } else { n_classes };
        let machines = (0..n_machines)
            .map(|i| {
                let name = |what: &str| format!("svm.{i}.{what}");
                let n = found.shape(&name("support"))?.first().copied().unwrap_or(0);
                let shape = [n, n_columns];
                let support = found.finite(&name("support"), &shape)?;
                let scalars: Vec<f64> = found.finite(&name("rho_a_b"), &[3])?;
                Ok(Machine {
                    support: Array2::from_shape_vec(shape, support)
                        .map_err(|e| Error::data(format!("support vectors: {e}")))?,
                    alpha: found.finite(&name("alpha"), &[n])?,
                    rho: scalars[0],
                    sigmoid: Sigmoid {
                        a: scalars[1],
                        b: scalars[2],
                    },
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            gamma,
            n_classes,
            machines,
        })
    }
}

/// Decision values of rows `z` by a machine on all rows of `x`.
#[cfg(test)]
pub(super) fn decision_values(
    options: &SvmOptions,
    balance: Balance,
    x: &Array2<f64>,
    positive: &[bool],
    z: &Array2<f64>,
) -> Vec<f64> {
    let solver = Solver {
        options: *options,
        gamma: scale_gamma(x),
        balance,
        seed: Seed::new(0),
    };
    let rows: Vec<usize> = (0..positive.len()).collect();
    let machine = solver.solve(x, positive, &rows, 0).unwrap();
    (0..z.nrows())
        .map(|i| machine.decision(row(z, i), solver.gamma))
        .collect()
}
