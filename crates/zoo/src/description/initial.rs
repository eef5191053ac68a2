//! How parameters start: [`Initial`], with PyTorch's distributions, drawn from a named stream in torchvision's element
//! order. So the numbers depend on the seed and the parameter's name alone, not on how weights are stored here.

use frostline_streams::{Purpose, Streams};

/// The distribution of a parameter's initial values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Initial {
    /// Every value the same.
    Constant(f32),
    /// Uniform in [-bound, bound).
    Uniform {
        /// Above 0.
        bound: f32,
    },
    /// Normal with mean 0.
    Normal {
        /// The standard deviation.
        std: f32,
    },
}

impl Initial {
    /// What `nn.Linear` and `nn.Conv2d` do for weights and biases: `kaiming_uniform_(a = √5)`, which is uniform within
    /// ±1/√fan_in (`torch/nn/modules/linear.py` and `conv.py`, `reset_parameters`).
    pub fn layer_default(fan_in: usize) -> Self {
        Initial::Uniform { bound: (1.0 / (fan_in as f64).sqrt()) as f32 }
    }

    /// `kaiming_normal_(mode = "fan_out", nonlinearity = "relu")`: standard deviation √(2/fan_out) (He et al. 2015).
    pub fn kaiming_fan_out(fan_out: usize) -> Self {
        Initial::Normal { std: (2.0 / fan_out as f64).sqrt() as f32 }
    }

    /// `len` values in torchvision's element order, from the parameter's own stream.
    pub fn draw(self, streams: Streams, name: &str, len: usize) -> Vec<f32> {
        let mut draws = streams.named(Purpose::Init, name);
        match self {
            Initial::Constant(value) => vec![value; len],
            Initial::Uniform { bound } => (0..len).map(|_| draws.uniform(-bound, bound)).collect(),
            Initial::Normal { std } => (0..len).map(|_| std * draws.normal()).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_depend_on_seed_and_name_alone() {
        let normal = Initial::kaiming_fan_out(64 * 9);
        let first = normal.draw(Streams::new(1), "layer1.0.conv1.weight", 100);
        assert_eq!(first, normal.draw(Streams::new(1), "layer1.0.conv1.weight", 100));
        assert_eq!(first[..7], normal.draw(Streams::new(1), "layer1.0.conv1.weight", 7));
        assert_ne!(first, normal.draw(Streams::new(2), "layer1.0.conv1.weight", 100));
        assert_ne!(first, normal.draw(Streams::new(1), "layer1.0.conv2.weight", 100));
    }

    #[test]
    fn the_bounds_are_pytorchs() {
        assert_eq!(Initial::layer_default(16), Initial::Uniform { bound: 0.25 });
        assert_eq!(Initial::kaiming_fan_out(8), Initial::Normal { std: 0.5 });
        let values = Initial::layer_default(16).draw(Streams::new(0), "fc.weight", 10_000);
        assert!(values.iter().all(|v| (-0.25..0.25).contains(v)));
    }
}
