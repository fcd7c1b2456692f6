//! The loops beneath [`super::ops`], for `f32` on the CPU.
//!
//! Each file holds one operation: its forward pass, its gradient, and the
//! candle custom operation that joins the two. They compute the same bytes
//! whatever the number of threads: work is cut by the shapes alone, and
//! partial sums are added in a fixed order.
//!
//! Callers go through [`super::ops`], which checks shapes first; what is
//! asserted here is what the `unsafe` blocks rest on.

// Lifted here alone, for two reasons: results are written once into memory
// that is not cleared first, and the hot loops use wide vector instructions.
#![allow(unsafe_code)]

pub(super) mod adam;
pub(super) mod affine;
pub(super) mod batch_norm;
mod buffer;
pub(super) mod candle_pool;
mod channels_last;
pub(super) mod conv;
#[cfg(feature = "cuda")]
pub(super) mod cudnn;
mod direct;
mod direct_weights;
pub(super) mod gaussian;
mod grouped;
pub(super) mod im2col;
pub(super) mod matrix;
pub(super) mod nhwc;
mod partial_sums;
mod patches;
pub(super) mod pool;
pub(super) mod rectify;
pub(super) mod relu;
mod shifted;
pub(super) mod simd;
pub(super) mod softmax;
pub(super) mod ssim;
pub(super) mod team;
mod transpose;
pub(super) mod upsample;
mod vector;

pub(super) use buffer::read;
