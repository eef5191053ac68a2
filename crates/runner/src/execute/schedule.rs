//! What of a graph is to be done, and in which order: [`Schedule::of`], by what an [`Inventory`] says is there. It is a list of
//! [`Step`]s in which every input comes before what needs it; doing them from first to last is a sweep by one worker.

use frostline_experiment::{Trial, Trunk};
use frostline_results::{State, Status, Store};

use super::cohort::cohorts;
use super::graph::{Decode, FetchImages, FetchWeights, Graph, Id, Pretrain, Start, Train};
use super::memory;
use super::pretrain::failed_before;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    /// The trials that are not stored.
    Trials,
    /// The pretrainings of all trials.
    Pretrainings,
}

/// What was done by earlier sweeps.
pub(super) trait Inventory {
    /// How a trial stands; none where nothing is stored of it.
    fn trial(&self, trial: &Trial) -> Option<&State>;

    /// Whether a trunk is stored that did not fail.
    fn has_trunk(&self, trunk: &Trunk) -> bool;
}

impl Inventory for Store {
    fn trial(&self, trial: &Trial) -> Option<&State> {
        self.state(&trial.id)
    }

    fn has_trunk(&self, trunk: &Trunk) -> bool {
        let stored = self.trunk(&trunk.id).ok().flatten();
        stored.is_some_and(|stored| stored.outcome.status == Status::Finished)
    }
}

/// One thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Fetch and verify images.
    FetchImages(Id<FetchImages>),
    /// Fetch and verify weights.
    FetchWeights(Id<FetchWeights>),
    /// Decode images.
    Decode(Id<Decode>),
    /// See that the images give a trial, and the pretraining before it, their splits.
    Check(Id<Train>),
    /// See that there is room for what the trials leave behind.
    CheckRoom,
    /// See which trials have the memory that they will take.
    CheckMemory,
    /// Make weights, or find those that are stored.
    Pretrain(Id<Pretrain>),
    /// Train the models of a cohort, by its place, test them, and store the trials.
    Train(usize),
}

/// Steps in order. Everything is fetched, decoded and checked before anything trains.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    pub(super) steps: Vec<Step>,
    /// The trials that are due, in the order of the plan.
    pub(super) due: Vec<Id<Train>>,
    /// The same in groups that advance together.
    pub(super) cohorts: Vec<Vec<Id<Train>>>,
    /// How many trials are stored and left alone.
    pub(super) skipped: usize,
}

impl Schedule {
    /// What is left to do for a goal; everything, by `force`.
    /// Of the trials that are asked for, that is.
    pub(super) fn of(
        graph: &Graph,
        asked: &[Id<Train>],
        stored: &dyn Inventory,
        goal: Goal,
        force: bool,
    ) -> Self {
        let mut schedule = Self::default();
        let is_due = |id: &Id<Train>| goal == Goal::Pretrainings || is_due(graph, *id, stored, force);
        schedule.due = asked.iter().copied().filter(is_due).collect();
        schedule.skipped = asked.len() - schedule.due.len();
        for id in schedule.due.clone() {
            schedule.fetch(graph, id);
        }
        for id in schedule.due.clone() {
            schedule.decode(graph, id);
        }
        if goal == Goal::Trials && !schedule.due.is_empty() {
            schedule.steps.extend([Step::CheckRoom, Step::CheckMemory]);
        }
        schedule.cohorts = cohorts(graph, &schedule.due);
        for (place, cohort) in schedule.cohorts.clone().into_iter().enumerate() {
            for id in cohort {
                if let Start::Pretrained(trunk) = graph.trials[id].start {
                    schedule.once(Step::Pretrain(trunk));
                }
            }
            if goal == Goal::Trials {
                schedule.steps.push(Step::Train(place));
            }
        }
        schedule
    }

    /// What a trial is made of, fetched and decoded.
    pub(super) fn inputs(graph: &Graph, id: Id<Train>) -> Vec<Step> {
        let mut schedule = Self::default();
        schedule.fetch(graph, id);
        schedule.decode(graph, id);
        schedule.steps.retain(|step| !matches!(step, Step::Check(_)));
        schedule.steps
    }

    fn fetch(&mut self, graph: &Graph, id: Id<Train>) {
        let train = &graph.trials[id];
        self.once(Step::FetchImages(graph.data[train.data].images));
        match train.start {
            Start::Drawn(_) => {}
            Start::Fetched(weights) => self.once(Step::FetchWeights(weights)),
            Start::Pretrained(trunk) => {
                self.once(Step::FetchImages(graph.data[graph.trunks[trunk].data].images));
            }
        }
    }

    fn decode(&mut self, graph: &Graph, id: Id<Train>) {
        let train = &graph.trials[id];
        self.once(Step::Decode(train.data));
        if let Start::Pretrained(trunk) = train.start {
            self.once(Step::Decode(graph.trunks[trunk].data));
        }
        self.once(Step::Check(id));
    }

    fn once(&mut self, step: Step) {
        if !self.steps.contains(&step) {
            self.steps.push(step);
        }
    }
}

/// Finished trials are due only by force. A failed one would fail again, as its numbers depend on its id alone, unless it was
/// its pretraining that failed and has been done since, or there was too little memory, of which there may be more now.
fn is_due(graph: &Graph, id: Id<Train>, stored: &dyn Inventory, force: bool) -> bool {
    let Train { trial, start, .. } = &graph.trials[id];
    match (stored.trial(trial), start) {
        (Some(State::Failed { reason }), _) if memory::was_short(reason) => true,
        (Some(State::Failed { reason }), Start::Pretrained(trunk)) if failed_before(reason) => {
            force || stored.has_trunk(&graph.trunks[*trunk].trunk)
        }
        (Some(State::Finished | State::Failed { .. }), _) => force,
        _ => true,
    }
}
