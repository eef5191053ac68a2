//! One worker that does the steps of a schedule from first to last: [`Worker::step`]. What it makes stays with it to the
//! end, but for trained models, which go once they are tested; trials and pretrainings go to the store.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use frostline_data::{DataError, Dataset, Prepared, Source};
use frostline_experiment::Checkpoints;
use frostline_hub::Hub;
use frostline_models::{WeightsSource, card};
use frostline_results::{Outcome, Seconds, Status, Store, TrialResult, TrunkOutcome, TrunkResult};

use super::attempt::{Attempt, attempt};
use super::decode;
use super::error::SweepError;
use super::graph::{Decode, Evaluate, FetchImages, FetchWeights, Graph, Id, Made, Pretrain, Start, Train};
use super::pretrain::{self, Pretrained};
use super::schedule::Step;
use super::start;
use super::train::{self, Fitted};
use super::witness::{Log, Witness};
use super::{Goal, Settings};
use crate::machine::timestamp;
use crate::terminal::Progress;

/// What a step came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Done {
    /// It is made; the next one may need it.
    Made,
    /// A trial or a pretraining is stored.
    Stored(Status),
    /// The user asked for the end; of a trial under way nothing is stored.
    Interrupted,
}

/// What does a sweep's steps, and what it has made.
pub(super) struct Worker<'a> {
    pub(super) graph: &'a Graph,
    /// The trials that are to be run; known once what is stored is compared.
    pub(super) due: Vec<Id<Train>>,
    pub(super) goal: Goal,
    pub(super) checkpoints: Checkpoints,
    pub(super) store: &'a mut Store,
    pub(super) hub: &'a Hub,
    /// The same without the network.
    pub(super) cache: &'a Hub,
    /// Whether files are looked for on this machine alone.
    pub(super) only_here: bool,
    pub(super) progress: &'a Progress,
    pub(super) interrupted: &'a AtomicBool,
    pub(super) settings: &'a Settings,
    pub(super) made: Products,
    /// What was said and is not said again.
    pub(super) said: RefCell<Vec<String>>,
    /// The trials and trunks for which there is too little memory, with what is missing.
    pub(super) too_large: BTreeMap<String, String>,
    /// What trials are tested with and their pretrainings have seen.
    pub(super) seen: BTreeMap<String, String>,
}

/// What has been made, by kind of node.
pub(super) struct Products {
    images: Made<FetchImages>,
    pub(super) weights: Made<FetchWeights>,
    pub(super) data: Made<Decode>,
    trunks: Made<Pretrain>,
    trials: Made<Train>,
}

impl Products {
    /// None yet of this graph.
    pub(super) fn of(graph: &Graph) -> Self {
        Self {
            images: Made::of(&graph.images),
            weights: Made::of(&graph.weights),
            data: Made::of(&graph.data),
            trunks: Made::of(&graph.trunks),
            trials: Made::of(&graph.trials),
        }
    }
}

