//! Dense layers with ReLU between them, trained without a graph: for a network
//! this small, candle's bookkeeping costs more than the numbers.
//!
//! Every matrix product is one call over buffers that are taken once, on one
//! thread: whoever trains many, trains them side by side, and the bytes do not
//! depend on how. The gradients are those of the slow definition (see the
//! tests), the step is [`super::optim::Adam`]'s.

use super::kernels::adam;
use super::kernels::matrix::{Matrix, product};
use super::kernels::rectify;
use super::optim::AdamOptions;
use crate::error::{Error, Result};
use crate::random::Seed;
use rand::RngCore;

/// One layer, `y = W x + b`.
#[derive(Debug, Clone, PartialEq)]
pub struct Dense {
    /// Length of `x`.
    pub inputs: usize,
    /// `[outputs, inputs]`, row by row.
    pub weight: Vec<f32>,
    /// `[outputs]`.
    pub bias: Vec<f32>,
}

/// Where a layer's values lie among all parameters.
#[derive(Debug, Clone, Copy)]
struct Place {
    inputs: usize,
    outputs: usize,
    start: usize,
}

impl Place {
    fn weight(&self) -> std::ops::Range<usize> {
        self.start..self.start + self.inputs * self.outputs
    }

    fn bias(&self) -> std::ops::Range<usize> {
        let start = self.weight().end;
        start..start + self.outputs
    }

    fn matrix<'a>(&self, values: &'a [f32]) -> Matrix<'a> {
        Matrix::row_major(&values[self.weight()], self.outputs, self.inputs)
    }
}

/// One batch: `n` rows, what they should be, and how much each counts.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// `[n, inputs]`, row by row.
    pub x: &'a [f32],
    /// `[n]`, each below the last layer's outputs.
    pub class: &'a [usize],
    /// `[n]`; the loss is the sum of weight times cross-entropy.
    pub weight: &'a [f64],
}

/// Layers under training.
#[derive(Debug)]
pub struct Perceptron {
    places: Vec<Place>,
    /// All weights and biases, and as many of everything that Adam keeps.
    parameters: Vec<f32>,
    gradient: Vec<f32>,
    mean: Vec<f32>,
    square: Vec<f32>,
    steps: u64,
    /// Share of hidden values that are left out in a step.
    dropout: f64,
    /// Each layer's output `[n, outputs]`; of hidden ones after ReLU and dropout.
    outputs: Vec<Vec<f32>>,
    /// By what a hidden value was multiplied: 0 if it was negative or left out.
    slopes: Vec<Vec<f32>>,
    /// Gradient at a layer's output before ReLU, and room for the one below.
    deltas: [Vec<f32>; 2],
    drawn: Vec<u32>,
}

impl Perceptron {
    /// Takes layers, each of which has the outputs of the one before as inputs.
    ///
    /// # Errors
    /// [`Error::Shape`] if they do not fit; [`Error::Setting`] unless
    /// 0 <= `dropout` < 1.
    pub fn new(layers: &[Dense], dropout: f64) -> Result<Self> {
        if !(0.0..1.0).contains(&dropout) {
            return Err(Error::setting(
                "dropout",
                format!("{dropout}, must be in [0, 1)"),
            ));
        }
        let (mut places, mut parameters) = (Vec::new(), Vec::new());
        for (i, layer) in layers.iter().enumerate() {
            let place = Place {
                inputs: layer.inputs,
                outputs: layer.bias.len(),
                start: parameters.len(),
            };
            let above = places.last().map_or(layer.inputs, |p: &Place| p.outputs);
            if layer.weight.len() != place.weight().len()
                || layer.inputs != above
                || layer.weight.is_empty()
            {
                return Err(Error::shape(
                    format!("weights of layer {i}"),
                    layer.weight.len(),
                    (place.outputs, above),
                ));
            }
            parameters.extend_from_slice(&layer.weight);
            parameters.extend_from_slice(&layer.bias);
            places.push(place);
        }
        if places.is_empty() {
            return Err(Error::shape("layers", 0, "at least one"));
        }
        let zeros = vec![0.0; parameters.len()];
        Ok(Self {
            outputs: vec![Vec::new(); places.len()],
            slopes: vec![Vec::new(); places.len() - 1],
            places,
            parameters,
            gradient: zeros.clone(),
            mean: zeros.clone(),
            square: zeros,
            steps: 0,
            dropout,
            deltas: [Vec::new(), Vec::new()],
            drawn: Vec::new(),
        })
    }

