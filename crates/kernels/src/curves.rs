//! The curves of single values that stand between layers: SiLU, hard-swish, the gates of squeeze-and-excite, quick GELU.
//!
//! [`Curve`] names one, and [`activate`] applies it. GELU itself is in `gelu`, as
//! its distribution takes a page; ReLU in `activation`.

use candle_core::{Result, Tensor};

use crate::activation::{Relu, Slope, at_each};
use crate::gelu::{Gelu, exp};
use crate::{composed, storage};

/// A function of single values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    /// `x`.
    Identity,
    /// `max(x, 0)`; the gradient at 0 is 0.
    Relu,
    /// `x · Φ(x)`, as [`crate::gelu`].
    Gelu,
    /// `x · sigmoid(1.702 · x)`, by which CLIP's networks stand for GELU.
    QuickGelu,
    /// `x · sigmoid(x)` (Elfwing et al., 2017, arXiv:1702.03118), also known as swish.
    Silu,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// `x · hardsigmoid(x)` (Howard et al., 2019, arXiv:1905.02244).
    HardSwish,
    /// `min(max(x + 3, 0), 6) / 6`; the gradient at both bends is 0.
    HardSigmoid,
}

impl Curve {
    /// The gradient at `x`, times `dy`; for a few values.
    pub(crate) fn back(self, x: f32, dy: f32) -> f32 {
        match self {
            Self::Identity => dy,
            Self::Relu => Relu.back(x, x, dy),
            Self::Gelu => Gelu.back(x, x, dy),
            Self::QuickGelu => Swish(1.702).back(x, x, dy),
            Self::Silu => Swish(1.0).back(x, x, dy),
            Self::Sigmoid => Sigmoid.back(x, x, dy),
            Self::HardSwish => HardSwish.back(x, x, dy),
            Self::HardSigmoid => HardSigmoid.back(x, x, dy),
        }
    }
}

/// The curve at every value of a tensor of any shape.
pub fn activate(x: &Tensor, curve: Curve) -> Result<Tensor> {
    if !storage::runs_here(x) {
        return composed::activate(x, curve);
    }
    match curve {
        Curve::Identity => Ok(x.clone()),
        Curve::Relu => at_each(x, Relu),
        Curve::Gelu => at_each(x, Gelu),
        Curve::QuickGelu => at_each(x, Swish(1.702)),
        Curve::Silu => at_each(x, Swish(1.0)),
        Curve::Sigmoid => at_each(x, Sigmoid),
        Curve::HardSwish => at_each(x, HardSwish),
        Curve::HardSigmoid => at_each(x, HardSigmoid),
    }
}

/// The logistic function.
#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

#[inline(always)]
fn hard_sigmoid(x: f32) -> f32 {
    (x + 3.0).clamp(0.0, 6.0) * (1.0 / 6.0)
}

/// What changes nothing.
pub(crate) struct Identity;

impl Slope for Identity {
    #[inline(always)]
    fn value(&self, x: f32) -> f32 {
        x
    }

    #[inline(always)]
    fn back(&self, _x: f32, _y: f32, dy: f32) -> f32 {
        dy
    }
}

/// `x · sigmoid(b · x)`.
pub(crate) struct Swish(pub(crate) f32);

impl Slope for Swish {
    #[inline(always)]
    fn value(&self, x: f32) -> f32 {
        x * sigmoid(self.0 * x)
    }

    #[inline(always)]
    fn back(&self, x: f32, _y: f32, dy: f32) -> f32 {
        let gate = sigmoid(self.0 * x);
        dy * (gate * (1.0 + self.0 * x * (1.0 - gate)))
    }
}

pub(crate) struct Sigmoid;

impl Slope for Sigmoid {
    #[inline(always)]
    fn value(&self, x: f32) -> f32 {
        sigmoid(x)
    }

    #[inline(always)]
    fn back(&self, x: f32, _y: f32, dy: f32) -> f32 {
        let gate = sigmoid(x);
        dy * (gate * (1.0 - gate))
    }
}

pub(crate) struct HardSwish;

impl Slope for HardSwish {
    #[inline(always)]
    fn value(&self, x: f32) -> f32 {
        x * hard_sigmoid(x)
    }

    /// At the bends as PyTorch: 0 at -3, and 1 at 3.
    #[inline(always)]
    fn back(&self, x: f32, _y: f32, dy: f32) -> f32 {
        let between = dy * (x * (1.0 / 3.0) + 0.5);
        let above = if x >= 3.0 { dy } else { between };
        if x <= -3.0 { 0.0 } else { above }
    }
}

pub(crate) struct HardSigmoid;

impl Slope for HardSigmoid {
    #[inline(always)]
    fn value(&self, x: f32) -> f32 {
        hard_sigmoid(x)
    }

    #[inline(always)]
    fn back(&self, x: f32, _y: f32, dy: f32) -> f32 {
        if x > -3.0 && x < 3.0 { dy * (1.0 / 6.0) } else { 0.0 }
    }
}
