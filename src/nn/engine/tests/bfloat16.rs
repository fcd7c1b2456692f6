//! Convolutions in bfloat16 against the plain sums, on every unit of this
//! machine.

use super::*;

/// A convolution of random weights, run on a random picture.
struct Case {
    conv: Conv,
    x: Vec<f32>,
    size: (usize, usize),
    with_residual: bool,
    relu: bool,
}

impl Case {
    /// The plain sums in `f32`; the residual is the convolution once more.
    fn expected(&self) -> Vec<f32> {
        let Conv {
            channels,
            kernel,
            stride,
            padding,
            ..
        } = self.conv;
        let shape = (1, channels, self.size.0, self.size.1);
        let x = Tensor::from_slice(&self.x, shape, &Device::Cpu).unwrap();
        let shape = (self.conv.bias.len(), channels, kernel, kernel);
        let weights = Tensor::from_slice(&self.conv.weights, shape, &Device::Cpu).unwrap();
        let mut expected = ops::conv2d(&x, &weights, None, stride, padding).unwrap();
        if self.with_residual {
            expected = (&expected + &expected).unwrap();
        }
        if self.relu {
            expected = ops::relu(&expected).unwrap();
        }
        values(&expected)
    }

    fn found(&self, unit: Unit, way: Transformed) -> Vec<f32> {
        let (mut graph, x) = Graph::new(self.conv.channels);
        let residual = self
            .with_residual
            .then(|| graph.conv(x, self.conv.clone(), None, false));
        let y = graph.conv(x, self.conv.clone(), residual, self.relu);
        graph.output(y);
        let engine = spoilt(graph, unit, way);
        let (height, width) = self.size;
        engine.run(&[&self.x], height, width).unwrap()[0][0].clone()
    }

    /// That every unit gives the expected sums, but for the rounding of results,
    /// half of 1 / 128, and as much as the reference's own error may be.
    fn check(
        &self,
        way: Transformed,
        expected: &[f32],
        reference: f32,
    ) -> Result<(), TestCaseError> {
        for unit in Unit::available() {
            for (found, expected) in self.found(unit, way).iter().zip(expected) {
                let error = (found - expected).abs();
                let allowed = reference + expected.abs() / 200.0;
                prop_assert!(error <= allowed, "{unit:?} {found} {expected}");
            }
        }
        Ok(())
    }
}

/// Of random weights about 0 and pictures from 0 to 1.
fn case(
    (channels, filters): (usize, usize),
    (kernel, stride): (usize, usize),
    size: (usize, usize),
    seed: u64,
) -> Case {
    let weights = picture(filters * channels, kernel, kernel, seed ^ 2);
    Case {
        conv: Conv {
            weights: weights.into_iter().map(|w| w - 0.5).collect(),
            bias: vec![0.0; filters],
            kernel,
            stride,
            padding: kernel / 2,
            channels,
        },
        x: picture(channels, size.0, size.1, seed ^ 1),
        size,
        with_residual: false,
        relu: false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// On numbers that bfloat16 holds exactly.
    #[test]
    fn direct_sums_are_the_plain_sums_rounded(
        channels in 1usize..70,
        filters in 1usize..70,
        kernel in prop::sample::select(vec![1usize, 3, 5, 7]),
        stride in 1usize..3,
        size in (7usize..40, 7usize..40),
        with_residual: bool,
        relu: bool,
        seed: u64,
    ) {
        let mut case = Case {
            with_residual,
            relu,
            ..case((channels, filters), (kernel, stride), size, seed)
        };
        for value in case.x.iter_mut().chain(&mut case.conv.weights) {
            *value = bf16::from_f32(*value).to_f32();
        }
        case.check(Transformed::Nowhere, &case.expected(), 4e-5)?;
    }

    /// On whole numbers so small that Winograd's transformations, too, are held
    /// exactly. (The reference's sums are whole up to its own rounding.)
    #[test]
    fn transformed_sums_are_the_plain_sums_rounded(
        tiles in (1usize..7, 1usize..7),
        size in (1usize..40, 1usize..40),
        with_residual: bool,
        relu: bool,
        seed: u64,
    ) {
        let mut case = Case {
            with_residual,
            relu,
            ..case((16 * tiles.0, 16 * tiles.1), (3, 1), size, seed)
        };
        for value in &mut case.x {
            *value = (*value * 15.0).round() - 7.0;
        }
        for value in &mut case.conv.weights {
            *value = (*value * 4.0).round() * 4.0;
        }
        let whole: Vec<f32> = case.expected().iter().map(|v| v.round()).collect();
        case.check(Transformed::WherePossible, &whole, 0.0)?;
    }
}

/// The direct sum rounds pixels and weights, with variances of 1 each; Winograd's
/// rounds the pixels and, with 25 / 9 each, both once more when transformed:
/// `sqrt((1 + 50 / 9) / 2) = 1.81` times the error.
#[test]
fn transformed_sums_round_as_much_as_they_should() {
    let mut case = case((64, 64), (3, 1), (33, 34), 7);
    for value in &mut case.x {
        *value -= 0.5;
    }
    let expected = case.expected();
    for unit in Unit::available() {
        let [direct, transformed] = [Transformed::Nowhere, Transformed::WherePossible].map(|way| {
            let found = case.found(unit, way);
            let errors = found
                .iter()
                .zip(&expected)
                .map(|(a, b)| f64::from(a - b).powi(2));
            errors.sum::<f64>().sqrt()
        });
        let ratio = transformed / direct;
        assert!((1.2..2.0).contains(&ratio), "{unit:?}: {ratio}");
    }
}
