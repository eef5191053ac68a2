//! Classifiers on the features of images that need no training loop: [`ridge`] regression in closed form, [`logistic`] regression to
//! convergence, and a vote of [`Neighbours`]. Pure functions of [`Features`]: no file, no draw, the same numbers for any number of threads.
//!
//! The strength of a penalty is chosen on validation features by a [`Judge`], the stronger of equals. Features are scaled by one number, their
//! root mean square about the mean, so that a strength means the same for every trunk.

mod cholesky;
mod lbfgs;
mod logistic;
mod neighbours;
mod product;
mod ridge;
mod scale;
#[cfg(test)]
mod tests;

pub use logistic::logistic;
pub use neighbours::Neighbours;
pub use ridge::ridge;

/// Features of images and the classes that they belong to.
#[derive(Clone, Copy, Debug)]
pub struct Features<'a> {
    values: &'a [f32],
    width: usize,
    labels: &'a [u32],
}

/// A linear classifier: logits are features times weights plus biases.
#[derive(Clone, Debug, PartialEq)]
pub struct Linear {
    /// `[features, classes]`.
    pub weight: Vec<f32>,
    /// `[classes]`.
    pub bias: Vec<f32>,
    /// The strength of the penalty that was chosen.
    pub strength: f64,
    /// Every strength that was tried, the strongest first, with what the judge made of its answers for the validation features.
    pub tried: Vec<(f64, f64)>,
}

/// Why there is no classifier.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    /// Features that are no table of numbers.
    #[error("{0}")]
    Unfit(String),
    /// A feature that is infinite or not a number.
    #[error(
        "the features of image {0} are not all finite numbers; other weights, or single precision, may help"
    )]
    NotFinite(usize),
}

impl<'a> Features<'a> {
    /// `values` are `[images, width]`, with a label below `classes` for each image.
    ///
    /// # Errors
    /// Where there is no image, or the sizes do not go together, a label is no class, or a value is not finite.
    pub fn new(
        values: &'a [f32],
        width: usize,
        labels: &'a [u32],
        classes: usize,
    ) -> Result<Self, ProbeError> {
        let unfit = |problem: String| Err(ProbeError::Unfit(problem));
        if width == 0 || labels.is_empty() || values.len() != width * labels.len() {
            return unfit(format!(
                "{} numbers are no {} features of {} images",
                values.len(),
                width,
                labels.len()
            ));
        }
        if let Some(label) = labels.iter().find(|label| **label as usize >= classes) {
            return unfit(format!("label {label} is not one of {classes} classes"));
        }
        match values.iter().position(|value| !value.is_finite()) {
            Some(place) => Err(ProbeError::NotFinite(place / width)),
            None => Ok(Self { values, width, labels }),
        }
    }

    /// How many images there are.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is none, which [`Features::new`] refuses.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }
}

impl Linear {
    /// The logits `[images, classes]` of rows `[images, features]`.
    pub fn logits(&self, values: &[f32], width: usize) -> Vec<f32> {
        let double = |values: &[f32]| -> Vec<f64> { values.iter().copied().map(f64::from).collect() };
        let logits =
            scale::Scale::none(width).apply(values).scores(&double(&self.weight), &double(&self.bias));
        logits.into_iter().map(|logit| logit as f32).collect()
    }
}

/// How good answers are: the class that is said of each image, and the one that it has. More is better.
pub type Judge<'a> = dyn Fn(&[(u32, u32)]) -> f64 + 'a;

/// For each image the class of its highest score, the first of equals, and its own.
fn answers(scores: &[f64], labels: &[u32]) -> Vec<(u32, u32)> {
    let classes = scores.len() / labels.len().max(1);
    let rows = scores.chunks_exact(classes.max(1)).zip(labels);
    rows.map(|(row, label)| {
        let best = (0..row.len()).fold(0, |best, class| if row[class] > row[best] { class } else { best });
        (best as u32, *label)
    })
    .collect()
}