impl Worker<'_> {
    /// The images that trials were tested on, the largest of several sizes; none where nothing was decoded, or trials have several
    /// sources.
    pub(super) fn tested(&self) -> Option<&Dataset> {
        let used: Vec<Id<Decode>> = self.graph.trials.ids().map(|id| self.graph.trials[id].data).collect();
        let source = |id: &Id<Decode>| &self.graph.data[*id].source;
        let one = used.iter().all(|id| source(id) == source(&used[0]));
        let decoded = used.iter().filter(|_| one).filter_map(|id| self.made.data.get(*id));
        decoded.map(|decoded| &decoded.dataset).max_by_key(|dataset| dataset.test.height())
    }

    /// Does one step, whose inputs are made.
    ///
    /// # Errors
    /// What ends the sweep: something that is missing or broken, or a failed write. A training that fails is stored as such.
    pub(super) fn step(&mut self, step: Step) -> Result<Done, SweepError> {
        match step {
            step if self.is_made(step) => Ok(Done::Made),
            Step::FetchImages(id) => self.fetch_images(id),
            Step::FetchWeights(id) => self.fetch_weights(id),
            Step::Decode(id) => self.decode(id),
            Step::Check(id) => self.check(id),
            Step::CheckRoom => self.check_room(),
            Step::CheckMemory => self.check_memory(),
            Step::Pretrain(id) => self.pretrain(id),
            Step::Train(id) => self.train(id),
            Step::Evaluate(id) => self.evaluate(id),
        }
    }

    /// The files of a source that were fetched.
    pub(super) fn images(&self, id: Id<FetchImages>) -> &Prepared {
        &self.made.images[id]
    }

    fn hub(&self) -> &Hub {
        if self.only_here { self.cache } else { self.hub }
    }

    /// Whether a step would make again what is there.
    pub(super) fn is_made(&self, step: Step) -> bool {
        match step {
            Step::FetchImages(id) => self.made.images.get(id).is_some(),
            Step::FetchWeights(id) => self.made.weights.get(id).is_some(),
            Step::Decode(id) => self.made.data.get(id).is_some(),
            _ => false,
        }
    }

    fn fetch_images(&mut self, id: Id<FetchImages>) -> Result<Done, SweepError> {
        let FetchImages { source, reading } = &self.graph.images[id];
        let source: Source = source.parse().map_err(DataError::from)?;
        self.made.images.put(id, frostline_data::prepare(&source, reading, self.hub(), self.progress)?);
        Ok(Done::Made)
    }

    fn fetch_weights(&mut self, id: Id<FetchWeights>) -> Result<Done, SweepError> {
        let FetchWeights { model, weights } = &self.graph.weights[id];
        let failed = |cause| SweepError::Weights { model: model.clone(), cause };
        let source: WeightsSource =
            weights.parse().map_err(|error| failed(frostline_models::ModelError::Weights(error)))?;
        let card = card(model).map_err(|unknown| failed(unknown.into()))?;
        let resolved = frostline_models::resolve(card, &source, self.hub(), self.progress).map_err(failed)?;
        if let Some(resolved) = resolved {
            let resolved = start::with_sidecar(resolved, &source);
            for note in &resolved.lineage.notes {
                self.progress.say(&format!("weights for {model} ({weights}): {note}"));
            }
            self.made.weights.put(id, resolved);
        }
        Ok(Done::Made)
    }

    fn decode(&mut self, id: Id<Decode>) -> Result<Done, SweepError> {
        let node = &self.graph.data[id];
        let decoded = decode::decoded(&self.made.images[node.images], node, self.progress)?;
        self.made.data.put(id, decoded);
        Ok(Done::Made)
    }

    /// The weights, from the store or made now. What was stored and is damaged is made again.
    fn pretrain(&mut self, id: Id<Pretrain>) -> Result<Done, SweepError> {
        let Pretrain { trunk, data } = &self.graph.trunks[id];
        let remake = self.goal == Goal::Pretrainings && self.settings.force;
        let stored = match pretrain::stored(self.store, trunk)? {
            Some(Pretrained::Failed(_)) if self.settings.force => None,
            stored => stored.filter(|_| !remake),
        };
        if let Some(stored) = stored {
            let status = match &stored {
                Pretrained::Ready(..) => Status::Finished,
                Pretrained::Failed(reason) => Status::Failed { reason: reason.clone() },
            };
            self.made.trunks.put(id, stored);
            return Ok(Done::Stored(status));
        }
        if let Some(problem) = self.too_large.get(&trunk.id) {
            self.made.trunks.put(id, Pretrained::failed(trunk, problem)); // Not stored, so that it is tried again.
            return Ok(Done::Stored(Status::Failed { reason: problem.clone() }));
        }
        self.progress.training_begins(
            &trunk.label(),
            trunk.pretraining.train.epochs,
            trunk.pretraining.train.batch,
        );
        let mut outcome = TrunkOutcome {
            trunk: trunk.id.clone(),
            status: Status::Finished,
            chosen_epoch: None,
            seconds: Seconds::default(),
            peak_memory_bytes: None,
            parameters: None,
            data: None,
            weights: None,
            threads: self.settings.threads,
            started_at: timestamp(),
            environment: self.settings.environment.id(),
        };
        let mut log = Log::begin();
        let mut witness = Witness { progress: self.progress, interrupted: self.interrupted, log: &mut log };
        let dataset = &self.made.data[*data].dataset;
        let done = attempt(|| pretrain::learn(trunk, dataset, &mut outcome, &mut witness));
        let (weights, pictures) = match done {
            Ok((weights, pictures)) => (Some(weights), pictures),
            Err(Attempt::Interrupted) => return Ok(Done::Interrupted),
            Err(Attempt::Failed(reason)) => {
                (outcome.seconds, outcome.peak_memory_bytes) = log.measured();
                outcome.status = Status::Failed { reason };
                (None, None)
            }
        };
        let result = TrunkResult { outcome, epochs: log.epochs, weights, pictures };
        self.store.save_trunk(trunk, &result)?;
        self.progress.pretraining_ends(trunk, &result.outcome);
        let made = Pretrained::of(self.store, trunk, &result.outcome).unwrap_or_else(|| {
            Pretrained::failed(trunk, "its file cannot be read back; check the disk, and make it again with `frostline pretrain --force`")
        });
        self.made.trunks.put(id, made);
        Ok(Done::Stored(result.outcome.status))
    }

    fn train(&mut self, id: Id<Train>) -> Result<Done, SweepError> {
        if self.interrupted.load(Ordering::Relaxed) {
            return Ok(Done::Interrupted);
        }
        let Train { trial, data, start, .. } = &self.graph.trials[id];
        let Settings { threads, environment, .. } = self.settings;
        let mut outcome = Outcome::started(trial, *threads, timestamp(), environment.id());
        if let Some(problem) = self.too_large.get(&trial.id) {
            let reason = problem.clone();
            return self.store_failed(id, outcome, None, reason);
        }
        let weights = match start {
            Start::Drawn(_) => None,
            Start::Fetched(weights) => self.made.weights.get(*weights),
            Start::Pretrained(trunk) => match &self.made.trunks[*trunk] {
                Pretrained::Failed(reason) => {
                    let reason = reason.clone();
                    return self.store_failed(id, outcome, None, reason);
                }
                Pretrained::Ready(resolved, record) => {
                    outcome.pretraining = Some(record.clone());
                    Some(&**resolved)
                }
            },
        };
        self.progress.training_begins(&trial.label(), trial.train.epochs, trial.train.batch);
        let mut log = Log::begin();
        let mut witness = Witness { progress: self.progress, interrupted: self.interrupted, log: &mut log };
        let (dataset, checkpoints) = (&self.made.data[*data].dataset, self.checkpoints);
        let done = attempt(|| train::fit(trial, dataset, weights, checkpoints, &mut outcome, &mut witness));
        match done {
            Ok(weights) => {
                if let (Some(seen), Some(data)) = (self.seen.get(&trial.id), &mut outcome.data) {
                    data.duplicates.push(seen.clone());
                }
                self.made.trials.put(id, Fitted { outcome, log, weights });
                Ok(Done::Made)
            }
            Err(Attempt::Interrupted) => Ok(Done::Interrupted),
            Err(Attempt::Failed(reason)) => self.store_failed(id, outcome, Some(log), reason),
        }
    }

    fn evaluate(&mut self, id: Id<Evaluate>) -> Result<Done, SweepError> {
        let train = self.graph.tests[id].train;
        let Some(Fitted { mut outcome, mut log, weights }) = self.made.trials.take(train) else {
            return Ok(Done::Made); // Its training failed, and is stored.
        };
        let mut witness = Witness { progress: self.progress, interrupted: self.interrupted, log: &mut log };
        let (dataset, checkpoints) =
            (&self.made.data[self.graph.trials[train].data].dataset, self.checkpoints);
        let done = attempt(|| train::evaluate(weights, dataset, checkpoints, &mut outcome, &mut witness));
        match done {
            Ok((predictions, checkpoint)) => {
                self.store(train, TrialResult { outcome, epochs: log.epochs, predictions, checkpoint })
            }
            Err(Attempt::Interrupted) => Ok(Done::Interrupted),
            Err(Attempt::Failed(reason)) => self.store_failed(train, outcome, Some(log), reason),
        }
    }

    /// Stores what a failure leaves behind.
    fn store_failed(
        &mut self,
        id: Id<Train>,
        mut outcome: Outcome,
        log: Option<Log>,
        reason: String,
    ) -> Result<Done, SweepError> {
        let mut epochs = Vec::new();
        if let Some(mut log) = log {
            (outcome.seconds, outcome.peak_memory_bytes) = log.measured();
            epochs = log.epochs;
        }
        outcome.status = Status::Failed { reason };
        self.store(id, TrialResult { outcome, epochs, predictions: Vec::new(), checkpoint: None })
    }

    fn store(&mut self, id: Id<Train>, result: TrialResult) -> Result<Done, SweepError> {
        let trial = &self.graph.trials[id].trial;
        self.store.save(trial, &result, self.settings.force)?;
        self.progress.trial_ends(trial, &result.outcome);
        Ok(Done::Stored(result.outcome.status))
    }
}
