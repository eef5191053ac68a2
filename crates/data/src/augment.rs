//! Random changes of training images: [`Augment`] says which, [`Augment::placement`] draws them for one image.
//!
//! The pipeline is: flip, pad with zero pixels and crop, normalise. Padding is black before normalisation, as it is
//! where torchvision's `RandomCrop(size, padding=PAD)` stands before `Normalize`. Flipping before or after the crop
//! gives the same distribution, because the crop's offsets are symmetric; so the order of the strings is free.

use crate::DataError;
use frostline_streams::{Purpose, Streams};
use std::str::FromStr;

/// Which random changes a training image goes through. The default is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Augment {
    /// Mirror left and right with probability 1/2 (torchvision's `RandomHorizontalFlip(0.5)`).
    pub flip: bool,
    /// Pad each side by so many zero pixels and cut a window of the image's own size, each window alike likely
    /// (torchvision's `RandomCrop(size, padding)`).
    pub crop: Option<usize>,
}

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

impl Augment {
    /// Combines strings such as `flip` and `crop:4`.
    ///
    /// # Errors
    /// A string is no augmentation, or names one for the second time.
    pub fn parse_all<S: AsRef<str>>(items: &[S]) -> Result<Self, DataError> {
        let mut all = Self::default();
        for item in items {
            let one: Self = item.as_ref().parse()?;
            if all.flip && one.flip || all.crop.is_some() && one.crop.is_some() {
                return Err(wrong(item.as_ref(), "is given twice"));
            }
            all = Self { flip: all.flip || one.flip, crop: all.crop.or(one.crop) };
        }
        Ok(all)
    }

    /// Whether nothing is changed.
    pub fn is_none(&self) -> bool {
        !self.flip && self.crop.is_none()
    }

    /// Draws the changes of one image, a function of (seed, epoch, example) alone. `example` is the index in the data
    /// set's training images, so that the same image is changed alike whatever subset it is part of. The flip takes
    /// the stream's first word whether or not it is wanted, so that crops are alike with and without `flip`.
    pub fn placement(&self, streams: &Streams, epoch: u64, example: u32) -> Placement {
        if self.is_none() {
            return Placement::default();
        }
        let mut draws = streams.draws(Purpose::Augment, epoch, u64::from(example));
        let flip = draws.coin() && self.flip;
        let padding = self.crop.unwrap_or(0);
        let windows = 2 * padding as u32 + 1;
        let mut offset = || draws.below(windows) as isize - padding as isize;
        let (down, right) = (offset(), offset());
        Placement { flip, down, right }
    }
}

impl FromStr for Augment {
    type Err = DataError;

    fn from_str(given: &str) -> Result<Self, DataError> {
        match given.split_once(':') {
            None if given == "flip" => Ok(Self { flip: true, crop: None }),
            Some(("crop", pad)) => match pad.parse::<u16>() {
                Ok(pad @ 1..) => Ok(Self { flip: false, crop: Some(usize::from(pad)) }),
                _ => Err(wrong(given, "the padding must be a whole number of pixels from 1 to 65535")),
            },
            None if given == "crop" => Err(wrong(given, "the padding is missing")),
            _ => Err(wrong(given, "no such augmentation")),
        }
    }
}

fn wrong(given: &str, what: &str) -> DataError {
    DataError::Augmentation { given: given.to_owned(), what: what.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_read() {
        let both = Augment { flip: true, crop: Some(4) };
        assert_eq!(Augment::parse_all(&["flip", "crop:4"]).unwrap(), both);
        assert_eq!(Augment::parse_all(&["crop:4", "flip"]).unwrap(), both);
        assert!(Augment::parse_all::<&str>(&[]).unwrap().is_none());
        for bad in ["flop", "crop", "crop:0", "crop:-1", "crop:4.0", "flip:1", ""] {
            let message = bad.parse::<Augment>().unwrap_err().to_string();
            assert!(message.contains("write `flip` or `crop:PAD`"), "{message}");
        }
        assert!(Augment::parse_all(&["crop:2", "crop:3"]).unwrap_err().to_string().contains("twice"));
    }

    #[test]
    fn flips_are_fair_and_windows_alike_likely() {
        let (augment, streams) = (Augment { flip: true, crop: Some(1) }, Streams::new(3));
        let (mut flips, mut windows) = (0u32, [[0u32; 3]; 3]);
        for example in 0..18_000 {
            let drawn = augment.placement(&streams, 2, example);
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
            (0..50).map(|example| augment.placement(&Streams::new(seed), epoch, example)).collect()
        };
        assert_eq!(first(&both, 1, 1), first(&both, 1, 1));
        assert_ne!(first(&both, 1, 1), first(&both, 2, 1));
        assert_ne!(first(&both, 1, 1), first(&both, 1, 2));
        let unflipped = first(&both, 1, 1).into_iter().map(|drawn| Placement { flip: false, ..drawn });
        assert_eq!(unflipped.collect::<Vec<_>>(), first(&crop, 1, 1));
    }
}
