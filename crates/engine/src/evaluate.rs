//! Evaluation: [`evaluate`] runs a model over a split without a tape and gives loss, accuracy and each prediction;
//! [`classify`] does it over images without labels.

use frostline_data::{Batch, Images, Loader, LoaderOptions};
use frostline_kernels::Hwnc;
use frostline_models::{Model, Pass};
use frostline_recipe::Counting;
use frostline_streams::Streams;

use crate::objective::Grading;
use crate::{EngineError, Objective};

/// What the model says of one image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prediction {
    /// The image's index in its split.
    pub example: u32,
    /// The class it belongs to.
    pub label: u32,
    /// The class with the highest logit, the lowest of equals.
    pub predicted: u32,
    /// The probability that the model gives to `predicted`.
    pub probability: f32,
}

/// Classes and their probabilities, the likeliest first.
pub type Ranking = Vec<(u32, f32)>;

/// The result of a pass over a split.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// Mean cross-entropy over the images, without label smoothing.
    pub loss: f64,
    /// Share of images whose prediction is their label, in [0, 1].
    pub accuracy: f64,
    /// One entry an image, in the order of the indices asked for.
    pub predictions: Vec<Prediction>,
}

/// Evaluates `model` on the images of `indices`, normalised with `mean` and `std` (of pixel values in [0, 1]).
///
/// # Errors
/// [`EngineError::OutputsNotFinite`] where the model gives anything but numbers; where a tensor operation fails, or `indices` is
/// empty.
pub fn evaluate(
    model: &Model,
    images: &Images,
    indices: &[u32],
    mean: [f32; 3],
    std: [f32; 3],
) -> Result<Evaluation, EngineError> {
    let mut answers = Answers::default();
    for batch in loader(images, indices, mean, std)?.epoch(0) {
        let examples = batch.examples.clone();
        answers.add(logits(model, batch)?, images.labels(), &examples);
    }
    answers.evaluation()
}

/// What a model has said of images so far.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    predictions: Vec<Prediction>,
    loss: f64,
    /// Images for which it gave anything but finite numbers.
    broken: usize,
}

impl Answers {
    /// Adds the logits of a batch; `labels` are those of all images.
    pub(crate) fn add(&mut self, logits: Vec<Vec<f32>>, labels: &[u32], examples: &[u32]) {
        for (logits, &example) in logits.iter().zip(examples) {
            let label = labels[example as usize];
            self.broken += usize::from(!finite(logits));
            let (predicted, log_probability) = most_likely(logits);
            self.loss += log_loss(logits, label);
            let probability = log_probability.exp() as f32;
            self.predictions.push(Prediction { example, label, predicted, probability });
        }
    }

    /// What they come to.
    ///
    /// # Errors
    /// [`EngineError::OutputsNotFinite`].
    pub(crate) fn evaluation(self) -> Result<Evaluation, EngineError> {
        let Self { predictions, loss, broken } = self;
        if broken > 0 {
            return Err(EngineError::OutputsNotFinite { images: broken, of: predictions.len() });
        }
        let count = predictions.len() as f64;
        let accuracy = share_right(&answers(&predictions), Counting::Images);
        Ok(Evaluation { loss: loss / count, accuracy, predictions })
    }
}

/// What `model` says of each image, normalised with `mean` and `std` (of pixel values in [0, 1]): the `most` likely classes
/// with their probabilities, the likeliest first and the lowest of equals; none where the model gives anything but finite
/// numbers. Images come in batches as in [`evaluate`].
///
/// # Errors
/// Where a tensor operation fails, or there are no images.
pub fn classify(
    model: &Model,
    images: &Images,
    mean: [f32; 3],
    std: [f32; 3],
    most: usize,
) -> Result<Vec<Option<Ranking>>, EngineError> {
    let all: Vec<u32> = (0..images.len() as u32).collect();
    // On a thread of the pool, as training is.
    rayon::scope(|_| {
        let mut ranked = Vec::with_capacity(all.len());
        for batch in loader(images, &all, mean, std)?.epoch(0) {
            let logits = logits(model, batch)?;
            ranked.extend(logits.iter().map(|logits| finite(logits).then(|| likeliest(logits, most))));
        }
        Ok(ranked)
    })
}

