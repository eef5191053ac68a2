//! [`ModelError`]: what can go wrong with a model or its weights, said so that a reader knows what to do.

use std::path::PathBuf;

use frostline_hub::HubError;

use crate::load::Mismatch;
use crate::weights::ParseWeightsError;
use crate::zoo::UnknownModel;

/// Why a model could not be built, run, or given its weights.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// No model has this name.
    #[error(transparent)]
    Unknown(#[from] UnknownModel),

    /// A layer has no output at the resolution.
    #[error(
        "{title} cannot take images of {height}x{width}: in stage {stage}, {layer} is left with a map of \
         {}x{}, which is smaller than its window; {}", .map.0, .map.1, smallest_hint(.smallest)
    )]
    TooSmall {
        /// The model's title.
        title: &'static str,
        /// Height of the images, in pixels.
        height: usize,
        /// Width of the images, in pixels.
        width: usize,
        /// The stage that fails.
        stage: &'static str,
        /// The layer that fails, by torchvision's name.
        layer: String,
        /// Height and width of the map that reaches it.
        map: (usize, usize),
        /// The least side that works, in pixels.
        smallest: Option<usize>,
    },

    /// A side of the images is not a multiple of the patches they are cut into.
    #[error(
        "{title} cannot take images of {height}x{width}: it cuts them into patches of {patch}x{patch} pixels, so both sides \
         are multiples of {patch}; {}", nearest_hint(.nearest)
    )]
    Patches {
        /// The model's title.
        title: &'static str,
        /// Height of the images, in pixels.
        height: usize,
        /// Width of the images, in pixels.
        width: usize,
        /// The side of a patch, in pixels.
        patch: usize,
        /// Height and width of the nearest images that work, the smaller and the larger.
        nearest: [(usize, usize); 2],
    },

    /// A number of classes, or an input, that the model cannot have.
    #[error("{0}")]
    Input(String),

    /// A stage failed; its name, and the kernels' message.
    #[error("stage {stage}: {source}")]
    Stage {
        /// The stage's name.
        stage: String,
        /// What the kernels say.
        source: candle_core::Error,
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
    Weights(#[from] ParseWeightsError),

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

fn nearest_hint(&[below, above]: &[(usize, usize); 2]) -> String {
    match below == above {
        true => format!("the nearest size is {}x{}", below.0, below.1),
        false => format!("the nearest sizes are {}x{} and {}x{}", below.0, below.1, above.0, above.1),
    }
}

fn smallest_hint(smallest: &Option<usize>) -> String {
    match smallest {
        Some(side) => format!("the smallest resolution that works is {side}x{side}"),
        None => "no resolution works".to_owned(),
    }
}
