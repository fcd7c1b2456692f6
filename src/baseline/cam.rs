//! Where a network looked: class activation maps.
//!
//! `A` is the image of one stage, `[channels, h, w]`, `s` the log-odds of a
//! defect, `G = ds/dA`:
//!
//! - Grad-CAM: `relu( sum_c a_c A_c )`, `a_c` the mean of `G_c` over the pixels
//!   (R. R. Selvaraju and others, ICCV 2017, eq. 1 and 2);
//! - Layer-CAM: `relu( sum_c relu(G_c) A_c )`, pixel by pixel
//!   (P.-T. Jiang and others, IEEE TIP 30, 2021, eq. 5 and 6), which stays
//!   sharp in earlier stages, too.
//!
//! The papers differentiate the score of one class. Here `s` is the score of
//! the binary head, or `log sum exp` of the defects' scores less that of
//! `good`: the question of an inspector, the same on every piece. The papers
//! scale each map to its own maximum; a bundle keeps one scale for all
//! ([`super::model`]).

use super::network::Network;
use crate::error::Result;
use crate::nn::loss::softmax;
use candle_core::{Tensor, Var};
use ndarray::Array2;
use serde::{Deserialize, Serialize};

/// Which map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CamMethod {
    /// Layer-CAM.
    LayerCam,
    /// Grad-CAM.
    GradCam,
}

/// What the heatmaps of a baseline show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HeatmapOptions {
    /// Which map.
    pub method: CamMethod,
    /// Of which stage (of a ResNet) or layer (of a CNN), counted from 1; 0: the
    /// third of a ResNet's four, the last of a CNN's. Early ones are sharp and
    /// know little, late ones the reverse.
    pub layer: usize,
}

impl Default for HeatmapOptions {
    fn default() -> Self {
        Self {
            method: CamMethod::LayerCam,
            layer: 0,
        }
    }
}

impl HeatmapOptions {
    /// The stage, counted from 0.
    #[must_use]
    pub fn stage(&self, network: &Network) -> usize {
        let stages = network.stages();
        match (self.layer, network) {
            (0, Network::ResNet(_)) => 2,
            (0, Network::Cnn(_)) => stages - 1,
            (n, _) => n.min(stages) - 1,
        }
    }
}

/// The derivative of the log-odds of a defect by each class score of one piece.
///
/// - `good`: which of several scores is the good class's; `None`, where no
///   class is good: `log sum exp` of all scores then.
fn slope(scores: &[f64], good: Option<usize>) -> Vec<f64> {
    let good = match (scores, good) {
        ([_], _) => return vec![1.0],
        (_, good) => good,
    };
    let defects: Vec<f64> = scores
        .iter()
        .enumerate()
        .map(|(c, s)| {
            if Some(c) == good {
                f64::NEG_INFINITY
            } else {
                *s
            }
        })
        .collect();
    let mut slope = softmax(&defects);
    if let Some(good) = good {
        slope[good] = -1.0;
    }
    slope
}

