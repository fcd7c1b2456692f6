//! What of a fold is trained on, drawn by which model, and fitted on.

use crate::data::dataset::Dataset;
use crate::data::fold::{Fold, TrainingSet};
use crate::error::{Error, Result};
use crate::pipeline::decide;
use crate::random::Seed;
use crate::settings::{FittingOptions, MapFitting};

/// An anomaly model of a fold: whom it learns from and whose maps it draws.
#[derive(Debug, Clone)]
pub struct Source<'a> {
    /// Tells the models of one fold apart.
    pub number: u64,
    /// Its good pieces are trained on.
    pub learns: TrainingSet<'a>,
    /// Training pieces whose maps it draws, to fit on.
    pub fitting: Vec<usize>,
    /// Test pieces whose maps it draws.
    pub test: Vec<usize>,
}

/// One fold, divided among its steps.
#[derive(Debug, Clone)]
pub struct Division<'a> {
    /// Counted from 0.
    pub number: usize,
    /// The anomaly models.
    pub sources: Vec<Source<'a>>,
    /// What selection, classifier and threshold are fitted on.
    pub fitting: TrainingSet<'a>,
    /// The pieces that are tested, by their place in the data set.
    pub test: Vec<usize>,
    /// How many times each good piece counts for a threshold.
    pub good_repeat: usize,
    /// From which the random choices of the fold descend.
    pub seed: Seed,
}

impl<'a> Division<'a> {
    /// Divides a fold as `goma train` would divide its training pieces; the
    /// test pieces are drawn by the model that a bundle would keep.
    ///
    /// # Errors
    /// As [`TrainingSet::split_good`] and [`TrainingSet::parts`];
    /// [`Error::Data`] if a model would have no good piece to learn from.
    pub fn new(
        dataset: &'a Dataset,
        fold: &Fold,
        number: usize,
        options: &FittingOptions,
        seed: Seed,
    ) -> Result<Self> {
        let seed = seed.derive("compare.fold", number as u64);
        let training = fold.training(dataset);
        let test = fold.test().to_vec();
        let mut good_repeat = 1;
        let (sources, fitting) = match options.maps {
            MapFitting::HeldOut => {
                let part = seed.derive("fit.kept-back", 0);
                let (seen, kept) = training.split_good(options.kept_back, part)?;
                good_repeat = decide::good_repeat(seen.len(), kept.good().len());
                let source = Source {
                    number: 0,
                    learns: seen,
                    fitting: kept.indices().to_vec(),
                    test: test.clone(),
                };
                (vec![source], kept)
            }
            MapFitting::Seen => {
                let source = Source {
                    number: 0,
                    learns: training.good(),
                    fitting: training.indices().to_vec(),
                    test: test.clone(),
                };
                (vec![source], training)
            }
            MapFitting::CrossFit => {
                let kept = Source {
                    number: 0,
                    learns: training.good(),
                    fitting: Vec::new(),
                    test: test.clone(),
                };
                let parts = training.parts(options.cross_fit_parts, seed)?;
                let sources = parts.iter().zip(1..).map(|(part, number)| Source {
                    number,
                    learns: training.good().without(part),
                    fitting: part.indices().to_vec(),
                    test: Vec::new(),
                });
                (std::iter::once(kept).chain(sources).collect(), training)
            }
        };
        if sources.iter().any(|s| s.learns.is_empty()) {
            return Err(Error::data(format!(
                "fold {}: an anomaly model has no good piece to learn from",
                number + 1
            ))
            .help("use fewer folds, or name more groups"));
        }
        Ok(Self {
            number,
            sources,
            fitting,
            test,
            good_repeat,
            seed,
        })
    }
}
