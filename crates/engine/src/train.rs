//! The training of one trial: [`train`] takes a [`Task`] through the phases of its strategy and gives a [`Trained`]; [`test`]
//! opens the test split of what was trained.
//!
//! Both are those of several trials at once with one alone: a trial is phases, a phase is epochs, an epoch is steps (`cohort.rs`, `run.rs`).
//! Whatever is chosen is chosen on validation.

use frostline_data::{Augment, Dataset, Splits};
use frostline_models::Model;

use crate::{
    Candidate, EngineError, EpochReport, Evaluation, Member, NoBookmark, Objective, Observer, Recipe, Shelf,
    Strategy, test_together, train_together,
};

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

/// Trains `task.model` for `objective`; no image of the test split is looked at.
///
/// # Errors
/// [`EngineError`]; the model is then in an unspecified state between two steps. [`EngineError::Unfit`] where an epoch shall
/// be chosen by an accuracy that the objective does not have.
pub fn train(
    task: &Task<'_>,
    objective: Objective,
    observer: &mut dyn Observer,
) -> Result<Trained, EngineError> {
    let alone = Member { task: *task, observer, from: None, until: None };
    let mut results = train_together(vec![alone], objective, &mut Shelf::none(), &mut NoBookmark);
    results.pop().unwrap_or_else(|| Err(EngineError::Unfit("nothing was trained".to_owned())))
}

/// Opens the test split: evaluates `model` on all of it, normalised with `mean` and `std` (of pixel values in [0, 1]).
///
/// # Errors
/// Where a tensor operation fails, the split is empty, or the observer asks for the end.
pub fn test(
    model: &Model,
    dataset: &Dataset,
    normalisation: ([f32; 3], [f32; 3]),
    observer: &mut dyn Observer,
) -> Result<Evaluation, EngineError> {
    let alone = Candidate { model, still: 0, observer };
    let mut results = test_together(vec![alone], dataset, normalisation, &mut Shelf::none())?;
    results.pop().unwrap_or_else(|| Err(EngineError::Unfit("nothing was tested".to_owned())))
}
