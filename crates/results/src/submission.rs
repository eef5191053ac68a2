//! What was submitted to a cluster's scheduler for a results folder: [`Submission`], so that later commands can ask after it and cancel it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{StoreError, json, write_file};

/// The file's name.
const FILE: &str = "slurm.json";
/// The folder of the jobs' scripts and of what they say.
const FOLDER: &str = "slurm";

/// The jobs of a sweep, in the order in which they were submitted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Submission {
    /// The digest of the plan that they are of.
    pub plan: String,
    /// Into how many shares it is divided.
    pub shares: usize,
    /// When they were submitted, in RFC 3339.
    pub submitted_at: String,
    /// The jobs.
    pub jobs: Vec<Job>,
}

/// One job, or an array of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Job {
    /// The scheduler's number for it.
    pub id: u64,
    /// What it is for.
    pub purpose: Purpose,
    /// Of an array, what is added to a place in it for the number of its share.
    pub offset: usize,
    /// Of an array, the numbers of its shares, as ranges from first to last.
    pub shares: Vec<(usize, usize)>,
    /// The memory of each, in bytes; none where another flag says it.
    pub memory: Option<u64>,
}

/// What a job is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// Downloads and pretraining.
    Prepare,
    /// Shares of the trials.
    Trials,
    /// The report.
    Report,
}

impl Submission {
    /// What was submitted last for a results folder; none where nothing was.
    ///
    /// # Errors
    /// The file is damaged or of a newer format.
    pub fn read(folder: &Path) -> Result<Option<Self>, StoreError> {
        let path = folder.join(FILE);
        if path.exists() { json::read(&path, "submission").map(Some) } else { Ok(None) }
    }

    /// Keeps it, in place of what was submitted before.
    ///
    /// # Errors
    /// A failed write.
    pub fn write(&self, folder: &Path) -> Result<(), StoreError> {
        let path = folder.join(FILE);
        write_file(&path, &json::to_bytes(&path, "submission", self)?)
    }

    /// Where the jobs' scripts lie, and what they say.
    pub fn folder(results: &Path) -> PathBuf {
        results.join(FOLDER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_submitted_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Submission::read(dir.path()).unwrap(), None);
        let job = Job {
            id: 12,
            purpose: Purpose::Trials,
            offset: 3,
            shares: vec![(4, 6), (8, 8)],
            memory: Some(1 << 30),
        };
        let submission = Submission {
            plan: "ab".to_owned(),
            shares: 8,
            submitted_at: "2026-11-28T00:00:00Z".to_owned(),
            jobs: vec![job],
        };
        submission.write(dir.path()).unwrap();
        assert_eq!(Submission::read(dir.path()).unwrap(), Some(submission));
    }
}
