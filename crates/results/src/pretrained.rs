//! What is stored of a pretraining: [`TrunkResult`], whose [`TrunkOutcome`] is JSON beside the weights that it made.

use frostline_experiment::Trunk;
use serde::{Deserialize, Serialize};

use crate::{DataRecord, EpochRecord, Seconds, Status, WeightsRecord};

/// Everything that a pretraining leaves behind.
#[derive(Clone, Debug, PartialEq)]
pub struct TrunkResult {
    /// What it came to.
    pub outcome: TrunkOutcome,
    /// One record per epoch that was completed.
    pub epochs: Vec<EpochRecord>,
    /// A safetensors file; none where the pretraining failed.
    pub weights: Option<Vec<u8>>,
    /// Images and what an autoencoder gives back, as a PNG file; none of other methods.
    pub pictures: Option<Vec<u8>>,
}

/// A stored trunk as the tables and the report read it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct StoredTrunk {
    /// How it was made.
    pub trunk: Trunk,
    /// What it came to.
    pub outcome: TrunkOutcome,
    /// One record per epoch.
    pub epochs: Vec<EpochRecord>,
}

/// What a pretraining came to. What is not known is `None`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TrunkOutcome {
    /// The trunk's id.
    pub trunk: String,
    /// How it ended.
    pub status: Status,
    /// The epoch whose weights are kept, counted from 1.
    pub chosen_epoch: Option<usize>,
    /// Where the time went.
    pub seconds: Seconds,
    /// The largest resident memory of the process meanwhile.
    pub peak_memory_bytes: Option<u64>,
    /// Of the trained model: the trunk with what was trained on top of it.
    pub parameters: Option<u64>,
    /// The images; none of the test split was looked at.
    pub data: Option<DataRecord>,
    /// The file of the weights, with the normalisation that belongs to them.
    pub weights: Option<WeightsRecord>,
    /// Threads that computed.
    pub threads: usize,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// The id of the environment it ran in, a key of `environment.json`.
    pub environment: String,
}
