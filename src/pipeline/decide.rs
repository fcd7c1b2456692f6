//! What decides, fitted on rows: selection, classifier and rule.

use super::rows::Rows;
use crate::classifier::Classifier;
use crate::data::annotation::GOOD;
use crate::data::dataset::Dataset;
use crate::data::feature_table::FeatureTable;
use crate::data::sample::Sample;
use crate::decision::{Criterion, GOOD_QUANTILE, Rule, RuleOptions};
use crate::error::{Error, Result};
use crate::extract::InputMode;
use crate::progress::Observer;
use crate::random::Seed;
use crate::selection::Selection;
use crate::settings::{ModelKind, Settings};
use rand::seq::SliceRandom;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Everything that decides, fitted.
#[derive(Debug)]
pub struct Deciders {
    /// Class names: `good` first.
    pub classes: Arc<[String]>,
    /// Selection and classifier, where there are defects to learn from.
    pub hybrid: Option<(Selection, Classifier)>,
    /// From number to decision.
    pub rule: Rule,
}

/// The rows that are fitted on.
#[derive(Clone, Copy)]
pub struct FittingRows<'a> {
    /// The samples.
    pub samples: &'a [&'a Sample],
    /// Scores and features of those that could be read.
    pub rows: &'a Rows,
    /// How many times each good row counts for a threshold: kept-back good
    /// pieces stand for those that the anomaly model saw.
    pub good_repeat: usize,
}

/// Fits selection, classifier and rule on rows that the anomaly model has not seen.
///
/// The rule is fitted on out-of-fold probabilities: for each part of the rows,
/// selection and classifier are fitted on the others. Without any defect the
/// rule is a quantile of the good pieces' anomaly scores and there is no
/// classifier, whatever model was asked for.
///
/// # Errors
/// [`Error::Data`] without a row; whatever a step says.
pub fn fit_deciders(
    on: FittingRows<'_>,
    mode: InputMode,
    dataset: &Dataset,
    settings: &Settings,
    seed: Seed,
    observer: &dyn Observer,
) -> Result<Deciders> {
    let FittingRows {
        samples,
        rows,
        good_repeat,
    } = on;
    let classes: Arc<[String]> = dataset.classes.clone().into();
    let labels = labels_of(samples, rows)?;
    let is_defect: Vec<bool> = labels.iter().map(|l| l != GOOD).collect();
    if rows.places.is_empty() {
        return Err(Error::data(
            "there is no readable piece to fit the threshold on",
        ));
    }
    if !is_defect.contains(&true) {
        observer.note(
            "no defective piece: the threshold is a quantile of the good pieces' anomaly scores",
        );
        return Ok(Deciders {
            classes,
            hybrid: None,
            rule: good_only(&settings.decision).fit(&rows.scores, &is_defect)?,
        });
    }
    let features = match (settings.model, &rows.features) {
        (ModelKind::Hybrid, Some(features)) => mode.of(features),
        _ => {
            return Ok(Deciders {
                classes,
                hybrid: None,
                rule: fit_rule(settings, good_repeat, &rows.scores, &is_defect)?,
            });
        }
    };
    let folds = settings.fitting.threshold_folds;
    let (fold, torn) = match fold_of_groups(samples, rows, &labels, folds, seed) {
        Ok(fold) => fold,
        Err(few) => {
            observer.note(&format!("{few}: the anomaly score decides"));
            return Ok(Deciders {
                classes,
                hybrid: None,
                rule: fit_rule(settings, good_repeat, &rows.scores, &is_defect)?,
            });
        }
    };
    let fitter = Fitter {
        settings,
        classes: &classes,
        seed,
        observer,
    };
    let out_of_fold = fitter.out_of_fold(&features, &labels, &fold)?;
    let mut rule = fit_rule(settings, good_repeat, &out_of_fold, &is_defect)?;
    if torn {
        rule.basis += "; with so few groups, pieces of one group stood on both sides of its folds";
        observer.note("too few groups for the threshold's folds: it is optimistic");
    }
    Ok(Deciders {
        hybrid: Some(fitter.fit(&features, &labels, seed)?),
        rule,
        classes,
    })
}

/// How many times each good piece that was kept back counts for a threshold,
/// where the anomaly model saw so many others.
pub(crate) fn good_repeat(seen: usize, kept: usize) -> usize {
    match kept {
        0 => 1,
        _ => (((seen + kept) as f64 / kept as f64).round() as usize).max(1),
    }
}

