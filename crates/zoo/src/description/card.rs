//! What there is to know about a model before it is built: [`ModelCard`], with the weights that are published for it and how
//! their images are normalised.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::architecture::Architecture;
use super::layers::Layer;

/// What there is to know about a model before it is built.
#[derive(Clone, Copy, Debug)]
pub struct ModelCard {
    /// The name in experiment files, for instance `resnet18`.
    pub name: &'static str,
    /// The name in reports, for instance `ResNet-18`.
    pub title: &'static str,
    /// The year of the paper.
    pub year: u16,
    /// Authors, title and arXiv number.
    pub paper: &'static str,
    /// The freezable stages from input to output; the last is the head.
    pub stages: &'static [&'static str],
    /// The published weights that `weights = "hub"` means.
    pub pinned: Option<PinnedWeights>,
    /// The normalisation for training from scratch, and for weights that come without their own.
    pub normalisation: Normalisation,
    /// The description for a number of classes, auxiliary heads included.
    pub architecture: fn(usize) -> Architecture,
}

/// A file on the Hub that a model's weights are taken from.
#[derive(Clone, Copy, Debug)]
pub struct PinnedWeights {
    /// Owner and name of the repository.
    pub repo: &'static str,
    /// The commit; none means the main branch as it was on the first use.
    pub revision: Option<&'static str>,
    /// The file in the repository.
    pub file: &'static str,
    /// The file's SHA-256 in hexadecimal; where none is pinned, the one that the Hub states is checked, and that of the first use
    /// ever after.
    pub sha256: Option<&'static str>,
    /// The file's size in bytes, where pinned.
    pub size: Option<u64>,
    /// The licence that the repository states (an SPDX name); none where it states none.
    pub licence: Option<&'static str>,
    /// How images were normalised when the weights were trained.
    pub normalisation: Normalisation,
}

/// Mean and standard deviation per channel (red, green, blue) of pixels in 0..1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Normalisation {
    /// Subtracted first.
    pub mean: [f32; 3],
    /// Divided by next.
    pub std: [f32; 3],
}

impl Normalisation {
    /// ImageNet's statistics, as torchvision's weights expect them.
    pub const IMAGENET: Self = Self { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
    /// Pixels moved from 0..1 to -1..1.
    pub const CENTRED: Self = Self { mean: [0.5; 3], std: [0.5; 3] };
}

impl PinnedWeights {
    /// The weights of one of timm's repositories on its main branch, as their commit and hash are not known here. Licences are
    /// those of timm's own list of weights.
    pub(crate) const fn in_timm(
        repo: &'static str,
        licence: &'static str,
        normalisation: Normalisation,
    ) -> Self {
        let file = "model.safetensors";
        Self { repo, revision: None, file, sha256: None, size: None, licence: Some(licence), normalisation }
    }

    /// torchvision's weights as timm republishes them.
    pub(crate) const fn torchvisions(repo: &'static str) -> Self {
        Self::in_timm(repo, "BSD-3-Clause", Normalisation::IMAGENET)
    }
}

impl ModelCard {
    /// A model with weights in one of timm's repositories: its name, title and repository, its paper's year and title, the weights' licence
    /// and normalisation.
    pub(crate) const fn of_timm(
        (name, title, repo): (&'static str, &'static str, &'static str),
        (year, paper): (u16, &'static str),
        (licence, normalisation): (&'static str, Normalisation),
        stages: &'static [&'static str],
        architecture: fn(usize) -> Architecture,
    ) -> Self {
        let pinned = Some(PinnedWeights::in_timm(repo, licence, normalisation));
        Self { name, title, year, paper, stages, normalisation, pinned, architecture }
    }

    /// The description for a number of classes, without auxiliary heads.
    pub fn without_auxiliary(&self, classes: usize) -> Architecture {
        (self.architecture)(classes).without_auxiliary()
    }

    /// Whether the recipe's `dropout` has an effect.
    pub fn has_dropout(&self) -> bool {
        self.parts().dropout
    }

    /// Whether the recipe's `stochastic-depth` has an effect.
    pub fn has_stochastic_depth(&self) -> bool {
        self.parts().stochastic_depth
    }

    /// Whether it has BatchNorm layers.
    pub fn has_batch_norm(&self) -> bool {
        self.parts().batch_norm
    }

    /// What the architecture has of some kinds. It is laid out for that once, as every trial of a plan asks.
    fn parts(&self) -> Parts {
        static KNOWN: Mutex<BTreeMap<&str, Parts>> = Mutex::new(BTreeMap::new());
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        *known.entry(self.name).or_insert_with(|| {
            let architecture = self.without_auxiliary(2);
            let layers = || architecture.stages.iter().flat_map(|stage| &stage.layers);
            let transformer = layers().any(|layer| matches!(layer, Layer::TransformerBlock(_)));
            let skips = layers().any(|layer| matches!(layer, Layer::Skip(skip) if skip.depth > 0.0));
            Parts {
                dropout: transformer || layers().any(|layer| matches!(layer, Layer::Dropout { .. })),
                stochastic_depth: transformer || skips,
                batch_norm: !architecture.norms.is_empty(),
            }
        })
    }
}

/// What an architecture has.
#[derive(Clone, Copy)]
struct Parts {
    dropout: bool,
    stochastic_depth: bool,
    batch_norm: bool,
}
