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

mod graph;
mod plan;

pub(crate) use graph::Op;
pub use graph::{Conv, Graph, Id};

use super::kernels::matrix::square_products;
use super::kernels::simd;
use crate::error::{Error, Result};
use plan::Plan;
use rayon::prelude::*;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// A trained network, ready for pictures of any size it can work on.
pub struct Engine {
    graph: Graph,
    level: simd::Level,
    plans: Mutex<HashMap<(usize, usize), Arc<Plan>>>,
    /// Arenas that no pass uses now.
    arenas: Mutex<Vec<Vec<f32>>>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("level", &self.level)
            .finish_non_exhaustive()
    }
}

/// One picture's outputs, in the order of [`Graph::output`]: `[c, h, w]`, or
/// `[c]` of a mean.
pub type Outputs = Vec<Vec<f32>>;

impl Engine {
    /// Runs `graph` with the widest instruction set of this machine, or that
    /// which the environment variable `GOMA_SIMD` (`avx2`, `baseline`) names.
    #[must_use]
    pub fn new(graph: Graph) -> Self {
        Self::with_level(graph, simd::level())
    }

    fn with_level(graph: Graph, level: simd::Level) -> Self {
        Self {
            graph,
            level,
            plans: Mutex::default(),
            arenas: Mutex::default(),
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
        self.plan(height, width).map(drop)
    }

    /// Runs pictures `[channels, height, width]`: side by side if there are
    /// enough for all threads, else with the threads inside a picture.
    ///
    /// # Errors
    /// [`Error::Shape`] if a picture has another number of values, or the size
    /// is too small for the network.
    pub fn run(&self, pictures: &[&[f32]], height: usize, width: usize) -> Result<Vec<Outputs>> {
        let plan = self.plan(height, width)?;
        let expected = self.graph.channels() * height * width;
        if let Some(other) = pictures.iter().find(|p| p.len() != expected) {
            return Err(Error::shape("values of a picture", other.len(), expected));
        }
        let threads = rayon::current_num_threads();
        let (many, few) = pictures.split_at(pictures.len() / threads * threads);
        let mut outputs: Vec<Outputs> = if threads > 1 {
            many.par_iter()
                .map(|p| self.pass(&plan, p, false))
                .collect()
        } else {
            many.iter().map(|p| self.pass(&plan, p, false)).collect()
        };
        outputs.extend(few.iter().map(|p| self.pass(&plan, p, true)));
        Ok(outputs)
    }

    fn pass(&self, plan: &Plan, picture: &[f32], parallel: bool) -> Outputs {
        let mut arena = self.lock_arenas().pop().unwrap_or_default();
        arena.resize(arena.len().max(plan.arena()), 0.0);
        let outputs = plan.run(&mut arena, picture, parallel);
        self.lock_arenas().push(arena);
        outputs
    }

    fn lock_arenas(&self) -> std::sync::MutexGuard<'_, Vec<Vec<f32>>> {
        // An arena is scratch space: whoever panicked has taken his along.
        self.arenas.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn plan(&self, height: usize, width: usize) -> Result<Arc<Plan>> {
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(plan) = plans.get(&(height, width)) {
            return Ok(plan.clone());
        }
        let plan = Arc::new(Plan::new(&self.graph, height, width, self.level)?);
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
