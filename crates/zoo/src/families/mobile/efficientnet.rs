//! EfficientNet (Tan and Le 2019, arXiv:1905.11946) as timm has it: inverted residuals with gates, found by search, that grow
//! in width and depth together from B0 to B3. Stages: stem, stage1 … stage7, top (a 1x1 convolution and the mean over pixels)
//! and the linear head. This file only describes them.

use super::{Block, conv_norm, head, inverted_residual};
use crate::description::{Architecture, Builder, Curve, Layer, ModelCard, Normalisation, Window};

const STAGES: &[&str] =
    &["stem", "stage1", "stage2", "stage3", "stage4", "stage5", "stage6", "stage7", "top", "head"];
const PAPER: &str =
    "Tan, Le: EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, arXiv:1905.11946";

pub(crate) const EFFICIENTNET_B0: ModelCard =
    card("efficientnet_b0", "EfficientNet-B0", "timm/efficientnet_b0.ra_in1k", |classes| {
        efficientnet(1.0, 1.0, classes)
    });

pub(crate) const EFFICIENTNET_B1: ModelCard =
    card("efficientnet_b1", "EfficientNet-B1", "timm/efficientnet_b1.ft_in1k", |classes| {
        efficientnet(1.0, 1.1, classes)
    });

pub(crate) const EFFICIENTNET_B2: ModelCard =
    card("efficientnet_b2", "EfficientNet-B2", "timm/efficientnet_b2.ra_in1k", |classes| {
        efficientnet(1.1, 1.2, classes)
    });

pub(crate) const EFFICIENTNET_B3: ModelCard =
    card("efficientnet_b3", "EfficientNet-B3", "timm/efficientnet_b3.ra2_in1k", |classes| {
        efficientnet(1.2, 1.4, classes)
    });

const fn card(
    name: &'static str,
    title: &'static str,
    repo: &'static str,
    architecture: fn(usize) -> Architecture,
) -> ModelCard {
    let of = ("Apache-2.0", Normalisation::IMAGENET);
    ModelCard::of_timm((name, title, repo), (2019, PAPER), of, STAGES, architecture)
}

/// The stages of B0: blocks, kernel, stride of the first block, how often wider the middle is, channels.
const B0: [(usize, usize, usize, usize, usize); 7] = [
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
];

fn efficientnet(width: f64, depth: f64, classes: usize) -> Architecture {
    let mut b = Builder::default();
    b.stage(STAGES[0]);
    let mut from = channels(32, width);
    let stem = conv_norm(&mut b, ("conv_stem", "bn1"), (3, from), Window::square(3, 2, 1), Curve::Silu);
    b.push(stem);
    let blocks = |count: usize| (depth * count as f64).ceil() as usize;
    let all: usize = B0.iter().map(|stage| blocks(stage.0)).sum();
    let mut before = 0;
    for (stage, (count, kernel, stride, wider, to)) in B0.into_iter().enumerate() {
        b.stage(STAGES[1 + stage]);
        let to = channels(to, width);
        for index in 0..blocks(count) {
            let block = Block {
                from,
                to,
                wide: wider * from,
                kernel,
                stride: if index == 0 { stride } else { 1 },
                reduced: from / 4,
                curve: Curve::Silu,
                gates: (Curve::Silu, Curve::Sigmoid),
                depth: (before + index) as f32 / all as f32,
            };
            let layers = inverted_residual(&mut b, &format!("blocks.{stage}.{index}"), block);
            b.push(layers);
            from = to;
        }
        before += blocks(count);
    }
    b.stage(STAGES[8]);
    let wide = channels(1280, width);
    let top = conv_norm(&mut b, ("conv_head", "bn2"), (from, wide), Window::square(1, 1, 0), Curve::Silu);
    b.push(top);
    b.push([Layer::GlobalAvgPool]);
    head(&mut b, wide, classes);
    b.finish()
}

/// As many channels as a factor gives, in eights, and not less than nine tenths of them.
fn channels(count: usize, factor: f64) -> usize {
    let wanted = count as f64 * factor;
    let eights = ((wanted + 4.0) as usize / 8 * 8).max(8);
    if (eights as f64) < 0.9 * wanted { eights + 8 } else { eights }
}
