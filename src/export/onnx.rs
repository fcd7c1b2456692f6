//! A network of the engine as an ONNX graph, operation by operation, and the
//! few operations that stand before and after networks.
//!
//! Batch norms are folded into the convolutions as in the [engine](crate::nn::engine),
//! whose list of operations is the one source of what is computed. Everything is
//! float32, of operator set 17; the first axis of inputs and outputs is the batch,
//! of any size.

use super::proto::{self as pb, AttributeType, Dimension, Length};
use crate::error::Result;
use crate::nn::engine::{Graph, Op};
use crate::nn::layers::Linear;
use ndarray::Array2;
use std::collections::BTreeMap;

/// The operator set: old enough for runtimes in the field, and the last whose
/// reductions take their axes as attributes.
pub const OPSET: i64 = 17;
/// The file format's version that came with it.
const IR_VERSION: i64 = 8;

/// The name of a value in the graph.
pub(super) type Value = String;

/// An ONNX graph under construction.
pub(super) struct Builder(pb::GraphProto);

impl Builder {
    pub fn new(name: &str) -> Self {
        Self(pb::GraphProto {
            name: name.to_string(),
            ..Default::default()
        })
    }

    /// An input `[batch, dims]`.
    pub fn input(&mut self, name: &str, dims: &[usize]) -> Value {
        self.0.input.push(port(name, dims));
        name.to_string()
    }

    /// Makes a value `[batch, dims]` the output of this name.
    pub fn output(&mut self, value: &Value, name: &str, dims: &[usize]) {
        self.0.output.push(port(name, dims));
        for node in &mut self.0.node {
            for other in node.input.iter_mut().chain(&mut node.output) {
                if other == value {
                    *other = name.to_string();
                }
            }
        }
    }

    /// One operation on `inputs`; an empty name is an input left out.
    pub fn apply(
        &mut self,
        op: &str,
        inputs: &[&str],
        attributes: Vec<pb::AttributeProto>,
    ) -> Value {
        let name = format!("{op}_{}", self.0.node.len());
        // Not the operation's name: some runtimes keep both in one table.
        let value = format!("{name}_out");
        self.0.node.push(pb::NodeProto {
            op_type: op.to_string(),
            name,
            input: inputs.iter().map(ToString::to_string).collect(),
            output: vec![value.clone()],
            attribute: attributes,
        });
        value
    }

    /// Numbers that belong to the graph.
    pub fn constant(&mut self, dims: &[usize], values: &[f32]) -> Value {
        assert_eq!(dims.iter().product::<usize>(), values.len());
        let name = format!("constant_{}", self.0.initializer.len());
        self.0.initializer.push(pb::TensorProto {
            name: name.clone(),
            dims: dims.iter().map(|&d| d as i64).collect(),
            data_type: pb::FLOAT,
            raw_data: values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        });
        name
    }

    /// All outputs of a network that sees `x`, in their order.
    pub fn network(&mut self, graph: &Graph, x: &Value) -> Vec<Value> {
        let mut values: Vec<Value> = Vec::with_capacity(graph.nodes.len());
        for node in &graph.nodes {
            let value = match &node.op {
                Op::Input => x.clone(),
                Op::Conv {
                    conv,
                    x,
                    residual,
                    relu,
                } => {
                    let k = conv.kernel;
                    let weights =
                        self.constant(&[conv.bias.len(), conv.channels, k, k], &conv.weights);
                    let bias = self.constant(&[conv.bias.len()], &conv.bias);
                    let window = window(k, conv.stride, conv.padding);
                    let mut y = self.apply("Conv", &[&values[x.0], &weights, &bias], window);
                    if let Some(residual) = residual {
                        y = self.apply("Add", &[&y, &values[residual.0]], vec![]);
                    }
                    match relu {
                        true => self.apply("Relu", &[&y], vec![]),
                        false => y,
                    }
                }
                Op::MaxPool {
                    x,
                    kernel,
                    stride,
                    padding,
                } => {
                    let window = window(*kernel, *stride, *padding);
                    self.apply("MaxPool", &[&values[x.0]], window)
                }
                Op::Upsample2x(x) => {
                    let scales = self.constant(&[4], &[1.0, 1.0, 2.0, 2.0]);
                    let how = vec![
                        text("mode", "linear"),
                        text("coordinate_transformation_mode", "align_corners"),
                    ];
                    self.apply("Resize", &[&values[x.0], "", &scales], how)
                }
                Op::Concat(parts) => {
                    let parts: Vec<&str> = parts.iter().map(|p| values[p.0].as_str()).collect();
                    self.apply("Concat", &parts, vec![int("axis", 1)])
                }
                Op::Mean(x) => {
                    let x = values[x.0].clone();
                    self.mean(&x)
                }
            };
            values.push(value);
        }
        let outputs = graph.outputs.iter();
        outputs.map(|id| values[id.0].clone()).collect()
    }

    /// The mean of every channel, `[n, c, h, w]` to `[n, c]`.
    pub fn mean(&mut self, x: &Value) -> Value {
        let mean = self.apply("GlobalAveragePool", &[x], vec![]);
        self.flatten(&mean)
    }

