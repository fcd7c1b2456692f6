//! A network as a list of operations, batch norms folded into convolutions.

use crate::error::{Error, Result};
use crate::nn::kernels::read;
use crate::nn::layers::{BatchNorm2d, Conv2d};

/// An image within a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Id(pub(crate) usize);

/// A convolution with its batch norm folded in.
#[derive(Debug, Clone)]
pub struct Conv {
    /// `[filters, channels, kernel, kernel]`.
    pub(crate) weights: Vec<f32>,
    /// `[filters]`.
    pub(crate) bias: Vec<f32>,
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    pub(crate) padding: usize,
    pub(crate) channels: usize,
}

impl Conv {
    /// Folds `norm`, which follows `conv`, into its weights, in `f64`:
    /// `w gamma / sqrt(variance + eps)`, and the bias accordingly.
    ///
    /// # Errors
    /// [`Error::Shape`] if the two do not fit, or the weights are elsewhere
    /// than on the CPU.
    pub fn folded(conv: &Conv2d, norm: Option<&BatchNorm2d>) -> Result<Self> {
        let (filters, channels, kernel, _) = conv.weight.dims4()?;
        let values = |t: &candle_core::Tensor| -> Result<Vec<f32>> {
            Ok(read([t], |[values]| values.to_vec())?)
        };
        let mut weights = values(&conv.weight)?;
        let mut bias = match &conv.bias {
            Some(bias) => values(bias)?,
            None => vec![0.0; filters],
        };
        if let Some(norm) = norm {
            let [gamma, beta, mean, variance] = [
                &norm.gamma,
                &norm.beta,
                &norm.running_mean.as_detached_tensor(),
                &norm.running_var.as_detached_tensor(),
            ]
            .map(values);
            let (gamma, beta, mean, variance) = (gamma?, beta?, mean?, variance?);
            if gamma.len() != filters {
                return Err(Error::shape("batch norm to fold", gamma.len(), filters));
            }
            let window = channels * kernel * kernel;
            for (filter, weights) in weights.chunks_exact_mut(window).enumerate() {
                let deviation = (f64::from(variance[filter]) + norm.eps).sqrt();
                let scale = f64::from(gamma[filter]) / deviation;
                for weight in weights {
                    *weight = (f64::from(*weight) * scale) as f32;
                }
                let centred = f64::from(bias[filter]) - f64::from(mean[filter]);
                bias[filter] = (centred * scale + f64::from(beta[filter])) as f32;
            }
        }
        Ok(Self {
            weights,
            bias,
            kernel,
            stride: conv.stride,
            padding: conv.padding,
            channels,
        })
    }

    fn filters(&self) -> usize {
        self.bias.len()
    }
}

/// What computes an image.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    Input,
    Conv {
        conv: Conv,
        x: Id,
        residual: Option<Id>,
        relu: bool,
    },
    MaxPool {
        x: Id,
        kernel: usize,
        stride: usize,
        padding: usize,
    },
    Upsample2x(Id),
    Concat(Vec<Id>),
    Mean(Id),
}

