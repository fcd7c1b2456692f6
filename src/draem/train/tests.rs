//! Training as a whole: resuming, threads, order.

use super::state::Progress;
use super::*;
use crate::progress::Silent;
use std::sync::atomic::{AtomicUsize, Ordering};

fn tiny() -> DraemOptions {
    DraemOptions {
        size: 32,
        reconstructive_width: 2,
        discriminative_width: 2,
        steps: 6,
        batch: 2,
        warmup: 2,
        validations: 2,
        ..DraemOptions::default()
    }
}

fn images() -> Vec<Array3<f32>> {
    images_of(32)
}

fn images_of(size: usize) -> Vec<Array3<f32>> {
    (0..8)
        .map(|i| {
            Array3::from_shape_fn((2, size, size), |(c, y, x)| {
                ((c * 5 + i + y / 4 + x / 8) % 7) as f32 / 7.0
            })
        })
        .collect()
}

/// Asks to stop after some questions.
struct StopAfter(AtomicUsize);

impl Observer for StopAfter {
    fn stop_requested(&self) -> bool {
        self.0.fetch_sub(1, Ordering::SeqCst) == 0
    }
}

/// Trains on the first pieces and validates on the rest.
fn train(
    options: &DraemOptions,
    seed: Seed,
    checkpoint: Option<&Checkpoint>,
    observer: &dyn Observer,
) -> Result<(Draem, History)> {
    train_within(&[], options, seed, checkpoint, observer)
}

/// As [`train`], begun with another model's weights and without validation.
fn train_from(start: &Draem, options: &DraemOptions) -> Result<Draem> {
    let images = images_of(options.size);
    let pieces = Pieces {
        train: &images,
        regions: &[],
        validation: &[],
    };
    let watch = Watch {
        checkpoint: None,
        recorder: None,
        observer: &Silent,
    };
    let source = AnomalySource::textures().with_pieces(images.clone().into());
    let (start, seed, device) = (Some(start), Seed::new(2), Device::Cpu);
    let trained = fit(pieces, start, &source, options, seed, &device, watch);
    trained.map(|(draem, _)| draem)
}

/// As [`train`], with losses inside regions alone.
fn train_within(
    regions: &LossRegions,
    options: &DraemOptions,
    seed: Seed,
    checkpoint: Option<&Checkpoint>,
    observer: &dyn Observer,
) -> Result<(Draem, History)> {
    let images = images();
    let (train, validation) = images.split_at(6);
    let pieces = Pieces {
        train,
        regions,
        validation,
    };
    fit(
        pieces,
        None,
        &AnomalySource::textures().with_pieces(train.to_vec().into()),
        options,
        seed,
        &Device::Cpu,
        Watch {
            checkpoint,
            recorder: None,
            observer,
        },
    )
}

/// Stops at each step in turn and goes on: all that a run keeps must be that of
/// a run without a stop, to the byte (the checkpoint holds weights, average,
/// optimiser, best weights, validations and what was left out).
#[test]
fn a_stopped_and_resumed_training_is_that_without_a_stop_to_the_byte() {
    let options = DraemOptions {
        steps: 7,
        validations: 3,
        ema: 0.5,
        contamination: 0.4,
        ..tiny()
    };
    let dir = tempfile::tempdir().unwrap();
    let checkpoint = |name: &str| Checkpoint {
        path: dir.path().join(name),
        resume: true,
        fingerprint: "a".into(),
    };
    let straight = checkpoint("straight");
    let (model, history) = train(&options, Seed::new(1), Some(&straight), &Silent).unwrap();
    assert_eq!(history.validations.len(), 3);
    assert_eq!(history.siftings.len(), 3);
    assert!(history.kept_step.is_some());
    let expected = std::fs::read(&straight.path).unwrap();
    for stop in 1..7 {
        let halting = checkpoint(&format!("halting-{stop}"));
        let stopping = StopAfter(AtomicUsize::new(stop));
        let stopped = train(&options, Seed::new(1), Some(&halting), &stopping);
        assert!(matches!(stopped, Err(Error::Stopped)));
        let (resumed, again) = train(&options, Seed::new(1), Some(&halting), &Silent).unwrap();
        assert_eq!(
            model.to_safetensors().unwrap(),
            resumed.to_safetensors().unwrap()
        );
        assert_eq!(history, again);
        assert!(expected == std::fs::read(&halting.path).unwrap(), "{stop}");
    }
    let other = Checkpoint {
        fingerprint: "b".into(),
        ..straight
    };
    assert!(train(&options, Seed::new(1), Some(&other), &Silent).is_err());
}

