//! The layout of activations and weights, as types and explicit conversions.
//!
//! The main type is [`Hwnc`]: activations `[H, W, N, C]`, pixel-major, then batch, then channels. At one
//! pixel the batch is a dense `[N, C]` matrix and the pixels of a row continue it, so a convolution is a sum
//! of matrix products. A layout is never guessed from strides.

use candle_core::{Device, Result, Tensor, bail};

use crate::tape;

/// Activations `[H, W, N, C]`: contiguous, and known to be in this order.
#[derive(Clone, Debug)]
pub struct Hwnc(Tensor);

impl Hwnc {
    /// Takes a tensor whose dimensions are already `[H, W, N, C]`; it is made contiguous if it is not.
    ///
    /// # Errors
    /// When the tensor does not have four dimensions.
    pub fn new(tensor: Tensor) -> Result<Self> {
        if tensor.rank() != 4 {
            bail!("activations need the four dimensions [H, W, N, C], but the tensor is {:?}", tensor.dims());
        }
        Ok(Self(tensor.contiguous()?))
    }

    /// Takes numbers in row-major `[H, W, N, C]` order; `shape` is `(h, w, n, c)`.
    ///
    /// # Errors
    /// When the number of values is not `h·w·n·c`.
    pub fn from_vec(values: Vec<f32>, shape: (usize, usize, usize, usize), device: &Device) -> Result<Self> {
        let (h, w, n, c) = shape;
        if values.len() != h * w * n * c {
            bail!("{} values do not fill activations of [{h}, {w}, {n}, {c}]", values.len());
        }
        Ok(Self(Tensor::from_vec(values, shape, device)?))
    }

    /// Takes rows `[N, C]` as maps of one pixel, `[1, 1, N, C]`. Differentiable.
    ///
    /// # Errors
    /// When the tensor does not have two dimensions.
    pub fn from_rows(rows: &Tensor) -> Result<Self> {
        let (n, c) = rows.dims2()?;
        Self::new(tape::reshape(rows, (1, 1, n, c))?)
    }

    /// Converts a tensor `[N, C, H, W]`, the order of PyTorch. Differentiable.
    ///
    /// # Errors
    /// When the tensor does not have four dimensions.
    pub fn from_nchw(tensor: &Tensor) -> Result<Self> {
        if tensor.rank() != 4 {
            bail!("images need the four dimensions [N, C, H, W], but the tensor is {:?}", tensor.dims());
        }
        Self::new(tensor.permute((2, 3, 0, 1))?)
    }

    /// The same activations as `[N, C, H, W]`. Differentiable.
    pub fn to_nchw(&self) -> Result<Tensor> {
        self.0.permute((2, 3, 0, 1))?.contiguous()
    }

    /// The tensor `[H, W, N, C]`.
    pub fn tensor(&self) -> &Tensor {
        &self.0
    }

    /// The tensor `[H, W, N, C]`, taken out.
    pub fn into_tensor(self) -> Tensor {
        self.0
    }

    /// The same numbers without a tape.
    pub fn detach(&self) -> Self {
        Self(self.0.detach())
    }

    /// `(height, width, batch, channels)`.
    pub fn dims(&self) -> (usize, usize, usize, usize) {
        let dims = self.0.dims();
        (dims[0], dims[1], dims[2], dims[3])
    }

    /// Rows of pixels.
    pub fn height(&self) -> usize {
        self.dims().0
    }

    /// Pixels in a row.
    pub fn width(&self) -> usize {
        self.dims().1
    }

    /// Images.
    pub fn batch(&self) -> usize {
        self.dims().2
    }

    /// Values at a pixel.
    pub fn channels(&self) -> usize {
        self.dims().3
    }
}

/// Converts convolution weights `[C_out, C_in, kh, kw]` (PyTorch's files) to tap-major `[kh, kw, C_in, C_out]`.
///
/// # Errors
/// When the tensor does not have four dimensions.
pub fn oihw_to_tap_major(weights: &Tensor) -> Result<Tensor> {
    if weights.rank() != 4 {
        bail!("convolution weights need [C_out, C_in, kh, kw], but the tensor is {:?}", weights.dims());
    }
    weights.permute((2, 3, 1, 0))?.contiguous()
}

/// Converts tap-major weights `[kh, kw, C_in, C_out]` to `[C_out, C_in, kh, kw]` (PyTorch's files).
///
/// # Errors
/// When the tensor does not have four dimensions.
pub fn tap_major_to_oihw(weights: &Tensor) -> Result<Tensor> {
    if weights.rank() != 4 {
        bail!("tap-major weights need [kh, kw, C_in, C_out], but the tensor is {:?}", weights.dims());
    }
    weights.permute((3, 2, 0, 1))?.contiguous()
}
