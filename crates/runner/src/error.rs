//! [`Error`]: everything that ends a command, with the exit code that it ends with. It is shown by miette.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use frostline_data::DataError;
use frostline_hub::HubError;
use frostline_models::ModelError;

use crate::experiment::Problems;
use crate::plan::SelectError;

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
    /// A file could not be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// `read`, `write`.
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
        /// What to do.
        #[help]
        help: Option<String>,
    },
    /// A data source is missing or broken.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A model will not do.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The Hub cannot be used.
    #[error(transparent)]
    Hub(#[from] HubError),
}

impl Error {
    /// An argument will not do; `help` may be empty.
    pub fn usage(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Usage { message: message.into(), help: Some(help.into()).filter(|help| !help.is_empty()) }
    }

    /// A file could not be read.
    pub fn reading(path: &Path, source: std::io::Error, help: Option<String>) -> Self {
        Self::File { action: "read", path: path.to_owned(), source, help }
    }

    /// 2 where the input has to be changed, 1 where the work failed.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Experiment(_) | Self::Usage { .. } => ExitCode::from(2),
            Self::Data(DataError::Source { .. } | DataError::Augmentation { .. }) => ExitCode::from(2),
            Self::Model(ModelError::Unknown(_) | ModelError::TooSmall { .. }) => ExitCode::from(2),
            Self::File { .. } | Self::Data(_) | Self::Model(_) | Self::Hub(_) => ExitCode::FAILURE,
        }
    }
}

impl From<SelectError> for Error {
    fn from(error: SelectError) -> Self {
        Self::usage(error.to_string(), error.help)
    }
}
