//! Shape inference: what each stage puts out and how much it multiplies at a resolution, and the smallest resolution
//! that a model takes. The main function is [`trace`]; it reads an [`Architecture`] and computes no numbers.

use frostline_kernels::{conv_output, pool_output};

use crate::architecture::{Architecture, Conv, Layer, ParameterId, Window};
use crate::copies::Fold;
use crate::layout::LiveTaps;

/// The sides that are tried when the smallest is sought; every model takes one of them.
const SIDES: std::ops::RangeInclusive<usize> = 1..=1024;

/// Height, width and channels of a map; rows of `C` numbers have height and width 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) channels: usize,
}

/// What one stage does to one image.
#[derive(Clone, Debug)]
pub(crate) struct Traced {
    pub(crate) output: Extent,
    /// Multiply-adds of convolutions and linear layers, counted densely (taps in the padding included).
    pub(crate) multiply_adds: u64,
    /// The convolutions some of whose taps reach no pixel, and the taps that do.
    pub(crate) live_taps: Vec<(ParameterId, LiveTaps)>,
    /// The linear layers that meet copies of pixels.
    pub(crate) folds: Vec<Fold>,
}

/// What is added up over the layers of a stage.
#[derive(Default)]
struct Costs {
    multiply_adds: u64,
    live_taps: Vec<(ParameterId, LiveTaps)>,
}

/// A layer that has no output at the resolution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NoOutput {
    pub(crate) stage: &'static str,
    pub(crate) layer: String,
    pub(crate) input: (usize, usize),
}

/// Follows one RGB image of `height` by `width` through the stages.
pub(crate) fn trace(
    architecture: &Architecture,
    height: usize,
    width: usize,
) -> Result<Vec<Traced>, NoOutput> {
    let mut extent = Extent { height, width, channels: 3 };
    let mut stages = Vec::with_capacity(architecture.stages.len());
    for stage in &architecture.stages {
        let mut costs = Costs::default();
        let mut folds = Vec::new();
        for (index, layer) in stage.layers.iter().enumerate() {
            folds.extend(Fold::at(&stage.layers[index..], extent));
            extent = step(layer, extent, &mut costs).map_err(|(layer, input)| NoOutput {
                stage: stage.name,
                layer: layer.to_owned(),
                input: (input.height, input.width),
            })?;
        }
        let Costs { multiply_adds, live_taps } = costs;
        stages.push(Traced { output: extent, multiply_adds, live_taps, folds });
    }
    Ok(stages)
}

/// The least side of a square image that the model takes, and so the least of either side of any image, as both sides
/// shrink by the same rules.
pub(crate) fn smallest_side(architecture: &Architecture) -> Option<usize> {
    SIDES.into_iter().find(|&side| trace(architecture, side, side).is_ok())
}

/// One layer; the error is its name and its input.
fn step<'a>(layer: &'a Layer, input: Extent, costs: &mut Costs) -> Result<Extent, (&'a str, Extent)> {
    match layer {
        Layer::Conv(c) => conv(c, input, costs),
        Layer::ConvNorm(c) => conv(&c.conv, input, costs),
        Layer::BasicBlock(block) => {
            if let Some(shortcut) = &block.shortcut {
                conv(&shortcut.conv, input, costs)?;
            }
            let middle = conv(&block.first.conv, input, costs)?;
            conv(&block.second.conv, middle, costs)
        }
        Layer::MaxPool { name, window } => {
            let side = |size| pool_output(size, window.kernel, window.stride, window.padding, false);
            sides(side, input).ok_or((name.as_str(), input))
        }
        Layer::AdaptiveAvgPool { height, width } => Ok(Extent { height: *height, width: *width, ..input }),
        Layer::GlobalAvgPool => Ok(Extent { height: 1, width: 1, ..input }),
        Layer::Flatten => {
            Ok(Extent { height: 1, width: 1, channels: input.height * input.width * input.channels })
        }
        Layer::Linear(linear) => {
            costs.multiply_adds += (linear.from * linear.to) as u64;
            Ok(Extent { height: 1, width: 1, channels: linear.to })
        }
        Layer::AsMap | Layer::Relu | Layer::Dropout { .. } => Ok(input),
    }
}

