//! The anomaly model: simulating a defect, a training step, drawing a map.

use candle_core::Device;
use criterion::{Criterion, criterion_group, criterion_main};
use goma::data::image::Image;
use goma::draem::simulate::simulate;
use goma::draem::train::{self, Pieces, Watch};
use goma::draem::{AnomalySource, DraemOptions, SimulationOptions};
use goma::progress::Silent;
use goma::random::Seed;
use ndarray::Array3;
use std::hint::black_box;

fn pieces(size: usize) -> Vec<Array3<f32>> {
    (0..8)
        .map(|i| {
            Array3::from_shape_fn((6, size, size), |(c, y, x)| {
                ((c * 3 + i + y / 7 + x / 5) % 11) as f32 / 11.0
            })
        })
        .collect()
}

fn bench(c: &mut Criterion) {
    let good = pieces(128);
    let source = AnomalySource::textures();
    let mut index = 0;
    c.bench_function("simulate 6 x 128 x 128", |b| {
        b.iter(|| {
            index += 1;
            let seed = Seed::new(0).derive("bench", index);
            black_box(simulate(
                good[0].view(),
                &source,
                &SimulationOptions::default(),
                seed,
            ))
        });
    });
    // Training steps differ from the optimiser's set-up by far: ten steps a run.
    let options = DraemOptions {
        steps: 10,
        ..DraemOptions::default()
    };
    let fit = || {
        train::fit(
            Pieces {
                regions: &[],
                train: &good,
                validation: &[],
            },
            None,
            &source,
            &options,
            Seed::new(0),
            &Device::Cpu,
            Watch {
                checkpoint: None,
                recorder: None,
                observer: &Silent,
            },
        )
        .expect("the images fit the options")
    };
    let mut group = c.benchmark_group("fast");
    group.sample_size(10);
    group.bench_function("10 training steps of 8", |b| b.iter(|| black_box(fit())));
    let (draem, _) = fit();
    let images: Vec<Image> = good
        .iter()
        .map(|p| Image::new(p.clone()).expect("finite"))
        .collect();
    group.bench_function("maps of 8 pieces", |b| {
        b.iter(|| black_box(draem.draw(&images).expect("same channels")));
    });
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
