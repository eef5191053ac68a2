//! Shape inference: what each stage puts out and how much it multiplies at a resolution, and the smallest resolution
//! that a model takes. The main function is [`trace`]; it reads an [`Architecture`] and computes no numbers.

use crate::description::{Architecture, Conv, Extent, Fold, Layer, LiveTaps, ParameterId, Window};
use crate::sizes::{conv_output, pool_output};

/// The sides that are tried when the smallest is sought; every model takes one of them.
const SIDES: std::ops::RangeInclusive<usize> = 1..=1024;

/// What one stage does to one image.
#[derive(Clone, Debug)]
pub struct Traced {
    /// What it puts out.
    pub output: Extent,
    /// Multiply-adds of convolutions, linear layers and attention, counted densely (taps in the padding included).
    pub multiply_adds: u64,
    /// Those that meet pixels instead of padding, and sums instead of copies.
    pub live_multiply_adds: u64,
    /// Numbers that convolutions, linear layers, pools and attention put out.
    pub activations: u64,
    /// The most of them that are there at a time where nothing is kept for gradients: what a layer and the two before it put out, beside what the
    /// stage does.
    pub passing: u64,
    /// The convolutions some of whose taps reach no pixel, and the taps that do.
    pub live_taps: Vec<(ParameterId, LiveTaps)>,
    /// Position embeddings, and the rows and columns of patches that they are of.
    pub grids: Vec<(ParameterId, (usize, usize))>,
    /// The linear layers that meet copies of pixels.
    pub folds: Vec<Fold>,
}

/// What is added up over the layers of a stage.
#[derive(Default)]
struct Costs {
    multiply_adds: u64,
    live_multiply_adds: u64,
    activations: u64,
    /// What the last three layers put out, and the most that three did.
    last: [u64; 3],
    widest: u64,
    live_taps: Vec<(ParameterId, LiveTaps)>,
    grids: Vec<(ParameterId, (usize, usize))>,
    folds: Vec<Fold>,
}

/// A layer that has no output at the resolution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoOutput {
    /// The stage's name.
    pub stage: &'static str,
    /// The layer, by torchvision's name.
    pub layer: String,
    /// Height and width of the map that reaches it.
    pub input: (usize, usize),
}

/// Follows one RGB image of `height` by `width` through the stages.
///
/// # Errors
/// The first layer that has no output.
pub fn trace(architecture: &Architecture, height: usize, width: usize) -> Result<Vec<Traced>, NoOutput> {
    let mut extent = Extent { height, width, channels: 3 };
    let mut stages = Vec::with_capacity(architecture.stages.len());
    for stage in &architecture.stages {
        let mut costs = Costs::default();
        extent = fold(&stage.layers, extent, &mut costs).map_err(|(layer, input)| NoOutput {
            stage: stage.name,
            layer: layer.to_owned(),
            input: (input.height, input.width),
        })?;
        let Costs { multiply_adds, live_multiply_adds, activations, widest, live_taps, grids, folds, .. } =
            costs;
        let output = extent;
        stages.push(Traced {
            output,
            multiply_adds,
            live_multiply_adds,
            activations,
            passing: widest + numbers(output),
            live_taps,
            grids,
            folds,
        });
    }
    Ok(stages)
}

/// The least side of a square image that the model takes, and so the least of either side of any image, as both sides
/// shrink by the same rules.
pub fn smallest_side(architecture: &Architecture) -> Option<usize> {
    SIDES.into_iter().find(|&side| trace(architecture, side, side).is_ok())
}

/// An output, or the name and the input of the layer that has none.
type Output<'a> = Result<Extent, (&'a str, Extent)>;

fn fold<'a>(layers: &'a [Layer], input: Extent, costs: &mut Costs) -> Output<'a> {
    layers.iter().enumerate().try_fold(input, |extent, (index, layer)| {
        if let (Some(fold), [_, _, Layer::Linear(linear), ..]) =
            (Fold::at(&layers[index..], extent), &layers[index..])
        {
            let whole = (linear.from * linear.to) as u64;
            costs.live_multiply_adds += (fold.rows * fold.cols * extent.channels * linear.to) as u64;
            costs.live_multiply_adds = costs.live_multiply_adds.wrapping_sub(whole); // which its step adds
            costs.folds.push(fold);
        }
        step(layer, extent, costs)
    })
}

