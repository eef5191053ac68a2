//! The writing side of a results folder: [`Store`], which one process at a time holds. A trial's folder appears whole
//! or not at all, and a finished one is not replaced unless that is forced.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use frostline_experiment::{Plan, Trial, Trunk};

use super::atomic::{publish_folder, tidy, write_file, write_through};
use super::records::PlanRecord;
use crate::{
    Checkpoint, Environment, EpochRecord, Invocation, Outcome, Status, StoreError, StoredTrunk, TrialResult,
    TrunkResult, Underway, json, ledger, read, tables,
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

/// The file of a trunk's or a trial's weights in its folder.
pub(super) const WEIGHTS: &str = "model.safetensors";
/// The picture of what an autoencoder gives back, likewise.
pub(super) const PICTURES: &str = "reconstructions.png";

/// An experiment's results folder, open for writing and locked until this value is dropped.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    states: BTreeMap<String, State>,
    restored: usize,
    _lock: File,
}

impl Store {
    /// Opens a results folder, makes it where it is missing, removes what a killed process left behind, and looks at
    /// what is stored.
    ///
    /// # Errors
    /// Another process holds it, it cannot be written to, the disk is full, or a stored trial has a newer format.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        if folder.exists() {
            ledger::check(folder)?;
        }
        let trials = folder.join("trials");
        fs::create_dir_all(&trials).map_err(|error| StoreError::writing(&trials, error))?;
        let lock = lock(folder)?;
        tidy(folder)?;
        tidy(&trials)?;
        let pretrained = folder.join("pretrained");
        if pretrained.exists() {
            tidy(&pretrained)?;
        }
        let underway = Underway::of(folder);
        underway.tidy()?;
        let probe = folder.join(".probe.partial");
        let probed = write_through(&probe, &vec![0; PROBE_BYTES]);
        let _ = fs::remove_file(&probe); // whether the probe fitted is what matters
        probed?;
        let restored = ledger::restore(folder)?;
        let (stored, broken) = read::trials(&trials)?;
        let mut states = BTreeMap::new();
        for stored in stored {
            states.insert(stored.trial.id, state_of(&stored.outcome.status));
        }
        for broken in broken {
            states.insert(broken.id, State::Broken { reason: broken.reason });
        }
        // Of trials that have ended and whose folder appeared, but no more.
        let ended = |id: &String| matches!(states.get(id), Some(State::Finished | State::Failed { .. }));
        underway.ids()?.iter().filter(|id| ended(id)).try_for_each(|id| underway.forget(id))?;
        Ok(Self { folder: folder.to_owned(), states, restored, _lock: lock })
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
        fs4::available_space(&self.folder).ok()
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
        let (path, text) = (self.folder.join("plan.json"), self.folder.join("experiment.toml"));
        let before: Option<PlanRecord> = json::read(&path, "sweep").ok(); // A damaged one is replaced.
        let (holds, wanted) = (before.and_then(|record| record.asked().file), asked.file.clone());
        if let (Some(holds), Some(wanted)) = (holds, wanted)
            && holds != wanted
            && fs::read_to_string(&text).is_ok_and(|text| text != experiment)
        {
            return Err(StoreError::OtherExperiment { folder: self.folder.clone(), holds, wanted });
        }
        write_file(&text, experiment.as_bytes())?;
        let record = PlanRecord::new(plan, asked);
        write_file(&path, &json::to_bytes(&path, "sweep", &record)?)
    }

    /// Stores the environment that the next trials run in, beside those of earlier runs, and gives its id.
    ///
    /// # Errors
    /// A failed write, or a damaged `environment.json`.
    pub fn record_environment(&self, environment: &Environment) -> Result<String, StoreError> {
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
            fill(folder, trial, outcome, epochs, &tables::predictions_file(folder, predictions)?)?;
            let weights = |checkpoint: &Checkpoint| write_through(&folder.join(WEIGHTS), &checkpoint.bytes);
            checkpoint.as_ref().map_or(Ok(()), weights)
        })?;
        self.states.insert(id.clone(), state_of(&result.outcome.status));
        self.underway().forget(id)
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

/// Takes the folder's lock, which the system releases when the process ends, however it ends.
fn lock(folder: &Path) -> Result<File, StoreError> {
    let path = folder.join(".lock");
    let writing = |error| StoreError::writing(&path, error);
    let mut file =
        File::options().read(true).write(true).create(true).truncate(false).open(&path).map_err(writing)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            let told = file.read_to_string(&mut pid).is_ok() && !pid.trim().is_empty();
            let holder = if told { format!("process {}", pid.trim()) } else { "another process".to_owned() };
            return Err(StoreError::InUse { folder: folder.to_owned(), holder });
        }
        Err(TryLockError::Error(error)) => return Err(writing(error)),
    }
    file.set_len(0).and_then(|()| file.rewind()).map_err(writing)?;
    writeln!(file, "{}", std::process::id()).map_err(writing)?;
    Ok(file)
}
