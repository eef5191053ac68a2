//! Pooling: maximum, average, adaptive average and global.
//!
//! A window is a rectangle of input pixels, and a pixel is a dense block of `N·C` values, so pooling goes through
//! whole pixels: no gathering, and long inner loops. Sizes follow PyTorch, where a last window under ceil mode must
//! start inside the input or its leading padding.

mod maximum;
mod mean;
mod windows;

use candle_core::{Result, Tensor};

use crate::composed;
use crate::layout::Hwnc;
use crate::storage;
pub(crate) use windows::{Axis, Windows};

/// Where a pooling window is laid: `(vertical, horizontal)` each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolSpec {
    /// The window's size.
    pub kernel: (usize, usize),
    /// Pixels between neighbouring windows.
    pub stride: (usize, usize),
    /// Pixels around the input, on each side; at most half of the window.
    pub padding: (usize, usize),
    /// Whether a last window that leaves the input is kept.
    pub ceil: bool,
    /// Whether padding counts in the divisor of an average.
    pub count_include_pad: bool,
}

impl PoolSpec {
    /// A square window; no ceil mode, and PyTorch's default of counting padding in averages.
    pub fn square(kernel: usize, stride: usize, padding: usize) -> Self {
        Self {
            kernel: (kernel, kernel),
            stride: (stride, stride),
            padding: (padding, padding),
            ceil: false,
            count_include_pad: true,
        }
    }
}

/// The output size of a pooling along one dimension, or `None` where no window fits.
pub fn pool_output(size: usize, kernel: usize, stride: usize, padding: usize, ceil: bool) -> Option<usize> {
    if size == 0 || kernel == 0 || stride == 0 {
        return None;
    }
    let padded = size + 2 * padding;
    let room = if ceil { (padded + stride - 1).checked_sub(kernel)? } else { padded.checked_sub(kernel)? };
    let windows = room / stride + 1;
    // Under ceil mode the last window must start inside the input or its leading padding.
    let last_is_outside = ceil && (windows - 1) * stride >= size + padding;
    Some(windows - usize::from(last_is_outside)).filter(|&windows| windows > 0)
}

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
