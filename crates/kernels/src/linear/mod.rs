//! The linear layer: one matrix product in a fixed split, with what follows it done while its numbers are in the cache.
//!
//! The entries are [`linear`], [`linear_gelu`] and [`linear_add`], and [`mlp`], two layers in one. Weights are `[C_in, C_out]`, the transpose of
//! PyTorch's files, so that rows of the input and of the weights are both read along memory. Rows are images, or the
//! tokens of images. `products` has the gradients' products.

mod mlp;
mod products;

use std::ops::Range;

pub use mlp::mlp;
pub(crate) use products::{data_gradient, weight_gradient};

use crate::gemm::{Factor, Matrix, MatrixMut, multiply, written_blocks, written_pairs};
use crate::precision::Number;
use crate::storage::{self, Values, by_number};
use crate::tape::{self, Backward, note, wanted};
use crate::{Gradient, activation, composed, gelu, tasks};
use candle_core::{Result, Tensor, bail};

/// `x · w + bias`: from `[N, C_in]`, weights `[C_in, C_out]` and a bias `[C_out]` to `[N, C_out]`. Weights may also be a kernel of one
/// tap, `[1, 1, C_in, C_out]`.
///
/// Gradients reach the input, the weights and the bias, each only where it is wanted.
///
/// # Errors
/// When the shapes do not agree.
pub fn linear(x: &Tensor, weights: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let weights = &matrix(weights)?;
    check(x, weights, bias)?;
    match storage::runs_here(x) {
        true => layer(x, weights, bias, Then::Nothing),
        false => composed::linear(x, weights, bias),
    }
}

/// `gelu(x · w + bias)` as [`linear`] and [`crate::gelu`]. What gradients need is the activation's slope, which takes the
/// place of the product.
///
/// # Errors
/// As [`linear`].
pub fn linear_gelu(x: &Tensor, weights: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let weights = &matrix(weights)?;
    check(x, weights, Some(bias))?;
    match storage::runs_here(x) {
        true => layer(x, weights, Some(bias), Then::Gelu),
        false => composed::gelu(&composed::linear(x, weights, Some(bias))?),
    }
}

/// `residual + x · w + bias` as [`linear`], with a residual `[N, C_out]`, which gets its gradient too.
///
/// # Errors
/// As [`linear`]; when the residual is not of the output's shape.
pub fn linear_add(x: &Tensor, weights: &Tensor, bias: &Tensor, residual: &Tensor) -> Result<Tensor> {
    let weights = &matrix(weights)?;
    check(x, weights, Some(bias))?;
    let shape = (x.dim(0)?, weights.dim(1)?);
    if residual.dims() != [shape.0, shape.1] {
        bail!("linear: the residual is {:?}, but the output is [{}, {}]", residual.dims(), shape.0, shape.1);
    }
    match storage::runs_here(x) {
        true => {
            let residual = storage::keep_as(&residual.contiguous()?, x.dtype())?;
            layer(x, weights, Some(bias), Then::Add(residual))
        }
        false => composed::linear_add(x, weights, bias, residual),
    }
}

/// The weights of a kernel of one tap as a matrix; others as they are.
fn matrix(weights: &Tensor) -> Result<Tensor> {
    match weights.dims() {
        &[1, 1, c_in, c_out] => tape::reshape(weights, (c_in, c_out)),
        _ => Ok(weights.clone()),
    }
}

fn check(x: &Tensor, weights: &Tensor, bias: Option<&Tensor>) -> Result<()> {
    let (&[_, c], &[c_in, c_out]) = (x.dims(), weights.dims()) else {
        bail!("linear: expected [N, C_in] and [C_in, C_out], not {:?} and {:?}", x.dims(), weights.dims());
    };
    if c != c_in || c_in == 0 || c_out == 0 {
        bail!("linear: the weights are {:?}, but the input is {:?}", weights.dims(), x.dims());
    }
    match bias {
        Some(bias) if bias.dims() != [c_out] => {
            bail!("linear: the bias is {:?}, but there are {c_out} outputs", bias.dims())
        }
        _ => Ok(()),
    }
}

/// What follows the product and the bias.
enum Then {
    Nothing,
    Gelu,
    Add(Tensor),
}

fn layer(x: &Tensor, weights: &Tensor, bias: Option<&Tensor>, then: Then) -> Result<Tensor> {
    let (x, weights) = (x.contiguous()?, weights.contiguous()?);
    let bias = match bias {
        Some(bias) => bias.contiguous()?,
        None => Tensor::zeros(weights.dim(1)?, weights.dtype(), x.device())?,
    };
    let residual = match &then {
        Then::Add(residual) => Some(residual.clone()),
        Then::Nothing | Then::Gelu => None,
    };
    let inputs: Vec<&Tensor> = [&x, &weights, &bias].into_iter().chain(&residual).collect();
    let keeps_slope = matches!(then, Then::Gelu) && inputs.iter().any(|input| wanted(input));
    let (n, c_out) = (x.dim(0)?, weights.dim(1)?);
    let (y, slope) = by_number!(storage::is_half(&x), T => {
        let residual = residual.as_ref().map(Values::<T>::of).transpose()?;
        let finish = match &then {
            Then::Nothing => Finish::Bias,
            Then::Gelu => Finish::Gelu,
            Then::Add(_) => Finish::Add(residual.as_deref().unwrap_or(&[])),
        };
        let weights_values = Values::of(&weights)?;
        let factor = T::of_singles(&weights_values);
        let (y, slope) = forward::<T>(&Values::of(&x)?, &factor, &Values::of(&bias)?, &finish, keeps_slope);
        let slope = slope.map(|slope| storage::tensor(slope, (n, c_out))).transpose()?;
        (storage::tensor(y, (n, c_out))?, slope)
    });
    note(&inputs, &y, Linear { slope });
    Ok(y)
}

