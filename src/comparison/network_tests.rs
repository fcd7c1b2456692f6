//! Supervised networks as arms: that they learn from no test piece, and that
//! they go the whole way, stopped and resumed, from the cache.

use super::supervised::{self, Answers};
use super::tests::{dataset, defective, divisions, swapped};
use super::*;
use crate::baseline::{self, BaselineOptions, Kind, PieceReader};
use crate::bundled;
use crate::classifier::ClassifierOptions;
use crate::data::annotation::GOOD;
use crate::data::augment::AugmentOptions;
use crate::data::dataset::OpenOptions;
use crate::data::image::Image;
use crate::data::sample::{Sample, SampleId};
use crate::metrics::roc_auc;
use crate::nn::cnn::{CnnLayer, CnnOptions};
use crate::progress::Silent;
use crate::random::Seed;
use crate::settings::MapFitting;
use ndarray::Array3;
use rand::Rng;
use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

fn tiny() -> BaselineOptions {
    BaselineOptions {
        size: 32,
        cnn: CnnOptions {
            layers: vec![CnnLayer {
                filters: 4,
                ..CnnLayer::default()
            }],
            dense: vec![4],
            ..CnnOptions::default()
        },
        augment: AugmentOptions::none(),
        batch: 8,
        epochs: 3,
        learning_rate: 2e-2,
        ..BaselineOptions::default()
    }
}

/// Noise, and as the last channel (a map, say) a plane of one value: by
/// `planted`, from the piece's place in the data set and a random number.
struct Planted<'a, F> {
    place: &'a HashMap<SampleId, usize>,
    planted: F,
}

impl<F: Fn(usize, f32) -> f32 + Sync> PieceReader for Planted<'_, F> {
    fn channels(&self) -> usize {
        2
    }

    fn has_map(&self) -> bool {
        true
    }

    fn read(&self, sample: &Sample) -> Result<Image> {
        let place = self.place[&sample.id];
        let mut rng = Seed::new(1).derive("piece", place as u64).rng();
        let plane = (self.planted)(place, rng.random());
        Image::new(Array3::from_shape_fn((2, 32, 32), |(c, _, _)| match c {
            0 => rng.random(),
            _ => plane,
        }))
    }
}

fn places(dataset: &Dataset) -> HashMap<SampleId, usize> {
    let ids = dataset.samples.iter().map(|s| s.id.clone());
    ids.zip(0..).collect()
}

/// What a network says of a fold, trained on pictures planted by one function
/// and asked about pictures planted by another. Labels are those of `view`.
fn said(
    view: &Dataset,
    division: &Division<'_>,
    training: impl Fn(usize, f32) -> f32 + Sync,
    test: impl Fn(usize, f32) -> f32 + Sync,
) -> Answers {
    let place = places(view);
    // Large enough to learn a plane's value in every fold.
    let cnn = CnnOptions {
        layers: vec![CnnLayer {
            filters: 8,
            ..CnnLayer::default()
        }],
        dense: vec![16],
        ..CnnOptions::default()
    };
    let options = BaselineOptions {
        cnn,
        epochs: 6,
        learning_rate: 1e-2,
        ..tiny()
    };
    let reader = Planted {
        place: &place,
        planted: training,
    };
    let test_reader = Planted {
        place: &place,
        planted: test,
    };
    let job = baseline::Job {
        kind: Kind::Cnn,
        options: &options,
        start: None,
        reader: &reader,
        seed: division.seed,
        device: &Device::Cpu,
        checkpoint: None,
    };
    let set = division.fitting.seen_in(view);
    let tested: Vec<&Sample> = division.test.iter().map(|&i| &view.samples[i]).collect();
    supervised::answers(&set, &job, &tested, &test_reader, &Silent)
        .unwrap()
        .unwrap()
}

/// ROC AUC over all folds.
fn auc_of(
    training: impl Fn(usize, f32) -> f32 + Sync + Copy,
    test: impl Fn(usize, f32) -> f32 + Sync + Copy,
) -> f64 {
    let dataset = dataset();
    let binary = dataset.seen_as(ClassView::Binary).unwrap();
    let place = places(&dataset);
    let divisions = divisions(&dataset, MapFitting::HeldOut);
    // Fold by fold: the probabilities of different networks do not compare.
    let each: Vec<f64> = divisions
        .iter()
        .map(|division| {
            let answers = said(&binary, division, training, test);
            let (scores, truth): (Vec<f64>, Vec<bool>) = answers
                .scores()
                .map(|(id, score)| (score, defective(&dataset, place[id])))
                .unzip();
            assert_eq!(scores.len(), division.test.len());
            roc_auc(&scores, &truth).unwrap()
        })
        .collect();
    each.iter().sum::<f64>() / each.len() as f64
}

