//! One worker that does the steps of a schedule from first to last: [`Worker::step`]. What it makes stays with it to the
//! end; trials and pretrainings go to the store.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use candle_core::Device;
use frostline_data::{DataError, Dataset, Prepared, Source};
use frostline_engine::{Shelf, device};
use frostline_experiment::{Checkpoints, Trial};
use frostline_hub::Hub;
use frostline_models::{WeightsSource, card};
use frostline_results::{Inputs, Place, Seconds, Status, Store, TrialResult, TrunkOutcome, TrunkResult};

use super::attempt::{Attempt, attempt};
use super::bookmark::{Member, Saver, begun};
use super::decode;
use super::error::SweepError;
use super::graph::{Decode, FetchImages, FetchWeights, Graph, Id, Made, Pretrain, Train};
use super::pretrain::{self, Pretrained};
use super::schedule::Step;
use super::start;
use super::witness::{Log, Witness, locked};
use super::{Goal, Settings};
use crate::machine::{Taken, free_memory, timestamp};
use crate::terminal::Progress;

/// What a step came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Done {
    /// Trials, or a pretraining, that are stored now.
    pub(super) stored: Vec<Status>,
    /// Trials that another process has stored since the sweep began.
    pub(super) found: usize,
    /// Trials that another process runs now.
    pub(super) elsewhere: Vec<Id<Train>>,
    /// Whether the user asked for the end; where trainings under way stand is kept.
    pub(super) interrupted: bool,
}

impl Done {
    pub(super) fn stored(status: Status) -> Self {
        Self { stored: vec![status], ..Self::default() }
    }
}

/// What does a sweep's steps, and what it has made.
pub(super) struct Worker<'a> {
    pub(super) graph: &'a Graph,
    /// The trials that are to be run; known once what is stored is compared.
    pub(super) due: Vec<Id<Train>>,
    /// The same in groups that advance together.
    pub(super) cohorts: Vec<Vec<Id<Train>>>,
    pub(super) goal: Goal,
    /// Keys that the experiment varies and that a trial's label does not tell.
    pub(super) varied: Vec<String>,
    /// The experiment's name.
    pub(super) experiment: &'a str,
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
    /// The epoch at whose end trainings wait; none for their last.
    pub(super) until: Option<usize>,
    pub(super) made: Products,
    /// What frozen stages gave.
    pub(super) shelf: Shelf,
    /// The trainings that this process has begun.
    pub(super) begun: RefCell<BTreeSet<String>>,
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
    pub(super) trunks: Made<Pretrain>,
}

