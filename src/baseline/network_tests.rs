use super::*;
use crate::nn::cnn::{CnnLayer, Gather};
use crate::nn::loss::cross_entropy;
use crate::nn::made_up::{self, hashed};
use serde::Deserialize;
use std::collections::HashMap;

#[derive(Deserialize)]
struct Reference {
    step: Step,
}

/// One training step of torchvision's ResNet-18 over three classes.
#[derive(Deserialize)]
struct Step {
    loss: f64,
    gradient_norms: HashMap<String, f64>,
    /// Every 97th value.
    gradients: HashMap<String, Vec<f64>>,
    running_mean: Vec<f32>,
    running_var: Vec<f32>,
}

#[test]
fn a_training_step_of_resnet_18_has_pytorch_s_loss_gradients_and_averages() {
    let json = include_str!("../../tests/reference/baseline.json");
    let expected = serde_json::from_str::<Reference>(json).unwrap().step;
    let architecture = Architecture::ResNet(ResNetConfig::standard(Depth::Resnet18, 3));
    let parameters = Parameters::new(Seed::new(0), &Device::Cpu);
    let network = Network::new(&parameters.root(), &architecture, 3).unwrap();
    made_up::load(&parameters);
    let x = Tensor::from_vec(
        hashed("input", 4 * 3 * 64 * 64),
        (4, 3, 64, 64),
        &Device::Cpu,
    );
    let pass = Pass {
        frozen: Freeze::none(),
        dropout: 0.0,
        seed: Seed::new(0),
    };
    let scores = network.train(&x.unwrap(), pass).unwrap();
    let values: Vec<f32> = scores.flatten_all().unwrap().to_vec1().unwrap();
    let values: Vec<f64> = values.into_iter().map(f64::from).collect();
    let loss = cross_entropy(&values, &[0, 2, 1, 1], &[1.0, 2.0, 0.5]).unwrap();
    assert!(
        (loss.value / expected.loss - 1.0).abs() < 1e-3,
        "{} {}",
        loss.value,
        expected.loss
    );
    let gradients = loss.backward(&scores).unwrap();
    let trained = parameters.trainable();
    assert_eq!(trained.len(), expected.gradient_norms.len());
    for (name, var) in trained {
        let found = gradients.get(var.as_tensor()).unwrap();
        let found: Vec<f32> = found.flatten_all().unwrap().to_vec1().unwrap();
        let norm = found
            .iter()
            .map(|v| f64::from(*v).powi(2))
            .sum::<f64>()
            .sqrt();
        let wanted = expected.gradient_norms[&name];
        assert!(
            (norm / wanted - 1.0).abs() < 1e-3,
            "{name}: {norm} {wanted}"
        );
        // Single values: to a thousandth of the array's root mean square.
        let typical = wanted / (found.len() as f64).sqrt();
        for (a, b) in found.iter().step_by(97).zip(&expected.gradients[&name]) {
            let off = (f64::from(*a) - b).abs();
            assert!(off < 1e-3 * (b.abs() + typical), "{name}: {a} {b}");
        }
    }
    let averages: HashMap<String, Tensor> = parameters.tensors().into_iter().collect();
    for (what, wanted) in [
        ("mean", &expected.running_mean),
        ("var", &expected.running_var),
    ] {
        let found = &averages[&format!("layer4.1.bn2.running_{what}")];
        let found: Vec<f32> = found.to_vec1().unwrap();
        for (a, b) in found.iter().step_by(97).zip(wanted) {
            assert!((a - b).abs() < 1e-4 * (1.0 + b.abs()), "{what}: {a} {b}");
        }
    }
}

#[test]
fn a_summary_counts_torchvision_s_parameters() {
    // torchvision's ResNet-18 has 11,689,512 with 1000 classes, ResNet-50 25,557,032.
    for (depth, parameters, blocks) in [
        (Depth::Resnet18, 11_689_512, 8),
        (Depth::Resnet50, 25_557_032, 16),
    ] {
        let architecture = Architecture::ResNet(ResNetConfig::standard(depth, 3));
        let rows = summary(&architecture, 224, 1000).unwrap();
        assert_eq!(rows.last().unwrap().parameters, parameters);
        assert_eq!(
            rows.iter().filter(|r| r.layer.starts_with("layer")).count(),
            blocks
        );
        let last = rows
            .iter()
            .rfind(|r| r.layer.starts_with("layer4"))
            .unwrap();
        assert_eq!(last.shape[1..], [7, 7]);
    }
}

#[test]
fn a_plain_network_s_summary_can_be_counted_by_hand() {
    let options = CnnOptions {
        layers: vec![CnnLayer {
            filters: 4,
            ..CnnLayer::default()
        }],
        batch_norm: true,
        gather: Gather::Flatten,
        dense: vec![5],
    };
    let architecture = Architecture::Cnn {
        options,
        channels: 2,
        size: 32,
    };
    let rows = summary(&architecture, 32, 1).unwrap();
    let parameters: Vec<usize> = rows.iter().map(|r| r.parameters).collect();
    // 4 filters of 2 x 3 x 3, scale and shift; 4 x 16 x 16 values to 5; 5 to 1.
    let (conv, hidden, last) = (4 * 18 + 8, 1024 * 5 + 5, 6);
    assert_eq!(parameters, [conv, 0, hidden, last, conv + hidden + last]);
    assert_eq!(rows[0].shape, [4, 16, 16]);
}

#[test]
fn the_shapes_of_a_summary_are_those_of_the_pass() {
    for size in [64, 75] {
        let config = ResNetConfig {
            depth: Depth::Resnet34,
            width: 2,
            channels: 1,
        };
        let architecture = Architecture::ResNet(config);
        let parameters = Parameters::new(Seed::new(0), &Device::Cpu);
        let network = Network::new(&parameters.root(), &architecture, 1).unwrap();
        let x = Tensor::zeros((1, 1, size, size), candle_core::DType::F32, &Device::Cpu).unwrap();
        let rows = summary(&architecture, size, 1).unwrap();
        for at in 0..4 {
            let image = network.up_to(at, &x).unwrap();
            let name = format!("layer{}.0", at + 1);
            let row = rows.iter().find(|r| r.layer.starts_with(&name)).unwrap();
            assert_eq!(image.dims()[1..], row.shape);
        }
    }
}

#[test]
fn what_is_frozen_is_read_as_it_is_written() {
    for text in ["none", "stem", "layer3"] {
        assert_eq!(
            Freeze::try_from(text.to_string()).unwrap().to_string(),
            text
        );
    }
    for text in ["layer0", "layer", "head", "layer99"] {
        assert!(Freeze::try_from(text.to_string()).is_err());
    }
}
