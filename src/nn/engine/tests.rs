//! The engine against the networks it stands for, on every instruction set of
//! this machine.

use super::super::kernels::simd::Level;
use super::*;
use crate::draem::network::Networks;
use crate::nn::layers::{BatchNorm2d, Conv2d, ConvShape, Mode};
use crate::nn::parameters::Parameters;
use crate::nn::resnet::{Depth, ResNet, ResNetConfig};
use crate::nn::{init::Init, ops};
use crate::random::Seed;
use candle_core::{Device, Tensor};
use half::bf16;
use proptest::prelude::*;
use rand::Rng;
use std::collections::HashMap;

mod bfloat16;

fn picture(channels: usize, height: usize, width: usize, seed: u64) -> Vec<f32> {
    let mut rng = Seed::new(seed).rng();
    (0..channels * height * width)
        .map(|_| rng.random::<f32>())
        .collect()
}

/// Parameters as of a trained network: statistics and shifts are not 0 or 1.
fn lived_in(parameters: &Parameters) {
    let mut rng = Seed::new(77).rng();
    let values: HashMap<String, Tensor> = parameters
        .tensors()
        .into_iter()
        .map(|(name, tensor)| {
            let tensor = tensor.detach();
            let shifted = if name.ends_with("running_var") {
                (tensor * rng.random_range(0.5..1.5)).unwrap()
            } else if tensor.rank() == 1 {
                (tensor + rng.random_range(-0.2..0.2)).unwrap()
            } else {
                tensor.copy().unwrap()
            };
            (name, shifted)
        })
        .collect();
    parameters.load(&values).unwrap();
}

fn assert_close(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(1e-3f32, |m, v| m.max(v.abs()));
    for (i, (a, b)) in found.iter().zip(expected).enumerate() {
        // Folding and Winograd round differently: 1e-5 of the largest value
        // after some twenty layers.
        assert!((a - b).abs() < 3e-5 * scale, "{what}, value {i}: {a} {b}");
    }
}

/// In bfloat16: the largest error as a share of the largest value.
fn assert_near(found: &[f32], expected: &[f32], tolerance: f32, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(1e-3f32, |m, v| m.max(v.abs()));
    let errors = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    let worst = errors.fold(0.0f32, |m, e| if e <= m { m } else { e });
    assert!(worst <= tolerance * scale, "{what}: {worst} of {scale}");
}

/// Every unit of this machine, without and with Winograd's transformation.
fn in_bfloat16() -> impl Iterator<Item = (Unit, Transformed)> {
    let ways = [Transformed::Nowhere, Transformed::WherePossible];
    Unit::available()
        .into_iter()
        .flat_map(move |unit| ways.map(|way| (unit, way)))
}

