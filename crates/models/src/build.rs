//! From a name to a [`Model`]: [`build`] and its like, and what a [`ModelCard`] tells of a model that is not built.

use candle_core::Device;

use crate::architecture::{Architecture, ParameterSpec};
use crate::error::ModelError;
use crate::layout::Layout;
use crate::model::{BuildSpec, Model, StageSummary, assemble};
use crate::parameter::ParameterInfo;
use crate::trace::{Traced, smallest_side, trace};
use crate::transformer::check_patches;
use crate::zoo::{ModelCard, card};

/// Builds the model `name` on the CPU, with the initial values that `torchvision.models` gives it. Taps of convolutions
/// that reach no pixel at this resolution are left out of the computation, which changes no output and no gradient;
/// [`Parameter::torch_values`] has them. Auxiliary heads are left out, as from torchvision's pretrained models.
///
/// # Errors
/// [`ModelError::Unknown`]; [`ModelError::TooSmall`] with the smallest resolution that works; [`ModelError::Patches`] with
/// the nearest ones; [`ModelError::Input`] for no classes.
pub fn build(name: &str, spec: &BuildSpec) -> Result<Model, ModelError> {
    build_on(name, spec, &Device::Cpu)
}

/// [`build`] on another device.
///
/// # Errors
/// As [`build`], and where the device fails.
pub fn build_on(name: &str, spec: &BuildSpec, device: &Device) -> Result<Model, ModelError> {
    let card = card(name)?;
    let (architecture, traced) = plan(card, spec.classes, spec.height, spec.width)?;
    assemble_shrunk(card, architecture, traced, spec, device)
}

/// Gives an architecture its numbers, without the taps that reach no pixel.
pub(crate) fn assemble_shrunk(
    card: &'static ModelCard,
    mut architecture: Architecture,
    traced: Vec<Traced>,
    spec: &BuildSpec,
    device: &Device,
) -> Result<Model, ModelError> {
    for stage in &traced {
        architecture.shrink(&stage.live_taps);
    }
    assemble(card, architecture, traced, spec, device)
}

/// [`build`] with the auxiliary heads that the model has, for training from scratch: torchvision's `aux_logits=True`. They
/// are left out where one of them has no output at this resolution, as Inception v3's has none below 299 pixels.
///
/// # Errors
/// As [`build`].
pub fn build_with_auxiliary(name: &str, spec: &BuildSpec) -> Result<Model, ModelError> {
    let card = card(name)?;
    let mut architecture = (card.architecture)(spec.classes);
    match traced(card, &mut architecture, spec.height, spec.width) {
        Ok(traced) if spec.classes > 0 => assemble_shrunk(card, architecture, traced, spec, &Device::Cpu),
        _ => build(name, spec),
    }
}

/// [`build`] with every tap of every convolution, also those that reach no pixel at this resolution: what the shrunk
/// network is held against.
///
/// # Errors
/// As [`build`].
pub fn build_unshrunk(name: &str, spec: &BuildSpec) -> Result<Model, ModelError> {
    let card = card(name)?;
    let (architecture, traced) = plan(card, spec.classes, spec.height, spec.width)?;
    assemble(card, architecture, traced, spec, &Device::Cpu)
}

impl ModelCard {
    /// Per stage: parameters, multiply-adds and output at a resolution, without building the model.
    ///
    /// # Errors
    /// [`ModelError::TooSmall`] with the smallest resolution that works; [`ModelError::Patches`] with the nearest ones;
    /// [`ModelError::Input`] for no classes.
    pub fn summary(
        &self,
        classes: usize,
        height: usize,
        width: usize,
    ) -> Result<Vec<StageSummary>, ModelError> {
        let (architecture, traced) = plan(self, classes, height, width)?;
        Ok(summarise(&architecture, &traced))
    }

    /// The parameters in the model's order, without building it and without auxiliary heads; position embeddings are those
    /// of the published weights' resolution.
    pub fn parameters(&self, classes: usize) -> Vec<ParameterInfo> {
        infos(self.without_auxiliary(classes))
    }

    /// [`ModelCard::parameters`] with auxiliary heads, as [`build_with_auxiliary`] builds the model.
    pub fn parameters_with_auxiliary(&self, classes: usize) -> Vec<ParameterInfo> {
        infos((self.architecture)(classes))
    }

    /// The least side in pixels of an image that the model takes, square or not.
    pub fn smallest_side(&self) -> Option<usize> {
        smallest_side(&self.without_auxiliary(1))
    }
}

fn infos(architecture: Architecture) -> Vec<ParameterInfo> {
    let info = |spec: ParameterSpec| ParameterInfo {
        elements: spec.shape.iter().product(),
        name: spec.name,
        stage: spec.stage,
        role: spec.role,
    };
    architecture.parameters.into_iter().map(info).collect()
}

/// The architecture without auxiliary heads, and its trace at a resolution, with the position embeddings of that resolution.
fn plan(
    card: &ModelCard,
    classes: usize,
    height: usize,
    width: usize,
) -> Result<(Architecture, Vec<Traced>), ModelError> {
    if classes == 0 {
        return Err(ModelError::Input(format!("{} needs at least one class", card.title)));
    }
    let mut architecture = card.without_auxiliary(classes);
    let traced = traced(card, &mut architecture, height, width)?;
    Ok((architecture, traced))
}

/// [`trace`] with its failure as an error of the model; the architecture takes the position embeddings of the resolution.
pub(crate) fn traced(
    card: &ModelCard,
    architecture: &mut Architecture,
    height: usize,
    width: usize,
) -> Result<Vec<Traced>, ModelError> {
    if let Some(patch) = architecture.patch() {
        check_patches(card.title, patch, height, width)?;
    }
    let traced = trace(architecture, height, width).map_err(|failure| ModelError::TooSmall {
        title: card.title,
        height,
        width,
        stage: failure.stage,
        layer: failure.layer,
        map: failure.input,
        smallest: smallest_side(architecture),
    })?;
    traced.iter().for_each(|stage| architecture.place(&stage.grids));
    Ok(traced)
}

pub(crate) fn summarise(architecture: &Architecture, traced: &[Traced]) -> Vec<StageSummary> {
    let stages = architecture.stages.iter().zip(traced).enumerate();
    stages
        .map(|(index, (stage, traced))| StageSummary {
            name: stage.name.to_owned(),
            parameters: architecture
                .parameters
                .iter()
                .filter(|parameter| parameter.stage == index)
                .map(|parameter| parameter.shape.iter().product::<usize>())
                .sum(),
            live_parameters: live_parameters(architecture, index, traced),
            multiply_adds: traced.multiply_adds,
            live_multiply_adds: traced.live_multiply_adds,
            activations: traced.activations,
            output: (traced.output.height, traced.output.width, traced.output.channels),
        })
        .collect()
}

/// How many numbers a stage stores at its resolution, where all that is shrunk and folded that can be.
fn live_parameters(architecture: &Architecture, stage: usize, traced: &Traced) -> usize {
    let stored = |(index, parameter): (usize, &ParameterSpec)| {
        let mut layout = parameter.layout;
        for (_, taps) in traced.live_taps.iter().filter(|(id, _)| id.0 == index) {
            if let Layout::Matrix { live, .. } = &mut layout {
                *live = *taps;
            }
        }
        for fold in traced.folds.iter().filter(|fold| fold.weight.0 == index) {
            layout = fold.layout(layout);
        }
        layout.native_shape(&parameter.shape).iter().product::<usize>()
    };
    let own = architecture.parameters.iter().enumerate().filter(|(_, parameter)| parameter.stage == stage);
    own.map(stored).sum()
}
