//! MobileNetV3 (Howard et al. 2019, arXiv:1905.02244) as timm has it: inverted residuals for phones, with curves and gates made of
//! straight lines. Stages: stem, stage1 … stage7 (small: stage6, the last a 1x1 convolution), top (the mean over pixels and a
//! linear layer) and the linear head. This file only describes them.

use super::{Block, conv_norm, head, inverted_residual, weight};
use crate::description::{Architecture, Builder, Curve, Initial, Layer, ModelCard, Normalisation, Window};

const SMALL_STAGES: &[&str] =
    &["stem", "stage1", "stage2", "stage3", "stage4", "stage5", "stage6", "top", "head"];
const LARGE_STAGES: &[&str] =
    &["stem", "stage1", "stage2", "stage3", "stage4", "stage5", "stage6", "stage7", "top", "head"];
const PAPER: &str = "Howard et al.: Searching for MobileNetV3, arXiv:1905.02244";

pub(crate) const MOBILENETV3_SMALL: ModelCard = ModelCard {
    stages: SMALL_STAGES,
    ..card("mobilenetv3_small", "MobileNetV3 small", "timm/mobilenetv3_small_100.lamb_in1k", |classes| {
        mobilenet(SMALL_STAGES, &SMALL, 1024, classes)
    })
};

pub(crate) const MOBILENETV3_LARGE: ModelCard =
    card("mobilenetv3_large", "MobileNetV3 large", "timm/mobilenetv3_large_100.ra_in1k", |classes| {
        mobilenet(LARGE_STAGES, &LARGE, 1280, classes)
    });

const fn card(
    name: &'static str,
    title: &'static str,
    repo: &'static str,
    architecture: fn(usize) -> Architecture,
) -> ModelCard {
    let of = ("Apache-2.0", Normalisation::IMAGENET);
    ModelCard::of_timm((name, title, repo), (2019, PAPER), of, LARGE_STAGES, architecture)
}

/// A block: kernel, stride, channels in between and at the end, those within the gates or 0, and whether its curve is ReLU.
type Row = (usize, usize, usize, usize, usize, bool);

const SMALL: [&[Row]; 5] = [
    &[(3, 2, 16, 16, 8, true)],
    &[(3, 2, 72, 24, 0, true), (3, 1, 88, 24, 0, true)],
    &[(5, 2, 96, 40, 24, false), (5, 1, 240, 40, 64, false), (5, 1, 240, 40, 64, false)],
    &[(5, 1, 120, 48, 32, false), (5, 1, 144, 48, 40, false)],
    &[(5, 2, 288, 96, 72, false), (5, 1, 576, 96, 144, false), (5, 1, 576, 96, 144, false)],
];

const LARGE: [&[Row]; 6] = [
    &[(3, 1, 16, 16, 0, true)],
    &[(3, 2, 64, 24, 0, true), (3, 1, 72, 24, 0, true)],
    &[(5, 2, 72, 40, 24, true), (5, 1, 120, 40, 32, true), (5, 1, 120, 40, 32, true)],
    &[
        (3, 2, 240, 80, 0, false),
        (3, 1, 200, 80, 0, false),
        (3, 1, 184, 80, 0, false),
        (3, 1, 184, 80, 0, false),
    ],
    &[(3, 1, 480, 112, 120, false), (3, 1, 672, 112, 168, false)],
    &[(5, 2, 672, 160, 168, false), (5, 1, 960, 160, 240, false), (5, 1, 960, 160, 240, false)],
];

fn mobilenet(names: &[&'static str], rows: &[&[Row]], features: usize, classes: usize) -> Architecture {
    let mut b = Builder::default();
    b.stage(names[0]);
    let mut from = 16;
    let stem = conv_norm(&mut b, ("conv_stem", "bn1"), (3, from), Window::square(3, 2, 1), Curve::HardSwish);
    b.push(stem);
    let all = rows.iter().map(|stage| stage.len()).sum::<usize>() + 1;
    let mut before = 0;
    for (stage, blocks) in rows.iter().enumerate() {
        b.stage(names[1 + stage]);
        for (index, &(kernel, stride, wide, to, reduced, relu)) in blocks.iter().enumerate() {
            let block = Block {
                from,
                to,
                wide,
                kernel,
                stride,
                reduced,
                curve: if relu { Curve::Relu } else { Curve::HardSwish },
                gates: (Curve::Relu, Curve::HardSigmoid),
                depth: (before + index) as f32 / all as f32,
            };
            let layers = inverted_residual(&mut b, &format!("blocks.{stage}.{index}"), block);
            b.push(layers);
            from = to;
        }
        before += blocks.len();
    }
    let (stage, pixel) = (rows.len(), Window::square(1, 1, 0));
    b.stage(names[1 + stage]);
    let block = format!("blocks.{stage}.0");
    let last = (&*format!("{block}.conv"), &*format!("{block}.bn1"));
    let layers = conv_norm(&mut b, last, (from, 6 * from), pixel, Curve::HardSwish);
    b.push(layers);

    b.stage(names[2 + stage]);
    let top = b.pixel_linear("conv_head", 6 * from, features, (weight(features), Initial::Constant(0.0)));
    b.push([Layer::GlobalAvgPool, Layer::Linear(top), Layer::Curve(Curve::HardSwish)]);
    head(&mut b, features, classes);
    b.finish()
}
