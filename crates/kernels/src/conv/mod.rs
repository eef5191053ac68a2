//! Two-dimensional convolution as a sum of matrix products.
//!
//! The entry is [`conv2d`]. At one tap of the kernel, the pixels of an output row that the tap can reach form
//! one run of the input row, so the tap adds `X[run] · W[tap]` to `Y[run]`: no patch matrix of the batch, no
//! padded copy. `forward`, `data_gradient` and `weight_gradient` hold the three products; `patches` serves inputs
//! of few channels, whose taps alone would be too thin for a product, and `winograd` does 3x3 kernels on larger maps with
//! fewer multiplications.

mod data_gradient;
mod forward;
mod geometry;
mod patches;
mod spec;
mod weight_gradient;
mod winograd;

use std::borrow::Cow;

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor, bail};

use crate::layout::Hwnc;
use crate::storage::{self, Values};
use crate::{composed, precision, tape, tasks};
pub(crate) use geometry::Geometry;
pub use spec::{ConvSpec, conv_output};

/// Convolves `[H, W, N, C_in]` with tap-major weights `[kh, kw, C_in, C_out]` and adds a bias `[C_out]`:
/// `[H', W', N, C_out]`. What PyTorch calls `conv2d` with dilation 1 and one group.
///
/// Gradients reach the input, the weights and the bias, each only where it is wanted.
///
/// # Errors
/// When the channels do not agree, or the kernel is larger than the padded input.
pub fn conv2d(x: &Hwnc, weights: &Tensor, bias: Option<&Tensor>, spec: ConvSpec) -> Result<Hwnc> {
    let geometry = Geometry::new(x, weights, spec)?;
    if let Some(bias) = bias
        && bias.dims() != [geometry.c_out]
    {
        bail!("convolution: the bias is {:?}, but there are {} output channels", bias.dims(), geometry.c_out);
    }
    if !storage::runs_here(x.tensor()) {
        return composed::conv2d(x, weights, bias, spec);
    }
    let weights = weights.contiguous()?;
    let gradients = [x.tensor(), &weights].into_iter().chain(bias).any(tape::wanted);
    let operation = Convolution { geometry, gradients };
    let y = match bias {
        Some(bias) => tape::apply3(x.tensor(), &weights, &bias.contiguous()?, operation)?,
        None => tape::apply2(x.tensor(), &weights, operation)?,
    };
    Hwnc::new(y)
}

/// `[oh, ow, n, c_out]` from `x` `[h, w, n, c_in]`, `weights` `[kh, kw, c_in, c_out]` and a bias `[c_out]`.
///
/// With `gradients` to follow, products are summed directly: what transforms would add to the rounding of a map, gradients
/// would carry through the whole network.
pub(crate) fn forward(
    g: &Geometry,
    x: &[f32],
    weights: &[f32],
    bias: Option<&[f32]>,
    gradients: bool,
) -> Vec<f32> {
    if patches::serve(g) {
        patches::forward(g, x, weights, bias)
    } else if !gradients && winograd::serve(g) {
        winograd::forward(g, x, weights, bias)
    } else {
        forward::forward(g, x, weights, bias)
    }
}

/// `[h, w, n, c_in]` from the gradient of the output and the weights.
pub(crate) fn data_gradient(g: &Geometry, dy: &[f32], weights: &[f32]) -> Vec<f32> {
    match winograd::serve(g) {
        true => winograd::data_gradient(g, dy, weights),
        false => data_gradient::data_gradient(g, dy, weights),
    }
}

/// `[kh, kw, c_in, c_out]` from the input and the gradient of the output.
pub(crate) fn weight_gradient(g: &Geometry, x: &[f32], dy: &[f32]) -> Vec<f32> {
    if patches::serve(g) {
        patches::weight_gradient(g, x, dy)
    } else if winograd::serves_weights(g) {
        winograd::weight_gradient(g, x, dy)
    } else {
        weight_gradient::weight_gradient(g, x, dy)
    }
}

/// The custom operation; with three arguments the third is the bias.
struct Convolution {
    geometry: Geometry,
    /// Whether some are wanted.
    gradients: bool,
}

impl Convolution {
    fn run(
        &self,
        (x, x_layout): (&CpuStorage, &Layout),
        weights: Cow<'_, [f32]>,
        bias: Option<&[f32]>,
    ) -> Result<(CpuStorage, Shape)> {
        let g = &self.geometry;
        let mut weights = weights;
        if g.half {
            precision::round(weights.to_mut());
        }
        let y = forward(g, &storage::slice(x, x_layout)?, &weights, bias, self.gradients);
        Ok((storage::stored(y, x), Shape::from((g.oh, g.ow, g.n, g.c_out))))
    }

    fn gradients(
        &self,
        x: &Tensor,
        weights: &Tensor,
        dy: &[f32],
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let g = &self.geometry;
        let dx = match tape::wanted(x) {
            true => {
                let dx = data_gradient(g, dy, &Values::factor(weights, x)?);
                Some(storage::tensor_like(dx, x.shape(), x)?)
            }
            false => None,
        };
        let dw = match tape::wanted(weights) {
            true => Some(storage::tensor(weight_gradient(g, &Values::of(x)?, dy), weights.shape())?),
            false => None,
        };
        Ok((dx, dw))
    }
}

impl CustomOp2 for Convolution {
    fn name(&self) -> &'static str {
        "conv2d-hwnc"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weights: &CpuStorage,
        weights_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.run((x, x_layout), storage::slice(weights, weights_layout)?, None)
    }

    fn bwd(
        &self,
        x: &Tensor,
        weights: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let dy = dy.contiguous()?;
        self.gradients(x, weights, &Values::of(&dy)?)
    }
}

impl CustomOp3 for Convolution {
    fn name(&self) -> &'static str {
        "conv2d-hwnc-bias"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weights: &CpuStorage,
        weights_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let bias = storage::slice(bias, bias_layout)?;
        self.run((x, x_layout), storage::slice(weights, weights_layout)?, Some(&bias))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weights: &Tensor,
        bias: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let dy = dy.contiguous()?;
        let dy = Values::of(&dy)?;
        let (dx, dw) = self.gradients(x, weights, &dy)?;
        let db = match tape::wanted(bias) {
            true => Some(storage::tensor(tasks::column_sums(&dy, self.geometry.c_out), bias.shape())?),
            false => None,
        };
        Ok((dx, dw, db))
    }
}