/// Of a map.
fn numbers(map: Extent) -> u64 {
    (map.height * map.width * map.channels) as u64
}

impl Costs {
    /// Notes a layer that multiplies, densely and with what counts, and puts out a map.
    fn add(&mut self, multiply_adds: usize, live: usize, output: Extent) {
        self.multiply_adds += multiply_adds as u64;
        self.live_multiply_adds = self.live_multiply_adds.wrapping_add(live as u64);
        self.activations += numbers(output);
        self.last = [self.last[1], self.last[2], numbers(output)];
        self.widest = self.widest.max(self.last.iter().sum());
    }
}

fn step<'a>(layer: &'a Layer, input: Extent, costs: &mut Costs) -> Output<'a> {
    match layer {
        Layer::Conv(c) => conv(c, input, costs),
        Layer::ConvNorm(c) => conv(&c.conv, input, costs),
        Layer::Residual(block) => {
            if let Some(shortcut) = &block.shortcut {
                conv(&shortcut.conv, input, costs)?;
            }
            let mut middle = input;
            for unit in &block.first {
                middle = conv(&unit.conv, middle, costs)?;
            }
            conv(&block.last.conv, middle, costs)
        }
        Layer::Branches(branches) => {
            // Whatever the branches are, they end at the same height and width.
            let mut joined = Extent { channels: 0, ..input };
            for branch in branches {
                let output = fold(branch, input, costs)?;
                joined = Extent { channels: joined.channels + output.channels, ..output };
            }
            Ok(joined)
        }
        Layer::Auxiliary(head) => fold(&head.layers, input, costs).map(|_| input),
        Layer::MaxPool { name, window, ceil } => pool(name, *window, *ceil, input, costs),
        Layer::AvgPool { name, window } => pool(name, *window, false, input, costs),
        Layer::AdaptiveAvgPool { height, width } => {
            let output = Extent { height: *height, width: *width, ..input };
            costs.add(0, 0, output);
            Ok(output)
        }
        Layer::GlobalAvgPool => Ok(Extent { height: 1, width: 1, ..input }),
        Layer::Flatten => {
            Ok(Extent { height: 1, width: 1, channels: input.height * input.width * input.channels })
        }
        Layer::Linear(linear) => {
            let output = Extent { channels: linear.to, ..input };
            let products = input.height * input.width * linear.from * linear.to;
            costs.add(products, products, output);
            Ok(output)
        }
        Layer::Skip(skip) => {
            let shortcut = fold(&skip.shortcut, input, costs)?;
            fold(&skip.body, input, costs).map(|_| shortcut)
        }
        Layer::Dense(body) => {
            let added = fold(body, input, costs)?;
            let joined = Extent { channels: input.channels + added.channels, ..added };
            costs.add(0, 0, joined);
            Ok(joined)
        }
        Layer::SqueezeExcite(gates) => {
            let products = gates.reduce.from * gates.reduce.to + gates.expand.from * gates.expand.to;
            costs.add(products, products, Extent { height: 1, width: 1, channels: gates.expand.to });
            Ok(input)
        }
        Layer::PatchEmbed(embed) => {
            let patch = embed.conv.window.kernel.0;
            if !input.height.is_multiple_of(patch) || !input.width.is_multiple_of(patch) {
                return Err((embed.conv.name.as_str(), input));
            }
            let Extent { height, width, channels } = conv(&embed.conv, input, costs)?;
            costs.grids.push((embed.positions, (height, width)));
            Ok(Extent { height: 1, width: 1 + embed.register_count + height * width, channels })
        }
        Layer::TransformerBlock(block) => {
            let linears = [&block.qkv, &block.proj, &block.fc1, &block.fc2];
            let of_token: usize = linears.iter().map(|linear| linear.from * linear.to).sum();
            let mixing = 2 * input.width * input.channels;
            let dense = input.width * (of_token + mixing);
            let outputs: usize = linears.iter().map(|linear| linear.to).sum();
            costs.add(dense, dense, Extent { channels: outputs, ..input });
            Ok(if block.class_only { Extent { width: 1, ..input } } else { input })
        }
        Layer::WindowAttention(attention) => {
            let ((high, _), (wide, _)) = (attention.along(input.height), attention.along(input.width));
            let pixels = input.height * input.width;
            let whole = input.height.next_multiple_of(high) * input.width.next_multiple_of(wide);
            let linear = pixels * attention.qkv.from * attention.qkv.to;
            let dense = linear + 2 * whole * high * wide * input.channels;
            costs.add(dense, dense, Extent { channels: attention.qkv.to + input.channels, ..input });
            Ok(input)
        }
        Layer::MergePixels => {
            let (height, width) = (input.height.div_ceil(2), input.width.div_ceil(2));
            let output = Extent { height, width, channels: 4 * input.channels };
            costs.add(0, 0, output);
            Ok(output)
        }
        Layer::AsMap
        | Layer::Relu
        | Layer::Curve(_)
        | Layer::Dropout { .. }
        | Layer::LayerNorm(_)
        | Layer::BatchNorm(..)
        | Layer::ResponseNorm(_) => Ok(input),
    }
}

