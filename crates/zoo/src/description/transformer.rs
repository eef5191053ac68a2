//! How a [`Builder`] registers the layers of vision transformers, with timm's names, order and initial values.

use super::builder::Builder;
use super::initial::Initial;
use super::layers::{LayerNorm, Linear, PatchEmbed, TransformerBlock, Window};
use super::layout::{Layout, LiveTaps};
use super::role::Role;

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
