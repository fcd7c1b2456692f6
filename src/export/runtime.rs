//! An exported file in a runtime that shares no code with the engine: rten.

use crate::error::{Error, Result};
use rten::{Model, RunOptions, ThreadPool};
use rten_tensor::Tensor;
use rten_tensor::prelude::*;
use std::path::Path;
use std::sync::Arc;

/// Pieces in one pass: more than one, so that a batch frozen into the graph
/// would be noticed.
pub(super) const BATCH: usize = 2;

/// A file that has been read back.
pub(super) struct Network {
    model: Model,
    options: RunOptions,
    dims: Vec<usize>,
}

impl Network {
    /// Reads a file that takes pictures `dims`.
    ///
    /// # Errors
    /// [`Error::Malformed`] if rten cannot make sense of it.
    pub fn load(path: &Path, dims: &[usize]) -> Result<Self> {
        let model = Model::load_file(path)
            .map_err(|e| Error::malformed(path, format!("rten says: {e}")))?;
        if model.input_ids().len() != 1 {
            let inputs = model.input_ids().len();
            return Err(Error::malformed(
                path,
                format!("{inputs} inputs, 1 expected"),
            ));
        }
        // As many threads as goma has, and not one for each core.
        let threads = ThreadPool::with_num_threads(rayon::current_num_threads());
        let options = RunOptions::default().with_thread_pool(Some(Arc::new(threads)));
        Ok(Self {
            model,
            options,
            dims: dims.to_vec(),
        })
    }

    /// The input's shape without the batch.
    pub fn dims(&self) -> &[usize] {
        &self.dims
    }

    /// The outputs of pictures, by output and picture.
    ///
    /// # Errors
    /// [`Error::Shape`] if a picture has another size.
    pub fn run(&self, pictures: &[Vec<f32>]) -> Result<Vec<Vec<Vec<f32>>>> {
        let one: usize = self.dims.iter().product();
        if let Some(other) = pictures.iter().find(|p| p.len() != one) {
            return Err(Error::shape("values of a picture", other.len(), one));
        }
        let mut shape = vec![pictures.len()];
        shape.extend(&self.dims);
        let input = Tensor::from_data(&shape, pictures.concat());
        let odd = |e: String| Error::data(format!("the exported graph does not run: {e}"));
        let found = self
            .model
            .run(
                vec![(self.model.input_ids()[0], input.into())],
                self.model.output_ids(),
                Some(self.options.clone()),
            )
            .map_err(|e| odd(e.to_string()))?;
        found
            .into_iter()
            .map(|output| {
                let output: Tensor<f32> =
                    output.try_into().map_err(|_| odd("not float32".into()))?;
                let values = output.to_vec();
                if values.is_empty() || !values.len().is_multiple_of(pictures.len()) {
                    return Err(odd(format!("{} values of a batch", values.len())));
                }
                let rows = values.chunks_exact(values.len() / pictures.len());
                Ok(rows.map(<[f32]>::to_vec).collect())
            })
            .collect()
    }
}
