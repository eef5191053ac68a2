//! What is drawn for a training image: [`Placement`], one case of an [`Augment`].

use frostline_sources::Augment;
use frostline_streams::{Purpose, Streams};

/// What was drawn for one image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// Whether the image is mirrored.
    pub flip: bool,
    /// Row of the padded, perhaps mirrored image that becomes row 0, less the padding: `-PAD..=PAD`.
    pub down: isize,
    /// Column of the padded, perhaps mirrored image that becomes column 0, less the padding: `-PAD..=PAD`.
    pub right: isize,
}

impl Placement {
    /// Draws the changes of one image, a function of (seed, epoch, example) alone. `example` is the index in the data
    /// set's training images, so that the same image is changed alike whatever subset it is part of. The flip takes
    /// the stream's first word whether or not it is wanted, so that crops are alike with and without `flip`.
    pub fn draw(augment: &Augment, streams: &Streams, epoch: u64, example: u32) -> Self {
        if augment.is_none() {
            return Self::default();
        }
        let mut draws = streams.draws(Purpose::Augment, epoch, u64::from(example));
        let flip = draws.coin() && augment.flip;
        let padding = augment.crop.unwrap_or(0);
        let windows = 2 * padding as u32 + 1;
        let mut offset = || draws.below(windows) as isize - padding as isize;
        let (down, right) = (offset(), offset());
        Self { flip, down, right }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flips_are_fair_and_windows_alike_likely() {
        let (augment, streams) = (Augment { flip: true, crop: Some(1) }, Streams::new(3));
        let (mut flips, mut windows) = (0u32, [[0u32; 3]; 3]);
        for example in 0..18_000 {
            let drawn = Placement::draw(&augment, &streams, 2, example);
            flips += u32::from(drawn.flip);
            windows[(drawn.down + 1) as usize][(drawn.right + 1) as usize] += 1;
        }
        // Standard deviations: sqrt(18000/4) = 67 and sqrt(18000 * 1/9 * 8/9) = 42.
        assert!(flips.abs_diff(9_000) < 270, "{flips}");
        assert!(windows.as_flattened().iter().all(|&w| w.abs_diff(2_000) < 170), "{windows:?}");
    }

    #[test]
    fn a_draw_depends_on_seed_epoch_and_example_and_the_crop_not_on_the_flip() {
        let (both, crop) = (Augment { flip: true, crop: Some(8) }, Augment { flip: false, crop: Some(8) });
        let first = |augment: &Augment, seed, epoch| -> Vec<Placement> {
            (0..50).map(|example| Placement::draw(augment, &Streams::new(seed), epoch, example)).collect()
        };
        assert_eq!(first(&both, 1, 1), first(&both, 1, 1));
        assert_ne!(first(&both, 1, 1), first(&both, 2, 1));
        assert_ne!(first(&both, 1, 1), first(&both, 1, 2));
        let unflipped = first(&both, 1, 1).into_iter().map(|drawn| Placement { flip: false, ..drawn });
        assert_eq!(unflipped.collect::<Vec<_>>(), first(&crop, 1, 1));
    }
}
