//! Random changes of training images, as strings: [`Augment`]. What is drawn for an image is the loader's.
//!
//! The pipeline is: flip, pad with zero pixels and crop, normalise. Padding is black before normalisation, as it is
//! where torchvision's `RandomCrop(size, padding=PAD)` stands before `Normalize`. Flipping before or after the crop
//! gives the same distribution, because the crop's offsets are symmetric; so the order of the strings is free.

use std::fmt;
use std::str::FromStr;

/// An augmentation string that names none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("augmentation `{given}`: {what}; write `flip` or `crop:PAD`, for example `crop:4`")]
pub struct AugmentError {
    /// The string as given.
    pub given: String,
    /// What is wrong with it.
    pub what: String,
}

/// Which random changes a training image goes through. The default is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Augment {
    /// Mirror left and right with probability 1/2 (torchvision's `RandomHorizontalFlip(0.5)`).
    pub flip: bool,
    /// Pad each side by so many zero pixels and cut a window of the image's own size, each window alike likely
    /// (torchvision's `RandomCrop(size, padding)`).
    pub crop: Option<usize>,
}

impl Augment {
    /// Combines strings such as `flip` and `crop:4`.
    ///
    /// # Errors
    /// A string is no augmentation, or names one for the second time.
    pub fn parse_all<S: AsRef<str>>(items: &[S]) -> Result<Self, AugmentError> {
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
}

impl FromStr for Augment {
    type Err = AugmentError;

    fn from_str(given: &str) -> Result<Self, AugmentError> {
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

fn wrong(given: &str, what: &str) -> AugmentError {
    AugmentError { given: given.to_owned(), what: what.to_owned() }
}

impl fmt::Display for Augment {
    /// Its strings with `+` between them, in one order, as the order makes no difference; `none` for nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self { flip: false, crop: None } => f.write_str("none"),
            Self { flip: true, crop: None } => f.write_str("flip"),
            Self { flip: false, crop: Some(pad) } => write!(f, "crop:{pad}"),
            Self { flip: true, crop: Some(pad) } => write!(f, "flip+crop:{pad}"),
        }
    }
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
}