    /// The layers as they are now.
    #[must_use]
    pub fn layers(&self) -> Vec<Dense> {
        let of = |place: &Place| Dense {
            inputs: place.inputs,
            weight: self.parameters[place.weight()].to_vec(),
            bias: self.parameters[place.bias()].to_vec(),
        };
        self.places.iter().map(of).collect()
    }

    /// One step of Adam against the batch's loss, which is returned as it was
    /// before the step; gradients are not clipped. Hidden layer `i` draws its dropout from
    /// `seed.derive("dropout", i)`, i = 1, 2 ..., as [`super::ops::dropout`].
    ///
    /// # Errors
    /// [`Error::NotFinite`] if the loss is no number; nothing is changed then.
    ///
    /// # Panics
    /// If the batch does not fit the layers.
    pub fn step(&mut self, batch: Batch<'_>, options: &AdamOptions, seed: Seed) -> Result<f64> {
        let loss = self.gradients(batch, seed);
        if !loss.is_finite() {
            return Err(Error::NotFinite {
                what: "the perceptron's loss".to_owned(),
                row: 0,
            });
        }
        self.steps += 1;
        adam::step(
            &mut self.parameters,
            &self.gradient,
            (&mut self.mean, &mut self.square),
            options.coefficients(self.steps, 1.0).rounded(),
        );
        Ok(loss)
    }

    /// The loss, and its gradient into `self.gradient`.
    fn gradients(&mut self, batch: Batch<'_>, seed: Seed) -> f64 {
        let n = batch.class.len();
        let last = self.places.len() - 1;
        for layer in 0..=last {
            self.forward(layer, batch.x, n, seed);
        }
        let mut delta = std::mem::take(&mut self.deltas[0]);
        let mut below = std::mem::take(&mut self.deltas[1]);
        let loss = cross_entropy(&self.outputs[last], batch, &mut delta);
        for layer in (0..=last).rev() {
            let place = self.places[layer];
            let input = match layer {
                0 => batch.x,
                _ => &self.outputs[layer - 1],
            };
            let of_outputs = Matrix::row_major(&delta, n, place.outputs);
            product(
                &mut self.gradient[place.weight()],
                false,
                of_outputs.transposed(),
                Matrix::row_major(input, n, place.inputs),
            );
            rectify::column_sums(&mut self.gradient[place.bias()], &delta);
            if layer > 0 {
                below.resize(n * place.inputs, 0.0);
                product(
                    &mut below,
                    false,
                    of_outputs,
                    place.matrix(&self.parameters),
                );
                rectify::backward(&mut below, &self.slopes[layer - 1]);
                std::mem::swap(&mut delta, &mut below);
            }
        }
        self.deltas = [delta, below];
        loss
    }

    fn forward(&mut self, layer: usize, x: &[f32], n: usize, seed: Seed) {
        let place = self.places[layer];
        let (before, rest) = self.outputs.split_at_mut(layer);
        let input = before.last().map_or(x, Vec::as_slice);
        let output = &mut rest[0];
        output.clear();
        for _ in 0..n {
            output.extend_from_slice(&self.parameters[place.bias()]);
        }
        product(
            output,
            true,
            Matrix::row_major(input, n, place.inputs),
            place.matrix(&self.parameters).transposed(),
        );
        let Some(slopes) = self.slopes.get_mut(layer) else {
            return;
        };
        slopes.resize(output.len(), 0.0);
        self.drawn.resize(output.len(), 0);
        if self.dropout > 0.0 {
            let mut rng = seed.derive("dropout", layer as u64 + 1).rng();
            rng.fill_bytes(bytemuck::cast_slice_mut(&mut self.drawn));
            for drawn in &mut self.drawn {
                *drawn = u32::from_le(*drawn);
            }
        }
        let kept = (1.0 / (1.0 - self.dropout)) as f32;
        let limit = (self.dropout * 2.0_f64.powi(32)) as u32;
        rectify::forward(output, slopes, &self.drawn, limit, kept);
    }
}

