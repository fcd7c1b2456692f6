//! Features: a picture drawn for pretraining, one and eight pictures through
//! the bundled backbone and a ResNet-18 of full width, statistics of a map.
//!
//! ```text
//! cargo bench --bench features
//! ```

use candle_core::Device;
use criterion::{Criterion, criterion_group, criterion_main};
use goma::data::anomaly_map::AnomalyMap;
use goma::data::image::Image;
use goma::extract::{Backbone, choice, map_statistics};
use goma::nn::init::Init;
use goma::nn::resnet::{Depth, ResNetConfig};
use goma::nn::weights::{Weight, WeightFile};
use goma::pretrain::textures::picture;
use goma::random::Seed;
use ndarray::{Array2, Array3};
use std::collections::BTreeMap;
use std::hint::black_box;

fn image(channels: usize, index: usize) -> Image {
    let at =
        |(c, y, x): (usize, usize, usize)| ((c * 7 + y * 3 + x * 5 + index) % 13) as f32 / 13.0;
    Image::new(Array3::from_shape_fn((channels, 224, 224), at)).expect("finite pixels")
}

/// torchvision's ResNet-18, untrained.
fn full_width() -> WeightFile {
    let config = ResNetConfig::standard(Depth::Resnet18, 3);
    let weights = config.parameters().into_iter().map(|(name, shape)| {
        let init = match (shape.len(), name.ends_with("running_var")) {
            (4, _) => Init::KaimingNormalFanOut,
            (_, true) => Init::Constant(1.0),
            _ => Init::Constant(0.1),
        };
        let seed = Seed::new(1).derive(&name, 0);
        let drawn = init.draw(shape.clone(), seed, &Device::Cpu).expect("drawn");
        let values = drawn
            .flatten_all()
            .and_then(|t| t.to_vec1())
            .expect("on the CPU");
        (name, Weight { shape, values })
    });
    WeightFile {
        weights: weights.collect(),
        sha256: String::new(),
        metadata: BTreeMap::new(),
    }
}

fn bench(c: &mut Criterion) {
    let mut index = 0;
    c.bench_function("pretraining picture 72x72", |b| {
        b.iter(|| {
            index += 1;
            black_box(picture(&Seed::new(1), index, 72))
        });
    });
    let bundled = choice::bundled().expect("the bundled weights");
    for (name, weights) in [("bundled", bundled), ("resnet18", full_width())] {
        let backbone = Backbone::new(name, &weights, 6, &Device::Cpu).expect("sound weights");
        for count in [1, 8] {
            let images: Vec<Image> = (0..count).map(|i| image(6, i)).collect();
            c.bench_function(&format!("features {name} 6x224x224 batch {count}"), |b| {
                b.iter(|| black_box(backbone.features(&images, 224).expect("features")));
            });
        }
    }
    let values = Array2::from_shape_fn((256, 256), |(y, x)| ((y * x) % 97) as f32 / 97.0);
    let map = AnomalyMap::new(values).expect("finite values");
    c.bench_function("statistics of a 256x256 map", |b| {
        b.iter(|| black_box(map_statistics(&map)));
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = bench
}
criterion_main!(benches);
