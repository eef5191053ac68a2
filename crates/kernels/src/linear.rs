//! The linear layer: one matrix product in a fixed split, with its gradients.
//!
//! The entry is [`linear`]. Weights are `[C_in, C_out]`, the transpose of PyTorch's files, so that rows of the
//! input and of the weights are both read along memory.

use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;

use crate::gemm::{Matrix, MatrixMut, multiply};
use crate::storage::{self, Values};
use crate::tape::{Backward, note, wanted};
use crate::{Gradient, composed, tasks};

/// `x · w + bias`: from `[N, C_in]`, weights `[C_in, C_out]` and a bias `[C_out]` to `[N, C_out]`.
///
/// Gradients reach the input, the weights and the bias, each only where it is wanted.
///
/// # Errors
/// When the shapes do not agree.
pub fn linear(x: &Tensor, weights: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let (&[_, c], &[c_in, c_out]) = (x.dims(), weights.dims()) else {
        bail!("linear: expected [N, C_in] and [C_in, C_out], not {:?} and {:?}", x.dims(), weights.dims());
    };
    if c != c_in || c_in == 0 || c_out == 0 {
        bail!("linear: the weights are {:?}, but the input is {:?}", weights.dims(), x.dims());
    }
    if let Some(bias) = bias
        && bias.dims() != [c_out]
    {
        bail!("linear: the bias is {:?}, but there are {c_out} outputs", bias.dims());
    }
    if !storage::runs_here(x) {
        return composed::linear(x, weights, bias);
    }
    let (x, weights) = (x.contiguous()?, weights.contiguous()?);
    let bias = bias.map(Tensor::contiguous).transpose()?;
    let bias_values = bias.as_ref().map(Values::of).transpose()?;
    let y = forward(&Values::of(&x)?, &Values::of(&weights)?, bias_values.as_deref(), (c_in, c_out));
    let y = storage::tensor(y, (x.dim(0)?, c_out))?;
    let inputs: Vec<&Tensor> = [&x, &weights].into_iter().chain(&bias).collect();
    note(&inputs, &y, Linear);
    Ok(y)
}

fn forward(x: &[f32], weights: &[f32], bias: Option<&[f32]>, (c_in, c_out): (usize, usize)) -> Vec<f32> {
    let n = x.len() / c_in;
    let mut y = product(n, c_out, Matrix::dense(x, n, c_in), Matrix::dense(weights, c_in, c_out));
    if let Some(bias) = bias {
        for row in y.chunks_exact_mut(c_out) {
            for (value, bias) in row.iter_mut().zip(bias) {
                *value += bias;
            }
        }
    }
    y
}

/// The operation on the tape: inputs are x, the weights and the bias, if there is one.
struct Linear;

impl Backward for Linear {
    fn backward(&self, inputs: &[Tensor], _: &Tensor, dy: &Tensor) -> Result<Vec<Option<Gradient>>> {
        let [x, weights, bias @ ..] = inputs else { bail!("linear: two inputs at least") };
        let dy = dy.contiguous()?;
        let mut found: Vec<Option<Gradient>> = vec![None; inputs.len()];
        if wanted(x) {
            found[0] = Some(data_gradient(x, weights, &Values::of(&dy)?)?.into());
        }
        if wanted(weights) {
            found[1] = Some(Gradient::product(x.clone(), dy.clone()));
        }
        if let Some(bias) = bias.first().filter(|bias| wanted(bias)) {
            let db = tasks::column_sums(&Values::of(&dy)?, weights.dim(1)?);
            found[2] = Some(storage::tensor(db, bias.shape())?.into());
        }
        Ok(found)
    }
}

/// `dy · wᵀ`. Its transpose reads the weights along memory, and only small matrices are turned.
fn data_gradient(x: &Tensor, weights: &Tensor, dy: &[f32]) -> Result<Tensor> {
    let ((n, c_in), c_out) = (x.dims2()?, weights.dim(1)?);
    let weights = Values::of(weights)?;
    let (mut turned, mut dx) = (vec![0.0f32; dy.len()], vec![0.0f32; n * c_in]);
    tasks::transpose(dy, n, c_out, &mut turned);
    let turned = product(c_in, n, Matrix::dense(&weights, c_in, c_out), Matrix::dense(&turned, c_out, n));
    tasks::transpose(&turned, c_in, n, &mut dx);
    storage::tensor(dx, x.shape())
}

/// `a · b` in blocks of rows and columns, `[rows, cols]`.
fn product(rows: usize, cols: usize, a: Matrix<'_>, b: Matrix<'_>) -> Vec<f32> {
    let mut out = tasks::zeros(rows * cols);
    let height = tasks::even(rows, rows.div_ceil(tasks::ROWS));
    let width = tasks::columns(cols, rows.div_ceil(height));
    let mut list = Vec::new();
    for (rows, block) in tasks::blocks(rows, height).zip(out.chunks_mut(height * cols)) {
        let block = MatrixMut::dense(block, rows.len(), cols).column_blocks(width);
        list.extend(tasks::blocks(cols, width).zip(block).map(|(cols, out)| (rows.clone(), cols, out)));
    }
    list.into_par_iter().for_each(|(rows, cols, mut out)| {
        multiply(&mut out, false, a.rows(rows), b.cols(cols));
    });
    out
}
