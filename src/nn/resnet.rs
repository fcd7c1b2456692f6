//! ResNet-18, 34, 50, 101 and 152 in torchvision's topology: names and shapes
//! of the parameters are those of its checkpoints (`layer1.0.conv1.weight`),
//! so its weights and timm's plain ones load as they are.
//!
//! K. He, X. Zhang, S. Ren, J. Sun: *Deep residual learning for image
//! recognition*, CVPR 2016. As in torchvision, the stride of a bottleneck lies
//! on its 3 x 3 convolution ("v1.5"), not on the first 1 x 1.

use super::engine::{Conv, Graph, Id};
use super::init::Init;
use super::layers::{BatchNorm2d, Conv2d, ConvShape, Linear, Mode};
use super::ops;
use super::parameters::ParamScope;
use super::weights::Weight;
use crate::error::{Error, Result};
use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Which of the five.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Depth {
    /// 18 layers, basic blocks.
    Resnet18,
    /// 34 layers, basic blocks.
    Resnet34,
    /// 50 layers, bottlenecks.
    Resnet50,
    /// 101 layers, bottlenecks.
    Resnet101,
    /// 152 layers, bottlenecks.
    Resnet152,
}

impl Depth {
    /// All five, the smallest first.
    pub const ALL: [Self; 5] = [
        Self::Resnet18,
        Self::Resnet34,
        Self::Resnet50,
        Self::Resnet101,
        Self::Resnet152,
    ];

    /// `resnet18` ... `resnet152`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Resnet18 => "resnet18",
            Self::Resnet34 => "resnet34",
            Self::Resnet50 => "resnet50",
            Self::Resnet101 => "resnet101",
            Self::Resnet152 => "resnet152",
        }
    }

    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|d| d.name() == name)
    }

    /// Blocks in each of the four stages.
    #[must_use]
    pub fn blocks(self) -> [usize; 4] {
        match self {
            Self::Resnet18 => [2, 2, 2, 2],
            Self::Resnet34 | Self::Resnet50 => [3, 4, 6, 3],
            Self::Resnet101 => [3, 4, 23, 3],
            Self::Resnet152 => [3, 8, 36, 3],
        }
    }

    /// Channels out of a block for each channel within: 1, or 4 in bottlenecks.
    #[must_use]
    pub fn expansion(self) -> usize {
        match self {
            Self::Resnet18 | Self::Resnet34 => 1,
            _ => 4,
        }
    }
}

impl fmt::Display for Depth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The shape of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResNetConfig {
    /// How deep it is.
    pub depth: Depth,
    /// Channels of the stem and the first stage; torchvision's have 64.
    pub width: usize,
    /// Channels of the input.
    pub channels: usize,
}

impl ResNetConfig {
    /// torchvision's network of this depth, over `channels` channels.
    #[must_use]
    pub fn standard(depth: Depth, channels: usize) -> Self {
        Self {
            depth,
            width: 64,
            channels,
        }
    }

    /// Number of pooled features: 8 times the width, 32 times with bottlenecks.
    #[must_use]
    pub fn features(&self) -> usize {
        8 * self.width * self.depth.expansion()
    }

    /// Names and shapes of all parameters and running averages, without the
    /// classifier.
    #[must_use]
    pub fn parameters(&self) -> Vec<(String, Vec<usize>)> {
        let mut all = vec![(
            "conv1.weight".to_owned(),
            vec![self.width, self.channels, 7, 7],
        )];
        push_norm(&mut all, "bn1", self.width);
        let mut inputs = self.width;
        for (stage, count) in self.depth.blocks().into_iter().enumerate() {
            for block in 0..count {
                let name = format!("layer{}.{block}", stage + 1);
                let within = self.width << stage;
                let stride = block_stride(stage, block);
                for (i, c) in block_layout(self.depth, inputs, within, stride)
                    .iter()
                    .enumerate()
                {
                    let shape = vec![c.filters, c.channels, c.kernel, c.kernel];
                    all.push((format!("{name}.conv{}.weight", i + 1), shape));
                    push_norm(&mut all, &format!("{name}.bn{}", i + 1), c.filters);
                }
                let outputs = within * self.depth.expansion();
                if stride != 1 || inputs != outputs {
                    let shape = vec![outputs, inputs, 1, 1];
                    all.push((format!("{name}.downsample.0.weight"), shape));
                    push_norm(&mut all, &format!("{name}.downsample.1"), outputs);
                }
                inputs = outputs;
            }
        }
        all
    }

