//! The inference engine: trained networks at the speed of the machine.
//!
//! candle's tensors are made for training; to score, a network is turned into
//! a [`Graph`] with its batch norms folded into the convolutions, then for a
//! picture size into a `Plan` that fixes where every
//! intermediate image lies and how each convolution is computed. An
//! [`Engine`] keeps the plans and the memory they run in.
//!
//! docs/engine.md explains layout, tiling and Winograd's transformation.
//!
//! Results do not depend on the number of threads, nor on the other pictures
//! of a call: an output value is always the same sum in the same order.

mod arithmetic;
mod graph;
mod plan;
mod threads;

pub(crate) use graph::Op;
pub use graph::{Conv, Graph, Id};

use super::kernels::matrix::square_products;
use super::kernels::nhwc::Element;
use super::kernels::nhwc::bfloat16::Unit;
use super::kernels::simd;
use super::kernels::team::Team;
use super::precision::Precision;
use crate::error::{Error, Result};
use arithmetic::{Arithmetic, Bfloat16, Float32, Transformed};
use plan::Plan;
use rayon::prelude::*;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes.
const CACHE_LINE: usize = 64;

/// A trained network, ready for pictures of any size it can work on.
pub struct Engine {
    graph: Graph,
    passes: Passes,
}

/// The plans made so far, of the engine's arithmetic.
enum Passes {
    Float32(Cache<Float32>),
    Bfloat16(Cache<Bfloat16>),
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let arithmetic: &dyn std::fmt::Debug = match &self.passes {
            Passes::Float32(cache) => &cache.arithmetic,
            Passes::Bfloat16(cache) => &cache.arithmetic,
        };
        f.debug_struct("Engine")
            .field("arithmetic", arithmetic)
            .finish_non_exhaustive()
    }
}

/// One picture's outputs, in the order of [`Graph::output`]: `[c, h, w]`, or
/// `[c]` of a mean.
pub type Outputs = Vec<Vec<f32>>;

impl Engine {
    /// Runs `graph` in the [`Precision`] chosen last: in `f32` with the widest
    /// instruction set of this machine, or that which the environment variable
    /// `GOMA_SIMD` (`avx2`, `baseline`) names; in bfloat16 with the unit that
    /// this machine has for it.
    #[must_use]
    pub fn new(graph: Graph) -> Self {
        match (Precision::chosen(), Unit::best()) {
            (Precision::Bfloat16, Some(unit)) => {
                Self::with_unit(graph, unit, Transformed::WhereFaster)
            }
            _ => Self::with_level(graph, simd::level()),
        }
    }

    fn with_level(graph: Graph, level: simd::Level) -> Self {
        Self {
            graph,
            passes: Passes::Float32(Cache::new(Float32(level))),
        }
    }

    fn with_unit(graph: Graph, unit: Unit, transformed: Transformed) -> Self {
        Self {
            graph,
            passes: Passes::Bfloat16(Cache::new(Bfloat16 { unit, transformed })),
        }
    }

    /// Multiplications with addition for one picture.
    ///
    /// # Errors
    /// As for [`Engine::run`].
    pub fn multiply_adds(&self, height: usize, width: usize) -> Result<u64> {
        self.graph.multiply_adds(height, width)
    }

    /// Lays the network out for pictures of this size now, and not in the first
    /// [`Engine::run`] with one.
    ///
    /// # Errors
    /// [`Error::Shape`] if the size is too small for the network.
    pub fn prepare(&self, height: usize, width: usize) -> Result<()> {
        match &self.passes {
            Passes::Float32(cache) => cache.plan(&self.graph, height, width).map(drop),
            Passes::Bfloat16(cache) => cache.plan(&self.graph, height, width).map(drop),
        }
    }

