//! A random forest by smartcore; the probability of a class is the share of
//! trees that vote for it.
//!
//! Each tree is grown by itself from its own seed, so the forest does not
//! depend on threads, and then kept in our own flat form: smartcore neither
//! gives shares of votes nor checks a tree it reads back.
//!
//! # Departures
//! smartcore draws its bootstrap sample within each class, which keeps class
//! sizes as they are. It takes no weights, so [`super::Balance::WeightedLoss`]
//! repeats the rows of smaller classes a whole number of times.
//!
//! # References
//! L. Breiman: Random forests, Machine Learning 45, 2001.

use super::Problem;
use super::stored::{Found, Parts};
use crate::error::{Error, Result};
use ndarray::Axis;
use rand::Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use smartcore::ensemble::random_forest_classifier::{
    RandomForestClassifier, RandomForestClassifierParameters,
};
use smartcore::linalg::basic::matrix::DenseMatrix;

/// Settings of the random forest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ForestOptions {
    /// Number of trees.
    pub trees: usize,
    /// The deepest a tree may grow; `None`: until its leaves are pure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_depth: Option<u16>,
    /// The fewest samples in a leaf.
    pub min_samples_leaf: usize,
    /// Columns tried at each split; `None`: the root of their number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub columns_per_split: Option<usize>,
}

impl Default for ForestOptions {
    fn default() -> Self {
        Self {
            trees: 300,
            max_depth: None,
            min_samples_leaf: 1,
            columns_per_split: None,
        }
    }
}

/// The trees, as nodes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Forest {
    n_classes: usize,
    trees: Vec<Vec<Node>>,
}

/// One node; the root is the first, and children come after their parents.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Node {
    Leaf {
        class: usize,
    },
    /// Samples with `x[feature] <= threshold` go to `below`.
    Split {
        feature: usize,
        threshold: f64,
        below: usize,
        above: usize,
    },
}

impl ForestOptions {
    pub(super) fn fit(&self, problem: &Problem) -> Result<Forest> {
        for (name, value) in [
            ("forest.trees", self.trees),
            ("forest.min_samples_leaf", self.min_samples_leaf),
            ("forest.max_depth", self.max_depth.unwrap_or(1).into()),
            (
                "forest.columns_per_split",
                self.columns_per_split.unwrap_or(1),
            ),
        ] {
            if value == 0 {
                return Err(Error::setting(name, "0 given, at least 1 expected"));
            }
        }
        let seed = problem.seed.derive("forest", 0);
        let rows = problem
            .balance
            .repeated_rows(problem.y, problem.n_classes, seed);
        let y: Vec<u32> = rows.iter().map(|&i| problem.y[i] as u32).collect();
        let x = problem.x.select(Axis(0), &rows);
        let (n, p) = x.dim();
        let x = DenseMatrix::new(n, p, x.iter().copied().collect(), false).map_err(failed)?;
        problem.observer.begin("growing trees", self.trees as u64);
        let trees = (0..self.trees)
            .into_par_iter()
            .map(|i| {
                problem.check_stop()?;
                let tree = self.grow(&x, &y, seed.derive("tree", i as u64).rng().random());
                problem.observer.advance(1);
                tree
            })
            .collect::<Result<Vec<_>>>();
        problem.observer.end();
        let forest = Forest {
            n_classes: problem.n_classes,
            trees: trees?,
        };
        forest.check(p)?;
        Ok(forest)
    }

    fn grow(&self, x: &DenseMatrix<f64>, y: &Vec<u32>, seed: u64) -> Result<Vec<Node>> {
        let parameters = RandomForestClassifierParameters {
            n_trees: 1,
            max_depth: self.max_depth,
            min_samples_leaf: self.min_samples_leaf,
            m: self.columns_per_split,
            seed,
            ..RandomForestClassifierParameters::default()
        };
        let forest = RandomForestClassifier::fit(x, y, parameters).map_err(failed)?;
        // The serialised form is the only public view of the nodes.
        let read = serde_json::to_value(&forest).and_then(serde_json::from_value::<GrownForest>);
        let grown = read.map_err(|e| Error::data(format!("random forest: {e}")))?;
        Ok(grown
            .trees
            .into_iter()
            .flat_map(|t| t.nodes)
            .map(Node::from)
            .collect())
    }
}

fn failed(e: smartcore::error::Failed) -> Error {
    Error::data(format!("random forest: {e}"))
}

/// smartcore's forest, as it serialises itself.
#[derive(Deserialize)]
struct GrownForest {
    trees: Vec<GrownTree>,
}