    /// Finds out from weights what network they belong to: the depth from the
    /// blocks there are, width and input channels from the stem.
    ///
    /// # Errors
    /// [`Error::Data`] if they are none of the five.
    pub fn of_weights(weights: &BTreeMap<String, Weight>) -> Result<Self> {
        let other = |why: &str| Error::data(format!("not a ResNet of torchvision's kind: {why}"));
        let Some([width, channels, 7, 7]) = weights.get("conv1.weight").map(|w| w.shape.as_slice())
        else {
            return Err(other("no conv1.weight of 7 x 7 pixels"));
        };
        let bottleneck = weights.contains_key("layer1.0.conv3.weight");
        let blocks = [1, 2, 3, 4].map(|stage| {
            (0..)
                .take_while(|b| weights.contains_key(&format!("layer{stage}.{b}.conv1.weight")))
                .count()
        });
        let depth = Depth::ALL
            .into_iter()
            .find(|d| d.blocks() == blocks && (d.expansion() == 4) == bottleneck)
            .ok_or_else(|| other(&format!("stages of {blocks:?} blocks")))?;
        Ok(Self {
            depth,
            width: *width,
            channels: *channels,
        })
    }
}

fn push_norm(all: &mut Vec<(String, Vec<usize>)>, name: &str, channels: usize) {
    for part in ["weight", "bias", "running_mean", "running_var"] {
        all.push((format!("{name}.{part}"), vec![channels]));
    }
}

/// The first block of each stage but the first halves the picture.
fn block_stride(stage: usize, block: usize) -> usize {
    if stage > 0 && block == 0 { 2 } else { 1 }
}

/// The convolutions of a block's path.
fn block_layout(depth: Depth, inputs: usize, within: usize, stride: usize) -> Vec<ConvShape> {
    if depth.expansion() == 1 {
        vec![
            conv_shape(inputs, within, 3, stride),
            conv_shape(within, within, 3, 1),
        ]
    } else {
        vec![
            conv_shape(inputs, within, 1, 1),
            conv_shape(within, within, 3, stride),
            conv_shape(within, within * depth.expansion(), 1, 1),
        ]
    }
}

fn conv_shape(channels: usize, filters: usize, kernel: usize, stride: usize) -> ConvShape {
    ConvShape {
        channels,
        filters,
        kernel,
        stride,
        padding: kernel / 2,
    }
}

/// A ResNet without its classifier: pictures in, pooled features out.
#[derive(Debug, Clone)]
pub struct ResNet {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    stages: Vec<Vec<Block>>,
    features: usize,
}

#[derive(Debug, Clone)]
struct Block {
    /// Convolutions with their batch norms; ReLU after each but the last.
    path: Vec<(Conv2d, BatchNorm2d)>,
    downsample: Option<(Conv2d, BatchNorm2d)>,
}

impl ResNet {
    /// Asks `scope` for all parameters; fresh ones are drawn as torchvision
    /// draws them (Kaiming normal, fan out; batch norm 1 and 0).
    ///
    /// # Errors
    /// As for [`ParamScope::weight`].
    pub fn new(scope: &ParamScope<'_>, config: &ResNetConfig) -> Result<Self> {
        let ResNetConfig {
            depth,
            width,
            channels,
        } = *config;
        if width == 0 || channels == 0 {
            return Err(Error::setting(
                "width and channels",
                "0 given, at least 1 expected",
            ));
        }
        let conv1 = conv(&scope.pp("conv1"), conv_shape(channels, width, 7, 2))?;
        let bn1 = BatchNorm2d::new(&scope.pp("bn1"), width)?;
        let mut stages = Vec::new();
        let mut inputs = width;
        for (index, count) in depth.blocks().into_iter().enumerate() {
            let scope = scope.pp(format!("layer{}", index + 1));
            let within = width << index;
            let mut stage = Vec::new();
            for block in 0..count {
                let stride = block_stride(index, block);
                stage.push(Block::new(&scope.pp(block), depth, inputs, within, stride)?);
                inputs = within * depth.expansion();
            }
            stages.push(stage);
        }
        Ok(Self {
            conv1,
            bn1,
            stages,
            features: config.features(),
        })
    }

    /// Number of pooled features.
    #[must_use]
    pub fn features(&self) -> usize {
        self.features
    }

    /// Outputs of the four stages, `[n, c, h / 4, w / 4]` to `[n, 8 c, h / 32,
    /// w / 32]`, of pictures `[n, channels, h, w]`.
    ///
    /// # Errors
    /// [`Error::Shape`] if the number of channels differs.
    pub fn stages(&self, x: &Tensor, mode: Mode) -> Result<Vec<Tensor>> {
        let x = self.bn1.forward(&self.conv1.forward(x)?, true, mode)?; // [n, 64, h/2, w/2]
        let mut x = ops::max_pool2d(&x, 3, 2, 1)?; // [n, 64, h/4, w/4]
        let mut outputs = Vec::with_capacity(4);
        for stage in &self.stages {
            for block in stage {
                x = block.forward(&x, mode)?;
            }
            outputs.push(x.clone());
        }
        Ok(outputs)
    }

    /// Average-pooled features `[n, features]` of pictures `[n, channels, h, w]`.
    ///
    /// # Errors
    /// As for [`ResNet::stages`].
    pub fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let last = self.stages(x, mode)?.pop().expect("four stages");
        ops::global_avg_pool(&last)
    }

    /// The network for the inference engine; the output is the pooled features.
    ///
    /// # Errors
    /// As for [`Conv::folded`].
    pub fn graph(&self) -> Result<Graph> {
        let (mut graph, x) = Graph::new(self.conv1.weight.dim(1)?);
        let x = graph.conv(x, Conv::folded(&self.conv1, Some(&self.bn1))?, None, true);
        let mut x = graph.max_pool(x, 3, 2, 1);
        for block in self.stages.iter().flatten() {
            x = block.describe(&mut graph, x)?;
        }
        let features = graph.mean(x);
        graph.output(features);
        Ok(graph)
    }
}

