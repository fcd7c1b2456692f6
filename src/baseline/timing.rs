//! What training costs on this machine, for estimates.

use super::model::outputs;
use super::network::{Network, Pass};
use super::optimiser::Optimiser;
use super::options::BaselineOptions;
use super::start::{Kind, architecture};
use crate::error::Result;
use crate::nn::init::Init;
use crate::nn::loss::cross_entropy;
use crate::nn::parameters::Parameters;
use crate::nn::thread_pool::on_pool;
use crate::nn::weights::WeightFile;
use crate::random::Seed;
use candle_core::Device;
use std::time::Instant;

/// Pictures of the timed step.
const BATCH: usize = 4;

/// Milliseconds that a picture takes in a training step, by one step on noise
/// (the first one, which also takes memory, is not counted). Reading and
/// varying it is not in it.
///
/// # Errors
/// As [`super::fit`].
pub fn milliseconds_a_picture(
    kind: Kind,
    options: &BaselineOptions,
    start: Option<&WeightFile>,
    channels: usize,
    classes: &[String],
    device: &Device,
) -> Result<f64> {
    let architecture = architecture(kind, options, start, channels)?;
    let parameters = Parameters::new(Seed::new(0), device);
    let outputs = outputs(classes);
    let network = Network::new(&parameters.root(), &architecture, outputs)?;
    let mut optimiser = Optimiser::new(&parameters, options)?;
    let shape = (BATCH, channels, options.size, options.size);
    let x = Init::normal(1.0).draw(shape, Seed::new(1), device)?;
    let class: Vec<usize> = (0..BATCH).map(|i| i % outputs).collect();
    let mut step = || -> Result<()> {
        let pass = Pass {
            frozen: options.freeze,
            dropout: options.dropout,
            seed: Seed::new(2),
        };
        let scores = network.train(&x, pass)?;
        let values: Vec<f32> = scores.flatten_all()?.to_vec1()?;
        let values: Vec<f64> = values.into_iter().map(f64::from).collect();
        let loss = cross_entropy(&values, &class, &vec![1.0; outputs])?;
        optimiser.step(&loss.backward(&scores)?)?;
        Ok(())
    };
    on_pool(device, &mut step)?;
    let begun = Instant::now();
    on_pool(device, &mut step)?;
    Ok(begun.elapsed().as_secs_f64() * 1000.0 / BATCH as f64)
}
