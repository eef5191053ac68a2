//! [`Arm`]: the trials that differ in the seed alone, and what they come to.

use frostline_experiment::Trial;
use frostline_results::{Outcome, Status, StoredTrial};

use super::Tuning;
use super::statistics::{mean, wilson};

/// Trials that differ only in the seed.
#[derive(Clone, Debug)]
pub struct Arm<'a> {
    /// Its place in [`super::Comparison::arms`], from 1.
    pub number: usize,
    /// What tells it from the other arms, for instance `resnet18 · last-1`.
    pub label: String,
    /// The model.
    pub model: &'a str,
    /// The label without the model, and without a strategy that all arms have; for instance `last-1`.
    pub variant: String,
    /// Where its values stand in the grid's axes but for the seed: the order of the experiment file.
    pub place: Vec<usize>,
    /// By seed.
    pub runs: Vec<Run<'a>>,
    /// The place in [`super::Comparison::arms`] of its baseline: the arm that has the values of the experiment's baseline, and this
    /// arm's in every other axis. Its own place where it is one; none where there is none.
    pub baseline: Option<usize>,
    /// Wall time over that of its baseline: the mean of the ratios within seeds; none without a baseline or a common seed.
    pub time_ratio: Option<f64>,
    /// The same of training alone: forward, backward and optimizer steps.
    pub training_ratio: Option<f64>,
    /// What was tried before its values were chosen; none where nothing was.
    pub tuning: Option<Tuning<'a>>,
}

/// One trial of an arm.
#[derive(Clone, Debug)]
pub struct Run<'a> {
    /// As planned.
    pub trial: &'a Trial,
    /// As stored; none where it has not run.
    pub stored: Option<&'a StoredTrial>,
}

impl<'a> Run<'a> {
    /// The outcome, where the trial finished.
    pub fn finished(&self) -> Option<&'a Outcome> {
        self.stored.map(|stored| &stored.outcome).filter(|outcome| outcome.status == Status::Finished)
    }

    /// Why it failed, where it did.
    pub fn failure(&self) -> Option<&'a str> {
        match &self.stored?.outcome.status {
            Status::Finished => None,
            Status::Failed { reason } => Some(reason),
        }
    }
}

impl<'a> Arm<'a> {
    /// A quantity of every finished trial that has it, by seed.
    pub fn values(&self, of: impl Fn(&'a Outcome) -> Option<f64>) -> Vec<f64> {
        self.runs.iter().filter_map(|run| run.finished().and_then(&of)).collect()
    }

    /// Test accuracies by seed, in [0, 1].
    pub fn accuracies(&self) -> Vec<f64> {
        self.values(|outcome| outcome.test_accuracy)
    }

    /// The 95 % interval of its mean accuracy by the choice of test images alone (Wilson), in [0, 1]; none without predictions.
    pub fn by_images(&self) -> Option<(f64, f64)> {
        wilson(self.accuracy()?, self.images()?)
    }

    /// The test images of its trials; none where they differ or none is known.
    pub fn images(&self) -> Option<usize> {
        let mut sizes = self.answered().map(|stored| stored.answers.right.len());
        let first = sizes.next()?;
        sizes.all(|images| images == first).then_some(first)
    }

    /// Its finished trials with predictions.
    pub fn answered(&self) -> impl Iterator<Item = &'a StoredTrial> {
        let finished = self.runs.iter().filter(|run| run.finished().is_some());
        finished.filter_map(|run| run.stored).filter(|stored| !stored.answers.right.is_empty())
    }

    /// Wall times by seed.
    pub fn wall_seconds(&self) -> Vec<f64> {
        self.values(|outcome| Some(outcome.seconds.wall))
    }

    /// The mean test accuracy, in [0, 1].
    pub fn accuracy(&self) -> Option<f64> {
        mean(&self.accuracies())
    }

    /// The mean wall time.
    pub fn wall(&self) -> Option<f64> {
        mean(&self.wall_seconds())
    }

    /// The mean wall time of the pretrainings that its trials start from, which is no part of theirs.
    pub fn pretraining(&self) -> Option<f64> {
        mean(&self.values(|outcome| Some(outcome.pretraining.as_ref()?.wall_seconds)))
    }

    /// What its trials cost by the clock, by seed: their wall time and that of the pretraining that they start from and of the
    /// candidates that were not chosen, in full, as they are had for no less.
    pub fn total_seconds(&self) -> Vec<f64> {
        let before =
            |outcome: &Outcome| outcome.pretraining.as_ref().map_or(0.0, |before| before.wall_seconds);
        let tuning = self.tuning_seconds();
        self.values(|outcome| Some(outcome.seconds.wall + before(outcome) + tuning))
    }

    /// The wall time of the candidates that were not chosen; 0 where none were tried.
    pub fn tuning_seconds(&self) -> f64 {
        self.tuning.as_ref().map_or(0.0, Tuning::seconds)
    }

    /// The mean of [`Arm::total_seconds`].
    pub fn total(&self) -> Option<f64> {
        mean(&self.total_seconds())
    }

    /// The trial of a seed, where it finished.
    pub fn finished(&self, seed: u64) -> Option<&'a Outcome> {
        self.runs.iter().find(|run| run.trial.seed == seed).and_then(Run::finished)
    }

    /// The first trial; arms are never empty.
    pub fn trial(&self) -> &'a Trial {
        self.runs[0].trial
    }
}
