//! The parts of convolutional networks since MobileNet: the [`Curve`]s that they bend numbers by, [`Skip`] around a body of any
//! layers, [`SqueezeExcite`], and the [`WindowAttention`] of transformers over maps.

use super::layers::{Layer, Linear, ParameterId};

/// A function of single numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    /// The number itself.
    Identity,
    /// `max(x, 0)`.
    Relu,
    /// `x · Φ(x)`.
    Gelu,
    /// `x · sigmoid(1.702 · x)`.
    QuickGelu,
    /// `x · sigmoid(x)`.
    Silu,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// `x · hardsigmoid(x)`.
    HardSwish,
    /// `min(max(x + 3, 0), 6) / 6`.
    HardSigmoid,
}

/// A body of layers around which its input goes, as it is or through a shortcut: `[relu](shortcut(x) + [scale ·] body(x))`.
#[derive(Clone, Debug)]
pub struct Skip {
    /// The module's name, for the stream of stochastic depth.
    pub name: String,
    /// What is added.
    pub body: Vec<Layer>,
    /// What it is added to; empty for the input itself.
    pub shortcut: Vec<Layer>,
    /// A factor for each channel of what is added, where there is one.
    pub scale: Option<ParameterId>,
    /// Whether a ReLU follows.
    pub relu: bool,
    /// The share of the model's stochastic depth that it has.
    pub depth: f32,
}

/// Gates for the channels of each image: `gate(expand(inner(reduce(mean over pixels))))`.
#[derive(Clone, Debug)]
pub struct SqueezeExcite {
    /// To fewer channels.
    pub reduce: Linear,
    /// The curve behind that.
    pub inner: Curve,
    /// And back.
    pub expand: Linear,
    /// The curve whose values are the gates.
    pub gate: Curve,
}

/// Attention among the pixels of each window of a map.
#[derive(Clone, Debug)]
pub struct WindowAttention {
    /// Queries, keys and values, side by side.
    pub qkv: Linear,
    /// A number for each way in which a pixel of a window may lie from another, and each head.
    pub biases: ParameterId,
    /// Attention heads.
    pub heads: usize,
    /// Pixels along a window, where the map has as many.
    pub window: usize,
    /// Whether windows stand half a window further.
    pub shifted: bool,
}

impl WindowAttention {
    /// Pixels along a window on a side of `size` pixels, and how far it is shifted: as timm has it, not at all where one window is
    /// the whole side.
    pub fn along(&self, size: usize) -> (usize, usize) {
        let shift = if self.shifted && size > self.window { self.window / 2 } else { 0 };
        (self.window.min(size), shift)
    }
}
