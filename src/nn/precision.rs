//! With what precision a GPU computes convolutions.

use crate::error::{Error, Result};
use candle_core::Device;
use std::sync::atomic::{AtomicU8, Ordering};

/// The numbers that a GPU's convolutions multiply; sums are `f32` always, and
/// so is everything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// `f32`, as on the CPU.
    #[default]
    Float32,
    /// `f32` rounded to 10 bits of fraction: several times faster on GPUs from
    /// compute capability 8.0 on.
    Tf32,
    /// 7 bits of fraction, half the memory traffic.
    Bfloat16,
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

    /// Makes it the precision of all convolutions on GPUs from here on. Choose
    /// once, before the first network runs.
    ///
    /// # Errors
    /// [`Error::Setting`] if the device is the CPU, which computes in `f32`.
    pub fn choose(self, device: &Device) -> Result<()> {
        if device.is_cpu() && self != Self::Float32 {
            return Err(Error::setting(
                "precision",
                format!("{} given, but the CPU computes in float32", self.name()),
            ));
        }
        CHOSEN.store(self as u8, Ordering::Relaxed);
        Ok(())
    }

    fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// What was chosen last.
    #[cfg(feature = "cuda")]
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
    fn the_cpu_computes_in_float32_alone() {
        assert!(Precision::Float32.choose(&Device::Cpu).is_ok());
        for name in ["tf32", "bfloat16"] {
            let precision = Precision::named(name).unwrap();
            assert!(precision.choose(&Device::Cpu).is_err());
        }
        assert_eq!(Precision::named("float16"), None);
    }
}
