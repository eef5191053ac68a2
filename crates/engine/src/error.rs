//! What can end a training: [`EngineError`].

use frostline_data::DataError;
use frostline_models::ModelError;

use crate::{RecipeError, StrategyError};

/// Why a trial did not finish.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The loss left the numbers.
    #[error(
        "the loss became {loss} in epoch {epoch}, step {step}; a smaller learning rate, warm-up or clip-norm may help"
    )]
    Diverged {
        /// The epoch, from 1.
        epoch: usize,
        /// The step in it, from 1.
        step: usize,
        /// NaN or an infinity.
        loss: f64,
    },
    /// What the model gives in an evaluation left the numbers.
    #[error(
        "the model's outputs are not finite numbers for {images} of {of} images of an evaluation; a smaller learning rate, \
         warm-up or clip-norm may help"
    )]
    OutputsNotFinite {
        /// How many images.
        images: usize,
        /// How many were looked at.
        of: usize,
    },
    /// The audit failed; a defect of Frostline.
    #[error("frozen, but changed while training: {name}; this is a defect of Frostline, please report it")]
    FrozenMoved {
        /// The tensor.
        name: String,
    },
    /// A trainable parameter got no gradient; a defect of Frostline.
    #[error("trainable, but without a gradient: {name}; this is a defect of Frostline, please report it")]
    NoGradient {
        /// The parameter.
        name: String,
    },
    /// It waits where it was to wait, at the end of an epoch.
    #[error("waiting")]
    Waiting,
    /// The observer asked for the end.
    #[error("interrupted")]
    Interrupted,
    /// The task cannot be done as it stands.
    #[error("{0}")]
    Unfit(String),
    /// The recipe has a bad value.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// The strategy does not fit the model.
    #[error(transparent)]
    Strategy(#[from] StrategyError),
    /// The features of the frozen trunk admit no classifier.
    #[error(transparent)]
    Probe(#[from] frostline_probes::ProbeError),
    /// The loader failed.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The model failed.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A tensor operation failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}
