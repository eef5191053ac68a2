//! What a model learns of its images: an [`Objective`] makes a [`Lesson`] of a batch and a loss of the model's answer.
//! Labels are what trials learn; the others need none, and are for pretraining.

use candle_core::{Device, Tensor};
use frostline_data::{Batch, Images};
use frostline_kernels::{
    Hwnc, cross_entropy, mean_squared_error, mixed_cross_entropy, weighted_cross_entropy,
};
use frostline_models::{Activation, AuxiliaryLogits};
use frostline_streams::{Purpose, Streams};

use crate::evaluate::most_likely;
use crate::{ClassWeights, EngineError, Recipe};

/// What a model learns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Objective {
    /// The label of an image, by cross-entropy.
    Labels,
    /// By how many quarter turns an image was rotated (Gidaris, Singh and Komodakis 2018). A step learns all four turns of
    /// each image of its batch, so it has four times as many images; the model has four classes.
    Rotations,
    /// The image itself, by the mean squared error of its normalised values. The model is an autoencoder.
    Reconstruction {
        /// The standard deviation of the Gaussian noise that is added to the normalised image before it is encoded; 0 for
        /// none. Above 0 this is a denoising autoencoder (Vincent et al. 2008).
        noise: f32,
    },
}

/// The turns of [`Objective::Rotations`].
pub const ROTATIONS: usize = 4;

/// What a model should answer to a batch.
pub(crate) struct Lesson {
    /// The number of each image, the key of its dropout masks.
    pub(crate) examples: Vec<u32>,
    target: Target,
}

enum Target {
    Classes(Vec<u32>),
    /// Images that are mixed: the label of each, that of the other that it has in it, and its own share.
    Mixed(Vec<u32>, Vec<u32>, f64),
    Image(Tensor),
}

/// How answers are held to labels.
#[derive(Clone, Debug, Default)]
pub(crate) struct Grading {
    /// The share of the target that is spread over all classes.
    pub(crate) smoothing: f64,
    /// How much each class counts; all alike where none.
    pub(crate) weights: Option<Vec<f64>>,
}

impl Grading {
    /// What a recipe says of it, for the labels of training images in so many classes: `n / (K · n_class)` for `n` images in the `K`
    /// classes that have any.
    pub(crate) fn of(recipe: &Recipe, labels: impl Iterator<Item = u32>, classes: usize) -> Self {
        let mut counts = vec![0usize; classes];
        labels.for_each(|label| counts[label as usize] += 1);
        let (all, used) = (counts.iter().sum::<usize>(), counts.iter().filter(|count| **count > 0).count());
        let weight = |count: &usize| if *count == 0 { 0.0 } else { all as f64 / (used * count) as f64 };
        let weights =
            (recipe.class_weights == ClassWeights::Balanced).then(|| counts.iter().map(weight).collect());
        Self { smoothing: recipe.label_smoothing, weights }
    }

    fn loss(&self, logits: &Tensor, labels: &[u32]) -> candle_core::Result<Tensor> {
        match &self.weights {
            Some(weights) => weighted_cross_entropy(logits, labels, weights, self.smoothing),
            None => cross_entropy(logits, labels, self.smoothing),
        }
    }

    /// How much so many labels count together.
    fn mass(&self, labels: &[u32]) -> f64 {
        match &self.weights {
            Some(weights) => labels.iter().map(|label| weights[*label as usize]).sum(),
            None => labels.len() as f64,
        }
    }
}

/// How far a model's answer is from the target.
pub(crate) struct Answer {
    /// A scalar, on the tape where there is one.
    pub(crate) loss: Tensor,
    /// How many images were classified rightly; none where there are no classes.
    pub(crate) right: Option<usize>,
}

