//! What the engine tells while it works: [`Event`]s to an [`Observer`]. The engine has no clock, so the observer that
//! wants times takes them at [`Event::Enter`] and [`Event::Leave`].

use std::ops::ControlFlow;

/// A part of a trial whose time is kept apart. Sections do not nest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// Waiting for a batch, and putting it where the model reads it.
    Data,
    /// Forward, backward and the optimizer's step.
    Train,
    /// Forward passes over the validation or the test split.
    Evaluation,
    /// Keeping the best weights so far, and bringing them back.
    Checkpoint,
    /// Hashing what is frozen.
    Audit,
}

/// The learning rate of a part of the model.
#[derive(Clone, Debug, PartialEq)]
pub struct PartRate {
    /// As the strategy names it; of several parts that name a parameter, the last counts.
    pub part: String,
    /// In force at the epoch's last step.
    pub learning_rate: f64,
}

/// What an epoch came to.
#[derive(Clone, Debug, PartialEq)]
pub struct EpochReport {
    /// Counted from 1 over the whole trial.
    pub epoch: usize,
    /// The name of the strategy's phase.
    pub phase: String,
    /// The scheduled learning rate of the epoch's last step, before the factors of the parts.
    pub learning_rate: f64,
    /// What the parts that trained had of it.
    pub rates: Vec<PartRate>,
    /// Mean over the examples of the loss at the step that used them.
    pub train_loss: f64,
    /// Share of the examples that were right at the step that used them, in [0, 1]; none where the objective has no classes. Of images
    /// that are mixed, the label that there is more of is right.
    pub train_accuracy: Option<f64>,
    /// Mean loss over the validation split, without label smoothing; none without a validation split.
    pub validation_loss: Option<f64>,
    /// In [0, 1]; none without a validation split or without classes.
    pub validation_accuracy: Option<f64>,
}

/// Something that happened. Epochs and steps count from 1.
#[derive(Clone, Debug, PartialEq)]
pub enum Event<'a> {
    /// A phase of the strategy begins.
    Phase {
        /// Its name.
        name: &'a str,
        /// How many parameters it trains.
        trainable_parameters: usize,
    },
    /// A section begins.
    Enter {
        /// Which.
        section: Section,
        /// How many trials it is for, this one included.
        sharers: usize,
    },
    /// The section that was entered last ends.
    Leave(Section),
    /// What a section would have computed was there, since another trial had asked for it before.
    Reused {
        /// Which.
        section: Section,
        /// What computing it took then.
        seconds: f64,
    },
    /// An optimizer step is done.
    Step {
        /// The epoch it belongs to.
        epoch: usize,
        /// Its place in the epoch.
        step: usize,
        /// Steps of an epoch.
        steps: usize,
        /// Examples in the batch.
        examples: usize,
        /// The batch's mean loss.
        loss: f64,
    },
    /// An epoch is done and evaluated.
    Epoch(&'a EpochReport),
}

/// Hears what happens in a trial, and may end it: after `Break` at any event, the training returns
/// [`crate::EngineError::Interrupted`] when the step, or the batch of an evaluation, is done.
pub trait Observer: Send {
    /// Called at every event, on the thread that trains: one of the rayon pool's.
    fn on(&mut self, event: Event<'_>) -> ControlFlow<()>;
}

/// An observer that does nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn on(&mut self, _event: Event<'_>) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}