fn conv<'a>(conv: &'a Conv, input: Extent, costs: &mut Costs) -> Result<Extent, (&'a str, Extent)> {
    let window = conv.window;
    let side = |size| conv_output(size, window.kernel, window.stride, window.padding);
    let output = sides(side, input).ok_or((conv.name.as_str(), input))?;
    let taps = window.kernel * window.kernel;
    costs.multiply_adds += (output.height * output.width * taps * conv.from * conv.to) as u64;
    let live = LiveTaps::reached(window, (input.height, input.width), (output.height, output.width));
    if live != LiveTaps::all(window.kernel, window.kernel) {
        costs.live_taps.push((conv.weight, live));
    }
    Ok(Extent { channels: conv.to, ..output })
}

impl LiveTaps {
    /// The taps of a window that reach a map of `input` pixels from some of the `output` pixels; all of them where their
    /// rectangle alone, with less padding, would give another output size.
    fn reached(window: Window, input: (usize, usize), output: (usize, usize)) -> Self {
        let Window { kernel, stride, padding } = window;
        let along = |input: usize, output: usize| {
            let reaches = |tap: usize, place: usize| {
                (place * stride + tap).checked_sub(padding).is_some_and(|pixel| pixel < input)
            };
            let live = (0..kernel).filter(|&tap| (0..output).any(|place| reaches(tap, place)));
            let (first, count) = (live.clone().next().unwrap_or(0), live.count());
            let same = count > 0 && conv_output(input, count, stride, padding - first) == Some(output);
            if same { (first, count) } else { (0, kernel) }
        };
        let ((top, height), (left, width)) = (along(input.0, output.0), along(input.1, output.1));
        Self { top, left, height, width }
    }
}

/// Applies a rule for one side to both.
fn sides(side: impl Fn(usize) -> Option<usize>, input: Extent) -> Option<Extent> {
    Some(Extent { height: side(input.height)?, width: side(input.width)?, ..input })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zoo::card;

    fn architecture(name: &str) -> Architecture {
        (card(name).unwrap().architecture)(1000)
    }

    /// torchvision's `_ops` (in units of 10⁹) and `num_params` at 224x224 and 1000 classes, and its `min_size`.
    #[test]
    fn sizes_are_torchvisions() {
        for (name, giga, parameters, least) in [
            ("resnet18", 1.814, 11_689_512, 1),
            ("resnet34", 3.664, 21_797_672, 1),
            ("alexnet", 0.714, 61_100_840, 63),
            ("vgg11", 7.609, 132_863_336, 32),
            ("vgg13", 11.308, 133_047_848, 32),
            ("vgg16", 15.470, 138_357_544, 32),
            ("vgg19", 19.632, 143_667_240, 32),
            ("vgg11_bn", 7.609, 132_868_840, 32),
            ("vgg13_bn", 11.308, 133_053_736, 32),
            ("vgg16_bn", 15.470, 138_365_992, 32),
            ("vgg19_bn", 19.632, 143_678_248, 32),
        ] {
            let architecture = architecture(name);
            let stages = trace(&architecture, 224, 224).unwrap();
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

    #[test]
    fn alexnet_at_32_fails_in_its_second_pool() {
        let NoOutput { stage, layer, input } = trace(&architecture("alexnet"), 32, 32).unwrap_err();
        assert_eq!((stage, layer.as_str(), input), ("conv5", "features.12", (1, 1)));
        assert!(trace(&architecture("alexnet"), 63, 63).is_ok());
        assert!(trace(&architecture("alexnet"), 200, 62).is_err());
        assert!(trace(&architecture("alexnet"), 62, 200).is_err());
    }
}
