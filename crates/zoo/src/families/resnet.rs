//! ResNets (He et al. 2015, arXiv:1512.03385) as torchvision has them: a 7x7 stem with a pool, four layers of blocks, a
//! linear head. ResNet-18 and 34 have basic blocks of two 3x3 convolutions; 50, 101 and 152 have bottlenecks of 1x1, 3x3
//! and 1x1, with the stride on the 3x3. `resnet18-cifar` has a 3x3 stem of stride 1 and no pool, for images of 32x32 (the
//! paper's section 4.2). Stages: stem, layer1 … layer4, head. This file only describes them.

use crate::description::{
    Architecture, Builder, Conv, ConvNorm, Initial, Layer, ModelCard, Normalisation, PinnedWeights, Residual,
    Window,
};

const STAGES: &[&str] = &["stem", "layer1", "layer2", "layer3", "layer4", "head"];
const PAPER: &str = "He, Zhang, Ren, Sun: Deep Residual Learning for Image Recognition, arXiv:1512.03385";

pub(crate) const RESNET18: ModelCard = ModelCard {
    name: "resnet18",
    title: "ResNet-18",
    year: 2015,
    paper: PAPER,
    stages: STAGES,
    normalisation: Normalisation::IMAGENET,
    pinned: Some(PinnedWeights {
        revision: Some("590dfdd48494d2316a8385e1ca7fbec3b9359b35"),
        sha256: Some("694f673df6520a3158624e8a89af086f59923ee4cd7436fe5bc3bc71d295ad81"),
        ..PinnedWeights::torchvisions("timm/resnet18.tv_in1k")
    }),
    architecture: |classes| resnet(Stem::Wide, Block::Basic, [2, 2, 2, 2], classes),
};

pub(crate) const RESNET34: ModelCard = ModelCard {
    name: "resnet34",
    title: "ResNet-34",
    year: 2015,
    paper: PAPER,
    stages: STAGES,
    normalisation: Normalisation::IMAGENET,
    pinned: Some(PinnedWeights {
        revision: Some("c983eba7f5e69bc3548a626d1b0b0b914e5de3a6"),
        ..PinnedWeights::torchvisions("timm/resnet34.tv_in1k")
    }),
    architecture: |classes| resnet(Stem::Wide, Block::Basic, [3, 4, 6, 3], classes),
};

pub(crate) const RESNET50: ModelCard = ModelCard {
    name: "resnet50",
    title: "ResNet-50",
    year: 2015,
    paper: PAPER,
    stages: STAGES,
    normalisation: Normalisation::IMAGENET,
    pinned: Some(PinnedWeights {
        revision: Some("aa6c2d36d56bc0209040c02b5a7b7d7bf11d57b8"),
        sha256: Some("5d061a3c593d795bfe682d9b152bafbcf550579873492def3515b46db1189888"),
        ..PinnedWeights::torchvisions("timm/resnet50.tv_in1k")
    }),
    architecture: |classes| resnet(Stem::Wide, Block::Bottleneck, [3, 4, 6, 3], classes),
};

pub(crate) const RESNET101: ModelCard = ModelCard {
    name: "resnet101",
    title: "ResNet-101",
    year: 2015,
    paper: PAPER,
    stages: STAGES,
    normalisation: Normalisation::IMAGENET,
    pinned: Some(PinnedWeights::torchvisions("timm/resnet101.tv_in1k")),
    architecture: |classes| resnet(Stem::Wide, Block::Bottleneck, [3, 4, 23, 3], classes),
};

pub(crate) const RESNET152: ModelCard = ModelCard {
    name: "resnet152",
    title: "ResNet-152",
    year: 2015,
    paper: PAPER,
    stages: STAGES,
    normalisation: Normalisation::IMAGENET,
    pinned: Some(PinnedWeights::torchvisions("timm/resnet152.tv_in1k")),
    architecture: |classes| resnet(Stem::Wide, Block::Bottleneck, [3, 8, 36, 3], classes),
};

