//! The writing side of a results folder: [`Store`]. A trial's folder appears whole
//! or not at all, and a finished one is not replaced unless that is forced.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use frostline_experiment::{Plan, Trial, Trunk};

use super::atomic::{publish_folder, remove_folder, tidy, write_file, write_through};
use super::claims::{CLAIMS, Claim};
use super::disk::free_bytes;
use super::presence::{Gate, Presence};
use super::pulse::Pulse;
use super::records::PlanRecord;
use crate::{
    Checkpoint, Environment, EpochRecord, Holder, Invocation, Outcome, Status, StoreError, StoredTrial,
    StoredTrunk, TrialResult, TrunkResult, Underway, json, ledger, read, tables,
};

/// What must fit on the disk before a sweep starts: several trials' worth of results.
const PROBE_BYTES: usize = 4 << 20;

/// How a trial stands in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It is done.
    Finished,
    /// It was tried and failed.
    Failed {
        /// Why.
        reason: String,
    },
    /// Its folder is damaged, so it has to be done again.
    Broken {
        /// What is wrong with it.
        reason: String,
    },
}

/// How far a trial has come.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reached {
    /// The epochs that it has behind it.
    pub epochs: Vec<EpochRecord>,
    /// How it ended; none where it has not.
    pub status: Option<Status>,
}

/// The file of a trunk's or a trial's weights in its folder.
pub(super) const WEIGHTS: &str = "model.safetensors";
/// The picture of what an autoencoder gives back, likewise.
pub(super) const PICTURES: &str = "reconstructions.png";

/// An experiment's results folder, open for writing. Several processes may have it open; what each runs it claims.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    states: BTreeMap<String, State>,
    restored: usize,
    me: Holder,
    pulse: Pulse,
    _presence: Presence,
}

