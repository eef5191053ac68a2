//! The results folder: [`Store`] writes trials so that nothing finished is ever lost, [`Results`] reads them back,
//! [`gather`] puts them into tables. Statistics are not made here.
//!
//! ```text
//! results/<experiment>/
//!   experiment.toml  plan.json  environment.json
//!   pretrained/<id>/ trunk.json  outcome.json  epochs.json  model.safetensors  reconstructions.png
//!   trials/<id>/     trial.json  outcome.json  epochs.json  predictions.parquet  model.safetensors
//!   claims/<id>      who runs it, locked while somebody does
//!   slurm.json       slurm/: the jobs that were submitted, their scripts, what they said and how they ended
//!   underway/<id>/   the last two places of a training that has not ended: place.json  state.safetensors
//!   superseded/      trials/ and pretrained/ of other images or weights than the last sweep found
//!   trials.parquet   epochs.parquet  predictions.parquet  stored.json  halving.json
//!   report.md        plots/*.svg
//! ```
//!
//! `trials/` and `pretrained/` can be gone, as from a checkout: trials are read back from `stored.json` and the predictions. A
//! trial has its `model.safetensors` where `checkpoints` asks for it. [`find`] finds a trial by its id, and [`Sidecar`]
//! is what goes with its weights when they leave the folder.

mod answers;
mod atomic;
mod claims;
mod disk;
mod environment;
mod error;
mod features;
mod halved;
mod holder;
mod inputs;
mod invocation;
mod json;
mod ledger;
mod listing;
mod lookup;
mod merge;
mod pooled;
mod presence;
mod pretrained;
mod pulse;
mod read;
mod records;
#[cfg(any(test, feature = "samples"))]
pub mod samples;
mod seconds;
mod sidecar;
mod standing;
mod store;
mod submission;
mod superseded;
mod tables;
#[cfg(test)]
mod tests;
mod tuned;
mod underway;

pub use answers::{Answers, BINS, Bin, ClassTally, Marks};
pub use atomic::write_file;
pub use claims::Claim;
pub use disk::free_bytes;
pub use environment::{Build, Environment};
pub use error::StoreError;
pub use features::{Features, FeaturesOf, SplitImage};
pub use halved::{Halved, Rung, RungArm};
pub use holder::Holder;
pub use inputs::Inputs;
pub use invocation::Invocation;
pub use json::FORMAT;
pub use ledger::gather;
pub use lookup::{Found, LookupError, find};
pub use merge::merge;
pub use presence::Gate;
pub use pretrained::{StoredTrunk, TrunkOutcome, TrunkResult};
pub use read::{gallery_picture, predicted, trial_weights, trunk_pictures};
pub use records::{
    Broken, Checkpoint, CheckpointRecord, DataRecord, EpochRecord, FileRecord, Outcome, Prediction,
    PretrainingRecord, Results, Shared, Status, StoredTrial, Superseded, TrialResult, WeightsRecord,
};
pub use seconds::Seconds;
pub use sidecar::{Lineages, Measured, Preparation, Sidecar, beside, none_kept};
pub use standing::{Stand, Standing};
pub use store::{Reached, State, Store};
pub use submission::{Job, Purpose, Submission};
pub use underway::{Place, Underway};
