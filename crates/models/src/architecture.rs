//! What a model is before it has numbers: [`Architecture`], an ordered list of stages of [`Layer`]s, with a table of
//! the parameters and norms that they name. Family files write one with a [`Builder`](crate::builder::Builder); shape inference
//! (`trace.rs`), the forward pass (`forward.rs`), initialisation and loading all read it. It never holds a tensor.

use crate::initial::Initial;
use crate::layout::{Layout, LiveTaps};
use crate::parameter::Role;
use crate::transformer::{LayerNorm, PatchEmbed, TransformerBlock};

/// A model's stages in order, with its parameters and BatchNorms in torchvision's registration order; those of auxiliary
/// heads are the last.
#[derive(Debug)]
pub(crate) struct Architecture {
    pub(crate) stages: Vec<Stage>,
    pub(crate) parameters: Vec<ParameterSpec>,
    pub(crate) norms: Vec<NormSpec>,
    /// torchvision's module names of the auxiliary heads, also of those that were taken out.
    pub(crate) auxiliary: Vec<&'static str>,
    /// Modules that other libraries name otherwise: torchvision's name, then theirs.
    pub(crate) other_names: &'static [(&'static str, &'static str)],
}

/// A freezable slice of a model.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) name: &'static str,
    pub(crate) layers: Vec<Layer>,
}

impl Architecture {
    /// The same network without its auxiliary heads, as torchvision's is with `aux_logits=False`.
    pub(crate) fn without_auxiliary(mut self) -> Self {
        for stage in &mut self.stages {
            stage.layers.retain(|layer| !matches!(layer, Layer::Auxiliary(_)));
        }
        let kept = |name: &str| !within_any(&self.auxiliary, name);
        self.parameters.retain(|parameter| kept(&parameter.name));
        self.norms.retain(|norm| kept(&norm.name));
        self
    }

    /// Whether a tensor of this name belongs to an auxiliary head, built or not.
    pub(crate) fn is_auxiliary(&self, name: &str) -> bool {
        within_any(&self.auxiliary, name)
    }

    /// Keeps the live taps of convolutions alone.
    pub(crate) fn shrink(&mut self, live_taps: &[(ParameterId, LiveTaps)]) {
        for (ParameterId(index), taps) in live_taps {
            if let Layout::Matrix { live, .. } = &mut self.parameters[*index].layout {
                *live = *taps;
            }
        }
    }

    /// Takes the last stage away, with its parameters and norms, which come last where there are no auxiliary heads.
    pub(crate) fn without_head(mut self) -> Self {
        self.stages.pop();
        let stages = self.stages.len();
        self.parameters.retain(|parameter| parameter.stage < stages);
        self.norms.retain(|norm| norm.stage < stages);
        self
    }

    /// Gives position embeddings the grids of patches of a resolution.
    pub(crate) fn place(&mut self, grids: &[(ParameterId, (usize, usize))]) {
        for &(ParameterId(index), (height, width)) in grids {
            let parameter = &mut self.parameters[index];
            parameter.layout = Layout::Positions { height, width };
            if let [_, tokens, _] = &mut parameter.shape[..] {
                *tokens = 1 + height * width;
            }
        }
    }

    /// The side in pixels of the patches that images are cut into, where they are.
    pub(crate) fn patch(&self) -> Option<usize> {
        let mut layers = self.stages.iter().flat_map(|stage| &stage.layers);
        layers.find_map(|layer| match layer {
            Layer::PatchEmbed(embed) => Some(embed.conv.window.kernel.0),
            _ => None,
        })
    }

    /// Which taps of a convolution are stored.
    pub(crate) fn live_taps(&self, conv: &Conv) -> LiveTaps {
        match self.parameters[conv.weight.0].layout {
            Layout::Matrix { live, .. } => live,
            Layout::Vector | Layout::Positions { .. } | Layout::Sums { .. } => {
                LiveTaps::all(conv.window.kernel.0, conv.window.kernel.1)
            }
        }
    }
}

/// Whether `name` is that of a part of one of the modules.
fn within_any(modules: &[&str], name: &str) -> bool {
    modules.iter().any(|module| name.strip_prefix(module).is_some_and(|rest| rest.starts_with('.')))
}

/// An index into [`Architecture::parameters`], and into the model's parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ParameterId(pub(crate) usize);

/// An index into [`Architecture::norms`], and into the model's norms.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NormId(pub(crate) usize);

