//! What a model is before it has numbers: [`Architecture`], an ordered list of stages of [`Layer`]s, with a table of
//! the parameters and norms that they name. Family files write one with a [`Builder`]; shape inference
//! (`trace.rs`), the forward pass (`forward.rs`), initialisation and loading all read it. It never holds a tensor.

use crate::initial::Initial;
use crate::layout::{Layout, LiveTaps};
use crate::parameter::Role;

/// A model's stages in order, with its parameters and norms in torchvision's registration order.
#[derive(Debug)]
pub(crate) struct Architecture {
    pub(crate) stages: Vec<Stage>,
    pub(crate) parameters: Vec<ParameterSpec>,
    pub(crate) norms: Vec<NormSpec>,
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
    /// Keeps the live taps of convolutions alone.
    pub(crate) fn shrink(&mut self, live_taps: &[(ParameterId, LiveTaps)]) {
        for (ParameterId(index), taps) in live_taps {
            if let Layout::Matrix { live, .. } = &mut self.parameters[*index].layout {
                *live = *taps;
            }
        }
    }

    /// Takes the last stage away, with its parameters and norms, which come last.
    pub(crate) fn without_head(mut self) -> Self {
        self.stages.pop();
        let stages = self.stages.len();
        self.parameters.retain(|parameter| parameter.stage < stages);
        self.norms.retain(|norm| norm.stage < stages);
        self
    }

    /// Which taps of a convolution are stored.
    pub(crate) fn live_taps(&self, conv: &Conv) -> LiveTaps {
        match self.parameters[conv.weight.0].layout {
            Layout::Matrix { live, .. } => live,
            Layout::Vector | Layout::Sums { .. } => LiveTaps::all(conv.window.kernel, conv.window.kernel),
        }
    }
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
    /// torchvision's shape: `[out, in, height, width]`, `[out, in]` or `[channels]`.
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
    pub(crate) weight: ParameterId,
    pub(crate) bias: ParameterId,
}

/// One step of a stage. Names are torchvision's module names, for error messages and dropout streams.
#[derive(Debug)]
pub(crate) enum Layer {
    Conv(Conv),
    ConvNorm(ConvNorm),
    /// ResNet's basic block: `relu(body(x) + shortcut(x))`; the addition and the last ReLU are fused into the last norm.
    BasicBlock(Box<BasicBlock>),
    Relu,
    MaxPool {
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
}

/// A square sliding window, of a convolution or a pool. Kernels that are not square come with the families that have them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    pub(crate) padding: usize,
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

#[derive(Clone, Debug)]
pub(crate) struct BasicBlock {
    pub(crate) first: ConvNorm,
    pub(crate) second: ConvNorm,
    pub(crate) shortcut: Option<ConvNorm>,
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
    other_names: &'static [(&'static str, &'static str)],
}

impl Builder {
    /// Goes on with an architecture: stages that are opened come after its own.
    pub(crate) fn extending(architecture: Architecture) -> Self {
        let Architecture { stages, parameters, norms, other_names } = architecture;
        Self { stages, parameters, norms, other_names }
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

    /// Lists modules that other libraries name otherwise: torchvision's name, then theirs.
    pub(crate) fn also_named(&mut self, names: &'static [(&'static str, &'static str)]) {
        self.other_names = names;
    }

    pub(crate) fn finish(self) -> Architecture {
        let Self { stages, parameters, norms, other_names } = self;
        Architecture { stages, parameters, norms, other_names }
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
        let Window { kernel, .. } = window;
        let live = LiveTaps::all(kernel, kernel);
        let layout = Layout::Matrix { outputs: to, channels: from, height: kernel, width: kernel, live };
        let weight = self.parameter(
            format!("{name}.weight"),
            Role::Weight,
            vec![to, from, kernel, kernel],
            layout,
            initial,
        );
        Conv { name: name.to_owned(), weight, bias: None, from, to, window }
    }

    /// A convolution with bias, both started as `nn.Conv2d` starts them.
    pub(crate) fn conv_with_bias(&mut self, name: &str, from: usize, to: usize, window: Window) -> Conv {
        let initial = Initial::layer_default(from * window.kernel * window.kernel);
        let conv = self.conv(name, from, to, window, initial);
        self.with_bias(conv, initial)
    }

    /// Gives a convolution a bias that starts at `initial`.
    pub(crate) fn with_bias(&mut self, conv: Conv, initial: Initial) -> Conv {
        let name = format!("{}.bias", conv.name);
        let bias = self.parameter(name, Role::Bias, vec![conv.to], Layout::Vector, initial);
        Conv { bias: Some(bias), ..conv }
    }

    /// A BatchNorm over `channels`, weight 1 and bias 0.
    pub(crate) fn norm(&mut self, name: &str, channels: usize) -> NormId {
        let mut affine = |part: &str, role, start| {
            self.parameter(
                format!("{name}.{part}"),
                role,
                vec![channels],
                Layout::Vector,
                Initial::Constant(start),
            )
        };
        let weight = affine("weight", Role::NormWeight, 1.0);
        let bias = affine("bias", Role::NormBias, 0.0);
        self.norms.push(NormSpec {
            name: name.to_owned(),
            stage: self.stages.len().saturating_sub(1),
            channels,
            weight,
            bias,
        });
        NormId(self.norms.len() - 1)
    }

    /// A linear layer with bias, started as `nn.Linear` starts it.
    pub(crate) fn linear(&mut self, name: &str, from: usize, to: usize) -> Linear {
        self.linear_over_map(name, (from, 1, 1), to)
    }

    /// A linear layer over a flattened map of (channels, height, width); torchvision's weight counts channels first.
    pub(crate) fn linear_over_map(&mut self, name: &str, map: (usize, usize, usize), to: usize) -> Linear {
        let initial = Initial::layer_default(map.0 * map.1 * map.2);
        self.linear_from(name, map, to, (initial, initial))
    }

    /// [`Builder::linear_over_map`] with weight and bias that start at `initials`.
    pub(crate) fn linear_from(
        &mut self,
        name: &str,
        (channels, height, width): (usize, usize, usize),
        to: usize,
        initials: (Initial, Initial),
    ) -> Linear {
        let from = channels * height * width;
        let live = LiveTaps::all(height, width);
        let layout = Layout::Matrix { outputs: to, channels, height, width, live };
        let weight =
            self.parameter(format!("{name}.weight"), Role::Weight, vec![to, from], layout, initials.0);
        let bias = self.parameter(format!("{name}.bias"), Role::Bias, vec![to], Layout::Vector, initials.1);
        Linear { weight, bias, from, to }
    }

    fn parameter(
        &mut self,
        name: String,
        role: Role,
        shape: Vec<usize>,
        layout: Layout,
        initial: Initial,
    ) -> ParameterId {
        let stage = self.stages.len().saturating_sub(1);
        self.parameters.push(ParameterSpec { name, stage, role, shape, layout, initial });
        ParameterId(self.parameters.len() - 1)
    }
}
