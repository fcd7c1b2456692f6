//! What changes during a training: weights, optimiser, average, the best weights
//! so far; one step of it; and how it is kept across a stop.

use super::{History, LossRow};
use crate::draem::DraemOptions;
use crate::draem::loss;
use crate::draem::model::{Draem, DraemShape};
use crate::draem::network::Networks;
use crate::draem::simulate::Simulated;
use crate::draem::validate::ValidationRow;
use crate::error::Result;
use crate::nn::checkpoint::Checkpoint;
use crate::nn::ema::Ema;
use crate::nn::layers::Mode;
use crate::nn::optim::{Adam, AdamOptions};
use crate::nn::parameters::Parameters;
use crate::random::Seed;
use candle_core::{Device, Tensor};
use ndarray::{Array2, Array3};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// What of a training's state is no tensor. Random choices need none: each is
/// drawn from the seed and the number of the step.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Progress {
    /// Updates of the average.
    averaged: u64,
    history: History,
}

/// Everything that changes during training.
pub(super) struct State {
    shape: DraemShape,
    parameters: Parameters,
    networks: Networks,
    adam: Adam,
    average: Option<Ema>,
    /// The weights of the best validation.
    best: HashMap<String, Tensor>,
    pub(super) history: History,
    device: Device,
}

impl State {
    pub(super) fn new(
        channels: usize,
        options: &DraemOptions,
        start: Option<&Draem>,
        seed: Seed,
        device: &Device,
    ) -> Result<Self> {
        let shape = options.shape(channels);
        let parameters = Parameters::new(seed.derive("draem.weights", 0), device);
        let networks = Networks::new(
            &parameters.root(),
            channels,
            options.reconstructive_width,
            options.discriminative_width,
        )?;
        if let Some(start) = start {
            start.shape().check_continues_as(shape)?;
            parameters.load(&start.weights())?;
        }
        let adam = Adam::new(
            &parameters,
            AdamOptions {
                max_gradient_norm: (options.clip > 0.0).then_some(options.clip),
                ..AdamOptions::adam(options.learning_rate)
            },
        )?;
        let average = match options.ema > 0.0 {
            true => Some(Ema::new(&parameters, options.ema)?),
            false => None,
        };
        Ok(Self {
            shape,
            parameters,
            networks,
            adam,
            average,
            best: HashMap::new(),
            history: History::default(),
            device: device.clone(),
        })
    }

    /// Steps done.
    pub(super) fn done(&self) -> usize {
        self.history.losses.len()
    }

    /// A copy of the weights that count: the averages, where they are kept.
    fn weights(&self) -> Result<HashMap<String, Tensor>> {
        match &self.average {
            Some(average) => Ok(average.tensors()?.into_iter().collect()),
            None => {
                let tensors = self.parameters.tensors().into_iter();
                tensors.map(|(name, t)| Ok((name, t.copy()?))).collect()
            }
        }
    }

    /// The model as it is.
    pub(super) fn model(&self) -> Result<Draem> {
        Draem::new(self.shape, self.weights()?, &self.device)
    }

    /// The model that is kept: the best by validation, else the last.
    pub(super) fn kept_model(&self) -> Result<Draem> {
        match self.history.kept_step {
            Some(_) => Draem::new(self.shape, self.best.clone(), &self.device),
            None => self.model(),
        }
    }

    /// Notes a validation of the model as it is, and keeps the model if it is
    /// the best so far.
    pub(super) fn validated(&mut self, row: ValidationRow) -> Result<()> {
        let best = self.history.kept_step;
        let best = best.and_then(|step| self.history.validations.iter().find(|r| r.step == step));
        if best.is_none_or(|best| row.at_least_as_good_as(best)) {
            self.best = self.weights()?;
            self.history.kept_step = Some(row.step);
        }
        self.history.validations.push(row);
        Ok(())
    }

    pub(super) fn step(
        &mut self,
        step: usize,
        batch: &[Simulated],
        regions: &[Array2<bool>],
        options: &DraemOptions,
    ) -> Result<()> {
        let images = |of: fn(&Simulated) -> &Array3<f32>| -> Result<Tensor> {
            let (c, h, w) = of(&batch[0]).dim();
            let pixels: Vec<f32> = batch.iter().flat_map(|s| of(s).iter().copied()).collect();
            Ok(Tensor::from_vec(
                pixels,
                (batch.len(), c, h, w),
                &self.device,
            )?)
        };
        let good = images(|s| &s.good)?;
        let defective = images(|s| &s.defective)?;
        let (h, w) = batch[0].mask.dim();
        let planes = |of: &mut dyn Iterator<Item = &Array2<bool>>| -> Result<Tensor> {
            let values: Vec<f32> = of
                .flat_map(|plane| plane.iter().map(|&inside| f32::from(u8::from(inside))))
                .collect();
            Ok(Tensor::from_vec(
                values,
                (batch.len(), 1, h, w),
                &self.device,
            )?)
        };
        let mask = planes(&mut batch.iter().map(|s| &s.mask))?;
        let roi = match regions {
            [] => None,
            regions => Some(planes(&mut regions.iter())?),
        };

        let (restored, classes) = self.networks.forward(&defective, Mode::Train)?;
        let loss::Losses { l2, ssim, focal } =
            loss::losses(&restored, &good, &classes, &mask, roi.as_ref())?;
        let total = ((&l2 + &ssim)? + &focal)?;
        let learning_rate = options.learning_rate_at(step);
        self.adam.set_learning_rate(learning_rate);
        let gradient_norm = self.adam.backward_step(&total)?;
        if let Some(average) = &mut self.average {
            average.update()?;
        }
        let value = |t: &Tensor| -> Result<f64> { Ok(f64::from(t.to_scalar::<f32>()?)) };
        self.history.losses.push(LossRow {
            step: step + 1,
            total: value(&total)?,
            l2: value(&l2)?,
            ssim: value(&ssim)?,
            focal: value(&focal)?,
            learning_rate,
            gradient_norm,
        });
        Ok(())
    }

    pub(super) fn save(&self, checkpoint: &Checkpoint) -> Result<()> {
        let mut parts = vec![
            ("weights", self.parameters.tensors()),
            ("adam", self.adam.state()?),
        ];
        if let Some(average) = &self.average {
            parts.push(("average", average.tensors()?));
        }
        let mut best: Vec<_> = self.best.clone().into_iter().collect();
        best.sort_by(|a, b| a.0.cmp(&b.0));
        parts.push(("best", best));
        let progress = Progress {
            averaged: self.average.as_ref().map_or(0, Ema::updates),
            history: self.history.clone(),
        };
        checkpoint.write(&progress, parts)
    }

    /// Takes up the checkpoint, if there is one to take up.
    pub(super) fn load(&mut self, checkpoint: &Checkpoint) -> Result<bool> {
        let Some(mut saved) = checkpoint.read::<Progress>(&self.device)? else {
            return Ok(false);
        };
        self.parameters.load(&saved.take("weights"))?;
        self.adam.load_state(&saved.take("adam"))?;
        if let Some(average) = &mut self.average {
            average.load(&saved.take("average"), saved.progress.averaged)?;
        }
        self.best = saved.take("best");
        self.history = saved.progress.history;
        Ok(true)
    }
}
