//! What a model's head is given for images: [`embed`]. Batches are those of an evaluation.

use frostline_data::Images;
use frostline_kernels::Hwnc;
use frostline_models::Model;

use crate::EngineError;
use crate::evaluate::loader;

/// The features of some images.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding {
    /// Numbers an image.
    pub width: usize,
    /// One row an image, `[N, width]` row-major, in the order of the indices asked for.
    pub values: Vec<f32>,
}

/// What the last linear layer of `model` is given for the images of `indices`, normalised with `mean` and `std` (of pixel values in
/// [0, 1]), as in [`evaluate`](crate::evaluate()).
///
/// # Errors
/// Where a tensor operation fails, `indices` is empty, or the model ends with another layer.
pub fn embed(
    model: &Model,
    images: &Images,
    indices: &[u32],
    mean: [f32; 3],
    std: [f32; 3],
) -> Result<Embedding, EngineError> {
    // On a thread of the pool, as training is.
    rayon::scope(|_| {
        let (mut width, mut values) = (0, Vec::new());
        for batch in loader(images, indices, mean, std)?.epoch(0) {
            let dims = (batch.height, batch.width, batch.labels.len(), 3);
            let input = Hwnc::from_vec(batch.pixels, dims, model.device())?;
            let features = model.features(0, input)?;
            width = features.dim(1)?;
            values.append(&mut features.flatten_all()?.to_vec1::<f32>()?);
        }
        Ok(Embedding { width, values })
    })
}
