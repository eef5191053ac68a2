//! Pooling from candle's slices, selections and products.

use candle_core::{Result, Tensor};

use super::wide;
use crate::layout::Hwnc;
use crate::pool::{Axis, PoolSpec, Windows};

/// As [`crate::max_pool2d`]: along rows of pixels first, so that the first of equal values wins row by row.
pub fn max_pool2d(x: &Hwnc, spec: PoolSpec) -> Result<Hwnc> {
    let windows = Windows::strided("max pooling", x, spec)?;
    let rows = maximum_along(x.tensor(), 1, &windows.cols)?;
    Hwnc::new(maximum_along(&rows, 0, &windows.rows)?)
}

fn maximum_along(x: &Tensor, dim: usize, axis: &Axis) -> Result<Tensor> {
    let mut outputs = Vec::with_capacity(axis.outputs());
    for span in &axis.spans {
        let mut best = x.narrow(dim, span.start, 1)?.contiguous()?;
        for index in span.start + 1..span.end {
            let next = x.narrow(dim, index, 1)?.contiguous()?;
            // Larger, or NaN: the two never hold together.
            let take = (next.gt(&best)? + next.ne(&next)?)?;
            best = take.where_cond(&next, &best)?;
        }
        outputs.push(best);
    }
    Tensor::cat(&outputs, dim)
}

/// As [`crate::avg_pool2d`].
pub fn avg_pool2d(x: &Hwnc, spec: PoolSpec) -> Result<Hwnc> {
    mean_pool(x, &Windows::strided("average pooling", x, spec)?)
}

/// As [`crate::adaptive_avg_pool2d`].
pub fn adaptive_avg_pool2d(x: &Hwnc, size: (usize, usize)) -> Result<Hwnc> {
    mean_pool(x, &Windows::adaptive(x, size)?)
}

/// Averages over windows as two products with constant matrices, one for each axis.
fn mean_pool(x: &Hwnc, windows: &Windows) -> Result<Hwnc> {
    let (_, w, n, c) = x.dims();
    let (oh, ow) = (windows.rows.outputs(), windows.cols.outputs());
    let pixels = wide(x.tensor())?;
    let rows = weights(&windows.rows, &pixels)?.matmul(&pixels.reshape((windows.rows.size, w * n * c))?)?;
    let cols = weights(&windows.cols, &pixels)?.unsqueeze(0)?;
    let cols = cols.broadcast_matmul(&rows.reshape((oh, w, n * c))?)?;
    Hwnc::new(cols.to_dtype(x.tensor().dtype())?.reshape((oh, ow, n, c))?)
}

/// `[outputs, size]`: one over the window's length where a window covers an input.
fn weights(axis: &Axis, like: &Tensor) -> Result<Tensor> {
    let mut values = vec![0.0f32; axis.outputs() * axis.size];
    for (row, (span, length)) in axis.spans.iter().zip(&axis.lengths).enumerate() {
        values[row * axis.size..][span.clone()].fill(1.0 / *length as f32);
    }
    Tensor::from_vec(values, (axis.outputs(), axis.size), like.device())?.to_dtype(like.dtype())
}
