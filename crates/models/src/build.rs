//! From a name to a [`Model`]: [`build`] and its like.

use candle_core::Device;
use frostline_zoo::description::{Architecture, ModelCard};
use frostline_zoo::{Traced, card, lay_out, traced};

use crate::error::ModelError;
use crate::model::{BuildSpec, Model, Start, assemble};

/// Builds the model `name` on the CPU, with the initial values that `torchvision.models` gives it. Taps of convolutions
/// that reach no pixel at this resolution are left out of the computation, which changes no output and no gradient;
/// [`Parameter::torch_values`](crate::Parameter::torch_values) has them. Auxiliary heads are left out, as from torchvision's pretrained models.
///
/// # Errors
/// [`ModelError::Zoo`]: no such model; a resolution that is too small, with the smallest that works, or that has no whole
/// patches, with the nearest that have; no classes.
pub fn build(name: &str, spec: &BuildSpec) -> Result<Model, ModelError> {
    build_on(name, spec, &Device::Cpu)
}

/// [`build`] on another device.
///
/// # Errors
/// As [`build`], and where the device fails.
pub fn build_on(name: &str, spec: &BuildSpec, device: &Device) -> Result<Model, ModelError> {
    let card = card(name)?;
    let (architecture, traced) = lay_out(card, spec.classes, spec.height, spec.width)?;
    assemble_shrunk(card, architecture, traced, spec, (device, Start::Drawn))
}

/// [`build_on`] with zeros, for weights that are loaded: what [`Model::load`] does not find it draws as [`build_on`] does, and the rest
/// would be drawn for nothing.
///
/// # Errors
/// As [`build_on`].
pub fn build_blank_on(name: &str, spec: &BuildSpec, device: &Device) -> Result<Model, ModelError> {
    let card = card(name)?;
    let (architecture, traced) = lay_out(card, spec.classes, spec.height, spec.width)?;
    assemble_shrunk(card, architecture, traced, spec, (device, Start::Blank))
}

/// Gives an architecture its numbers, without the taps that reach no pixel.
pub(crate) fn assemble_shrunk(
    card: &'static ModelCard,
    mut architecture: Architecture,
    traced: Vec<Traced>,
    spec: &BuildSpec,
    numbers: (&Device, Start),
) -> Result<Model, ModelError> {
    for stage in &traced {
        architecture.shrink(&stage.live_taps);
    }
    assemble(card, architecture, traced, spec, numbers)
}

/// [`build`] with the auxiliary heads that the model has, for training from scratch: torchvision's `aux_logits=True`. They
/// are left out where one of them has no output at this resolution, as Inception v3's has none below 299 pixels.
///
/// # Errors
/// As [`build`].
pub fn build_with_auxiliary(name: &str, spec: &BuildSpec) -> Result<Model, ModelError> {
    build_with_auxiliary_on(name, spec, &Device::Cpu)
}

/// [`build_with_auxiliary`] on another device.
///
/// # Errors
/// As [`build_on`].
pub fn build_with_auxiliary_on(name: &str, spec: &BuildSpec, device: &Device) -> Result<Model, ModelError> {
    let card = card(name)?;
    let mut architecture = (card.architecture)(spec.classes);
    match traced(card, &mut architecture, spec.height, spec.width) {
        Ok(traced) if spec.classes > 0 => {
            assemble_shrunk(card, architecture, traced, spec, (device, Start::Drawn))
        }
        _ => build_on(name, spec, device),
    }
}

/// [`build`] with every tap of every convolution, also those that reach no pixel at this resolution: what the shrunk
/// network is held against.
///
/// # Errors
/// As [`build`].
pub fn build_unshrunk(name: &str, spec: &BuildSpec) -> Result<Model, ModelError> {
    let card = card(name)?;
    let (architecture, traced) = lay_out(card, spec.classes, spec.height, spec.width)?;
    assemble(card, architecture, traced, spec, (&Device::Cpu, Start::Drawn))
}
