//! What convolutional networks have had since MobileNet, as nodes: sums around a body of layers, gates, response norms.

use frostline_zoo::description::{LayerNorm, Skip, SqueezeExcite};

use crate::error::OnnxError;
use crate::graph::{Attribute, Graph, Shape, Value};

impl Graph<'_> {
    pub(crate) fn skip(&mut self, skip: &Skip, x: Value) -> Result<Value, OnnxError> {
        let mut added = self.layers(&skip.body, x.clone())?;
        let mut shortcut = self.layers(&skip.shortcut, x)?;
        if let Some(scale) = skip.scale {
            let channels = self.shape_of(scale).iter().product();
            let shape = match added.shape {
                Shape::Map { .. } => vec![channels, 1, 1],
                Shape::Pixels { .. } | Shape::Tokens { .. } | Shape::Rows { .. } => vec![channels],
            };
            let scale = self.parameter(scale, Some(shape))?;
            added.name = self.node("Mul", &[&added.name, &scale], &[]);
        }
        // Pixels stay as the shortcut has them, so that what a network computes in one order stays in it.
        match shortcut.shape {
            Shape::Map { .. } => added = self.map(added),
            _ => added = self.channels_last(added),
        }
        shortcut = self.both("Add", &shortcut, &added);
        Ok(if skip.relu { self.pointwise("Relu", shortcut, &[]) } else { shortcut })
    }

    pub(crate) fn squeeze_excite(&mut self, gates: &SqueezeExcite, x: Value) -> Result<Value, OnnxError> {
        let (x, (.., channels)) = self.pixels_of("squeeze and excitation", x)?;
        let name = self.node("GlobalAveragePool", &[&x.name], &[]);
        let mean = Value { name, shape: Shape::Map { height: 1, width: 1, channels } };
        let reduced = self.linear(&gates.reduce, mean)?;
        let reduced = self.curve(gates.inner, reduced);
        let expanded = self.linear(&gates.expand, reduced)?;
        let gate = self.curve(gates.gate, expanded);
        let gate = self.map(gate);
        Ok(self.both("Mul", &x, &gate))
    }

    /// `x · (1 + weight · norm / (mean of norms + epsilon)) + bias`.
    pub(crate) fn response_norm(&mut self, norm: &LayerNorm, x: Value) -> Result<Value, OnnxError> {
        let x = self.channels_last(x);
        let (weight, bias) = (self.parameter(norm.weight, None)?, self.parameter(norm.bias, None)?);
        let (one, epsilon) = (self.number(1.0), self.number(norm.epsilon as f32));
        let norms = self.node("ReduceL2", &[&x.name], &[Attribute::Ints("axes", vec![1, 2])]);
        let mean = self.node("ReduceMean", &[&norms], &[Attribute::Ints("axes", vec![-1])]);
        let mean = self.node("Add", &[&mean, &epsilon], &[]);
        let share = self.node("Div", &[&norms, &mean], &[]);
        let share = self.node("Mul", &[&share, &weight], &[]);
        let factor = self.node("Add", &[&share, &one], &[]);
        let scaled = self.node("Mul", &[&x.name, &factor], &[]);
        Ok(Value { name: self.node("Add", &[&scaled, &bias], &[]), shape: x.shape })
    }
}
