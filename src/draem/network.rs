//! The two networks of DRAEM, over any number of channels.
//!
//! Section 3.1 (reconstructive: encoder and decoder without skips) and 3.2
//! (discriminative: a U-Net). Layer for layer and name for name those of the
//! published code, so that its checkpoints fit.

use crate::error::Result;
use crate::nn::engine::{Conv, Graph, Id};
use crate::nn::init::Init;
use crate::nn::layers::{BatchNorm2d, Conv2d, ConvShape, Mode};
use crate::nn::ops;
use crate::nn::parameters::ParamScope;
use candle_core::Tensor;

/// Initial convolution weights: N(0, 0.02).
const CONV_INIT: Init = Init::Normal {
    mean: 0.0,
    deviation: 0.02,
};

/// 3 x 3 convolution, batch norm, ReLU; the size stays.
#[derive(Debug, Clone)]
struct Unit {
    conv: Conv2d,
    norm: BatchNorm2d,
}

impl Unit {
    /// `first` is the convolution's index in its `nn.Sequential`.
    fn new(scope: &ParamScope, first: usize, channels: usize, filters: usize) -> Result<Self> {
        Ok(Self {
            conv: conv3x3(&scope.pp(first), channels, filters)?,
            norm: BatchNorm2d::new(&scope.pp(first + 1), filters)?,
        })
    }

    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        self.norm.forward(&self.conv.forward(x)?, true, mode)
    }

    fn describe(&self, graph: &mut Graph, x: Id) -> Result<Id> {
        let conv = Conv::folded(&self.conv, Some(&self.norm))?;
        Ok(graph.conv(x, conv, None, true))
    }
}

fn conv3x3(scope: &ParamScope, channels: usize, filters: usize) -> Result<Conv2d> {
    let shape = ConvShape {
        channels,
        filters,
        kernel: 3,
        stride: 1,
        padding: 1,
    };
    Conv2d::new(scope, shape, true, CONV_INIT)
}

/// Two units: `block1`, `db1` and so on.
#[derive(Debug, Clone)]
struct Block(Unit, Unit);

impl Block {
    fn new(scope: &ParamScope, channels: usize, middle: usize, filters: usize) -> Result<Self> {
        Ok(Self(
            Unit::new(scope, 0, channels, middle)?,
            Unit::new(scope, 3, middle, filters)?,
        ))
    }

    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        self.1.forward(&self.0.forward(x, mode)?, mode)
    }

    fn describe(&self, graph: &mut Graph, x: Id) -> Result<Id> {
        let x = self.0.describe(graph, x)?;
        self.1.describe(graph, x)
    }
}

/// Bilinear doubling (aligned corners), then a unit: `up1` and so on.
#[derive(Debug, Clone)]
struct Up(Unit);

impl Up {
    fn new(scope: &ParamScope, channels: usize, filters: usize) -> Result<Self> {
        Ok(Self(Unit::new(scope, 1, channels, filters)?))
    }

    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        self.0.forward(&ops::upsample_bilinear2x(x)?, mode)
    }

    fn describe(&self, graph: &mut Graph, x: Id) -> Result<Id> {
        let x = graph.upsample2x(x);
        self.0.describe(graph, x)
    }
}

/// Blocks with a halving of the size between them.
#[derive(Debug, Clone)]
struct Encoder(Vec<Block>);

impl Encoder {
    fn new(scope: &ParamScope, channels: usize, widths: &[usize]) -> Result<Self> {
        let mut blocks = Vec::with_capacity(widths.len());
        let mut from = channels;
        for (i, &width) in widths.iter().enumerate() {
            let scope = scope.pp(format!("block{}", i + 1));
            blocks.push(Block::new(&scope, from, width, width)?);
            from = width;
        }
        Ok(Self(blocks))
    }

    /// Every block's output, the largest first.
    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Vec<Tensor>> {
        let mut outputs: Vec<Tensor> = Vec::with_capacity(self.0.len());
        for block in &self.0 {
            let y = match outputs.last() {
                None => block.forward(x, mode)?,
                Some(last) => block.forward(&ops::max_pool2d(last, 2, 2, 0)?, mode)?,
            };
            outputs.push(y);
        }
        Ok(outputs)
    }

