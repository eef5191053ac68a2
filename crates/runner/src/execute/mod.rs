//! The sweep: [`Sweep`] lays a plan out as a graph (`graph.rs`), schedules what of it is not stored (`schedule.rs`), and has
//! a worker do that step by step (`worker.rs`).
//!
//! Nothing is trained before every data set and every weight file is here and verified. A trial that fails is stored
//! as failed and the sweep goes on; a result that cannot be stored ends the sweep, with all earlier ones kept.

mod attempt;
mod error;
mod graph;
mod keep;
mod lineage;
mod model;
mod pretrain;
mod schedule;
#[cfg(test)]
mod tests;
mod train;
mod witness;
mod worker;

use std::sync::atomic::AtomicBool;

use frostline_experiment::Plan;
use frostline_hub::Hub;
use frostline_results::{Environment, Status, Store};

pub use error::SweepError;
use graph::Graph;
use schedule::{Goal, Schedule, Step};
use worker::{Done, Products, Worker};

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
    /// Not begun, or given up, since the sweep was interrupted.
    pub left: usize,
}

/// A sweep of a plan into a store.
pub struct Sweep<'a> {
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
    /// Whether finished trials are redone.
    pub force: bool,
}

impl<'a> Sweep<'a> {
    /// A sweep of `plan` into `store`. It stops at the next step after `interrupted` becomes true.
    pub fn new(
        plan: &'a Plan,
        store: &'a mut Store,
        progress: &'a Progress,
        interrupted: &'a AtomicBool,
        settings: Settings,
    ) -> Self {
        Self { plan, store, progress, interrupted, settings }
    }

    /// Fetches and verifies what the trials need, then trains those that are not stored yet.
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

    fn reach(self, goal: Goal, hub: &Hub) -> Result<Tally, SweepError> {
        let graph = Graph::of(self.plan)?;
        let Schedule { steps, due, skipped } = Schedule::of(&graph, self.store, goal, self.settings.force);
        let wanted = match goal {
            Goal::Trials => due.len(),
            Goal::Pretrainings => graph.trunks.ids().count(),
        };
        let mut tally = Tally { skipped, left: wanted, ..Tally::default() };
        self.progress.sweep_begins(wanted, skipped);
        if wanted > 0 {
            self.store.record_environment(&self.settings.environment)?;
        }
        let mut worker = Worker {
            graph: &graph,
            due: &due,
            goal,
            checkpoints: self.plan.checkpoints,
            store: self.store,
            hub,
            progress: self.progress,
            interrupted: self.interrupted,
            settings: &self.settings,
            made: Products::of(&graph),
        };
        for step in steps {
            match worker.step(step)? {
                Done::Interrupted => break,
                Done::Stored(status) if counts(goal, step) => {
                    tally.left -= 1;
                    match status {
                        Status::Finished => tally.finished += 1,
                        Status::Failed { .. } => tally.failed += 1,
                    }
                }
                Done::Made | Done::Stored(_) => {}
            }
        }
        self.progress.sweep_ends();
        Ok(tally)
    }
}

/// Whether what a step stores is what the goal asks for.
fn counts(goal: Goal, step: Step) -> bool {
    matches!(step, Step::Pretrain(_)) == (goal == Goal::Pretrainings)
}
