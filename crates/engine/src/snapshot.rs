//! The weights of the best epoch so far, kept in memory: [`Snapshot`] copies what any phase of the
//! trial can move, since the rest is where it was.

use candle_core::Tensor;
use frostline_models::Model;

use crate::EngineError;
use crate::freeze::Movable;

/// A copy of every tensor of a model that a trial can change.
pub(crate) struct Snapshot {
    parameters: Vec<(usize, Tensor)>,
    /// The factor of the copies, of parameters whose numbers are sums.
    factors: Vec<(usize, Tensor)>,
    statistics: Vec<(usize, Tensor, Tensor)>,
}

impl Snapshot {
    /// Copies what of `model` can move.
    pub(crate) fn take(model: &Model, movable: &Movable) -> Result<Self, EngineError> {
        let (mut parameters, mut factors) = (Vec::new(), Vec::new());
        for (index, parameter) in
            model.parameters().iter().enumerate().filter(|(i, _)| movable.parameters[*i])
        {
            parameters.push((index, parameter.detached().copy()?));
            if let Some(copies) = parameter.copies() {
                factors.push((index, copies.factor().as_detached_tensor().copy()?));
            }
        }
        let mut statistics = Vec::new();
        for (index, norm) in model.norms().iter().enumerate().filter(|(i, _)| movable.statistics[*i]) {
            statistics.push((index, norm.running_mean().copy()?, norm.running_variance().copy()?));
        }
        Ok(Self { parameters, factors, statistics })
    }

    /// Brings the copy back into `model`.
    pub(crate) fn restore(&self, model: &Model) -> Result<(), EngineError> {
        for (index, values) in &self.parameters {
            model.parameters()[*index].set(values)?;
        }
        for (index, factor) in &self.factors {
            if let Some(copies) = model.parameters()[*index].copies() {
                copies.factor().set(factor)?;
            }
        }
        for (index, mean, variance) in &self.statistics {
            model.norms()[*index].set_statistics(mean, variance)?;
        }
        Ok(())
    }
}
