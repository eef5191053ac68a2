//! Operations of convolutional networks and vision transformers on the CPU, with gradients, between candle's tensors.
//!
//! Activations are [`Hwnc`]: `[H, W, N, C]`. What runs within [`Tape::record`] can be walked back. Each operation splits its work by shape alone, so its result has the
//! same bits for any number of threads (those of the current rayon pool). On other devices, and for other types
//! than f32 and bf16, the same functions are [`composed`] from candle's operations. This crate draws no random numbers, reads
//! no file, and keeps no state between calls.

pub mod composed;
pub mod optim;

mod activation;
mod approach;
mod attention;
mod batch_norm;
mod concat;
mod conv;
mod conv_norm;
mod copies;
mod curves;
mod factors;
mod gelu;
mod gemm;
mod gradient;
mod l2_sp;
mod layer_norm;
mod layer_scale;
mod layout;
mod linear;
mod loss;
mod merge;
mod norm;
mod pool;
mod precision;
mod response_norm;
mod squeeze;
mod storage;
mod tape;
mod tasks;
mod tokens;
mod unit;
mod window_attention;

pub use activation::{dropout, flatten_hwc, relu, relu_2d};
pub use attention::{AttentionSpec, attention};
pub use batch_norm::batch_norm;
pub use concat::concat_channels;
pub use conv::{ConvSpec, conv_output, conv2d, grouped_conv2d};
pub use conv_norm::{Normalisation, conv_norm};
pub use copies::sum_copies;
pub use curves::{Curve, activate};
pub use gelu::gelu;
pub use gradient::Gradient;
pub use layer_norm::layer_norm;
pub use layer_scale::add_scaled;
pub use layout::{Hwnc, oihw_to_tap_major, tap_major_to_oihw};
pub use linear::{linear, linear_add, linear_gelu, mlp};
pub use loss::{add_losses, cross_entropy, mean_squared_error, mixed_cross_entropy, weighted_cross_entropy};
pub use merge::merge_pixels;
pub use norm::{BatchStatistics, NormSpec, update_running};
pub use pool::{PoolSpec, adaptive_avg_pool2d, avg_pool2d, global_avg_pool, max_pool2d, pool_output};
pub use response_norm::response_norm;
pub use squeeze::{Excitation, squeeze_excite};
pub use storage::keep_as;
pub use tape::{Gradients, Tape};
pub use tokens::{add_images, embed_tokens, first_rows, rows_as, rows_of};
pub use unit::{compose_all, keep_to_avx2};
pub use window_attention::{WindowSpec, window_attention};
