//! What a pass computes with: which numbers its images hold and which kernels
//! its convolutions run on.

use super::graph::Conv;
use crate::nn::kernels::nhwc::bfloat16::{self, Unit};
use crate::nn::kernels::nhwc::conv::{ConvSpec, Convolution};
use crate::nn::kernels::nhwc::winograd::Winograd;
use crate::nn::kernels::nhwc::{Element, View};
use crate::nn::kernels::simd::Level;
use crate::nn::kernels::team::Team;
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
        team: Option<&Team>,
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
        team: Option<&Team>,
    ) {
        match conv {
            Float32Conv::Direct(conv) => conv.run(arena, x, y, residual, team),
            Float32Conv::Winograd(conv) => conv.run(arena, x, y, residual, team),
        }
    }
}

/// Images and weights in bfloat16, sums in `f32`, by a unit of the processor.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bfloat16 {
    pub unit: Unit,
    pub transformed: Transformed,
}

/// Which convolutions in bfloat16 are Winograd's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transformed {
    WhereFaster,
    #[cfg(test)]
    WherePossible,
    #[cfg(test)]
    Nowhere,
}

pub(super) enum Bfloat16Conv {
    Direct(bfloat16::Convolution),
    Winograd(bfloat16::Winograd),
}

impl Arithmetic for Bfloat16 {
    type Element = bf16;
    type Conv = Bfloat16Conv;

    fn surplus(stride: usize) -> usize {
        bfloat16::surplus(stride)
    }

    fn conv(self, conv: &Conv, spec: ConvSpec, x: &View, _size: (usize, usize)) -> Bfloat16Conv {
        let (weights, bias, unit) = (&conv.weights, &conv.bias, self.unit);
        let transformed = match self.transformed {
            Transformed::WhereFaster => bfloat16::Winograd::pays(spec, x, bias.len(), unit),
            #[cfg(test)]
            Transformed::WherePossible => bfloat16::Winograd::applies(spec, x, bias.len()),
            #[cfg(test)]
            Transformed::Nowhere => false,
        };
        if transformed {
            Bfloat16Conv::Winograd(bfloat16::Winograd::new(spec, weights, bias, x, unit))
        } else {
            Bfloat16Conv::Direct(bfloat16::Convolution::new(spec, weights, bias, x, unit))
        }
    }

    fn run(
        conv: &Bfloat16Conv,
        arena: &mut [bf16],
        x: &View,
        y: &View,
        residual: Option<&View>,
        team: Option<&Team>,
    ) {
        match conv {
            Bfloat16Conv::Direct(conv) => conv.run(arena, x, y, residual, team),
            Bfloat16Conv::Winograd(conv) => conv.run(arena, x, y, residual, team),
        }
    }
}
