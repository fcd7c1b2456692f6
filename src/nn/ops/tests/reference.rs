//! Results and gradients beside PyTorch's, made by `tests/reference/nn_ops.py`.

use super::*;
use crate::nn::layers::{BatchNorm2d, Mode};
use crate::nn::parameters::Parameters;
use serde::Deserialize;

#[derive(Deserialize)]
struct Reference {
    cases: Vec<Case>,
    running_averages: RunningAverages,
}

#[derive(Deserialize)]
struct RunningAverages {
    mean: Vec<f32>,
    variance: Vec<f32>,
}

/// An operation in PyTorch: its settings, result and gradients.
#[derive(Deserialize)]
struct Case {
    op: String,
    shapes: Vec<Vec<usize>>,
    #[serde(default)]
    kernel: usize,
    #[serde(default)]
    stride: usize,
    #[serde(default)]
    padding: usize,
    #[serde(default)]
    size: usize,
    #[serde(default)]
    sigma: f64,
    #[serde(default)]
    relu: bool,
    y_shape: Vec<usize>,
    y: Vec<f32>,
    gradients: Vec<Vec<f32>>,
}

impl Case {
    fn inputs(&self) -> Vec<Tensor> {
        let inputs = self.shapes.iter().enumerate().map(|(i, s)| wave(s, i));
        if self.op == "max_pool2d" {
            // Rounded to halves, as in the script, for windows with ties.
            let halves = |x: Tensor| ((x * 2.0)?.round()? / 2.0)?.detach().copy();
            return inputs.map(|x| halves(x).unwrap()).collect();
        }
        inputs.collect()
    }

    fn run(&self, t: &[Tensor]) -> Result<Tensor> {
        match self.op.as_str() {
            "conv2d" => conv2d(&t[0], &t[1], Some(&t[2]), self.stride, self.padding),
            "batch_norm" => Ok(batch_norm_train(&t[0], &t[1], &t[2], 1e-5, self.relu)?.y),
            "max_pool2d" => max_pool2d(&t[0], self.kernel, self.stride, self.padding),
            "upsample" => upsample_bilinear2x(&t[0]),
            "gaussian_window" => gaussian_window(&t[0], self.size, self.sigma),
            "softmax" => softmax_channels(&(&t[0] * 5.0)?),
            "global_avg_pool" => global_avg_pool(&t[0]),
            other => panic!("unknown operation {other}"),
        }
    }
}

fn reference() -> Reference {
    serde_json::from_str(include_str!("../../../../tests/reference/nn_ops.json")).unwrap()
}

#[test]
fn results_and_gradients_are_those_of_pytorch() {
    for case in reference().cases {
        let found = with_gradients(&case.inputs(), &|t| case.run(t));
        assert_eq!(found[0].dims(), case.y_shape);
        let expected = std::iter::once(&case.y).chain(&case.gradients);
        for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
            let expected = Tensor::from_slice(expected, found.dims(), &Device::Cpu).unwrap();
            let apart = distance(found, &expected);
            assert!(apart < 1e-4, "{} {:?} {i}: {apart}", case.op, case.shapes);
        }
    }
}

#[test]
fn running_averages_follow_the_batches_as_in_pytorch() {
    let parameters = Parameters::new(Seed::new(1), &Device::Cpu);
    let layer = BatchNorm2d::new(&parameters.root(), 3).unwrap();
    for salt in 0..3 {
        let x = wave(&[2, 3, 5, 4], salt);
        let x = x.affine(salt as f64 + 1.0, salt as f64).unwrap();
        layer.forward(&x, false, Mode::Train).unwrap();
    }
    let expected = reference().running_averages;
    for (found, expected) in [
        (&layer.running_mean, expected.mean),
        (&layer.running_var, expected.variance),
    ] {
        let expected = Tensor::new(expected.as_slice(), &Device::Cpu).unwrap();
        assert!(distance(found.as_tensor(), &expected) < 1e-5);
    }
}

/// `(f(x + h d) - f(x - h d)) / 2 h` against the gradient along d, for a
/// direction d of each input; the loss is summed in `f64`.
#[test]
fn gradients_are_the_slopes_of_finite_differences() {
    let loss = |y: &Tensor| -> f64 {
        let weights = numbers(&wave(y.dims(), 99));
        let values = numbers(y);
        values
            .iter()
            .zip(weights)
            .map(|(y, w)| f64::from(*y) * f64::from(w))
            .sum()
    };
    for case in reference().cases {
        // A step over a kink (equal values, 0 before ReLU) has two slopes.
        if case.op == "max_pool2d" || case.relu {
            continue;
        }
        let inputs = case.inputs();
        let gradients = with_gradients(&inputs, &|t| case.run(t));
        for i in 0..inputs.len() {
            let direction = random(inputs[i].shape().clone(), "direction");
            let step = 2e-3;
            let at = |factor: f64| {
                let mut moved = inputs.clone();
                moved[i] = (&inputs[i] + (&direction * factor).unwrap()).unwrap();
                loss(&case.run(&moved).unwrap())
            };
            let slope = (at(step) - at(-step)) / (2.0 * step);
            let expected: f64 = numbers(&gradients[i + 1])
                .iter()
                .zip(numbers(&direction))
                .map(|(g, d)| f64::from(*g) * f64::from(d))
                .sum();
            // The rounding of the values, divided by the step.
            let scale = numbers(&gradients[i + 1])
                .iter()
                .map(|g| f64::from(*g).powi(2))
                .sum::<f64>()
                .sqrt();
            assert!(
                (slope - expected).abs() < 1e-2 * scale.max(0.1),
                "{} {:?} input {i}: {slope} and {expected}",
                case.op,
                case.shapes
            );
        }
    }
}
