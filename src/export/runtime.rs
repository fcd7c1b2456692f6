//! An exported file in a runtime that shares no code with the engine: tract.

use crate::error::{Error, Result};
use std::path::Path;
use std::sync::Arc;
use tract_onnx::prelude::*;

/// Pieces in one pass: more than one, so that a batch frozen into the graph
/// would be noticed.
pub(super) const BATCH: usize = 2;

/// A file that has been read back.
pub(super) struct Network {
    plan: Arc<TypedRunnableModel>,
    shape: Vec<usize>,
}

impl Network {
    /// Reads a file that takes pictures `dims`.
    ///
    /// # Errors
    /// [`Error::Malformed`] if tract cannot make sense of it.
    pub fn load(path: &Path, dims: &[usize]) -> Result<Self> {
        let mut shape = vec![BATCH];
        shape.extend(dims);
        let plan = || {
            onnx()
                .model_for_path(path)?
                .with_input_fact(0, f32::fact(&shape).into())?
                .into_optimized()?
                .into_runnable()
        };
        Ok(Self {
            plan: plan().map_err(|e| Error::malformed(path, format!("tract says: {e:#}")))?,
            shape,
        })
    }

    /// The input's shape without the batch.
    pub fn dims(&self) -> &[usize] {
        &self.shape[1..]
    }

    /// The outputs of up to [`BATCH`] pictures, by output and picture.
    ///
    /// # Errors
    /// [`Error::Shape`] if a picture has another size.
    pub fn run(&self, pictures: &[Vec<f32>]) -> Result<Vec<Vec<Vec<f32>>>> {
        let one: usize = self.shape[1..].iter().product();
        if let Some(other) = pictures.iter().find(|p| p.len() != one) {
            return Err(Error::shape("values of a picture", other.len(), one));
        }
        let last = pictures.last().expect("at least one picture");
        let all = pictures.iter().chain(std::iter::repeat(last)).take(BATCH);
        let values: Vec<f32> = all.flatten().copied().collect();
        let outputs = || -> TractResult<Vec<Vec<Vec<f32>>>> {
            let input = Tensor::from_shape(&self.shape, &values)?;
            let found = self.plan.run(tvec!(input.into()))?;
            let rows = found.iter().map(|output| {
                let values = output.try_as_plain_ram()?.as_slice::<f32>()?;
                let rows = values.chunks_exact(values.len() / BATCH);
                Ok(rows.take(pictures.len()).map(<[f32]>::to_vec).collect())
            });
            rows.collect()
        };
        outputs().map_err(|e| Error::data(format!("the exported graph does not run: {e:#}")))
    }
}
