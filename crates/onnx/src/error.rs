//! [`OnnxError`]: why a model cannot be written as a graph.

use frostline_text::bytes as size;
use frostline_zoo::ZooError;

/// Why a model cannot be written as a graph.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OnnxError {
    /// The model cannot be described.
    #[error(transparent)]
    Zoo(#[from] ZooError),

    /// The weights lack a tensor.
    #[error("the weights have no {name}, which the graph needs; export the trial again")]
    Missing {
        /// torchvision's name, or timm's.
        name: String,
    },

    /// A tensor has another number of elements.
    #[error(
        "{name} has {found} numbers, and {expected} were expected; the weights are of another model or resolution"
    )]
    Size {
        /// torchvision's name, or timm's.
        name: String,
        /// How many numbers it has.
        found: usize,
        /// How many the description has.
        expected: usize,
    },

    /// A layer that the graph cannot express where it stands.
    #[error("{layer} cannot be written as ONNX on {found}; the safetensors file can still be exported")]
    Unfit {
        /// What it is.
        layer: String,
        /// What reaches it.
        found: String,
    },

    /// Protocol buffers end at 2 GiB.
    #[error("{title} would be an ONNX file of {}, and 2 GiB is the most; export safetensors", size(*.length as u64))]
    TooLong {
        /// The model's title.
        title: &'static str,
        /// How long it would be.
        length: usize,
    },
}
