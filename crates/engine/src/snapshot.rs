//! Copies of what any phase of a trial can move, since the rest is where it was: [`Snapshot`], of the best epoch so far or of a
//! training under way. They are in the host's memory, whatever the device is.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use frostline_kernels::optim::approach;
use frostline_models::Model;

use crate::EngineError;
use crate::freeze::Movable;

/// A copy in the host's memory.
pub(crate) fn kept(tensor: &Tensor) -> candle_core::Result<Tensor> {
    // From another device this is a copy, on the host it is the same memory.
    if tensor.device().is_cpu() { tensor.copy() } else { tensor.to_device(&Device::Cpu) }
}

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
        Self::copies(model, movable, kept)
    }

    /// The same, where the model is.
    pub(crate) fn take_there(model: &Model, movable: &Movable) -> Result<Self, EngineError> {
        Self::copies(model, movable, Tensor::copy)
    }

    fn copies(
        model: &Model,
        movable: &Movable,
        kept: impl Fn(&Tensor) -> candle_core::Result<Tensor>,
    ) -> Result<Self, EngineError> {
        let (mut parameters, mut factors) = (Vec::new(), Vec::new());
        for index in indices(&movable.parameters) {
            let parameter = &model.parameters()[index];
            parameters.push((index, kept(&parameter.detached())?));
            if let Some(copies) = parameter.copies() {
                factors.push((index, kept(&copies.factor().as_detached_tensor())?));
            }
        }
        let mut statistics = Vec::new();
        for index in indices(&movable.statistics) {
            let norm = &model.norms()[index];
            statistics.push((index, kept(&norm.running_mean())?, kept(&norm.running_variance())?));
        }
        Ok(Self { parameters, factors, statistics })
    }

    /// Brings the copy back into `model`.
    pub(crate) fn restore(&self, model: &Model) -> Result<(), EngineError> {
        let there = |tensor: &Tensor| tensor.to_device(model.device());
        for (index, values) in &self.parameters {
            model.parameters()[*index].set(&there(values)?)?;
        }
        for (index, factor) in &self.factors {
            if let Some(copies) = model.parameters()[*index].copies() {
                copies.factor().set(&there(factor)?)?;
            }
        }
        for (index, mean, variance) in &self.statistics {
            model.norms()[*index].set_statistics(&there(mean)?, &there(variance)?)?;
        }
        Ok(())
    }

    /// Brings each number nearer to that of `model`, by a share of the way; the copies are where the model is.
    pub(crate) fn approach(&mut self, model: &Model, share: f64) -> Result<(), EngineError> {
        for (index, values) in &mut self.parameters {
            approach(values, &model.parameters()[*index].detached(), share)?;
        }
        for (index, factor) in &mut self.factors {
            if let Some(copies) = model.parameters()[*index].copies() {
                approach(factor, &copies.factor().as_detached_tensor(), share)?;
            }
        }
        for (index, mean, variance) in &mut self.statistics {
            let norm = &model.norms()[*index];
            approach(mean, &norm.running_mean(), share)?;
            approach(variance, &norm.running_variance(), share)?;
        }
        Ok(())
    }

    /// The same copies on another device.
    pub(crate) fn on(self, device: &Device) -> Result<Self, EngineError> {
        let there = |tensor: Tensor| tensor.to_device(device);
        let list = |tensors: Vec<(usize, Tensor)>| {
            tensors
                .into_iter()
                .map(|(index, tensor)| Ok((index, there(tensor)?)))
                .collect::<candle_core::Result<_>>()
        };
        let pair = |(index, mean, variance)| Ok((index, there(mean)?, there(variance)?));
        Ok(Self {
            parameters: list(self.parameters)?,
            factors: list(self.factors)?,
            statistics: self.statistics.into_iter().map(pair).collect::<candle_core::Result<_>>()?,
        })
    }

    /// Its tensors by names that begin with `lead`.
    pub(crate) fn named(&self, model: &Model, lead: &str) -> Vec<(String, Tensor)> {
        let parameter = |index: &usize| model.parameters()[*index].name();
        let mut named = Vec::new();
        named.extend(self.parameters.iter().map(|(i, t)| (format!("{lead}/{}", parameter(i)), t.clone())));
        named
            .extend(self.factors.iter().map(|(i, t)| (format!("{lead}/{}/factor", parameter(i)), t.clone())));
        for (index, mean, variance) in &self.statistics {
            let name = model.norms()[*index].name();
            named.push((format!("{lead}/{name}.running_mean"), mean.clone()));
            named.push((format!("{lead}/{name}.running_var"), variance.clone()));
        }
        named
    }

    /// What [`Snapshot::named`] gave.
    ///
    /// # Errors
    /// [`EngineError::Unfit`] where a tensor is missing.
    pub(crate) fn of_named(
        model: &Model,
        movable: &Movable,
        lead: &str,
        all: &BTreeMap<&str, &Tensor>,
    ) -> Result<Self, EngineError> {
        let get = |name: String| {
            let found = all.get(name.as_str()).map(|&found| found.clone());
            found.ok_or_else(|| EngineError::Unfit(format!("the state has no {name}")))
        };
        let (mut parameters, mut factors) = (Vec::new(), Vec::new());
        for index in indices(&movable.parameters) {
            let parameter = &model.parameters()[index];
            parameters.push((index, get(format!("{lead}/{}", parameter.name()))?));
            if parameter.copies().is_some() {
                factors.push((index, get(format!("{lead}/{}/factor", parameter.name()))?));
            }
        }
        let mut statistics = Vec::new();
        for index in indices(&movable.statistics) {
            let name = model.norms()[index].name();
            let mean = get(format!("{lead}/{name}.running_mean"))?;
            statistics.push((index, mean, get(format!("{lead}/{name}.running_var"))?));
        }
        Ok(Self { parameters, factors, statistics })
    }
}

/// Where a flag is set.
fn indices(flags: &[bool]) -> impl Iterator<Item = usize> {
    flags.iter().enumerate().filter(|(_, set)| **set).map(|(index, _)| index)
}
