//! The training of one trial: [`train`] takes a [`Task`] through the phases of its strategy and gives a [`Trained`]; [`test`]
//! opens the test split of what was trained.
//!
//! Both are those of several trials at once with one alone: a trial is phases, a phase is epochs, an epoch is steps (`cohort.rs`, `run.rs`).
//! Whatever is chosen is chosen on validation.

use frostline_data::Dataset;
use frostline_models::Model;

use crate::{
    Candidate, EngineError, Evaluation, Member, NoBookmark, Objective, Observer, Shelf, Task, Trained,
    test_together, train_together,
};

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
    let all: Vec<u32> = (0..dataset.test.len() as u32).collect();
    let mut results = test_together(vec![alone], (&dataset.test, &all), normalisation, &mut Shelf::none())?;
    results.pop().unwrap_or_else(|| Err(EngineError::Unfit("nothing was tested".to_owned())))
}
