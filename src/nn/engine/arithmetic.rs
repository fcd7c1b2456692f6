//! What a pass computes with: which numbers its images hold and which kernels
//! its convolutions run on.

use super::graph::Conv;
use crate::nn::kernels::nhwc::conv::{ConvSpec, Convolution};
use crate::nn::kernels::nhwc::winograd::Winograd;
use crate::nn::kernels::nhwc::{Element, View, bfloat16};
use crate::nn::kernels::simd::Level;
use half::bf16;

pub(super) trait Arithmetic: Copy + Send + Sync {
    /// What images are stored as.
    type Element: Element;
    /// A convolution with its weights laid out.
    type Conv: Send + Sync;

    /// Pixels after an image that a convolution of this stride may read.
    fn surplus(stride: usize) -> usize;

    /// Prepares a convolution from `x` to an image of `size`.
    fn conv(self, conv: &Conv, spec: ConvSpec, x: &View, size: (usize, usize)) -> Self::Conv;

    /// Computes `y` from `x`, adding `residual` before ReLU.
    fn run(
        conv: &Self::Conv,
        arena: &mut [Self::Element],
        x: &View,
        y: &View,
        residual: Option<&View>,
        parallel: bool,
    );
}

/// `f32` throughout, by the instructions of a level.
#[derive(Debug, Clone, Copy)]
pub(super) struct Float32(pub Level);

pub(super) enum Float32Conv {
    Direct(Convolution),
    Winograd(Winograd),
}

impl Arithmetic for Float32 {
    type Element = f32;
    type Conv = Float32Conv;

    fn surplus(_stride: usize) -> usize {
        0
    }

    fn conv(self, conv: &Conv, spec: ConvSpec, x: &View, size: (usize, usize)) -> Float32Conv {
        let (weights, bias, inputs) = (&conv.weights, &conv.bias, &x.segments);
        if Winograd::pays(spec, inputs, bias.len(), size, self.0) {
            Float32Conv::Winograd(Winograd::new(spec, weights, bias, self.0))
        } else {
            Float32Conv::Direct(Convolution::new(spec, weights, bias, inputs, self.0))
        }
    }

    fn run(
        conv: &Float32Conv,
        arena: &mut [f32],
        x: &View,
        y: &View,
        residual: Option<&View>,
        parallel: bool,
    ) {
        match conv {
            Float32Conv::Direct(conv) => conv.run(arena, x, y, residual, parallel),
            Float32Conv::Winograd(conv) => conv.run(arena, x, y, residual, parallel),
        }
    }
}

/// Images and weights in bfloat16, sums in `f32`, by a unit of the processor.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bfloat16(pub bfloat16::Unit);

impl Arithmetic for Bfloat16 {
    type Element = bf16;
    type Conv = bfloat16::Convolution;

    fn surplus(stride: usize) -> usize {
        bfloat16::surplus(stride)
    }

    fn conv(self, conv: &Conv, spec: ConvSpec, x: &View, _size: (usize, usize)) -> Self::Conv {
        bfloat16::Convolution::new(spec, &conv.weights, &conv.bias, x, self.0)
    }

    fn run(
        conv: &Self::Conv,
        arena: &mut [bf16],
        x: &View,
        y: &View,
        residual: Option<&View>,
        parallel: bool,
    ) {
        conv.run(arena, x, y, residual, parallel);
    }
}
