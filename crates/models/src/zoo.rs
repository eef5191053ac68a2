//! The registry of models: [`zoo`] lists them, [`card`] finds one by name. A [`ModelCard`] says what a model is, where
//! its published weights lie and how their images are normalised. A new model is one family file and one line here.

use serde::{Deserialize, Serialize};

use crate::architecture::{Architecture, Layer};
use crate::inception::{googlenet, v3};
use crate::{alexnet, resnet, vgg, vit};

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
    pub(crate) architecture: fn(usize) -> Architecture,
}

/// A file on the Hub that a model's weights are taken from.
#[derive(Clone, Copy, Debug)]
pub struct PinnedWeights {
    /// Owner and name of the repository.
    pub repo: &'static str,
    /// The commit; none means the main branch.
    pub revision: Option<&'static str>,
    /// The file in the repository.
    pub file: &'static str,
    /// The file's SHA-256 in hexadecimal; where none is pinned, the one that the Hub states is checked.
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
    /// The description for a number of classes.
    pub(crate) fn without_auxiliary(&self, classes: usize) -> Architecture {
        (self.architecture)(classes).without_auxiliary()
    }

    /// Whether [`Model::set_dropout`](crate::Model::set_dropout) has an effect.
    pub fn has_dropout(&self) -> bool {
        self.has(|layer| matches!(layer, Layer::Dropout { .. } | Layer::TransformerBlock(_)))
    }

    /// Whether [`Model::set_stochastic_depth`](crate::Model::set_stochastic_depth) has an effect.
    pub fn has_stochastic_depth(&self) -> bool {
        self.has(|layer| matches!(layer, Layer::TransformerBlock(_)))
    }

    /// Whether it has BatchNorm layers.
    pub fn has_batch_norm(&self) -> bool {
        !self.without_auxiliary(2).norms.is_empty()
    }

    fn has(&self, kind: fn(&Layer) -> bool) -> bool {
        self.without_auxiliary(2).stages.iter().flat_map(|stage| &stage.layers).any(kind)
    }
}

static ZOO: [ModelCard; 26] = [
    resnet::RESNET18,
    resnet::RESNET34,
    resnet::RESNET50,
    resnet::RESNET101,
    resnet::RESNET152,
    resnet::RESNET18_CIFAR,
    alexnet::ALEXNET,
    vgg::VGG11,
    vgg::VGG13,
    vgg::VGG16,
    vgg::VGG19,
    vgg::VGG11_BN,
    vgg::VGG13_BN,
    vgg::VGG16_BN,
    vgg::VGG19_BN,
    googlenet::GOOGLENET,
    v3::INCEPTION_V3,
    vit::VIT_TINY_PATCH4,
    vit::VIT_TINY_PATCH16,
    vit::VIT_SMALL_PATCH16,
    vit::VIT_BASE_PATCH16,
    vit::VIT_SMALL_PATCH32,
    vit::VIT_BASE_PATCH32,
    vit::DEIT_TINY_PATCH16,
    vit::DEIT_SMALL_PATCH16,
    vit::DEIT_BASE_PATCH16,
];

/// Every model, in the order of the registry.
pub fn zoo() -> &'static [ModelCard] {
    &ZOO
}

/// The card of a model.
///
/// # Errors
/// [`UnknownModel`] with the nearest name, where one is near.
pub fn card(name: &str) -> Result<&'static ModelCard, UnknownModel> {
    ZOO.iter().find(|card| card.name == name).ok_or_else(|| UnknownModel::new(name))
}

/// There is no model of this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no model `{name}`; {}", hint(.nearest))]
pub struct UnknownModel {
    /// What was asked for.
    pub name: String,
    /// The name that was probably meant.
    pub nearest: Option<&'static str>,
}

impl UnknownModel {
    fn new(name: &str) -> Self {
        let plain = |text: &str| text.to_lowercase().replace(['-', '_', ' '], "");
        let wanted = plain(name);
        let nearest = ZOO
            .iter()
            .map(|card| (strsim::damerau_levenshtein(&wanted, &plain(card.name)), card.name))
            .min()
            .filter(|&(distance, _)| distance <= 3)
            .map(|(_, name)| name);
        Self { name: name.to_owned(), nearest }
    }
}

fn hint(nearest: &Option<&'static str>) -> String {
    match nearest {
        Some(name) => format!("did you mean `{name}`?"),
        None => {
            let names: Vec<&str> = ZOO.iter().map(|card| card.name).collect();
            format!("the models are {}", names.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_tell_the_stages_that_the_architecture_has() {
        for card in zoo() {
            let architecture = (card.architecture)(10);
            let stages: Vec<&str> = architecture.stages.iter().map(|stage| stage.name).collect();
            assert_eq!(stages, card.stages, "{}", card.name);
            let head = architecture.stages.len() - 1;
            let trained: Vec<&str> = architecture
                .parameters
                .iter()
                .filter(|parameter| parameter.stage == head)
                .map(|parameter| parameter.name.as_str())
                .collect();
            assert_eq!(trained.len(), 2, "{}: the head is one linear layer: {trained:?}", card.name);
        }
    }

    #[test]
    fn cards_tell_what_regularises_the_model() {
        let tells = |name| card(name).map(|card| (card.has_dropout(), card.has_stochastic_depth()));
        assert_eq!(tells("resnet50"), Ok((false, false)));
        assert_eq!(tells("vgg11_bn"), Ok((true, false)));
        assert_eq!(tells("googlenet"), Ok((true, false)));
        assert_eq!(tells("vit_tiny_patch4"), Ok((true, true)));
    }

    #[test]
    fn a_misspelt_model_is_an_error_with_a_suggestion() {
        for (name, nearest) in [
            ("resnet-18", Some("resnet18")),
            ("AlexNet", Some("alexnet")),
            ("resnet43", Some("resnet34")),
            ("ViT-Tiny-patch16", Some("vit_tiny_patch16")),
            ("VGG-16-BN", Some("vgg16_bn")),
        ] {
            assert_eq!(card(name).unwrap_err().nearest, nearest);
        }
        let unknown = card("transformer").unwrap_err();
        assert!(
            unknown.to_string().starts_with(
                "there is no model `transformer`; the models are resnet18, resnet34, resnet50, "
            ),
            "{unknown}"
        );
        assert_eq!(
            card("resnet-18").unwrap_err().to_string(),
            "there is no model `resnet-18`; did you mean `resnet18`?"
        );
    }
}
