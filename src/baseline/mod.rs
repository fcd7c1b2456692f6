//! The supervised baseline: a ResNet or a plain CNN trained end to end on
//! labelled pieces, image in, class probabilities out.
//!
//! The drawing's lower branch (Image ▶ **baseline** ▶ Prediction). The recipe
//! is the eraser paper's fine-tuning of ResNets on six channels, every number
//! of it an option; the metal-surface recipe and the course's small network
//! are other values of the same options.
//!
//! [`options`] are those numbers, [`view`] is what the network sees of a piece,
//! [`network`] what it is, [`train`] the loop with its [`balance`], optimiser
//! and [`schedule`], [`model`] what comes out of it, and [`cam`] where it looked.

pub mod balance;
pub mod cam;
mod measure;
pub mod model;
pub mod network;
mod optimiser;
pub mod options;
pub mod pieces;
pub mod schedule;
pub mod start;
pub mod timing;
pub mod train;
pub mod view;

pub use balance::Balance;
pub use model::{Baseline, BaselineShape};
pub use network::{Architecture, Network};
pub use optimiser::OptimiserKind;
pub use options::BaselineOptions;
pub use pieces::PieceReader;
pub use start::Kind;
pub use train::{EpochRow, Fitted, Job, check, fit, steps};
