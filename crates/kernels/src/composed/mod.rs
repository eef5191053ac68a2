//! The same operations composed from candle's own, for devices other than the CPU.
//!
//! Every function mirrors one of the crate's root, takes the same `[H, W, N, C]` activations, f32 or bf16, and has gradients for
//! all that the other has. Of bf16, products take the factors and give f32; everything else is computed in f32 and rounded once, as
//! the crate's own operations do it. candle's own convolution and pooling are avoided, as some of their gradients are wrong
//! or missing (max pooling, strided convolution of rectangular maps); products, slices and selections are not. The
//! functions run on the CPU too, where the tests hold the custom operations to them.

mod layers;
mod modern;
mod pooling;
mod transformers;
mod updates;
mod windows;

use candle_core::{DType, Result, Tensor};

pub use layers::{
    add_losses, concat_channels, conv_norm, conv2d, cross_entropy, dropout, linear, linear_add,
    mean_squared_error, mixed_cross_entropy, relu, sum_copies, weighted_cross_entropy,
};
pub use modern::{activate, add_scaled, batch_norm, grouped_conv2d, response_norm, squeeze_excite};
pub use pooling::{adaptive_avg_pool2d, avg_pool2d, max_pool2d};
pub use transformers::{add_images, attention, embed_tokens, gelu, layer_norm};
pub use updates::{adam, sgd, squared_norm};
pub use windows::{merge_pixels, window_attention};

/// The same numbers in single precision, where they have less.
fn wide(x: &Tensor) -> Result<Tensor> {
    match x.dtype() {
        DType::BF16 | DType::F16 => x.to_dtype(DType::F32),
        _ => Ok(x.clone()),
    }
}

/// The product of matrices whose factors are as the first is kept, in single precision at least. candle has no product of bf16 on the
/// CPU, and gives one of bf16 on devices, which adds up in f32.
fn product(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let b = b.to_dtype(a.dtype())?.contiguous()?;
    match a.device().is_cpu() {
        true => wide(&a.contiguous()?)?.matmul(&wide(&b)?),
        false => wide(&a.contiguous()?.matmul(&b)?),
    }
}
