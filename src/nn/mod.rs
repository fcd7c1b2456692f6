//! Neural networks beneath the steps: operations with right gradients
//! ([`ops`]), layers and their named [`parameters`], optimisers ([`optim`]),
//! and the [`resnet`] backbones with their [`weights`]; the plain [`cnn`] beside them.
//! The small [`perceptron`] does without tensors.
//!
//! Tensors are candle's, `f32`, in the order `[n, c, h, w]`. What candle
//! 0.11.1 computes slowly or differentiates wrongly is done in [`ops`].

pub mod checkpoint;
pub mod cnn;
pub mod ema;
pub mod engine;
mod gradients;
pub mod init;
mod kernels;
pub mod layers;
pub mod loss;
#[cfg(test)]
pub(crate) mod made_up;
pub mod ops;
mod ops_generic;
pub mod optim;
pub mod parameters;
pub mod perceptron;
pub mod precision;
pub mod resnet;
pub mod sgd;
pub mod thread_pool;
pub mod weights;

pub use kernels::candle_pool::keep_candle_on_one_thread;