/// An engine whose memory holds NaN, as if an earlier picture had left it.
fn spoilt(graph: Graph, unit: Unit, transformed: Transformed) -> Engine {
    let engine = Engine::with_unit(graph, unit, transformed);
    if let Passes::Bfloat16(cache) = &engine.passes {
        cache.lock_arenas().push(vec![bf16::NAN; 1 << 22]);
    }
    engine
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn draem_is_the_trained_network_at_any_width() {
    for (channels, wide, narrow, size) in [(6, 16, 8, 64), (3, 5, 3, 32), (1, 32, 16, 96)] {
        let parameters = Parameters::new(Seed::new(3), &Device::Cpu);
        let networks = Networks::new(&parameters.root(), channels, wide, narrow).unwrap();
        // Weights of N(0, 0.02) shrink the signal to rounding: use larger ones.
        let larger: HashMap<String, Tensor> = parameters
            .tensors()
            .into_iter()
            .map(|(name, t)| match t.dims() {
                &[_, c, 3, 3] => (name, (t * (50.0 * (2.0 / (9 * c) as f64).sqrt())).unwrap()),
                _ => (name, t.copy().unwrap()),
            })
            .collect();
        parameters.load(&larger).unwrap();
        lived_in(&parameters);
        let x = picture(channels, size, size, 4);
        let tensor = Tensor::from_slice(&x, (1, channels, size, size), &Device::Cpu).unwrap();
        let restored = networks
            .reconstructive
            .forward(&tensor, Mode::Eval)
            .unwrap();
        let classes = networks
            .discriminative
            .forward(&restored, &tensor, Mode::Eval)
            .unwrap();
        for level in Level::available() {
            let engine = Engine::with_level(networks.graph(channels).unwrap(), level);
            let outputs = &engine.run(&[&x], size, size).unwrap()[0];
            assert_close(
                &outputs[0],
                &values(&restored),
                &format!("{level:?} restored"),
            );
            assert_close(
                &outputs[1],
                &values(&classes),
                &format!("{level:?} classes"),
            );
        }
        for (unit, way) in in_bfloat16() {
            let engine = spoilt(networks.graph(channels).unwrap(), unit, way);
            let outputs = &engine.run(&[&x], size, size).unwrap()[0];
            let what = format!("{unit:?} {way:?} {wide}");
            assert_near(&outputs[0], &values(&restored), 0.05, &what);
            assert_near(&outputs[1], &values(&classes), 0.05, &what);
        }
    }
}

#[test]
fn resnets_are_the_trained_networks_at_odd_sizes() {
    for (depth, width, channels) in [
        (Depth::Resnet18, 32, 6),
        (Depth::Resnet18, 5, 1),
        (Depth::Resnet50, 8, 3),
    ] {
        let config = ResNetConfig {
            depth,
            width,
            channels,
        };
        let parameters = Parameters::new(Seed::new(5), &Device::Cpu);
        let network = ResNet::new(&parameters.root(), &config).unwrap();
        lived_in(&parameters);
        for (height, width) in [(77, 64), (155, 33)] {
            let x = picture(channels, height, width, 6);
            let tensor =
                Tensor::from_slice(&x, (1, channels, height, width), &Device::Cpu).unwrap();
            let expected = values(&network.forward(&tensor, Mode::Eval).unwrap());
            for level in Level::available() {
                let engine = Engine::with_level(network.graph().unwrap(), level);
                let found = &engine.run(&[&x], height, width).unwrap()[0][0];
                assert_close(found, &expected, &format!("{depth} {level:?} {height}"));
            }
            for (unit, way) in in_bfloat16() {
                let engine = spoilt(network.graph().unwrap(), unit, way);
                let found = &engine.run(&[&x], height, width).unwrap()[0][0];
                let what = format!("{depth} {unit:?} {way:?} {height}");
                assert_near(found, &expected, 0.02, &what);
            }
        }
    }
}

/// Two convolutions with so many weights that threads share out the channels:
/// Winograd's of few tiles, and a direct one.
fn of_many_weights() -> Graph {
    let parameters = Parameters::new(Seed::new(9), &Device::Cpu);
    let (mut graph, mut y) = Graph::new(64);
    for (name, channels, stride) in [("a", 64, 1), ("b", 160, 2)] {
        let shape = ConvShape {
            channels,
            filters: 160,
            kernel: 3,
            stride,
            padding: 1,
        };
        let root = parameters.root().pp(name);
        let conv = Conv2d::new(&root, shape, true, Init::KaimingUniform).unwrap();
        y = graph.conv(y, Conv::folded(&conv, None).unwrap(), None, true);
    }
    graph.output(y);
    graph
}

#[test]
fn a_picture_gives_the_same_bytes_alone_among_others_and_on_any_threads() {
    let parameters = Parameters::new(Seed::new(8), &Device::Cpu);
    let networks = Networks::new(&parameters.root(), 2, 16, 8).unwrap();
    let made: [(usize, _, &dyn Fn() -> Graph); 2] = [
        (2, (96, 64), &|| networks.graph(2).unwrap()),
        (64, (17, 19), &of_many_weights),
    ];
    for (channels, (height, width), graph) in made {
        let mut engines = vec![Engine::new(graph())];
        for (unit, way) in in_bfloat16() {
            engines.push(Engine::with_unit(graph(), unit, way));
        }
        let pictures: Vec<Vec<f32>> = (0..7)
            .map(|i| picture(channels, height, width, i))
            .collect();
        let pictures: Vec<&[f32]> = pictures.iter().map(Vec::as_slice).collect();
        for engine in engines {
            let on = |threads: usize, pictures: &[&[f32]]| {
                let pool = rayon::ThreadPoolBuilder::new()
                    .num_threads(threads)
                    .build()
                    .unwrap();
                pool.install(|| engine.run(pictures, height, width).unwrap())
            };
            let together = on(3, &pictures);
            for (i, outputs) in together.iter().enumerate() {
                for threads in [1, 2, 4] {
                    assert_eq!(outputs, &on(threads, &pictures[i..=i])[0]);
                }
            }
        }
    }
}

#[test]
fn a_picture_of_another_size_or_too_small_is_refused() {
    let (mut graph, x) = Graph::new(1);
    let pooled = graph.max_pool(x, 3, 2, 0);
    graph.output(pooled);
    let engine = Engine::new(graph);
    assert!(engine.run(&[&[0.0; 8]], 3, 3).is_err());
    assert!(engine.run(&[&[0.0; 4]], 2, 2).is_err());
    assert_eq!(engine.run(&[&[1.0; 9]], 3, 3).unwrap()[0][0], [1.0]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Shapes that no tile divides, against the plain definition (which
    /// `nn::ops` is tested against).
    #[test]
    fn convolutions_of_all_shapes_are_the_plain_sums(
        channels in 1usize..40,
        filters in 1usize..70,
        kernel in prop::sample::select(vec![1usize, 3, 5, 7]),
        stride in 1usize..3,
        height in 7usize..40,
        width in 7usize..40,
        with_residual: bool,
        relu: bool,
        whole: bool,
        seed: u64,
    ) {
        // Winograd takes whole vectors only: make sure that they occur.
        let (channels, filters) = if whole {
            (channels.next_multiple_of(32), filters.next_multiple_of(32))
        } else {
            (channels, filters)
        };
        let parameters = Parameters::new(Seed::new(seed), &Device::Cpu);
        let shape = ConvShape { channels, filters, kernel, stride, padding: kernel / 2 };
        let conv = Conv2d::new(&parameters.root().pp("c"), shape, true, Init::KaimingUniform).unwrap();
        let norm = BatchNorm2d::new(&parameters.root().pp("n"), filters).unwrap();
        lived_in(&parameters);
        let x = picture(channels, height, width, seed ^ 1);
        let tensor = Tensor::from_slice(&x, (1, channels, height, width), &Device::Cpu).unwrap();
        let mut expected = norm.forward(&conv.forward(&tensor).unwrap(), false, Mode::Eval).unwrap();
        if with_residual {
            expected = (&expected + &expected).unwrap();
        }
        if relu {
            expected = ops::relu(&expected).unwrap();
        }
        for level in Level::available() {
            let (mut graph, x_id) = Graph::new(channels);
            let folded = || Conv::folded(&conv, Some(&norm)).unwrap();
            let residual = with_residual.then(|| graph.conv(x_id, folded(), None, false));
            let y = graph.conv(x_id, folded(), residual, relu);
            graph.output(y);
            let found = &Engine::with_level(graph, level).run(&[&x], height, width).unwrap()[0][0];
            assert_close(found, &values(&expected), &format!("{level:?}"));
        }
    }
}
