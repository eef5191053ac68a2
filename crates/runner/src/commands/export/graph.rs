//! The ONNX file of a stored trial: [`onnx`] has the graph written, with all that using it needs in its metadata.

use std::path::Path;

use candle_core::DType;
use frostline_models::{Normalisation, card, read_safetensors};
use frostline_onnx::{INPUT, OUTPUT, Subject};
use frostline_results::Sidecar;
use serde_json::json;

use crate::error::Error;

/// The bytes of an ONNX file with the weights of a trial.
///
/// # Errors
/// A model that this version does not have; weights that are broken or of another model; a graph that is too large.
pub(super) fn onnx(sidecar: &Sidecar, weights: &Path) -> Result<Vec<u8>, Error> {
    let unknown = |error: frostline_models::UnknownModel| Error::Model(error.into());
    let tensors = read_safetensors(weights)?;
    let numbers = |name: &str| {
        let tensor = tensors.get(name).filter(|tensor| tensor.dtype() == DType::F32)?;
        tensor.flatten_all().and_then(|flat| flat.to_vec1()).ok()
    };
    let side = sidecar.resolution;
    let subject = Subject {
        card: card(&sidecar.architecture).map_err(unknown)?,
        classes: sidecar.classes.len(),
        resolution: (side, side),
        normalisation: Normalisation { mean: sidecar.weights.mean, std: sidecar.weights.std },
        notes: &notes(sidecar),
        version: &sidecar.frostline,
    };
    Ok(frostline_onnx::model(&subject, &numbers)?)
}

/// What the file's metadata says.
fn notes(sidecar: &Sidecar) -> Vec<(String, String)> {
    let (side, preparation) = (sidecar.resolution, &sidecar.preparation);
    let mut notes = vec![
        ("version", sidecar.frostline.clone()),
        ("trial", sidecar.trial.id.clone()),
        ("model", sidecar.architecture.clone()),
        ("classes", json!(sidecar.classes).to_string()),
        ("input", format!("{INPUT} [N, 3, {side}, {side}]: RGB in [0, 1]; the graph normalises it")),
        ("output", format!("{OUTPUT} [N, {}], in the order of classes", sidecar.classes.len())),
        ("resolution", json!([side, side]).to_string()),
        ("mean", channels(sidecar.weights.mean)),
        ("std", channels(sidecar.weights.std)),
        ("orientation", preparation.orientation.clone()),
        ("channels", preparation.channels.clone()),
        ("resize", preparation.resize.clone()),
        ("weights-sha256", sidecar.weights.sha256.clone()),
    ];
    if let Some(accuracy) = sidecar.results.test_accuracy {
        notes.push(("test-accuracy", accuracy.to_string()));
    }
    notes.into_iter().map(|(key, value)| (format!("frostline.{key}"), value)).collect()
}

/// Numbers of channels as JSON, in the shortest form that is the same in f32.
fn channels(values: [f32; 3]) -> String {
    format!("[{}]", values.map(|value| value.to_string()).join(","))
}
