//! [`Builder`]: how a family file writes its [`Architecture`], stage by stage, layer by layer.

use super::architecture::{Architecture, NormSpec, ParameterSpec, Stage};
use super::initial::Initial;
use super::layers::{AuxiliaryHead, Conv, Layer, Linear, NormId, ParameterId, Window};
use super::layout::{Layout, LiveTaps};
use super::role::Role;

/// Writes an [`Architecture`] stage by stage. Parameters are registered in the order of the calls.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    stages: Vec<Stage>,
    parameters: Vec<ParameterSpec>,
    norms: Vec<NormSpec>,
    auxiliary: Vec<&'static str>,
    /// The stage of the auxiliary head that is being registered.
    filling: Option<usize>,
    other_names: &'static [(&'static str, &'static str)],
}

/// Where an auxiliary head will hang.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    stage: usize,
    layer: usize,
}

/// What `nn.BatchNorm2d` adds to the variance unless it is told otherwise.
const EPSILON: f64 = 1e-5;

impl Builder {
    /// Goes on with an architecture: stages that are opened come after its own.
    pub(crate) fn extending(architecture: Architecture) -> Self {
        let Architecture { stages, parameters, norms, auxiliary, other_names } = architecture;
        Self { stages, parameters, norms, auxiliary, filling: None, other_names }
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
        let Self { stages, parameters, norms, auxiliary, filling: _, other_names } = self;
        Architecture { stages, parameters, norms, auxiliary, other_names }
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
        self.grouped_conv(name, (from, to, 1), window, initial)
    }

    /// A convolution in groups, without bias, whose weight starts at `initial`.
    pub(crate) fn grouped_conv(
        &mut self,
        name: &str,
        (from, to, groups): (usize, usize, usize),
        window: Window,
        initial: Initial,
    ) -> Conv {
        let (height, width) = window.kernel;
        let live = LiveTaps::all(height, width);
        let channels = from / groups;
        let layout = Layout::Matrix { outputs: to, channels, height, width, live };
        let weight = self.parameter(
            format!("{name}.weight"),
            Role::Weight,
            vec![to, channels, height, width],
            layout,
            initial,
        );
        Conv { name: name.to_owned(), weight, bias: None, from, to, groups, window }
    }

    /// A convolution with bias, both started as `nn.Conv2d` starts them.
    pub(crate) fn conv_with_bias(&mut self, name: &str, from: usize, to: usize, window: Window) -> Conv {
        let initial = Initial::layer_default(from * window.taps());
        let conv = self.conv(name, from, to, window, initial);
        self.with_bias(conv, initial)
    }

    /// Gives a convolution a bias that starts at `initial`.
    pub(crate) fn with_bias(&mut self, conv: Conv, initial: Initial) -> Conv {
        let name = format!("{}.bias", conv.name);
        let bias = self.parameter(name, Role::Bias, vec![conv.to], Layout::Vector, initial);
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

    /// Has a norm begin with a scale of 0.
    pub(crate) fn silence(&mut self, norm: NormId) {
        self.restart(self.norms[norm.0].weight, Initial::Constant(0.0));
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
        Linear { weight, bias: Some(bias), from, to, adapter: None }
    }

    /// The same layer with a weight that starts at `initial`.
    pub(crate) fn started(&mut self, linear: Linear, initial: Initial) -> Linear {
        self.restart(linear.weight, initial);
        linear
    }

    /// Has a parameter start at `initial`.
    pub(crate) fn restart(&mut self, parameter: ParameterId, initial: Initial) {
        self.parameters[parameter.0].initial = initial;
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