pub(crate) const RESNET18_CIFAR: ModelCard = ModelCard {
    name: "resnet18-cifar",
    title: "ResNet-18 for CIFAR",
    year: 2015,
    paper: PAPER,
    stages: STAGES,
    normalisation: Normalisation::IMAGENET,
    pinned: None,
    architecture: |classes| resnet(Stem::Small, Block::Basic, [2, 2, 2, 2], classes),
};

/// What stands before layer1.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stem {
    /// A 7x7 convolution of stride 2 and a pool of stride 2.
    Wide,
    /// A 3x3 convolution of stride 1.
    Small,
}

#[derive(Clone, Copy)]
enum Block {
    Basic,
    Bottleneck,
}

/// A ResNet with `depths` blocks in layer1 … layer4.
fn resnet(stem: Stem, block: Block, depths: [usize; 4], classes: usize) -> Architecture {
    let mut b = Builder::default();
    b.stage("stem");
    let window = if stem == Stem::Wide { Window::square(7, 2, 3) } else { Window::square(3, 1, 1) };
    let conv = conv_norm(&mut b, "", ("conv1", "bn1"), (3, 64), window, true);
    b.push([Layer::ConvNorm(conv)]);
    if stem == Stem::Wide {
        let (name, window) = ("maxpool".to_owned(), Window::square(3, 2, 1));
        b.push([Layer::MaxPool { name, window, ceil: false }]);
    }

    let mut from = 64;
    for (layer, depth) in depths.into_iter().enumerate() {
        b.stage(STAGES[layer + 1]);
        let width = 64 << layer;
        for index in 0..depth {
            let stride = if layer > 0 && index == 0 { 2 } else { 1 };
            let prefix = format!("layer{}.{index}.", layer + 1);
            let (residual, to) = match block {
                Block::Basic => (basic(&mut b, &prefix, (from, width), stride), width),
                Block::Bottleneck => (bottleneck(&mut b, &prefix, (from, width), stride), 4 * width),
            };
            b.push([Layer::Residual(Box::new(residual))]);
            from = to;
        }
    }

    b.stage("head");
    let fc = b.linear("fc", from, classes);
    b.push([Layer::GlobalAvgPool, Layer::Linear(fc)]);
    b.finish()
}

fn basic(b: &mut Builder, prefix: &str, (from, to): (usize, usize), stride: usize) -> Residual {
    let first = conv_norm(b, prefix, ("conv1", "bn1"), (from, to), Window::square(3, stride, 1), true);
    let last = conv_norm(b, prefix, ("conv2", "bn2"), (to, to), Window::square(3, 1, 1), true);
    Residual { first: vec![first], last, shortcut: shortcut(b, prefix, (from, to), stride) }
}

fn bottleneck(b: &mut Builder, prefix: &str, (from, width): (usize, usize), stride: usize) -> Residual {
    let (to, pixel) = (4 * width, Window::square(1, 1, 0));
    let reduce = conv_norm(b, prefix, ("conv1", "bn1"), (from, width), pixel, true);
    let middle = conv_norm(b, prefix, ("conv2", "bn2"), (width, width), Window::square(3, stride, 1), true);
    let last = conv_norm(b, prefix, ("conv3", "bn3"), (width, to), pixel, true);
    Residual { first: vec![reduce, middle], last, shortcut: shortcut(b, prefix, (from, to), stride) }
}

/// A 1x1 convolution where the block changes the shape.
fn shortcut(b: &mut Builder, prefix: &str, (from, to): (usize, usize), stride: usize) -> Option<ConvNorm> {
    (stride != 1 || from != to).then(|| {
        let names = ("downsample.0", "downsample.1");
        conv_norm(b, prefix, names, (from, to), Window::square(1, stride, 0), false)
    })
}

/// torchvision's constructor redraws every convolution with `kaiming_normal_(fan_out, relu)`.
fn conv_norm(
    b: &mut Builder,
    prefix: &str,
    (conv, norm): (&str, &str),
    (from, to): (usize, usize),
    window: Window,
    relu: bool,
) -> ConvNorm {
    let initial = Initial::kaiming_fan_out(to * window.taps());
    let conv: Conv = b.conv(&format!("{prefix}{conv}"), from, to, window, initial);
    let norm = b.norm(&format!("{prefix}{norm}"), to);
    ConvNorm { conv, norm, relu }
}