fn pool<'a>(name: &'a str, window: Window, ceil: bool, input: Extent, costs: &mut Costs) -> Output<'a> {
    let side = |size, kernel, stride, padding| pool_output(size, kernel, stride, padding, ceil);
    let output = sides(side, window, input).ok_or((name, input))?;
    costs.add(0, 0, output);
    Ok(output)
}

fn conv<'a>(conv: &'a Conv, input: Extent, costs: &mut Costs) -> Output<'a> {
    let window = conv.window;
    let output = sides(conv_output, window, input).ok_or((conv.name.as_str(), input))?;
    let weights = conv.weights_of_tap();
    let dense = output.height * output.width * window.taps() * weights;
    let reaching = reaching(window, (input.height, input.width), (output.height, output.width));
    costs.add(dense, reaching * weights, Extent { channels: conv.to, ..output });
    let live = LiveTaps::reached(window, (input.height, input.width), (output.height, output.width));
    if live != LiveTaps::all(window.kernel.0, window.kernel.1) {
        costs.live_taps.push((conv.weight, live));
    }
    Ok(Extent { channels: conv.to, ..output })
}

/// How many pairs of an output and a tap meet a pixel.
fn reaching(window: Window, input: (usize, usize), output: (usize, usize)) -> usize {
    let Window { kernel, stride, padding } = window;
    let along = |input: usize, output: usize, kernel: usize, stride: usize, padding: usize| -> usize {
        let pixels = |place: usize| {
            (0..kernel)
                .filter(|tap| (place * stride + tap).checked_sub(padding).is_some_and(|pixel| pixel < input))
                .count()
        };
        (0..output).map(pixels).sum()
    };
    along(input.0, output.0, kernel.0, stride.0, padding.0)
        * along(input.1, output.1, kernel.1, stride.1, padding.1)
}

impl LiveTaps {
    /// The taps of a window that reach a map of `input` pixels from some of the `output` pixels; all of them where their
    /// rectangle alone, with less padding, would give another output size.
    fn reached(window: Window, input: (usize, usize), output: (usize, usize)) -> Self {
        let Window { kernel, stride, padding } = window;
        let along = |input: usize, output: usize, kernel: usize, stride: usize, padding: usize| {
            let reaches = |tap: usize, place: usize| {
                (place * stride + tap).checked_sub(padding).is_some_and(|pixel| pixel < input)
            };
            let live = (0..kernel).filter(|&tap| (0..output).any(|place| reaches(tap, place)));
            let (first, count) = (live.clone().next().unwrap_or(0), live.count());
            let same = count > 0 && conv_output(input, count, stride, padding - first) == Some(output);
            if same { (first, count) } else { (0, kernel) }
        };
        let (top, height) = along(input.0, output.0, kernel.0, stride.0, padding.0);
        let (left, width) = along(input.1, output.1, kernel.1, stride.1, padding.1);
        Self { top, left, height, width }
    }
}

