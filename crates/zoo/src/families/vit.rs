//! Vision transformers (Dosovitskiy et al. 2020, arXiv:2010.11929) and DeiT without distillation (Touvron et al. 2020,
//! arXiv:2012.12877), as timm has them. Stages: embed (patches, class token, positions), block1 … block12, the last with
//! the final norm, and the linear head on the class token. This file only describes them.

use crate::description::{Architecture, Builder, Layer, ModelCard, Normalisation, Style, Tokens, Widths};

pub(super) const STAGES: &[&str] = &[
    "embed", "block1", "block2", "block3", "block4", "block5", "block6", "block7", "block8", "block9",
    "block10", "block11", "block12", "head",
];
const VIT: &str = "Dosovitskiy et al.: An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale, \
                   arXiv:2010.11929; sizes and weights of Steiner et al.: How to train your ViT?, arXiv:2106.10270";
const DEIT: &str = "Touvron et al.: Training data-efficient image transformers and distillation through attention, \
                    arXiv:2012.12877";

const TINY: Widths = Widths { width: 192, heads: 3, depth: 12 };
pub(super) const SMALL: Widths = Widths { width: 384, heads: 6, depth: 12 };
pub(super) const BASE: Widths = Widths { width: 768, heads: 12, depth: 12 };

/// For training from scratch on images of 32x32 pixels.
pub(crate) const VIT_TINY_PATCH4: ModelCard = ModelCard {
    pinned: None,
    ..vit("vit_tiny_patch4", "ViT-Ti/4", "", |classes| transformer(4, 8, TINY, classes))
};

pub(crate) const VIT_TINY_PATCH16: ModelCard =
    vit("vit_tiny_patch16", "ViT-Ti/16", "timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k", |classes| {
        transformer(16, 14, TINY, classes)
    });

pub(crate) const VIT_SMALL_PATCH16: ModelCard =
    vit("vit_small_patch16", "ViT-S/16", "timm/vit_small_patch16_224.augreg_in21k_ft_in1k", |classes| {
        transformer(16, 14, SMALL, classes)
    });

pub(crate) const VIT_BASE_PATCH16: ModelCard =
    vit("vit_base_patch16", "ViT-B/16", "timm/vit_base_patch16_224.augreg_in21k_ft_in1k", |classes| {
        transformer(16, 14, BASE, classes)
    });

pub(crate) const VIT_SMALL_PATCH32: ModelCard =
    vit("vit_small_patch32", "ViT-S/32", "timm/vit_small_patch32_224.augreg_in21k_ft_in1k", |classes| {
        transformer(32, 7, SMALL, classes)
    });

pub(crate) const VIT_BASE_PATCH32: ModelCard =
    vit("vit_base_patch32", "ViT-B/32", "timm/vit_base_patch32_224.augreg_in21k_ft_in1k", |classes| {
        transformer(32, 7, BASE, classes)
    });

pub(crate) const DEIT_TINY_PATCH16: ModelCard =
    deit("deit_tiny_patch16", "DeiT-Ti/16", "timm/deit_tiny_patch16_224.fb_in1k", |classes| {
        transformer(16, 14, TINY, classes)
    });

pub(crate) const DEIT_SMALL_PATCH16: ModelCard =
    deit("deit_small_patch16", "DeiT-S/16", "timm/deit_small_patch16_224.fb_in1k", |classes| {
        transformer(16, 14, SMALL, classes)
    });

pub(crate) const DEIT_BASE_PATCH16: ModelCard =
    deit("deit_base_patch16", "DeiT-B/16", "timm/deit_base_patch16_224.fb_in1k", |classes| {
        transformer(16, 14, BASE, classes)
    });

/// Weights that were trained on ImageNet-21k and then on ImageNet-1k, at 224x224.
const fn vit(
    name: &'static str,
    title: &'static str,
    repo: &'static str,
    architecture: fn(usize) -> Architecture,
) -> ModelCard {
    let normalisation = Normalisation { mean: [0.5; 3], std: [0.5; 3] };
    card((name, title, repo), (2020, VIT), normalisation, architecture)
}

