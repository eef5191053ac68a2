//! What stages are made of: a [`Layer`] is one step on an activation, and names the parameters and norms that it uses by
//! their place in an [`Architecture`](super::Architecture). It holds no number.

use super::blocks::{Curve, Skip, SqueezeExcite, WindowAttention};

/// An index into [`Architecture::parameters`](super::Architecture::parameters), and into a model's parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParameterId(pub usize);

/// An index into [`Architecture::norms`](super::Architecture::norms), and into a model's norms.
#[derive(Clone, Copy, Debug)]
pub struct NormId(pub usize);

/// Height, width and channels of a map; rows of `C` numbers have height and width 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// In pixels.
    pub height: usize,
    /// In pixels; of tokens, their number.
    pub width: usize,
    /// Numbers at each pixel.
    pub channels: usize,
}

/// One step of a stage. Names are torchvision's module names, for error messages and dropout streams.
#[derive(Clone, Debug)]
pub enum Layer {
    /// A convolution.
    Conv(Conv),
    /// A convolution with its BatchNorm.
    ConvNorm(ConvNorm),
    /// `relu(body(x) + shortcut(x))`; the addition and the last ReLU are fused into the body's last norm.
    Residual(Box<Residual>),
    /// Every branch on the same map; what they give stands side by side along the channels.
    Branches(Vec<Vec<Layer>>),
    /// A classifier beside the trunk that a training pass runs on a map, which itself goes on as it is.
    Auxiliary(AuxiliaryHead),
    /// `max(x, 0)`.
    Relu,
    /// The largest value of each window.
    MaxPool {
        /// torchvision's module name.
        name: String,
        /// What slides over the map.
        window: Window,
        /// Whether a last window that leaves the map is kept.
        ceil: bool,
    },
    /// An average over windows, in which padding counts.
    AvgPool {
        /// torchvision's module name.
        name: String,
        /// What slides over the map.
        window: Window,
    },
    /// Averages over windows that make a map of any size one of this size.
    AdaptiveAvgPool {
        /// Of the output, in pixels.
        height: usize,
        /// Of the output, in pixels.
        width: usize,
    },
    /// The mean of each channel: `[H, W, N, C]` to `[N, C]`.
    GlobalAvgPool,
    /// `[N, C]` to `[1, 1, N, C]`; a map stays as it is.
    AsMap,
    /// `[H, W, N, C]` to `[N, H·W·C]`; the next linear layer's weight has its rows in that order.
    Flatten,
    /// Numbers are zeroed with this probability while a model trains.
    Dropout {
        /// torchvision's module name.
        name: String,
        /// In [0, 1).
        probability: f32,
    },
    /// A linear layer, `[N, from]` to `[N, to]`.
    Linear(Linear),
    /// Images to tokens.
    PatchEmbed(PatchEmbed),
    /// A block of a transformer.
    TransformerBlock(Box<TransformerBlock>),
    /// Over the channels of each row, or of each pixel.
    LayerNorm(LayerNorm),
    /// A BatchNorm by itself and the curve behind it; behind a convolution with ReLU or nothing it is part of [`Layer::ConvNorm`].
    BatchNorm(NormId, Curve),
    /// A function at every number.
    Curve(Curve),
    /// `x + body(x)`.
    Skip(Box<Skip>),
    /// `x` and `body(x)` side by side along the channels.
    Dense(Vec<Layer>),
    /// Attention within windows.
    WindowAttention(Box<WindowAttention>),
    /// Squares of four pixels side by side along the channels.
    MergePixels,
    /// The channels of each image times gates that their means decide on.
    SqueezeExcite(SqueezeExcite),
    /// The channels of each image times factors that their norms decide on.
    ResponseNorm(LayerNorm),
}

/// A sliding window, of a convolution or a pool; `(vertical, horizontal)` each.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Its size in pixels.
    pub kernel: (usize, usize),
    /// Pixels between two places.
    pub stride: (usize, usize),
    /// Pixels beyond each edge of the map that it may reach.
    pub padding: (usize, usize),
}

impl Window {
    /// The same in both directions.
    pub const fn square(kernel: usize, stride: usize, padding: usize) -> Self {
        Self { kernel: (kernel, kernel), stride: (stride, stride), padding: (padding, padding) }
    }

    /// A kernel that moves by one pixel and keeps the map's size; its sides are odd.
    pub const fn same(height: usize, width: usize) -> Self {
        Self { kernel: (height, width), stride: (1, 1), padding: (height / 2, width / 2) }
    }

    /// The taps of the kernel.
    pub const fn taps(self) -> usize {
        self.kernel.0 * self.kernel.1
    }
}

