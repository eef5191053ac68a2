//! The zoo: image models as ordered stages, with torchvision's parameter names, initial values and published weights.
//!
//! [`build`] gives a [`Model`]: a list of stages that [`Model::forward`] folds over a batch, each with its
//! [`Parameter`]s and [`BatchNorm`]s. Freezing is a flag on a parameter and a mode on a norm; a frozen prefix makes no
//! tape. [`resolve`] fetches the weights that a [`WeightsSource`] names and [`Model::load`] takes them, strictly. This
//! crate knows no data set, no optimizer and no terminal.

mod alexnet;
mod architecture;
mod autoencoder;
mod build;
mod builder;
mod copies;
mod error;
mod forward;
mod inception;
mod initial;
mod layout;
mod load;
mod model;
mod names;
mod norm;
mod parameter;
mod positions;
mod resnet;
mod state_dict;
mod trace;
mod transformer;
mod vgg;
mod vit;
mod weights;
mod zoo;

pub use autoencoder::build_autoencoder;
pub use build::{build, build_on, build_unshrunk, build_with_auxiliary};
pub use copies::Copies;
pub use error::ModelError;
pub use forward::{Activation, AuxiliaryLogits, Pass};
pub use load::{HeadPolicy, LoadReport, Mismatch, Misshapen};
pub use model::{BuildSpec, Model, StageInfo, StageSummary};
pub use norm::{BatchNorm, BatchNormMode};
pub use parameter::{Parameter, ParameterInfo, Role};
pub use state_dict::{StateDict, read_header, read_safetensors};
pub use weights::{Lineage, ParseWeightsError, Resolved, WeightsSource, resolve, resolve_file};
pub use zoo::{ModelCard, Normalisation, PinnedWeights, UnknownModel, card, zoo};