/// The maps of images `[n, channels, h, w]` of stage `at`, each `[h, w]`, not
/// scaled.
///
/// # Errors
/// As for [`Network::after_stage`].
pub fn maps(
    network: &Network,
    at: usize,
    image: &Tensor,
    good: Option<usize>,
    method: CamMethod,
) -> Result<Vec<Array2<f32>>> {
    let (n, channels, h, w) = image.dims4()?;
    let image = Var::from_tensor(image)?;
    // In use, no piece's score depends on another's picture: the gradient of
    // the sum holds the gradient of each.
    let scores = network.after_stage(at, image.as_tensor())?; // [n, outputs]
    let row = |scores: &Vec<f32>| {
        let scores: Vec<f64> = scores.iter().map(|s| f64::from(*s)).collect();
        slope(&scores, good)
    };
    let rows: Vec<f32> = scores
        .to_vec2()?
        .iter()
        .flat_map(row)
        .map(|g| g as f32)
        .collect();
    let slopes = Tensor::from_vec(rows, scores.shape(), scores.device())?;
    let gradients = (scores * slopes)?.sum_all()?.backward()?;
    let values: Vec<f32> = image.flatten_all()?.to_vec1()?;
    let slopes: Vec<f32> = match gradients.get(image.as_tensor()) {
        Some(g) => g.flatten_all()?.to_vec1()?,
        None => vec![0.0; values.len()],
    };
    let plane = h * w;
    Ok(values
        .chunks_exact(channels * plane)
        .zip(slopes.chunks_exact(channels * plane))
        .take(n)
        .map(|(values, slopes)| {
            let mut map = vec![0.0f64; plane];
            for (a, g) in values.chunks_exact(plane).zip(slopes.chunks_exact(plane)) {
                let mean = g.iter().map(|g| f64::from(*g)).sum::<f64>() / plane as f64;
                for ((sum, a), g) in map.iter_mut().zip(a).zip(g) {
                    let weight = match method {
                        CamMethod::LayerCam => f64::from(g.max(0.0)),
                        CamMethod::GradCam => mean,
                    };
                    *sum += weight * f64::from(*a);
                }
            }
            let map = map.into_iter().map(|v| v.max(0.0) as f32).collect();
            Array2::from_shape_vec((h, w), map).expect("one value a pixel")
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::network::{Architecture, Freeze, Pass};
    use crate::nn::cnn::{CnnLayer, CnnOptions, Gather};
    use crate::nn::init::Init;
    use crate::nn::made_up::{self, hashed};
    use crate::nn::parameters::Parameters;
    use crate::nn::resnet::{Depth, ResNetConfig};
    use crate::random::Seed;
    use candle_core::Device;
    use serde::Deserialize;
    use std::collections::HashMap;

    #[derive(Deserialize)]
    struct Reference {
        cam: Cam,
        /// ResNet-18 of torchvision, a map of each stage.
        resnet_cam: Vec<Case>,
    }

    /// A CNN of two layers as in tests/reference/baseline.py.
    #[derive(Deserialize)]
    struct Cam {
        weights: HashMap<String, (Vec<usize>, Vec<f32>)>,
        picture: Vec<f32>,
        /// By output count and layer: scores and both maps.
        cases: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        layer: usize,
        scores: Vec<f32>,
        layer_cam: Vec<f32>,
        grad_cam: Vec<f32>,
    }

    fn reference() -> Reference {
        serde_json::from_str(include_str!("../../tests/reference/baseline.json")).unwrap()
    }

    /// Scores to 1e-5, maps to 1e-4 of their top, of a network that calls its first class good.
    fn check(network: &Network, x: &Tensor, case: &Case) {
        let image = network.up_to(case.layer, x).unwrap();
        let scores = network.after_stage(case.layer, &image).unwrap();
        let scores: Vec<f32> = scores.flatten_all().unwrap().to_vec1().unwrap();
        for (a, b) in scores.iter().zip(&case.scores) {
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
        for (method, expected) in [
            (CamMethod::LayerCam, &case.layer_cam),
            (CamMethod::GradCam, &case.grad_cam),
        ] {
            let map = maps(network, case.layer, &image, Some(0), method).unwrap();
            let top = expected.iter().copied().fold(0.0, f32::max);
            assert!(top > 0.0);
            assert_eq!(map[0].len(), expected.len());
            for (a, b) in map[0].iter().zip(expected) {
                assert!((a - b).abs() < 1e-4 * top, "{method:?}: {a} {b}");
            }
        }
    }

    #[test]
    fn a_cnn_s_maps_are_those_of_pytorch_s_autograd() {
        let cam = reference().cam;
        let tensors = cam.weights.into_iter().map(|(name, (shape, values))| {
            (name, Tensor::from_vec(values, shape, &Device::Cpu).unwrap())
        });
        let parameters = Parameters::frozen(tensors.collect(), &Device::Cpu);
        let layer = |filters| CnnLayer {
            filters,
            ..CnnLayer::default()
        };
        let architecture = Architecture::Cnn {
            options: CnnOptions {
                layers: vec![layer(3), layer(4)],
                batch_norm: true,
                gather: Gather::Average,
                dense: vec![5],
            },
            channels: 2,
            size: 32,
        };
        let network = Network::new(&parameters.root(), &architecture, 3).unwrap();
        let x = Tensor::from_vec(cam.picture, (1, 2, 32, 32), &Device::Cpu).unwrap();
        assert_eq!(cam.cases.len(), 2);
        for case in &cam.cases {
            check(&network, &x, case);
        }
    }

    #[test]
    fn a_resnet_s_maps_are_those_of_pytorch_s_autograd() {
        let cases = reference().resnet_cam;
        let config = ResNetConfig::standard(Depth::Resnet18, 3);
        let parameters = Parameters::new(Seed::new(0), &Device::Cpu);
        let network = Network::new(&parameters.root(), &Architecture::ResNet(config), 3).unwrap();
        made_up::load(&parameters);
        let x = hashed("cam input", 3 * 64 * 64);
        let x = Tensor::from_vec(x, (1, 3, 64, 64), &Device::Cpu).unwrap();
        assert_eq!(cases.len(), 4);
        for case in &cases {
            check(&network, &x, case);
        }
    }

    #[test]
    fn frozen_stages_get_no_gradient_and_keep_their_averages() {
        let parameters = Parameters::new(Seed::new(1), &Device::Cpu);
        let architecture = Architecture::ResNet(ResNetConfig {
            depth: Depth::Resnet18,
            width: 2,
            channels: 1,
        });
        let network = Network::new(&parameters.root(), &architecture, 1).unwrap();
        let averages = |name: &str| -> Vec<f32> {
            let all = parameters.tensors();
            let (_, tensor) = all.iter().find(|(n, _)| n == name).unwrap();
            tensor.to_vec1().unwrap()
        };
        let before = [
            averages("layer3.0.bn1.running_mean"),
            averages("layer4.0.bn1.running_mean"),
        ];
        let x = Init::normal(1.0).draw((2, 1, 64, 64), Seed::new(2), &Device::Cpu);
        let pass = Pass {
            frozen: Freeze::try_from("layer3".to_string()).unwrap(),
            dropout: 0.5,
            seed: Seed::new(3),
        };
        let scores = network.train(&x.unwrap(), pass).unwrap();
        let gradients = scores.sum_all().unwrap().backward().unwrap();
        for (name, var) in parameters.trainable() {
            let learns = name.starts_with("layer4") || name.starts_with("fc");
            assert_eq!(gradients.get(var.as_tensor()).is_some(), learns, "{name}");
        }
        assert_eq!(averages("layer3.0.bn1.running_mean"), before[0]);
        assert_ne!(averages("layer4.0.bn1.running_mean"), before[1]);
    }
}