/// A convolution, `[H, W, N, from]` to `[H', W', N, to]`.
#[derive(Clone, Debug)]
pub struct Conv {
    /// torchvision's module name.
    pub name: String,
    /// Tap-major, of the live taps.
    pub weight: ParameterId,
    /// Added to each output channel, where there is one.
    pub bias: Option<ParameterId>,
    /// Input channels.
    pub from: usize,
    /// Output channels.
    pub to: usize,
    /// Groups of channels, each of whose outputs see its own inputs alone; 1 where all see all.
    pub groups: usize,
    /// The kernel and how it moves.
    pub window: Window,
}

impl Conv {
    /// Weights of a tap.
    pub fn weights_of_tap(&self) -> usize {
        self.from / self.groups * self.to
    }
}

/// A convolution, its BatchNorm, and the ReLU where there is one.
#[derive(Clone, Debug)]
pub struct ConvNorm {
    /// The convolution.
    pub conv: Conv,
    /// The BatchNorm over its output channels.
    pub norm: NormId,
    /// Whether a ReLU follows.
    pub relu: bool,
}

/// A residual block of ResNet: the body is `first` and then `last`, to which the shortcut is added.
#[derive(Clone, Debug)]
pub struct Residual {
    /// The body but for its last convolution.
    pub first: Vec<ConvNorm>,
    /// The body's last convolution.
    pub last: ConvNorm,
    /// None for the block's input itself.
    pub shortcut: Option<ConvNorm>,
}

/// An auxiliary classifier (Szegedy et al. 2014): its parameters belong to the stage on which it hangs.
#[derive(Clone, Debug)]
pub struct AuxiliaryHead {
    /// The share of its loss.
    pub weight: f64,
    /// From the map to logits `[N, classes]`.
    pub layers: Vec<Layer>,
}

/// A linear layer over rows or the channels of each pixel.
#[derive(Clone, Debug)]
pub struct Linear {
    /// `[from, to]`, or the kernel of one tap that is the same.
    pub weight: ParameterId,
    /// `[to]`, where there is one.
    pub bias: Option<ParameterId>,
    /// Numbers that go in.
    pub from: usize,
    /// Numbers that come out.
    pub to: usize,
    /// What is added to the weights; none in a model that was not adapted.
    pub adapter: Option<Adapter>,
}

/// A change of a linear layer's weights of low rank, `x · down · up` (LoRA; Hu et al. 2022, arXiv:2106.09685).
#[derive(Clone, Copy, Debug)]
pub struct Adapter {
    /// `[from, rank]`
    pub down: ParameterId,
    /// `[rank, to]`
    pub up: ParameterId,
}

/// A map of patches with a class token and registers before them and positions added: `[H, W, N, 3]` to `[1, T, N, C]`.
#[derive(Clone, Debug)]
pub struct PatchEmbed {
    /// Its stride is its kernel.
    pub conv: Conv,
    /// The class token, `[1, 1, C]`.
    pub class: ParameterId,
    /// Further tokens behind it that no patch becomes, `[1, R, C]` (Darcet et al. 2023, arXiv:2309.16588).
    pub registers: Option<ParameterId>,
    /// How many of these there are.
    pub register_count: usize,
    /// The position embeddings, `[1, T, C]`, or `[1, H·W, C]` where patches alone have one.
    pub positions: ParameterId,
}

/// A pre-norm block: `x + proj(attention(norm1(x)))`, and `x + fc2(gelu(fc1(norm2(x))))` of that. With layer scale, what is added has
/// a factor for each channel.
#[derive(Clone, Debug)]
pub struct TransformerBlock {
    /// timm's module name, for the streams of dropout and stochastic depth.
    pub name: String,
    /// Before attention.
    pub norm1: LayerNorm,
    /// Queries, keys and values, side by side.
    pub qkv: Linear,
    /// Behind attention.
    pub proj: Linear,
    /// Before the two linear layers.
    pub norm2: LayerNorm,
    /// To four times the channels.
    pub fc1: Linear,
    /// And back.
    pub fc2: Linear,
    /// What stands between the two.
    pub curve: Curve,
    /// The factors of both branches, `[C]` each, where they have some.
    pub scales: Option<[ParameterId; 2]>,
    /// Attention heads.
    pub heads: usize,
    /// The share of the model's stochastic depth that this block has: 0 in the first, 1 in the last.
    pub depth: f32,
    /// Whether nothing reads the output but the class token, `[N, C]`: then the others only answer in attention.
    pub class_only: bool,
}

/// A norm over the channels of each row, or what else has a scale and a shift by channel.
#[derive(Clone, Debug)]
pub struct LayerNorm {
    /// The scale, `[C]`.
    pub weight: ParameterId,
    /// The shift, `[C]`.
    pub bias: ParameterId,
    /// Added to the variance.
    pub epsilon: f64,
}
