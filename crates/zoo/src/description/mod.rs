//! The language that models are described in: an [`Architecture`] is an ordered list of stages of [`Layer`]s with a table of
//! parameters and norms, which a `Builder` writes. Nothing here knows a family.

mod adapt;
mod architecture;
mod blocks;
mod builder;
mod card;
mod fold;
mod initial;
mod layers;
mod layout;
mod modern;
mod names;
mod role;
mod transformer;

pub use adapt::is_adapter;
pub use architecture::{Architecture, NormSpec, ParameterSpec, Stage};
pub use blocks::{Curve, Skip, SqueezeExcite, WindowAttention};
pub(crate) use builder::Builder;
pub use card::{ModelCard, Normalisation, PinnedWeights};
pub use fold::{Fold, distinct};
pub use initial::Initial;
pub use layers::{
    Adapter, AuxiliaryHead, Conv, ConvNorm, Extent, Layer, LayerNorm, Linear, NormId, ParameterId,
    PatchEmbed, Residual, TransformerBlock, Window,
};
pub use layout::{Layout, LiveTaps};
pub use role::{ParameterInfo, Role};
pub(crate) use transformer::{Style, Tokens, Widths};
