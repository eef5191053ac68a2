//! Where in an image a model finds what it says: [`Model::explain`]. Convolutional networks, and transformers without a class token, are asked
//! by [Grad-CAM](grad_cam), transformers with one by [attention rollout](rollout). Both are pictures of what a model uses, no proof of it.

mod grad_cam;
mod rollout;

use candle_core::Tensor;
use frostline_kernels::Hwnc;
use frostline_zoo::description::Layer;

use crate::error::ModelError;
use crate::model::Model;

/// How a place in an image was weighed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Selvaraju et al. 2017, arXiv:1610.02391; 0 where nothing speaks for the class.
    GradCam,
    /// Abnar and Zuidema 2020, arXiv:2005.00928; the same for every class.
    Rollout,
}

/// What [`Model::explain`] found for some images.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// How.
    pub method: Method,
    /// The stage whose map was looked at; of a rollout, the last.
    pub stage: String,
    /// Rows of the map, or of patches.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Which class it is about, that with the highest logit, `[N]`.
    pub classes: Vec<u32>,
    /// The weight of each place, not negative, `[N, height, width]`.
    pub weights: Vec<f32>,
}

impl Model {
    /// Where the images `[H, W, N, 3]` have what the model's likeliest class was found by, in f32 and by running statistics.
    ///
    /// # Errors
    /// [`ModelError::Input`] where images have another size than the model was built for, no map of the model is large enough to show
    /// places, or a classifier answers that has no gradient; [`ModelError::Stage`] where a stage fails.
    pub fn explain(&self, images: &Hwnc) -> Result<Explanation, ModelError> {
        if self.has_classifier() {
            let problem = "a vote of training images has no gradient to explain it by".to_owned();
            return Err(ModelError::Input(problem));
        }
        let stages = &self.architecture().stages;
        let mut layers = stages.iter().flat_map(|stage| &stage.layers);
        match layers.any(|layer| matches!(layer, Layer::TransformerBlock(_))) {
            true => self.rollout(images),
            false => self.grad_cam(images),
        }
    }
}

/// The class with the highest logit of each row, the lowest of equals.
fn likeliest(logits: &Tensor) -> candle_core::Result<Vec<u32>> {
    let best = |row: &Vec<f32>| {
        (0..row.len()).fold(0, |best, class| if row[class] > row[best] { class } else { best }) as u32
    };
    Ok(logits.to_vec2::<f32>()?.iter().map(best).collect())
}