/// Selection and classifier alone, as [`fit_deciders`] fits them.
///
/// # Errors
/// As for selection and classifier; [`Error::Data`] if the rows have no features.
pub fn fit_classifier(
    on: FittingRows<'_>,
    mode: InputMode,
    dataset: &Dataset,
    settings: &Settings,
    seed: Seed,
    observer: &dyn Observer,
) -> Result<(Selection, Classifier)> {
    let features = on
        .rows
        .features
        .as_ref()
        .ok_or_else(|| Error::data("there is no readable piece to fit the classifier on"))?;
    let fitter = Fitter {
        settings,
        classes: &dataset.classes.clone().into(),
        seed,
        observer,
    };
    let labels = labels_of(on.samples, on.rows)?;
    fitter.fit(&mode.of(features), &labels, seed)
}

/// Fits the rule with good and defective pieces in the data's own proportion.
///
/// Where most good pieces went to the anomaly model, the few that are left
/// would be outnumbered by the defects, and the best F1 would reject too many
/// good pieces: each of them counts `repeat` times.
pub(crate) fn fit_rule(
    settings: &Settings,
    repeat: usize,
    scores: &[f64],
    is_defect: &[bool],
) -> Result<Rule> {
    let mut all_scores = scores.to_vec();
    let mut all_defects = is_defect.to_vec();
    for _ in 1..repeat {
        all_scores.extend(
            scores
                .iter()
                .zip(is_defect)
                .filter(|(_, d)| !**d)
                .map(|(s, _)| s),
        );
        all_defects.resize(all_scores.len(), false);
    }
    let mut rule = settings.decision.fit(&all_scores, &all_defects)?;
    if repeat > 1 && is_defect.contains(&true) {
        rule.basis += &format!(
            "; each good piece counted {repeat} times, for those that the anomaly model was trained on"
        );
    }
    Ok(rule)
}

/// Without defects the criteria that need none stay, the others become a quantile.
fn good_only(options: &RuleOptions) -> RuleOptions {
    let quantile = |criterion| match criterion {
        Criterion::BestF1 | Criterion::Youden | Criterion::DefectRecall(_) => {
            Criterion::GoodQuantile(GOOD_QUANTILE)
        }
        other => other,
    };
    RuleOptions {
        fail: quantile(options.fail),
        review: options.review.map(quantile),
    }
}

/// Fits selection and classifier.
struct Fitter<'a> {
    settings: &'a Settings,
    classes: &'a Arc<[String]>,
    seed: Seed,
    observer: &'a dyn Observer,
}

impl Fitter<'_> {
    fn fit(
        &self,
        features: &FeatureTable,
        labels: &[String],
        seed: Seed,
    ) -> Result<(Selection, Classifier)> {
        let class: Vec<usize> = labels
            .iter()
            .map(|l| self.classes.iter().position(|c| c == l).unwrap_or_default())
            .collect();
        let selection = self.settings.selection.fit(features, &class)?;
        let classifier = self.settings.classifier.fit(
            &selection.apply(features)?,
            labels,
            self.classes.clone(),
            seed.derive("fit.classifier", 0),
            self.observer,
        )?;
        Ok((selection, classifier))
    }

    /// For each row the defect probability from a fit on the other folds.
    fn out_of_fold(
        &self,
        features: &FeatureTable,
        labels: &[String],
        fold: &[usize],
    ) -> Result<Vec<f64>> {
        let mut scores = vec![0.0; labels.len()];
        let folds = fold.iter().max().map_or(0, |m| m + 1);
        self.observer.begin("fitting the threshold", folds as u64);
        for part in 0..folds {
            let (inside, outside): (Vec<usize>, Vec<usize>) =
                (0..fold.len()).partition(|&i| fold[i] == part);
            let outside_labels: Vec<String> = outside.iter().map(|&i| labels[i].clone()).collect();
            let seed = self.seed.derive("fit.fold", part as u64);
            let (selection, classifier) =
                self.fit(&features.take_rows(&outside), &outside_labels, seed)?;
            let kept = selection.apply(&features.take_rows(&inside))?;
            for (row, prediction) in inside.iter().zip(classifier.predict(&kept)?) {
                scores[*row] = prediction.p_defect();
            }
            self.observer.advance(1);
        }
        self.observer.end();
        Ok(scores)
    }
}

/// The rows' labels.
pub(crate) fn labels_of(samples: &[&Sample], rows: &Rows) -> Result<Vec<String>> {
    rows.places
        .iter()
        .map(|&p| {
            let sample = samples[p];
            sample
                .label()
                .map(str::to_string)
                .ok_or_else(|| Error::data(format!("sample {} has no label", sample.id)))
        })
        .collect()
}

