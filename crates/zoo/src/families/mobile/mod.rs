//! Networks of inverted residuals (Sandler et al. 2018, arXiv:1801.04381): a block widens the map, convolves each channel by
//! itself, and narrows it again; what goes around it is narrow. Each file describes one family.

pub(crate) mod efficientnet;
pub(crate) mod mobilenetv3;

use crate::description::{Builder, Conv, ConvNorm, Curve, Initial, Layer, Skip, Window};

/// A block.
#[derive(Clone, Copy)]
struct Block {
    /// Channels that go in and come out.
    from: usize,
    to: usize,
    /// Channels in between; as many as go in where the block does not widen them.
    wide: usize,
    /// The side of the depthwise kernel, and its stride.
    kernel: usize,
    stride: usize,
    /// Channels between the layers of its gates; 0 without gates.
    reduced: usize,
    /// Behind both of its first norms.
    curve: Curve,
    /// Within the gates, and at their end.
    gates: (Curve, Curve),
    /// Its share of stochastic depth.
    depth: f32,
}

/// TensorFlow's initial values, which timm takes: normal by the outputs that a number goes to.
fn weight(fan_out: usize) -> Initial {
    Initial::kaiming_fan_out(fan_out)
}

/// A convolution, its norm and the curve behind it.
fn conv_norm(
    b: &mut Builder,
    names: (&str, &str),
    (from, to): (usize, usize),
    window: Window,
    curve: Curve,
) -> Vec<Layer> {
    let conv = b.conv(names.0, from, to, window, weight(window.taps() * to));
    normed(b, conv, names.1, curve)
}

fn normed(b: &mut Builder, conv: Conv, name: &str, curve: Curve) -> Vec<Layer> {
    let norm = b.norm(name, conv.to);
    match curve {
        Curve::Identity | Curve::Relu if conv.groups == 1 => {
            vec![Layer::ConvNorm(ConvNorm { conv, norm, relu: curve == Curve::Relu })]
        }
        _ => vec![Layer::Conv(conv), Layer::BatchNorm(norm, curve)],
    }
}

/// The layers of a block, with the sum around it where its map stays as large.
fn inverted_residual(b: &mut Builder, name: &str, block: Block) -> Vec<Layer> {
    let Block { from, to, wide, kernel, stride, reduced, curve, gates, depth } = block;
    let within = |part: &str| format!("{name}.{part}");
    let pixel = Window::square(1, 1, 0);
    let widens = wide != from;
    let (norms, narrow) =
        if widens { (["bn1", "bn2", "bn3"], "conv_pwl") } else { (["", "bn1", "bn2"], "conv_pw") };
    let mut body = Vec::new();
    if widens {
        body.extend(conv_norm(b, (&within("conv_pw"), &within(norms[0])), (from, wide), pixel, curve));
    }
    let conv = b.depthwise(&within("conv_dw"), wide, (kernel, stride), weight(kernel * kernel));
    body.extend(normed(b, conv, &within(norms[1]), curve));
    if reduced > 0 {
        let names = (&*within("se.conv_reduce"), &*within("se.conv_expand"));
        let outputs = |inputs: usize| if inputs == wide { reduced } else { wide };
        let initial = |inputs: usize| (weight(outputs(inputs)), Initial::Constant(0.0));
        body.push(Layer::SqueezeExcite(b.squeeze_excite(names, (wide, reduced), gates, initial)));
    }
    body.extend(conv_norm(b, (&within(narrow), &within(norms[2])), (wide, to), pixel, Curve::Identity));
    match stride == 1 && from == to {
        true => {
            let name = within("drop_path");
            vec![Layer::Skip(Box::new(Skip {
                name,
                body,
                shortcut: Vec::new(),
                scale: None,
                relu: false,
                depth,
            }))]
        }
        false => body,
    }
}

/// Opens the stage of the head: dropout and the classifier.
fn head(b: &mut Builder, from: usize, classes: usize) {
    b.stage("head");
    let initial = Initial::Uniform { bound: (1.0 / (classes.max(1) as f64).sqrt()) as f32 };
    let classifier = b.linear_from("classifier", (from, 1, 1), classes, (initial, Initial::Constant(0.0)));
    b.push([Layer::Dropout { name: "drop".to_owned(), probability: 0.0 }, Layer::Linear(classifier)]);
}
