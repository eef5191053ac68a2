//! Why a sweep ends early: [`SweepError`].

use std::path::PathBuf;
use std::process::ExitStatus;

use frostline_data::DataError;
use frostline_experiment::Footprint;
use frostline_models::ModelError;
use frostline_results::StoreError;
use frostline_text::bytes;

/// Why a sweep ended early.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// A data set is missing or broken.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A weight file is missing or broken.
    #[error("weights for {model}: {cause}")]
    Weights {
        /// The model that they are for.
        model: String,
        /// What is wrong.
        cause: ModelError,
    },
    /// Results cannot be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A setting of the plan that the crates below do not take.
    #[error("trial {trial}: {problem}")]
    Setting {
        /// The trial's id.
        trial: String,
        /// What is wrong.
        problem: String,
    },
    /// One of several processes did not do its share.
    #[error(
        "the process on {device} ended early ({status}), for the reason that it gave; what finished is kept, and the same \
         command goes on"
    )]
    Process {
        /// What it computed on.
        device: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// The checkpoints do not fit.
    #[error(
        "the checkpoints need {footprint}, and {} has {} left; free some space, name another folder with --results, or \
         keep none (checkpoints = \"none\")",
        folder.display(),
        bytes(*free)
    )]
    NoRoom {
        /// What they need.
        footprint: Footprint,
        /// What there is, in bytes.
        free: u64,
        /// The results folder.
        folder: PathBuf,
    },
}
