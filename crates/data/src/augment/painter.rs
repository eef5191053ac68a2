//! Pictures changed beyond mirroring and cutting: [`Painter`], which makes the bytes that a batch is assembled of.

use frostline_sources::{Augment, Policy};
use frostline_streams::{Purpose, Streams};

use super::colours;
use super::operation::Operation;
use super::placement::Placement;
use super::region::Region;
use super::resize::{Lines, enlarge};

/// Changes pictures of one size in the order of [`Augment`]'s pipeline, up to normalisation.
#[derive(Clone, Debug)]
pub(crate) struct Painter {
    augment: Augment,
    size: (usize, usize),
    placing: Streams,
    resizing: Streams,
    jittering: Streams,
    operating: Streams,
}

/// Room for one picture after another.
#[derive(Debug, Default)]
struct Room {
    picture: Vec<u8>,
    spare: Vec<u8>,
    lines: Lines,
}

impl Painter {
    /// For images of (height, width) and the streams of a seed.
    pub(crate) fn new(augment: Augment, streams: &Streams, size: (usize, usize)) -> Self {
        let [resizing, jittering, operating] =
            ["resized-crop", "jitter", "policy"].map(|name| streams.part(name));
        Self { augment, size, placing: *streams, resizing, jittering, operating }
    }

    /// The pictures of a batch, `[N, height, width, 3]`, from `images`: each image's index and its bytes, `[height, width, 3]`. What
    /// is drawn for one is a function of (seed, view, index) alone.
    pub(crate) fn paint<'a>(&self, view: u64, images: impl Iterator<Item = (u32, &'a [u8])>) -> Vec<u8> {
        let mut room = Room::default();
        let mut all = Vec::with_capacity(images.size_hint().0 * self.size.0 * self.size.1 * 3);
        for (example, image) in images {
            self.cut(view, example, image, &mut room);
            self.colour(view, example, &mut room);
            all.extend_from_slice(&room.picture);
        }
        all
    }

    /// Brings what an image shows to `room.picture`.
    fn cut(&self, view: u64, example: u32, image: &[u8], room: &mut Room) {
        let placement = Placement::draw(&self.augment, &self.placing, view, example);
        match self.augment.resized_crop {
            Some(least) => {
                let mut draws = self.resizing.draws(Purpose::Augment, view, u64::from(example));
                let region = Region::shown(least, &mut draws, self.size);
                enlarge(image, region, &mut room.spare, &mut room.lines, self.size);
                placement.copy(&room.spare, &mut room.picture, self.size);
            }
            None => placement.copy(image, &mut room.picture, self.size),
        }
    }

    fn colour(&self, view: u64, example: u32, room: &mut Room) {
        let Room { picture, spare, .. } = room;
        if let Some(strength) = self.augment.jitter {
            let mut draws = self.jittering.draws(Purpose::Augment, view, u64::from(example));
            for (change, factor) in jitter(strength, &mut draws) {
                change(picture, factor);
            }
        }
        if let Some(policy) = self.augment.policy {
            let mut draws = self.operating.draws(Purpose::Augment, view, u64::from(example));
            let operations = match policy {
                Policy::Trivial => 1,
                Policy::Rand { operations, .. } => operations,
            };
            for _ in 0..operations {
                Operation::draw(policy, &mut draws, self.size).apply(picture, spare, self.size);
            }
        }
    }
}

/// A change of a picture by a factor.
type Change = fn(&mut [u8], f64);

/// Draws the order and the factors of brightness, contrast and saturation; uses five words, seldom more.
fn jitter(strength: f64, draws: &mut frostline_streams::Draws) -> [(Change, f64); 3] {
    let mut order = [0, 1, 2];
    draws.shuffle(&mut order);
    let strength = strength as f32;
    // Each has its word, whatever the order.
    let factors = [(); 3].map(|()| f64::from(draws.uniform((1.0 - strength).max(0.0), 1.0 + strength)));
    let changes: [Change; 3] = [colours::brightness, colours::contrast, colours::saturation];
    order.map(|which| (changes[which], factors[which]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_are_uniform_and_orders_alike_likely() {
        let n = 12_000;
        let mut orders = std::collections::BTreeMap::<Vec<usize>, f64>::new();
        let (mut sum, mut squares) = ([0.0; 3], [0.0; 3]);
        for example in 0..n {
            let mut draws = Streams::new(2).draws(Purpose::Augment, 1, example);
            let mut order = Vec::new();
            for (change, factor) in jitter(0.4, &mut draws) {
                // Which it is shows in what it makes of a pixel beside a black one.
                let mut pixels = [200, 100, 60, 0, 0, 0];
                change(&mut pixels, 0.5);
                let which = [100, 131, 162].iter().position(|red| *red == pixels[0]).unwrap();
                assert!((0.6..1.4).contains(&factor), "{factor}");
                sum[which] += factor;
                squares[which] += (factor - 1.0) * (factor - 1.0);
                order.push(which);
            }
            *orders.entry(order).or_default() += 1.0;
        }
        let n = n as f64;
        assert_eq!(orders.len(), 6);
        // Four standard deviations: of a count sqrt(12000 * 1/6 * 5/6) = 41, of a mean 0.8 / sqrt(12 * 12000) = 0.0021.
        assert!(orders.values().all(|count| (count - n / 6.0).abs() < 164.0), "{orders:?}");
        assert!(sum.iter().all(|sum| (sum / n - 1.0).abs() < 0.0085), "{sum:?}");
        assert!(squares.iter().all(|squares| (squares / n - 0.64 / 12.0).abs() < 0.002), "{squares:?}");
    }
}
