//! The zoo: what image models are, without numbers. A model is an ordered list of stages under torchvision's or timm's
//! names; [`card`] finds one, and what it costs at a resolution is known before it is built.
//!
//! [`description`] is the language; each family is a page written in it; the list of all is below them. [`trace`](trace()) follows an
//! image through a description. This crate holds no tensor and opens no file.

mod decoder;
pub mod description;
mod error;
mod families;
mod list;
mod sizes;
mod summary;
mod trace;
mod weights_source;

pub use decoder::with_decoder;
pub use description::{ModelCard, Normalisation, ParameterInfo, PinnedWeights, Role, is_adapter};
pub use error::ZooError;
pub use list::{UnknownModel, card, zoo};
pub use sizes::{conv_output, pool_output};
pub use summary::{StageSummary, lay_out, summarise, traced};
pub use trace::{NoOutput, Traced, smallest_side, trace};
pub use weights_source::{WeightsSource, WeightsSourceError};
