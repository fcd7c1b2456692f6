//! One seed, from which every random choice descends by name and index, so
//! that neither the order of work nor the number of threads changes a result.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use sha2::{Digest, Sha256};

/// A seed that hands out independent streams.
///
/// ```
/// use goma::random::Seed;
/// use rand::Rng;
///
/// let seed = Seed::new(7);
/// let a: u64 = seed.derive("perlin", 3).rng().random();
/// let b: u64 = seed.derive("perlin", 3).rng().random();
/// let c: u64 = seed.derive("perlin", 4).rng().random();
/// assert_eq!(a, b);
/// assert_ne!(a, c);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seed([u8; 32]);

impl Seed {
    /// The root of all streams of one run.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Sha256::digest(seed.to_le_bytes()).into())
    }

    /// The seed of one purpose (`name`) and one item of it (`index`).
    #[must_use]
    pub fn derive(&self, name: &str, index: u64) -> Self {
        let mut hash = Sha256::new();
        hash.update(self.0);
        hash.update((name.len() as u64).to_le_bytes());
        hash.update(name.as_bytes());
        hash.update(index.to_le_bytes());
        Self(hash.finalize().into())
    }

    /// A generator at the start of this seed's stream.
    #[must_use]
    pub fn rng(&self) -> ChaCha8Rng {
        ChaCha8Rng::from_seed(self.0)
    }
}
