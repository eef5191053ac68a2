//! Images of a batch mixed with each other, and their labels with them: [`Mixing`], which is drawn for a batch.

use frostline_sources::Augment;
use frostline_streams::{Draws, Purpose, Streams};

use super::region::Region;

/// How each image of a batch is mixed with the one before it, the first with the last.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mixing {
    /// Every value is this share of the image's own and the rest of the other's (mixup; Zhang et al. 2017).
    Values(f64),
    /// The image has a rectangle of the other (CutMix; Yun et al. 2019).
    Rectangle(Region),
}

impl Mixing {
    /// Draws that of a batch, the `index`th of an epoch, of images of (height, width). None where nothing is mixed. Where both kinds
    /// are asked for, each is alike likely.
    pub(crate) fn draw(
        augment: &Augment,
        streams: &Streams,
        (epoch, index): (u64, usize),
        size: (usize, usize),
    ) -> Option<Self> {
        let mut draws = streams.draws(Purpose::Mix, epoch, index as u64);
        let first = draws.coin();
        match (augment.mixup, augment.cutmix) {
            (Some(alpha), cutmix) if first || cutmix.is_none() => Some(Self::Values(draws.beta(alpha))),
            (_, Some(alpha)) => Some(Self::Rectangle(rectangle(alpha, &mut draws, size))),
            _ => None,
        }
    }

    /// Mixes the images of a batch, `[height, width, n, 3]`. Returns the share of an image's own label in its target.
    pub(crate) fn apply(&self, pixels: &mut [f32], n: usize, (height, width): (usize, usize)) -> f64 {
        match *self {
            Self::Values(share) => {
                let (own, rest) = (share as f32, (1.0 - share) as f32);
                for place in pixels.chunks_exact_mut(n * 3) {
                    let place = place.as_chunks_mut::<3>().0;
                    let Some(mut other) = place.last().copied() else { continue };
                    for pixel in place {
                        let image = *pixel;
                        for (value, other) in pixel.iter_mut().zip(other) {
                            *value = other * rest + *value * own;
                        }
                        other = image;
                    }
                }
                share
            }
            Self::Rectangle(Region { top, left, height: h, width: w }) => {
                for y in top..top + h {
                    let row = &mut pixels[(y * width + left) * n * 3..][..w * n * 3];
                    row.chunks_exact_mut(n * 3).for_each(|place| place.rotate_right(3));
                }
                1.0 - (h * w) as f64 / (height * width) as f64
            }
        }
    }
}

/// A rectangle of the image's aspect about a pixel that is drawn, cut at the image's edges. Uncut, its share of the area is what a
/// Beta-distributed number leaves of 1.
fn rectangle(alpha: f64, draws: &mut Draws, (height, width): (usize, usize)) -> Region {
    let half = 0.5 * (1.0 - draws.beta(alpha)).sqrt();
    let (x, y) = (draws.below(width as u32) as usize, draws.below(height as u32) as usize);
    let reach = |side: usize| (half * side as f64) as usize;
    let (left, top) = (x.saturating_sub(reach(width)), y.saturating_sub(reach(height)));
    let (right, bottom) = ((x + reach(width)).min(width), (y + reach(height)).min(height));
    Region { top, left, height: bottom - top, width: right - left }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(strings: &[&str], n: usize) -> Vec<Option<Mixing>> {
        let augment = Augment::parse_all(strings).unwrap();
        (0..n).map(|index| Mixing::draw(&augment, &Streams::new(4), (3, index), (32, 32))).collect()
    }

    #[test]
    fn a_kind_is_drawn_for_each_batch_and_its_share_has_the_mean_that_it_should() {
        assert!(drawn(&["flip"], 5).iter().all(Option::is_none));
        let n = 4000;
        let (mut values, mut areas) = (Vec::new(), Vec::new());
        for mixing in drawn(&["mixup:0.2", "cutmix:1"], n).into_iter().flatten() {
            match mixing {
                Mixing::Values(share) => values.push(share),
                Mixing::Rectangle(region) => {
                    assert!(region.left + region.width <= 32 && region.top + region.height <= 32);
                    areas.push((region.height * region.width) as f64 / 1024.0);
                }
            }
        }
        // Standard deviations: of a count sqrt(4000 / 4) = 32; of Beta(0.2, 0.2) sqrt(1 / (4 * 1.4)) = 0.42, of 2000 of them 0.0095.
        assert_eq!(values.len() + areas.len(), n);
        assert!(values.len().abs_diff(n / 2) < 128, "{}", values.len());
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        assert!((mean(&values) - 0.5).abs() < 0.038, "{}", mean(&values));
        // What 2 million numbers of PyTorch's Beta(0.2, 0.2) come to; standard deviation sqrt(0.21 * 0.79 / 2000) = 0.0091.
        let beside = values.iter().filter(|share| **share < 0.01).count() as f64 / values.len() as f64;
        assert!((beside - 0.2099).abs() < 0.036, "{beside}");
        // What 400,000 rectangles by torchvision's definition come to; standard deviation 0.182 / sqrt(2000) = 0.0041.
        assert!((mean(&areas) - 0.2989).abs() < 0.0163, "{}", mean(&areas));
        let only = |strings: &[&str]| drawn(strings, 50);
        assert!(only(&["mixup:1"]).iter().all(|mixing| matches!(mixing, Some(Mixing::Values(_)))));
        assert!(only(&["cutmix:1"]).iter().all(|mixing| matches!(mixing, Some(Mixing::Rectangle(_)))));
    }
}
