//! Successive halving: arms train for some epochs, are compared on validation, and those that cannot win wait there for good.
//!
//! Nothing is decided by what an earlier sweep decided, but by what is stored of the trials: so a sweep that was interrupted goes on, several
//! processes on one folder decide alike, and one without `[halving]` trains those that wait to their end.

use std::collections::{BTreeMap, BTreeSet};

use frostline_experiment::{Climb, Decided, Halving, Plan};
use frostline_results::{Halved, Reached, Rung, RungArm, Status, Store};
use frostline_text::plural;

use super::cohort::cohorts;
use super::error::SweepError;
use super::graph::{Id, Train};
use super::wait::PAUSE;
use super::worker::{Done, Worker};

/// The arms of a plan, and what this process knows of how far they have come.
struct Ladder {
    /// Each arm with its trials, in the plan's order.
    arms: Vec<(String, Vec<Id<Train>>)>,
    /// The epochs of a trial.
    epochs: usize,
    due: BTreeSet<Id<Train>>,
    /// The trials that this process has trained as far as it could, with how far they were to go.
    tried: BTreeSet<(Id<Train>, usize)>,
    /// Those that have ended, which are not read again.
    ended: BTreeMap<Id<Train>, Reached>,
}

impl Ladder {
    fn of(worker: &Worker<'_>, plan: &Plan) -> Self {
        let mut arms: Vec<(String, Vec<Id<Train>>)> = Vec::new();
        for id in worker.graph.trials.ids() {
            let arm = worker.graph.trials[id].trial.arm();
            match arms.iter_mut().find(|(known, _)| *known == arm) {
                Some((_, trials)) => trials.push(id),
                None => arms.push((arm, vec![id])),
            }
        }
        let epochs = plan.trials.first().map_or(0, |trial| trial.train.epochs);
        let due = worker.due.iter().copied().collect();
        Self { arms, epochs, due, tried: BTreeSet::new(), ended: BTreeMap::new() }
    }

    fn reached(&mut self, worker: &Worker<'_>, id: Id<Train>) -> Reached {
        if let Some(known) = self.ended.get(&id) {
            return known.clone();
        }
        let mut reached = worker.store.reached(&worker.graph.trials[id].trial.id);
        let again = self.due.contains(&id) && self.tried.range((id, 0)..=(id, usize::MAX)).next().is_none();
        match &reached.status {
            Some(_) if again => reached = Reached::default(), // It failed for want of memory, or is forced: it is run once more.
            Some(_) => drop(self.ended.insert(id, reached.clone())),
            None => {}
        }
        reached
    }

    /// How far all trials have come now. What is decided and what is due are both found by one such look: other processes go on between two.
    fn look(&mut self, worker: &Worker<'_>) -> BTreeMap<Id<Train>, Reached> {
        let all: Vec<Id<Train>> = self.arms.iter().flat_map(|(_, trials)| trials).copied().collect();
        all.into_iter().map(|id| (id, self.reached(worker, id))).collect()
    }

    /// How far each arm has come, where trials are compared after so many epochs each.
    fn climbs(&self, looked: &BTreeMap<Id<Train>, Reached>, rungs: &[usize]) -> Vec<Climb> {
        let mut climbs = Vec::new();
        for (_, trials) in &self.arms {
            let all: Vec<&Reached> = trials.iter().map(|id| &looked[id]).collect();
            let failed = |one: &Reached| matches!(one.status, Some(Status::Failed { .. }));
            let has = |rung: usize| all.iter().all(|one| failed(one) || one.epochs.len() >= rung);
            let mean = |rung: usize| {
                let each =
                    all.iter().filter(|one| !failed(one)).map(|one| one.epochs[rung - 1].validation_accuracy);
                let each = each.collect::<Option<Vec<f64>>>().filter(|each| each.len() == all.len())?;
                Some(each.iter().sum::<f64>() / each.len() as f64)
            };
            let at: Vec<Option<f64>> =
                rungs.iter().take_while(|rung| has(**rung)).map(|rung| mean(*rung)).collect();
            let last = at.len().checked_sub(1).map_or(0, |last| rungs[last]);
            let beyond = !at.is_empty() && all.iter().any(|one| one.epochs.len() > last);
            climbs.push(Climb { at, beyond });
        }
        climbs
    }

    /// The trials that are behind where they may be.
    fn behind(
        &self,
        looked: &BTreeMap<Id<Train>, Reached>,
        leave: &[usize],
    ) -> BTreeMap<usize, Vec<Id<Train>>> {
        let mut behind: BTreeMap<usize, Vec<Id<Train>>> = BTreeMap::new();
        for ((_, trials), &leave) in self.arms.iter().zip(leave) {
            let is_open = |id: &Id<Train>| self.due.contains(id) && !self.tried.contains(&(*id, leave));
            for id in trials.iter().copied().filter(is_open) {
                let reached = &looked[&id];
                let is_behind = reached.epochs.len() < leave || leave == self.epochs;
                if reached.status.is_none() && is_behind {
                    behind.entry(leave).or_default().push(id);
                }
            }
        }
        behind.values_mut().for_each(|trials| trials.sort()); // As the plan has them.
        behind
    }

