//! Two-dimensional convolution as a sum of matrix products.
//!
//! The entry is [`conv2d`]. At one tap of the kernel, the pixels of an output row that the tap can reach form
//! one run of the input row, so the tap adds `X[run] · W[tap]` to `Y[run]`: no patch matrix of the batch, no
//! padded copy. `forward`, `data_gradient` and `weight_gradient` hold the three products; `patches` serves inputs
//! of few channels, whose taps alone would be too thin for a product, `winograd` does 3x3 kernels on larger maps with
//! fewer multiplications, and `grouped` and `depthwise` are for outputs that see some of the inputs alone.

mod data_gradient;
mod depthwise;
mod finish;
mod forward;
mod geometry;
mod grouped;
mod patches;
mod spec;
mod weight_gradient;
mod winograd;

use candle_core::{Result, Tensor, bail};

use crate::gemm::Factor;
use crate::layout::Hwnc;
use crate::precision::Number;
use crate::storage::{self, Values, by_number};
use crate::tape::{Backward, note, wanted};
use crate::{Gradient, composed, tasks};
pub(crate) use finish::Finish;
pub(crate) use geometry::Geometry;
pub use grouped::grouped_conv2d;
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
    let (weights, bias) = (weights.contiguous()?, bias.map(Tensor::contiguous).transpose()?);
    let inputs: Vec<&Tensor> = [x.tensor(), &weights].into_iter().chain(&bias).collect();
    let gradients = inputs.iter().any(|input| wanted(input));
    let y = {
        let bias = bias.as_ref().map(Values::of).transpose()?;
        by_number!(storage::is_half(x.tensor()), T => {
            let weights = Values::of(&weights)?;
            let factor = T::of_singles(&weights);
            let finish = Finish::bias(bias.as_deref());
            let y = forward::<T>(&geometry, &Values::of(x.tensor())?, &factor, finish, gradients);
            storage::tensor(y, (geometry.oh, geometry.ow, geometry.n, geometry.c_out))?
        })
    };
    note(&inputs, &y, Convolution(geometry));
    Hwnc::new(y)
}

/// `[oh, ow, n, c_out]` from `x` `[h, w, n, c_in]` and `weights` `[kh, kw, c_in, c_out]`, finished where it is summed.
///
/// With `gradients` to follow, products are summed directly: what transforms would add to the rounding of a map, gradients
/// would carry through the whole network.
pub(crate) fn forward<T: Factor>(
    g: &Geometry,
    x: &[T],
    weights: &[T],
    finish: Finish<'_, T>,
    gradients: bool,
) -> Vec<T> {
    if patches::serve(g) {
        return patches::forward(g, x, weights, finish);
    }
    match (T::singles(x), T::singles(weights), finish.singles()) {
        (Some(x), Some(weights), Some(finish)) if !gradients && winograd::serve(g) => {
            T::kept(winograd::forward(g, x, weights, finish))
        }
        _ => forward::forward(g, x, weights, finish),
    }
}

/// `[h, w, n, c_in]` from the gradient of the output and the weights.
pub(crate) fn data_gradient<T: Factor>(g: &Geometry, dy: &[T], weights: &[T]) -> Vec<T> {
    match (T::singles(dy), T::singles(weights)) {
        (Some(dy), Some(weights)) if winograd::serve(g) => T::kept(winograd::data_gradient(g, dy, weights)),
        _ => data_gradient::data_gradient(g, dy, weights),
    }
}

/// `[kh, kw, c_in, c_out]` from the input and the gradient of the output.
pub(crate) fn weight_gradient<T: Factor>(g: &Geometry, x: &[T], dy: &[T]) -> Vec<f32> {
    if patches::serve(g) {
        return patches::weight_gradient(g, x, dy);
    }
    match (T::singles(x), T::singles(dy)) {
        (Some(x), Some(dy)) if winograd::serves_weights(g) => winograd::weight_gradient(g, x, dy),
        _ => weight_gradient::weight_gradient(g, x, dy),
    }
}

/// The operation on the tape: inputs are x, weights, and the bias where there is one.
struct Convolution(Geometry);

impl Backward for Convolution {
    fn backward(&self, inputs: &[Tensor], _: &Tensor, dy: &Tensor) -> Result<Vec<Option<Gradient>>> {
        let ([x, weights, bias @ ..], g) = (inputs, &self.0) else {
            bail!("convolution: two inputs at least")
        };
        let dy = storage::like(dy, x)?;
        by_number!(storage::is_half(x), T => {
            let dy = Values::<T>::of(&dy)?;
            let mut found: Vec<Option<Gradient>> = vec![None; inputs.len()];
            if wanted(x) {
                let weights = Values::of(weights)?;
                let factor = T::of_singles(&weights);
                found[0] = Some(storage::tensor(data_gradient::<T>(g, &dy, &factor), x.shape())?.into());
            }
            if wanted(weights) {
                let dw = weight_gradient::<T>(g, &Values::of(x)?, &dy);
                found[1] = Some(storage::tensor(dw, weights.shape())?.into());
            }
            if let [bias] = bias && wanted(bias) {
                found[2] = Some(storage::tensor(tasks::column_sums(&dy, g.c_out), bias.shape())?.into());
            }
            Ok(found)
        })
    }
}
