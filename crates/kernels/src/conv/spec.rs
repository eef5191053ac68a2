//! How a kernel is laid on its input: [`ConvSpec`], and the size of what comes out.

/// Where a kernel is laid on its input: `(vertical, horizontal)` each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvSpec {
    /// Pixels between neighbouring outputs.
    pub stride: (usize, usize),
    /// Zeros around the input, on each side.
    pub padding: (usize, usize),
}

impl ConvSpec {
    /// The same stride and padding in both directions.
    pub fn square(stride: usize, padding: usize) -> Self {
        Self { stride: (stride, stride), padding: (padding, padding) }
    }
}

/// The output size of a convolution along one dimension, or `None` where a kernel of `kernel` pixels does
/// not fit into the padded input.
pub fn conv_output(size: usize, kernel: usize, stride: usize, padding: usize) -> Option<usize> {
    if size == 0 || kernel == 0 || stride == 0 {
        return None;
    }
    (size + 2 * padding).checked_sub(kernel).map(|room| room / stride + 1)
}