/// Weights that were trained on ImageNet-1k at 224x224.
const fn deit(
    name: &'static str,
    title: &'static str,
    repo: &'static str,
    architecture: fn(usize) -> Architecture,
) -> ModelCard {
    card((name, title, repo), (2020, DEIT), Normalisation::IMAGENET, architecture)
}

pub(super) const fn card(
    names: (&'static str, &'static str, &'static str),
    paper: (u16, &'static str),
    normalisation: Normalisation,
    architecture: fn(usize) -> Architecture,
) -> ModelCard {
    ModelCard::of_timm(names, paper, ("Apache-2.0", normalisation), STAGES, architecture)
}

/// Patches of `patch` by `patch` pixels, `grid` by `grid` of them in the images that the weights were trained on.
fn transformer(patch: usize, grid: usize, widths: Widths, classes: usize) -> Architecture {
    let tokens = Tokens::plain(patch, grid);
    tower(Tower { tokens, widths, style: Style::PLAIN, norm_first: false }, classes)
}

/// What vision transformers are made of.
pub(super) struct Tower {
    pub(super) tokens: Tokens,
    pub(super) widths: Widths,
    pub(super) style: Style,
    /// Whether a norm stands before the first block.
    pub(super) norm_first: bool,
}

pub(super) fn tower(tower: Tower, classes: usize) -> Architecture {
    let Tower { tokens, widths, style, norm_first } = tower;
    let mut b = Builder::default();
    b.stage(STAGES[0]);
    let embed = b.patch_embed(tokens, widths.width);
    b.push([Layer::PatchEmbed(embed)]);
    if norm_first {
        let norm = b.layer_norm_with_epsilon("norm_pre", widths.width, style.epsilon);
        b.push([Layer::LayerNorm(norm)]);
    }
    for index in 0..widths.depth {
        b.stage(STAGES[1 + index]);
        let block = b.transformer_block(index, widths, style);
        b.push([Layer::TransformerBlock(Box::new(block))]);
    }
    let norm = b.layer_norm_with_epsilon("norm", widths.width, style.epsilon);
    b.push([Layer::LayerNorm(norm)]);
    b.stage(STAGES[1 + widths.depth]);
    let head = b.projection("head", widths.width, classes);
    b.push([Layer::Linear(head)]);
    b.finish()
}

#[cfg(test)]
mod tests {
    use crate::trace::{smallest_side, trace};

    /// Parameters as timm counts them, and the multiply-adds (in units of 10⁹) that PyTorch's counter finds in
    /// them, at 1000 classes.
    #[test]
    fn sizes_are_timms() {
        for (name, parameters, side, giga) in [
            ("vit_tiny_patch16", 5_717_416, 224, 1.254),
            ("vit_small_patch16", 22_050_664, 224, 4.599),
            ("vit_base_patch16", 86_567_656, 224, 17.564),
            ("vit_small_patch32", 22_878_952, 224, 1.143),
            ("vit_base_patch32", 88_224_232, 224, 4.409),
            ("deit_tiny_patch16", 5_717_416, 224, 1.254),
            ("deit_small_patch16", 22_050_664, 224, 4.599),
            ("deit_base_patch16", 86_567_656, 224, 17.564),
            ("vit_tiny_patch4", 5_553_832, 32, 0.365),
        ] {
            let card = crate::card(name).unwrap();
            let architecture = (card.architecture)(1000);
            let elements: usize =
                architecture.parameters.iter().map(|p| p.shape.iter().product::<usize>()).sum();
            assert_eq!(elements, parameters, "{name}");
            let stages = trace(&architecture, side, side).unwrap();
            let total: u64 = stages.iter().map(|stage| stage.multiply_adds).sum();
            assert!((total as f64 / 1e9 - giga).abs() < 6e-4, "{name}: {total}");
            assert_eq!(smallest_side(&architecture), architecture.patch(), "{name}");
        }
    }
}
