//! The linear layer: one matrix product in a fixed split, with its gradients.
//!
//! The entry is [`linear`]. Weights are `[C_in, C_out]`, the transpose of PyTorch's files, so that rows of the
//! input and of the weights are both read along memory.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use crate::gemm::{Matrix, MatrixMut, multiply};
use crate::storage::{self, Values};
use crate::{composed, tape, tasks};

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
    match bias {
        Some(bias) => tape::apply3(&x, &weights, &bias.contiguous()?, Linear),
        None => tape::apply2(&x, &weights, Linear),
    }
}

/// The custom operation; with three arguments the third is the bias.
struct Linear;

impl Linear {
    fn run(x: &[f32], weights: &[f32], bias: Option<&[f32]>, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (c_in, c_out) = layout.shape().dims2()?;
        let n = x.len() / c_in;
        let mut y = product(n, c_out, Matrix::dense(x, n, c_in), Matrix::dense(weights, c_in, c_out));
        if let Some(bias) = bias {
            for row in y.chunks_exact_mut(c_out) {
                for (value, bias) in row.iter_mut().zip(bias) {
                    *value += bias;
                }
            }
        }
        Ok((CpuStorage::F32(y), Shape::from((n, c_out))))
    }

    fn gradients(x: &Tensor, weights: &Tensor, dy: &[f32]) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (c_in, c_out) = weights.dims2()?;
        let n = x.dim(0)?;
        let dx = match tape::wanted(x) {
            true => {
                let weights = Values::of(weights)?;
                // The transpose of `dy · wᵀ` reads the weights along memory, and only small matrices are turned.
                let (mut turned, mut dx) = (vec![0.0f32; dy.len()], vec![0.0f32; n * c_in]);
                tasks::transpose(dy, n, c_out, &mut turned);
                let turned =
                    product(c_in, n, Matrix::dense(&weights, c_in, c_out), Matrix::dense(&turned, c_out, n));
                tasks::transpose(&turned, c_in, n, &mut dx);
                Some(storage::tensor(dx, x.shape())?)
            }
            false => None,
        };
        let dw = match tape::wanted(weights) {
            true => {
                let x = Values::of(x)?;
                let dw = product(
                    c_in,
                    c_out,
                    Matrix::dense(&x, n, c_in).transposed(),
                    Matrix::dense(dy, n, c_out),
                );
                Some(storage::tensor(dw, weights.shape())?)
            }
            false => None,
        };
        Ok((dx, dw))
    }
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

impl CustomOp2 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weights: &CpuStorage,
        weights_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, weights) = (storage::slice(x, x_layout)?, storage::slice(weights, weights_layout)?);
        Self::run(x, weights, None, weights_layout)
    }

    fn bwd(
        &self,
        x: &Tensor,
        weights: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let dy = dy.contiguous()?;
        Self::gradients(x, weights, &Values::of(&dy)?)
    }
}

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        "linear-bias"
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
        let (x, weights) = (storage::slice(x, x_layout)?, storage::slice(weights, weights_layout)?);
        Self::run(x, weights, Some(storage::slice(bias, bias_layout)?), weights_layout)
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
        let (dx, dw) = Self::gradients(x, weights, &dy)?;
        let db = match tape::wanted(bias) {
            true => Some(storage::tensor(tasks::column_sums(&dy, weights.dim(1)?), bias.shape())?),
            false => None,
        };
        Ok((dx, dw, db))
    }
}