/// The loss of class scores `[n, k]`, and its gradient at them.
fn cross_entropy(scores: &[f32], batch: Batch<'_>, delta: &mut Vec<f32>) -> f64 {
    let classes = scores.len() / batch.class.len();
    delta.clear();
    let mut loss = 0.0;
    for ((row, &class), &weight) in scores
        .chunks_exact(classes)
        .zip(batch.class)
        .zip(batch.weight)
    {
        let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let exp = |v: f32| f64::from(v - largest).exp();
        let sum: f64 = row.iter().map(|&v| exp(v)).sum();
        loss -= weight * (f64::from(row[class] - largest) - sum.ln());
        delta.extend(row.iter().enumerate().map(|(c, &v)| {
            let target = if c == class { 1.0 } else { 0.0 };
            (weight * (exp(v) / sum - target)) as f32
        }));
    }
    loss
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::layers::Linear;
    use crate::nn::ops;
    use crate::nn::optim::Adam;
    use crate::nn::parameters::Parameters;
    use candle_core::{D, Device, Tensor};
    use rand::Rng;

    const SIZES: [usize; 4] = [7, 12, 5, 3];

    fn linear(parameters: &Parameters) -> Vec<Linear> {
        let root = parameters.root();
        (0..3)
            .map(|i| Linear::new(&root.pp(format!("fc{i}")), SIZES[i], SIZES[i + 1]).unwrap())
            .collect()
    }

    fn dense(layer: &Linear) -> Dense {
        Dense {
            inputs: layer.weight.dim(1).unwrap(),
            weight: layer.weight.flatten_all().unwrap().to_vec1().unwrap(),
            bias: layer.bias.to_vec1().unwrap(),
        }
    }

    /// The definition, by candle's graph.
    fn loss(layers: &[Linear], batch: Batch<'_>, dropout: f64, seed: Seed) -> Tensor {
        let n = batch.class.len();
        let mut x = Tensor::from_slice(batch.x, (n, SIZES[0]), &Device::Cpu).unwrap();
        for (i, layer) in layers.iter().enumerate() {
            if i > 0 {
                x = ops::relu(&x).unwrap();
                x = ops::dropout(&x, dropout, seed.derive("dropout", i as u64)).unwrap();
            }
            x = layer.forward(&x).unwrap();
        }
        let mut target = vec![0.0f32; n * SIZES[3]];
        for (row, (&class, &weight)) in batch.class.iter().zip(batch.weight).enumerate() {
            target[row * SIZES[3] + class] = weight as f32;
        }
        let target = Tensor::from_vec(target, (n, SIZES[3]), &Device::Cpu).unwrap();
        let log_p = candle_nn::ops::log_softmax(&x, D::Minus1).unwrap();
        (log_p * target).unwrap().sum_all().unwrap().neg().unwrap()
    }

    /// Four batches, the last one short.
    fn batches() -> Vec<(Vec<f32>, Vec<usize>, Vec<f64>)> {
        let mut rng = Seed::new(2).rng();
        [9, 9, 9, 4]
            .map(|n| {
                let x = (0..n * SIZES[0]).map(|_| 2.0 * rng.random::<f32>() - 1.0);
                let x = x.collect();
                let class = (0..n).map(|i| i % 3).collect();
                let weight = (0..n).map(|_| 0.2 * rng.random::<f64>()).collect();
                (x, class, weight)
            })
            .to_vec()
    }

    fn close(a: &[f32], b: &[f32], what: &str) {
        assert_eq!(a.len(), b.len());
        for (a, b) in a.iter().zip(b) {
            // Single precision; sums of a few dozen terms in another order.
            assert!((a - b).abs() < 2e-6 + 1e-4 * b.abs(), "{what}: {a} {b}");
        }
    }

    #[test]
    fn loss_gradients_and_steps_are_those_of_the_graph() {
        for dropout in [0.0, 0.4] {
            let parameters = Parameters::new(Seed::new(1), &Device::Cpu);
            let graph = linear(&parameters);
            let layers: Vec<Dense> = graph.iter().map(dense).collect();
            let mut fast = Perceptron::new(&layers, dropout).unwrap();
            let mut options = AdamOptions {
                weight_decay: 1e-2,
                ..AdamOptions::adam(1e-2)
            };
            let mut slow = Adam::new(&parameters, options).unwrap();
            for (step, (x, class, weight)) in batches().iter().enumerate() {
                let batch = Batch { x, class, weight };
                let seed = Seed::new(9).derive("step", step as u64);
                options.learning_rate *= 0.9;
                slow.set_learning_rate(options.learning_rate);
                let expected = loss(&graph, batch, dropout, seed);
                let gradients = expected.backward().unwrap();
                let found = fast.step(batch, &options, seed).unwrap();
                let expected = f64::from(expected.to_scalar::<f32>().unwrap());
                assert!((found - expected).abs() < 1e-5, "{found} {expected}");
                for (layer, place) in graph.iter().zip(fast.places.clone()) {
                    for (tensor, range) in
                        [(&layer.weight, place.weight()), (&layer.bias, place.bias())]
                    {
                        let gradient = gradients.get(tensor).unwrap().flatten_all().unwrap();
                        let gradient: Vec<f32> = gradient.to_vec1().unwrap();
                        close(&fast.gradient[range], &gradient, "gradient");
                    }
                }
                slow.step(&gradients).unwrap();
            }
            for (fast, slow) in fast.layers().iter().zip(&graph) {
                let slow = dense(slow);
                // Adam divides by the gradient's size: where that is all but
                // nothing, rounding decides on a step.
                for (a, b) in fast.weight.iter().zip(&slow.weight) {
                    assert!((a - b).abs() < 1e-4, "{a} {b}");
                }
                close(&fast.bias, &slow.bias, "bias");
            }
        }
    }

    #[derive(serde::Deserialize)]
    struct Layer {
        weight: Vec<f32>,
        bias: Vec<f32>,
    }

    #[derive(serde::Deserialize)]
    struct Step {
        x: Vec<f32>,
        class: Vec<usize>,
        weight: Vec<f64>,
        learning_rate: f64,
        loss: f64,
    }

    #[derive(serde::Deserialize)]
    struct Reference {
        sizes: Vec<usize>,
        before: Vec<Layer>,
        batches: Vec<Step>,
        after: Vec<Layer>,
    }

    #[test]
    fn four_steps_end_in_pytorch_s_weights() {
        let text = include_str!("../../tests/reference/perceptron.json");
        let reference: Reference = serde_json::from_str(text).unwrap();
        let before = reference.before.into_iter().zip(&reference.sizes);
        let layers: Vec<Dense> = before
            .map(|(layer, &inputs)| Dense {
                inputs,
                weight: layer.weight,
                bias: layer.bias,
            })
            .collect();
        let mut network = Perceptron::new(&layers, 0.0).unwrap();
        for step in &reference.batches {
            let batch = Batch {
                x: &step.x,
                class: &step.class,
                weight: &step.weight,
            };
            let options = AdamOptions {
                weight_decay: 0.01,
                ..AdamOptions::adam(step.learning_rate)
            };
            let loss = network.step(batch, &options, Seed::new(0)).unwrap();
            assert!((loss - step.loss).abs() < 1e-5, "{loss} {}", step.loss);
        }
        for (found, expected) in network.layers().iter().zip(&reference.after) {
            close(&found.weight, &expected.weight, "weight");
            close(&found.bias, &expected.bias, "bias");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_and_a_diverged_step_changes_nothing() {
        let layer = |inputs, outputs| Dense {
            inputs,
            weight: vec![0.5; inputs * outputs],
            bias: vec![0.0; outputs],
        };
        assert!(Perceptron::new(&[layer(3, 4), layer(5, 2)], 0.0).is_err());
        assert!(Perceptron::new(&[layer(3, 4), layer(4, 2)], 1.0).is_err());
        assert!(Perceptron::new(&[], 0.0).is_err());
        let mut fits = Perceptron::new(&[layer(3, 4), layer(4, 2)], 0.0).unwrap();
        let before = fits.layers();
        let batch = Batch {
            x: &[f32::MAX, f32::MAX, f32::MAX],
            class: &[0],
            weight: &[1.0],
        };
        let options = AdamOptions::adam(1e-3);
        assert!(fits.step(batch, &options, Seed::new(0)).is_err());
        assert_eq!(fits.layers(), before);
    }
}