/// The logits of each image of a batch.
fn logits(model: &Model, batch: Batch) -> Result<Vec<Vec<f32>>, EngineError> {
    let dims = (batch.height, batch.width, batch.labels.len(), 3);
    let input = Hwnc::from_vec(batch.pixels, dims, model.device())?;
    Ok(model.forward(&input, &Pass::Evaluate)?.to_vec2()?)
}

/// How well `model` does what `objective` asks, on the images of `indices`, without label smoothing. Noise is that of
/// epoch 0, so that it is the same at every call.
pub(crate) fn review(
    model: &Model,
    images: &Images,
    indices: &[u32],
    (mean, std): ([f32; 3], [f32; 3]),
    objective: Objective,
    streams: &Streams,
) -> Result<Sums, EngineError> {
    let mut sums = Sums::default();
    for batch in loader(images, indices, mean, std)?.epoch(0) {
        let (input, lesson) = objective.lesson(batch, streams, 0, model.device())?;
        let answer = model.forward_range(0..model.stages().len(), input, &Pass::Evaluate)?;
        let answer = lesson.answered(answer, &Grading::default())?;
        let examples = lesson.examples.len();
        let loss = f64::from(answer.loss.to_scalar::<f32>()?) * examples as f64;
        if !loss.is_finite() {
            return Err(EngineError::OutputsNotFinite { images: examples, of: examples });
        }
        sums.add(&Sums { loss, right: answer.right, examples });
    }
    Ok(sums)
}

fn finite(logits: &[f32]) -> bool {
    logits.iter().all(|logit| logit.is_finite())
}

/// What was said of each image, and its class.
fn answers(predictions: &[Prediction]) -> Vec<(u32, u32)> {
    predictions.iter().map(|prediction| (prediction.predicted, prediction.label)).collect()
}

/// The share of answers, each with what is so, that are right, in [0, 1]: of images, or the mean over the classes that have some.
pub(crate) fn share_right(answers: &[(u32, u32)], counting: Counting) -> f64 {
    let classes = match counting {
        Counting::Images => 1,
        Counting::Classes => answers.iter().map(|(_, class)| *class as usize + 1).max().unwrap_or(1),
    };
    let mut tallies = vec![(0usize, 0usize); classes];
    for (said, class) in answers {
        let (right, images) = &mut tallies[*class as usize % classes];
        *right += usize::from(said == class);
        *images += 1;
    }
    tallies.retain(|(_, images)| *images > 0);
    let shares = tallies.iter().map(|(right, images)| *right as f64 / *images as f64);
    shares.sum::<f64>() / tallies.len() as f64
}

/// What a run comes to on its validation split.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Validated {
    /// The mean over the images.
    pub(crate) loss: f64,
    /// None where nothing is right or wrong.
    pub(crate) accuracy: Option<f64>,
}

impl Validated {
    pub(crate) fn of(evaluation: &Evaluation, counting: Counting) -> Self {
        let accuracy = share_right(&answers(&evaluation.predictions), counting);
        Self { loss: evaluation.loss, accuracy: Some(accuracy) }
    }
}

impl From<Sums> for Validated {
    fn from(sums: Sums) -> Self {
        Self { loss: sums.mean_loss(), accuracy: sums.accuracy() }
    }
}

/// Sums over examples.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sums {
    pub(crate) loss: f64,
    /// None where nothing is right or wrong.
    pub(crate) right: Option<usize>,
    pub(crate) examples: usize,
}

impl Sums {
    pub(crate) fn add(&mut self, other: &Self) {
        self.loss += other.loss;
        self.right = match (self.right, other.right) {
            (None, None) => None,
            (a, b) => Some(a.unwrap_or(0) + b.unwrap_or(0)),
        };
        self.examples += other.examples;
    }

