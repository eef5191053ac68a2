//! The audit that what is frozen does not move: [`Audit`] hashes every frozen parameter and every frozen BatchNorm
//! statistic before a phase and compares after it.

use candle_core::Tensor;
use frostline_models::Model;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::EngineError;

/// Hashes of what must not move, by name, taken when a phase begins.
pub(crate) struct Audit {
    frozen: Vec<(String, Digest256)>,
}

type Digest256 = [u8; 32];

impl Audit {
    /// Hashes the frozen parameters of `model`, and the statistics of its norms that do not update them.
    pub(crate) fn begin(model: &Model) -> Result<Self, EngineError> {
        Ok(Self { frozen: digests(&frozen(model))? })
    }

    /// Hashes again.
    ///
    /// # Errors
    /// [`EngineError::FrozenMoved`] with the name of the first tensor that is not what it was.
    pub(crate) fn end(&self, model: &Model) -> Result<(), EngineError> {
        let now = digests(&frozen(model))?;
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

fn frozen(model: &Model) -> Vec<(String, Tensor)> {
    let mut frozen = Vec::new();
    for parameter in model.parameters().iter().filter(|parameter| !parameter.trainable()) {
        frozen.push((parameter.name().to_owned(), parameter.detached()));
        if let Some(copies) = parameter.copies() {
            let name = format!("the copies' factor of {}", parameter.name());
            frozen.push((name, copies.factor().as_detached_tensor()));
        }
    }
    for norm in model.norms().iter().filter(|norm| !norm.updates_statistics()) {
        frozen.push((format!("{}.running_mean", norm.name()), norm.running_mean()));
        frozen.push((format!("{}.running_var", norm.name()), norm.running_variance()));
    }
    frozen
}

fn digests(tensors: &[(String, Tensor)]) -> Result<Vec<(String, Digest256)>, EngineError> {
    tensors
        .par_iter()
        .map(|(name, tensor)| {
            let values = tensor.flatten_all()?.to_vec1::<f32>()?;
            let mut hasher = Sha256::new();
            for block in values.chunks(4096) {
                let bytes: Vec<u8> = block.iter().flat_map(|value| value.to_bits().to_le_bytes()).collect();
                hasher.update(&bytes);
            }
            Ok((name.clone(), hasher.finalize().into()))
        })
        .collect()
}
