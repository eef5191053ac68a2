//! Pooling: maximum, average, adaptive average and global.
//!
//! A window is a rectangle of input pixels, and a pixel is a dense block of `N·C` values, so pooling goes through
//! whole pixels: no gathering, and long inner loops. Sizes follow PyTorch, where a last window under ceil mode must
//! start inside the input or its leading padding.

mod maximum;
mod mean;
mod spec;
mod windows;

use candle_core::{Result, Tensor};

use crate::composed;
use crate::layout::Hwnc;
use crate::storage;
pub use spec::{PoolSpec, pool_output};
pub(crate) use windows::{Axis, Windows};

/// The largest value of each window. A gradient goes to the first of equal values, row by row; NaN wins.
///
/// # Errors
/// When no window fits, or the padding is larger than half of the window.
pub fn max_pool2d(x: &Hwnc, spec: PoolSpec) -> Result<Hwnc> {
    match storage::runs_here(x.tensor()) {
        true => maximum::max_pool(x, Windows::strided("max pooling", x, spec)?),
        false => composed::max_pool2d(x, spec),
    }
}

/// The average of each window.
///
/// # Errors
/// When no window fits, or the padding is larger than half of the window.
pub fn avg_pool2d(x: &Hwnc, spec: PoolSpec) -> Result<Hwnc> {
    match storage::runs_here(x.tensor()) {
        true => mean::mean_pool(x, Windows::strided("average pooling", x, spec)?),
        false => composed::avg_pool2d(x, spec),
    }
}

/// Averages over `size = (h, w)` nearly equal windows that cover the input, as PyTorch's `adaptive_avg_pool2d`;
/// windows overlap where the size does not divide the input.
///
/// # Errors
/// When `size` or the input is empty.
pub fn adaptive_avg_pool2d(x: &Hwnc, size: (usize, usize)) -> Result<Hwnc> {
    if x.dims() == (size.0, size.1, x.batch(), x.channels()) {
        return Ok(x.clone());
    }
    match storage::runs_here(x.tensor()) {
        true => mean::mean_pool(x, Windows::adaptive(x, size)?),
        false => composed::adaptive_avg_pool2d(x, size),
    }
}

/// The average over all pixels: `[N, C]`.
///
/// # Errors
/// When there is no pixel.
pub fn global_avg_pool(x: &Hwnc) -> Result<Tensor> {
    let (n, c) = (x.batch(), x.channels());
    crate::tape::reshape(adaptive_avg_pool2d(x, (1, 1))?.tensor(), (n, c))
}
