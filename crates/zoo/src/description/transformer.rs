//! How a [`Builder`] registers the layers of vision transformers, with timm's names, order and initial values.

use super::blocks::Curve;
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

/// How images become tokens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tokens {
    /// The side of a patch, in pixels.
    pub(crate) patch: usize,
    /// Patches along a side of the images that weights were trained on.
    pub(crate) grid: usize,
    /// Tokens behind the class token that no patch becomes.
    pub(crate) registers: usize,
    /// Whether the class token has a position too.
    pub(crate) class_position: bool,
    /// Whether the convolution that makes them has a bias.
    pub(crate) bias: bool,
}

/// What blocks of transformers differ in beside their sizes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    /// Between the two linear layers.
    pub(crate) curve: Curve,
    /// What layer scale starts at, where there is one.
    pub(crate) scale: Option<f32>,
    /// Added to the variance in norms.
    pub(crate) epsilon: f64,
}

impl Tokens {
    /// As the first vision transformers have them.
    pub(crate) const fn plain(patch: usize, grid: usize) -> Self {
        Self { patch, grid, registers: 0, class_position: true, bias: true }
    }
}

impl Style {
    /// As the first vision transformers have them.
    pub(crate) const PLAIN: Self = Self { curve: Curve::Gelu, scale: None, epsilon: EPSILON };
}

/// What timm's `LayerNorm` adds to the variance unless it is told otherwise.
const EPSILON: f64 = 1e-6;

/// timm's `trunc_normal_(std = 0.02)` cuts at ±2, a hundred deviations away.
const WEIGHT: Initial = Initial::Normal { std: 0.02 };

impl Builder {
    /// Patches as tokens. Their positions are those of the grid that weights were trained on until the architecture is laid over a
    /// resolution.
    pub(crate) fn patch_embed(&mut self, tokens: Tokens, width: usize) -> PatchEmbed {
        let Tokens { patch, grid, registers, class_position, bias } = tokens;
        let mut token = |name: &str, count: usize| {
            let (shape, initial) = (vec![1, count, width], Initial::Normal { std: 1e-6 });
            self.parameter(name.to_owned(), Role::Embedding, shape, Layout::Vector, initial)
        };
        let class = token("cls_token", 1);
        let more = (registers > 0).then(|| token("reg_token", registers));
        let positions = self.parameter(
            "pos_embed".to_owned(),
            Role::Embedding,
            vec![1, usize::from(class_position) + grid * grid, width],
            Layout::Positions { class: class_position, height: grid, width: grid },
            WEIGHT,
        );
        let (name, window) = ("patch_embed.proj", Window::square(patch, patch, 0));
        let conv = match bias {
            true => self.conv_with_bias(name, 3, width, window),
            false => self.conv(name, 3, width, window, Initial::layer_default(3 * patch * patch)),
        };
        PatchEmbed { conv, class, registers: more, register_count: registers, positions }
    }

    /// Block `index` of a transformer.
    pub(crate) fn transformer_block(
        &mut self,
        index: usize,
        widths: Widths,
        style: Style,
    ) -> TransformerBlock {
        let Widths { width, heads, depth } = widths;
        let name = format!("blocks.{index}");
        let norm1 = self.layer_norm_with_epsilon(&format!("{name}.norm1"), width, style.epsilon);
        let qkv = self.projection(&format!("{name}.attn.qkv"), width, 3 * width);
        let proj = self.projection(&format!("{name}.attn.proj"), width, width);
        let first = style.scale.map(|start| self.scale(&format!("{name}.ls1.gamma"), width, start));
        let norm2 = self.layer_norm_with_epsilon(&format!("{name}.norm2"), width, style.epsilon);
        let fc1 = self.projection(&format!("{name}.mlp.fc1"), width, 4 * width);
        let fc2 = self.projection(&format!("{name}.mlp.fc2"), 4 * width, width);
        let second = style.scale.map(|start| self.scale(&format!("{name}.ls2.gamma"), width, start));
        TransformerBlock {
            norm1,
            qkv,
            proj,
            norm2,
            fc1,
            fc2,
            curve: style.curve,
            scales: first.zip(second).map(|(first, second)| [first, second]),
            heads,
            depth: index as f32 / (depth - 1).max(1) as f32,
            class_only: index + 1 == depth,
            name,
        }
    }

    /// A layer norm over `channels`, weight 1 and bias 0, with timm's epsilon.
    pub(crate) fn layer_norm(&mut self, name: &str, channels: usize) -> LayerNorm {
        self.layer_norm_with_epsilon(name, channels, EPSILON)
    }

    /// A layer norm over `channels`, weight 1 and bias 0.
    pub(crate) fn layer_norm_with_epsilon(&mut self, name: &str, channels: usize, epsilon: f64) -> LayerNorm {
        let (weight, bias) = self.affine(name, channels);
        LayerNorm { weight, bias, epsilon }
    }

    /// A linear layer with bias, started as timm starts those of a transformer.
    pub(crate) fn projection(&mut self, name: &str, from: usize, to: usize) -> Linear {
        let linear = self.matrix(name, from, to);
        let start = Initial::Constant(0.0);
        let bias = self.parameter(format!("{name}.bias"), Role::Bias, vec![to], Layout::Vector, start);
        Linear { bias: Some(bias), ..linear }
    }

    /// The same without a bias.
    pub(crate) fn matrix(&mut self, name: &str, from: usize, to: usize) -> Linear {
        let live = LiveTaps::all(1, 1);
        let layout = Layout::Matrix { outputs: to, channels: from, height: 1, width: 1, live };
        let weight = self.parameter(format!("{name}.weight"), Role::Weight, vec![to, from], layout, WEIGHT);
        Linear { weight, bias: None, from, to, adapter: None }
    }
}
