//! An exponential moving average of a network's weights, which jumps about less
//! than the weights themselves do at a high learning rate.
//!
//! # References
//! B. Polyak, A. Juditsky, SIAM J. Control Optim. 30(4), 1992; the growing decay
//! is TensorFlow's (`tf.train.ExponentialMovingAverage`, `num_updates`).

use super::kernels;
use super::parameters::Parameters;
use crate::error::{Error, Result};
use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;
use std::collections::HashMap;

/// The average of everything in [`Parameters`].
///
/// After step t (counted from 0): `a <- a + (1 - d) (w - a)` with
/// `d = min(decay, (1 + t) / (10 + t))`, so that the initial weights do not
/// linger. It begins as a copy.
///
/// Running means and variances of batch norm are averaged like the weights:
/// each follows the batches over the same stretch of the path, so the averaged
/// weights meet the averages of what they saw. (Copied from the newest weights,
/// they would be off by as much as the weights moved.)
#[derive(Debug)]
pub struct Ema {
    decay: f64,
    updates: u64,
    slots: Vec<Slot>,
}

#[derive(Debug)]
struct Slot {
    name: String,
    /// Shares memory with the parameter.
    current: Tensor,
    mean: Mean,
}

#[derive(Debug)]
enum Mean {
    /// Updated in place.
    Host(Vec<f32>),
    /// On another device.
    Device(Tensor),
}

impl Mean {
    fn of(tensor: &Tensor) -> Result<Self> {
        Ok(if tensor.device().is_cpu() {
            Self::Host(tensor.flatten_all()?.to_vec1()?)
        } else {
            Self::Device(tensor.copy()?.detach())
        })
    }
}

impl Ema {
    /// The average of `parameters`, which begins as their present values.
    ///
    /// # Errors
    /// [`Error::Setting`] unless `0 <= decay < 1`.
    pub fn new(parameters: &Parameters, decay: f64) -> Result<Self> {
        if !(0.0..1.0).contains(&decay) {
            return Err(Error::setting("ema", format!("{decay}, must be in [0, 1)")));
        }
        let slots = parameters
            .tensors()
            .into_iter()
            .map(|(name, current)| {
                Ok(Slot {
                    name,
                    mean: Mean::of(&current)?,
                    current,
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            decay,
            updates: 0,
            slots,
        })
    }

    /// Moves the average towards the parameters, after a step of the optimiser.
    ///
    /// # Errors
    /// If the device fails.
    pub fn update(&mut self) -> Result<()> {
        let t = self.updates as f64;
        let share = 1.0 - self.decay.min((1.0 + t) / (10.0 + t));
        self.updates += 1;
        self.slots.par_iter_mut().try_for_each(|slot| {
            match &mut slot.mean {
                Mean::Host(mean) => kernels::read([&slot.current], |[w]| {
                    for (mean, w) in mean.iter_mut().zip(w) {
                        *mean += share as f32 * (w - *mean);
                    }
                })?,
                Mean::Device(mean) => {
                    let moved = ((&slot.current - &*mean)? * share)?;
                    *mean = (&*mean + moved)?.detach();
                }
            }
            Ok(())
        })
    }

    /// The averages, named and shaped as the parameters: copies.
    ///
    /// # Errors
    /// If the device fails.
    pub fn tensors(&self) -> Result<Vec<(String, Tensor)>> {
        self.slots
            .iter()
            .map(|slot| {
                let mean = match &slot.mean {
                    Mean::Host(mean) => {
                        Tensor::from_slice(mean, slot.current.shape(), &Device::Cpu)?
                    }
                    Mean::Device(mean) => mean.clone(),
                };
                Ok((slot.name.clone(), mean))
            })
            .collect()
    }

    /// How often it was updated.
    #[must_use]
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// Takes up averages saved by [`Ema::tensors`] after so many updates.
    ///
    /// # Errors
    /// [`Error::Data`] if one is missing, [`Error::Shape`] if one does not fit;
    /// nothing is changed then.
    pub fn load(&mut self, means: &HashMap<String, Tensor>, updates: u64) -> Result<()> {
        let mut loaded = Vec::with_capacity(self.slots.len());
        for slot in &self.slots {
            let mean = means
                .get(&slot.name)
                .ok_or_else(|| Error::data(format!("the averages lack {}", slot.name)))?;
            if mean.shape() != slot.current.shape() {
                return Err(Error::shape(
                    format!("average {}", slot.name),
                    mean.dims(),
                    slot.current.dims(),
                ));
            }
            let mean = mean
                .to_dtype(DType::F32)?
                .to_device(slot.current.device())?;
            loaded.push(Mean::of(&mean)?);
        }
        for (slot, mean) in self.slots.iter_mut().zip(loaded) {
            slot.mean = mean;
        }
        self.updates = updates;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::init::Init;
    use crate::random::Seed;
    use candle_core::Var;

    fn one_weight() -> (Parameters, Var) {
        let parameters = Parameters::new(Seed::new(1), &Device::Cpu);
        let scope = parameters.root();
        scope.weight("weight", 2, Init::Constant(0.0)).unwrap();
        scope.buffer("running_mean", 1, 0.0).unwrap();
        let var = parameters.trainable()[0].1.clone();
        (parameters, var)
    }

    fn values(ema: &Ema) -> Vec<f32> {
        ema.tensors().unwrap()[0].1.to_vec1().unwrap()
    }

    #[test]
    fn the_average_follows_faster_at_first_and_covers_buffers() {
        let (parameters, var) = one_weight();
        let mut ema = Ema::new(&parameters, 0.5).unwrap();
        var.set(&Tensor::new(&[1f32, 2.0], &Device::Cpu).unwrap())
            .unwrap();
        ema.update().unwrap(); // d = 1/10
        assert_eq!(values(&ema), [0.9, 1.8]);
        for _ in 0..8 {
            ema.update().unwrap();
        }
        // It has all but come to 1; half of the way to 3 is 2.
        var.set(&Tensor::new(&[3f32, 3.0], &Device::Cpu).unwrap())
            .unwrap();
        ema.update().unwrap(); // d = min(0.5, 10/19) = 0.5
        assert!((values(&ema)[0] - 2.0).abs() < 1e-4);
        assert_eq!(ema.tensors().unwrap()[1].0, "running_mean");
    }

    #[test]
    fn saved_averages_go_on_to_the_same_bytes() {
        let (parameters, var) = one_weight();
        let mut straight = Ema::new(&parameters, 0.9).unwrap();
        let mut first = Ema::new(&parameters, 0.9).unwrap();
        var.set(&Tensor::new(&[0.3f32, 0.7], &Device::Cpu).unwrap())
            .unwrap();
        for ema in [&mut straight, &mut first] {
            ema.update().unwrap();
        }
        let saved = first.tensors().unwrap().into_iter().collect();
        let mut second = Ema::new(&parameters, 0.9).unwrap();
        second.load(&saved, first.updates()).unwrap();
        for ema in [&mut straight, &mut second] {
            ema.update().unwrap();
        }
        assert_eq!(values(&straight), values(&second));
        assert!(second.load(&HashMap::new(), 0).is_err());
    }
}
