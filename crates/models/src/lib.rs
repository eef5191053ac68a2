//! Models with numbers: what the zoo describes, built with PyTorch's initial values or published weights.
//!
//! [`build`] gives a [`Model`]: a list of stages that [`Model::forward`] folds over a batch, each with its
//! [`Parameter`]s and [`BatchNorm`]s. Freezing is a flag on a parameter and a mode on a norm; a frozen prefix makes no
//! tape. [`resolve`] fetches the weights that a [`WeightsSource`] names and [`Model::load`] takes them, strictly. This
//! crate knows no data set, no optimizer and no terminal.

mod adapt;
mod autoencoder;
mod build;
mod classifier;
mod copies;
mod error;
mod explain;
mod forward;
mod load;
mod mismatch;
mod model;
mod names;
mod norm;
mod parameter;
mod positions;
mod state_dict;
mod weights;

pub use autoencoder::{build_autoencoder, build_autoencoder_on};
pub use build::{
    build, build_blank_on, build_on, build_unshrunk, build_with_auxiliary, build_with_auxiliary_on,
};
pub use classifier::Classifier;
pub use copies::Copies;
pub use error::ModelError;
pub use explain::{Explanation, Method};
pub use forward::{Activation, AuxiliaryLogits, Pass};
pub use frostline_zoo::{
    ModelCard, Normalisation, ParameterInfo, Role, StageSummary, UnknownModel, WeightsSource, ZooError, card,
    zoo,
};
pub use load::{HeadPolicy, LoadReport};
pub use mismatch::{Mismatch, Misshapen};
pub use model::{BuildSpec, Model, StageInfo};
pub use norm::{BatchNorm, BatchNormMode};
pub use parameter::Parameter;
pub use state_dict::{StateDict, read_header, read_safetensors};
pub use weights::{Lineage, Resolved, resolve, resolve_file};