    /// Runs pictures `[channels, height, width]`: side by side if there are
    /// enough for all threads, else with the threads inside a picture.
    ///
    /// # Errors
    /// [`Error::Shape`] if a picture has another number of values, or the size
    /// is too small for the network.
    pub fn run(&self, pictures: &[&[f32]], height: usize, width: usize) -> Result<Vec<Outputs>> {
        let expected = self.graph.channels() * height * width;
        if let Some(other) = pictures.iter().find(|p| p.len() != expected) {
            return Err(Error::shape("values of a picture", other.len(), expected));
        }
        match &self.passes {
            Passes::Float32(cache) => cache.run(&self.graph, pictures, height, width),
            Passes::Bfloat16(cache) => cache.run(&self.graph, pictures, height, width),
        }
    }
}

/// Height and width of a picture.
type Size = (usize, usize);

/// Plans by picture size, and the memory that they run in.
struct Cache<A: Arithmetic> {
    arithmetic: A,
    plans: Mutex<HashMap<Size, Arc<Plan<A>>>>,
    /// Arenas that no pass uses now.
    arenas: Mutex<Vec<Vec<A::Element>>>,
}

impl<A: Arithmetic> Cache<A> {
    fn new(arithmetic: A) -> Self {
        Self {
            arithmetic,
            plans: Mutex::default(),
            arenas: Mutex::default(),
        }
    }

    fn run(
        &self,
        graph: &Graph,
        pictures: &[&[f32]],
        height: usize,
        width: usize,
    ) -> Result<Vec<Outputs>> {
        let plan = self.plan(graph, height, width)?;
        let threads = rayon::current_num_threads();
        let (many, few) = pictures.split_at(pictures.len() / threads * threads);
        let mut outputs: Vec<Outputs> = if threads > 1 {
            many.par_iter().map(|p| self.pass(&plan, p, None)).collect()
        } else {
            many.iter().map(|p| self.pass(&plan, p, None)).collect()
        };
        if !few.is_empty() {
            let shared: Vec<Outputs> = threads::as_team(|team| {
                let pass = |picture: &&[f32]| self.pass(&plan, picture, Some(team));
                few.iter().map(pass).collect()
            });
            outputs.extend(shared);
        }
        Ok(outputs)
    }

    fn pass(&self, plan: &Plan<A>, picture: &[f32], team: Option<&Team>) -> Outputs {
        // Buffers begin at lines of the cache if the arena does.
        let line = CACHE_LINE / size_of::<A::Element>();
        let mut memory = self.lock_arenas().pop().unwrap_or_default();
        memory.resize(memory.len().max(plan.arena() + line), A::Element::ZERO);
        let start = memory.as_ptr().align_offset(CACHE_LINE);
        let arena = &mut memory[start..][..plan.arena()];
        let outputs = plan.run(arena, picture, team);
        self.lock_arenas().push(memory);
        outputs
    }

    fn lock_arenas(&self) -> MutexGuard<'_, Vec<Vec<A::Element>>> {
        // An arena is scratch space: whoever panicked has taken his along.
        self.arenas.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn plan(&self, graph: &Graph, height: usize, width: usize) -> Result<Arc<Plan<A>>> {
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(plan) = plans.get(&(height, width)) {
            return Ok(plan.clone());
        }
        let plan = Arc::new(Plan::new(graph, height, width, self.arithmetic)?);
        plans.insert((height, width), plan.clone());
        Ok(plan)
    }
}

/// What a large matrix product reaches on this machine with all threads, in
/// GFLOP/s: the best of some, to hold the networks' speed against.
#[must_use]
pub fn matrix_peak() -> f64 {
    const SIDE: usize = 1024;
    let (a, b) = (vec![0.5f32; SIDE * SIDE], vec![0.25f32; SIDE * SIDE]);
    let threads = rayon::current_num_threads();
    let best = (0..8)
        .map(|_| {
            let begun = std::time::Instant::now();
            square_products(threads, &a, &b, SIDE);
            begun.elapsed()
        })
        .min()
        .unwrap_or_default();
    2.0 * threads as f64 * (SIDE as f64).powi(3) / best.as_secs_f64() / 1e9
}

#[cfg(test)]
mod tests;