/// A fold for every row: groups whole, classes spread alike; and whether groups
/// had to be torn apart for it.
///
/// With so few groups that without one fold good or defective rows would be
/// missing, rows are dealt out one by one: a threshold on leaky folds beats none.
///
/// # Errors
/// [`Error::Data`] if even then a fold would leave fewer than two good or two
/// defective rows to fit on.
fn fold_of_groups(
    samples: &[&Sample],
    rows: &Rows,
    labels: &[String],
    folds: usize,
    seed: Seed,
) -> Result<(Vec<usize>, bool)> {
    let mut groups: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (row, &place) in rows.places.iter().enumerate() {
        let sample = samples[place];
        let group = sample.group_or_id();
        groups.entry(group).or_default().push(row);
    }
    let grouped = groups.len() < labels.len();
    let by_group = deal(groups.into_values().collect(), labels, folds, seed);
    if leaves_both(&by_group, labels) {
        return Ok((by_group, false));
    }
    let by_row = deal(
        (0..labels.len()).map(|row| vec![row]).collect(),
        labels,
        folds,
        seed,
    );
    if leaves_both(&by_row, labels) {
        return Ok((by_row, grouped));
    }
    let good = labels.iter().filter(|l| *l == GOOD).count();
    Err(Error::data(format!(
        "{good} good and {} defective pieces are too few to fit a classifier on",
        labels.len() - good
    ))
    .help("label more pieces, or train with --model draem"))
}

/// Deals units of rows out to folds in turn. Units of one class follow one
/// another, so that every fold gets its share of each.
fn deal(mut units: Vec<Vec<usize>>, labels: &[String], folds: usize, seed: Seed) -> Vec<usize> {
    units.shuffle(&mut seed.derive("fit.folds", 0).rng());
    units.sort_by_key(|rows| labels[rows[0]].clone());
    let folds = folds.min(units.len()).max(1);
    let mut fold = vec![0; labels.len()];
    for (i, rows) in units.iter().enumerate() {
        for &row in rows {
            fold[row] = i % folds;
        }
    }
    fold
}

/// Whether two good and two defective rows are left without any one fold.
fn leaves_both(fold: &[usize], labels: &[String]) -> bool {
    let folds = fold.iter().max().map_or(0, |m| m + 1);
    folds > 1
        && (0..folds).all(|part| {
            let outside = labels.iter().zip(fold).filter(|(_, f)| **f != part);
            let (good, bad): (Vec<_>, Vec<_>) = outside.partition(|(l, _)| *l == GOOD);
            good.len() >= 2 && bad.len() >= 2
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(text: &str) -> Vec<String> {
        text.chars()
            .map(|c| if c == 'g' { GOOD } else { "crack" }.to_string())
            .collect()
    }

    #[test]
    fn every_fold_leaves_good_and_defective_rows_to_fit_on() {
        let labels = labels("ggggggdddddd");
        let units = (0..12).map(|row| vec![row]).collect();
        let fold = deal(units, &labels, 3, Seed::new(1));
        assert!(leaves_both(&fold, &labels));
        for part in 0..3 {
            let good = fold
                .iter()
                .zip(&labels)
                .filter(|(f, l)| **f == part && *l == GOOD)
                .count();
            assert_eq!(good, 2);
        }
        // One group holds every defect: no fold of groups can do.
        let groups = vec![(0..6).collect(), (6..12).collect()];
        assert!(!leaves_both(
            &deal(groups, &labels, 3, Seed::new(1)),
            &labels
        ));
    }

    #[test]
    fn a_rule_counts_kept_back_good_pieces_for_those_the_anomaly_model_saw() {
        // Best F1: at 0.5 one good of two is rejected. With the good counted
        // thrice, 0.8 is better: 2/3 recall, no false reject.
        let scores = [0.1, 0.6, 0.5, 0.8, 0.9];
        let is_defect = [false, false, true, true, true];
        let settings = Settings::default();
        let held_out = fit_rule(&settings, 3, &scores, &is_defect).unwrap();
        let plain = fit_rule(&settings, 1, &scores, &is_defect).unwrap();
        assert!(plain.fail_at < 0.5, "{}", plain.fail_at);
        assert!(held_out.fail_at > 0.6, "{}", held_out.fail_at);
        assert!(held_out.basis.contains("counted 3 times"));
    }
}
