//! How a [`Builder`] registers the parts of convolutional networks since MobileNet: depthwise convolutions, linear layers that are
//! kernels of one tap, gates, the factors of layer scale.

use super::blocks::{Curve, SqueezeExcite, WindowAttention};
use super::builder::Builder;
use super::initial::Initial;
use super::layers::{Conv, Layer, LayerNorm, Linear, ParameterId, Window};
use super::layout::{Layout, LiveTaps};
use super::role::Role;

impl Builder {
    /// A depthwise convolution without bias, which keeps the map's size but for its stride; the kernel's side is odd.
    pub(crate) fn depthwise(
        &mut self,
        name: &str,
        channels: usize,
        (kernel, stride): (usize, usize),
        initial: Initial,
    ) -> Conv {
        let window = Window::square(kernel, stride, kernel / 2);
        self.grouped_conv(name, (channels, channels, channels), window, initial)
    }

    /// A linear layer over the channels of each pixel whose weight is a kernel of one tap, with weight and bias that start at
    /// `initials`.
    pub(crate) fn pixel_linear(
        &mut self,
        name: &str,
        from: usize,
        to: usize,
        initials: (Initial, Initial),
    ) -> Linear {
        let live = LiveTaps::all(1, 1);
        let layout = Layout::Matrix { outputs: to, channels: from, height: 1, width: 1, live };
        let (shape, bias) = (vec![to, from, 1, 1], format!("{name}.bias"));
        let weight = self.parameter(format!("{name}.weight"), Role::Weight, shape, layout, initials.0);
        let bias = self.parameter(bias, Role::Bias, vec![to], Layout::Vector, initials.1);
        Linear { weight, bias: Some(bias), from, to, adapter: None }
    }

    /// Gates for `channels` by way of `reduced`; `names` are those of the two layers.
    pub(crate) fn squeeze_excite(
        &mut self,
        names: (&str, &str),
        (channels, reduced): (usize, usize),
        (inner, gate): (Curve, Curve),
        initial: impl Fn(usize) -> (Initial, Initial),
    ) -> SqueezeExcite {
        SqueezeExcite {
            reduce: self.pixel_linear(names.0, channels, reduced, initial(channels)),
            inner,
            expand: self.pixel_linear(names.1, reduced, channels, initial(reduced)),
            gate,
        }
    }

    /// The factors of layer scale.
    pub(crate) fn scale(&mut self, name: &str, channels: usize, start: f32) -> ParameterId {
        let (shape, initial) = (vec![channels], Initial::Constant(start));
        self.parameter(name.to_owned(), Role::NormWeight, shape, Layout::Vector, initial)
    }

    /// The weight and bias of a response norm, both 0, with timm's epsilon.
    pub(crate) fn response_norm(&mut self, name: &str, channels: usize) -> LayerNorm {
        let norm = self.layer_norm(name, channels);
        self.restart(norm.weight, Initial::Constant(0.0));
        norm
    }

    /// The biases of windows of `window` by `window` pixels.
    pub(crate) fn window_biases(&mut self, name: &str, window: usize, heads: usize) -> ParameterId {
        let ways = (2 * window - 1) * (2 * window - 1);
        let initial = Initial::Normal { std: 0.02 };
        self.parameter(name.to_owned(), Role::Embedding, vec![ways, heads], Layout::Vector, initial)
    }

    /// Attention within windows of so many pixels a side, shifted or not.
    pub(crate) fn window_attention(
        &self,
        (qkv, biases): (Linear, ParameterId),
        heads: usize,
        (window, shifted): (usize, bool),
    ) -> Layer {
        Layer::WindowAttention(Box::new(WindowAttention { qkv, biases, heads, window, shifted }))
    }
}
