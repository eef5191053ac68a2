//! The results folder: [`Store`] writes trials so that nothing finished is ever lost, [`Results`] reads them back,
//! [`gather`] puts them into tables. Statistics are not made here.
//!
//! ```text
//! results/<experiment>/
//!   experiment.toml  plan.json  environment.json
//!   pretrained/<id>/ trunk.json  outcome.json  epochs.json  model.safetensors  reconstructions.png
//!   trials/<id>/     trial.json  outcome.json  epochs.json  predictions.parquet  model.safetensors
//!   trials.parquet   epochs.parquet  predictions.parquet
//!   report.md        plots/*.svg
//! ```
//!
//! A trial has its `model.safetensors` where `checkpoints` asks for it. [`find`] finds a trial by its id, and [`Sidecar`]
//! is what goes with its weights when they leave the folder.

mod atomic;
mod json;
mod lookup;
mod read;
mod records;
#[cfg(test)]
pub(crate) mod samples;
mod sidecar;
mod store;
mod tables;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

pub use atomic::write_file;
pub use json::FORMAT;
pub use lookup::{Found, LookupError, find};
pub use read::{Broken, Results, trial_weights, trunk_pictures};
pub use records::{
    Checkpoint, CheckpointRecord, DataRecord, EpochRecord, FileRecord, Outcome, Pictures, PretrainingRecord,
    Seconds, Status, StoredTrial, StoredTrunk, TrialResult, TrunkOutcome, TrunkResult, WeightsRecord,
};
pub(crate) use sidecar::none_kept;
pub use sidecar::{Lineages, Measured, Sidecar, beside};
pub use store::{State, Store};
pub use tables::gather;

/// SHA-256 of a file's content, in hex.
pub fn sha256(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What can go wrong with a results folder.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process writes to the folder.
    #[error("{folder} is in use by {holder}; wait until it is done, or name another folder with --results")]
    InUse {
        /// The results folder.
        folder: PathBuf,
        /// The process, as far as it tells.
        holder: String,
    },
    /// The folder cannot be made or written to.
    #[error(
        "{path} cannot be written to ({source}); change its permissions, or name another folder with --results"
    )]
    NotWritable {
        /// What should have been written.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// No space is left.
    #[error(
        "no space is left on the disk for {path}; every trial that finished before is kept: free some space, then run the same command again"
    )]
    Full {
        /// What should have been written.
        path: PathBuf,
    },
    /// Any other failure of the file system.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// `read`, `write`, …
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file comes from a later version.
    #[error(
        "{path} has format {found} and this frostline reads up to {FORMAT}; use the newer frostline that wrote it"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
    },
    /// The file is not whole, or not ours.
    #[error("{path} is damaged: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The trial is there already.
    #[error("trial {id} is finished and is not overwritten; --force redoes it")]
    Finished {
        /// The trial's id.
        id: String,
    },
    /// A report is there without the trials that it was made from, as in a checkout of the repository.
    #[error(
        "{folder} holds a report and its tables, but not the trials they were made from, so it cannot be made again; `frostline sweep` with its experiment file and `--results` runs them"
    )]
    NoTrials {
        /// The folder that was named.
        folder: PathBuf,
    },
    /// The folder is no results folder.
    #[error(
        "{folder} holds no plan.json; name the results folder of an experiment, for instance results/quickstart"
    )]
    NoPlan {
        /// The folder that was named.
        folder: PathBuf,
    },
}

impl StoreError {
    /// Sorts a failed write: a full disk and a missing permission have messages of their own.
    pub(crate) fn writing(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path },
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::NotWritable { path, source }
            }
            _ => Self::Io { action: "write", path, source },
        }
    }

    pub(crate) fn reading(path: &Path, source: io::Error) -> Self {
        Self::Io { action: "read", path: path.to_owned(), source }
    }
}