    /// What is decided, for the report.
    fn halved(&self, halving: Halving, decided: &Decided) -> Halved {
        let rung = |rung: &frostline_experiment::Comparison| Rung {
            epochs: rung.epochs,
            arms: rung
                .arms
                .iter()
                .map(|&(arm, validation_accuracy, goes_on)| RungArm {
                    arm: self.arms[arm].0.clone(),
                    validation_accuracy,
                    goes_on,
                })
                .collect(),
        };
        Halved { asynchronous: halving.asynchronous, rungs: decided.rungs.iter().map(rung).collect() }
    }
}

impl Worker<'_> {
    /// Trains the trials that are due, but for those of arms that are stopped. Gives what came of it and how many trials were stopped.
    ///
    /// # Errors
    /// A failed write.
    pub(super) fn halve(&mut self, plan: &Plan, halving: Halving) -> Result<(Vec<Done>, usize), SweepError> {
        let mut ladder = Ladder::of(self, plan);
        let (rungs, mut came, mut told, mut waits) = (halving.rungs(ladder.epochs), Vec::new(), 0, false);
        let decided = loop {
            let looked = ladder.look(self);
            let decided = halving.decide(ladder.epochs, &ladder.climbs(&looked, &rungs));
            if decided.rungs.len() > told {
                note(self.store, &ladder.halved(halving, &decided))?;
                decided.rungs[told..].iter().for_each(|rung| self.tell(rung));
                told = decided.rungs.len();
            }
            // What has come furthest first: it was found to be among the best.
            let behind = ladder.behind(&looked, &decided.leave);
            if behind.is_empty() {
                break decided;
            }
            let groups = behind.into_iter().rev();
            let groups = groups.flat_map(|(leave, trials)| {
                cohorts(self.graph, &trials).into_iter().map(move |cohort| (leave, cohort))
            });
            let mut moved = false;
            for (leave, cohort) in groups.collect::<Vec<_>>() {
                self.until = (leave < ladder.epochs).then_some(leave);
                let done = self.train(&cohort)?;
                let here = cohort.iter().filter(|id| !done.elsewhere.contains(id));
                let here: Vec<_> = here.map(|id| (*id, leave)).collect();
                let ends = done.interrupted
                    || self.settings.fail_fast
                        && done.stored.iter().any(|status| *status != Status::Finished);
                moved |= !here.is_empty();
                came.push(Done { elsewhere: Vec::new(), found: 0, ..done });
                if ends {
                    return Ok((came, 0));
                }
                ladder.tried.extend(here);
                if moved {
                    break; // What it came to may decide what is next.
                }
            }
            if !moved {
                if !std::mem::replace(&mut waits, true) {
                    self.progress.say("waiting for trials that other processes run");
                }
                if self.is_interrupted() {
                    return Ok((came, 0));
                }
                std::thread::sleep(PAUSE);
            }
        };
        self.until = None;
        note(self.store, &ladder.halved(halving, &decided))?;
        let due = std::mem::take(&mut ladder.due); // What they are due for is done.
        let open = due.iter().filter(|id| ladder.reached(self, **id).status.is_none()).count();
        let here: usize = came.iter().map(|done| done.stored.len()).sum();
        came.push(Done { found: due.len().saturating_sub(open + here), ..Done::default() });
        Ok((came, if decided.complete { open } else { 0 }))
    }

    fn tell(&self, rung: &frostline_experiment::Comparison) {
        let go_on = rung.arms.iter().filter(|(_, _, goes_on)| *goes_on).count();
        let (after, arms) = (plural(rung.epochs, "epoch"), plural(rung.arms.len(), "arm"));
        self.progress.say(&format!("after {after}, {go_on} of {arms} go on"));
    }

    /// Trains some trials in their cohorts. Whether to go on.
    pub(super) fn all(&mut self, trials: &[Id<Train>], came: &mut Vec<Done>) -> Result<bool, SweepError> {
        for cohort in cohorts(self.graph, trials) {
            let done = self.train(&cohort)?;
            let ends = done.interrupted
                || self.settings.fail_fast && done.stored.iter().any(|status| *status != Status::Finished);
            came.push(done);
            if ends {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Stores what is decided; other processes on the folder store theirs.
fn note(store: &Store, halved: &Halved) -> Result<(), SweepError> {
    let _gate = store.gate()?;
    Ok(halved.write(store.folder())?)
}
