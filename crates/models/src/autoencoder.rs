//! A model as an autoencoder: [`build_autoencoder`].

use candle_core::Device;
use frostline_zoo::{card, with_decoder};

use crate::build::assemble_shrunk;
use crate::error::ModelError;
use crate::model::{BuildSpec, Model, Start};

/// Builds the model `name` on the CPU with a decoder as its last stage. Its forward pass gives images `[H, W, N, 3]`, to be
/// held against the normalised images that went in; the trunk starts as [`crate::build`] starts it. `classes` plays no part.
///
/// # Errors
/// As [`crate::build`].
pub fn build_autoencoder(name: &str, spec: &BuildSpec) -> Result<Model, ModelError> {
    build_autoencoder_on(name, spec, &Device::Cpu)
}

/// [`build_autoencoder`] on another device.
///
/// # Errors
/// As [`crate::build_on`].
pub fn build_autoencoder_on(name: &str, spec: &BuildSpec, device: &Device) -> Result<Model, ModelError> {
    let card = card(name)?;
    let (architecture, traced) = with_decoder(card, spec.height, spec.width)?;
    assemble_shrunk(card, architecture, traced, spec, (device, Start::Drawn))
}
