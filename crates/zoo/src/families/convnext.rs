//! ConvNeXt (Liu et al. 2022, arXiv:2201.03545) and ConvNeXt V2 (Woo et al. 2023, arXiv:2301.00808) as timm has them: what a
//! convolutional network is with the habits of transformers. Patches of 4 pixels, blocks of a 7x7 depthwise convolution, a
//! layer norm and two linear layers, and layer scale, or response norm in V2. Stages: stem, stage1 … stage4, the last with the
//! mean over pixels and the final norm, and the linear head. This file only describes them.

use crate::description::{
    Architecture, Builder, Curve, Initial, Layer, Linear, ModelCard, Normalisation, Skip, Window,
};

const STAGES: &[&str] = &["stem", "stage1", "stage2", "stage3", "stage4", "head"];
const FIRST: &str = "Liu et al.: A ConvNet for the 2020s, arXiv:2201.03545";
const SMALL: &str = "Liu et al.: A ConvNet for the 2020s, arXiv:2201.03545; size and weights of timm";
const SECOND: &str = "Woo et al.: ConvNeXt V2: Co-designing and Scaling ConvNets with Masked Autoencoders, \
                      arXiv:2301.00808";
/// timm's `trunc_normal_(std = 0.02)` cuts at ±2, a hundred deviations away.
const WEIGHT: (Initial, Initial) = (Initial::Normal { std: 0.02 }, Initial::Constant(0.0));

pub(crate) const CONVNEXT_ATTO: ModelCard =
    first("convnext_atto", "ConvNeXt-A", "timm/convnext_atto.d2_in1k", |classes| {
        convnext([2, 2, 6, 2], 40, Mlp::Kernels, Blocks::Scaled, classes)
    });

pub(crate) const CONVNEXT_FEMTO: ModelCard =
    first("convnext_femto", "ConvNeXt-F", "timm/convnext_femto.d1_in1k", |classes| {
        convnext([2, 2, 6, 2], 48, Mlp::Kernels, Blocks::Scaled, classes)
    });

pub(crate) const CONVNEXT_PICO: ModelCard =
    first("convnext_pico", "ConvNeXt-P", "timm/convnext_pico.d1_in1k", |classes| {
        convnext([2, 2, 6, 2], 64, Mlp::Kernels, Blocks::Scaled, classes)
    });

pub(crate) const CONVNEXT_NANO: ModelCard =
    first("convnext_nano", "ConvNeXt-N", "timm/convnext_nano.in12k_ft_in1k", |classes| {
        convnext([2, 2, 8, 2], 80, Mlp::Kernels, Blocks::Scaled, classes)
    });

pub(crate) const CONVNEXT_TINY: ModelCard = ModelCard {
    paper: FIRST,
    ..first("convnext_tiny", "ConvNeXt-T", "timm/convnext_tiny.in12k_ft_in1k", |classes| {
        convnext([3, 3, 9, 3], 96, Mlp::Matrices, Blocks::Scaled, classes)
    })
};

pub(crate) const CONVNEXT_SMALL: ModelCard = ModelCard {
    paper: FIRST,
    ..first("convnext_small", "ConvNeXt-S", "timm/convnext_small.in12k_ft_in1k", |classes| {
        convnext([3, 3, 27, 3], 96, Mlp::Matrices, Blocks::Scaled, classes)
    })
};

pub(crate) const CONVNEXT_BASE: ModelCard = ModelCard {
    paper: FIRST,
    ..first("convnext_base", "ConvNeXt-B", "timm/convnext_base.fb_in22k_ft_in1k", |classes| {
        convnext([3, 3, 27, 3], 128, Mlp::Matrices, Blocks::Scaled, classes)
    })
};

pub(crate) const CONVNEXTV2_ATTO: ModelCard =
    second("convnextv2_atto", "ConvNeXt V2-A", "timm/convnextv2_atto.fcmae_ft_in1k", |classes| {
        convnext([2, 2, 6, 2], 40, Mlp::Kernels, Blocks::Competing, classes)
    });

pub(crate) const CONVNEXTV2_FEMTO: ModelCard =
    second("convnextv2_femto", "ConvNeXt V2-F", "timm/convnextv2_femto.fcmae_ft_in1k", |classes| {
        convnext([2, 2, 6, 2], 48, Mlp::Kernels, Blocks::Competing, classes)
    });

pub(crate) const CONVNEXTV2_PICO: ModelCard =
    second("convnextv2_pico", "ConvNeXt V2-P", "timm/convnextv2_pico.fcmae_ft_in1k", |classes| {
        convnext([2, 2, 6, 2], 64, Mlp::Kernels, Blocks::Competing, classes)
    });

pub(crate) const CONVNEXTV2_NANO: ModelCard =
    second("convnextv2_nano", "ConvNeXt V2-N", "timm/convnextv2_nano.fcmae_ft_in22k_in1k", |classes| {
        convnext([2, 2, 8, 2], 80, Mlp::Kernels, Blocks::Competing, classes)
    });