/// A parameter to be: its torchvision name and shape, how it is stored here, and how it starts.
#[derive(Clone, Debug)]
pub(crate) struct ParameterSpec {
    pub(crate) name: String,
    pub(crate) stage: usize,
    pub(crate) role: Role,
    /// torchvision's shape: `[out, in, height, width]`, `[out, in]` or `[channels]`; `[1, tokens, channels]` of embeddings.
    pub(crate) shape: Vec<usize>,
    pub(crate) layout: Layout,
    pub(crate) initial: Initial,
}

/// A BatchNorm to be.
#[derive(Clone, Debug)]
pub(crate) struct NormSpec {
    pub(crate) name: String,
    pub(crate) stage: usize,
    pub(crate) channels: usize,
    /// Added to the variance.
    pub(crate) epsilon: f64,
    pub(crate) weight: ParameterId,
    pub(crate) bias: ParameterId,
}

/// One step of a stage. Names are torchvision's module names, for error messages and dropout streams.
#[derive(Debug)]
pub(crate) enum Layer {
    Conv(Conv),
    ConvNorm(ConvNorm),
    /// `relu(body(x) + shortcut(x))`; the addition and the last ReLU are fused into the body's last norm.
    Residual(Box<Residual>),
    /// Every branch on the same map; what they give stands side by side along the channels.
    Branches(Vec<Vec<Layer>>),
    /// A classifier beside the trunk that a training pass runs on a map, which itself goes on as it is.
    Auxiliary(AuxiliaryHead),
    Relu,
    /// Under `ceil` a last window that leaves the map is kept.
    MaxPool {
        name: String,
        window: Window,
        ceil: bool,
    },
    /// An average over windows, in which padding counts.
    AvgPool {
        name: String,
        window: Window,
    },
    AdaptiveAvgPool {
        height: usize,
        width: usize,
    },
    GlobalAvgPool,
    /// `[N, C]` to `[1, 1, N, C]`; a map stays as it is.
    AsMap,
    /// `[H, W, N, C]` to `[N, H·W·C]`; the next linear layer's weight has its rows in that order.
    Flatten,
    Dropout {
        name: String,
        probability: f32,
    },
    Linear(Linear),
    PatchEmbed(PatchEmbed),
    TransformerBlock(Box<TransformerBlock>),
    /// Over the channels of each row.
    LayerNorm(LayerNorm),
}

/// A sliding window, of a convolution or a pool; `(vertical, horizontal)` each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) kernel: (usize, usize),
    pub(crate) stride: (usize, usize),
    pub(crate) padding: (usize, usize),
}

impl Window {
    /// The same in both directions.
    pub(crate) const fn square(kernel: usize, stride: usize, padding: usize) -> Self {
        Self { kernel: (kernel, kernel), stride: (stride, stride), padding: (padding, padding) }
    }

    /// A kernel that moves by one pixel and keeps the map's size; its sides are odd.
    pub(crate) const fn same(height: usize, width: usize) -> Self {
        Self { kernel: (height, width), stride: (1, 1), padding: (height / 2, width / 2) }
    }

    /// The taps of the kernel.
    pub(crate) const fn taps(self) -> usize {
        self.kernel.0 * self.kernel.1
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Conv {
    pub(crate) name: String,
    pub(crate) weight: ParameterId,
    pub(crate) bias: Option<ParameterId>,
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) window: Window,
}

/// A convolution, its BatchNorm, and the ReLU where there is one.
#[derive(Clone, Debug)]
pub(crate) struct ConvNorm {
    pub(crate) conv: Conv,
    pub(crate) norm: NormId,
    pub(crate) relu: bool,
}

/// A residual block of ResNet: the body is `first` and then `last`, to which the shortcut is added.
#[derive(Debug)]
pub(crate) struct Residual {
    pub(crate) first: Vec<ConvNorm>,
    pub(crate) last: ConvNorm,
    /// None for the block's input itself.
    pub(crate) shortcut: Option<ConvNorm>,
}

/// An auxiliary classifier (Szegedy et al. 2014): its parameters belong to the stage on which it hangs.
#[derive(Debug)]
pub(crate) struct AuxiliaryHead {
    /// The share of its loss.
    pub(crate) weight: f64,
    pub(crate) layers: Vec<Layer>,
}

#[derive(Clone, Debug)]
pub(crate) struct Linear {
    pub(crate) weight: ParameterId,
    pub(crate) bias: ParameterId,
    pub(crate) from: usize,
    pub(crate) to: usize,
}
