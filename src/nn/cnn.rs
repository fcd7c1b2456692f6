//! A plain convolutional network: layers of convolution - batch norm - ReLU -
//! max pooling - dropout, then a dense head. The small baseline beside the
//! ResNets; every layer and width is a setting.

use super::engine::{Conv, Graph};
use super::init::Init;
use super::layers::{BatchNorm2d, Conv2d, ConvShape, Linear, Mode};
use super::ops;
use super::parameters::ParamScope;
use crate::error::{Error, Result};
use crate::random::Seed;
use candle_core::Tensor;
use serde::{Deserialize, Serialize};

/// One convolution with what follows it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CnnLayer {
    /// Channels out.
    pub filters: usize,
    /// Side of the kernel, odd; the picture keeps its size.
    pub kernel: usize,
    /// Side and stride of the maximum taken afterwards; 1: none.
    pub pool: usize,
    /// Share of values set to 0 in training.
    pub dropout: f64,
}

impl Default for CnnLayer {
    fn default() -> Self {
        Self {
            filters: 32,
            kernel: 3,
            pool: 2,
            dropout: 0.0,
        }
    }
}

/// How the last image becomes a vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Gather {
    /// The mean of every channel.
    Average,
    /// Every value.
    Flatten,
}

/// The network's layers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CnnOptions {
    /// The convolutions.
    pub layers: Vec<CnnLayer>,
    /// Whether batch norm follows each of them.
    pub batch_norm: bool,
    /// From image to vector.
    pub gather: Gather,
    /// Widths of the dense layers between vector and classes, each with ReLU.
    pub dense: Vec<usize>,
}

impl Default for CnnOptions {
    fn default() -> Self {
        let layer = |filters, dropout| CnnLayer {
            filters,
            dropout,
            ..CnnLayer::default()
        };
        Self {
            layers: vec![
                layer(32, 0.0),
                layer(64, 0.0),
                layer(128, 0.1),
                layer(128, 0.1),
            ],
            batch_norm: true,
            gather: Gather::Average,
            dense: vec![128],
        }
    }
}

impl CnnOptions {
    /// Checks every option, and that a picture of `size` can be halved so often.
    ///
    /// # Errors
    /// [`Error::Setting`] naming the option.
    pub fn check(&self, size: usize) -> Result<()> {
        let wrong = |name: String, reason: String| Err(Error::setting(name, reason));
        if !(1..=32).contains(&self.layers.len()) {
            return wrong("cnn.layers".into(), "1 to 32 layers expected".into());
        }
        for (i, layer) in self.layers.iter().enumerate() {
            let of = |field: &str| format!("cnn.layers[{i}].{field}");
            if !(1..=4096).contains(&layer.filters) {
                return wrong(of("filters"), "1 to 4096 expected".into());
            }
            if layer.kernel.is_multiple_of(2) || layer.kernel > 31 {
                return wrong(of("kernel"), "an odd number up to 31 expected".into());
            }
            if !(1..=8).contains(&layer.pool) {
                return wrong(of("pool"), "1 to 8 expected".into());
            }
            if !(0.0..1.0).contains(&layer.dropout) {
                return wrong(of("dropout"), "0 to below 1 expected".into());
            }
        }
        if let Some(i) = self.dense.iter().position(|w| !(1..=65_536).contains(w)) {
            return wrong(format!("cnn.dense[{i}]"), "1 to 65536 expected".into());
        }
        if self.dense.len() > 16 {
            return wrong("cnn.dense".into(), "at most 16 layers expected".into());
        }
        if self.last_side(size) == 0 {
            return wrong(
                "cnn.layers".into(),
                format!("a picture of {size} pixels cannot be pooled so often"),
            );
        }
        Ok(())
    }

    /// Side of the last image.
    fn last_side(&self, size: usize) -> usize {
        self.layers
            .iter()
            .fold(size, |side, layer| side / layer.pool)
    }
}

/// The network.
#[derive(Debug, Clone)]
pub struct Cnn {
    layers: Vec<Layer>,
    gather: Gather,
    dense: Vec<Linear>,
}

#[derive(Debug, Clone)]
struct Layer {
    conv: Conv2d,
    norm: Option<BatchNorm2d>,
    pool: usize,
    dropout: f64,
}