impl Store {
    /// Opens a results folder, makes it where it is missing, and looks at what is stored. What a killed process left behind is removed
    /// where no other process has the folder open.
    ///
    /// # Errors
    /// Another process has it to itself, it cannot be written to, the disk is full, or a stored trial has a newer format.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        Self::open_by(folder, Holder::this_process(), false)
    }

    /// Opens it for this process alone.
    ///
    /// # Errors
    /// As [`Store::open`]; [`StoreError::InUse`] where another process has it open.
    pub fn open_alone(folder: &Path) -> Result<Self, StoreError> {
        Self::open_by(folder, Holder::this_process(), true)
    }

    /// Opens it by a process that others will know by what `me` says, for it alone or not.
    ///
    /// # Errors
    /// As [`Store::open`] and [`Store::open_alone`].
    pub fn open_by(folder: &Path, me: Holder, alone: bool) -> Result<Self, StoreError> {
        if folder.exists() {
            ledger::check(folder)?;
        }
        let trials = folder.join("trials");
        fs::create_dir_all(&trials).map_err(|error| StoreError::writing(&trials, error))?;
        let gate = Gate::pass(folder)?;
        let presence = Presence::note(folder, &me)?;
        let (underway, mut restored) = (Underway::of(folder), 0);
        if presence.is_alone() {
            remove_folder(&folder.join(CLAIMS))?;
            [folder.to_owned(), trials.clone()].iter().try_for_each(|folder| tidy(folder))?;
            let pretrained = folder.join("pretrained");
            if pretrained.exists() {
                tidy(&pretrained)?;
            }
            underway.tidy()?;
            restored = ledger::restore(folder)?;
        } else if alone {
            return Err(presence.in_use());
        }
        // Those who come to others change nothing of the whole folder, and need not wait for each other.
        let _gate = presence.is_alone().then_some(gate);
        let probe = folder.join(format!(".probe-{}.partial", std::process::id()));
        let probed = write_through(&probe, &vec![0; PROBE_BYTES]);
        let _ = fs::remove_file(&probe); // whether the probe fitted is what matters
        probed?;
        let (stored, broken) = read::trials(&trials)?;
        let mut states = BTreeMap::new();
        for stored in stored {
            states.insert(stored.trial.id, state_of(&stored.outcome.status));
        }
        for broken in broken {
            states.insert(broken.id, State::Broken { reason: broken.reason });
        }
        if presence.is_alone() {
            // Of trials that have ended and whose folder appeared, but no more.
            let ended = |id: &String| matches!(states.get(id), Some(State::Finished | State::Failed { .. }));
            underway.ids()?.iter().filter(|id| ended(id)).try_for_each(|id| underway.forget(id))?;
        }
        let presence = if alone || !presence.is_alone() { presence } else { presence.beside_others()? };
        let pulse = Pulse::start().map_err(StoreError::Thread)?;
        Ok(Self { folder: folder.to_owned(), states, restored, me, pulse, _presence: presence })
    }

    /// Waits until no other process writes what belongs to the whole folder, and keeps others from it.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub fn gate(&self) -> Result<Gate, StoreError> {
        Gate::pass(&self.folder)
    }

    /// Claims a trial, and looks again how it stands: another process may have ended it since. None where another one runs it.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub fn claim(&mut self, id: &str) -> Result<Option<Claim>, StoreError> {
        let claim = Claim::take(&self.folder, id, &self.me, &self.pulse)?;
        let path = self.folder.join("trials").join(id);
        if claim.is_some() && path.exists() {
            let state = match read::trial(&path) {
                Ok(stored) => state_of(&stored.outcome.status),
                Err(error) => State::Broken { reason: error.to_string() },
            };
            self.states.insert(id.to_owned(), state);
        }
        Ok(claim)
    }

    /// Claims a trunk; none where another process makes it.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub fn claim_trunk(&self, id: &str) -> Result<Option<Claim>, StoreError> {
        Claim::take(&self.folder, id, &self.me, &self.pulse)
    }

    /// The results folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// How many trials had no folder and were read back from what stands beside the report.
    pub fn restored(&self) -> usize {
        self.restored
    }

    /// What this process may still write to the folder's file system, in bytes; none where the system does not tell.
    pub fn free_bytes(&self) -> Option<u64> {
        free_bytes(&self.folder)
    }

    /// How a trial stands, `None` where nothing is stored of it.
    pub fn state(&self, id: &str) -> Option<&State> {
        self.states.get(id)
    }

    /// All stored trials in the order of their ids.
    pub fn states(&self) -> impl Iterator<Item = (&str, &State)> {
        self.states.iter().map(|(id, state)| (id.as_str(), state))
    }

    /// What is stored under this id stands elsewhere from now on.
    pub(super) fn forget(&mut self, id: &str) {
        self.states.remove(id);
    }

    /// A trial's folder has come back.
    pub(super) fn remember(&mut self, id: &str, status: &Status) {
        self.states.insert(id.to_owned(), state_of(status));
    }

    /// Stores the whole plan, the text of the experiment file that it came from, and how it was asked for.
    ///
    /// # Errors
    /// The folder holds the results of another file, which only has the same name; a failed write.
    pub fn record_plan(&self, plan: &Plan, experiment: &str, asked: &Invocation) -> Result<(), StoreError> {
        let _gate = self.gate()?;
        let (path, text) = (self.folder.join("plan.json"), self.folder.join("experiment.toml"));
        let before: Option<PlanRecord> = json::read(&path, "sweep").ok(); // A damaged one is replaced.
        let (holds, wanted) = (before.and_then(|record| record.asked().file), asked.file.clone());
        if let (Some(holds), Some(wanted)) = (holds, wanted)
            && holds != wanted
            && fs::read_to_string(&text).is_ok_and(|text| text != experiment)
        {
            return Err(StoreError::OtherExperiment { folder: self.folder.clone(), holds, wanted });
        }
        let record = PlanRecord::new(plan, asked);
        for (path, content) in
            [(&text, experiment.as_bytes()), (&path, &json::to_bytes(&path, "sweep", &record)?)]
        {
            // Many processes that share a sweep note the same.
            if fs::read(path).ok().as_deref() != Some(content) {
                write_file(path, content)?;
            }
        }
        Ok(())
    }

    /// Stores the environment that the next trials run in, beside those of earlier runs, and gives its id.
    ///
    /// # Errors
    /// A failed write, or a damaged `environment.json`.
    pub fn record_environment(&self, environment: &Environment) -> Result<String, StoreError> {
        let _gate = self.gate()?;
        let mut all = read::environments(&self.folder)?;
        let id = environment.id();
        if all.insert(id.clone(), environment.clone()).as_ref() != Some(environment) {
            let path = self.folder.join("environment.json");
            write_file(&path, &json::to_bytes(&path, "environments", &all)?)?;
        }
        Ok(id)
    }

    /// Stores what a trial came to. Failed and broken results are replaced, a finished one only by `force`; in any
    /// case the old one is kept until the new one is whole.
    ///
    /// # Errors
    /// The trial is finished and `force` is not set, or a failed write; nothing that was stored is lost then.
    pub fn save(&mut self, trial: &Trial, result: &TrialResult, force: bool) -> Result<(), StoreError> {
        let id = &trial.id;
        if !force && self.state(id) == Some(&State::Finished) {
            return Err(StoreError::Finished { id: id.clone() });
        }
        publish_folder(&self.folder.join("trials").join(id), |folder| {
            let TrialResult { outcome, epochs, predictions, checkpoint } = result;
            let digest = (!predictions.is_empty()).then(|| tables::digest(predictions));
            let outcome = &Outcome { predictions: digest, ..outcome.clone() };
            fill(folder, trial, outcome, epochs, &tables::predictions_file(folder, predictions)?)?;
            let weights = |checkpoint: &Checkpoint| write_through(&folder.join(WEIGHTS), &checkpoint.bytes);
            checkpoint.as_ref().map_or(Ok(()), weights)
        })?;
        self.states.insert(id.clone(), state_of(&result.outcome.status));
        self.underway().forget(id)
    }

    /// How far a trial has come, by this process or another.
    pub fn reached(&self, id: &str) -> Reached {
        let ended = || read::trial(&self.folder.join("trials").join(id)).ok();
        let whole =
            |stored: StoredTrial| Reached { epochs: stored.epochs, status: Some(stored.outcome.status) };
        let waits = || self.underway().last(id).map(|place| Reached { epochs: place.epochs, status: None });
        // Another process may end it between the two looks.
        ended().map(whole).or_else(waits).or_else(|| ended().map(whole)).unwrap_or_default()
    }

    /// The trainings that have not ended.
    pub fn underway(&self) -> Underway {
        Underway::of(&self.folder)
    }
}

