//! GoogLeNet (Szegedy et al. 2014, arXiv:1409.4842) as torchvision has it: with BatchNorm, and 3x3 convolutions where the
//! paper has 5x5. Stages: stem (conv1 … conv3 with their pools); inception3, inception4 and inception5, each with the pool
//! behind it; head. The auxiliary heads hang on inception4, behind its first block and behind its fourth.

use super::{AUXILIARY_WEIGHT, PIXEL, basic_conv, dropout, linear, max_pool, normal};
use crate::description::{
    Architecture, Builder, Initial, Layer, ModelCard, Normalisation, PinnedWeights, Window,
};

pub(crate) const GOOGLENET: ModelCard = ModelCard {
    name: "googlenet",
    title: "GoogLeNet",
    year: 2014,
    paper: "Szegedy, Liu, Jia, Sermanet, Reed, Anguelov, Erhan, Vanhoucke, Rabinovich: Going Deeper with Convolutions, \
            arXiv:1409.4842",
    stages: &["stem", "inception3", "inception4", "inception5", "head"],
    // torchvision's `transform_input` turns ImageNet's normalisation into this one.
    normalisation: Normalisation::CENTRED,
    pinned: Some(PinnedWeights {
        repo: "theunnecessarythings/vision_models",
        revision: Some("1cb71ed300bf5b1913894c0f000a0146cfb4b431"),
        file: "googlenet.safetensors",
        sha256: Some("d65208bbda6eb067746e1d3ecaa7752932accabf5083fabf8f912eecbae6484c"),
        size: None,
        licence: None,
        normalisation: Normalisation::CENTRED,
    }),
    architecture: googlenet,
};

/// Channels of a block: the 1x1 branch, the two 3x3 branches (reduced to, then out), the pool's branch.
type Widths = [usize; 6];

const INCEPTION3: [(&str, Widths); 2] =
    [("inception3a", [64, 96, 128, 16, 32, 32]), ("inception3b", [128, 128, 192, 32, 96, 64])];
const INCEPTION4: [(&str, Widths); 5] = [
    ("inception4a", [192, 96, 208, 16, 48, 64]),
    ("inception4b", [160, 112, 224, 24, 64, 64]),
    ("inception4c", [128, 128, 256, 24, 64, 64]),
    ("inception4d", [112, 144, 288, 32, 64, 64]),
    ("inception4e", [256, 160, 320, 32, 128, 128]),
];
const INCEPTION5: [(&str, Widths); 2] =
    [("inception5a", [256, 160, 320, 32, 128, 128]), ("inception5b", [384, 192, 384, 48, 128, 128])];

/// torchvision starts every convolution and linear layer alike.
fn initial() -> Initial {
    normal(0.01)
}

fn googlenet(classes: usize) -> Architecture {
    let mut b = Builder::default();
    b.stage("stem");
    let conv1 = basic_conv(&mut b, "conv1", (3, 64), Window::square(7, 2, 3), initial());
    let conv2 = basic_conv(&mut b, "conv2", (64, 64), PIXEL, initial());
    let conv3 = basic_conv(&mut b, "conv3", (64, 192), Window::same(3, 3), initial());
    b.push([conv1, halve("maxpool1", 3), conv2, conv3, halve("maxpool2", 3)]);

    b.stage("inception3");
    let mut channels = 192;
    for (name, widths) in INCEPTION3 {
        channels = inception(&mut b, name, channels, widths);
    }
    b.push([halve("maxpool3", 3)]);

    b.stage("inception4");
    let mut places = Vec::new();
    for (name, widths) in INCEPTION4 {
        channels = inception(&mut b, name, channels, widths);
        match name {
            "inception4a" => places.push(("aux1", b.place_for_auxiliary(), channels)),
            "inception4d" => places.push(("aux2", b.place_for_auxiliary(), channels)),
            _ => {}
        }
    }
    b.push([halve("maxpool4", 2)]);

    b.stage("inception5");
    for (name, widths) in INCEPTION5 {
        channels = inception(&mut b, name, channels, widths);
    }

    b.stage("head");
    let fc = linear(&mut b, "fc", channels, classes, initial());
    b.push([Layer::GlobalAvgPool, dropout("dropout", 0.2), Layer::Linear(fc)]);

    for (name, place, channels) in places {
        b.auxiliary(place, name, AUXILIARY_WEIGHT, |b| auxiliary(b, name, channels, classes));
    }
    b.finish()
}

/// Halves a map's sides, rounded up.
fn halve(name: &str, kernel: usize) -> Layer {
    max_pool(name, Window::square(kernel, 2, 0), true)
}

/// An Inception block on `from` channels; gives the channels that it has.
fn inception(b: &mut Builder, name: &str, from: usize, widths: Widths) -> usize {
    let [one, reduced3, three, reduced5, five, pooled] = widths;
    let mut conv = |branch: &str, channels, window| {
        basic_conv(b, &format!("{name}.{branch}"), channels, window, initial())
    };
    let branches = vec![
        vec![conv("branch1", (from, one), PIXEL)],
        vec![
            conv("branch2.0", (from, reduced3), PIXEL),
            conv("branch2.1", (reduced3, three), Window::same(3, 3)),
        ],
        vec![
            conv("branch3.0", (from, reduced5), PIXEL),
            conv("branch3.1", (reduced5, five), Window::same(3, 3)),
        ],
        vec![
            max_pool(&format!("{name}.branch4.0"), Window::same(3, 3), true),
            conv("branch4.1", (from, pooled), PIXEL),
        ],
    ];
    b.push([Layer::Branches(branches)]);
    one + three + five + pooled
}

fn auxiliary(b: &mut Builder, name: &str, from: usize, classes: usize) -> Vec<Layer> {
    let conv = basic_conv(b, &format!("{name}.conv"), (from, 128), PIXEL, initial());
    let fc1 = b.linear_over_map(&format!("{name}.fc1"), (128, 4, 4), 1024);
    let fc1 = b.started(fc1, initial());
    let fc2 = linear(b, &format!("{name}.fc2"), 1024, classes, initial());
    vec![
        Layer::AdaptiveAvgPool { height: 4, width: 4 },
        conv,
        Layer::Flatten,
        Layer::Linear(fc1),
        Layer::Relu,
        dropout(&format!("{name}.dropout"), 0.7),
        Layer::Linear(fc2),
    ]
}
