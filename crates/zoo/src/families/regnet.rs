//! RegNetY (Radosavovic et al. 2020, arXiv:2003.13678) as timm has it: bottlenecks whose middle convolution is in groups, with gates
//! behind it, and widths that a line gives. The number is what an image of 224x224 multiplies, in units of 10⁸. Stages: stem,
//! stage1 … stage4, head. This file only describes them.

use crate::description::{
    Architecture, Builder, ConvNorm, Curve, Initial, Layer, ModelCard, Normalisation, Skip, Window,
};

const STAGES: &[&str] = &["stem", "stage1", "stage2", "stage3", "stage4", "head"];
const PAPER: &str =
    "Radosavovic, Kosaraju, Girshick, He, Dollár: Designing Network Design Spaces, arXiv:2003.13678";

pub(crate) const REGNETY_004: ModelCard =
    card("regnety_004", "RegNetY-400MF", "timm/regnety_004.tv2_in1k", |classes| {
        regnet([(1, 48), (3, 104), (6, 208), (6, 440)], 8, classes)
    });

pub(crate) const REGNETY_008: ModelCard =
    card("regnety_008", "RegNetY-800MF", "timm/regnety_008_tv.tv2_in1k", |classes| {
        regnet([(1, 64), (3, 144), (8, 320), (2, 784)], 16, classes)
    });

pub(crate) const REGNETY_016: ModelCard =
    card("regnety_016", "RegNetY-1.6GF", "timm/regnety_016.tv2_in1k", |classes| {
        regnet([(2, 48), (6, 120), (17, 336), (2, 888)], 24, classes)
    });

pub(crate) const REGNETY_032: ModelCard =
    card("regnety_032", "RegNetY-3.2GF", "timm/regnety_032.tv2_in1k", |classes| {
        regnet([(2, 72), (5, 216), (13, 576), (1, 1512)], 24, classes)
    });

const fn card(
    name: &'static str,
    title: &'static str,
    repo: &'static str,
    architecture: fn(usize) -> Architecture,
) -> ModelCard {
    let of = ("BSD-3-Clause", Normalisation::IMAGENET);
    ModelCard::of_timm((name, title, repo), (2020, PAPER), of, STAGES, architecture)
}

/// Blocks and channels of each stage, and the channels of a group.
fn regnet(stages: [(usize, usize); 4], group: usize, classes: usize) -> Architecture {
    let mut b = Builder::default();
    b.stage(STAGES[0]);
    let stem = conv_norm(&mut b, "stem", (3, 32), Window::square(3, 2, 1), true);
    b.push([Layer::ConvNorm(stem)]);
    let last = stages.iter().map(|stage| stage.0).sum::<usize>() - 1;
    let (mut from, mut before) = (32, 0);
    for (stage, (depth, width)) in stages.into_iter().enumerate() {
        b.stage(STAGES[1 + stage]);
        for index in 0..depth {
            let name = format!("s{}.b{}", stage + 1, index + 1);
            let share = (before + index) as f32 / last as f32;
            let stride = if index == 0 { 2 } else { 1 };
            let block = bottleneck(&mut b, &name, (from, width), (stride, group), share);
            b.push([Layer::Skip(Box::new(block))]);
            from = width;
        }
        before += depth;
    }
    b.stage(STAGES[5]);
    let initials = (Initial::Normal { std: 0.01 }, Initial::Constant(0.0));
    let fc = b.linear_from("head.fc", (from, 1, 1), classes, initials);
    let dropout = Layer::Dropout { name: "head.drop".to_owned(), probability: 0.0 };
    b.push([Layer::GlobalAvgPool, dropout, Layer::Linear(fc)]);
    b.finish()
}

fn bottleneck(
    b: &mut Builder,
    name: &str,
    (from, to): (usize, usize),
    (stride, group): (usize, usize),
    depth: f32,
) -> Skip {
    let (within, pixel) = (|part: &str| format!("{name}.{part}"), Window::square(1, 1, 0));
    let first = conv_norm(b, &within("conv1"), (from, to), pixel, true);
    let (middle, window) = (within("conv2"), Window::square(3, stride, 1));
    let initial = Initial::kaiming_fan_out(9 * group);
    let conv = b.grouped_conv(&format!("{middle}.conv"), (to, to, to / group), window, initial);
    let norm = b.norm(&format!("{middle}.bn"), to);
    let reduced = (from + 2) / 4;
    let outputs = |inputs: usize| if inputs == to { reduced } else { to };
    let gates = b.squeeze_excite(
        (&within("se.fc1"), &within("se.fc2")),
        (to, reduced),
        (Curve::Relu, Curve::Sigmoid),
        |inputs| (Initial::kaiming_fan_out(outputs(inputs)), Initial::Constant(0.0)),
    );
    let last = conv_norm(b, &within("conv3"), (to, to), pixel, false);
    // A block begins as what goes around it.
    b.silence(last.norm);
    let body = vec![
        Layer::ConvNorm(first),
        Layer::Conv(conv),
        Layer::BatchNorm(norm, Curve::Relu),
        Layer::SqueezeExcite(gates),
        Layer::ConvNorm(last),
    ];
    let shortcut = match stride == 1 && from == to {
        true => Vec::new(),
        false => {
            let window = Window::square(1, stride, 0);
            vec![Layer::ConvNorm(conv_norm(b, &within("downsample"), (from, to), window, false))]
        }
    };
    Skip { name: within("drop_path"), body, shortcut, scale: None, relu: true, depth }
}

fn conv_norm(
    b: &mut Builder,
    name: &str,
    (from, to): (usize, usize),
    window: Window,
    relu: bool,
) -> ConvNorm {
    let initial = Initial::kaiming_fan_out(window.taps() * to);
    let conv = b.conv(&format!("{name}.conv"), from, to, window, initial);
    let norm = b.norm(&format!("{name}.bn"), to);
    ConvNorm { conv, norm, relu }
}
