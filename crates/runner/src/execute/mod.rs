//! The sweep: [`Sweep`] lays a plan out as a graph (`graph.rs`), schedules what of it is not stored (`schedule.rs`), and has
//! a worker do that step by step (`worker.rs`). Before, what is stored is compared with what it is made of now (`compare.rs`).
//!
//! Nothing is trained before every data set and every weight file is here and verified. A trial that fails is stored
//! as failed and the sweep goes on; a result that cannot be stored ends the sweep, with all earlier ones kept.

mod attempt;
mod bookmark;
mod check;
mod cohort;
mod compare;
mod decode;
mod error;
mod gallery;
mod graph;
mod halving;
mod images;
mod keep;
mod lineage;
mod memory;
mod model;
mod pretrain;
mod rates;
mod saving;
mod schedule;
mod share;
mod start;
#[cfg(test)]
mod tests;
mod together;
mod train;
mod tuning;
mod wait;
mod witness;
mod worker;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use frostline_engine::Shelf;
use frostline_experiment::{Plan, Trial};
use frostline_hub::{Hub, HubOptions};
use frostline_results::{Environment, Status, Store};
use frostline_trackers::Trackers;

use compare::compare;
pub use error::SweepError;
use gallery::keep_pictures;
use graph::{Graph, Id, Train};
pub use images::images_of;
pub use rates::{Range, RateTest};
pub use saving::{Saving, work_of};
use schedule::{Goal, Schedule, Step};
pub use share::{Share, Shares};
use worker::{Done, Products, Worker};

use crate::machine::{Devices, seconds};
use crate::terminal::Progress;

/// What a sweep came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Trained and stored now.
    pub finished: usize,
    /// Failed and stored as failed now.
    pub failed: usize,
    /// Stored by an earlier sweep, and left alone.
    pub skipped: usize,
    /// Stopped early, as arms that cannot win.
    pub stopped: usize,
    /// Not needed, as their arms have chosen other values.
    pub unchosen: usize,
    /// Run by another process now.
    pub elsewhere: usize,
    /// Not begun, or given up, since the sweep was interrupted.
    pub left: usize,
}

impl Tally {
    /// Takes trials, or pretrainings, from those that are left.
    fn count(&mut self, Done { stored, found, elsewhere, .. }: &Done) {
        let finished = stored.iter().filter(|status| **status == Status::Finished).count();
        self.finished += finished;
        self.failed += stored.len() - finished;
        self.skipped += found;
        self.elsewhere += elsewhere.len();
        self.left -= stored.len() + found + elsewhere.len();
    }
}

/// A sweep of a plan into a store.
pub struct Sweep<'a> {
    whole: &'a Plan,
    plan: &'a Plan,
    store: &'a mut Store,
    progress: &'a Progress,
    interrupted: &'a AtomicBool,
    settings: Settings,
}

/// What a sweep runs with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it runs; stored where anything does.
    pub environment: Environment,
    /// Threads that compute.
    pub threads: usize,
    /// Where trials run, by the kind that each asks for.
    pub devices: Devices,
    /// Whether finished trials are redone.
    pub force: bool,
    /// Bytes that the process may take; none for what the system gives.
    pub memory: Option<u64>,
    /// How often it is kept where trainings stand.
    pub save_every: Duration,
    /// Whether the sweep ends where a trial fails.
    pub fail_fast: bool,
    /// Whether trials that another process runs are waited for, and taken over where that dies.
    pub waits: bool,
    /// The files for other tools that are written while trials train.
    pub trackers: Trackers,
}

impl<'a> Sweep<'a> {
    /// A sweep of `plan`, some trials or all of the `whole`, into `store`. It stops at the next step after `interrupted`
    /// becomes true.
    pub fn new(
        whole: &'a Plan,
        plan: &'a Plan,
        store: &'a mut Store,
        progress: &'a Progress,
        interrupted: &'a AtomicBool,
        settings: Settings,
    ) -> Self {
        Self { whole, plan, store, progress, interrupted, settings }
    }

    /// Fetches and verifies what the trials need, puts aside what is stored and was made of other images or weights, then trains
    /// those that are not stored.
    ///
    /// # Errors
    /// [`SweepError`], before the first trial for everything but a failed write.
    pub fn run(self, hub: &Hub) -> Result<Tally, SweepError> {
        self.reach(Goal::Trials, hub)
    }

    /// Makes the trunks of a plan's trials that are not stored yet, or all by force, and trains no trial.
    ///
    /// # Errors
    /// As [`Sweep::run`].
    pub fn pretrain(self, hub: &Hub) -> Result<Tally, SweepError> {
        self.reach(Goal::Pretrainings, hub)
    }

