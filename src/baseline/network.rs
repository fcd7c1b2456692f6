//! The network of a baseline: a ResNet with a head, or a plain CNN, seen as
//! stages one after another, so that both train with frozen beginnings and
//! both say where they looked.

use crate::error::{Error, Result};
use crate::nn::cnn::{Cnn, CnnOptions, Gather};
use crate::nn::engine::Graph;
use crate::nn::layers::{Linear, Mode};
use crate::nn::ops;
use crate::nn::parameters::{ParamScope, Parameters};
use crate::nn::resnet::{Classifier, Depth, ResNetConfig};
use crate::random::Seed;
use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// One of the five ResNets.
    ResNet(ResNetConfig),
    /// The plain network of the settings.
    Cnn {
        /// Its layers.
        options: CnnOptions,
        /// Channels of the pictures.
        channels: usize,
        /// Pixels a side.
        size: usize,
    },
}

impl Architecture {
    /// `resnet18` ... `resnet152`, or `cnn`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::ResNet(config) => config.depth.name(),
            Self::Cnn { .. } => "cnn",
        }
    }

    /// Number of stages (of a ResNet), of layers (of a CNN).
    #[must_use]
    pub fn stages(&self) -> usize {
        match self {
            Self::ResNet(_) => 4,
            Self::Cnn { options, .. } => options.layers.len(),
        }
    }

    /// Checks the shape before memory is taken for it.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn check(&self) -> Result<()> {
        match self {
            Self::ResNet(config) => {
                let fits =
                    (1..=512).contains(&config.width) && (1..=4096).contains(&config.channels);
                match fits {
                    true => Ok(()),
                    false => Err(Error::setting(
                        "network",
                        format!("{config:?} is out of range"),
                    )),
                }
            }
            Self::Cnn {
                options,
                channels,
                size,
            } => {
                if !(1..=4096).contains(channels) || !(32..=2048).contains(size) {
                    return Err(Error::setting(
                        "network",
                        format!("{channels} channels of {size} pixels a side are out of range"),
                    ));
                }
                options.check(*size)
            }
        }
    }
}

/// How much of a network keeps its weights: nothing, what comes before the
/// first stage, or all up to a stage. Written `none`, `stem`, `layer1` ...
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Freeze(Option<usize>);

impl Freeze {
    /// Everything is trained.
    #[must_use]
    pub fn none() -> Self {
        Self(None)
    }

    /// Number of frozen stages; `None`: not even the stem is.
    #[must_use]
    pub fn stages(self) -> Option<usize> {
        self.0
    }
}

impl TryFrom<String> for Freeze {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        let stages = match text.as_str() {
            "none" => return Ok(Self(None)),
            "stem" => Some(0),
            other => other
                .strip_prefix("layer")
                .and_then(|n| n.parse().ok())
                .filter(|n| (1..=32).contains(n)),
        };
        match stages {
            Some(n) => Ok(Self(Some(n))),
            None => Err(Error::setting(
                "baseline.freeze",
                format!("{text:?} given; none, stem, layer1, layer2 ... expected"),
            )),
        }
    }
}

impl From<Freeze> for String {
    fn from(freeze: Freeze) -> Self {
        freeze.to_string()
    }
}

impl fmt::Display for Freeze {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("none"),
            Some(0) => f.write_str("stem"),
            Some(n) => write!(f, "layer{n}"),
        }
    }
}

/// How a training pass goes.
#[derive(Debug, Clone, Copy)]
pub struct Pass {
    /// What keeps its weights and its running averages.
    pub frozen: Freeze,
    /// Share of the last features set to 0.
    pub dropout: f64,
    /// What dropout draws from; a fresh one for every step.
    pub seed: Seed,
}

/// A network with its head.
#[derive(Debug, Clone)]
pub enum Network {
    /// One of the five.
    ResNet(Box<Classifier>),
    /// The plain one.
    Cnn(Cnn),
}

