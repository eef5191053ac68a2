//! Pictures of what an autoencoder gives back: [`reconstruct`]. They are for looking at; its loss is what is measured.

use frostline_data::{Images, Loader, LoaderOptions};
use frostline_kernels::Hwnc;
use frostline_models::{Model, Pass};
use frostline_streams::Streams;

use crate::{EngineError, Objective};

/// An image before and after an autoencoder, `[height, width, 3]` in 0..=255 each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reconstruction {
    /// The image.
    pub original: Vec<u8>,
    /// What was encoded: the image with noise, where there is any.
    pub encoded: Vec<u8>,
    /// What was decoded.
    pub decoded: Vec<u8>,
}

/// Encodes and decodes the images of `indices` as in evaluation, with the noise of [`Objective::Reconstruction`].
///
/// # Errors
/// Where `model` is no autoencoder, or there are no indices.
pub fn reconstruct(
    model: &Model,
    images: &Images,
    indices: &[u32],
    (mean, std): ([f32; 3], [f32; 3]),
    noise: f32,
    seed: u64,
) -> Result<Vec<Reconstruction>, EngineError> {
    let loader = Loader::new(images, indices.to_vec(), LoaderOptions::plain(indices.len(), mean, std))?;
    let Some(batch) = loader.epoch(0).next() else { return Ok(Vec::new()) };
    let objective = Objective::Reconstruction { noise };
    let (input, _) = objective.lesson(batch, &Streams::new(seed), 0, model.device())?;
    let encoded = bytes(&input, mean, std)?;
    let output = model.forward_range(0..model.stages().len(), input, &Pass::Evaluate)?.into_map()?;
    let decoded = bytes(&output, mean, std)?;
    let original = indices.iter().map(|&index| images.image(index as usize).to_vec());
    let both = encoded.into_iter().zip(decoded);
    Ok(original
        .zip(both)
        .map(|(original, (encoded, decoded))| Reconstruction { original, encoded, decoded })
        .collect())
}

/// Each image of a normalised batch as bytes.
fn bytes(map: &Hwnc, mean: [f32; 3], std: [f32; 3]) -> Result<Vec<Vec<u8>>, EngineError> {
    let (height, width, n, _) = map.dims();
    let values = map.tensor().flatten_all()?.to_vec1::<f32>()?;
    let byte = |value: f32, channel: usize| {
        (255.0 * (value * std[channel] + mean[channel])).round().clamp(0.0, 255.0) as u8
    };
    let image = |image: usize| {
        let pixels = (0..height * width).flat_map(|pixel| (0..3).map(move |channel| (pixel, channel)));
        pixels.map(|(pixel, channel)| byte(values[(pixel * n + image) * 3 + channel], channel)).collect()
    };
    Ok((0..n).map(image).collect())
}
