//! [`Graph`]: nodes and tensors as they are added, and the [`Value`]s that flow between them. It knows operators by name alone.

use std::collections::BTreeMap;
use std::fmt;

use frostline_zoo::description::{Architecture, NormId, NormSpec, ParameterId};

use crate::error::OnnxError;
use crate::proto::Message;

/// ONNX's word for f32.
pub(crate) const FLOAT: i64 = 1;
/// ONNX's word for i64.
const LONG: i64 = 7;

/// What a value is, but for the batch, which comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `[N, C, H, W]`
    Map { height: usize, width: usize, channels: usize },
    /// `[N, H, W, C]`
    Pixels { height: usize, width: usize, channels: usize },
    /// `[N, T, C]`
    Tokens { count: usize, channels: usize },
    /// `[N, C]`
    Rows { channels: usize },
}

/// What flows between nodes.
#[derive(Clone, Debug)]
pub(crate) struct Value {
    pub(crate) name: String,
    pub(crate) shape: Shape,
}

/// An attribute of a node.
pub(crate) enum Attribute<'a> {
    Int(&'a str, i64),
    Ints(&'a str, Vec<i64>),
    Float(&'a str, f32),
}

/// Nodes and tensors.
pub(crate) struct Graph<'a> {
    architecture: &'a Architecture,
    numbers: &'a dyn Fn(&str) -> Option<Vec<f32>>,
    nodes: Vec<Message>,
    /// By name; each stands in the file once.
    tensors: BTreeMap<String, Message>,
    scope: String,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shape::Map { height, width, channels } => write!(f, "a map [N, {channels}, {height}, {width}]"),
            Shape::Pixels { height, width, channels } => {
                write!(f, "a map [N, {height}, {width}, {channels}]")
            }
            Shape::Tokens { count, channels } => write!(f, "tokens [N, {count}, {channels}]"),
            Shape::Rows { channels } => write!(f, "rows [N, {channels}]"),
        }
    }
}

impl Shape {
    /// The same with other channels.
    pub(crate) fn of(self, to: usize) -> Self {
        match self {
            Shape::Map { height, width, .. } => Shape::Map { height, width, channels: to },
            Shape::Pixels { height, width, .. } => Shape::Pixels { height, width, channels: to },
            Shape::Tokens { count, .. } => Shape::Tokens { count, channels: to },
            Shape::Rows { .. } => Shape::Rows { channels: to },
        }
    }
}

impl<'a> Graph<'a> {
    pub(crate) fn new(architecture: &'a Architecture, numbers: &'a dyn Fn(&str) -> Option<Vec<f32>>) -> Self {
        Self { architecture, numbers, nodes: Vec::new(), tensors: BTreeMap::new(), scope: String::new() }
    }

    /// What names of nodes begin with from now on.
    pub(crate) fn scope(&mut self, name: &str) {
        name.clone_into(&mut self.scope);
    }

    /// Nodes in order, and fields of the graph with tensors.
    pub(crate) fn finish(self) -> (Vec<Message>, Vec<Message>) {
        (self.nodes, self.tensors.into_values().collect())
    }

