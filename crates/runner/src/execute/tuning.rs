//! Tuning: each arm's values are tried on the first seed, and the other seeds train with those that validate best.
//!
//! As with halving nothing is decided by what an earlier sweep decided, but by what is stored.

use std::collections::BTreeSet;

use frostline_experiment::{Choice, Plan, Trial, Tried, Tune};

use super::error::SweepError;
use super::graph::{Id, Train};
use super::worker::{Done, Worker};

impl Worker<'_> {
    /// Trains the candidates that are due, and then what was chosen. Gives what came of it and how many trials are not needed.
    ///
    /// # Errors
    /// A failed write.
    pub(super) fn tune(&mut self, plan: &Plan, tune: &Tune) -> Result<(Vec<Done>, usize), SweepError> {
        let mut came = Vec::new();
        let is_candidate = |id: &Id<Train>| self.graph.trials[*id].trial.seed == tune.seed;
        let (candidates, others): (Vec<Id<Train>>, Vec<Id<Train>>) =
            self.due.clone().into_iter().partition(is_candidate);
        if !self.all(&candidates, &mut came)? {
            return Ok((came, self.unneeded(plan, tune)));
        }
        let mut chosen = BTreeSet::new();
        for family in tune.families(plan) {
            let Choice::Of(trial) = family.choose(|trial| self.store.tried(&trial.id)) else { continue };
            chosen.insert(trial.arm());
            if family.candidates.len() > 1 {
                self.progress.say(&told(tune, trial, (family.candidates.len(), self.store.tried(&trial.id))));
            }
        }
        let (wanted, unchosen): (Vec<Id<Train>>, Vec<Id<Train>>) =
            others.into_iter().partition(|id| chosen.contains(&self.graph.trials[*id].trial.arm()));
        self.all(&wanted, &mut came)?;
        Ok((came, unchosen.len()))
    }

    /// How many of the trials that are due will not be needed, as far as is known.
    pub(super) fn unneeded(&self, plan: &Plan, tune: &Tune) -> usize {
        let unchosen = tune.unchosen(plan, |trial| self.store.tried(&trial.id));
        self.due.iter().filter(|id| unchosen.contains(self.graph.trials[**id].trial.id.as_str())).count()
    }
}

/// `resnet18 head: learning-rate 0.01 of 4 candidates (validation 54.2 %)`.
fn told(tune: &Tune, trial: &Trial, (candidates, tried): (usize, Tried)) -> String {
    let accuracy = match tried {
        Tried::Validated { accuracy, .. } => format!(" (validation {:.1} %)", 100.0 * accuracy),
        Tried::Not | Tried::Failed => String::new(),
    };
    let arm = trial.label();
    let arm = arm.rsplit_once(" seed ").map_or(arm.as_str(), |(arm, _)| arm);
    format!("{arm}: {} of {candidates} candidates{accuracy}", tune.values(trial))
}
