use super::*;
use crate::baseline::balance::Balance;
use crate::data::augment::AugmentOptions;
use crate::data::dataset::{Dataset, OpenOptions};
use crate::data::fold::Fold;
use crate::data::reader::{ImageReader, Limits};
use crate::nn::cnn::{CnnLayer, CnnOptions};
use crate::progress::Silent;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Grey pieces of 32 x 32; defective ones have a bright square.
fn pieces(root: &Path, per_class: usize) -> Dataset {
    for class in ["good", "spot"] {
        std::fs::create_dir_all(root.join(class)).unwrap();
        for i in 0..per_class {
            let picture = image::GrayImage::from_fn(32, 32, |x, y| {
                let noise = (x * 7 + y * 13 + i as u32 * 29) % 23;
                let (sx, sy) = (4 + i as u32 % 16, 5 + i as u32 * 3 % 14);
                let spot =
                    class == "spot" && (sx..sx + 8).contains(&x) && (sy..sy + 8).contains(&y);
                image::Luma([if spot { 220 } else { 80 + noise as u8 }])
            });
            picture.save(root.join(format!("{class}/{i}.png"))).unwrap();
        }
    }
    Dataset::open(root, &OpenOptions::default()).unwrap()
}

fn tiny() -> BaselineOptions {
    let layer = |filters, dropout| CnnLayer {
        filters,
        dropout,
        ..CnnLayer::default()
    };
    BaselineOptions {
        size: 32,
        cnn: CnnOptions {
            layers: vec![layer(4, 0.0), layer(8, 0.1)],
            dense: vec![8],
            ..CnnOptions::default()
        },
        dropout: 0.1,
        batch: 4,
        epochs: 3,
        learning_rate: 5e-3,
        ..BaselineOptions::default()
    }
}

fn train<'a>(
    dataset: &'a Dataset,
    options: &BaselineOptions,
    checkpoint: Option<Checkpoint>,
    observer: &dyn Observer,
) -> Result<Fitted<'a>> {
    let reader = ImageReader::new(dataset.format.clone(), Limits::default());
    let job = Job {
        kind: Kind::Cnn,
        options,
        start: None,
        reader: &reader,
        seed: Seed::new(5),
        device: &Device::Cpu,
        checkpoint,
    };
    fit(&Fold::everything(dataset).training(dataset), &job, observer)
}

/// Asks to stop after some questions.
struct StopAfter(AtomicUsize);

impl Observer for StopAfter {
    fn stop_requested(&self) -> bool {
        self.0.fetch_sub(1, Ordering::SeqCst) == 0
    }
}

#[test]
fn a_stopped_and_resumed_training_ends_in_the_same_weights() {
    let dir = tempfile::tempdir().unwrap();
    let dataset = pieces(dir.path(), 10);
    for optimiser in [
        crate::baseline::OptimiserKind::Adamw,
        crate::baseline::OptimiserKind::Sgd,
    ] {
        let options = BaselineOptions {
            optimiser,
            ..tiny()
        };
        let whole = train(&dataset, &options, None, &Silent).unwrap();
        for steps in [2, 5] {
            let checkpoint = Checkpoint {
                path: dir.path().join(format!("{optimiser:?}-{steps}.checkpoint")),
                resume: true,
                fingerprint: "a".into(),
            };
            let stop = StopAfter(AtomicUsize::new(steps));
            let stopped = train(&dataset, &options, Some(checkpoint.clone()), &stop);
            assert!(matches!(stopped, Err(Error::Stopped)));
            let resumed = train(&dataset, &options, Some(checkpoint.clone()), &Silent).unwrap();
            assert_eq!(
                whole.baseline.to_safetensors().unwrap(),
                resumed.baseline.to_safetensors().unwrap()
            );
            assert_eq!(whole.curve, resumed.curve);
            let other = Checkpoint {
                fingerprint: "b".into(),
                ..checkpoint
            };
            assert!(train(&dataset, &options, Some(other), &Silent).is_err());
        }
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let dataset = pieces(dir.path(), 8);
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| {
            let fitted = train(&dataset, &tiny(), None, &Silent).unwrap();
            fitted.baseline.to_safetensors().unwrap()
        })
    };
    assert_eq!(with(1), with(3));
}

#[test]
fn bright_spots_are_learnt_and_looked_at() {
    let dir = tempfile::tempdir().unwrap();
    let dataset = pieces(dir.path(), 24);
    let options = BaselineOptions {
        epochs: 12,
        dropout: 0.0,
        balance: Balance::Resample,
        augment: AugmentOptions {
            rotation: 0.0,
            ..AugmentOptions::default()
        },
        ..tiny()
    };
    let fitted = train(&dataset, &options, None, &Silent).unwrap();
    let best = fitted.curve.iter().rfind(|row| row.best).unwrap();
    assert!(best.validation_auc_pr > 0.95, "{:?}", fitted.curve);
    let reader = ImageReader::new(dataset.format.clone(), Limits::default());
    let sample = dataset
        .samples
        .iter()
        .find(|s| s.label() == Some("spot"))
        .unwrap();
    let image = reader.read(sample).unwrap();
    let alone = fitted
        .baseline
        .inspect(std::slice::from_ref(&image))
        .unwrap();
    let (prediction, map) = &alone[0];
    assert_eq!(map.values().dim(), (32, 32));
    assert!(map.values().iter().all(|v| (0.0..1.0).contains(v)));
    // A piece gives the same alone and among others, with and without a map.
    let both = fitted
        .baseline
        .inspect(&[image.clone(), image.clone()])
        .unwrap();
    assert_eq!(both[1].1, *map);
    assert_eq!(fitted.baseline.predict(&[image]).unwrap()[0], *prediction);
}

#[test]
fn a_last_piece_alone_is_left_out() {
    let lengths = |n, batch| -> Vec<usize> { batches(n, batch).iter().map(|b| b.len()).collect() };
    assert_eq!(lengths(9, 4), [4, 4]);
    assert_eq!(lengths(10, 4), [4, 4, 2]);
    assert_eq!(lengths(1, 4), [1]);
}

#[test]
fn training_ends_early_when_nothing_improves() {
    let dir = tempfile::tempdir().unwrap();
    let dataset = pieces(dir.path(), 8);
    let options = BaselineOptions {
        epochs: 40,
        early_stopping: 2,
        learning_rate: 1e-9,
        ..tiny()
    };
    let fitted = train(&dataset, &options, None, &Silent).unwrap();
    let n = fitted.curve.len();
    assert!(
        n < 40 && !fitted.curve[n - 1].best && !fitted.curve[n - 2].best,
        "{n}"
    );
}

#[test]
fn one_class_alone_cannot_be_trained_on() {
    let dir = tempfile::tempdir().unwrap();
    pieces(dir.path(), 6);
    std::fs::remove_dir_all(dir.path().join("spot")).unwrap();
    let dataset = Dataset::open(
        dir.path(),
        &OpenOptions {
            layout: Some(crate::data::layout::Layout::Folders),
            ..OpenOptions::default()
        },
    );
    let dataset = dataset.unwrap();
    let error = train(&dataset, &tiny(), None, &Silent)
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("two classes"), "{error}");
}