impl Store {
    /// Where a trunk's weights are, or will be.
    pub fn trunk_weights(&self, id: &str) -> PathBuf {
        self.folder.join("pretrained").join(id).join(WEIGHTS)
    }

    /// What is stored of a trunk; `None` where there is nothing or nothing whole.
    ///
    /// # Errors
    /// It is of a newer format.
    pub fn trunk(&self, id: &str) -> Result<Option<StoredTrunk>, StoreError> {
        match read::trunk(&self.folder.join("pretrained").join(id)) {
            Ok(stored) => Ok(Some(stored)),
            Err(error @ StoreError::Newer { .. }) => Err(error),
            Err(_) => Ok(None),
        }
    }

    /// As [`Store::trunk`], and where its folder is gone, as from a checkout, what `stored.json` says of it.
    ///
    /// # Errors
    /// It is of a newer format; `stored.json` is damaged.
    pub fn recorded_trunk(&self, id: &str) -> Result<Option<StoredTrunk>, StoreError> {
        let gone = || Ok(ledger::trunks(&self.folder, &[])?.into_iter().find(|stored| stored.trunk.id == id));
        self.trunk(id)?.map_or_else(gone, |stored| Ok(Some(stored)))
    }

    /// Stores what a pretraining came to, in place of what was there; that is kept until the new one is whole.
    ///
    /// # Errors
    /// A failed write; nothing that was stored is lost then.
    pub fn save_trunk(&mut self, trunk: &Trunk, result: &TrunkResult) -> Result<(), StoreError> {
        let pretrained = self.folder.join("pretrained");
        fs::create_dir_all(&pretrained).map_err(|error| StoreError::writing(&pretrained, error))?;
        publish_folder(&pretrained.join(&trunk.id), |folder| {
            let put = |name: &str, bytes: &[u8]| write_through(&folder.join(name), bytes);
            put("trunk.json", &json::to_bytes(folder, "trunk", trunk)?)?;
            put("outcome.json", &json::to_bytes(folder, "outcome", &result.outcome)?)?;
            put("epochs.json", &json::to_bytes(folder, "epochs", &result.epochs)?)?;
            if let Some(weights) = &result.weights {
                put(WEIGHTS, weights)?;
            }
            result.pictures.as_ref().map_or(Ok(()), |pictures| put(PICTURES, pictures))
        })?;
        self.underway().forget(&trunk.id)
    }
}

/// Writes what a trial's folder holds, but for weights.
pub(super) fn fill(
    folder: &Path,
    trial: &Trial,
    outcome: &Outcome,
    epochs: &[EpochRecord],
    predictions: &[u8],
) -> Result<(), StoreError> {
    let put = |name: &str, bytes: &[u8]| write_through(&folder.join(name), bytes);
    put("trial.json", &json::to_bytes(folder, "trial", trial)?)?;
    put("outcome.json", &json::to_bytes(folder, "outcome", outcome)?)?;
    put("epochs.json", &json::to_bytes(folder, "epochs", &epochs)?)?;
    put("predictions.parquet", predictions)
}

fn state_of(status: &Status) -> State {
    match status {
        Status::Finished => State::Finished,
        Status::Failed { reason } => State::Failed { reason: reason.clone() },
    }
}
