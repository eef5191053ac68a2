//! The products of a linear layer's gradients, and how they are split into blocks of rows and columns.

use std::ops::Range;

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use crate::gemm::{Factor, Matrix, MatrixMut, multiply};
use crate::storage::{self, Values};
use crate::{Gradient, tasks};

/// A block of an output: rows, columns, and where they are written.
type Block<'a, T> = (Range<usize>, Range<usize>, MatrixMut<'a, T>);

/// Blocks of `[rows, cols]`: few rows are split along the columns alone.
pub(super) fn split<T: Factor>(rows: usize, cols: usize, out: &mut [T]) -> Vec<Block<'_, T>> {
    let height = tasks::even(rows, rows.div_ceil(tasks::ROWS));
    in_blocks(rows, cols, (height, tasks::columns(cols, rows.div_ceil(height))), out)
}

fn in_blocks<T: Factor>(
    rows: usize,
    cols: usize,
    (height, width): (usize, usize),
    out: &mut [T],
) -> Vec<Block<'_, T>> {
    let mut list = Vec::new();
    for (rows, block) in tasks::blocks(rows, height).zip(out.chunks_mut((height * cols).max(1))) {
        let block = MatrixMut::dense(block, rows.len(), cols).column_blocks(width);
        list.extend(tasks::blocks(cols, width).zip(block).map(|(cols, out)| (rows.clone(), cols, out)));
    }
    list
}

/// `a · b`, `[rows, cols]`.
fn product<T: Factor>(rows: usize, cols: usize, a: Matrix<'_, T>, b: Matrix<'_, T>) -> Vec<T> {
    let mut out = tasks::zeros(rows * cols);
    split(rows, cols, &mut out).into_par_iter().for_each_init(Vec::new, |room, (rows, cols, mut out)| {
        T::write_wide(&mut out, room, |out| multiply(out, false, a.rows(rows), b.cols(cols)));
    });
    out
}

/// `dy · wᵀ`. Its right factor is read along memory, so one side is turned first: the weights, or, where these are the
/// larger, the gradients.
pub(crate) fn data_gradient<T: Factor>(x: &Tensor, weights: &Tensor, dy: &[T]) -> Result<Tensor> {
    let ((n, c_in), c_out) = (x.dims2()?, weights.dim(1)?);
    let weights = Values::of(weights)?;
    let weights = T::of_singles(&weights);
    if weights.len() <= 2 * n * (c_in + c_out) {
        let mut turned = vec![T::default(); weights.len()];
        tasks::transpose(&weights, c_in, c_out, &mut turned);
        let dx = product(n, c_in, Matrix::dense(dy, n, c_out), Matrix::dense(&turned, c_out, c_in));
        return storage::tensor(dx, x.shape());
    }
    let (mut turned, mut dx) = (vec![T::default(); dy.len()], vec![T::default(); n * c_in]);
    tasks::transpose(dy, n, c_out, &mut turned);
    let turned = product(c_in, n, Matrix::dense(&weights, c_in, c_out), Matrix::dense(&turned, c_out, n));
    tasks::transpose(&turned, c_in, n, &mut dx);
    storage::tensor(dx, x.shape())
}

/// `xᵀ · dy`: as its two factors where they are the smaller, else multiplied out.
pub(crate) fn weight_gradient<T: Factor>(x: &Tensor, dy: &Tensor) -> Result<Gradient> {
    let ((n, c_in), c_out) = (x.dims2()?, dy.dim(1)?);
    if n * (c_in + c_out) <= c_in * c_out {
        return Ok(Gradient::product(x.clone(), dy.clone()));
    }
    let (height, width) = tasks::weight_blocks(c_in, c_out, 1);
    let mut dw = tasks::zeros(c_in * c_out);
    let (x, dy) = (Values::<T>::of(x)?, Values::<T>::of(dy)?);
    let (x, dy) = (Matrix::dense(&x, n, c_in), Matrix::dense(&dy, n, c_out));
    in_blocks(c_in, c_out, (height, width), &mut dw).into_par_iter().for_each(|(rows, cols, mut out)| {
        multiply(&mut out, false, x.cols(rows).transposed(), dy.cols(cols));
    });
    Ok(storage::tensor(dw, (c_in, c_out))?.into())
}
