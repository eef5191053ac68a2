//! [`Error`]: everything that keeps a command from its work, shown by miette; [`Ending`]: how a command ends that did it.
//! Both know their exit code.

use std::path::{Path, PathBuf};

use frostline_allocator::OUT_OF_MEMORY;
use frostline_data::DataError;
use frostline_engine::EngineError;
use frostline_engine::device::DeviceError;
use frostline_experiment::{Problems, SelectError};
use frostline_hub::HubError;
use frostline_models::{ModelError, ZooError};
use frostline_onnx::OnnxError;
use frostline_report::ReportError;
use frostline_results::{LookupError, StoreError};
use frostline_sources::SourceError;

use crate::execute::SweepError;
use crate::machine::SlurmError;
use crate::terminal::MORE_THREADS;

/// Why a command could not do its work.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum Error {
    /// The experiment file or a `--set` will not do.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Experiment(#[from] Problems),
    /// An argument will not do.
    #[error("{message}")]
    Usage {
        /// What is wrong.
        message: String,
        /// What to do.
        #[help]
        help: Option<String>,
    },
    /// A file that a command was given could not be read.
    #[error("cannot read {}: {cause}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// The system's reason.
        cause: std::io::Error,
        /// What to do.
        #[help]
        help: Option<String>,
    },
    /// The system refuses a thread.
    #[error("the system starts no more threads: {0}")]
    #[diagnostic(help("{MORE_THREADS}"))]
    Threads(String),
    /// A device cannot be used.
    #[error("{cause}")]
    Device {
        /// Why.
        cause: DeviceError,
        /// What to do.
        #[help]
        help: String,
    },
    /// A data source is missing or broken.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A model will not do.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A model cannot be written as a graph.
    #[error(transparent)]
    Onnx(#[from] OnnxError),
    /// The Hub cannot be used.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// A results folder cannot be used.
    #[error(transparent)]
    Store(StoreError),
    /// A sweep ended early.
    #[error(transparent)]
    Sweep(#[from] SweepError),
    /// Slurm did not do what it was asked.
    #[error(transparent)]
    Slurm(#[from] SlurmError),
    /// The model's work failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// There is no report.
    #[error(transparent)]
    Report(#[from] ReportError),
}

/// How a command that did its work ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All went well.
    Done,
    /// The work is done, and some of it failed: trials of a sweep, or images that a model was asked about.
    SomeFailed,
    /// What was compared is not the same, beyond noise.
    Changed,
    /// The user stopped a sweep, with this exit code.
    Interrupted(u8),
}

impl Ending {
    /// 0, 3, 4 where something changed, or by the signal: 130 after Ctrl-C.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::SomeFailed => 3,
            Self::Changed => 4,
            Self::Interrupted(code) => code,
        }
    }
}

impl Error {
    /// An argument will not do; `help` may be empty.
    pub fn usage(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Usage { message: message.into(), help: Some(help.into()).filter(|help| !help.is_empty()) }
    }

    /// A file that a command was given could not be read.
    pub fn reading(path: &Path, cause: std::io::Error, help: Option<String>) -> Self {
        Self::File { path: path.to_owned(), cause, help }
    }

    /// 2 where the input has to be changed, 1 where the work failed, 71 where the system gives no more.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Threads(_) => OUT_OF_MEMORY as u8,
            Self::Experiment(_)
            | Self::Usage { .. }
            | Self::File { .. }
            | Self::Device { cause: DeviceError::NotBuilt { .. } | DeviceError::TooFew { .. }, .. }
            | Self::Data(DataError::Source(_) | DataError::Augmentation(_))
            | Self::Model(ModelError::Zoo(_))
            | Self::Sweep(
                SweepError::Setting { .. }
                | SweepError::Data(DataError::Classes { .. } | DataError::Duplicates { .. }),
            ) => 2,
            Self::Device { .. }
            | Self::Data(_)
            | Self::Model(_)
            | Self::Onnx(_)
            | Self::Hub(_)
            | Self::Store(_)
            | Self::Sweep(_)
            | Self::Slurm(_)
            | Self::Engine(_)
            | Self::Report(_) => 1,
        }
    }
}

impl From<DeviceError> for Error {
    fn from(cause: DeviceError) -> Self {
        Self::Device { help: cause.help(), cause }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Thread(cause) => Self::Threads(cause.to_string()),
            error => Self::Store(error),
        }
    }
}

impl From<ZooError> for Error {
    fn from(error: ZooError) -> Self {
        Self::Model(error.into())
    }
}

impl From<SourceError> for Error {
    fn from(error: SourceError) -> Self {
        Self::Data(error.into())
    }
}

impl From<SelectError> for Error {
    fn from(error: SelectError) -> Self {
        Self::usage(error.to_string(), error.help)
    }
}

impl From<LookupError> for Error {
    fn from(error: LookupError) -> Self {
        match error {
            LookupError::Not { message, help } => Self::usage(message, help),
            LookupError::Store(error) => Self::Store(error),
        }
    }
}
