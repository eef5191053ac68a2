//! What answers at the end of a model: the head's last linear layer, which can be set at once, or a [`Classifier`] in its place. Both are
//! given the same [`Model::features`].

use std::sync::Arc;

use candle_core::{DType, Tensor};
use frostline_zoo::description::{Layer, Linear};

use crate::error::ModelError;
use crate::forward::{Activation, Pass};
use crate::model::Model;

/// What can answer in place of a linear layer.
pub trait Classifier: Send + Sync + std::fmt::Debug {
    /// The logits `[N, classes]` of features `[N, C]`.
    ///
    /// # Errors
    /// Where a tensor operation fails.
    fn logits(&self, features: &Tensor) -> candle_core::Result<Tensor>;
}

impl Model {
    /// Puts a classifier in the place of the head's last linear layer, in evaluation and training alike. It stays there.
    ///
    /// # Errors
    /// [`ModelError::Input`] where there is one already.
    pub fn set_classifier(&self, classifier: Arc<dyn Classifier>) -> Result<(), ModelError> {
        let twice = |_| ModelError::Input("the model has a classifier already".to_owned());
        self.classifier.set(classifier).map_err(twice)
    }

    /// Whether a classifier answers that is no part of the weights.
    pub fn has_classifier(&self) -> bool {
        self.classifier.get().is_some()
    }

    /// Sets the head's last linear layer: weights `[in, out]` by rows, and biases.
    ///
    /// # Errors
    /// [`ModelError::Input`] where the sizes are others.
    pub fn set_head(&self, weight: &[f32], bias: &[f32]) -> Result<(), ModelError> {
        let last = self.last_linear()?;
        let Some(of_bias) = last.bias else {
            return Err(ModelError::Input(format!("the head of {} has no bias to set", self.card().title)));
        };
        let (weights, biases) = (&self.parameters()[last.weight.0], &self.parameters()[of_bias.0]);
        let (inputs, outputs) = (weight.len() / bias.len().max(1), bias.len());
        if weights.shape() != [outputs, inputs] || biases.shape() != [outputs] {
            let problem = format!("a head of {inputs} by {outputs} does not fit {:?}", weights.shape());
            return Err(ModelError::Input(problem));
        }
        let columns =
            (0..outputs).flat_map(|output| (0..inputs).map(move |input| weight[input * outputs + output]));
        let failed = |cause| ModelError::Stage { stage: self.stages()[self.head()].name.clone(), cause };
        weights.set_torch(&columns.collect::<Vec<_>>()).and_then(|()| biases.set_torch(bias)).map_err(failed)
    }

    fn last_linear(&self) -> Result<&Linear, ModelError> {
        match self.architecture().stages.last().and_then(|stage| stage.layers.last()) {
            Some(Layer::Linear(linear)) => Ok(linear),
            _ => Err(ModelError::Input(format!("{} does not end with a linear layer", self.card().title))),
        }
    }

    /// The features `[N, C]` that the head's last linear layer is given, in f32 and without a tape, for what the stages before `from` gave.
    ///
    /// # Errors
    /// As [`Model::forward`].
    pub fn features(&self, from: usize, x: impl Into<Activation>) -> Result<Tensor, ModelError> {
        self.last_linear()?;
        let head = self.head();
        let x = self.run(from.min(head)..head, x.into(), &Pass::Evaluate, None)?;
        let stage = &self.architecture().stages[head];
        let layers = &stage.layers[..stage.layers.len() - 1];
        let failed = |cause| ModelError::Stage { stage: stage.name.to_owned(), cause };
        let x = x.kept_as(self.precision()).and_then(|x| self.run_layers(layers, x, &Pass::Evaluate, None));
        x.and_then(|x| x.kept_as(DType::F32)).map_err(failed)?.into_tensor()
    }
}