impl Network {
    /// Asks `scope` for all parameters: torchvision's names, or those of [`Cnn::new`].
    ///
    /// # Errors
    /// As for [`Architecture::check`] and [`ParamScope::weight`].
    pub fn new(
        scope: &ParamScope<'_>,
        architecture: &Architecture,
        outputs: usize,
    ) -> Result<Self> {
        architecture.check()?;
        Ok(match architecture {
            Architecture::ResNet(config) => {
                Self::ResNet(Box::new(Classifier::new(scope, config, outputs)?))
            }
            Architecture::Cnn {
                options,
                channels,
                size,
            } => Self::Cnn(Cnn::new(scope, options, *channels, *size, outputs)?),
        })
    }

    /// Number of stages.
    #[must_use]
    pub fn stages(&self) -> usize {
        match self {
            Self::ResNet(_) => 4,
            Self::Cnn(cnn) => cnn.depth(),
        }
    }

    /// Class scores `[n, outputs]` in training, of pictures `[n, c, h, w]`.
    ///
    /// Frozen stages run as in use: their running averages stay, and no
    /// gradient reaches them.
    ///
    /// # Errors
    /// As for the layers.
    pub fn train(&self, x: &Tensor, pass: Pass) -> Result<Tensor> {
        let frozen = pass.frozen.stages();
        let mode = |still: bool| if still { Mode::Eval } else { Mode::Train };
        let mut x = x.clone();
        if let Self::ResNet(net) = self {
            x = net.backbone.stem(&x, mode(frozen.is_some()))?;
            if frozen.is_some() {
                x = x.detach();
            }
        }
        for index in 0..self.stages() {
            let still = frozen.is_some_and(|n| index < n);
            x = self.stage(index, &x, mode(still), (!still).then_some(pass.seed))?;
            if still {
                x = x.detach();
            }
        }
        let mut features = self.features(&x)?;
        if pass.dropout > 0.0 {
            features = ops::dropout(&features, pass.dropout, pass.seed.derive("head", 0))?;
        }
        self.head(&features)
    }

    fn stage(&self, index: usize, x: &Tensor, mode: Mode, dropout: Option<Seed>) -> Result<Tensor> {
        match self {
            Self::ResNet(net) => net.backbone.stage(index, x, mode),
            Self::Cnn(cnn) => cnn.layer(index, x, mode, dropout),
        }
    }

    fn features(&self, last: &Tensor) -> Result<Tensor> {
        match self {
            Self::ResNet(_) => ops::global_avg_pool(last),
            Self::Cnn(cnn) => cnn.features(last),
        }
    }

    fn head(&self, features: &Tensor) -> Result<Tensor> {
        match self {
            Self::ResNet(net) => net.head(features),
            Self::Cnn(cnn) => cnn.head(features),
        }
    }

    /// The image of stage `at` (counted from 0) of pictures, in use.
    ///
    /// # Errors
    /// As for the layers.
    pub fn up_to(&self, at: usize, x: &Tensor) -> Result<Tensor> {
        let mut x = match self {
            Self::ResNet(net) => net.backbone.stem(x, Mode::Eval)?,
            Self::Cnn(_) => x.clone(),
        };
        for index in 0..=at {
            x = self.stage(index, &x, Mode::Eval, None)?;
        }
        Ok(x)
    }

    /// Class scores from the image of stage `at`, in use.
    ///
    /// # Errors
    /// As for the layers.
    pub fn after_stage(&self, at: usize, image: &Tensor) -> Result<Tensor> {
        let mut x = image.clone();
        for index in at + 1..self.stages() {
            x = self.stage(index, &x, Mode::Eval, None)?;
        }
        self.head(&self.features(&x)?)
    }

    /// What comes after the last image: how it becomes a vector, and the dense
    /// layers, with ReLU after all but the last.
    pub(crate) fn dense(&self) -> (Gather, Vec<&Linear>) {
        match self {
            Self::ResNet(net) => (Gather::Average, vec![net.fc()]),
            Self::Cnn(cnn) => cnn.dense(),
        }
    }

    /// For the inference engine: the images of stage `at` and of the last one.
    ///
    /// # Errors
    /// As for [`crate::nn::engine::Conv::folded`].
    pub fn graph(&self, at: usize) -> Result<Graph> {
        match self {
            Self::ResNet(net) => net.backbone.graph_with_stage(at),
            Self::Cnn(cnn) => cnn.graph_with_layer(at),
        }
    }
}