impl Products {
    /// None yet of this graph.
    pub(super) fn of(graph: &Graph) -> Self {
        Self {
            images: Made::of(&graph.images),
            weights: Made::of(&graph.weights),
            data: Made::of(&graph.data),
            trunks: Made::of(&graph.trunks),
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
            step if self.is_made(step) => Ok(Done::default()),
            Step::FetchImages(id) => self.fetch_images(id),
            Step::FetchWeights(id) => self.fetch_weights(id),
            Step::Decode(id) => self.decode(id),
            Step::Check(id) => self.check(id),
            Step::CheckRoom => self.check_room(),
            Step::CheckMemory => self.check_memory(),
            Step::Pretrain(id) => self.pretrain(id),
            Step::Train(place) => self.train(&self.cohorts[place].clone()),
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
        Ok(Done::default())
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
        Ok(Done::default())
    }

    fn decode(&mut self, id: Id<Decode>) -> Result<Done, SweepError> {
        let node = &self.graph.data[id];
        let decoded = decode::decoded(&self.made.images[node.images], node, &self.kept(), self.progress)?;
        self.made.data.put(id, decoded);
        Ok(Done::default())
    }

    /// The weights, from the store or made now. What was stored and is damaged is made again.
    fn pretrain(&mut self, id: Id<Pretrain>) -> Result<Done, SweepError> {
        let Pretrain { trunk, data } = &self.graph.trunks[id];
        let Some(_claim) = self.claim_trunk(trunk)? else {
            return Ok(Done { interrupted: true, ..Done::default() });
        };
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
            return Ok(Done::stored(status));
        }
        if let Some(problem) = self.too_large.get(&trunk.id) {
            self.made.trunks.put(id, Pretrained::failed(trunk, problem)); // Not stored, so that it is tried again.
            return Ok(Done::stored(Status::Failed { reason: problem.clone() }));
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
        let dataset = &self.made.data[*data].dataset;
        let inputs = Inputs { data: Some(dataset.digest.clone()), weights: None };
        let underway = self.store.underway();
        let begun = begun(&underway, &[(&trunk.id, &inputs)], self.progress)?.pop().flatten();
        let log = match &begun {
            Some(begun) => {
                outcome.started_at.clone_from(&begun.place.started_at);
                self.goes_on(&begun.place);
                Log::begin(begun.taken(), begun.place.epochs.clone(), self.shelf.held())
            }
            None => Log::begin(Taken::default(), Vec::new(), self.shelf.held()),
        };
        let member = Member { id: trunk.id.clone(), inputs, started_at: outcome.started_at.clone() };
        let mut saver = Saver::new(underway, self.settings.save_every, vec![member], vec![&log]);
        let (progress, interrupted) = (self.progress, self.interrupted);
        let mut witness = Witness { progress, interrupted, log: &log, label: trunk.label(), tracked: None };
        let from = begun.map(|begun| begun.state);
        let device = self.settings.devices.of(&trunk.device);
        let done = attempt(|| {
            pretrain::learn(trunk, dataset, device, from, &mut outcome, (&mut witness, &mut saver))
        });
        saver.end()?;
        let (weights, pictures) = match done {
            Ok((weights, pictures)) => (Some(weights), pictures),
            Err(Attempt::Interrupted) => return Ok(Done { interrupted: true, ..Done::default() }),
            Err(Attempt::Failed(reason)) => {
                outcome.status = Status::Failed { reason };
                (None, None)
            }
        };
        (outcome.seconds, _, outcome.peak_memory_bytes) = locked(&log).measured();
        let epochs = std::mem::take(&mut locked(&log).epochs);
        let result = TrunkResult { outcome, epochs, weights, pictures };
        self.store.save_trunk(trunk, &result)?;
        self.progress.pretraining_ends(trunk, &result.outcome);
        let made = Pretrained::of(self.store, trunk, &result.outcome).unwrap_or_else(|| {
            Pretrained::failed(trunk, "its file cannot be read back; check the disk, and make it again with `frostline pretrain --force`")
        });
        self.made.trunks.put(id, made);
        Ok(Done::stored(result.outcome.status))
    }

    /// What the user knows a trial by.
    pub(super) fn label(&self, trial: &Trial) -> String {
        super::label(trial, &self.varied)
    }

    /// Where decoded images are kept for the next sweep: beside the Hub's cache.
    pub(super) fn kept(&self) -> PathBuf {
        self.hub.options().cache.with_file_name("frostline")
    }

    /// Says that a training goes on from where an earlier process has kept it.
    pub(super) fn goes_on(&self, place: &Place) {
        if self.begun.borrow_mut().insert(place.of.clone()) {
            self.progress.goes_on(place);
        }
    }

    /// What may be taken of the host's memory beside what is taken already, in bytes; none where the system does not tell.
    pub(super) fn free_memory(&self) -> Option<u64> {
        free_memory(self.settings.memory)
    }

    /// The same of the memory that a trial's tensors lie in: of its device's own, where it has some.
    pub(super) fn room(&self, trial: &Trial) -> Option<u64> {
        match self.settings.devices.of(&trial.device) {
            Device::Cpu => self.free_memory(),
            other => device::free_memory(other),
        }
    }

    /// Stores what a trial came to.
    ///
    /// # Errors
    /// A failed write.
    pub(super) fn store(&mut self, id: Id<Train>, result: TrialResult) -> Result<Status, SweepError> {
        let trial = &self.graph.trials[id].trial;
        self.store.save(trial, &result, self.settings.force)?;
        self.progress.trial_ends(&self.label(trial), trial, &result.outcome);
        Ok(result.outcome.status)
    }
}
