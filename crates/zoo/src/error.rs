//! [`ZooError`]: what can be wrong with a model that is asked for, said so that a reader knows what to do.

use crate::list::UnknownModel;

/// Why a model cannot be described.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ZooError {
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

    /// A head without outputs.
    #[error("{title} needs at least one class")]
    NoClasses {
        /// The model's title.
        title: &'static str,
    },
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
