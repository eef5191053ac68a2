//! Who takes part in a cohort: a [`Member`] with its task and its place, and a [`Bookmark`] for where it stands.

use frostline_data::LoaderOptions;

use crate::state::{Position, State};
use crate::{Observer, Ragged, Sampling, Task};

/// A trial of a cohort.
pub struct Member<'a> {
    /// What to do.
    pub task: Task<'a>,
    /// Who hears of it.
    pub observer: &'a mut dyn Observer,
    /// Where to go on; none for the beginning.
    pub from: Option<State>,
    /// The epoch at whose end it waits: [`crate::EngineError::Waiting`], after `bookmark` was given where it stands. None for its last.
    pub until: Option<usize>,
}

/// Who keeps the states of trainings under way.
pub trait Bookmark: Send {
    /// Whether it is time to keep some. Asked after each step.
    fn is_due(&mut self) -> bool;

    /// Keeps them, each with the number of its member.
    fn keep(&mut self, states: Vec<(usize, State)>);
}

/// Keeps nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoBookmark;

impl Bookmark for NoBookmark {
    fn is_due(&mut self) -> bool {
        false
    }

    fn keep(&mut self, _states: Vec<(usize, State)>) {}
}

pub(crate) fn position(member: &Member<'_>) -> Position {
    member.from.as_ref().map_or_else(Position::default, State::position)
}

/// How a task's batches are made.
pub(crate) fn options(task: &Task<'_>) -> LoaderOptions {
    LoaderOptions {
        batch: task.recipe.batch,
        augment: task.augment,
        views: task.views,
        mean: task.mean,
        std: task.std,
        seed: task.seed,
        shuffle: true,
        ragged: match task.recipe.ragged {
            Ragged::Keep => frostline_data::Ragged::Keep,
            Ragged::Drop => frostline_data::Ragged::Drop,
            Ragged::Merge => frostline_data::Ragged::Merge,
        },
        balanced: task.recipe.sampling == Sampling::Balanced,
    }
}

/// Whether two tasks have the same batches in every epoch, and the same images to validate on.
pub(crate) fn sees_the_same(a: &Task<'_>, b: &Task<'_>) -> bool {
    a.dataset.train.is(&b.dataset.train) && a.splits == b.splits && options(a) == options(b)
}
