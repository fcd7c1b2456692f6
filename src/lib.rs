//! goma tells good pieces from defective ones in photographs.
//!
//! Reading order: [`pipeline`] is the story (fit, then inspect). [`data`]
//! holds the nouns it hands on. The steps are [`draem`] (anomaly map),
//! [`extract`] (features), [`selection`], [`classifier`] and [`decision`];
//! [`nn`] and [`metrics`] are the numbers beneath them. [`store`] keeps a
//! trained pipeline as a folder, [`report`] shows what was found, [`comparison`]
//! measures what helps. Beside it all stands the supervised [`baseline`], and
//! [`ablation`] varies it. [`export`] hands networks on to other runtimes. Before
//! it all, [`crop`] takes pictures of packs apart and [`audit`] looks at the data.

pub mod ablation;
pub mod audit;
pub mod baseline;
pub mod bench;
pub mod bundled;
pub mod classifier;
pub mod comparison;
pub mod crop;
pub mod data;
pub mod decision;
pub mod draem;
pub mod error;
pub mod export;
pub mod extract;
pub mod files;
pub mod metrics;
pub mod nn;
pub mod pipeline;
pub mod pretrain;
pub mod progress;
pub mod random;
pub mod report;
pub mod selection;
pub mod settings;
pub mod store;
pub mod stream;
pub mod synth;

pub use error::{Error, Result};
