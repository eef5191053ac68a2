//! Who runs something of a results folder: [`Holder`], as it stands in a claim.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A process, for those who look at a results folder from another one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Holder {
    /// The machine's name; empty where it is not known, which counts as this machine.
    pub host: String,
    /// The process's number there; 0 where it is not known.
    pub pid: u32,
    /// The job of a cluster's scheduler that it is, as that calls it: `Slurm job 12_3`. None outside of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
}

impl Holder {
    /// This process, of which no more is known than its number.
    pub fn this_process() -> Self {
        Self { pid: std::process::id(), ..Self::default() }
    }

    /// Whether a lock of this one is known to this machine's system, whatever the file system passes on.
    pub(super) fn is_here(&self, me: &Self) -> bool {
        self.host.is_empty() || me.host.is_empty() || self.host == me.host
    }

    /// Whether it is what a scheduler has started before in this one's place.
    pub(super) fn went_before(&self, me: &Self) -> bool {
        self.job.is_some() && self.job == me.job
    }
}

impl fmt::Display for Holder {
    /// `process 4711 on node3 (Slurm job 12_3)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pid {
            0 => write!(f, "a process")?,
            pid => write!(f, "process {pid}")?,
        }
        if !self.host.is_empty() {
            write!(f, " on {}", self.host)?;
        }
        self.job.iter().try_for_each(|job| write!(f, " ({job})"))
    }
}
