//! Inspecting pieces with the bundled model, from pixels to decision, and
//! drawing their heatmaps.

use candle_core::Device;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use goma::bundled;
use goma::data::image::Image;
use goma::data::sample::SampleId;
use goma::random::Seed;
use goma::report::heatmap::heatmap_png;
use goma::synth::{SynthOptions, piece};
use std::hint::black_box;

fn bench(c: &mut Criterion) {
    let pipeline = bundled::eraser(&Device::Cpu)
        .expect("the bundled model is whole")
        .pipeline;
    let images: Vec<Image> = (0..8)
        .map(|i| {
            let piece = piece(&SynthOptions::default(), Seed::new(1), i);
            Image::new(piece.pixels.map(|&v| f32::from(v) / 255.0)).expect("finite pixels")
        })
        .collect();
    let ids: Vec<SampleId> = (0..8).map(|i| SampleId::new(i.to_string())).collect();
    let mut group = c.benchmark_group("eraser");
    group.sample_size(10).throughput(Throughput::Elements(8));
    group.bench_function("inspect 8 pieces", |b| {
        b.iter(|| black_box(pipeline.inspect(&ids, &images).expect("six channels")));
    });
    let found = pipeline.inspect(&ids, &images).expect("six channels");
    group.bench_function("heatmaps of 8 pieces", |b| {
        b.iter(|| {
            for (image, inspection) in images.iter().zip(&found) {
                black_box(heatmap_png(image, &inspection.map, &pipeline.scale).expect("a picture"));
            }
        });
    });
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
