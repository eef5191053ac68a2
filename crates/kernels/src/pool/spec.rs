//! How a pooling window is laid on its input: [`PoolSpec`], and the size of what comes out.

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