impl Block {
    fn new(
        scope: &ParamScope<'_>,
        depth: Depth,
        inputs: usize,
        within: usize,
        stride: usize,
    ) -> Result<Self> {
        let outputs = within * depth.expansion();
        let mut path = Vec::new();
        for (i, shape) in block_layout(depth, inputs, within, stride)
            .into_iter()
            .enumerate()
        {
            let convolution = conv(&scope.pp(format!("conv{}", i + 1)), shape)?;
            let norm = BatchNorm2d::new(&scope.pp(format!("bn{}", i + 1)), shape.filters)?;
            path.push((convolution, norm));
        }
        let downsample = if stride != 1 || inputs != outputs {
            let scope = scope.pp("downsample");
            let convolution = conv(&scope.pp(0), conv_shape(inputs, outputs, 1, stride))?;
            Some((convolution, BatchNorm2d::new(&scope.pp(1), outputs)?))
        } else {
            None
        };
        Ok(Self { path, downsample })
    }

    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let mut y = x.clone();
        for (i, (conv, norm)) in self.path.iter().enumerate() {
            let relu = i + 1 < self.path.len();
            y = norm.forward(&conv.forward(&y)?, relu, mode)?;
        }
        let shortcut = match &self.downsample {
            Some((conv, norm)) => norm.forward(&conv.forward(x)?, false, mode)?,
            None => x.clone(),
        };
        ops::relu(&(y + shortcut)?)
    }

    fn describe(&self, graph: &mut Graph, x: Id) -> Result<Id> {
        let (last, first) = self.path.split_last().expect("a block has convolutions");
        let mut y = x;
        for (conv, norm) in first {
            y = graph.conv(y, Conv::folded(conv, Some(norm))?, None, true);
        }
        let shortcut = match &self.downsample {
            Some((conv, norm)) => graph.conv(x, Conv::folded(conv, Some(norm))?, None, false),
            None => x,
        };
        let conv = Conv::folded(&last.0, Some(&last.1))?;
        Ok(graph.conv(y, conv, Some(shortcut), true))
    }
}

fn conv(scope: &ParamScope<'_>, shape: ConvShape) -> Result<Conv2d> {
    Conv2d::new(scope, shape, false, Init::KaimingNormalFanOut)
}

/// A ResNet with its classifier, `fc`.
#[derive(Debug, Clone)]
pub struct Classifier {
    /// What comes before the classifier.
    pub backbone: ResNet,
    fc: Linear,
}

impl Classifier {
    /// As [`ResNet::new`], with a linear layer to `classes` outputs.
    ///
    /// # Errors
    /// As for [`ResNet::new`].
    pub fn new(scope: &ParamScope<'_>, config: &ResNetConfig, classes: usize) -> Result<Self> {
        Ok(Self {
            backbone: ResNet::new(scope, config)?,
            fc: Linear::new(&scope.pp("fc"), config.features(), classes)?,
        })
    }

    /// Unnormalised class scores `[n, classes]` of pictures `[n, channels, h, w]`.
    ///
    /// # Errors
    /// As for [`ResNet::forward`].
    pub fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        self.fc.forward(&self.backbone.forward(x, mode)?)
    }
}

/// Widens (or narrows) a three-channel stem `[filters, 3, k, k]` to `channels`.
///
/// One channel: the sum of the three kernels, so that a grey picture gives
/// what its three-fold copy would. More: the kernels R, G, B, R, G ... in
/// turn, scaled by 3 / channels, so that the response keeps its size. This is
/// timm's convention (`adapt_input_conv`).
///
/// # Errors
/// [`Error::Shape`] unless the stem has three channels.
pub fn widen_stem(stem: &Weight, channels: usize) -> Result<Weight> {
    let [filters, 3, height, width] = stem.shape[..] else {
        return Err(Error::shape(
            "stem to widen",
            &stem.shape,
            "[filters, 3, k, k]",
        ));
    };
    let area = height * width;
    let mut values = Vec::with_capacity(filters * channels * area);
    for kernels in stem.values.chunks_exact(3 * area) {
        match channels {
            1 => values
                .extend((0..area).map(|i| kernels[i] + kernels[area + i] + kernels[2 * area + i])),
            3 => values.extend(kernels),
            _ => {
                let scale = 3.0 / channels as f32;
                for channel in 0..channels {
                    let kernel = &kernels[channel % 3 * area..][..area];
                    values.extend(kernel.iter().map(|v| v * scale));
                }
            }
        }
    }
    Ok(Weight {
        shape: vec![filters, channels, height, width],
        values,
    })
}

mod stages;

#[cfg(test)]
mod tests;