    pub(crate) fn mean_loss(&self) -> f64 {
        self.loss / self.examples as f64
    }

    pub(crate) fn accuracy(&self) -> Option<f64> {
        self.right.map(|right| right as f64 / self.examples as f64)
    }
}

pub(crate) fn loader(
    images: &Images,
    indices: &[u32],
    mean: [f32; 3],
    std: [f32; 3],
) -> Result<Loader, EngineError> {
    let batch = batch_size(images.height(), images.width());
    Ok(Loader::new(images, indices.to_vec(), LoaderOptions::plain(batch, mean, std))?)
}

/// Images a forward pass: as many as keep the activations of one in proportion, whatever the training batch is, so
/// that the numbers do not hang on it.
pub(crate) fn batch_size(height: usize, width: usize) -> usize {
    ((1 << 20) / (height * width).max(1)).clamp(16, 256)
}

/// The class with the highest logit (the lowest of equals) and its log-probability.
pub(crate) fn most_likely(logits: &[f32]) -> (u32, f64) {
    let best =
        (0..logits.len()).fold(0, |best, class| if logits[class] > logits[best] { class } else { best });
    (best as u32, log_softmax(logits, best))
}

/// The `most` classes with the highest logits and their probabilities, in the order of [`most_likely`].
fn likeliest(logits: &[f32], most: usize) -> Ranking {
    let mut classes: Vec<usize> = (0..logits.len()).collect();
    classes.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
    classes.truncate(most);
    classes.into_iter().map(|class| (class as u32, log_softmax(logits, class).exp() as f32)).collect()
}

/// The cross-entropy of an image's logits.
pub(crate) fn log_loss(logits: &[f32], label: u32) -> f64 {
    -log_softmax(logits, label as usize)
}

fn log_softmax(logits: &[f32], class: usize) -> f64 {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&logit| f64::from(logit - highest).exp()).sum();
    f64::from(logits[class] - highest) - sum.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_likely_class_is_the_first_highest() {
        let (class, log_probability) = most_likely(&[0.0, 2.0, 2.0]);
        assert_eq!(class, 1);
        let expected = 2.0 - (1.0 + 2.0 * 2.0f64.exp()).ln();
        assert!((log_probability - expected).abs() < 1e-6);
    }

    #[test]
    fn classes_are_ranked_and_equals_keep_their_order() {
        let logits = [0.5f32, 2.0, -1.0, 2.0];
        let ranked = likeliest(&logits, 3);
        assert_eq!(ranked.iter().map(|(class, _)| *class).collect::<Vec<_>>(), [1, 3, 0]);
        assert_eq!(ranked[0].0, most_likely(&logits).0);
        assert_eq!(ranked[0].1, most_likely(&logits).1.exp() as f32);
        let all: f32 = likeliest(&logits, 9).iter().map(|(_, probability)| probability).sum();
        assert!((all - 1.0).abs() < 1e-6);
    }

    #[test]
    fn a_class_counts_as_much_as_any_other_where_classes_do() {
        // Nine images of class 0, all right; two of class 2, one right; none of class 1.
        let mut answers = vec![(0, 0); 9];
        answers.extend([(2, 2), (0, 2)]);
        assert_eq!(share_right(&answers, Counting::Images), 10.0 / 11.0);
        assert_eq!(share_right(&answers, Counting::Classes), 0.75);
    }

    #[test]
    fn large_logits_do_not_overflow() {
        assert!((log_softmax(&[1000.0, 0.0], 1) + 1000.0).abs() < 1e-6);
    }

    #[test]
    fn evaluation_batches_are_bounded() {
        assert_eq!((batch_size(32, 32), batch_size(64, 64), batch_size(224, 224)), (256, 256, 20));
        assert_eq!(batch_size(2000, 2000), 16);
    }
}
