//! Successive halving: arms train for some epochs, are compared on validation, and those that cannot win wait there for good.
//!
//! Nothing is decided by what an earlier sweep decided, but by what is stored of the trials: so a sweep that was interrupted goes on, and
//! one without `[halving]` trains those that wait to their end.

use frostline_experiment::{Halving, Plan};
use frostline_results::{Halved, Rung, RungArm};
use frostline_text::plural;

use super::cohort::cohorts;
use super::error::SweepError;
use super::graph::{Id, Train};
use super::worker::{Done, Worker};

impl Worker<'_> {
    /// Trains the trials that are due, but for those of arms that are stopped. Gives what came of it and how many trials were stopped.
    ///
    /// # Errors
    /// A failed write.
    pub(super) fn halve(&mut self, plan: &Plan, halving: Halving) -> Result<(Vec<Done>, usize), SweepError> {
        let epochs = plan.trials.first().map_or(0, |trial| trial.train.epochs);
        let (mut came, mut halved) = (Vec::new(), Halved::default());
        let mut alive = self.due.clone();
        let mut arms: Vec<String> = Vec::new();
        for arm in plan.trials.iter().map(frostline_experiment::Trial::arm) {
            if !arms.contains(&arm) {
                arms.push(arm);
            }
        }
        for rung in halving.rungs(epochs) {
            self.until = Some(rung);
            if !self.all(&alive, &mut came)? {
                return Ok((came, 0));
            }
            let accuracies: Vec<Option<f64>> =
                arms.iter().map(|arm| self.accuracy(plan, arm, rung)).collect();
            let go_on = halving.go_on(&accuracies);
            let decided = arms.iter().zip(accuracies).zip(&go_on);
            let decided = decided.map(|((arm, validation_accuracy), goes_on)| RungArm {
                arm: arm.clone(),
                validation_accuracy,
                goes_on: *goes_on,
            });
            halved.rungs.push(Rung { epochs: rung, arms: decided.collect() });
            halved.write(self.store.folder())?;
            let mut going = go_on.iter();
            let before = arms.len();
            arms.retain(|_| going.next().is_some_and(|goes_on| *goes_on));
            self.progress.say(&format!(
                "after {}, {} of {} go on",
                plural(rung, "epoch"),
                arms.len(),
                plural(before, "arm")
            ));
            alive.retain(|id| arms.contains(&self.graph.trials[*id].trial.arm()));
        }
        self.until = None;
        let stopped = self.due.len() - alive.len();
        self.all(&alive, &mut came)?;
        Ok((came, stopped))
    }

    /// Trains some trials in their cohorts. Whether to go on.
    pub(super) fn all(&mut self, trials: &[Id<Train>], came: &mut Vec<Done>) -> Result<bool, SweepError> {
        let left: Vec<Id<Train>> = trials.iter().copied().filter(|id| self.goes_further(*id)).collect();
        for cohort in cohorts(self.graph, &left) {
            let done = self.train(&cohort)?;
            let ends = done.interrupted
                || self.settings.fail_fast
                    && done.stored.iter().any(|status| *status != frostline_results::Status::Finished);
            came.push(done);
            if ends {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether a trial is not yet where trainings wait now.
    fn goes_further(&self, id: Id<Train>) -> bool {
        let trial = &self.graph.trials[id].trial;
        let done = self.store.epochs(&trial.id).map_or(0, |epochs| epochs.len());
        self.until.is_none_or(|until| done < until)
    }

    /// The mean validation accuracy of an arm after so many epochs; none where one of its trials has none.
    fn accuracy(&self, plan: &Plan, arm: &str, epochs: usize) -> Option<f64> {
        let trials = plan.trials.iter().filter(|trial| trial.arm() == arm);
        let each = trials.map(|trial| self.store.epochs(&trial.id)?.get(epochs - 1)?.validation_accuracy);
        let each = each.collect::<Option<Vec<f64>>>()?;
        Some(each.iter().sum::<f64>() / each.len() as f64)
    }
}
