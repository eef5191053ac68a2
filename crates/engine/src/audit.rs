//! The audit that what is frozen does not move: [`Audit`] hashes every frozen parameter and every frozen BatchNorm
//! statistic before a phase and compares after it. The same hashes tell which stages of several models are one and the same
//! function ([`Hashes::stage`]).

use std::collections::HashMap;

use candle_core::{Tensor, TensorId};
use frostline_models::{BatchNorm, Model, Parameter};
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::EngineError;

pub(crate) type Digest256 = [u8; 32];

/// Hashes of what must not move, by name, taken when a phase begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Audit {
    pub(crate) frozen: Vec<(String, Digest256)>,
}

impl Audit {
    /// Hashes the frozen parameters of `model`, and the statistics of its norms that do not update them.
    pub(crate) fn begin(model: &Model, hashes: &mut Hashes) -> Result<Self, EngineError> {
        Ok(Self { frozen: hashes.of(frozen(model))? })
    }

    /// Hashes again.
    ///
    /// # Errors
    /// [`EngineError::FrozenMoved`] with the name of the first tensor that is not what it was.
    pub(crate) fn end(&self, model: &Model, hashes: &mut Hashes) -> Result<(), EngineError> {
        let now = Self::begin(model, hashes)?.frozen;
        let moved = self.frozen.iter().zip(&now).find(|(before, after)| before != after);
        match moved {
            Some((before, _)) => Err(EngineError::FrozenMoved { name: before.0.clone() }),
            None if now.len() != self.frozen.len() => {
                Err(EngineError::FrozenMoved { name: "the set of frozen tensors".to_owned() })
            }
            None => Ok(()),
        }
    }
}

/// Hashes that were taken at one moment, at which nothing moves: a tensor that several models share is hashed once.
#[derive(Debug, Default)]
pub(crate) struct Hashes(HashMap<TensorId, Digest256>);

/// A tensor with its name, and the id of the variable whose memory it shares.
type Named = (String, TensorId, Tensor);

impl Hashes {
    fn of(&mut self, named: Vec<Named>) -> Result<Vec<(String, Digest256)>, EngineError> {
        let new: Vec<&Named> = named.iter().filter(|(_, id, _)| !self.0.contains_key(id)).collect();
        let found = new.par_iter().map(|(_, id, tensor)| Ok((*id, hash(tensor)?)));
        self.0.extend(found.collect::<Result<Vec<_>, EngineError>>()?);
        Ok(named.into_iter().map(|(name, id, _)| (name, self.0[&id])).collect())
    }

    /// A hash of what a stage computes in an evaluation: the model, the resolution, and every number that has a part in it.
    pub(crate) fn stage(&mut self, model: &Model, stage: usize) -> Result<Digest256, EngineError> {
        let mut named = Vec::new();
        for parameter in model.parameters().iter().filter(|parameter| parameter.stage() == stage) {
            named.extend(of_parameter(parameter));
        }
        for norm in model.norms().iter().filter(|norm| norm.stage() == stage) {
            named.extend(of_norm(norm));
        }
        let spec = model.spec();
        let mut hasher = Sha256::new();
        hasher.update(format!("{} {} {} {stage}", model.name(), spec.height, spec.width));
        for (name, digest) in self.of(named)? {
            hasher.update(format!("\n{name} "));
            hasher.update(digest);
        }
        Ok(hasher.finalize().into())
    }
}

fn frozen(model: &Model) -> Vec<Named> {
    let parameters = model.parameters().iter().filter(|parameter| !parameter.trainable());
    let norms = model.norms().iter().filter(|norm| !norm.updates_statistics());
    parameters
        .flat_map(|parameter| of_parameter(parameter))
        .chain(norms.flat_map(|norm| of_norm(norm)))
        .collect()
}

/// The shape tells a parameter that is folded from one that is not.
fn of_parameter(parameter: &Parameter) -> Vec<Named> {
    let mut named = vec![(parameter.name().to_owned(), parameter.var().id(), parameter.detached())];
    if let Some(copies) = parameter.copies() {
        let name = format!("the copies' factor of {}", parameter.name());
        named.push((name, copies.factor().id(), copies.factor().as_detached_tensor()));
    }
    named
}

fn of_norm(norm: &BatchNorm) -> Vec<Named> {
    let [mean, variance] = norm.statistics_ids();
    vec![
        (format!("{}.running_mean", norm.name()), mean, norm.running_mean()),
        (format!("{}.running_var", norm.name()), variance, norm.running_variance()),
    ]
}

fn hash(tensor: &Tensor) -> Result<Digest256, EngineError> {
    let values = tensor.flatten_all()?.to_vec1::<f32>()?;
    let mut hasher = Sha256::new();
    hasher.update(format!("{:?}", tensor.dims()));
    for block in values.chunks(4096) {
        let bytes: Vec<u8> = block.iter().flat_map(|value| value.to_bits().to_le_bytes()).collect();
        hasher.update(&bytes);
    }
    Ok(hasher.finalize().into())
}
