//! The experiment file: [`Experiment`], read from TOML with `--set` on top, every value checked. All that is wrong is
//! found at once and reported with its place. What the cells of the grid come to is [`crate::plan`]'s.

mod amend;
mod comparing;
mod conditions;
mod flags;
mod pretraining;
mod problem;
mod read;
mod spell;
mod strategies;
mod suggest;
#[cfg(test)]
mod tests;
mod tree;

pub(crate) use pretraining::PretrainingEntry;
pub use problem::{Problem, Problems};
pub use suggest::did_you_mean;
pub(crate) use tree::Place;

use std::path::Path;

use crate::checkpoints::Checkpoints;
use crate::halving::Halving;
use crate::trial::PhaseWords;
use crate::trial::keys::Key;

/// One question and all that answers it.
#[derive(Clone, Debug)]
pub struct Experiment {
    /// The stem of the file's name.
    pub name: String,
    /// What it asks.
    pub question: String,
    /// The file as it was read, without `--set`.
    pub text: String,
    /// The file's name, for messages.
    pub(crate) path: String,
    /// Whether `--set` changed anything.
    pub(crate) changed: bool,
    /// Which weights are kept.
    pub(crate) checkpoints: Checkpoints,
    /// What arms are held against, by key.
    pub(crate) baseline: Vec<(String, String)>,
    /// In points.
    pub(crate) margin: f64,
    /// How arms are stopped, and where that stands.
    pub(crate) halving: Option<(Halving, Place)>,
    /// The values of `[data]`, `[train]` and `[run]`.
    pub(crate) fixed: Vec<Assignment>,
    /// The axes of `[grid]` in the order of the file.
    pub(crate) axes: Vec<GridAxis>,
    /// Those of `[tune]`, likewise.
    pub(crate) tuned: Vec<GridAxis>,
    /// The strategies of `[strategy.NAME]`.
    pub(crate) strategies: Vec<(String, Vec<PhaseWords>)>,
    /// The pretrainings of `[pretrain.NAME]`.
    pub(crate) pretrainings: Vec<PretrainingEntry>,
    pub(crate) overrides: Vec<Override>,
    /// What `[[except]]` leaves out of the grid: the cells that have all of one list.
    pub(crate) excepted: Vec<Vec<Assignment>>,
    pub(crate) claims: Vec<ClaimEntry>,
}

/// A key and its value in its one spelling.
#[derive(Clone, Debug)]
pub(crate) struct Assignment {
    pub(crate) key: &'static Key,
    pub(crate) value: String,
    pub(crate) place: Place,
}

#[derive(Clone, Debug)]
pub(crate) struct GridAxis {
    pub(crate) key: &'static Key,
    pub(crate) name: Place,
    pub(crate) values: Vec<(String, Place)>,
}

/// Values for the cells in which every key of `when` has the value beside it.
#[derive(Clone, Debug)]
pub(crate) struct Override {
    pub(crate) when: Vec<Assignment>,
    pub(crate) set: Vec<Assignment>,
}

#[derive(Clone, Debug)]
pub(crate) struct ClaimEntry {
    pub(crate) when: Vec<Assignment>,
    pub(crate) test_accuracy: Option<f64>,
    pub(crate) minutes: Option<f64>,
    pub(crate) source: String,
    pub(crate) place: Place,
}

impl Experiment {
    /// The axes of `[grid]`, and those of `[tune]`.
    pub(crate) fn all_axes(&self) -> impl DoubleEndedIterator<Item = &GridAxis> {
        self.axes.iter().chain(&self.tuned)
    }

    /// Reads the text of the file at `path`, with each of `flags` (`key=value`) on top of it.
    ///
    /// # Errors
    /// Everything that is wrong with the file and the flags, each with its place.
    pub fn read(path: &Path, text: &str, flags: &[String]) -> Result<Self, Problems> {
        read::experiment(path, text, flags)
            .map_err(|list| Problems { subject: path.display().to_string(), list })
    }
}