impl Objective {
    /// Makes of a batch what a model is given, and the lesson. Noise is drawn by (epoch, example).
    pub(crate) fn lesson(
        self,
        batch: Batch,
        streams: &Streams,
        epoch: u64,
        device: &Device,
    ) -> Result<(Hwnc, Lesson), EngineError> {
        let dims = (batch.height, batch.width, batch.labels.len(), 3);
        match self {
            Self::Labels => {
                let others = batch.own_share.map(|share| (batch.other_labels(), share));
                let target = match others {
                    Some((others, share)) => Target::Mixed(batch.labels, others, share),
                    None => Target::Classes(batch.labels),
                };
                let input = Hwnc::from_vec(batch.pixels, dims, device)?;
                Ok((input, Lesson { examples: batch.examples, target }))
            }
            Self::Rotations => rotations(&batch, device),
            Self::Reconstruction { noise } => {
                let clean = Hwnc::from_vec(batch.pixels.clone(), dims, device)?;
                let input = if noise > 0.0 {
                    let mut pixels = batch.pixels;
                    add_noise(&mut pixels, &batch.examples, noise, streams, epoch);
                    Hwnc::from_vec(pixels, dims, device)?
                } else {
                    clean.clone()
                };
                Ok((input, Lesson { examples: batch.examples, target: Target::Image(clean.into_tensor()) }))
            }
        }
    }
}

impl Lesson {
    /// To answer with the labels of these images.
    pub(crate) fn of_labels(images: &Images, examples: &[u32]) -> Self {
        let labels = examples.iter().map(|&example| images.labels()[images.place(example)]).collect();
        Self { examples: examples.to_vec(), target: Target::Classes(labels) }
    }

    /// How much its images count together in a loss over several batches.
    pub(crate) fn mass(&self, grading: &Grading) -> f64 {
        match &self.target {
            Target::Classes(labels) => grading.mass(labels),
            Target::Mixed(..) | Target::Image(_) => self.examples.len() as f64,
        }
    }

    /// The loss of the model's answer.
    pub(crate) fn answered(&self, answer: Activation, grading: &Grading) -> Result<Answer, EngineError> {
        match &self.target {
            Target::Classes(labels) => {
                let logits = answer.into_tensor()?;
                let loss = grading.loss(&logits, labels)?;
                Ok(Answer { loss, right: Some(right(&logits, labels)?) })
            }
            Target::Mixed(labels, others, share) => {
                let logits = answer.into_tensor()?;
                let loss = mixed_cross_entropy(&logits, (labels, others), *share, grading.smoothing)?;
                // What there is more of.
                let labels = if *share >= 0.5 { labels } else { others };
                Ok(Answer { loss, right: Some(right(&logits, labels)?) })
            }
            Target::Image(image) => {
                let loss = mean_squared_error(answer.into_map()?.tensor(), image)?;
                Ok(Answer { loss, right: None })
            }
        }
    }

    /// The losses of auxiliary heads with their weights; they learn classes alone.
    pub(crate) fn auxiliary(
        &self,
        heads: &[AuxiliaryLogits],
        grading: &Grading,
    ) -> Result<Vec<(f64, Tensor)>, EngineError> {
        let loss = |head: &AuxiliaryLogits| {
            let logits = &head.logits;
            let loss = match &self.target {
                Target::Classes(labels) => grading.loss(logits, labels)?,
                Target::Mixed(labels, others, share) => {
                    mixed_cross_entropy(logits, (labels, others), *share, grading.smoothing)?
                }
                Target::Image(_) => return Ok(None),
            };
            Ok(Some((head.weight, loss)))
        };
        heads.iter().filter_map(|head| loss(head).transpose()).collect()
    }
}

/// How many rows of logits are largest at their label.
fn right(logits: &Tensor, labels: &[u32]) -> Result<usize, EngineError> {
    let rows = logits.to_vec2::<f32>()?;
    Ok(rows.iter().zip(labels).filter(|(row, label)| most_likely(row).0 == **label).count())
}