/// As `tests::dataset` labels its pieces.
fn is_defect(place: usize) -> bool {
    place % 6 < 2
}

#[test]
fn a_map_that_tells_the_label_of_test_pieces_alone_is_of_no_use_to_a_network() {
    let tell = |i, _| f32::from(u8::from(is_defect(i)));
    let inverted = |i, _| f32::from(u8::from(!is_defect(i)));
    let noise = |_, noise| noise;
    let leaky = (auc_of(noise, tell) + auc_of(noise, inverted)) / 2.0;
    assert!((leaky - 0.5).abs() < 0.12, "{leaky}");
    // That the comparison can fail: told in training too, it is used.
    let honest = auc_of(tell, tell);
    assert!(honest > 0.99, "{honest}");
}

#[test]
fn labels_of_test_pieces_change_nothing_that_a_network_says() {
    let untouched = dataset();
    let division = &divisions(&untouched, MapFitting::HeldOut)[0];
    let noise = |_, noise| noise;
    let before = said(&untouched, division, noise, noise);
    assert_eq!(
        said(&swapped(&division.test), division, noise, noise),
        before
    );
    let trained = &division.fitting.indices()[..10];
    assert_ne!(said(&swapped(trained), division, noise, noise), before);
}

/// Grey pieces; a `spot` is bright, a `line` dark.
fn pieces(root: &Path) -> Dataset {
    for class in [GOOD, "line", "spot"] {
        std::fs::create_dir_all(root.join(class)).unwrap();
        for i in 0..if class == GOOD { 24 } else { 12 } {
            let picture = image::GrayImage::from_fn(32, 32, |x, y| {
                let noise = ((x * 7 + y * 13 + i * 29) % 23) as u8;
                match class {
                    "spot" if (6..16).contains(&x) && (6..16).contains(&y) => image::Luma([220]),
                    "line" if (12..16).contains(&y) => image::Luma([10]),
                    _ => image::Luma([80 + noise]),
                }
            });
            picture.save(root.join(format!("{class}/{i}.png"))).unwrap();
        }
    }
    Dataset::open(root, &OpenOptions::default()).unwrap()
}

fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.draem.size = 32;
    settings.draem.steps = 2;
    settings.draem.batch = 2;
    settings.draem.reconstructive_width = 2;
    settings.draem.discriminative_width = 2;
    settings.features.size = 32;
    settings.classifier = ClassifierOptions::logistic();
    settings.baseline = BaselineOptions {
        epochs: 2,
        ..tiny()
    };
    settings
}

/// Compares a CNN with logistic regression, from and into `cache`.
fn run(
    dataset: &Dataset,
    settings: &Settings,
    cache: &Cache,
    observer: &dyn Observer,
) -> Result<Comparison> {
    let options = ArmOptions {
        classifiers: vec![settings.classifier],
        defects: vec![100],
        networks: vec![Kind::Cnn],
        ..ArmOptions::default()
    };
    let (binary, arms, _) = views(dataset, options.arms()?)?;
    let networks = [StartingNetwork {
        network: Kind::Cnn,
        weights: None,
    }];
    let job = Job {
        dataset,
        binary: &binary,
        folds: 2,
        arms,
        settings,
        seed: 1,
        bootstrap: None,
        backbone: &bundled::backbone()?,
        networks: &networks,
        pictures: &[],
        limits: Limits::default(),
        device: &Device::Cpu,
        cache,
        jobs: 1,
    };
    check(&job)?;
    compare(&job, observer)
}

/// Asks to stop a few steps after a network's training has begun.
#[derive(Default)]
struct StopInTraining(AtomicUsize);

impl Observer for StopInTraining {
    fn detail(&self, text: &str) {
        if text.contains("training cnn") {
            self.0.store(1, Ordering::SeqCst);
        }
    }

    fn stop_requested(&self) -> bool {
        let asked = self.0.load(Ordering::SeqCst);
        if asked > 0 {
            self.0.store(asked + 1, Ordering::SeqCst);
        }
        asked > 3
    }
}