#[test]
fn a_training_begins_with_the_weights_of_another() {
    let (start, _) = train(&tiny(), Seed::new(1), None, &Silent).unwrap();
    let before = start.to_safetensors().unwrap();
    let options = DraemOptions {
        steps: 1,
        ema: 0.0,
        warmup: 0,
        ..tiny()
    };
    // Adam moves each weight by the learning rate at most in its first step.
    let moved = |learning_rate: f64| {
        let options = DraemOptions {
            learning_rate,
            ..options.clone()
        };
        let rate = options.learning_rate_at(0) as f32;
        let weights = train_from(&start, &options).unwrap().weights();
        let mut moved: f32 = 0.0;
        for (name, from) in start.weights() {
            if !name.contains("running") {
                let distance = (&weights[&name] - from).unwrap().abs().unwrap();
                moved = moved.max(distance.max_all().unwrap().to_scalar().unwrap());
            }
        }
        moved / rate
    };
    for rate in [1e-5, 1e-3] {
        assert!((0.9..1.1).contains(&moved(rate)), "{}", moved(rate));
    }
    assert!(before == start.to_safetensors().unwrap());
    let wider = DraemOptions {
        reconstructive_width: 3,
        ..options
    };
    let refused = train_from(&start, &wider).unwrap_err().to_string();
    assert!(refused.contains("has widths 2 and 2"), "{refused}");
}

#[test]
fn a_training_goes_on_at_another_size() {
    let (start, _) = train(&tiny(), Seed::new(1), None, &Silent).unwrap();
    let larger = DraemOptions {
        size: 64,
        steps: 1,
        ema: 0.0,
        warmup: 0,
        learning_rate: 1e-6,
        ..tiny()
    };
    let model = train_from(&start, &larger).unwrap();
    assert_eq!(model.shape().size, 64);
    // One step at that rate leaves the weights where they were.
    let weights = model.weights();
    for (name, from) in start.weights() {
        if !name.contains("running") {
            let distance = (&weights[&name] - from).unwrap().abs().unwrap();
            let distance: f32 = distance.max_all().unwrap().to_scalar().unwrap();
            assert!(distance < 2e-6, "{name}: {distance}");
        }
    }
}

#[test]
fn the_weights_of_the_best_validation_are_kept() {
    // A learning rate that ruins what the first steps have learnt.
    let options = DraemOptions {
        steps: 8,
        validations: 4,
        learning_rate: 0.9,
        warmup: 0,
        clip: 0.0,
        ema: 0.0,
        ..tiny()
    };
    let (model, history) = train(&options, Seed::new(5), None, &Silent).unwrap();
    let kept = history.kept_step.unwrap();
    let best = history.validations.iter().find(|r| r.step == kept).unwrap();
    for row in &history.validations {
        assert!(best.at_least_as_good_as(row) || row.pixel_ap == best.pixel_ap);
    }
    // They are the weights that the run had at that step: those of the same run
    // stopped there.
    let dir = tempfile::tempdir().unwrap();
    let checkpoint = Checkpoint {
        path: dir.path().join("checkpoint"),
        resume: true,
        fingerprint: String::new(),
    };
    let stopping = StopAfter(AtomicUsize::new(kept));
    let _ = train(&options, Seed::new(5), Some(&checkpoint), &stopping);
    let saved = checkpoint.read::<Progress>(&Device::Cpu).unwrap();
    let weights = saved.unwrap().take("weights");
    let then = Draem::new(model.shape(), weights, &Device::Cpu).unwrap();
    assert_eq!(
        model.to_safetensors().unwrap(),
        then.to_safetensors().unwrap()
    );
}

#[test]
fn pieces_that_are_left_out_are_trained_on_no_more() {
    let options = DraemOptions {
        steps: 10,
        contamination: 0.4,
        ..tiny()
    };
    let (_, history) = train(&options, Seed::new(3), None, &Silent).unwrap();
    let left_out: Vec<usize> = history
        .siftings
        .iter()
        .flat_map(|s| s.left_out.clone())
        .collect();
    assert_eq!(left_out.len(), 3); // of each part of two 0.4, rounded
    let (_, without) = train(&tiny(), Seed::new(3), None, &Silent).unwrap();
    assert!(without.siftings.is_empty());
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| {
            let (model, history) = train(&tiny(), Seed::new(2), None, &Silent).unwrap();
            (model.to_safetensors().unwrap(), history)
        })
    };
    assert!(with(1) == with(3));
}

#[test]
fn every_image_comes_once_before_any_comes_again() {
    let mut order = Order::new((0..5).collect(), Seed::new(3));
    let mut seen = Vec::new();
    for step in 0..5 {
        order.prepare(step * 2, 2);
        seen.extend([order.at(step * 2), order.at(step * 2 + 1)]);
    }
    for round in seen.chunks(5) {
        let mut round = round.to_vec();
        round.sort_unstable();
        assert_eq!(round, [0, 1, 2, 3, 4]);
    }
}

#[test]
fn losses_are_taken_in_the_regions_given() {
    let train = |regions: &LossRegions| {
        train_within(regions, &tiny(), Seed::new(4), None, &Silent)
            .map(|(draem, history)| (draem.to_safetensors().unwrap(), history.losses))
    };
    let (everywhere, losses) = train(&[]).unwrap();
    let all = Arc::new(Array2::from_elem((32, 32), true));
    let (_, of_all) = train(&vec![all; 6]).unwrap();
    assert!((losses[0].total - of_all[0].total).abs() < 1e-5);
    let left = Arc::new(Array2::from_shape_fn((32, 32), |(_, x)| x < 16));
    let (inside, _) = train(&vec![left.clone(); 6]).unwrap();
    assert_ne!(everywhere, inside);
    assert!(train(&[left]).is_err(), "one region for six images");
}