    /// Adds a node; the name of what it puts out, which is also its own.
    pub(crate) fn node(&mut self, operator: &str, inputs: &[&str], attributes: &[Attribute<'_>]) -> String {
        let name = format!("{}/{operator}_{}", self.scope, self.nodes.len());
        self.named_node(operator, inputs, attributes, &name);
        name
    }

    /// Gives a value another name.
    pub(crate) fn identity(&mut self, x: &Value, name: &str) {
        self.named_node("Identity", &[&x.name], &[], name);
    }

    fn named_node(&mut self, operator: &str, inputs: &[&str], attributes: &[Attribute<'_>], name: &str) {
        let mut node = Message::default();
        inputs.iter().for_each(|input| node.text(1, input));
        node.text(2, name);
        node.text(3, name);
        node.text(4, operator);
        attributes.iter().for_each(|attribute| node.message(5, &attribute.message()));
        self.nodes.push(node);
    }

    /// An operation that leaves the shape as it is.
    pub(crate) fn pointwise(&mut self, operator: &str, x: Value, attributes: &[Attribute<'_>]) -> Value {
        Value { name: self.node(operator, &[&x.name], attributes), shape: x.shape }
    }

    /// The sum, or the like, of two values of one shape.
    pub(crate) fn both(&mut self, operator: &str, x: &Value, y: &Value) -> Value {
        Value { name: self.node(operator, &[&x.name, &y.name], &[]), shape: x.shape }
    }

    pub(crate) fn transpose(&mut self, name: &str, axes: &[i64]) -> String {
        self.node("Transpose", &[name], &[Attribute::Ints("perm", axes.to_vec())])
    }

    /// 0 keeps an axis, -1 takes what is left.
    pub(crate) fn reshape(&mut self, name: &str, sizes: &[i64]) -> String {
        let sizes = self.longs(sizes);
        self.node("Reshape", &[name, &sizes], &[])
    }

    /// A part of an axis.
    pub(crate) fn slice(&mut self, name: &str, axis: i64, start: usize, end: usize) -> String {
        let [start, end, axis] = [start as i64, end as i64, axis].map(|value| self.longs(&[value]));
        self.node("Slice", &[name, &start, &end, &axis], &[])
    }

    pub(crate) fn concat(&mut self, names: &[&str], axis: i64) -> String {
        self.node("Concat", names, &[Attribute::Int("axis", axis)])
    }

    /// Numbers of this graph's own.
    pub(crate) fn constant(&mut self, name: &str, shape: Vec<usize>, values: &[f32]) -> String {
        if !self.tensors.contains_key(name) {
            let mut tensor = tensor(name, &shape, FLOAT);
            tensor.floats(9, values);
            self.insert(name, &tensor);
        }
        name.to_owned()
    }

    /// One number.
    pub(crate) fn number(&mut self, value: f32) -> String {
        self.constant(&format!("numbers/{value}"), Vec::new(), &[value])
    }

    /// Whole numbers, for shapes and axes.
    pub(crate) fn longs(&mut self, values: &[i64]) -> String {
        let words: Vec<String> = values.iter().map(i64::to_string).collect();
        self.integers(format!("integers/{}", words.join("_")), &[values.len()], values)
    }

    /// One whole number, without an axis.
    pub(crate) fn index(&mut self, value: i64) -> String {
        self.integers(format!("index/{value}"), &[], &[value])
    }

    fn integers(&mut self, name: String, shape: &[usize], values: &[i64]) -> String {
        if !self.tensors.contains_key(&name) {
            let mut tensor = tensor(&name, shape, LONG);
            tensor.longs(9, values);
            self.insert(&name, &tensor);
        }
        name
    }

    fn insert(&mut self, name: &str, tensor: &Message) {
        let mut field = Message::default();
        field.message(5, tensor);
        self.tensors.insert(name.to_owned(), field);
    }

    /// A parameter as it is in the state dict, in another shape of as many numbers where one is given.
    pub(crate) fn parameter(
        &mut self,
        id: ParameterId,
        shape: Option<Vec<usize>>,
    ) -> Result<String, OnnxError> {
        let spec = &self.architecture.parameters[id.0];
        let values = self.values(id)?;
        Ok(self.constant(&spec.name, shape.unwrap_or_else(|| spec.shape.clone()), &values))
    }

    /// The shape of a parameter in the state dict.
    pub(crate) fn shape_of(&self, id: ParameterId) -> &'a [usize] {
        &self.architecture.parameters[id.0].shape
    }

    /// The name of a parameter in the state dict.
    pub(crate) fn name_of(&self, id: ParameterId) -> &'a str {
        &self.architecture.parameters[id.0].name
    }

    /// A parameter's numbers, in torchvision's order.
    pub(crate) fn values(&self, id: ParameterId) -> Result<Vec<f32>, OnnxError> {
        let spec = &self.architecture.parameters[id.0];
        self.read(&spec.name, spec.shape.iter().product())
    }

    /// A norm: its weight, its bias, its running mean and its running variance.
    pub(crate) fn norm(&mut self, id: NormId) -> Result<(&'a NormSpec, [String; 4]), OnnxError> {
        let norm = &self.architecture.norms[id.0];
        let (weight, bias) = (self.parameter(norm.weight, None)?, self.parameter(norm.bias, None)?);
        let mut statistic = |part: &str| {
            let name = format!("{}.{part}", norm.name);
            let values = self.read(&name, norm.channels)?;
            Ok::<_, OnnxError>(self.constant(&name, vec![norm.channels], &values))
        };
        let (mean, variance) = (statistic("running_mean")?, statistic("running_var")?);
        Ok((norm, [weight, bias, mean, variance]))
    }

    fn read(&self, name: &str, expected: usize) -> Result<Vec<f32>, OnnxError> {
        let values = (self.numbers)(name).ok_or_else(|| OnnxError::Missing { name: name.to_owned() })?;
        if values.len() != expected {
            return Err(OnnxError::Size { name: name.to_owned(), found: values.len(), expected });
        }
        Ok(values)
    }

    /// A map whose channels come before its pixels.
    pub(crate) fn map(&mut self, x: Value) -> Value {
        match x.shape {
            Shape::Pixels { height, width, channels } => Value {
                name: self.transpose(&x.name, &[0, 3, 1, 2]),
                shape: Shape::Map { height, width, channels },
            },
            _ => x,
        }
    }

    /// A value whose channels come last.
    pub(crate) fn channels_last(&mut self, x: Value) -> Value {
        match x.shape {
            Shape::Map { height, width, channels } => Value {
                name: self.transpose(&x.name, &[0, 2, 3, 1]),
                shape: Shape::Pixels { height, width, channels },
            },
            _ => x,
        }
    }
}

fn tensor(name: &str, shape: &[usize], kind: i64) -> Message {
    let mut tensor = Message::default();
    shape.iter().for_each(|size| tensor.int(1, *size as i64));
    tensor.int(2, kind);
    tensor.text(8, name);
    tensor
}

impl Attribute<'_> {
    fn message(&self) -> Message {
        let mut message = Message::default();
        let kind = match self {
            Attribute::Float(name, value) => {
                message.text(1, name);
                message.float(2, *value);
                1
            }
            Attribute::Int(name, value) => {
                message.text(1, name);
                message.int(3, *value);
                2
            }
            Attribute::Ints(name, values) => {
                message.text(1, name);
                values.iter().for_each(|value| message.int(8, *value));
                7
            }
        };
        message.int(20, kind);
        message
    }
}