/// All four turns of each image: the images of a turn together, in the order of the batch.
fn rotations(batch: &Batch, device: &Device) -> Result<(Hwnc, Lesson), EngineError> {
    let (side, n) = (batch.height, batch.labels.len());
    if batch.width != side {
        let problem = format!("rotations need square images, not {side}x{}", batch.width);
        return Err(EngineError::Unfit(problem));
    }
    let last = side - 1;
    let mut pixels = Vec::with_capacity(ROTATIONS * batch.pixels.len());
    for (y, x) in (0..side).flat_map(|y| (0..side).map(move |x| (y, x))) {
        // Counter-clockwise, as PyTorch's `rot90` turns.
        for (from_y, from_x) in [(y, x), (x, last - y), (last - y, last - x), (last - x, y)] {
            pixels.extend_from_slice(&batch.pixels[(from_y * side + from_x) * n * 3..][..n * 3]);
        }
    }
    let turns = 0..ROTATIONS as u32;
    let labels = turns.clone().flat_map(|turn| std::iter::repeat_n(turn, n)).collect();
    let number = |turn: u32| {
        batch.examples.iter().map(move |example| example.wrapping_mul(ROTATIONS as u32).wrapping_add(turn))
    };
    let examples = turns.flat_map(number).collect();
    let input = Hwnc::from_vec(pixels, (side, side, ROTATIONS * n, 3), device)?;
    Ok((input, Lesson { examples, target: Target::Classes(labels) }))
}