impl Cnn {
    /// Asks `scope` for all parameters: `features.0.conv.weight`,
    /// `features.0.bn.weight` ..., `classifier.0.weight` ...
    ///
    /// - `channels`, `size`: of the pictures
    /// - `outputs`: class scores
    ///
    /// # Errors
    /// As for [`CnnOptions::check`] and [`ParamScope::weight`].
    pub fn new(
        scope: &ParamScope<'_>,
        options: &CnnOptions,
        channels: usize,
        size: usize,
        outputs: usize,
    ) -> Result<Self> {
        options.check(size)?;
        let mut layers = Vec::new();
        let mut inputs = channels;
        for (i, layer) in options.layers.iter().enumerate() {
            let scope = scope.pp("features").pp(i);
            let shape = ConvShape {
                channels: inputs,
                filters: layer.filters,
                kernel: layer.kernel,
                stride: 1,
                padding: layer.kernel / 2,
            };
            let biased = !options.batch_norm;
            layers.push(Layer {
                conv: Conv2d::new(&scope.pp("conv"), shape, biased, Init::KaimingNormalFanOut)?,
                norm: match options.batch_norm {
                    true => Some(BatchNorm2d::new(&scope.pp("bn"), layer.filters)?),
                    false => None,
                },
                pool: layer.pool,
                dropout: layer.dropout,
            });
            inputs = layer.filters;
        }
        if options.gather == Gather::Flatten {
            inputs *= options.last_side(size).pow(2);
        }
        let mut dense = Vec::new();
        for (i, &width) in options.dense.iter().chain([&outputs]).enumerate() {
            dense.push(Linear::new(&scope.pp("classifier").pp(i), inputs, width)?);
            inputs = width;
        }
        Ok(Self {
            layers,
            gather: options.gather,
            dense,
        })
    }

    /// Number of convolution layers.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.layers.len()
    }

    /// One layer, counted from 0; `dropout` is the seed of what it drops.
    ///
    /// # Errors
    /// As for [`ops::conv2d`].
    pub fn layer(
        &self,
        index: usize,
        x: &Tensor,
        mode: Mode,
        dropout: Option<Seed>,
    ) -> Result<Tensor> {
        let layer = &self.layers[index];
        let y = layer.conv.forward(x)?;
        let mut y = match &layer.norm {
            Some(norm) => norm.forward(&y, true, mode)?,
            None => ops::relu(&y)?,
        };
        if layer.pool > 1 {
            y = ops::max_pool2d(&y, layer.pool, layer.pool, 0)?;
        }
        match dropout {
            Some(seed) if layer.dropout > 0.0 => {
                ops::dropout(&y, layer.dropout, seed.derive("cnn.layer", index as u64))
            }
            _ => Ok(y),
        }
    }

    /// The last image as a vector, through all dense layers but the last.
    ///
    /// # Errors
    /// [`Error::Shape`] if the image's size is not that of the settings.
    pub fn features(&self, last: &Tensor) -> Result<Tensor> {
        let mut x = match self.gather {
            Gather::Average => ops::global_avg_pool(last)?,
            Gather::Flatten => last.contiguous()?.flatten_from(1)?,
        };
        for dense in &self.dense[..self.dense.len() - 1] {
            x = ops::relu(&dense.forward(&x)?)?;
        }
        Ok(x)
    }

    /// Class scores `[n, outputs]` of [`Cnn::features`].
    ///
    /// # Errors
    /// As for [`Linear::forward`].
    pub fn head(&self, features: &Tensor) -> Result<Tensor> {
        self.dense[self.dense.len() - 1].forward(features)
    }

    /// How the last image becomes a vector, and the dense layers after that.
    pub(crate) fn dense(&self) -> (Gather, Vec<&Linear>) {
        (self.gather, self.dense.iter().collect())
    }

    /// For the inference engine; the outputs are the images of layer `at`
    /// (counted from 0) and of the last one.
    ///
    /// # Errors
    /// As for [`Conv::folded`].
    pub fn graph_with_layer(&self, at: usize) -> Result<Graph> {
        let (mut graph, mut x) = Graph::new(self.layers[0].conv.weight.dim(1)?);
        let mut wanted = x;
        for (index, layer) in self.layers.iter().enumerate() {
            x = graph.conv(
                x,
                Conv::folded(&layer.conv, layer.norm.as_ref())?,
                None,
                true,
            );
            if layer.pool > 1 {
                x = graph.max_pool(x, layer.pool, layer.pool, 0);
            }
            if index == at {
                wanted = x;
            }
        }
        graph.output(wanted);
        graph.output(x);
        Ok(graph)
    }
}
