use super::*;
use crate::nn::made_up::{hashed, made_up};
use crate::nn::parameters::Parameters;
use crate::random::Seed;
use candle_core::{DType, Device};
use std::collections::HashMap;

fn made_up_network(depth: Depth, channels: usize) -> ResNet {
    let mut tensors = HashMap::new();
    for (name, shape) in ResNetConfig::standard(depth, 3).parameters() {
        let mut weight = Weight {
            values: made_up(&name, &shape),
            shape,
        };
        if name == "conv1.weight" {
            weight = widen_stem(&weight, channels).unwrap();
        }
        let tensor = Tensor::from_vec(weight.values, weight.shape, &Device::Cpu).unwrap();
        tensors.insert(name, tensor);
    }
    let frozen = Parameters::frozen(tensors, &Device::Cpu);
    ResNet::new(&frozen.root(), &ResNetConfig::standard(depth, channels)).unwrap()
}

#[derive(serde::Deserialize)]
struct Expected {
    model: String,
    channels: usize,
    sum: f64,
    sum_of_squares: f64,
    every_16th: Vec<f64>,
}

#[test]
fn all_five_give_torchvisions_features_on_three_and_six_channels() {
    let text = include_str!("../../../tests/reference/resnet.json");
    let expected: Vec<Expected> = serde_json::from_str(text).unwrap();
    assert_eq!(expected.len(), 10);
    for e in expected {
        let network = made_up_network(Depth::named(&e.model).unwrap(), e.channels);
        let pixels = hashed("input", e.channels * 64 * 64);
        let x = Tensor::from_vec(pixels, (1, e.channels, 64, 64), &Device::Cpu).unwrap();
        let y = network.forward(&x, Mode::Eval).unwrap();
        let y: Vec<f32> = y.squeeze(0).unwrap().to_vec1().unwrap();
        let what = format!("{} {} channels", e.model, e.channels);
        for (i, wanted) in e.every_16th.iter().enumerate() {
            let found = f64::from(y[16 * i]);
            // 1e-4 is the contract; features are of size 1.
            assert!((found - wanted).abs() < 1e-4, "{what}: {found} {wanted}");
        }
        let sum: f64 = y.iter().map(|v| f64::from(*v)).sum();
        let squares: f64 = y.iter().map(|v| f64::from(*v).powi(2)).sum();
        assert!((sum / e.sum - 1.0).abs() < 1e-4, "{what}: {sum} {}", e.sum);
        assert!((squares / e.sum_of_squares - 1.0).abs() < 1e-4, "{what}");
    }
}

#[test]
fn a_grey_picture_gives_what_its_three_fold_copy_would() {
    let stem = Weight {
        shape: vec![1, 3, 1, 2],
        values: vec![1.0, 2.0, 10.0, 20.0, 100.0, 200.0],
    };
    assert_eq!(widen_stem(&stem, 1).unwrap().values, [111.0, 222.0]);
    assert_eq!(widen_stem(&stem, 3).unwrap(), stem);
    let six = widen_stem(&stem, 6).unwrap();
    assert_eq!(six.values[..6], [0.5, 1.0, 5.0, 10.0, 50.0, 100.0]);
    assert_eq!(six.values[6..], six.values[..6]);
}

#[test]
fn the_network_is_recognised_from_its_weights() {
    let config = ResNetConfig {
        depth: Depth::Resnet18,
        width: 8,
        channels: 3,
    };
    let mut weights: BTreeMap<String, Weight> = config
        .parameters()
        .into_iter()
        .map(|(name, shape)| {
            (
                name,
                Weight {
                    shape,
                    values: Vec::new(),
                },
            )
        })
        .collect();
    assert_eq!(ResNetConfig::of_weights(&weights).unwrap(), config);
    weights.remove("layer3.1.conv1.weight");
    assert!(ResNetConfig::of_weights(&weights).is_err());
}

#[test]
fn the_list_of_parameters_is_what_the_network_asks_for() {
    for depth in [Depth::Resnet34, Depth::Resnet50] {
        let config = ResNetConfig {
            depth,
            width: 2,
            channels: 4,
        };
        let parameters = Parameters::new(Seed::new(0), &Device::Cpu);
        ResNet::new(&parameters.root(), &config).unwrap();
        let asked = parameters.tensors().into_iter();
        let mut asked: Vec<_> = asked.map(|(n, t)| (n, t.dims().to_vec())).collect();
        let mut listed = config.parameters();
        asked.sort();
        listed.sort();
        assert_eq!(asked, listed);
    }
}

#[test]
fn training_reaches_every_parameter() {
    let config = ResNetConfig {
        depth: Depth::Resnet50,
        width: 4,
        channels: 2,
    };
    let parameters = Parameters::new(Seed::new(5), &Device::Cpu);
    let network = Classifier::new(&parameters.root(), &config, 3).unwrap();
    let x = Tensor::from_vec(hashed("x", 2 * 2 * 64 * 64), (2, 2, 64, 64), &Device::Cpu);
    let y = network.forward(&x.unwrap(), Mode::Train).unwrap();
    let gradients = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
    for (name, var) in parameters.trainable() {
        let gradient = gradients.get(var.as_tensor());
        let gradient = gradient.unwrap_or_else(|| panic!("{name} has no gradient"));
        let size = gradient
            .abs()
            .unwrap()
            .to_dtype(DType::F64)
            .unwrap()
            .sum_all();
        assert!(size.unwrap().to_scalar::<f64>().unwrap() > 0.0, "{name}");
    }
}
