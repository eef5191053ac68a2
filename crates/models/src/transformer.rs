//! The layers of vision transformers as descriptions: [`PatchEmbed`], [`TransformerBlock`], [`LayerNorm`], and how a
//! [`Builder`] registers them, with timm's names, order and initial values. Their forward pass is in `forward/`.

use crate::architecture::{Conv, Linear, ParameterId, Window};
use crate::builder::Builder;
use crate::error::ModelError;
use crate::initial::Initial;
use crate::layout::{Layout, LiveTaps};
use crate::parameter::Role;

/// Added to the variance, as timm's `LayerNorm` does.
pub(crate) const LAYER_NORM_EPSILON: f64 = 1e-6;

/// A map of patches with a class token before them and a position added to each: `[H, W, N, 3]` to `[1, T, N, C]`.
#[derive(Clone, Debug)]
pub(crate) struct PatchEmbed {
    /// Its stride is its kernel.
    pub(crate) conv: Conv,
    pub(crate) class: ParameterId,
    pub(crate) positions: ParameterId,
}

/// A pre-norm block: `x + proj(attention(norm1(x)))`, and `x + fc2(gelu(fc1(norm2(x))))` of that.
#[derive(Clone, Debug)]
pub(crate) struct TransformerBlock {
    /// timm's module name, for the streams of dropout and stochastic depth.
    pub(crate) name: String,
    pub(crate) norm1: LayerNorm,
    pub(crate) qkv: Linear,
    pub(crate) proj: Linear,
    pub(crate) norm2: LayerNorm,
    pub(crate) fc1: Linear,
    pub(crate) fc2: Linear,
    pub(crate) heads: usize,
    /// The share of the model's stochastic depth that this block has: 0 in the first, 1 in the last.
    pub(crate) depth: f32,
    /// Whether nothing reads the output but the class token, `[N, C]`: then the others only answer in attention.
    pub(crate) class_only: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct LayerNorm {
    pub(crate) weight: ParameterId,
    pub(crate) bias: ParameterId,
}

/// The sizes of a vision transformer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Widths {
    /// Channels.
    pub(crate) width: usize,
    pub(crate) heads: usize,
    /// Blocks.
    pub(crate) depth: usize,
}

/// timm's `trunc_normal_(std = 0.02)` cuts at ±2, a hundred deviations away.
const WEIGHT: Initial = Initial::Normal { std: 0.02 };

impl Builder {
    /// Patches of `patch` by `patch` pixels. Its positions are those of `grid` by `grid` patches until the architecture is
    /// laid over a resolution.
    pub(crate) fn patch_embed(&mut self, patch: usize, grid: usize, width: usize) -> PatchEmbed {
        let class = self.parameter(
            "cls_token".to_owned(),
            Role::Embedding,
            vec![1, 1, width],
            Layout::Vector,
            Initial::Normal { std: 1e-6 },
        );
        let positions = self.parameter(
            "pos_embed".to_owned(),
            Role::Embedding,
            vec![1, 1 + grid * grid, width],
            Layout::Positions { height: grid, width: grid },
            WEIGHT,
        );
        let window = Window::square(patch, patch, 0);
        PatchEmbed { conv: self.conv_with_bias("patch_embed.proj", 3, width, window), class, positions }
    }

    /// Block `index` of a transformer.
    pub(crate) fn transformer_block(&mut self, index: usize, widths: Widths) -> TransformerBlock {
        let Widths { width, heads, depth } = widths;
        let name = format!("blocks.{index}");
        TransformerBlock {
            norm1: self.layer_norm(&format!("{name}.norm1"), width),
            qkv: self.projection(&format!("{name}.attn.qkv"), width, 3 * width),
            proj: self.projection(&format!("{name}.attn.proj"), width, width),
            norm2: self.layer_norm(&format!("{name}.norm2"), width),
            fc1: self.projection(&format!("{name}.mlp.fc1"), width, 4 * width),
            fc2: self.projection(&format!("{name}.mlp.fc2"), 4 * width, width),
            heads,
            depth: index as f32 / (depth - 1).max(1) as f32,
            class_only: index + 1 == depth,
            name,
        }
    }

    /// A layer norm over `channels`, weight 1 and bias 0.
    pub(crate) fn layer_norm(&mut self, name: &str, channels: usize) -> LayerNorm {
        let (weight, bias) = self.affine(name, channels);
        LayerNorm { weight, bias }
    }

    /// A linear layer with bias, started as timm starts those of a transformer.
    pub(crate) fn projection(&mut self, name: &str, from: usize, to: usize) -> Linear {
        let live = LiveTaps::all(1, 1);
        let layout = Layout::Matrix { outputs: to, channels: from, height: 1, width: 1, live };
        let weight = self.parameter(format!("{name}.weight"), Role::Weight, vec![to, from], layout, WEIGHT);
        let start = Initial::Constant(0.0);
        let bias = self.parameter(format!("{name}.bias"), Role::Bias, vec![to], Layout::Vector, start);
        Linear { weight, bias, from, to }
    }
}

/// That images of this size are cut into whole patches.
///
/// # Errors
/// [`ModelError::Patches`] with the nearest sizes that are.
pub(crate) fn check_patches(
    title: &'static str,
    patch: usize,
    height: usize,
    width: usize,
) -> Result<(), ModelError> {
    let whole = |side: usize| side > 0 && side.is_multiple_of(patch);
    if whole(height) && whole(width) {
        return Ok(());
    }
    let below = |side: usize| (side / patch * patch).max(patch);
    let above = |side: usize| side.next_multiple_of(patch).max(patch);
    let nearest = [(below(height), below(width)), (above(height), above(width))];
    Err(ModelError::Patches { title, height, width, patch, nearest })
}
