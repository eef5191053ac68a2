//! What the layers of a description are as nodes: [`Graph::layers`] follows a value through them, as the forward pass does.

use frostline_zoo::conv_output;
use frostline_zoo::description::{Conv, ConvNorm, Curve, Layer, LayerNorm, Linear, Residual, Window};

use crate::error::OnnxError;
use crate::graph::{Attribute, Graph, Shape, Value};

impl Graph<'_> {
    /// Layers one after another.
    pub(crate) fn layers(&mut self, layers: &[Layer], x: Value) -> Result<Value, OnnxError> {
        layers.iter().try_fold(x, |x, layer| self.layer(layer, x))
    }

    fn layer(&mut self, layer: &Layer, x: Value) -> Result<Value, OnnxError> {
        match layer {
            Layer::Conv(conv) => self.conv(conv, x),
            Layer::ConvNorm(unit) => self.conv_norm(unit, x),
            Layer::Residual(block) => self.residual(block, x),
            Layer::Branches(branches) => {
                let maps = branches.iter().map(|branch| self.layers(branch, x.clone()));
                let maps = maps.collect::<Result<Vec<_>, _>>()?;
                self.side_by_side(maps)
            }
            Layer::Auxiliary(_) | Layer::Dropout { .. } => Ok(x),
            Layer::Relu => Ok(self.pointwise("Relu", x, &[])),
            Layer::MaxPool { window, ceil, name } => self.max_pool(name, *window, *ceil, x),
            Layer::AvgPool { window, name } => self.avg_pool(name, *window, x),
            Layer::AdaptiveAvgPool { height, width } => self.adaptive_pool((*height, *width), x),
            Layer::GlobalAvgPool => self.global_pool(x),
            Layer::AsMap => Ok(match x.shape {
                Shape::Rows { channels } => Value {
                    name: self.reshape(&x.name, &[0, channels as i64, 1, 1]),
                    shape: Shape::Map { height: 1, width: 1, channels },
                },
                _ => x,
            }),
            Layer::Flatten => {
                let (x, (height, width, channels)) = self.pixels_of("flatten", x)?;
                let name = self.node("Flatten", &[&x.name], &[Attribute::Int("axis", 1)]);
                Ok(Value { name, shape: Shape::Rows { channels: height * width * channels } })
            }
            Layer::Linear(linear) => self.linear(linear, x),
            Layer::PatchEmbed(embed) => self.patch_embed(embed, x),
            Layer::TransformerBlock(block) => self.transformer_block(block, x),
            Layer::LayerNorm(norm) => self.layer_norm(norm, x),
            Layer::BatchNorm(norm, curve) => {
                let x = self.map(x);
                let y = self.batch_norm(*norm, x)?;
                Ok(self.curve(*curve, y))
            }
            Layer::Curve(curve) => Ok(self.curve(*curve, x)),
            Layer::Skip(skip) => self.skip(skip, x),
            Layer::Dense(body) => {
                let added = self.layers(body, x.clone())?;
                self.side_by_side(vec![x, added])
            }
            Layer::WindowAttention(attention) => self.window_attention(attention, x),
            Layer::MergePixels => self.merge_pixels(x),
            Layer::SqueezeExcite(gates) => self.squeeze_excite(gates, x),
            Layer::ResponseNorm(norm) => self.response_norm(norm, x),
        }
    }

    pub(crate) fn conv(&mut self, conv: &Conv, x: Value) -> Result<Value, OnnxError> {
        let (x, (height, width, _)) = self.pixels_of(&conv.name, x)?;
        let Window { kernel, stride, padding } = conv.window;
        let outside = || unfit(&conv.name, &x);
        let height = conv_output(height, kernel.0, stride.0, padding.0).ok_or_else(outside)?;
        let width = conv_output(width, kernel.1, stride.1, padding.1).ok_or_else(outside)?;
        let mut inputs = vec![x.name.clone(), self.parameter(conv.weight, None)?];
        if let Some(bias) = conv.bias {
            inputs.push(self.parameter(bias, None)?);
        }
        let mut attributes = sliding(conv.window, padding);
        attributes.push(Attribute::Int("group", conv.groups as i64));
        let name = self.node("Conv", &inputs.iter().map(String::as_str).collect::<Vec<_>>(), &attributes);
        Ok(Value { name, shape: Shape::Map { height, width, channels: conv.to } })
    }

    fn conv_norm(&mut self, unit: &ConvNorm, x: Value) -> Result<Value, OnnxError> {
        let y = self.conv(&unit.conv, x)?;
        let y = self.batch_norm(unit.norm, y)?;
        Ok(if unit.relu { self.pointwise("Relu", y, &[]) } else { y })
    }

    fn residual(&mut self, block: &Residual, x: Value) -> Result<Value, OnnxError> {
        let shortcut = match &block.shortcut {
            Some(unit) => self.conv_norm(unit, x.clone())?,
            None => x.clone(),
        };
        let middle = block.first.iter().try_fold(x, |x, unit| self.conv_norm(unit, x))?;
        let last = self.conv(&block.last.conv, middle)?;
        let last = self.batch_norm(block.last.norm, last)?;
        let sum = self.both("Add", &last, &shortcut);
        Ok(if block.last.relu { self.pointwise("Relu", sum, &[]) } else { sum })
    }

    /// By running statistics.
    fn batch_norm(&mut self, norm: frostline_zoo::description::NormId, x: Value) -> Result<Value, OnnxError> {
        let (spec, [weight, bias, mean, variance]) = self.norm(norm)?;
        let epsilon = [Attribute::Float("epsilon", spec.epsilon as f32)];
        let name = self.node("BatchNormalization", &[&x.name, &weight, &bias, &mean, &variance], &epsilon);
        Ok(Value { name, shape: x.shape })
    }

    /// Over the channels of rows, of tokens, or of each pixel of a map.
    pub(crate) fn linear(&mut self, linear: &Linear, x: Value) -> Result<Value, OnnxError> {
        let bias = linear.bias.map(|bias| self.parameter(bias, None)).transpose()?;
        let matrix = [linear.to, linear.from];
        match x.shape {
            Shape::Rows { .. } => {
                let weight = self.parameter(linear.weight, Some(matrix.to_vec()))?;
                let inputs: Vec<&str> = [&*x.name, &*weight].into_iter().chain(bias.as_deref()).collect();
                let name = self.node("Gemm", &inputs, &[Attribute::Int("transB", 1)]);
                Ok(Value { name, shape: x.shape.of(linear.to) })
            }
            Shape::Map { .. } if self.shape_of(linear.weight).len() == 4 => {
                let weight = self.parameter(linear.weight, None)?;
                let inputs: Vec<&str> = [&*x.name, &*weight].into_iter().chain(bias.as_deref()).collect();
                let name = self.node("Conv", &inputs, &[Attribute::Ints("kernel_shape", vec![1, 1])]);
                Ok(Value { name, shape: x.shape.of(linear.to) })
            }
            _ => {
                let x = self.channels_last(x);
                let turned = transposed(&self.values(linear.weight)?, matrix);
                let weight = format!("{}/transposed", self.name_of(linear.weight));
                let weight = self.constant(&weight, vec![linear.from, linear.to], &turned);
                let mut name = self.node("MatMul", &[&x.name, &weight], &[]);
                if let Some(bias) = bias {
                    name = self.node("Add", &[&name, &bias], &[]);
                }
                Ok(Value { name, shape: x.shape.of(linear.to) })
            }
        }
    }

    pub(crate) fn layer_norm(&mut self, norm: &LayerNorm, x: Value) -> Result<Value, OnnxError> {
        let x = self.channels_last(x);
        let (weight, bias) = (self.parameter(norm.weight, None)?, self.parameter(norm.bias, None)?);
        let attributes = [Attribute::Int("axis", -1), Attribute::Float("epsilon", norm.epsilon as f32)];
        let name = self.node("LayerNormalization", &[&x.name, &weight, &bias], &attributes);
        Ok(Value { name, shape: x.shape })
    }

    pub(crate) fn curve(&mut self, curve: Curve, x: Value) -> Value {
        match curve {
            Curve::Identity => x,
            Curve::Relu => self.pointwise("Relu", x, &[]),
            Curve::Sigmoid => self.pointwise("Sigmoid", x, &[]),
            Curve::HardSwish => self.pointwise("HardSwish", x, &[]),
            Curve::HardSigmoid => {
                let slope = [Attribute::Float("alpha", 1.0 / 6.0), Attribute::Float("beta", 0.5)];
                self.pointwise("HardSigmoid", x, &slope)
            }
            Curve::Silu => {
                let gate = self.pointwise("Sigmoid", x.clone(), &[]);
                self.both("Mul", &x, &gate)
            }
            Curve::QuickGelu => {
                let slope = self.number(1.702);
                let name = self.node("Mul", &[&x.name, &slope], &[]);
                let gate = self.pointwise("Sigmoid", Value { name, shape: x.shape }, &[]);
                self.both("Mul", &x, &gate)
            }
            // x · (1 + erf(x / √2)) / 2, as exporters write it and runtimes know it: the operator of that name is younger.
            Curve::Gelu => {
                let [root, one, half] = [std::f32::consts::SQRT_2, 1.0, 0.5].map(|value| self.number(value));
                let scaled = self.node("Div", &[&x.name, &root], &[]);
                let erf = self.node("Erf", &[&scaled], &[]);
                let sum = self.node("Add", &[&erf, &one], &[]);
                let product = self.node("Mul", &[&x.name, &sum], &[]);
                Value { name: self.node("Mul", &[&product, &half], &[]), shape: x.shape }
            }
        }
    }

    /// Maps side by side along the channels.
    fn side_by_side(&mut self, maps: Vec<Value>) -> Result<Value, OnnxError> {
        let (mut names, mut joined) = (Vec::new(), (0, 0, 0));
        for map in maps {
            let (map, (height, width, channels)) = self.pixels_of("a sum of channels", map)?;
            joined = (height, width, joined.2 + channels);
            names.push(map.name);
        }
        let name = self.concat(&names.iter().map(String::as_str).collect::<Vec<_>>(), 1);
        let (height, width, channels) = joined;
        Ok(Value { name, shape: Shape::Map { height, width, channels } })
    }

    /// A map with its channels first, and its height, width and channels.
    pub(crate) fn pixels_of(
        &mut self,
        layer: &str,
        x: Value,
    ) -> Result<(Value, (usize, usize, usize)), OnnxError> {
        let x = self.map(x);
        match x.shape {
            Shape::Map { height, width, channels } => Ok((x, (height, width, channels))),
            _ => Err(unfit(layer, &x)),
        }
    }
}

pub(crate) fn unfit(layer: &str, x: &Value) -> OnnxError {
    OnnxError::Unfit { layer: layer.to_owned(), found: x.shape.to_string() }
}

/// The attributes of a sliding window that reaches beyond the lower and right edges by `ends`.
pub(crate) fn sliding(window: Window, ends: (usize, usize)) -> Vec<Attribute<'static>> {
    let pair = |(vertical, horizontal): (usize, usize)| vec![vertical as i64, horizontal as i64];
    let pads = [pair(window.padding), pair(ends)].concat();
    vec![
        Attribute::Ints("kernel_shape", pair(window.kernel)),
        Attribute::Ints("strides", pair(window.stride)),
        Attribute::Ints("pads", pads),
    ]
}

/// A matrix `[rows, columns]` the other way.
fn transposed(values: &[f32], [rows, columns]: [usize; 2]) -> Vec<f32> {
    (0..columns).flat_map(|column| (0..rows).map(move |row| values[row * columns + column])).collect()
}
