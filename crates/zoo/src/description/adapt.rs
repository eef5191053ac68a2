//! Adapters of low rank (LoRA): [`Architecture::adapt`] gives them to the linear layers of transformer blocks.

use super::{
    Adapter, Architecture, Initial, Layer, Layout, Linear, LiveTaps, ParameterId, ParameterSpec, Role,
};

/// How the names of adapters' parameters go on behind that of their layer, as peft's do.
const NAMES: [&str; 2] = ["lora_A.weight", "lora_B.weight"];

/// Whether a parameter of this name is part of an adapter.
pub fn is_adapter(name: &str) -> bool {
    NAMES.iter().any(|part| name.ends_with(part))
}

impl Architecture {
    /// Gives queries, keys and values, the projection behind them and both layers of the MLP of every transformer block an adapter of
    /// a rank. Its parameters come behind all others: the first factor is drawn as a linear layer's weight, the second is zero, so that the
    /// function is what it was. Gives the number of layers that have one now.
    pub fn adapt(&mut self, rank: usize) -> usize {
        let parameters = &mut self.parameters;
        let before = parameters.len();
        for (stage, layers) in
            self.stages.iter_mut().enumerate().map(|(index, stage)| (index, &mut stage.layers))
        {
            for layer in layers {
                let Layer::TransformerBlock(block) = layer else { continue };
                for linear in [&mut block.qkv, &mut block.proj, &mut block.fc1, &mut block.fc2] {
                    linear.adapter = Some(Adapter::new(parameters, stage, linear, rank));
                }
            }
        }
        (parameters.len() - before) / NAMES.len()
    }
}

impl Adapter {
    fn new(parameters: &mut Vec<ParameterSpec>, stage: usize, linear: &Linear, rank: usize) -> Self {
        let weight = parameters[linear.weight.0].name.clone();
        let module = weight.strip_suffix("weight").unwrap_or(&weight);
        let mut add = |part: &str, from: usize, to: usize, initial: Initial| {
            let live = LiveTaps::all(1, 1);
            let layout = Layout::Matrix { outputs: to, channels: from, height: 1, width: 1, live };
            let (name, shape) = (format!("{module}{part}"), vec![to, from]);
            parameters.push(ParameterSpec { name, stage, role: Role::Weight, shape, layout, initial });
            ParameterId(parameters.len() - 1)
        };
        let down = add(NAMES[0], linear.from, rank, Initial::layer_default(linear.from));
        let up = add(NAMES[1], rank, linear.to, Initial::Constant(0.0));
        Self { down, up }
    }
}
