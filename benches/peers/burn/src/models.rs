//! torchvision's ResNet-18 and AlexNet from burn's layers.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::pool::{AdaptiveAvgPool2d, AdaptiveAvgPool2dConfig, MaxPool2d, MaxPool2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Dropout, DropoutConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

/// A model: the last linear layer behind what `head` does not train.
#[derive(Module, Debug)]
pub struct Model {
    pub trunk: Trunk,
    pub head: Linear,
}

impl Model {
    /// With random weights; none where the name is of no model.
    pub fn new(name: &str, classes: usize, device: &Device) -> Option<Self> {
        let (trunk, features) = match name {
            "resnet18" => (Trunk::ResNet18(ResNet18::new(device)), 512),
            "alexnet" => (Trunk::AlexNet(AlexNet::new(device)), 4096),
            _ => return None,
        };
        Some(Self { trunk, head: LinearConfig::new(features, classes).init(device) })
    }

    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        self.head.forward(self.trunk.forward(images))
    }
}

#[derive(Module, Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one")]
pub enum Trunk {
    ResNet18(ResNet18),
    AlexNet(AlexNet),
}

impl Trunk {
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        match self {
            Self::ResNet18(trunk) => trunk.forward(images),
            Self::AlexNet(trunk) => trunk.forward(images),
        }
    }
}

fn convolution(channels: [usize; 2], kernel: usize, stride: usize, padding: usize) -> Conv2dConfig {
    Conv2dConfig::new(channels, [kernel, kernel])
        .with_stride([stride, stride])
        .with_padding(PaddingConfig2d::Explicit(padding, padding, padding, padding))
}

fn max_pool(padding: usize) -> MaxPool2d {
    MaxPool2dConfig::new([3, 3])
        .with_strides([2, 2])
        .with_padding(PaddingConfig2d::Explicit(padding, padding, padding, padding))
        .init()
}

#[derive(Module, Debug)]
pub struct ResNet18 {
    stem: Normed,
    pool: MaxPool2d,
    blocks: Vec<Block>,
    average: AdaptiveAvgPool2d,
}

impl ResNet18 {
    fn new(device: &Device) -> Self {
        let mut blocks = Vec::new();
        let mut from = 64;
        for (to, stride) in [(64, 1), (128, 2), (256, 2), (512, 2)] {
            blocks.push(Block::new(from, to, stride, device));
            blocks.push(Block::new(to, to, 1, device));
            from = to;
        }
        Self {
            stem: Normed::new([3, 64], 7, 2, 3, device),
            pool: max_pool(1),
            blocks,
            average: AdaptiveAvgPool2dConfig::new([1, 1]).init(),
        }
    }

    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let features = self.pool.forward(relu(self.stem.forward(images)));
        let features = self.blocks.iter().fold(features, |features, block| block.forward(features));
        self.average.forward(features).flatten(1, 3)
    }
}

/// A convolution without bias, and batch normalisation.
#[derive(Module, Debug)]
struct Normed {
    convolution: Conv2d,
    norm: BatchNorm,
}

impl Normed {
    fn new(channels: [usize; 2], kernel: usize, stride: usize, padding: usize, device: &Device) -> Self {
        Self {
            convolution: convolution(channels, kernel, stride, padding).with_bias(false).init(device),
            norm: BatchNormConfig::new(channels[1]).init(device),
        }
    }

    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        self.norm.forward(self.convolution.forward(input))
    }
}

#[derive(Module, Debug)]
struct Block {
    first: Normed,
    second: Normed,
    projection: Option<Normed>,
}

impl Block {
    fn new(from: usize, to: usize, stride: usize, device: &Device) -> Self {
        Self {
            first: Normed::new([from, to], 3, stride, 1, device),
            second: Normed::new([to, to], 3, 1, 1, device),
            projection: (from != to).then(|| Normed::new([from, to], 1, stride, 0, device)),
        }
    }

    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let shortcut = match &self.projection {
            Some(projection) => projection.forward(input.clone()),
            None => input.clone(),
        };
        relu(self.second.forward(relu(self.first.forward(input))) + shortcut)
    }
}

#[derive(Module, Debug)]
pub struct AlexNet {
    convolutions: Vec<Conv2d>,
    pool: MaxPool2d,
    average: AdaptiveAvgPool2d,
    dropout: Dropout,
    linears: Vec<Linear>,
}

impl AlexNet {
    fn new(device: &Device) -> Self {
        let convolutions = [
            convolution([3, 64], 11, 4, 2),
            convolution([64, 192], 5, 1, 2),
            convolution([192, 384], 3, 1, 1),
            convolution([384, 256], 3, 1, 1),
            convolution([256, 256], 3, 1, 1),
        ];
        Self {
            convolutions: convolutions.iter().map(|convolution| convolution.init(device)).collect(),
            pool: max_pool(0),
            average: AdaptiveAvgPool2dConfig::new([6, 6]).init(),
            dropout: DropoutConfig::new(0.5).init(),
            linears: [256 * 36, 4096].map(|from| LinearConfig::new(from, 4096).init(device)).into(),
        }
    }

    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let mut features = images;
        for (index, convolution) in self.convolutions.iter().enumerate() {
            features = relu(convolution.forward(features));
            if [0, 1, 4].contains(&index) {
                features = self.pool.forward(features);
            }
        }
        let features = self.average.forward(features).flatten(1, 3);
        self.linears
            .iter()
            .fold(features, |features, linear| relu(linear.forward(self.dropout.forward(features))))
    }
}
