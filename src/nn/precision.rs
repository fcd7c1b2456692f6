//! With what precision convolutions are computed.

use super::kernels::nhwc::bfloat16::Unit;
use crate::error::{Error, Result};
use candle_core::Device;
use std::sync::atomic::{AtomicU8, Ordering};

/// The numbers that convolutions multiply; sums are `f32` always. On a GPU
/// everything else is, too; a CPU that scores in bfloat16 also stores the
/// images between two convolutions so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// `f32`.
    #[default]
    Float32,
    /// `f32` rounded to 10 bits of fraction: several times faster on GPUs from
    /// compute capability 8.0 on.
    Tf32,
    /// `f32` rounded to 7 bits of fraction, half the memory traffic.
    Bfloat16,
}

/// What networks are to be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Training, and comparing what was trained.
    Training,
    /// Trained networks alone.
    Scoring,
}

impl Precision {
    /// The names that [`Precision::named`] knows.
    pub const NAMES: [&str; 3] = ["float32", "tf32", "bfloat16"];

    /// The precision of a name on the command line.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let all = [Self::Float32, Self::Tf32, Self::Bfloat16];
        let index = Self::NAMES.iter().position(|known| *known == name)?;
        Some(all[index])
    }

    /// Makes it the precision of all convolutions on GPUs from here on, and of
    /// networks that score on the CPU. Choose once, before the first network is
    /// made.
    ///
    /// # Errors
    /// [`Error::Setting`] if the device is the CPU and the precision TF32, or
    /// bfloat16 for other work than scoring or on a processor without it
    /// (AVX512-BF16 or AMX-BF16).
    pub fn choose(self, device: &Device, work: Work) -> Result<()> {
        let missing = match (device, self, work) {
            (Device::Cpu, Self::Tf32, _) => Some("only NVIDIA GPUs compute in it"),
            (Device::Cpu, Self::Bfloat16, Work::Training) => Some(
                "the CPU trains in float32: use bfloat16 with score, evaluate, features, bench",
            ),
            (Device::Cpu, Self::Bfloat16, Work::Scoring) if Unit::best().is_none() => {
                Some("this processor has neither AVX512-BF16 nor AMX-BF16")
            }
            _ => None,
        };
        if let Some(missing) = missing {
            let reason = format!("{} given, but {missing}", self.name());
            return Err(Error::setting("precision", reason));
        }
        CHOSEN.store(self as u8, Ordering::Relaxed);
        Ok(())
    }

    fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// What was chosen last.
    pub(super) fn chosen() -> Self {
        match CHOSEN.load(Ordering::Relaxed) {
            1 => Self::Tf32,
            2 => Self::Bfloat16,
            _ => Self::Float32,
        }
    }
}

static CHOSEN: AtomicU8 = AtomicU8::new(Precision::Float32 as u8);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_trains_in_float32_alone_and_never_computes_in_tf32() {
        let choose = |name, work| Precision::named(name).unwrap().choose(&Device::Cpu, work);
        for work in [Work::Training, Work::Scoring] {
            assert!(choose("float32", work).is_ok());
            assert!(choose("tf32", work).is_err());
        }
        assert!(choose("bfloat16", Work::Training).is_err());
        assert_eq!(Precision::named("float16"), None);
    }
}