#[derive(Deserialize)]
struct GrownTree {
    nodes: Vec<GrownNode>,
}

#[derive(Deserialize)]
struct GrownNode {
    output: usize,
    split_feature: usize,
    split_value: Option<f64>,
    true_child: Option<usize>,
    false_child: Option<usize>,
}

impl From<GrownNode> for Node {
    fn from(node: GrownNode) -> Self {
        match (node.split_value, node.true_child, node.false_child) {
            (Some(threshold), Some(below), Some(above)) => Self::Split {
                feature: node.split_feature,
                threshold,
                below,
                above,
            },
            _ => Self::Leaf { class: node.output },
        }
    }
}

impl Forest {
    pub(super) fn probabilities(&self, x: &[f64]) -> Vec<f64> {
        let mut votes = vec![0u32; self.n_classes];
        for tree in &self.trees {
            votes[vote(tree, x)] += 1;
        }
        votes
            .iter()
            .map(|&v| f64::from(v) / self.trees.len() as f64)
            .collect()
    }

    /// Whether every node points where it may; thus a walk ends.
    fn check(&self, n_columns: usize) -> Result<()> {
        let fine = !self.trees.is_empty()
            && self.trees.iter().all(|tree| {
                !tree.is_empty()
                    && tree.iter().enumerate().all(|(i, node)| match *node {
                        Node::Leaf { class } => class < self.n_classes,
                        Node::Split {
                            feature,
                            threshold,
                            below,
                            above,
                        } => {
                            feature < n_columns
                                && threshold.is_finite()
                                && (i + 1..tree.len()).contains(&below)
                                && (i + 1..tree.len()).contains(&above)
                        }
                    })
            });
        if fine {
            Ok(())
        } else {
            Err(Error::data("the random forest's nodes do not fit together"))
        }
    }

    pub(super) fn store(&self, parts: &mut Parts) -> Result<()> {
        let sizes: Vec<u32> = self.trees.iter().map(|t| t.len() as u32).collect();
        let n: usize = self.trees.iter().map(Vec::len).sum();
        // A leaf has no children: both are 0, where no child can be.
        let (mut links, mut thresholds) = (Vec::with_capacity(3 * n), Vec::with_capacity(n));
        for node in self.trees.iter().flatten() {
            let (a, below, above, threshold) = match *node {
                Node::Leaf { class } => (class, 0, 0, 0.0),
                Node::Split {
                    feature,
                    threshold,
                    below,
                    above,
                } => (feature, below, above, threshold),
            };
            links.extend([a as u32, below as u32, above as u32]);
            thresholds.push(threshold);
        }
        parts.put("forest.sizes", &[sizes.len()], sizes)?;
        parts.put("forest.class_or_feature_below_above", &[n, 3], links)?;
        parts.put("forest.threshold", &[n], thresholds)
    }

    pub(super) fn load(found: &Found, n_columns: usize, n_classes: usize) -> Result<Self> {
        let n_trees = found.shape("forest.sizes")?.first().copied().unwrap_or(0);
        let sizes: Vec<u32> = found.take("forest.sizes", &[n_trees])?;
        let n = found
            .shape("forest.threshold")?
            .first()
            .copied()
            .unwrap_or(0);
        if sizes.iter().map(|&s| s as usize).sum::<usize>() != n {
            return Err(Error::data(
                "the random forest's trees and nodes disagree in number",
            ));
        }
        let links: Vec<u32> = found.take("forest.class_or_feature_below_above", &[n, 3])?;
        let thresholds: Vec<f64> = found.take("forest.threshold", &[n])?;
        let mut nodes = links.chunks_exact(3).zip(thresholds).map(|(l, threshold)| {
            let [a, below, above] = [l[0] as usize, l[1] as usize, l[2] as usize];
            if below == 0 && above == 0 {
                Node::Leaf { class: a }
            } else {
                Node::Split {
                    feature: a,
                    threshold,
                    below,
                    above,
                }
            }
        });
        let trees = sizes
            .iter()
            .map(|&size| nodes.by_ref().take(size as usize).collect())
            .collect();
        let forest = Self { n_classes, trees };
        forest.check(n_columns)?;
        Ok(forest)
    }
}

fn vote(tree: &[Node], x: &[f64]) -> usize {
    let mut at = 0;
    loop {
        match tree[at] {
            Node::Leaf { class } => return class,
            Node::Split {
                feature,
                threshold,
                below,
                above,
            } => {
                at = if x[feature] <= threshold {
                    below
                } else {
                    above
                }
            }
        }
    }
}
