//! The registry of models: [`zoo`] lists them, [`card`] finds one by name. A new model is one family file and one line here.

use crate::description::ModelCard;
use crate::families::inception::{googlenet, v3};
use crate::families::mobile::{efficientnet, mobilenetv3};
use crate::families::{alexnet, convnext, densenet, regnet, resnet, swin, towers, vgg, vit};

static ZOO: [ModelCard; 60] = [
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
    densenet::DENSENET121,
    mobilenetv3::MOBILENETV3_SMALL,
    mobilenetv3::MOBILENETV3_LARGE,
    efficientnet::EFFICIENTNET_B0,
    efficientnet::EFFICIENTNET_B1,
    efficientnet::EFFICIENTNET_B2,
    efficientnet::EFFICIENTNET_B3,
    regnet::REGNETY_004,
    regnet::REGNETY_008,
    regnet::REGNETY_016,
    regnet::REGNETY_032,
    convnext::CONVNEXT_ATTO,
    convnext::CONVNEXT_FEMTO,
    convnext::CONVNEXT_PICO,
    convnext::CONVNEXT_NANO,
    convnext::CONVNEXT_TINY,
    convnext::CONVNEXT_SMALL,
    convnext::CONVNEXT_BASE,
    convnext::CONVNEXTV2_ATTO,
    convnext::CONVNEXTV2_FEMTO,
    convnext::CONVNEXTV2_PICO,
    convnext::CONVNEXTV2_NANO,
    convnext::CONVNEXTV2_TINY,
    convnext::CONVNEXTV2_BASE,
    swin::SWIN_TINY,
    swin::SWIN_SMALL,
    towers::DEIT3_SMALL,
    towers::DEIT3_BASE,
    towers::VIT_SMALL_DINOV2,
    towers::VIT_BASE_DINOV2,
    towers::VIT_SMALL_DINOV2_REGISTERS,
    towers::VIT_BASE_DINOV2_REGISTERS,
    towers::VIT_BASE_PATCH32_CLIP,
    towers::VIT_BASE_PATCH16_CLIP,
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
