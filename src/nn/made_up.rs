//! Weights and pictures for tests, which tests/reference/resnet.py and
//! baseline.py make as well.

use super::parameters::Parameters;
use candle_core::{Device, Tensor};

/// Value `i` of an array is a hash of its name and `i`, in `-1..1`.
pub(crate) fn hashed(name: &str, count: usize) -> Vec<f32> {
    let start = name.bytes().fold(0x811c_9dc5u32, |h, b| {
        (h ^ u32::from(b)).wrapping_mul(0x0100_0193)
    });
    (0..count as u32)
        .map(|i| {
            let mut h = start.wrapping_add(i.wrapping_mul(0x9e37_79b1));
            h = (h ^ (h >> 16)).wrapping_mul(0x85eb_ca6b);
            h = (h ^ (h >> 13)).wrapping_mul(0xc2b2_ae35);
            ((h ^ (h >> 16)) >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

/// A parameter of a ResNet, by its name in torchvision, of about the size that it has in use.
pub(crate) fn made_up(name: &str, shape: &[usize]) -> Vec<f32> {
    let (middle, reach) = if shape.len() == 4 {
        let fan_in = (shape[1] * shape[2] * shape[3]) as f64;
        (0.0, (6.0 / fan_in).sqrt() as f32)
    } else if name.ends_with("running_var") {
        (1.0, 0.5)
    } else if name == "fc.weight" {
        (0.0, 0.1)
    } else if name.ends_with("weight") {
        (0.5, 0.25)
    } else {
        (0.0, 0.1)
    };
    let u = hashed(name, shape.iter().product());
    u.into_iter().map(|u| middle + reach * u).collect()
}

/// Gives all parameters of a ResNet, on the CPU, their [`made_up`] values.
pub(crate) fn load(parameters: &Parameters) {
    let tensor = |(name, before): (String, Tensor)| {
        let values = made_up(&name, before.dims());
        let made = Tensor::from_vec(values, before.shape(), &Device::Cpu).unwrap();
        (name, made)
    };
    let tensors = parameters.tensors().into_iter().map(tensor).collect();
    parameters.load(&tensors).unwrap();
}