    fn reach(mut self, goal: Goal, hub: &Hub) -> Result<Tally, SweepError> {
        let (whole, progress) = (self.whole, self.progress);
        let graph = Graph::of(whole)?;
        let asked = self.asked(&graph);
        let cache = Hub::new(HubOptions { offline: true, ..hub.options().clone() });
        let cache = cache.map_err(frostline_data::DataError::from)?;
        let mut worker = self.worker(&graph, goal, (hub, &cache));
        compare(&mut worker, &asked)?;
        let force = worker.settings.force;
        let Schedule { steps, due, cohorts, skipped } =
            Schedule::of(&graph, &asked, worker.store, goal, force);
        let wanted = match goal {
            Goal::Trials => due.len(),
            Goal::Pretrainings => steps.iter().filter(|step| matches!(step, Step::Pretrain(_))).count(),
        };
        let mut tally = Tally { skipped, left: wanted, ..Tally::default() };
        (worker.due, worker.cohorts) = (due, cohorts);
        let halving = whole.halving.filter(|_| goal == Goal::Trials);
        let tune = whole.tune.as_ref().filter(|_| goal == Goal::Trials);
        let unneeded = tune.map_or(0, |tune| worker.unneeded(whole, tune));
        worker.progress.sweep_begins(wanted - unneeded, skipped);
        if wanted > unneeded {
            worker.store.record_environment(&worker.settings.environment)?;
        }
        let chooses = halving.is_some() || tune.is_some();
        let (mut goes_on, mut others) = (true, Vec::new());
        for step in steps.into_iter().filter(|step| !chooses || !matches!(step, Step::Train(_))) {
            let done = worker.step(step)?;
            if counts(goal, step) {
                tally.count(&done);
            }
            others.extend(done.elsewhere);
            if done.interrupted || worker.settings.fail_fast && tally.failed > 0 {
                goes_on = false;
                break;
            }
        }
        if let Some(halving) = halving.filter(|_| goes_on && wanted > 0) {
            let (came, stopped) = worker.halve(whole, halving)?;
            came.iter().for_each(|done| tally.count(done));
            tally.stopped = stopped;
            tally.left -= stopped;
        }
        if let Some(tune) = tune.filter(|_| goes_on && wanted > 0) {
            let (came, unchosen) = worker.tune(whole, tune)?;
            came.iter().for_each(|done| tally.count(done));
            tally.unchosen = unchosen;
            tally.left -= unchosen;
        }
        if goes_on && worker.settings.waits {
            worker.wait_for(others, &mut tally)?;
        }
        if goal == Goal::Trials
            && tally.finished > 0
            && let Some(dataset) = worker.tested()
        {
            let _gate = worker.store.gate()?;
            keep_pictures(worker.store.folder(), dataset)?;
        }
        progress.sweep_ends();
        Ok(tally)
    }
    /// The trials that are asked for.
    fn asked(&self, graph: &Graph) -> Vec<Id<Train>> {
        let wanted: BTreeSet<&str> = self.plan.trials.iter().map(|trial| trial.id.as_str()).collect();
        graph.trials.ids().filter(|id| wanted.contains(graph.trials[*id].trial.id.as_str())).collect()
    }

    /// A worker that has made nothing yet; of the hubs, the second is without the network.
    fn worker<'w>(
        &'w mut self,
        graph: &'w Graph,
        goal: Goal,
        (hub, cache): (&'w Hub, &'w Hub),
    ) -> Worker<'w> {
        Worker {
            graph,
            due: Vec::new(),
            cohorts: Vec::new(),
            varied: varied(self.whole),
            goal,
            experiment: &self.whole.experiment,
            checkpoints: self.plan.checkpoints,
            store: self.store,
            hub,
            cache,
            only_here: false,
            progress: self.progress,
            interrupted: self.interrupted,
            settings: &self.settings,
            until: None,
            made: Products::of(graph),
            shelf: Shelf::new(0, seconds),
            begun: RefCell::default(),
            said: RefCell::default(),
            too_large: BTreeMap::new(),
            seen: BTreeMap::new(),
        }
    }
}

/// Whether a trial that failed for this reason is run again by the next sweep.
pub fn runs_again(reason: &str) -> bool {
    memory::was_short(reason) || pretrain::failed_before(reason)
}

/// What a user knows the trials of a plan by, in its order.
pub fn labels(plan: &Plan) -> Vec<String> {
    let varied = varied(plan);
    plan.trials.iter().map(|trial| label(trial, &varied)).collect()
}

fn label(trial: &Trial, varied: &[String]) -> String {
    let varied = varied.iter().filter(|key| trial.uses(key));
    let varied = varied.filter_map(|key| Some(format!(" {key} {}", trial.value_of(key)?)));
    trial.label() + &varied.collect::<String>()
}

/// The keys that a plan varies and that [`Trial::label`] does not tell.
fn varied(plan: &Plan) -> Vec<String> {
    const TOLD: [&str; 5] = ["model", "weights", "strategy", "seed", "resolution"];
    let axes = plan.axes.iter().filter(|axis| axis.values.len() > 1);
    axes.map(|axis| axis.key.clone()).filter(|key| !TOLD.contains(&key.as_str())).collect()
}

/// Whether what a step stores is what the goal asks for.
fn counts(goal: Goal, step: Step) -> bool {
    matches!(step, Step::Pretrain(_)) == (goal == Goal::Pretrainings)
}
