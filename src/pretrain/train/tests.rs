use super::*;
use crate::progress::Silent;
use std::sync::atomic::{AtomicU64, Ordering};

fn tiny() -> PretrainOptions {
    PretrainOptions {
        width: 2,
        steps: 6,
        batch: 4,
        sides: vec![32],
        warm_up: 1,
        held_out: 8,
        ..PretrainOptions::default()
    }
}

/// Asks to stop after some steps.
struct StopAfter(AtomicU64);

impl Observer for StopAfter {
    fn advance(&self, steps: u64) {
        let left = self.0.load(Ordering::Relaxed);
        self.0.store(left.saturating_sub(steps), Ordering::Relaxed);
    }
    fn stop_requested(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

#[test]
fn an_interrupted_run_ends_in_the_same_weights() {
    let fit = |folder: &Path, start, observer: &dyn Observer| {
        tiny().fit(folder, start, &Device::Cpu, observer).unwrap()
    };
    let (whole, broken) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fit(whole.path(), Start::Fresh, &Silent);
    let stopped = fit(broken.path(), Start::Fresh, &StopAfter(AtomicU64::new(3)));
    assert_eq!(stopped, Outcome::Stopped { step: 3 });
    fit(broken.path(), Start::Resume, &Silent);
    for file in ["goma-resnet18-w2.safetensors", "pretrain.json"] {
        let read = |dir: &tempfile::TempDir| std::fs::read(dir.path().join(file)).unwrap();
        assert!(read(&whole) == read(&broken), "{file}");
    }
    assert!(!broken.path().join(CHECKPOINT).exists());
}

#[test]
fn even_scores_cost_the_logarithm_of_the_number_of_classes() {
    let scores = Tensor::zeros((3, 5), candle_core::DType::F32, &Device::Cpu).unwrap();
    let task = task(&scores, &[0, 1, 4], 0.1).unwrap();
    let loss = f64::from(task.loss.to_scalar::<f32>().unwrap());
    assert!((loss - 5f64.ln()).abs() < 1e-6);
}
