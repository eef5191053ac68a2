//! AlexNet as torchvision has it (Krizhevsky 2014, arXiv:1404.5997: one tower of the 2012 network). Stages: conv1 …
//! conv5, each a convolution with its ReLU and pool; fc6 and fc7 with the dropout before them; the last linear layer
//! as head. This file only describes it.

use crate::description::{Architecture, Builder, Layer, ModelCard, Normalisation, PinnedWeights, Window};

pub(crate) const ALEXNET: ModelCard = ModelCard {
    name: "alexnet",
    title: "AlexNet",
    year: 2014,
    paper: "Krizhevsky: One weird trick for parallelizing convolutional neural networks, arXiv:1404.5997; \
            after Krizhevsky, Sutskever, Hinton: ImageNet Classification with Deep Convolutional Neural Networks, 2012",
    stages: &["conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "head"],
    normalisation: Normalisation::IMAGENET,
    pinned: Some(PinnedWeights {
        repo: "theunnecessarythings/vision_models",
        revision: Some("1cb71ed300bf5b1913894c0f000a0146cfb4b431"),
        file: "alexnet.safetensors",
        sha256: Some("7372cbb9161c5253fcb272a1839229e282f2533e540449fb2907ee32d9ef3279"),
        size: None,
        licence: None,
        normalisation: Normalisation::IMAGENET,
    }),
    architecture: alexnet,
};

/// The five convolutions: index among torchvision's `features`, channels, window, and whether a pool follows.
const CONVOLUTIONS: [(usize, usize, usize, Window, bool); 5] = [
    (0, 3, 64, Window::square(11, 4, 2), true),
    (3, 64, 192, Window::square(5, 1, 2), true),
    (6, 192, 384, Window::square(3, 1, 1), false),
    (8, 384, 256, Window::square(3, 1, 1), false),
    (10, 256, 256, Window::square(3, 1, 1), true),
];

fn alexnet(classes: usize) -> Architecture {
    let mut b = Builder::default();
    for (stage, (index, from, to, window, pool)) in CONVOLUTIONS.into_iter().enumerate() {
        b.stage(ALEXNET.stages[stage]);
        let conv = b.conv_with_bias(&format!("features.{index}"), from, to, window);
        b.push([Layer::Conv(conv), Layer::Relu]);
        if pool {
            let (name, window) = (format!("features.{}", index + 2), Window::square(3, 2, 0));
            b.push([Layer::MaxPool { name, window, ceil: false }]);
        }
    }

    b.stage("fc6");
    let fc6 = b.linear_over_map("classifier.1", (256, 6, 6), 4096);
    b.push([Layer::AdaptiveAvgPool { height: 6, width: 6 }, Layer::Flatten]);
    b.push([dropout("classifier.0"), Layer::Linear(fc6), Layer::Relu]);

    b.stage("fc7");
    let fc7 = b.linear("classifier.4", 4096, 4096);
    b.push([dropout("classifier.3"), Layer::Linear(fc7), Layer::Relu]);

    b.stage("head");
    let head = b.linear("classifier.6", 4096, classes);
    b.push([Layer::Linear(head)]);
    b.finish()
}

fn dropout(name: &str) -> Layer {
    Layer::Dropout { name: name.to_owned(), probability: 0.5 }
}
