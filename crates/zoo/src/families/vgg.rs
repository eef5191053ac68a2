//! VGG (Simonyan and Zisserman 2014, arXiv:1409.1556) as torchvision has it, with 11, 13, 16 or 19 layers, each also with
//! BatchNorm. Stages: block1 … block5, each some 3x3 convolutions and a pool; fc6 and fc7 with the dropout before them;
//! the last linear layer, with its dropout, as head. This file only describes them.

use crate::description::{
    Architecture, Builder, ConvNorm, Initial, Layer, ModelCard, Normalisation, PinnedWeights, Window,
};

pub(crate) const VGG11: ModelCard =
    of_timm("vgg11", "VGG-11", "timm/vgg11.tv_in1k", |classes| vgg([1, 1, 2, 2, 2], false, classes));

pub(crate) const VGG13: ModelCard =
    of_timm("vgg13", "VGG-13", "timm/vgg13.tv_in1k", |classes| vgg([2, 2, 2, 2, 2], false, classes));

pub(crate) const VGG16: ModelCard = ModelCard {
    pinned: Some(PinnedWeights {
        revision: Some("3394518cba29aee1ea82a49d971be90d2dd1dab7"),
        sha256: Some("57b026918159a6bf9faf8405c3a551903768e7138989d9c6224a14227203fad8"),
        ..PinnedWeights::torchvisions("timm/vgg16.tv_in1k")
    }),
    ..of_timm("vgg16", "VGG-16", "timm/vgg16.tv_in1k", |classes| vgg([2, 2, 3, 3, 3], false, classes))
};

pub(crate) const VGG19: ModelCard =
    of_timm("vgg19", "VGG-19", "timm/vgg19.tv_in1k", |classes| vgg([2, 2, 4, 4, 4], false, classes));

pub(crate) const VGG11_BN: ModelCard =
    of_timm("vgg11_bn", "VGG-11-BN", "timm/vgg11_bn.tv_in1k", |classes| vgg([1, 1, 2, 2, 2], true, classes));

pub(crate) const VGG13_BN: ModelCard =
    of_timm("vgg13_bn", "VGG-13-BN", "timm/vgg13_bn.tv_in1k", |classes| vgg([2, 2, 2, 2, 2], true, classes));

pub(crate) const VGG16_BN: ModelCard = ModelCard {
    pinned: Some(PinnedWeights {
        revision: Some("e00c01e7cee168262dcba6428dc4a8f41e27e965"),
        sha256: Some("88bbedbc8e780413736db38ac4efd41b06fc0e93fd5b8879b584bba63a950129"),
        ..PinnedWeights::torchvisions("timm/vgg16_bn.tv_in1k")
    }),
    ..of_timm("vgg16_bn", "VGG-16-BN", "timm/vgg16_bn.tv_in1k", |classes| vgg([2, 2, 3, 3, 3], true, classes))
};

pub(crate) const VGG19_BN: ModelCard =
    of_timm("vgg19_bn", "VGG-19-BN", "timm/vgg19_bn.tv_in1k", |classes| vgg([2, 2, 4, 4, 4], true, classes));

const STAGES: &[&str] = &["block1", "block2", "block3", "block4", "block5", "fc6", "fc7", "head"];

/// What the family has in common, with torchvision's weights as timm republishes them.
const fn of_timm(
    name: &'static str,
    title: &'static str,
    repo: &'static str,
    architecture: fn(usize) -> Architecture,
) -> ModelCard {
    ModelCard {
        name,
        title,
        year: 2014,
        paper: "Simonyan, Zisserman: Very Deep Convolutional Networks for Large-Scale Image Recognition, \
                arXiv:1409.1556",
        stages: STAGES,
        pinned: Some(PinnedWeights::torchvisions(repo)),
        normalisation: Normalisation::IMAGENET,
        architecture,
    }
}

/// timm writes the classifier as convolutions of 7x7 and 1x1 pixels; torchvision's names come first.
const TIMM: &[(&str, &str)] =
    &[("classifier.0", "pre_logits.fc1"), ("classifier.3", "pre_logits.fc2"), ("classifier.6", "head.fc")];

/// A VGG with `depths` convolutions in its five blocks.
fn vgg(depths: [usize; 5], norm: bool, classes: usize) -> Architecture {
    let mut b = Builder::default();
    b.also_named(TIMM);
    // Among torchvision's `features`, which count convolutions, norms, ReLUs and pools.
    let mut index = 0;
    let mut from = 3;
    for (block, depth) in depths.into_iter().enumerate() {
        b.stage(STAGES[block]);
        let to = (64 << block).min(512);
        for _ in 0..depth {
            index += convolution(&mut b, index, (from, to), norm);
            from = to;
        }
        let window = Window::square(2, 2, 0);
        b.push([Layer::MaxPool { name: format!("features.{index}"), window, ceil: false }]);
        index += 1;
    }

    b.stage("fc6");
    let fc6 = linear(&mut b, "classifier.0", (512, 7, 7), 4096);
    b.push([Layer::AdaptiveAvgPool { height: 7, width: 7 }, Layer::Flatten, fc6, Layer::Relu]);

    b.stage("fc7");
    let fc7 = linear(&mut b, "classifier.3", (4096, 1, 1), 4096);
    b.push([dropout("classifier.2"), fc7, Layer::Relu]);

    b.stage("head");
    let head = linear(&mut b, "classifier.6", (4096, 1, 1), classes);
    b.push([dropout("classifier.5"), head]);
    b.finish()
}

/// A convolution with its ReLU, and the norm between them where there is one; gives how many modules it is in torchvision,
/// whose constructor redraws the weight with `kaiming_normal_(fan_out, relu)` and sets the bias to 0.
fn convolution(b: &mut Builder, index: usize, (from, to): (usize, usize), norm: bool) -> usize {
    let window = Window::square(3, 1, 1);
    let conv = b.conv(&format!("features.{index}"), from, to, window, Initial::kaiming_fan_out(to * 9));
    let conv = b.with_bias(conv, Initial::Constant(0.0));
    if norm {
        let norm = b.norm(&format!("features.{}", index + 1), to);
        b.push([Layer::ConvNorm(ConvNorm { conv, norm, relu: true })]);
        3
    } else {
        b.push([Layer::Conv(conv), Layer::Relu]);
        2
    }
}

/// A linear layer as torchvision's constructor redraws it: normal with standard deviation 0.01, bias 0.
fn linear(b: &mut Builder, name: &str, map: (usize, usize, usize), to: usize) -> Layer {
    let initials = (Initial::Normal { std: 0.01 }, Initial::Constant(0.0));
    Layer::Linear(b.linear_from(name, map, to, initials))
}

fn dropout(name: &str) -> Layer {
    Layer::Dropout { name: name.to_owned(), probability: 0.5 }
}