/// Adds noise to pixels `[H, W, N, 3]`, each image's from its own stream, by rows, then columns, then channels.
fn add_noise(pixels: &mut [f32], examples: &[u32], deviation: f32, streams: &Streams, epoch: u64) {
    let n = examples.len();
    let values = pixels.len() / n;
    // One after another: this runs beside the training, whose thread may be the pool's only one and waits for it.
    let noise: Vec<Vec<f32>> = examples
        .iter()
        .map(|&example| {
            let mut draws = streams.draws(Purpose::Noise, epoch, u64::from(example));
            (0..values).map(|_| deviation * draws.normal()).collect()
        })
        .collect();
    for (place, block) in pixels.chunks_exact_mut(3 * n).enumerate() {
        for (image, pixel) in block.chunks_exact_mut(3).enumerate() {
            for (value, noise) in pixel.iter_mut().zip(&noise[image][3 * place..]) {
                *value += noise;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Images of which pixel (y, x, channel) of image i is 1000 i + 100 y + 10 x + channel.
    fn batch(height: usize, width: usize, n: usize) -> Batch {
        let value = |y, x, i, c| (1000 * i + 100 * y + 10 * x + c) as f32;
        let mut pixels = Vec::new();
        for (y, x, i) in
            (0..height).flat_map(|y| (0..width).flat_map(move |x| (0..n).map(move |i| (y, x, i))))
        {
            pixels.extend((0..3).map(|c| value(y, x, i, c)));
        }
        let examples = (0..n as u32).map(|i| 10 + i).collect();
        Batch { height, width, pixels, labels: vec![0; n], examples, own_share: None }
    }

    #[test]
    fn an_image_is_turned_counter_clockwise() {
        let (input, lesson) =
            Objective::Rotations.lesson(batch(3, 3, 2), &Streams::new(0), 1, &Device::Cpu).unwrap();
        assert_eq!(input.dims(), (3, 3, 8, 3));
        assert_eq!(lesson.examples, [40, 44, 41, 45, 42, 46, 43, 47]);
        let values = input.tensor().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let at = |y: usize, x: usize, image: usize| values[((y * 3 + x) * 8 + image) * 3];
        // The upper right corner (0, 2) of image 1 comes to the upper left, the lower left and the lower right.
        assert_eq!([at(0, 2, 1), at(0, 0, 3), at(2, 0, 5), at(2, 2, 7)], [1020.0; 4]);
        // (0, 1) goes the same way around.
        assert_eq!([at(0, 1, 1), at(1, 0, 3), at(2, 1, 5), at(1, 2, 7)], [1010.0; 4]);
        let Target::Classes(labels) = lesson.target else { panic!() };
        assert_eq!(labels, [0, 0, 1, 1, 2, 2, 3, 3]);
        assert!(Objective::Rotations.lesson(batch(2, 3, 1), &Streams::new(0), 1, &Device::Cpu).is_err());
    }

    #[test]
    fn what_is_mixed_is_to_be_answered_with_as_much_of_each_label() {
        let mixed = |share| {
            let mixed = Batch { labels: vec![0, 1, 2], own_share: Some(share), ..batch(2, 2, 3) };
            Objective::Labels.lesson(mixed, &Streams::new(0), 1, &Device::Cpu).unwrap().1
        };
        let logits =
            Tensor::new(&[[3f32, 0.0, 1.0], [0.0, 1.0, 0.5], [1.0, 2.0, 0.0]], &Device::Cpu).unwrap();
        let answered = |lesson: &Lesson| {
            let grading = Grading { smoothing: 0.1, weights: None };
            let answer = lesson.answered(Activation::Rows(logits.clone()), &grading).unwrap();
            (answer.loss.to_scalar::<f32>().unwrap(), answer.right.unwrap())
        };
        // The others are 2, 0 and 1.
        let loss = |labels: &[u32]| cross_entropy(&logits, labels, 0.1).unwrap().to_scalar::<f32>().unwrap();
        for (share, right) in [(0.75, 2), (0.25, 1), (0.5, 2)] {
            let (mixed, counted) = answered(&mixed(share));
            let parts = share as f32 * loss(&[0, 1, 2]) + (1.0 - share as f32) * loss(&[2, 0, 1]);
            assert!((mixed - parts).abs() < 1e-6, "{mixed}, not {parts}");
            assert_eq!(counted, right, "of the label that there is more of");
        }
    }

    #[test]
    fn balanced_weights_make_classes_count_alike() {
        let recipe = Recipe { class_weights: ClassWeights::Balanced, ..Recipe::default() };
        // Class 2 has no image, and no part.
        let grading = Grading::of(&recipe, [0, 0, 0, 1, 3, 3].into_iter(), 4);
        let weights = grading.weights.clone().unwrap();
        assert_eq!(weights, [6.0 / 9.0, 2.0, 0.0, 1.0]);
        assert!((grading.mass(&[0, 0, 0, 1, 3, 3]) - 6.0).abs() < 1e-12);
        assert_eq!(Grading::of(&Recipe::default(), [0, 1].into_iter(), 2).weights, None);
    }

    #[test]
    fn noise_is_an_images_own_and_the_target_has_none() {
        let objective = Objective::Reconstruction { noise: 0.5 };
        let lesson = |n, epoch| {
            let (input, lesson) =
                objective.lesson(batch(16, 16, n), &Streams::new(3), epoch, &Device::Cpu).unwrap();
            let Target::Image(target) = lesson.target else { panic!() };
            let noise = (input.tensor() - &target).unwrap();
            assert_eq!(target.flatten_all().unwrap().to_vec1::<f32>().unwrap(), batch(16, 16, n).pixels);
            noise.permute((2, 0, 1, 3)).unwrap().contiguous().unwrap().get(0).unwrap()
        };
        let first = |n, epoch| lesson(n, epoch).flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let noise = first(1, 1);
        let deviation = (noise.iter().map(|x| x * x).sum::<f32>() / noise.len() as f32).sqrt();
        assert!((deviation - 0.5).abs() < 0.05, "{deviation}");
        // Image 0 has the values 0 to 1502 alone or with others; its noise is the same but for rounding.
        assert!(noise.iter().zip(first(3, 1)).all(|(a, b)| (a - b).abs() < 1e-3));
        assert!(noise.iter().zip(first(1, 2)).any(|(a, b)| (a - b).abs() > 0.1));
    }
}
