//! What a training is to do, a [`Task`], and what comes of it, a [`Trained`].

use frostline_data::{Augment, Dataset, Splits};
use frostline_models::Model;

use crate::{EpochReport, Recipe, Strategy};

/// One trial's work, with everything resolved.
#[derive(Clone, Copy, Debug)]
pub struct Task<'a> {
    /// The model, with its initial or pretrained weights.
    pub model: &'a Model,
    /// The images, at the resolution that the model was built for.
    pub dataset: &'a Dataset,
    /// Which of the training images train and which validate.
    pub splits: &'a Splits,
    /// What is done to a training image.
    pub augment: Augment,
    /// How many times each image is drawn for; then they come again. None for anew in each epoch.
    pub views: Option<usize>,
    /// The mean of each channel that the weights were trained with, of pixel values in [0, 1].
    pub mean: [f32; 3],
    /// The standard deviation of each channel, likewise.
    pub std: [f32; 3],
    /// How to train.
    pub recipe: &'a Recipe,
    /// What to train.
    pub strategy: &'a Strategy,
    /// The seed of order, augmentation and dropout.
    pub seed: u64,
}

/// What came of a training. The model holds the weights of the chosen epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct Trained {
    /// Every epoch, in order.
    pub epochs: Vec<EpochReport>,
    /// The epoch whose weights the model holds, counted from 1.
    pub chosen_epoch: usize,
    /// The most parameters that a phase trained.
    pub trainable_parameters: usize,
    /// How many leading stages hold nothing that any phase moved.
    pub still: usize,
}