/// One line of a network's summary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SummaryRow {
    /// The layer, or block.
    pub layer: String,
    /// Its output for one picture: `[channels, height, width]` or `[values]`.
    pub shape: Vec<usize>,
    /// Trained numbers within it.
    pub parameters: usize,
}

/// Layers, shapes of their outputs for pictures of `size` x `size`, and numbers
/// of trained parameters, in the order of the pass; the last line is the sum.
///
/// # Errors
/// As for [`Network::new`]; [`Error::Shape`] if the picture is too small.
pub fn summary(
    architecture: &Architecture,
    size: usize,
    outputs: usize,
) -> Result<Vec<SummaryRow>> {
    let parameters = Parameters::new(Seed::new(0), &Device::Cpu);
    Network::new(&parameters.root(), architecture, outputs)?;
    let trained = parameters.trainable();
    let count = |prefix: &str| -> usize {
        let within = |name: &String| {
            name.strip_prefix(prefix)
                .is_some_and(|r| r.starts_with('.'))
        };
        let of = trained.iter().filter(|(name, _)| within(name));
        of.map(|(_, v)| v.elem_count()).sum()
    };
    let mut rows = Vec::new();
    let mut row = |layer: String, shape: Vec<usize>, parameters: usize| {
        rows.push(SummaryRow {
            layer,
            shape,
            parameters,
        });
    };
    match architecture {
        Architecture::ResNet(config) => resnet_rows(config, size, outputs, &count, &mut row),
        Architecture::Cnn { options, size, .. } => {
            let mut side = *size;
            let mut width = 0;
            for (i, layer) in options.layers.iter().enumerate() {
                side /= layer.pool;
                width = layer.filters;
                let norm = if options.batch_norm {
                    " - batch norm"
                } else {
                    ""
                };
                let pool = match layer.pool {
                    1 => String::new(),
                    n => format!(" - max {n} x {n}"),
                };
                let dropout = match layer.dropout {
                    0.0 => String::new(),
                    p => format!(" - dropout {p}"),
                };
                row(
                    format!(
                        "features.{i}: conv {0} x {0}{norm} - ReLU{pool}{dropout}",
                        layer.kernel
                    ),
                    vec![width, side, side],
                    count(&format!("features.{i}")),
                );
            }
            let vector = match options.gather {
                Gather::Average => width,
                Gather::Flatten => width * side * side,
            };
            row("to a vector".into(), vec![vector], 0);
            for (i, width) in options.dense.iter().chain([&outputs]).enumerate() {
                let relu = if i < options.dense.len() {
                    " - ReLU"
                } else {
                    ""
                };
                let name = format!("classifier.{i}");
                let parameters = count(&name);
                row(format!("{name}: dense{relu}"), vec![*width], parameters);
            }
        }
    }
    let total = rows.iter().map(|r| r.parameters).sum();
    rows.push(SummaryRow {
        layer: "all".into(),
        shape: Vec::new(),
        parameters: total,
    });
    Ok(rows)
}

fn resnet_rows(
    config: &ResNetConfig,
    size: usize,
    outputs: usize,
    count: &dyn Fn(&str) -> usize,
    row: &mut dyn FnMut(String, Vec<usize>, usize),
) {
    let half = |side: usize| side.div_ceil(2);
    let mut side = half(size);
    row(
        "conv1: conv 7 x 7 / 2 - batch norm - ReLU".into(),
        vec![config.width, side, side],
        count("conv1") + count("bn1"),
    );
    side = half(side);
    row("max 3 x 3 / 2".into(), vec![config.width, side, side], 0);
    let kind = match config.depth {
        Depth::Resnet18 | Depth::Resnet34 => "basic block",
        _ => "bottleneck",
    };
    for (stage, blocks) in config.depth.blocks().into_iter().enumerate() {
        let width = (config.width << stage) * config.depth.expansion();
        if stage > 0 {
            side = half(side);
        }
        for block in 0..blocks {
            let name = format!("layer{}.{block}", stage + 1);
            let parameters = count(&name);
            row(
                format!("{name}: {kind}"),
                vec![width, side, side],
                parameters,
            );
        }
    }
    row("average".into(), vec![config.features()], 0);
    row("fc: dense".into(), vec![outputs], count("fc"));
}

#[cfg(test)]
#[path = "network_tests.rs"]
mod tests;
