//! What a model is before it has numbers: [`Architecture`], an ordered list of stages of [`Layer`]s, with a table of
//! the parameters and norms that they name. Family files write one with a [`Builder`]; shape inference
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
            Layout::Vector | Layout::Positions { .. } => {
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
#[derive(Clone, Copy, Debug)]
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

/// A convolution without bias, its BatchNorm, and the ReLU where there is one.
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

/// Writes an [`Architecture`] stage by stage. Parameters are registered in the order of the calls.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    stages: Vec<Stage>,
    parameters: Vec<ParameterSpec>,
    norms: Vec<NormSpec>,
    auxiliary: Vec<&'static str>,
    /// The stage of the auxiliary head that is being registered.
    filling: Option<usize>,
}

/// Where an auxiliary head will hang.
#[derive(Debug)]
pub(crate) struct Place {
    stage: usize,
    layer: usize,
}

/// What `nn.BatchNorm2d` adds to the variance unless it is told otherwise.
const EPSILON: f64 = 1e-5;

impl Builder {
    /// Goes on with an architecture: stages that are opened come after its own.
    pub(crate) fn extending(architecture: Architecture) -> Self {
        let Architecture { stages, parameters, norms, auxiliary } = architecture;
        Self { stages, parameters, norms, auxiliary, filling: None }
    }

    /// Opens the next stage; what is registered from now on belongs to it.
    pub(crate) fn stage(&mut self, name: &'static str) {
        self.stages.push(Stage { name, layers: Vec::new() });
    }

    /// Appends layers to the open stage.
    pub(crate) fn push(&mut self, layers: impl IntoIterator<Item = Layer>) {
        if let Some(stage) = self.stages.last_mut() {
            stage.layers.extend(layers);
        }
    }

    pub(crate) fn finish(self) -> Architecture {
        let Self { stages, parameters, norms, auxiliary, filling: _ } = self;
        Architecture { stages, parameters, norms, auxiliary }
    }

    /// Leaves a place for an auxiliary head behind the layers that the open stage has.
    pub(crate) fn place_for_auxiliary(&mut self) -> Place {
        let stage = self.open_stage();
        let head = AuxiliaryHead { weight: 0.0, layers: Vec::new() };
        self.push([Layer::Auxiliary(head)]);
        Place { stage, layer: self.stages.get(stage).map_or(0, |stage| stage.layers.len() - 1) }
    }

    /// Fills a place with torchvision's module `name`. It comes after the head, so that what else is registered has the
    /// same ids with auxiliary heads and without.
    pub(crate) fn auxiliary(
        &mut self,
        place: Place,
        name: &'static str,
        weight: f64,
        layers: impl FnOnce(&mut Self) -> Vec<Layer>,
    ) {
        self.filling = Some(place.stage);
        let layers = layers(self);
        self.filling = None;
        self.auxiliary.push(name);
        if let Some(stage) = self.stages.get_mut(place.stage) {
            stage.layers[place.layer] = Layer::Auxiliary(AuxiliaryHead { weight, layers });
        }
    }

    /// The stage that what is registered belongs to.
    fn open_stage(&self) -> usize {
        self.filling.unwrap_or(self.stages.len().saturating_sub(1))
    }

    /// A convolution without bias whose weight starts at `initial`.
    pub(crate) fn conv(
        &mut self,
        name: &str,
        from: usize,
        to: usize,
        window: Window,
        initial: Initial,
    ) -> Conv {
        let (height, width) = window.kernel;
        let live = LiveTaps::all(height, width);
        let layout = Layout::Matrix { outputs: to, channels: from, height, width, live };
        let weight = self.parameter(
            format!("{name}.weight"),
            Role::Weight,
            vec![to, from, height, width],
            layout,
            initial,
        );
        Conv { name: name.to_owned(), weight, bias: None, from, to, window }
    }

    /// A convolution with bias, both started as `nn.Conv2d` starts them.
    pub(crate) fn conv_with_bias(&mut self, name: &str, from: usize, to: usize, window: Window) -> Conv {
        let initial = Initial::layer_default(from * window.taps());
        let conv = self.conv(name, from, to, window, initial);
        let bias = self.parameter(format!("{name}.bias"), Role::Bias, vec![to], Layout::Vector, initial);
        Conv { bias: Some(bias), ..conv }
    }

    /// A BatchNorm over `channels`, weight 1 and bias 0, with PyTorch's epsilon.
    pub(crate) fn norm(&mut self, name: &str, channels: usize) -> NormId {
        self.norm_with_epsilon(name, channels, EPSILON)
    }

    /// A BatchNorm over `channels`, weight 1 and bias 0.
    pub(crate) fn norm_with_epsilon(&mut self, name: &str, channels: usize, epsilon: f64) -> NormId {
        let (weight, bias) = self.affine(name, channels);
        self.norms.push(NormSpec {
            name: name.to_owned(),
            stage: self.open_stage(),
            channels,
            epsilon,
            weight,
            bias,
        });
        NormId(self.norms.len() - 1)
    }

    /// The scale and shift of a norm, weight 1 and bias 0.
    pub(crate) fn affine(&mut self, name: &str, channels: usize) -> (ParameterId, ParameterId) {
        let mut vector = |part: &str, role, start| {
            self.parameter(
                format!("{name}.{part}"),
                role,
                vec![channels],
                Layout::Vector,
                Initial::Constant(start),
            )
        };
        (vector("weight", Role::NormWeight, 1.0), vector("bias", Role::NormBias, 0.0))
    }

    /// A linear layer with bias, started as `nn.Linear` starts it.
    pub(crate) fn linear(&mut self, name: &str, from: usize, to: usize) -> Linear {
        self.linear_over_map(name, (from, 1, 1), to)
    }

    /// A linear layer over a flattened map of (channels, height, width); torchvision's weight counts channels first.
    pub(crate) fn linear_over_map(&mut self, name: &str, map: (usize, usize, usize), to: usize) -> Linear {
        let (channels, height, width) = map;
        let from = channels * height * width;
        let initial = Initial::layer_default(from);
        let live = LiveTaps::all(height, width);
        let layout = Layout::Matrix { outputs: to, channels, height, width, live };
        let weight = self.parameter(format!("{name}.weight"), Role::Weight, vec![to, from], layout, initial);
        let bias = self.parameter(format!("{name}.bias"), Role::Bias, vec![to], Layout::Vector, initial);
        Linear { weight, bias, from, to }
    }

    /// The same layer with a weight that starts at `initial`.
    pub(crate) fn started(&mut self, linear: Linear, initial: Initial) -> Linear {
        self.parameters[linear.weight.0].initial = initial;
        linear
    }

    pub(crate) fn parameter(
        &mut self,
        name: String,
        role: Role,
        shape: Vec<usize>,
        layout: Layout,
        initial: Initial,
    ) -> ParameterId {
        let stage = self.open_stage();
        self.parameters.push(ParameterSpec { name, stage, role, shape, layout, initial });
        ParameterId(self.parameters.len() - 1)
    }
}
