//! DenseNet (Huang et al. 2016, arXiv:1608.06993) as torchvision has it: every layer sees all maps before it in its block. Stages:
//! stem, block1 … block4, each but the last with the transition behind it that halves the map, head. This file only describes it.

use crate::description::{
    Architecture, Builder, Conv, ConvNorm, Curve, Initial, Layer, ModelCard, Normalisation, PinnedWeights,
    Window,
};

const STAGES: &[&str] = &["stem", "block1", "block2", "block3", "block4", "head"];

pub(crate) const DENSENET121: ModelCard = ModelCard {
    name: "densenet121",
    title: "DenseNet-121",
    year: 2016,
    paper: "Huang, Liu, van der Maaten, Weinberger: Densely Connected Convolutional Networks, arXiv:1608.06993",
    stages: STAGES,
    normalisation: Normalisation::IMAGENET,
    pinned: Some(PinnedWeights::in_timm("timm/densenet121.tv_in1k", "Apache-2.0", Normalisation::IMAGENET)),
    architecture: |classes| densenet([6, 12, 24, 16], classes),
};

/// Channels that each layer adds.
const GROWTH: usize = 32;
/// Channels between the two convolutions of a layer.
const NARROW: usize = 4 * GROWTH;

fn densenet(depths: [usize; 4], classes: usize) -> Architecture {
    let mut b = Builder::default();
    b.stage(STAGES[0]);
    let mut width = 64;
    let stem = conv(&mut b, "features.conv0", (3, width), Window::square(7, 2, 3));
    let stem = ConvNorm { conv: stem, norm: b.norm("features.norm0", width), relu: true };
    let (name, window) = ("features.pool0".to_owned(), Window::square(3, 2, 1));
    b.push([Layer::ConvNorm(stem), Layer::MaxPool { name, window, ceil: false }]);
    for (block, depth) in depths.into_iter().enumerate() {
        let number = block + 1;
        b.stage(STAGES[number]);
        for layer in 1..=depth {
            let name = format!("features.denseblock{number}.denselayer{layer}");
            let body = dense_layer(&mut b, &name, width);
            b.push([Layer::Dense(body)]);
            width += GROWTH;
        }
        if number == depths.len() {
            let norm = b.norm("features.norm5", width);
            b.push([Layer::BatchNorm(norm, Curve::Relu)]);
        } else {
            let name = format!("features.transition{number}");
            let norm = b.norm(&format!("{name}.norm"), width);
            let half = conv(&mut b, &format!("{name}.conv"), (width, width / 2), Window::square(1, 1, 0));
            let (name, window) = (format!("{name}.pool"), Window::square(2, 2, 0));
            b.push([Layer::BatchNorm(norm, Curve::Relu), Layer::Conv(half), Layer::AvgPool { name, window }]);
            width /= 2;
        }
    }
    b.stage(STAGES[5]);
    let initials = (Initial::layer_default(width), Initial::Constant(0.0));
    let classifier = b.linear_from("classifier", (width, 1, 1), classes, initials);
    let dropout = Layer::Dropout { name: "classifier.drop".to_owned(), probability: 0.0 };
    b.push([Layer::GlobalAvgPool, dropout, Layer::Linear(classifier)]);
    b.finish()
}

fn dense_layer(b: &mut Builder, name: &str, width: usize) -> Vec<Layer> {
    let before = b.norm(&format!("{name}.norm1"), width);
    let narrow = conv(b, &format!("{name}.conv1"), (width, NARROW), Window::square(1, 1, 0));
    let norm = b.norm(&format!("{name}.norm2"), NARROW);
    let last = conv(b, &format!("{name}.conv2"), (NARROW, GROWTH), Window::square(3, 1, 1));
    vec![
        Layer::BatchNorm(before, Curve::Relu),
        Layer::ConvNorm(ConvNorm { conv: narrow, norm, relu: true }),
        Layer::Conv(last),
    ]
}

/// Started with `kaiming_normal_`, by the inputs.
fn conv(b: &mut Builder, name: &str, (from, to): (usize, usize), window: Window) -> Conv {
    b.conv(name, from, to, window, Initial::kaiming_fan_out(window.taps() * from))
}