    /// `[n, c, h, w]` to `[n, c h w]`.
    pub fn flatten(&mut self, x: &Value) -> Value {
        self.apply("Flatten", &[x], vec![int("axis", 1)])
    }

    /// A fully connected layer, `[n, inputs]` to `[n, outputs]`.
    pub fn dense(&mut self, layer: &Linear, x: &Value) -> Result<Value> {
        let (outputs, inputs) = layer.weight.dims2()?;
        let (weight, bias) = layer.values()?;
        let weight = self.constant(&[outputs, inputs], &weight);
        let bias = self.constant(&[outputs], &bias);
        Ok(self.apply("Gemm", &[x, &weight, &bias], vec![int("transB", 1)]))
    }

    /// Every channel minus its mean, by its deviation.
    pub fn normalise(&mut self, x: &Value, mean: &[f32], deviation: &[f32]) -> Value {
        let dims = [1, mean.len(), 1, 1];
        let (mean, deviation) = (self.constant(&dims, mean), self.constant(&dims, deviation));
        let centred = self.apply("Sub", &[x, &mean], vec![]);
        self.apply("Div", &[&centred, &deviation], vec![])
    }

    /// Pictures times a mask `[h, w]`: black outside of it.
    pub fn within(&mut self, x: &Value, inside: &Array2<bool>) -> Value {
        let (height, width) = inside.dim();
        let inside: Vec<f32> = inside.iter().map(|&i| f32::from(u8::from(i))).collect();
        let mask = self.constant(&[1, 1, height, width], &inside);
        self.apply("Mul", &[x, &mask], vec![])
    }

    /// Every picture `P` as `down P across`: a resampling of rows and columns.
    pub fn resample(&mut self, x: &Value, down: &Array2<f32>, across: &Array2<f32>) -> Value {
        let mut matrix = |m: &Array2<f32>| {
            let values: Vec<f32> = m.iter().copied().collect();
            self.constant(&[m.nrows(), m.ncols()], &values)
        };
        let (down, across) = (matrix(down), matrix(across));
        let x = self.apply("MatMul", &[x, &across], vec![]);
        self.apply("MatMul", &[&down, &x], vec![])
    }

    /// A convolution of single pixels: `weights` is `[filters, channels]`.
    pub fn mix(&mut self, x: &Value, weights: &Array2<f32>) -> Value {
        let (filters, channels) = weights.dim();
        let values: Vec<f32> = weights.iter().copied().collect();
        let weights = self.constant(&[filters, channels, 1, 1], &values);
        self.apply("Conv", &[x, &weights], window(1, 1, 0))
    }

    /// The file.
    pub fn finish(self, metadata: &BTreeMap<String, String>) -> pb::ModelProto {
        let entries = metadata.iter();
        pb::ModelProto {
            ir_version: IR_VERSION,
            opset_import: vec![pb::OperatorSetIdProto {
                domain: String::new(),
                version: OPSET,
            }],
            producer_name: "goma".into(),
            producer_version: env!("CARGO_PKG_VERSION").into(),
            graph: Some(self.0),
            metadata_props: entries
                .map(|(key, value)| pb::StringStringEntryProto {
                    key: key.clone(),
                    value: value.clone(),
                })
                .collect(),
        }
    }
}

/// A picture's or output's place: `[batch, dims]` of float32.
fn port(name: &str, dims: &[usize]) -> pb::ValueInfoProto {
    let batch = Length::DimParam("batch".into());
    let fixed = dims.iter().map(|&d| Length::DimValue(d as i64));
    let dim = std::iter::once(batch)
        .chain(fixed)
        .map(|length| Dimension {
            value: Some(length),
        })
        .collect();
    let tensor = pb::TensorTypeProto {
        elem_type: pb::FLOAT,
        shape: Some(pb::TensorShapeProto { dim }),
    };
    pb::ValueInfoProto {
        name: name.to_string(),
        r#type: Some(pb::TypeProto {
            tensor_type: Some(tensor),
        }),
    }
}

/// Attributes of a square window.
pub(super) fn window(kernel: usize, stride: usize, padding: usize) -> Vec<pb::AttributeProto> {
    vec![
        ints("kernel_shape", &[kernel; 2]),
        ints("strides", &[stride; 2]),
        ints("pads", &[padding; 4]),
    ]
}

/// An attribute of whole numbers.
pub(super) fn ints(name: &str, values: &[usize]) -> pb::AttributeProto {
    pb::AttributeProto {
        ints: values.iter().map(|&v| v as i64).collect(),
        ..attribute(name, AttributeType::Ints)
    }
}

/// An attribute of one whole number.
pub(super) fn int(name: &str, value: i64) -> pb::AttributeProto {
    pb::AttributeProto {
        i: value,
        ..attribute(name, AttributeType::Int)
    }
}

fn text(name: &str, value: &str) -> pb::AttributeProto {
    pb::AttributeProto {
        s: value.into(),
        ..attribute(name, AttributeType::String)
    }
}

fn attribute(name: &str, kind: AttributeType) -> pb::AttributeProto {
    pb::AttributeProto {
        name: name.to_string(),
        r#type: kind as i32,
        ..Default::default()
    }
}
