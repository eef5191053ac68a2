//! The same operations composed from candle's own, for devices other than the CPU.
//!
//! Every function mirrors one of the crate's root, takes the same `[H, W, N, C]` activations, and has gradients for
//! all that the other has. candle's own convolution and pooling are avoided, as some of their gradients are wrong
//! or missing (max pooling, strided convolution of rectangular maps); products, slices and selections are not. The
//! functions run on the CPU too, where the tests hold the custom operations to them.

mod layers;
mod modern;
mod pooling;
mod transformers;
mod updates;
mod windows;

pub use layers::{
    add_losses, concat_channels, conv_norm, conv2d, cross_entropy, linear, mean_squared_error, relu,
    sum_copies,
};
pub use modern::{activate, add_scaled, batch_norm, grouped_conv2d, response_norm, squeeze_excite};
pub use pooling::{adaptive_avg_pool2d, avg_pool2d, max_pool2d};
pub use transformers::{add_images, attention, embed_tokens, gelu, layer_norm};
pub use updates::{adam, sgd, squared_norm};
pub use windows::{merge_pixels, window_attention};