/// What is done to a row of the product.
enum Finish<'a, T> {
    Bias,
    Gelu,
    Add(&'a [T]),
}

/// The output, and the slope of GELU where it is kept.
fn forward<T: Factor>(
    x: &[T],
    weights: &[T],
    bias: &[f32],
    finish: &Finish<'_, T>,
    keeps_slope: bool,
) -> (Vec<T>, Option<Vec<T>>) {
    let c_out = bias.len();
    let c_in = weights.len() / c_out;
    let n = x.len() / c_in;
    let (x, weights) = (Matrix::dense(x, n, c_in), Matrix::dense(weights, c_in, c_out));
    let (rows, width) = products::split(n, c_out);
    let multiplied = |room: &mut Vec<f32>,
                      rows: &Range<usize>,
                      columns: &Range<usize>,
                      out: &mut MatrixMut<'_, T>,
                      finish: &mut dyn FnMut(usize, &mut [f32])| {
        T::write_wide(out, room, |out| {
            multiply(out, false, x.rows(rows.clone()), weights.cols(columns.clone()));
            (0..rows.len()).for_each(|row| finish(row, out.row(row)));
        });
    };
    if keeps_slope {
        let (y, slope) =
            written_pairs(&rows, (c_out, width), &|room, (rows, columns, (mut out, mut slope))| {
                let bias = &bias[columns.clone()];
                multiplied(room, &rows, &columns, &mut out, &mut |row, y| {
                    gelu::with_bias_and_slope(y, bias, slope.row(row))
                });
            });
        return (y, Some(slope));
    }
    let y = written_blocks(&rows, (c_out, width), &|room, (rows, columns, mut out)| {
        let bias = &bias[columns.clone()];
        multiplied(room, &rows, &columns, &mut out, &mut |row, y| match finish {
            Finish::Bias => add_in_place(y, bias),
            Finish::Gelu => gelu::with_bias(y, bias),
            Finish::Add(residual) => {
                add_both(y, bias, &residual[(rows.start + row) * c_out..][columns.clone()])
            }
        });
    });
    (y, None)
}

tasks::vectorised! {
    fn add_in_place<'a>(y: &'a mut [f32], bias: &'a [f32]) {
        for (y, bias) in y.iter_mut().zip(bias) {
            *y += bias;
        }
    }
}

tasks::vectorised! {
    fn add_both<'a, T: Number>(y: &'a mut [f32], bias: &'a [f32], residual: &'a [T]) {
        for ((y, bias), residual) in y.iter_mut().zip(bias).zip(residual) {
            *y = residual.wide() + (*y + bias);
        }
    }
}

/// The operation on the tape: inputs are x, the weights, the bias, and the residual, if there is one.
struct Linear {
    /// Of the activation at each output, where there is one.
    slope: Option<Tensor>,
}

impl Backward for Linear {
    fn backward(&self, inputs: &[Tensor], _: &Tensor, dy: &Tensor) -> Result<Vec<Option<Gradient>>> {
        let [x, weights, bias, residual @ ..] = inputs else { bail!("linear: three inputs at least") };
        let mut found: Vec<Option<Gradient>> = vec![None; inputs.len()];
        let dy = storage::like(dy, x)?;
        if let [_] = residual {
            found[3] = Some(dy.clone().into());
        }
        by_number!(storage::is_half(x), T => {
            let dy = match &self.slope {
                None => dy,
                Some(slope) => {
                    let (values, slope) = (Values::<T>::of(&dy)?, Values::<T>::of(slope)?);
                    let through: Vec<T> = activation::binary(&values, &slope, |dy, slope| dy * slope);
                    storage::tensor(through, dy.shape())?
                }
            };
            found[..3].clone_from_slice(&gradients::<T>(x, weights, bias, &dy)?);
        });
        Ok(found)
    }
}

/// The gradients of a layer's input, weights and bias, each where it is wanted.
fn gradients<T: Factor>(
    x: &Tensor,
    weights: &Tensor,
    bias: &Tensor,
    dy: &Tensor,
) -> Result<[Option<Gradient>; 3]> {
    let values = Values::<T>::of(dy)?;
    let c_out = weights.dim(1)?;
    let dx = || -> Result<Gradient> { Ok(products::data_gradient::<T>(x, weights, &values, None)?.into()) };
    let db =
        || -> Result<Gradient> { Ok(storage::tensor(tasks::column_sums(&values, c_out), c_out)?.into()) };
    Ok([
        wanted(x).then(dx).transpose()?,
        wanted(weights).then(|| products::weight_gradient::<T>(x, dy)).transpose()?,
        wanted(bias).then(db).transpose()?,
    ])
}