    fn describe(&self, graph: &mut Graph, x: Id) -> Result<Vec<Id>> {
        let mut outputs: Vec<Id> = Vec::with_capacity(self.0.len());
        for block in &self.0 {
            let from = outputs
                .last()
                .map_or(x, |&last| graph.max_pool(last, 2, 2, 0));
            outputs.push(block.describe(graph, from)?);
        }
        Ok(outputs)
    }
}

/// Restores the good piece: `[n, c, h, w]` to the same shape; sides divisible by 16.
#[derive(Debug, Clone)]
pub struct Reconstructive {
    encoder: Encoder,
    decoder: Vec<(Up, Block)>,
    out: Conv2d,
}

impl Reconstructive {
    /// `width` is the first block's (paper: 128); the others have 2, 4, 8 and 8 times it.
    ///
    /// # Errors
    /// As for [`ParamScope::weight`].
    pub fn new(scope: &ParamScope, channels: usize, width: usize) -> Result<Self> {
        let w = width;
        let widths = [w, 2 * w, 4 * w, 8 * w, 8 * w];
        let steps = [(8 * w, 4 * w), (4 * w, 2 * w), (2 * w, w), (w, w)];
        let below = scope.pp("decoder");
        let mut decoder = Vec::with_capacity(steps.len());
        for (i, (from, to)) in steps.into_iter().enumerate() {
            decoder.push((
                Up::new(&below.pp(format!("up{}", i + 1)), from, from)?,
                Block::new(&below.pp(format!("db{}", i + 1)), from, from, to)?,
            ));
        }
        Ok(Self {
            encoder: Encoder::new(&scope.pp("encoder"), channels, &widths)?,
            decoder,
            out: conv3x3(&below.pp("fin_out").pp(0), w, channels)?,
        })
    }

    /// The restored image.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] if the channels differ.
    pub fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let mut y = self.encoder.forward(x, mode)?.pop().expect("five blocks"); // [n, 8 w, h/16, w/16]
        for (up, block) in &self.decoder {
            y = block.forward(&up.forward(&y, mode)?, mode)?;
        }
        self.out.forward(&y)
    }

    fn describe(&self, graph: &mut Graph, x: Id) -> Result<Id> {
        let mut y = self.encoder.describe(graph, x)?.pop().expect("five blocks");
        for (up, block) in &self.decoder {
            let doubled = up.describe(graph, y)?;
            y = block.describe(graph, doubled)?;
        }
        Ok(graph.conv(y, Conv::folded(&self.out, None)?, None, false))
    }
}

/// Segments the defects: restored and original image, `[n, 2 c, h, w]`, to two
/// classes (good, defect) for every pixel, `[n, 2, h, w]` before the softmax;
/// sides divisible by 32.
#[derive(Debug, Clone)]
pub struct Discriminative {
    encoder: Encoder,
    decoder: Vec<(Up, Block)>,
    out: Conv2d,
}

impl Discriminative {
    /// `width` is the first block's (paper: 64); the others have 2, 4, 8, 8 and 8 times it.
    ///
    /// # Errors
    /// As for [`ParamScope::weight`].
    pub fn new(scope: &ParamScope, channels: usize, width: usize) -> Result<Self> {
        let w = width;
        let widths = [w, 2 * w, 4 * w, 8 * w, 8 * w, 8 * w];
        // Names of up and block, channels in, filters, channels of the skip.
        let steps = [
            ("up_b", "db_b", 8 * w, 8 * w, 8 * w),
            ("up1", "db1", 8 * w, 4 * w, 8 * w),
            ("up2", "db2", 4 * w, 2 * w, 4 * w),
            ("up3", "db3", 2 * w, w, 2 * w),
            ("up4", "db4", w, w, w),
        ];
        let below = scope.pp("decoder_segment");
        let mut decoder = Vec::with_capacity(steps.len());
        for (up, block, from, to, skip) in steps {
            decoder.push((
                Up::new(&below.pp(up), from, to)?,
                Block::new(&below.pp(block), to + skip, to, to)?,
            ));
        }
        Ok(Self {
            encoder: Encoder::new(&scope.pp("encoder_segment"), 2 * channels, &widths)?,
            decoder,
            out: conv3x3(&below.pp("fin_out").pp(0), w, 2)?,
        })
    }

