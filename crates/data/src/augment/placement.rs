//! Whether an image is mirrored, and which window of it is cut: [`Placement`].

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
        if !augment.flip && augment.crop.is_none() {
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

    /// Writes the window of `from`, `[height, width, 3]`, to `to`; what lies outside is black.
    pub(crate) fn copy(&self, from: &[u8], to: &mut Vec<u8>, (height, width): (usize, usize)) {
        to.clear();
        to.resize(height * width * 3, 0);
        let pixels = from.as_chunks::<3>().0;
        let inside = |at: usize, by: isize, end| at.checked_add_signed(by).filter(|at| *at < end);
        for (y, row) in to.as_chunks_mut::<3>().0.chunks_exact_mut(width).enumerate() {
            let Some(y) = inside(y, self.down, height) else { continue };
            let source = &pixels[y * width..][..width];
            // Columns of the window from `first` to `end` show columns of the image from `first + right`.
            let first = self.right.min(0).unsigned_abs().min(width);
            let end = width - self.right.max(0).unsigned_abs().min(width);
            let shown = first.saturating_add_signed(self.right)..end.saturating_add_signed(self.right);
            if first >= end {
                continue;
            }
            if self.flip {
                let mirrored = source[width - shown.end..width - shown.start].iter().rev();
                row[first..end].iter_mut().zip(mirrored).for_each(|(to, from)| *to = *from);
            } else {
                row[first..end].copy_from_slice(&source[shown]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::windows::column;

    #[test]
    fn flips_are_fair_and_windows_alike_likely() {
        let (augment, streams) = (Augment { flip: true, crop: Some(1), ..Augment::NONE }, Streams::new(3));
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
    fn a_window_shows_what_lies_under_it() {
        let (height, width) = (4, 5);
        let image: Vec<u8> = (1..=60).collect();
        let mut out = vec![9; 7];
        for (flip, down, right) in [false, true]
            .into_iter()
            .flat_map(|flip| (-5..6).flat_map(move |down| (-7..8).map(move |right| (flip, down, right))))
        {
            let placement = Placement { flip, down, right };
            placement.copy(&image, &mut out, (height, width));
            let mut expected = Vec::new();
            for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
                let row = y.checked_add_signed(down).filter(|&y| y < height);
                let place = row.zip(column(&placement, width, x)).map(|(y, x)| (y * width + x) * 3);
                expected.extend(place.map_or([0; 3], |at| [image[at], image[at + 1], image[at + 2]]));
            }
            assert_eq!(out, expected, "{placement:?}");
        }
    }

    #[test]
    fn a_draw_depends_on_seed_epoch_and_example_and_the_crop_not_on_the_flip() {
        let crop = Augment { crop: Some(8), ..Augment::NONE };
        let both = Augment { flip: true, ..crop };
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
