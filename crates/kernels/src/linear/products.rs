//! The products of a linear layer's gradients, and how they are split into blocks of rows and columns.

use std::ops::Range;

use candle_core::{Result, Tensor};

use crate::gemm::{Factor, Matrix, multiply, written_blocks};
use crate::precision::Number;
use crate::storage::{self, Values};
use crate::{Gradient, activation, tasks};

/// Rows of a block, which are finished while they are in the cache: whole tiles of any unit.
const ROWS: usize = 96;

/// The blocks of `[rows, cols]`: the rows of each, and columns. Few rows are split along the columns alone.
pub(super) fn split(rows: usize, cols: usize) -> (Vec<Range<usize>>, usize) {
    let height = tasks::even(rows, rows.div_ceil(ROWS)).next_multiple_of(24);
    let blocks: Vec<_> = tasks::blocks(rows, height).collect();
    let width = tasks::columns(cols, blocks.len());
    (blocks, width)
}

/// `a · b`, `[rows, cols]`; each value times that of `slope` where there is one.
fn product<T: Factor>(
    (rows, cols): (usize, usize),
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
    slope: Option<&[T]>,
) -> Vec<T> {
    let (blocks, width) = split(rows, cols);
    written_blocks(&blocks, (cols, width), &|room, (rows, columns, mut out)| {
        T::write_wide(&mut out, room, |out| {
            multiply(out, false, a.rows(rows.clone()), b.cols(columns.clone()));
            let Some(slope) = slope else { return };
            for (row, of_slope) in rows.zip(0..) {
                times(out.row(of_slope), &slope[row * cols..][columns.clone()]);
            }
        });
    })
}

tasks::vectorised! {
    /// Multiplies as if the values had been stored before.
    fn times<'a, T: Number>(y: &'a mut [f32], slope: &'a [T]) {
        for (y, slope) in y.iter_mut().zip(slope) {
            *y = T::nearest(*y).wide() * slope.wide();
        }
    }
}

/// `dy · wᵀ`, times the slope of what made `x`, where one is given. Its right factor is read along memory, so one side is turned first: the
/// weights, or, where these are the larger, the gradients.
pub(crate) fn data_gradient<T: Factor>(
    x: &Tensor,
    weights: &Tensor,
    dy: &[T],
    slope: Option<&[T]>,
) -> Result<Tensor> {
    let ((n, c_in), c_out) = (x.dims2()?, weights.dim(1)?);
    let weights = Values::of(weights)?;
    let weights = T::of_singles(&weights);
    if weights.len() <= 2 * n * (c_in + c_out) {
        let mut turned = vec![T::default(); weights.len()];
        tasks::transpose(&weights, c_in, c_out, &mut turned);
        let dx = product((n, c_in), Matrix::dense(dy, n, c_out), Matrix::dense(&turned, c_out, c_in), slope);
        return storage::tensor(dx, x.shape());
    }
    let (mut turned, mut dx) = (vec![T::default(); dy.len()], vec![T::default(); n * c_in]);
    tasks::transpose(dy, n, c_out, &mut turned);
    let turned =
        product((c_in, n), Matrix::dense(&weights, c_in, c_out), Matrix::dense(&turned, c_out, n), None);
    tasks::transpose(&turned, c_in, n, &mut dx);
    if let Some(slope) = slope {
        dx = activation::binary(&dx, slope, |dx, slope| dx * slope);
    }
    storage::tensor(dx, x.shape())
}

/// `xᵀ · dy`: as its two factors where they are the smaller, else multiplied out.
pub(crate) fn weight_gradient<T: Factor>(x: &Tensor, dy: &Tensor) -> Result<Gradient> {
    let ((n, c_in), c_out) = (x.dims2()?, dy.dim(1)?);
    if n * (c_in + c_out) <= c_in * c_out {
        return Ok(Gradient::product(x.clone(), dy.clone()));
    }
    let (height, width) = tasks::weight_blocks(c_in, c_out, 1);
    let blocks: Vec<_> = tasks::blocks(c_in, height).collect();
    let (x, dy) = (Values::<T>::of(x)?, Values::<T>::of(dy)?);
    let (x, dy) = (Matrix::dense(&x, n, c_in), Matrix::dense(&dy, n, c_out));
    let dw: Vec<f32> = written_blocks(&blocks, (c_out, width), &|_, (rows, columns, mut out)| {
        multiply(&mut out, false, x.cols(rows).transposed(), dy.cols(columns));
    });
    Ok(storage::tensor(dw, (c_in, c_out))?.into())
}