    /// The two classes' values before the softmax.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] if the channels differ.
    pub fn forward(&self, restored: &Tensor, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let both = Tensor::cat(&[restored, x], 1)?; // [n, 2 c, h, w]
        let mut skips = self.encoder.forward(&both, mode)?;
        let mut y = skips.pop().expect("six blocks"); // [n, 8 w, h/32, w/32]
        for (up, block) in &self.decoder {
            let skip = skips.pop().expect("one skip a step");
            y = Tensor::cat(&[&up.forward(&y, mode)?, &skip], 1)?;
            y = block.forward(&y, mode)?;
        }
        self.out.forward(&y)
    }

    fn describe(&self, graph: &mut Graph, restored: Id, x: Id) -> Result<Id> {
        let both = graph.concat(&[restored, x]);
        let mut skips = self.encoder.describe(graph, both)?;
        let mut y = skips.pop().expect("six blocks");
        for (up, block) in &self.decoder {
            let skip = skips.pop().expect("one skip a step");
            let doubled = up.describe(graph, y)?;
            y = graph.concat(&[doubled, skip]);
            y = block.describe(graph, y)?;
        }
        Ok(graph.conv(y, Conv::folded(&self.out, None)?, None, false))
    }
}

/// Both networks, as they are trained and used together.
#[derive(Debug, Clone)]
pub struct Networks {
    /// Restores the good piece.
    pub reconstructive: Reconstructive,
    /// Compares.
    pub discriminative: Discriminative,
}

impl Networks {
    /// Parameters under `reconstructive.` and `discriminative.`.
    ///
    /// # Errors
    /// As for [`ParamScope::weight`].
    pub fn new(
        scope: &ParamScope,
        channels: usize,
        reconstructive_width: usize,
        discriminative_width: usize,
    ) -> Result<Self> {
        Ok(Self {
            reconstructive: Reconstructive::new(
                &scope.pp("reconstructive"),
                channels,
                reconstructive_width,
            )?,
            discriminative: Discriminative::new(
                &scope.pp("discriminative"),
                channels,
                discriminative_width,
            )?,
        })
    }

    /// The restored images `[n, c, h, w]` and the probabilities of good and
    /// defect for every pixel, `[n, 2, h, w]`.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] if the channels differ.
    pub fn forward(&self, x: &Tensor, mode: Mode) -> Result<(Tensor, Tensor)> {
        let restored = self.reconstructive.forward(x, mode)?;
        let classes = self.discriminative.forward(&restored, x, mode)?;
        Ok((restored, ops::softmax_channels(&classes)?))
    }

