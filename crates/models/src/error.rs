//! [`ModelError`]: what can go wrong with a model or its weights, said so that a reader knows what to do.

use std::path::PathBuf;

use frostline_hub::HubError;
use frostline_zoo::{UnknownModel, WeightsSourceError, ZooError};

use crate::mismatch::Mismatch;

/// Why a model could not be built, run, or given its weights.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// No model has this name, or it cannot be laid over this resolution.
    #[error(transparent)]
    Zoo(#[from] ZooError),

    /// An input, or a setting, that the model cannot have.
    #[error("{0}")]
    Input(String),

    /// A stage failed; its name, and the kernels' message.
    #[error("stage {stage}: {cause}")]
    Stage {
        /// The stage's name.
        stage: String,
        /// What the kernels say.
        cause: candle_core::Error,
    },

    /// A tensor operation outside the stages failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),

    /// The tensors of a file are not those of the model.
    #[error(transparent)]
    Mismatch(#[from] Box<Mismatch>),

    /// A file of weights is not what it should be.
    #[error("{}: {problem}; {advice}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// What to do.
        advice: &'static str,
    },

    /// The text that should name weights names none.
    #[error(transparent)]
    Weights(#[from] WeightsSourceError),

    /// `weights = "hub"` for a model without pinned weights.
    #[error(
        "no weights are pinned for {title}; name some with hub:OWNER/NAME/FILE or file:PATH, or use none"
    )]
    NotPinned {
        /// The model's title.
        title: &'static str,
    },

    /// The download failed.
    #[error(transparent)]
    Hub(#[from] HubError),
}

impl From<UnknownModel> for ModelError {
    fn from(error: UnknownModel) -> Self {
        Self::Zoo(error.into())
    }
}
