//! The size of what a window leaves of a map, along one dimension: [`conv_output`] and [`pool_output`], by PyTorch's rules.

/// The output size of a convolution, or `None` where the kernel does not fit into the padded input.
pub fn conv_output(size: usize, kernel: usize, stride: usize, padding: usize) -> Option<usize> {
    pool_output(size, kernel, stride, padding, false)
}

/// The output size of a pooling, or `None` where no window fits. Under `ceil` a last window may leave the map, if it begins
/// inside of it or of its leading padding.
pub fn pool_output(size: usize, kernel: usize, stride: usize, padding: usize, ceil: bool) -> Option<usize> {
    if size == 0 || kernel == 0 || stride == 0 {
        return None;
    }
    let room = (size + 2 * padding + if ceil { stride - 1 } else { 0 }).checked_sub(kernel)?;
    let last = room / stride;
    let begins_outside = ceil && last * stride >= size + padding;
    Some(last + usize::from(!begins_outside)).filter(|&windows| windows > 0)
}
