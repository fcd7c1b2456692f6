//! The anomaly model of an earlier bundle, as the beginning of a training.

use crate::data::sample::{Channel, Sample};
use crate::draem::Draem;
use crate::error::{Error, Result};
use crate::progress::Observer;
use crate::store;
use crate::store::pieces::{Pieces, TrainedOn};
use candle_core::Device;
use std::path::Path;

/// A model to begin from, and what it has seen.
#[derive(Debug)]
pub struct Start {
    /// The anomaly model.
    pub draem: Draem,
    /// The channels it takes, in order.
    pub channels: Vec<Channel>,
    /// Name of the bundle.
    pub name: String,
    /// SHA-256 of the bundle's manifest, hexadecimal.
    pub hash: String,
    /// What the bundle was trained on; `None` if it does not say.
    pub pieces: Option<Pieces>,
}

impl Start {
    /// Opens a bundle with an anomaly model.
    ///
    /// # Errors
    /// As [`store::open`].
    pub fn open(folder: &Path, device: &Device) -> Result<Self> {
        let bundle = store::open(folder, device)?;
        Ok(Self {
            draem: bundle.pipeline.draem,
            channels: bundle.pipeline.format.channels,
            name: bundle.pipeline.training.name,
            hash: bundle.hash,
            pieces: Pieces::read(folder)?,
        })
    }

    /// Checks that the model has not seen pieces that must be new to it: it
    /// looks better on those it knows than it will on others.
    ///
    /// # Errors
    /// [`Error::Data`] with the number of those it knows; [`Error::Stopped`].
    pub fn check_new(&self, samples: &[&Sample], observer: &dyn Observer) -> Result<()> {
        let Some(pieces) = &self.pieces else {
            return Ok(());
        };
        let known = TrainedOn::by_networks(pieces).holds(samples, observer)?;
        match known.iter().filter(|known| **known).count() {
            0 => Ok(()),
            seen => Err(Error::data(format!(
                "{seen} of the {} pieces that are held out, or kept back to fit on, were trained on by \
                 {}, which this training begins from: it would look better than it is",
                samples.len(),
                self.name
            ))
            .help("train on pieces that are new to it, or on the same ones with its --seed and shares")),
        }
    }
}
