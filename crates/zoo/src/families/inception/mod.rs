//! The Inception family (Szegedy et al.), whose blocks run several branches on one map and join what they give: GoogLeNet
//! in `googlenet.rs`, Inception v3 in `v3.rs`. Here is what the two share: a convolution with its norm, and how they start.

pub(crate) mod googlenet;
pub(crate) mod v3;

use crate::description::{Builder, ConvNorm, Initial, Layer, Linear, Window};

/// What torchvision's `BasicConv2d` adds to the variance.
const EPSILON: f64 = 1e-3;

/// The share of an auxiliary head's loss (Szegedy et al. 2014, section 5).
const AUXILIARY_WEIGHT: f64 = 0.3;

/// A 1x1 kernel.
const PIXEL: Window = Window::square(1, 1, 0);

/// `trunc_normal_(std, a=-2, b=2)`: ±2 lies twenty standard deviations or more away, where no draw falls.
fn normal(std: f32) -> Initial {
    Initial::Normal { std }
}

/// torchvision's `BasicConv2d`: convolution without bias, norm, ReLU.
fn basic_conv(
    b: &mut Builder,
    name: &str,
    (from, to): (usize, usize),
    window: Window,
    initial: Initial,
) -> Layer {
    let conv = b.conv(&format!("{name}.conv"), from, to, window, initial);
    let norm = b.norm_with_epsilon(&format!("{name}.bn"), to, EPSILON);
    Layer::ConvNorm(ConvNorm { conv, norm, relu: true })
}

/// A linear layer whose weight is drawn anew; the bias stays as `nn.Linear` starts it.
fn linear(b: &mut Builder, name: &str, from: usize, to: usize, initial: Initial) -> Linear {
    let linear = b.linear(name, from, to);
    b.started(linear, initial)
}

fn dropout(name: &str, probability: f32) -> Layer {
    Layer::Dropout { name: name.to_owned(), probability }
}

fn max_pool(name: &str, window: Window, ceil: bool) -> Layer {
    Layer::MaxPool { name: name.to_owned(), window, ceil }
}

fn avg_pool(name: &str, window: Window) -> Layer {
    Layer::AvgPool { name: name.to_owned(), window }
}