    /// Both networks for the inference engine: the outputs are the restored
    /// image `[c, h, w]` and the two classes' values before the softmax, `[2, h, w]`.
    ///
    /// # Errors
    /// As for [`Conv::folded`].
    pub fn graph(&self, channels: usize) -> Result<Graph> {
        let (mut graph, x) = Graph::new(channels);
        let restored = self.reconstructive.describe(&mut graph, x)?;
        let classes = self.discriminative.describe(&mut graph, restored, x)?;
        graph.output(restored);
        graph.output(classes);
        Ok(graph)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draem::loss;
    use crate::nn::parameters::Parameters;
    use crate::random::Seed;
    use candle_core::Device;
    use std::collections::HashMap;

    /// The value that tests/reference/draem.py gives entry `index` of a parameter.
    fn formula(name: &str, dims: &[usize]) -> Vec<f32> {
        let hash = name.bytes().fold(2_166_136_261u32, |h, b| {
            (h ^ u32::from(b)).wrapping_mul(16_777_619)
        });
        let scale = match dims {
            [_, c, h, w] => (12.0 * 2.0 / (c * h * w) as f64).sqrt(),
            _ => 1.0,
        };
        (0..dims.iter().product::<usize>() as u64)
            .map(|i| {
                let i = (i.wrapping_mul(2_654_435_761).wrapping_add(u64::from(hash))) & 0xFFFF_FFFF;
                let i = ((i ^ (i >> 15)).wrapping_mul(2_246_822_519)) & 0xFFFF_FFFF;
                let u = ((i ^ (i >> 13)) & 0xFFFF) as f64 / 65535.0 - 0.5;
                let v = if name.ends_with("running_var") {
                    1.0 + u
                } else if name.ends_with("running_mean") || name.ends_with("bias") {
                    0.2 * u
                } else if dims.len() == 1 {
                    1.0 + 0.4 * u
                } else {
                    u * scale
                };
                v as f32
            })
            .collect()
    }

    fn numbers(value: &serde_json::Value) -> Vec<f64> {
        value
            .as_array()
            .unwrap()
            .iter()
            .map(|v| v.as_f64().unwrap())
            .collect()
    }

    /// Both networks with the reference's weights, and its input.
    /// `raise` is added to the shift of every batch norm.
    fn filled(raise: f64) -> (Parameters, Networks, Tensor) {
        let parameters = Parameters::new(Seed::new(0), &Device::Cpu);
        let networks = Networks::new(&parameters.root(), 3, 4, 3).unwrap();
        let tensors = parameters.tensors();
        let normalised = |name: &str| {
            let mean = name.replace(".bias", ".running_mean");
            name.ends_with("bias") && tensors.iter().any(|(other, _)| *other == mean)
        };
        let values: HashMap<String, Tensor> = tensors
            .iter()
            .map(|(name, t)| {
                let local = name.split_once('.').unwrap().1;
                let filled = Tensor::from_vec(formula(local, t.dims()), t.dims(), &Device::Cpu);
                let raise = if normalised(name) { raise } else { 0.0 };
                (name.clone(), (filled.unwrap() + raise).unwrap())
            })
            .collect();
        parameters.load(&values).unwrap();
        let dims = [4, 3, 64, 64];
        let x = Tensor::from_vec(formula("image.weight", &dims), &dims, &Device::Cpu).unwrap();
        let x = ((x * 10.0).unwrap().clamp(-0.5f32, 0.5f32).unwrap() + 0.5).unwrap();
        (parameters, networks, x)
    }

    fn every_eighth(plane: &Tensor) -> Vec<f32> {
        let rows: Vec<Vec<f32>> = plane.to_vec2().unwrap();
        rows.iter()
            .step_by(8)
            .flat_map(|r| r.iter().step_by(8).copied())
            .collect()
    }

    #[test]
    fn restored_image_and_map_are_those_of_the_published_networks() {
        let reference: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/reference/draem.json")).unwrap();
        let (_parameters, networks, x) = filled(0.0);
        let (restored, classes) = networks.forward(&x, Mode::Eval).unwrap();
        let found = every_eighth(&restored.get(0).unwrap().get(0).unwrap());
        let mut maps = every_eighth(&classes.get(0).unwrap().get(1).unwrap());
        for image in 1..4 {
            maps.extend(every_eighth(&classes.get(image).unwrap().get(1).unwrap()));
        }
        for (found, key) in [(found, "restored"), (maps, "map")] {
            let expected = numbers(&reference["network"][key]);
            assert_eq!(found.len(), expected.len());
            for (a, b) in found.iter().zip(expected) {
                assert!((f64::from(*a) - b).abs() < 1e-4, "{key}: {a} {b}");
            }
        }
    }

    #[test]
    fn one_steps_losses_and_gradients_are_those_of_the_published_code() {
        let reference: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/reference/draem.json")).unwrap();
        let (parameters, networks, x) = filled(3.0);
        let (restored, classes) = networks.forward(&x, Mode::Train).unwrap();
        let mask = x.narrow(1, 0, 1).unwrap().gt(0.5f32).unwrap();
        let mask = mask.to_dtype(candle_core::DType::F32).unwrap();
        let losses = [
            loss::l2(&restored, &x).unwrap(),
            loss::ssim(&restored, &x).unwrap(),
            loss::focal(&classes, &mask).unwrap(),
        ];
        for (found, expected) in losses.iter().zip(numbers(&reference["step"]["losses"])) {
            let found = f64::from(found.to_scalar::<f32>().unwrap());
            assert!(
                (found - expected).abs() < 1e-4 * expected,
                "{found} {expected}"
            );
        }
        let total = ((&losses[0] + &losses[1]).unwrap() + &losses[2]).unwrap();
        let gradients = total.backward().unwrap();
        for (name, var) in parameters.trainable() {
            let norm = gradients
                .get(&var)
                .unwrap()
                .sqr()
                .unwrap()
                .sum_all()
                .unwrap();
            let norm = f64::from(norm.to_scalar::<f32>().unwrap()).sqrt();
            let expected = reference["step"]["gradient_norms"][&name].as_f64().unwrap();
            // A bias before batch norm has no gradient but rounding: hence the absolute part.
            assert!(
                (norm - expected).abs() < 1e-3 * expected + 2e-5,
                "{name}: {norm} {expected}"
            );
        }
    }
}