fn entries(cache: &Cache, kind: &str, ending: &str) -> usize {
    let entries = std::fs::read_dir(cache.folder().join(kind));
    let of = |e: &std::fs::DirEntry| e.path().extension().is_some_and(|x| x == ending);
    entries.into_iter().flatten().flatten().filter(of).count()
}

#[test]
fn networks_are_compared_in_the_same_folds_stopped_resumed_and_cached() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = pieces(&folder.path().join("pieces"));
    let cache = |name: &str| Cache::new(&folder.path().join(name));
    let whole = cache("whole");
    let compared = run(&dataset, &settings(), &whole, &Silent).unwrap();
    let json = |c: &Comparison| serde_json::to_string(c).unwrap();
    let networks: Vec<_> = compared
        .arms
        .iter()
        .filter(|a| a.name.classifier == "cnn")
        .collect();
    let inputs: BTreeSet<_> = networks
        .iter()
        .map(|a| (a.name.task, a.name.input))
        .collect();
    assert_eq!((networks.len(), inputs.len()), (4, 4));
    for arm in &networks {
        assert!(arm.not_fitted.is_empty(), "{:?}", arm.name);
        assert_eq!(arm.predictions.len(), dataset.samples.len());
        assert!(arm.measures["roc_auc"].mean.is_some());
    }
    // Beside the map, and beside the other classifier, all else equal.
    let factors: BTreeSet<&str> = compared
        .differences
        .iter()
        .filter(|d| {
            [d.a, d.b]
                .iter()
                .any(|&a| compared.arms[a].name.classifier == "cnn")
        })
        .map(|d| d.factor)
        .collect();
    assert!(
        factors.contains("classifier") && factors.contains("input"),
        "{factors:?}"
    );
    assert!(compared.notes.iter().any(|n| n.contains("supervised")));
    assert_eq!(entries(&whole, "networks", "data"), 8);

    // Another threshold trains no network anew.
    let mut other = settings();
    other.decision.fail = crate::decision::Criterion::Fixed(0.25);
    let again = run(&dataset, &other, &whole, &Silent).unwrap();
    assert_eq!(entries(&whole, "networks", "data"), 8);
    let thresholds = again.arms.iter().filter(|a| a.name.task == "binary");
    let thresholds: Vec<_> = thresholds
        .flat_map(|a| &a.predictions)
        .map(|p| p.threshold)
        .collect();
    assert!(thresholds.iter().all(|t| *t == Some(0.25)));

    // Stopped in the midst of a network's training, then resumed.
    let stopped = cache("stopped");
    let ended = run(&dataset, &settings(), &stopped, &StopInTraining::default());
    assert!(matches!(ended, Err(Error::Stopped)));
    assert_eq!(entries(&stopped, "networks", "checkpoint"), 1);
    let resumed = run(&dataset, &settings(), &stopped, &Silent).unwrap();
    assert_eq!(json(&resumed), json(&compared));
    assert_eq!(entries(&stopped, "networks", "checkpoint"), 0);
}

#[test]
fn maps_to_train_on_are_of_the_pieces_fitted_on_and_of_no_test_piece() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = pieces(&folder.path().join("pieces"));
    let cache = Cache::new(&folder.path().join("cache"));
    let settings = settings();
    let backbone = bundled::backbone().unwrap();
    let limits = Limits::default();
    let stages = Stages::new(
        &dataset,
        &settings,
        &backbone,
        &[],
        limits,
        1,
        &Device::Cpu,
        &cache,
        &Silent,
    )
    .unwrap();
    let seed = stages::root(1);
    let fold = &Fold::k_fold(&dataset, 3, seed).unwrap()[0];
    for maps in [MapFitting::HeldOut, MapFitting::CrossFit] {
        let mut options = settings.fitting.clone();
        options.maps = maps;
        options.cross_fit_parts = 2;
        let division = Division::new(&dataset, fold, 0, &options, seed).unwrap();
        let costs = Costs {
            model: 0.0,
            draw: 0.0,
            map_features: 0.0,
            image_features: 0.0,
            fits: Default::default(),
        };
        let drawn = stages.maps(&division, 32, &costs, &Silent).unwrap();
        let ids = |of: &[usize]| {
            of.iter()
                .map(|&i| &dataset.samples[i].id)
                .collect::<BTreeSet<_>>()
        };
        assert_eq!(drawn.fitting.ids(), ids(division.fitting.indices()));
        assert_eq!(drawn.test.ids(), ids(&division.test));
        assert!(drawn.fitting.ids().is_disjoint(&drawn.test.ids()));
    }
}
