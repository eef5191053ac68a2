//! ResNet-18 and ResNet-34 (He et al. 2015, arXiv:1512.03385) as torchvision has them: a 7x7 stem with a pool, four
//! layers of basic blocks, a linear head. Stages: stem, layer1 … layer4, head. This file only describes them.

use crate::architecture::{Architecture, BasicBlock, Builder, Conv, ConvNorm, Layer, Window};
use crate::initial::Initial;
use crate::zoo::{ModelCard, Normalisation, PinnedWeights};

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
        repo: "timm/resnet18.tv_in1k",
        revision: Some("590dfdd48494d2316a8385e1ca7fbec3b9359b35"),
        file: "model.safetensors",
        sha256: Some("694f673df6520a3158624e8a89af086f59923ee4cd7436fe5bc3bc71d295ad81"),
        size: None,
        licence: Some("BSD-3-Clause"),
        normalisation: Normalisation::IMAGENET,
    }),
    architecture: |classes| resnet([2, 2, 2, 2], classes),
};

pub(crate) const RESNET34: ModelCard = ModelCard {
    name: "resnet34",
    title: "ResNet-34",
    year: 2015,
    paper: PAPER,
    stages: STAGES,
    normalisation: Normalisation::IMAGENET,
    pinned: Some(PinnedWeights {
        repo: "timm/resnet34.tv_in1k",
        revision: Some("c983eba7f5e69bc3548a626d1b0b0b914e5de3a6"),
        file: "model.safetensors",
        sha256: None,
        size: None,
        licence: Some("BSD-3-Clause"),
        normalisation: Normalisation::IMAGENET,
    }),
    architecture: |classes| resnet([3, 4, 6, 3], classes),
};

/// A ResNet of basic blocks, `depths` blocks in layer1 … layer4.
fn resnet(depths: [usize; 4], classes: usize) -> Architecture {
    let mut b = Builder::default();
    b.stage("stem");
    let stem =
        conv_norm(&mut b, "", "conv1", "bn1", (3, 64), Window { kernel: 7, stride: 2, padding: 3 }, true);
    let pool =
        Layer::MaxPool { name: "maxpool".to_owned(), window: Window { kernel: 3, stride: 2, padding: 1 } };
    b.push([Layer::ConvNorm(stem), pool]);

    let mut from = 64;
    for (layer, depth) in depths.into_iter().enumerate() {
        b.stage(STAGES[layer + 1]);
        let to = 64 << layer;
        for block in 0..depth {
            let stride = if layer > 0 && block == 0 { 2 } else { 1 };
            let prefix = format!("layer{}.{block}.", layer + 1);
            let block = basic_block(&mut b, &prefix, (from, to), stride);
            b.push([Layer::BasicBlock(Box::new(block))]);
            from = to;
        }
    }

    b.stage("head");
    let fc = b.linear("fc", from, classes);
    b.push([Layer::GlobalAvgPool, Layer::Linear(fc)]);
    b.finish()
}

fn basic_block(b: &mut Builder, prefix: &str, (from, to): (usize, usize), stride: usize) -> BasicBlock {
    let window = |stride| Window { kernel: 3, stride, padding: 1 };
    let first = conv_norm(b, prefix, "conv1", "bn1", (from, to), window(stride), true);
    let second = conv_norm(b, prefix, "conv2", "bn2", (to, to), window(1), true);
    let shortcut = (stride != 1 || from != to).then(|| {
        let window = Window { kernel: 1, stride, padding: 0 };
        conv_norm(b, prefix, "downsample.0", "downsample.1", (from, to), window, false)
    });
    BasicBlock { first, second, shortcut }
}

/// torchvision's constructor redraws every convolution with `kaiming_normal_(fan_out, relu)`.
fn conv_norm(
    b: &mut Builder,
    prefix: &str,
    conv: &str,
    norm: &str,
    (from, to): (usize, usize),
    window: Window,
    relu: bool,
) -> ConvNorm {
    let initial = Initial::kaiming_fan_out(to * window.kernel * window.kernel);
    let conv: Conv = b.conv(&format!("{prefix}{conv}"), from, to, window, initial);
    let norm = b.norm(&format!("{prefix}{norm}"), to);
    ConvNorm { conv, norm, relu }
}
