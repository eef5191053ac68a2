//! Vision transformers that learnt without labels, or with other words than classes, as timm has them: DINOv2 (Oquab et al. 2023,
//! arXiv:2304.07193), also with registers (Darcet et al. 2023, arXiv:2309.16588), and the image towers of CLIP (Radford et al.
//! 2021, arXiv:2103.00020); and DeiT III (Touvron et al. 2022, arXiv:2204.07118), which did with labels. They are ViTs with layer
//! scale, with other tokens, or with a norm before the first block. This file only describes them.

use super::vit::{BASE, SMALL, Tower, card, tower};
use crate::description::{Architecture, Curve, ModelCard, Normalisation, Style, Tokens, Widths};

const DINOV2: &str =
    "Oquab et al.: DINOv2: Learning Robust Visual Features without Supervision, arXiv:2304.07193";
const REGISTERS: &str = "Oquab et al.: DINOv2: Learning Robust Visual Features without Supervision, arXiv:2304.07193; \
                         Darcet et al.: Vision Transformers Need Registers, arXiv:2309.16588";
const DEIT3: &str = "Touvron, Cord, Jégou: DeiT III: Revenge of the ViT, arXiv:2204.07118";
const CLIP: &str =
    "Radford et al.: Learning Transferable Visual Models From Natural Language Supervision, arXiv:2103.00020";

/// The statistics of CLIP's own pictures.
const CLIP_PIXELS: Normalisation = Normalisation {
    mean: [0.481_454_66, 0.457_827_5, 0.408_210_73],
    std: [0.268_629_54, 0.261_302_6, 0.275_777_1],
};

pub(crate) const VIT_SMALL_DINOV2: ModelCard = dinov2(
    "vit_small_patch14_dinov2",
    "DINOv2 ViT-S/14",
    "timm/vit_small_patch14_dinov2.lvd142m",
    |classes| self_distilled(0, SMALL, classes),
);

pub(crate) const VIT_BASE_DINOV2: ModelCard =
    dinov2("vit_base_patch14_dinov2", "DINOv2 ViT-B/14", "timm/vit_base_patch14_dinov2.lvd142m", |classes| {
        self_distilled(0, BASE, classes)
    });

pub(crate) const VIT_SMALL_DINOV2_REGISTERS: ModelCard = ModelCard {
    paper: REGISTERS,
    ..dinov2(
        "vit_small_patch14_reg4_dinov2",
        "DINOv2 ViT-S/14, registers",
        "timm/vit_small_patch14_reg4_dinov2.lvd142m",
        |classes| self_distilled(4, SMALL, classes),
    )
};

pub(crate) const VIT_BASE_DINOV2_REGISTERS: ModelCard = ModelCard {
    paper: REGISTERS,
    ..dinov2(
        "vit_base_patch14_reg4_dinov2",
        "DINOv2 ViT-B/14, registers",
        "timm/vit_base_patch14_reg4_dinov2.lvd142m",
        |classes| self_distilled(4, BASE, classes),
    )
};

pub(crate) const DEIT3_SMALL: ModelCard = card(
    ("deit3_small_patch16", "DeiT III-S/16", "timm/deit3_small_patch16_224.fb_in22k_ft_in1k"),
    (2022, DEIT3),
    Normalisation::IMAGENET,
    |classes| scaled(SMALL, classes),
);

pub(crate) const DEIT3_BASE: ModelCard = card(
    ("deit3_base_patch16", "DeiT III-B/16", "timm/deit3_base_patch16_224.fb_in22k_ft_in1k"),
    (2022, DEIT3),
    Normalisation::IMAGENET,
    |classes| scaled(BASE, classes),
);

pub(crate) const VIT_BASE_PATCH32_CLIP: ModelCard = card(
    ("vit_base_patch32_clip", "CLIP ViT-B/32", "timm/vit_base_patch32_clip_224.openai"),
    (2021, CLIP),
    CLIP_PIXELS,
    |classes| contrasted(32, 7, classes),
);

pub(crate) const VIT_BASE_PATCH16_CLIP: ModelCard = card(
    ("vit_base_patch16_clip", "CLIP ViT-B/16", "timm/vit_base_patch16_clip_224.openai"),
    (2021, CLIP),
    CLIP_PIXELS,
    |classes| contrasted(16, 14, classes),
);

const fn dinov2(
    name: &'static str,
    title: &'static str,
    repo: &'static str,
    architecture: fn(usize) -> Architecture,
) -> ModelCard {
    card((name, title, repo), (2023, DINOV2), Normalisation::IMAGENET, architecture)
}

/// DINOv2, whose weights saw images of 518x518; with registers, patches alone have a position.
fn self_distilled(registers: usize, widths: Widths, classes: usize) -> Architecture {
    let tokens = Tokens { registers, class_position: registers == 0, ..Tokens::plain(14, 37) };
    let style = Style { scale: Some(1e-5), ..Style::PLAIN };
    tower(Tower { tokens, widths, style, norm_first: false }, classes)
}

/// DeiT III, where patches alone have a position.
fn scaled(widths: Widths, classes: usize) -> Architecture {
    let tokens = Tokens { class_position: false, ..Tokens::plain(16, 14) };
    let style = Style { scale: Some(1e-6), ..Style::PLAIN };
    tower(Tower { tokens, widths, style, norm_first: false }, classes)
}

/// CLIP.
fn contrasted(patch: usize, grid: usize, classes: usize) -> Architecture {
    let tokens = Tokens { bias: false, ..Tokens::plain(patch, grid) };
    let style = Style { curve: Curve::QuickGelu, scale: None, epsilon: 1e-5 };
    tower(Tower { tokens, widths: BASE, style, norm_first: true }, classes)
}
