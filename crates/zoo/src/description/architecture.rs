//! What a model is before it has numbers: [`Architecture`], an ordered list of stages of [`Layer`]s, with a table of
//! the parameters and norms that they name. Family files write one with a [`Builder`](super::Builder); shape inference,
//! the forward pass, initialisation and loading all read it. It never holds a tensor.

use super::initial::Initial;
use super::layers::{Conv, Layer, ParameterId};
use super::layout::{Layout, LiveTaps};
use super::role::Role;

/// A model's stages in order, with its parameters and BatchNorms in torchvision's registration order; those of auxiliary
/// heads are the last.
#[derive(Clone, Debug)]
pub struct Architecture {
    /// From input to output; the last is the head.
    pub stages: Vec<Stage>,
    /// In torchvision's order.
    pub parameters: Vec<ParameterSpec>,
    /// In torchvision's order.
    pub norms: Vec<NormSpec>,
    /// torchvision's module names of the auxiliary heads, also of those that were taken out.
    pub auxiliary: Vec<&'static str>,
    /// Modules that other libraries name otherwise: torchvision's name, then theirs.
    pub other_names: &'static [(&'static str, &'static str)],
}

/// A freezable slice of a model.
#[derive(Clone, Debug)]
pub struct Stage {
    /// For instance `layer1`.
    pub name: &'static str,
    /// Its steps in order.
    pub layers: Vec<Layer>,
}

impl Architecture {
    /// The same network without its auxiliary heads, as torchvision's is with `aux_logits=False`.
    pub fn without_auxiliary(mut self) -> Self {
        for stage in &mut self.stages {
            stage.layers.retain(|layer| !matches!(layer, Layer::Auxiliary(_)));
        }
        let kept = |name: &str| !within_any(&self.auxiliary, name);
        self.parameters.retain(|parameter| kept(&parameter.name));
        self.norms.retain(|norm| kept(&norm.name));
        self
    }

    /// Whether a tensor of this name belongs to an auxiliary head, built or not.
    pub fn is_auxiliary(&self, name: &str) -> bool {
        within_any(&self.auxiliary, name)
    }

    /// Keeps the live taps of convolutions alone.
    pub fn shrink(&mut self, live_taps: &[(ParameterId, LiveTaps)]) {
        for (ParameterId(index), taps) in live_taps {
            if let Layout::Matrix { live, .. } = &mut self.parameters[*index].layout {
                *live = *taps;
            }
        }
    }

    /// Takes the last stage away, with its parameters and norms, which come last where there are no auxiliary heads.
    pub fn without_head(mut self) -> Self {
        self.stages.pop();
        let stages = self.stages.len();
        self.parameters.retain(|parameter| parameter.stage < stages);
        self.norms.retain(|norm| norm.stage < stages);
        self
    }

    /// Gives position embeddings the grids of patches of a resolution.
    pub fn place(&mut self, grids: &[(ParameterId, (usize, usize))]) {
        for &(ParameterId(index), (height, width)) in grids {
            let parameter = &mut self.parameters[index];
            if let (Layout::Positions { class, .. }, [_, tokens, _]) =
                (parameter.layout, &mut parameter.shape[..])
            {
                parameter.layout = Layout::Positions { class, height, width };
                *tokens = usize::from(class) + height * width;
            }
        }
    }

    /// The side in pixels of the patches that images are cut into, where they are.
    pub fn patch(&self) -> Option<usize> {
        let mut layers = self.stages.iter().flat_map(|stage| &stage.layers);
        layers.find_map(|layer| match layer {
            Layer::PatchEmbed(embed) => Some(embed.conv.window.kernel.0),
            _ => None,
        })
    }

    /// Which taps of a convolution are stored.
    pub fn live_taps(&self, conv: &Conv) -> LiveTaps {
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

/// A parameter to be: its torchvision name and shape, how it is stored here, and how it starts.
#[derive(Clone, Debug)]
pub struct ParameterSpec {
    /// torchvision's name, or timm's.
    pub name: String,
    /// The index of its stage.
    pub stage: usize,
    /// What it does.
    pub role: Role,
    /// torchvision's shape: `[out, in, height, width]`, `[out, in]` or `[channels]`; `[1, tokens, channels]` of embeddings.
    pub shape: Vec<usize>,
    /// How it is stored here.
    pub layout: Layout,
    /// How it starts.
    pub initial: Initial,
}

/// A BatchNorm to be.
#[derive(Clone, Debug)]
pub struct NormSpec {
    /// torchvision's module name.
    pub name: String,
    /// The index of its stage.
    pub stage: usize,
    /// Of the map that it normalises.
    pub channels: usize,
    /// Added to the variance.
    pub epsilon: f64,
    /// The scale, `[C]`.
    pub weight: ParameterId,
    /// The shift, `[C]`.
    pub bias: ParameterId,
}
