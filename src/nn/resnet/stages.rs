//! A ResNet stage by stage: for training with frozen beginnings, and for maps
//! of what an inner stage answers to.

use super::{Classifier, ResNet};
use crate::error::Result;
use crate::nn::engine::{Conv, Graph};
use crate::nn::layers::{Linear, Mode};
use crate::nn::ops;
use candle_core::Tensor;

impl ResNet {
    /// What comes before the first stage, `[n, channels, h, w]` to `[n, 64,
    /// h / 4, w / 4]`.
    ///
    /// # Errors
    /// As for [`ResNet::stages`].
    pub fn stem(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let x = self.bn1.forward(&self.conv1.forward(x)?, true, mode)?;
        ops::max_pool2d(&x, 3, 2, 1)
    }

    /// One of the four stages, counted from 0.
    ///
    /// # Errors
    /// As for [`ResNet::stages`].
    pub fn stage(&self, index: usize, x: &Tensor, mode: Mode) -> Result<Tensor> {
        self.stages[index]
            .iter()
            .try_fold(x.clone(), |x, block| block.forward(&x, mode))
    }

    /// The network for the inference engine, up to the last stage; the outputs
    /// are the images of stage `at` (counted from 0) and of the last one.
    ///
    /// # Errors
    /// As for [`Conv::folded`].
    pub fn graph_with_stage(&self, at: usize) -> Result<Graph> {
        let (mut graph, x) = Graph::new(self.conv1.weight.dim(1)?);
        let x = graph.conv(x, Conv::folded(&self.conv1, Some(&self.bn1))?, None, true);
        let mut x = graph.max_pool(x, 3, 2, 1);
        let mut wanted = x;
        for (index, stage) in self.stages.iter().enumerate() {
            for block in stage {
                x = block.describe(&mut graph, x)?;
            }
            if index == at {
                wanted = x;
            }
        }
        graph.output(wanted);
        graph.output(x);
        Ok(graph)
    }
}

impl Classifier {
    /// The linear layer from pooled features to class scores.
    pub(crate) fn fc(&self) -> &Linear {
        &self.fc
    }

    /// Class scores `[n, classes]` of pooled features `[n, features]`.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] if the number of features differs.
    pub fn head(&self, features: &Tensor) -> Result<Tensor> {
        self.fc.forward(features)
    }
}