/// Applies a rule for one side (size, kernel, stride, padding) to both.
fn sides(
    side: impl Fn(usize, usize, usize, usize) -> Option<usize>,
    window: Window,
    input: Extent,
) -> Option<Extent> {
    let Window { kernel, stride, padding } = window;
    let height = side(input.height, kernel.0, stride.0, padding.0)?;
    let width = side(input.width, kernel.1, stride.1, padding.1)?;
    Some(Extent { height, width, ..input })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::card;

    fn architecture(name: &str) -> Architecture {
        (card(name).unwrap().architecture)(1000).without_auxiliary()
    }

    /// torchvision's `_ops` (in units of 10⁹) and the parameters of its models without auxiliary heads, at its resolution
    /// and 1000 classes, and its `min_size`.
    #[test]
    fn sizes_are_torchvisions() {
        for (name, side, giga, parameters, least) in [
            ("resnet18", 224, 1.814, 11_689_512, 1),
            ("resnet34", 224, 3.664, 21_797_672, 1),
            ("resnet50", 224, 4.089, 25_557_032, 1),
            ("resnet101", 224, 7.801, 44_549_160, 1),
            ("resnet152", 224, 11.514, 60_192_808, 1),
            ("alexnet", 224, 0.714, 61_100_840, 63),
            ("vgg11", 224, 7.609, 132_863_336, 32),
            ("vgg13", 224, 11.308, 133_047_848, 32),
            ("vgg16", 224, 15.470, 138_357_544, 32),
            ("vgg19", 224, 19.632, 143_667_240, 32),
            ("vgg11_bn", 224, 7.609, 132_868_840, 32),
            ("vgg13_bn", 224, 11.308, 133_053_736, 32),
            ("vgg16_bn", 224, 15.470, 138_365_992, 32),
            ("vgg19_bn", 224, 19.632, 143_678_248, 32),
            ("googlenet", 224, 1.498, 6_624_904, 15),
            ("inception-v3", 299, 5.713, 23_834_568, 75),
        ] {
            let architecture = architecture(name);
            let stages = trace(&architecture, side, side).unwrap();
            let total: u64 = stages.iter().map(|stage| stage.multiply_adds).sum();
            assert!((total as f64 / 1e9 - giga).abs() < 6e-4, "{name}: {total}");
            let elements: usize =
                architecture.parameters.iter().map(|p| p.shape.iter().product::<usize>()).sum();
            assert_eq!(elements, parameters, "{name}");
            assert_eq!(smallest_side(&architecture), Some(least), "{name}");
        }
    }

    #[test]
    fn a_rectangle_keeps_its_sides_apart() {
        let stages = trace(&architecture("resnet18"), 75, 50).unwrap();
        let extents: Vec<_> =
            stages.iter().map(|s| (s.output.height, s.output.width, s.output.channels)).collect();
        assert_eq!(
            extents,
            [(19, 13, 64), (19, 13, 64), (10, 7, 128), (5, 4, 256), (3, 2, 512), (1, 1, 1000)]
        );
    }

    /// `kernels.md`'s reckoning by hand: a padded 3x3 window on one pixel has one live pair of nine, on 2x2 16 of 36.
    #[test]
    fn live_work_is_what_meets_pixels() {
        let window = Window::square(3, 1, 1);
        assert_eq!(reaching(window, (1, 1), (1, 1)), 1);
        assert_eq!(reaching(window, (2, 2), (2, 2)), 16);
        let stages = trace(&architecture("vgg11"), 32, 32).unwrap();
        let fc6 = &stages[5];
        assert_eq!((fc6.multiply_adds, fc6.live_multiply_adds), (25_088 * 4096, 512 * 4096));
        let large = trace(&architecture("vgg11"), 224, 224).unwrap();
        assert_eq!(large[5].multiply_adds, large[5].live_multiply_adds);
        // ResNet-18's first block at 32x32: 64 channels of 8x8 pixels put out by each of its four convolutions.
        let resnet = trace(&architecture("resnet18"), 32, 32).unwrap();
        assert_eq!(resnet[1].activations, 4 * 64 * 8 * 8);
        // Three of them at a time, beside what the stage puts out.
        assert_eq!(resnet[1].passing, 4 * 64 * 8 * 8);
        assert_eq!(resnet[0].passing, 64 * (16 * 16 + 8 * 8) + 64 * 8 * 8);
        assert!(resnet.iter().all(|stage| stage.live_multiply_adds <= stage.multiply_adds));
    }

    #[test]
    fn alexnet_at_32_fails_in_its_second_pool() {
        let NoOutput { stage, layer, input } = trace(&architecture("alexnet"), 32, 32).unwrap_err();
        assert_eq!((stage, layer.as_str(), input), ("conv5", "features.12", (1, 1)));
        assert!(trace(&architecture("alexnet"), 63, 63).is_ok());
        assert!(trace(&architecture("alexnet"), 200, 62).is_err());
        assert!(trace(&architecture("alexnet"), 62, 200).is_err());
    }
}