pub(crate) const CONVNEXTV2_TINY: ModelCard =
    second("convnextv2_tiny", "ConvNeXt V2-T", "timm/convnextv2_tiny.fcmae_ft_in22k_in1k", |classes| {
        convnext([3, 3, 9, 3], 96, Mlp::Matrices, Blocks::Competing, classes)
    });

pub(crate) const CONVNEXTV2_BASE: ModelCard =
    second("convnextv2_base", "ConvNeXt V2-B", "timm/convnextv2_base.fcmae_ft_in22k_in1k", |classes| {
        convnext([3, 3, 27, 3], 128, Mlp::Matrices, Blocks::Competing, classes)
    });

const fn first(
    name: &'static str,
    title: &'static str,
    repo: &'static str,
    architecture: fn(usize) -> Architecture,
) -> ModelCard {
    let of = ("Apache-2.0", Normalisation::IMAGENET);
    ModelCard::of_timm((name, title, repo), (2022, SMALL), of, STAGES, architecture)
}

const fn second(
    name: &'static str,
    title: &'static str,
    repo: &'static str,
    architecture: fn(usize) -> Architecture,
) -> ModelCard {
    let of = ("CC-BY-NC-4.0", Normalisation::IMAGENET);
    ModelCard::of_timm((name, title, repo), (2023, SECOND), of, STAGES, architecture)
}

/// What the weights of a block's two linear layers are in timm's files.
#[derive(Clone, Copy)]
enum Mlp {
    /// Kernels of one tap.
    Kernels,
    /// Matrices.
    Matrices,
}

/// What the versions differ in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Blocks {
    /// Layer scale.
    Scaled,
    /// Response norm.
    Competing,
}

/// `depths` blocks in the stages, of `width` channels in the first and twice as many in each that follows.
fn convnext(depths: [usize; 4], width: usize, mlp: Mlp, blocks: Blocks, classes: usize) -> Architecture {
    let mut b = Builder::default();
    b.stage(STAGES[0]);
    let stem = conv(&mut b, "stem.0", (3, width), 4);
    let norm = b.layer_norm("stem.1", width);
    b.push([stem, Layer::LayerNorm(norm)]);

    let last = depths.iter().sum::<usize>() - 1;
    let mut before = 0;
    for (stage, depth) in depths.into_iter().enumerate() {
        b.stage(STAGES[1 + stage]);
        let (name, width) = (format!("stages.{stage}"), width << stage);
        if stage > 0 {
            let norm = b.layer_norm(&format!("{name}.downsample.0"), width / 2);
            let conv = conv(&mut b, &format!("{name}.downsample.1"), (width / 2, width), 2);
            b.push([Layer::LayerNorm(norm), conv]);
        }
        for index in 0..depth {
            let share = (before + index) as f32 / last as f32;
            let skip = block(&mut b, format!("{name}.blocks.{index}"), width, (mlp, blocks), share);
            b.push([Layer::Skip(Box::new(skip))]);
        }
        before += depth;
    }
    let norm = b.layer_norm("head.norm", 8 * width);
    b.push([Layer::GlobalAvgPool, Layer::LayerNorm(norm)]);

    b.stage(STAGES[5]);
    let head = b.projection("head.fc", 8 * width, classes);
    b.push([Layer::Dropout { name: "head.drop".to_owned(), probability: 0.0 }, Layer::Linear(head)]);
    b.finish()
}

/// A convolution with bias whose stride is its kernel.
fn conv(b: &mut Builder, name: &str, (from, to): (usize, usize), side: usize) -> Layer {
    let conv = b.conv(name, from, to, Window::square(side, side, 0), WEIGHT.0);
    Layer::Conv(b.with_bias(conv, WEIGHT.1))
}

fn block(b: &mut Builder, name: String, width: usize, (mlp, blocks): (Mlp, Blocks), depth: f32) -> Skip {
    let scale = (blocks == Blocks::Scaled).then(|| b.scale(&format!("{name}.gamma"), width, 1e-6));
    let conv = b.depthwise(&format!("{name}.conv_dw"), width, (7, 1), WEIGHT.0);
    let conv = b.with_bias(conv, WEIGHT.1);
    let norm = b.layer_norm(&format!("{name}.norm"), width);
    let linear = |b: &mut Builder, part: &str, from: usize, to: usize| -> Linear {
        let name = format!("{name}.mlp.{part}");
        match mlp {
            Mlp::Kernels => b.pixel_linear(&name, from, to, WEIGHT),
            Mlp::Matrices => b.projection(&name, from, to),
        }
    };
    let wide = linear(b, "fc1", width, 4 * width);
    let mut body =
        vec![Layer::Conv(conv), Layer::LayerNorm(norm), Layer::Linear(wide), Layer::Curve(Curve::Gelu)];
    if blocks == Blocks::Competing {
        body.push(Layer::ResponseNorm(b.response_norm(&format!("{name}.mlp.grn"), 4 * width)));
    }
    body.push(Layer::Linear(linear(b, "fc2", 4 * width, width)));
    Skip { name, body, shortcut: Vec::new(), scale, relu: false, depth }
}
