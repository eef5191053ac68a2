//! Adapters of low rank: [`Model::adapt`] gives a model some, and what it gives away has them in its weights.

use candle_core::{Device, Tensor};
use frostline_zoo::description::{Adapter, Layer, Linear};

use crate::error::ModelError;
use crate::model::Model;

impl Model {
    /// Gives every linear layer of its transformer blocks an adapter of a rank, which computes what it computed before
    /// ([`Architecture::adapt`](frostline_zoo::description::Architecture::adapt)). Their parameters are the last, drawn from the model's
    /// seed. Weights are loaded before. Gives the number of layers that have one.
    ///
    /// # Errors
    /// Where it has adapters already, or they cannot be made on its device.
    pub fn adapt(&mut self, rank: usize) -> Result<usize, ModelError> {
        if !self.adapters().is_empty() {
            return Err(ModelError::Input(format!("{} has adapters already", self.name())));
        }
        self.extend(|architecture| architecture.adapt(rank))
    }

    /// The linear layers that have adapters.
    fn adapters(&self) -> Vec<(&Linear, Adapter)> {
        let layers = self.architecture().stages.iter().flat_map(|stage| &stage.layers);
        let blocks = layers.filter_map(|layer| match layer {
            Layer::TransformerBlock(block) => Some([&block.qkv, &block.proj, &block.fc1, &block.fc2]),
            _ => None,
        });
        blocks.flatten().filter_map(|linear| Some((linear, linear.adapter?))).collect()
    }

    /// The weights of adapted layers with their adapters in them, `[to, from]`, by the place of the parameter.
    pub(crate) fn merged(&self) -> Result<Vec<(usize, Tensor)>, ModelError> {
        let torch = |index: usize| self.parameters()[index].torch_values()?.to_vec2::<f32>();
        let merge = |(linear, Adapter { down, up }): (&Linear, Adapter)| {
            let (mut weight, down, up) = (torch(linear.weight.0)?, torch(down.0)?, torch(up.0)?);
            for (weight, up) in weight.iter_mut().zip(&up) {
                for (place, weight) in weight.iter_mut().enumerate() {
                    let change: f64 =
                        up.iter().zip(&down).map(|(up, down)| f64::from(*up) * f64::from(down[place])).sum();
                    *weight = (f64::from(*weight) + change) as f32;
                }
            }
            Ok((linear.weight.0, Tensor::new(weight, &Device::Cpu)?))
        };
        let merged: candle_core::Result<Vec<(usize, Tensor)>> =
            self.adapters().into_iter().map(merge).collect();
        Ok(merged?)
    }
}