impl Op {
    /// The images it reads.
    pub fn reads(&self) -> Vec<Id> {
        match self {
            Self::Input => Vec::new(),
            Self::Conv { x, residual, .. } => [Some(*x), *residual].into_iter().flatten().collect(),
            Self::MaxPool { x, .. } | Self::Upsample2x(x) | Self::Mean(x) => vec![*x],
            Self::Concat(parts) => parts.clone(),
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub op: Op,
    pub channels: usize,
}

/// A network from one image of a fixed number of channels to some outputs.
///
/// Operations are added in the order in which they run.
///
/// # Panics
/// The methods panic if channels do not fit: graphs are made from networks
/// whose shapes have been checked.
#[derive(Debug, Clone)]
pub struct Graph {
    /// In the order in which they run; an [`Id`] counts them.
    pub(crate) nodes: Vec<Node>,
    pub(crate) outputs: Vec<Id>,
}

impl Graph {
    /// A graph that so far passes on its input.
    #[must_use]
    pub fn new(channels: usize) -> (Self, Id) {
        let mut graph = Self {
            nodes: Vec::new(),
            outputs: Vec::new(),
        };
        let input = graph.push(Op::Input, channels);
        (graph, input)
    }

    /// Channels of the input.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.nodes[0].channels
    }

    /// Convolution, then the sum with `residual`, then ReLU.
    pub fn conv(&mut self, x: Id, conv: Conv, residual: Option<Id>, relu: bool) -> Id {
        assert_eq!(self.channels_of(x), conv.channels);
        let filters = conv.filters();
        if let Some(residual) = residual {
            assert_eq!(self.channels_of(residual), filters);
        }
        let op = Op::Conv {
            conv,
            x,
            residual,
            relu,
        };
        self.push(op, filters)
    }

    /// See [`crate::nn::ops::max_pool2d`].
    pub fn max_pool(&mut self, x: Id, kernel: usize, stride: usize, padding: usize) -> Id {
        let op = Op::MaxPool {
            x,
            kernel,
            stride,
            padding,
        };
        self.push(op, self.channels_of(x))
    }

    /// See [`crate::nn::ops::upsample_bilinear2x`].
    pub fn upsample2x(&mut self, x: Id) -> Id {
        self.push(Op::Upsample2x(x), self.channels_of(x))
    }

    /// All channels of images of one size. An image may be part of one
    /// concatenation only: that is where it is computed.
    pub fn concat(&mut self, parts: &[Id]) -> Id {
        let taken = |part: &Id| {
            self.nodes
                .iter()
                .any(|n| matches!(&n.op, Op::Concat(parts) if parts.contains(part)))
                || matches!(self.nodes[part.0].op, Op::Concat(_))
        };
        assert!(!parts.iter().any(taken));
        assert!((1..parts.len()).all(|i| !parts[..i].contains(&parts[i])));
        let channels = parts.iter().map(|&p| self.channels_of(p)).sum();
        self.push(Op::Concat(parts.to_vec()), channels)
    }

    /// The mean of every channel.
    pub fn mean(&mut self, x: Id) -> Id {
        self.push(Op::Mean(x), self.channels_of(x))
    }

    /// Makes an image one of the outputs.
    pub fn output(&mut self, x: Id) {
        self.outputs.push(x);
    }

    fn channels_of(&self, id: Id) -> usize {
        self.nodes[id.0].channels
    }

    fn push(&mut self, op: Op, channels: usize) -> Id {
        // A mean is an output, not an image.
        let is_mean = |x: &Id| matches!(self.nodes[x.0].op, Op::Mean(_));
        assert!(!op.reads().iter().any(is_mean));
        self.nodes.push(Node { op, channels });
        Id(self.nodes.len() - 1)
    }

    /// Height and width of every image.
    pub(super) fn sizes(&self, height: usize, width: usize) -> Result<Vec<(usize, usize)>> {
        let mut sizes: Vec<(usize, usize)> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            let windows = |x: Id, kernel: usize, stride: usize, padding: usize| {
                let (h, w) = sizes[x.0];
                let side =
                    |side: usize| Some((side + 2 * padding).checked_sub(kernel)? / stride + 1);
                side(h)
                    .zip(side(w))
                    .ok_or_else(|| Error::shape("picture", (height, width), "a larger one"))
            };
            let size = match &node.op {
                Op::Input => (height, width),
                Op::Conv { conv, x, .. } => windows(*x, conv.kernel, conv.stride, conv.padding)?,
                Op::MaxPool {
                    x,
                    kernel,
                    stride,
                    padding,
                } => windows(*x, *kernel, *stride, *padding)?,
                Op::Upsample2x(x) => (2 * sizes[x.0].0, 2 * sizes[x.0].1),
                Op::Concat(parts) => {
                    let first = sizes[parts[0].0];
                    if let Some(other) = parts.iter().map(|p| sizes[p.0]).find(|s| *s != first) {
                        return Err(Error::shape("image to concatenate", other, first));
                    }
                    first
                }
                Op::Mean(_) => (1, 1),
            };
            if size.0 == 0 || size.1 == 0 {
                return Err(Error::shape("picture", (height, width), "a larger one"));
            }
            if let Op::Conv {
                residual: Some(residual),
                ..
            } = &node.op
                && sizes[residual.0] != size
            {
                return Err(Error::shape("image to add", sizes[residual.0], size));
            }
            sizes.push(size);
        }
        Ok(sizes)
    }

    /// Multiplications with addition of all convolutions for one picture.
    ///
    /// # Errors
    /// [`Error::Shape`] if the picture is too small.
    pub fn multiply_adds(&self, height: usize, width: usize) -> Result<u64> {
        let sizes = self.sizes(height, width)?;
        let of_node = |(node, (h, w)): (&Node, (usize, usize))| match &node.op {
            Op::Conv { conv, .. } => (conv.weights.len() * h * w) as u64,
            _ => 0,
        };
        Ok(self.nodes.iter().zip(sizes).map(of_node).sum())
    }
}
