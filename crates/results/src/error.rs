//! [`StoreError`]: what can go wrong with a results folder, said so that a reader knows what to do.

use std::io;
use std::path::{Path, PathBuf};

use crate::FORMAT;

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
        "{path} cannot be written to ({cause}); change its permissions, or name another folder with --results"
    )]
    NotWritable {
        /// What should have been written.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// No space is left.
    #[error(
        "no space is left on the disk for {path}; every trial that finished before is kept: free some space, then run the same command again"
    )]
    Full {
        /// What should have been written.
        path: PathBuf,
    },
    /// The file system knows no locks.
    #[error(
        "{path} cannot be locked, as its file system knows no locks ({cause}), and without them several processes would run one trial: \
         name a folder on another one with --results, or have it mounted with locks (Lustre: -o flock)"
    )]
    NoLocks {
        /// What should have been locked.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// The system refuses the thread that says that this process is alive.
    #[error("the system starts no more threads: {0}")]
    Thread(io::Error),
    /// Any other failure of the file system.
    #[error("cannot {action} {path}: {cause}")]
    Io {
        /// `read`, `write`, …
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
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
    /// The folder holds what came of another experiment file of the same name.
    #[error(
        "{folder} holds the results of {holds}, which is another experiment than {wanted}; name another folder with --results, \
         or, where it is the same one in another place, remove {}", folder.join("plan.json").display()
    )]
    OtherExperiment {
        /// The results folder.
        folder: PathBuf,
        /// The file that it is of.
        holds: String,
        /// The file that was named.
        wanted: String,
    },
    /// Tables are there without the trials that they were made from, in a form that is not read back.
    #[error(
        "{folder} holds a report and tables of {count} trials that an earlier version stored, but nothing that the trials can be read \
         back from; name another folder with --results, so that they stay as they are"
    )]
    OldTables {
        /// The folder that was named.
        folder: PathBuf,
        /// How many trials.
        count: usize,
    },
    /// Two folders that are to be one are of different experiments.
    #[error(
        "{first} and {other} hold different experiments, and only parts of one can be joined: leave one of them out"
    )]
    OtherPart {
        /// The first folder.
        first: PathBuf,
        /// The one that does not fit.
        other: PathBuf,
    },
    /// Two folders that are to be one have different outcomes of one trial.
    #[error(
        "trial {id} came to one thing in {first} and to another in {other}; remove its folder from that which is wrong, and join them \
         again"
    )]
    TwoOutcomes {
        /// The trial's id.
        id: String,
        /// One folder.
        first: PathBuf,
        /// The other.
        other: PathBuf,
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
    pub fn writing(path: &Path, cause: io::Error) -> Self {
        let path = path.to_owned();
        match cause.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path },
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::NotWritable { path, cause }
            }
            _ => Self::Io { action: "write", path, cause },
        }
    }

    /// A lock that could not be had for another reason than that somebody has it.
    pub fn locking(path: &Path, cause: io::Error) -> Self {
        // Linux's ENOLCK, ENOSYS and EOPNOTSUPP, and what other systems call the latter two.
        let unknown = cfg!(target_os = "linux") && matches!(cause.raw_os_error(), Some(37 | 38 | 95));
        if unknown || cause.kind() == io::ErrorKind::Unsupported {
            return Self::NoLocks { path: path.to_owned(), cause };
        }
        Self::writing(path, cause)
    }

    /// A failed read.
    pub fn reading(path: &Path, cause: io::Error) -> Self {
        Self::Io { action: "read", path: path.to_owned(), cause }
    }
}
