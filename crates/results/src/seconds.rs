//! Time by what it was spent on: [`Seconds`].

use serde::{Deserialize, Serialize};

/// Seconds by what they were spent on. Sections do not overlap, and add up to `wall`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Seconds {
    /// Forward, backward and optimizer steps.
    pub train: f64,
    /// Passes over the validation and test splits.
    pub evaluation: f64,
    /// Waiting for batches.
    pub data: f64,
    /// Keeping and restoring weights.
    pub checkpoint: f64,
    /// Checking that what is frozen did not move.
    pub audit: f64,
    /// By the clock: all of the above.
    pub wall: f64,
    /// Of all threads of the process.
    pub cpu: f64,
}

impl Seconds {
    /// Both together.
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            train: self.train + other.train,
            evaluation: self.evaluation + other.evaluation,
            data: self.data + other.data,
            checkpoint: self.checkpoint + other.checkpoint,
            audit: self.audit + other.audit,
            wall: self.wall + other.wall,
            cpu: self.cpu + other.cpu,
        }
    }

    /// So many times as long.
    pub fn times(&self, factor: f64) -> Self {
        Self {
            train: self.train * factor,
            evaluation: self.evaluation * factor,
            data: self.data * factor,
            checkpoint: self.checkpoint * factor,
            audit: self.audit * factor,
            wall: self.wall * factor,
            cpu: self.cpu * factor,
        }
    }

    /// What was spent between an earlier reading and this one.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            train: self.train - earlier.train,
            evaluation: self.evaluation - earlier.evaluation,
            data: self.data - earlier.data,
            checkpoint: self.checkpoint - earlier.checkpoint,
            audit: self.audit - earlier.audit,
            wall: self.wall - earlier.wall,
            cpu: self.cpu - earlier.cpu,
        }
    }
}
