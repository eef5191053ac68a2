//! Where a model finds what it says of images: [`explain`] has it look at a few at a time.

use frostline_data::{Images, Loader, LoaderOptions};
use frostline_kernels::Hwnc;
use frostline_models::{Explanation, Model};

use crate::EngineError;

/// Images a pass: what is kept of each is as large as its tokens' squares, or its gradients.
const BATCH: usize = 4;

/// What [`Model::explain`] finds for all `images`, normalised with `mean` and `std` (of pixel values in [0, 1]), some of them in each
/// explanation, in order.
///
/// # Errors
/// As [`Model::explain`], and where there are no images.
pub fn explain(
    model: &Model,
    images: &Images,
    mean: [f32; 3],
    std: [f32; 3],
) -> Result<Vec<Explanation>, EngineError> {
    let all = (0..images.len() as u32).collect();
    // On a thread of the pool, as training is.
    rayon::scope(|_| {
        let mut found = Vec::new();
        for batch in Loader::new(images, all, LoaderOptions::plain(BATCH, mean, std))?.epoch(0) {
            let dims = (batch.height, batch.width, batch.labels.len(), 3);
            found.push(model.explain(&Hwnc::from_vec(batch.pixels, dims, model.device())?)?);
        }
        Ok(found)
    })
}
