//! A model as an autoencoder: [`with_decoder`] puts a decoder in the place of the head, made for what the trunk gives, so that
//! everything that trains a model trains this one. The trunk is the encoder, unchanged.
//!
//! The decoder doubles the map and convolves until it has the image's size: 3x3 convolutions with BatchNorm and ReLU, and a
//! last one with bias to three channels. A doubling copies each pixel (where sides are not doubles, neighbours are
//! averaged): an adaptive average pool to the larger size does that.

use crate::description::{Architecture, Builder, ConvNorm, Extent, Initial, Layer, ModelCard, Window};
use crate::error::ZooError;
use crate::summary::traced;
use crate::trace::Traced;

/// The stage that stands where the head stood.
const DECODER: &str = "decoder";
/// Channels after the first doubling; each further one halves them, down to [`LEAST_CHANNELS`].
const CHANNELS: usize = 256;
const LEAST_CHANNELS: usize = 16;
const WINDOW: Window = Window::square(3, 1, 1);

/// The model's trunk with a decoder as its last stage, laid over a resolution.
///
/// # Errors
/// [`ZooError::TooSmall`], [`ZooError::Patches`].
pub fn with_decoder(
    card: &ModelCard,
    height: usize,
    width: usize,
) -> Result<(Architecture, Vec<Traced>), ZooError> {
    let image = Extent { height, width, channels: 3 };
    let mut trunk = card.without_auxiliary(1).without_head();
    let code = traced(card, &mut trunk, height, width)?.last().map_or(image, |stage| stage.output);
    let mut architecture = decoded(trunk, code, image);
    let traced = traced(card, &mut architecture, height, width)?;
    Ok((architecture, traced))
}

fn decoded(trunk: Architecture, code: Extent, image: Extent) -> Architecture {
    let mut b = Builder::extending(trunk);
    b.stage(DECODER);
    b.push([Layer::AsMap]);
    let (mut from, mut to) = (code.channels, CHANNELS);
    for (index, (height, width)) in sizes(code, image).into_iter().enumerate() {
        let conv =
            b.conv(&format!("{DECODER}.{index}.conv"), from, to, WINDOW, Initial::kaiming_fan_out(9 * to));
        let norm = b.norm(&format!("{DECODER}.{index}.bn"), to);
        b.push([
            Layer::AdaptiveAvgPool { height, width },
            Layer::ConvNorm(ConvNorm { conv, norm, relu: true }),
        ]);
        (from, to) = (to, (to / 2).max(LEAST_CHANNELS));
    }
    let last = b.conv_with_bias(&format!("{DECODER}.image"), from, 3, WINDOW);
    b.push([Layer::Conv(last)]);
    b.finish()
}

/// The map's sizes from doubling to doubling, the last the image's. There is one at least, also where nothing is left to
/// double.
fn sizes(code: Extent, image: Extent) -> Vec<(usize, usize)> {
    let doublings = |from: usize, to: usize| (0..usize::BITS).find(|&k| from << k >= to).unwrap_or(0);
    let steps = doublings(code.height, image.height).max(doublings(code.width, image.width)).max(1);
    let side = |from: usize, to: usize, left: u32| to.div_ceil(1 << left).max(from.min(to));
    let size = |left| (side(code.height, image.height, left), side(code.width, image.width, left));
    (0..steps).rev().map(size).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(height: usize, width: usize) -> Extent {
        Extent { height, width, channels: 8 }
    }

    #[test]
    fn maps_double_until_they_are_the_images() {
        assert_eq!(sizes(extent(1, 1), extent(32, 32)), [(2, 2), (4, 4), (8, 8), (16, 16), (32, 32)]);
        assert_eq!(sizes(extent(7, 7), extent(224, 224))[0], (14, 14));
        assert_eq!(sizes(extent(3, 2), extent(75, 50)), [(5, 4), (10, 7), (19, 13), (38, 25), (75, 50)]);
        assert_eq!(sizes(extent(4, 1), extent(4, 8)), [(4, 2), (4, 4), (4, 8)]);
        assert_eq!(sizes(extent(9, 9), extent(8, 8)), [(8, 8)]);
    }
}
