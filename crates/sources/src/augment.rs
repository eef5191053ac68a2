//! Random changes of training images, as strings: [`Augment`]. What is drawn for an image is the loader's.
//!
//! The pipeline is: cut a window (`resized-crop`, or `crop` with zero pixels around the image), mirror, change the picture's
//! 8-bit values (`jitter`, then `trivial` or `rand-augment`), normalise, erase, and mix with another image of the batch (`mixup`,
//! `cutmix`). Padding is black before normalisation, as it is
//! where torchvision's `RandomCrop(size, padding=PAD)` stands before `Normalize`. Mirroring before or after the window is cut
//! gives the same distribution, because windows are symmetric. As the pipeline is one, the order of the strings is free.

use std::fmt;
use std::str::FromStr;

/// The strings, as an error lists them.
const ALL: &str = "write `flip`, `crop:PAD`, `resized-crop`, `jitter:STRENGTH`, `trivial`, `rand-augment`, `erase`, `mixup` or `cutmix`";

/// The usual parameters, which a string leaves out.
const LEAST_AREA: f64 = 0.08;
const ERASED: f64 = 0.5;
const MIXED: f64 = 1.0;
const RAND: Policy = Policy::Rand { operations: 2, magnitude: 9 };

/// An augmentation string that names none, or one that cannot be beside another.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("augmentation `{given}`: {what}; {help}")]
pub struct AugmentError {
    /// The string as given.
    pub given: String,
    /// What is wrong with it.
    pub what: String,
    /// What to write instead.
    pub help: String,
}

/// Which random changes a training image goes through. The default is none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Augment {
    /// Mirror left and right with probability 1/2 (torchvision's `RandomHorizontalFlip(0.5)`).
    pub flip: bool,
    /// Pad each side by so many zero pixels and cut a window of the image's own size, each window alike likely
    /// (torchvision's `RandomCrop(size, padding)`).
    pub crop: Option<usize>,
    /// Cut a window of at least this share of the area, up to all of it, with an aspect from 3/4 to 4/3, and enlarge it to the
    /// image's own size (torchvision's `RandomResizedCrop(size, scale=(least, 1))`). Greater than 0, at most 1.
    pub resized_crop: Option<f64>,
    /// Change brightness, contrast and saturation by factors from `max(0, 1 - s)` to `1 + s`, in an order that is drawn
    /// (torchvision's `ColorJitter(s, s, s)`). Greater than 0, at most 1.
    pub jitter: Option<f64>,
    /// Operations that are drawn from a list.
    pub policy: Option<Policy>,
    /// After normalisation, set a rectangle to 0 with this probability (torchvision's `RandomErasing(p)`). Greater than 0, at most 1.
    pub erase: Option<f64>,
    /// Mix each image of a batch and its label with another's, by a share that is drawn for the batch from Beta(alpha, alpha)
    /// (torchvision's `v2.MixUp(alpha)`). Beside `cutmix`, one of the two is drawn for each batch. Greater than 0, at most 100.
    pub mixup: Option<f64>,
    /// Give each image of a batch a rectangle of another, and its label as much of the other's, with a share of the area from
    /// Beta(alpha, alpha) before it is cut at the edges (torchvision's `v2.CutMix(alpha)`). Greater than 0, at most 100.
    pub cutmix: Option<f64>,
}

/// How operations are drawn from the fourteen of RandAugment's list, each alike likely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// One, with a magnitude that is drawn too (torchvision's `TrivialAugmentWide()`).
    Trivial,
    /// Several in a row, with one magnitude (torchvision's `RandAugment(operations, magnitude)`).
    Rand {
        /// How many, 1 to 255.
        operations: u8,
        /// Which of the 31 magnitudes, 0 to 30.
        magnitude: u8,
    },
}

impl Augment {
    /// No change.
    pub const NONE: Self = Self {
        flip: false,
        crop: None,
        resized_crop: None,
        jitter: None,
        policy: None,
        erase: None,
        mixup: None,
        cutmix: None,
    };

    /// Combines strings such as `flip` and `crop:4`.
    ///
    /// # Errors
    /// A string is no augmentation, names one for the second time, or one that leaves no room for another: `crop` and
    /// `resized-crop`, `trivial` and `rand-augment`.
    pub fn parse_all<S: AsRef<str>>(items: &[S]) -> Result<Self, AugmentError> {
        let mut all = Self::NONE;
        for item in items {
            all = all.with(item.as_ref().parse()?, item.as_ref())?;
        }
        Ok(all)
    }

    /// Both, where `one` is of the string `given`.
    fn with(self, one: Self, given: &str) -> Result<Self, AugmentError> {
        let twice = self.flip && one.flip
            || self.crop.is_some() && one.crop.is_some()
            || self.resized_crop.is_some() && one.resized_crop.is_some()
            || self.jitter.is_some() && one.jitter.is_some()
            || self.erase.is_some() && one.erase.is_some()
            || self.mixup.is_some() && one.mixup.is_some()
            || self.cutmix.is_some() && one.cutmix.is_some();
        match (self.policy, one.policy) {
            (Some(Policy::Trivial), Some(Policy::Rand { .. }))
            | (Some(Policy::Rand { .. }), Some(Policy::Trivial)) => {
                let what = "`trivial` and `rand-augment` both draw from the same operations";
                return Err(wrong(given, what, "keep one of the two"));
            }
            (Some(_), Some(_)) => return Err(wrong(given, "is given twice", "leave one out")),
            _ if twice => return Err(wrong(given, "is given twice", "leave one out")),
            _ => {}
        }
        let all = Self {
            flip: self.flip || one.flip,
            crop: self.crop.or(one.crop),
            resized_crop: self.resized_crop.or(one.resized_crop),
            jitter: self.jitter.or(one.jitter),
            policy: self.policy.or(one.policy),
            erase: self.erase.or(one.erase),
            mixup: self.mixup.or(one.mixup),
            cutmix: self.cutmix.or(one.cutmix),
        };
        if all.crop.is_some() && all.resized_crop.is_some() {
            return Err(wrong(
                given,
                "`crop` and `resized-crop` both cut the image's window",
                "keep one of the two",
            ));
        }
        Ok(all)
    }

    /// Whether nothing is changed.
    pub fn is_none(&self) -> bool {
        *self == Self::NONE
    }

    /// Whether the 8-bit values of a picture become others than they were, or are brought to other places than mirroring and
    /// cutting with a margin bring them to.
    pub fn repaints(&self) -> bool {
        self.resized_crop.is_some() || self.jitter.is_some() || self.policy.is_some()
    }

    /// Whether the images of a batch are mixed with each other, so that what a model is given of one depends on the batch.
    pub fn mixes(&self) -> bool {
        self.mixup.is_some() || self.cutmix.is_some()
    }
}

impl FromStr for Augment {
    type Err = AugmentError;

    fn from_str(given: &str) -> Result<Self, AugmentError> {
        let (name, value) = given.split_once(':').map_or((given, None), |(name, value)| (name, Some(value)));
        let none = Self::NONE;
        match (name, value) {
            ("flip", None) => Ok(Self { flip: true, ..none }),
            ("trivial", None) => Ok(Self { policy: Some(Policy::Trivial), ..none }),
            ("flip" | "trivial", Some(_)) => {
                Err(wrong(given, "takes no parameter", &format!("write `{name}`")))
            }
            ("crop", value) => Ok(Self { crop: Some(padding(given, value)?), ..none }),
            ("resized-crop", value) => {
                let help =
                    "write `resized-crop` for 0.08, or the least share, for example `resized-crop:0.5`";
                let least = share(given, value, Some(LEAST_AREA), "the least share of the area", help)?;
                Ok(Self { resized_crop: Some(least), ..none })
            }
            ("jitter", value) => {
                let help = "write `jitter:STRENGTH`, for example `jitter:0.4`";
                Ok(Self { jitter: Some(share(given, value, None, "the strength", help)?), ..none })
            }
            ("rand-augment", value) => Ok(Self { policy: Some(rand_augment(given, value)?), ..none }),
            ("erase", value) => {
                let help = "write `erase` for 0.5, or the probability, for example `erase:0.25`";
                Ok(Self { erase: Some(share(given, value, Some(ERASED), "the probability", help)?), ..none })
            }
            ("mixup", value) => Ok(Self { mixup: Some(alpha(given, name, value)?), ..none }),
            ("cutmix", value) => Ok(Self { cutmix: Some(alpha(given, name, value)?), ..none }),
            _ => Err(wrong(given, "no such augmentation", &known_elsewhere(name))),
        }
    }
}

fn padding(given: &str, value: Option<&str>) -> Result<usize, AugmentError> {
    let help = "write `crop:PAD`, for example `crop:4`";
    match value.map(str::parse::<u16>) {
        None => Err(wrong(given, "the padding is missing", help)),
        Some(Ok(pad @ 1..)) => Ok(usize::from(pad)),
        Some(_) => Err(wrong(given, "the padding must be a whole number of pixels from 1 to 65535", help)),
    }
}

/// A number greater than 0 and at most 1.
fn share(
    given: &str,
    value: Option<&str>,
    usual: Option<f64>,
    what: &str,
    help: &str,
) -> Result<f64, AugmentError> {
    let Some(value) = value else {
        return usual.ok_or_else(|| wrong(given, &format!("{what} is missing"), help));
    };
    let must = || wrong(given, &format!("{what} must be a number greater than 0 and at most 1"), help);
    number(value, 1.0).ok_or_else(must)
}

/// The parameter of a beta distribution.
fn alpha(given: &str, name: &str, value: Option<&str>) -> Result<f64, AugmentError> {
    let Some(value) = value else { return Ok(MIXED) };
    let help = format!("write `{name}` for 1, or `{name}:ALPHA`, for example `{name}:0.2`");
    let what = "alpha must be a number greater than 0 and at most 100";
    number(value, 100.0).ok_or_else(|| wrong(given, what, &help))
}

/// A plain number greater than 0.
fn number(text: &str, most: f64) -> Option<f64> {
    let plain = text.bytes().all(|c| c.is_ascii_digit() || c == b'.');
    text.parse().ok().filter(|number| plain && *number > 0.0 && *number <= most)
}

fn rand_augment(given: &str, value: Option<&str>) -> Result<Policy, AugmentError> {
    let Some(value) = value else { return Ok(RAND) };
    let numbers = value.split_once(',').and_then(|(operations, magnitude)| {
        let plain = value.bytes().all(|c| c.is_ascii_digit() || c == b',');
        let numbers = (operations.parse().ok()?, magnitude.parse().ok()?);
        Some(numbers).filter(|(operations, magnitude)| plain && *operations > 0 && *magnitude <= 30)
    });
    let (operations, magnitude) = numbers.ok_or_else(|| {
        let what = "must have the number of operations, 1 to 255, and the magnitude, 0 to 30";
        wrong(
            given,
            what,
            "write `rand-augment` for 2 and 9, or `rand-augment:OPS,MAGNITUDE`, for example `rand-augment:2,5`",
        )
    })?;
    Ok(Policy::Rand { operations, magnitude })
}

/// What to write for what has another name in torchvision.
fn known_elsewhere(name: &str) -> String {
    let plain: String =
        name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    let ours = match plain.strip_prefix("random").unwrap_or(&plain) {
        "horizontalflip" | "hflip" | "mirror" => "flip",
        "resizedcrop" => "resized-crop",
        "colorjitter" | "colourjitter" => "jitter:STRENGTH",
        "trivialaugment" | "trivialaugmentwide" => "trivial",
        "randaugment" => "rand-augment",
        "erasing" => "erase",
        _ => return ALL.to_owned(),
    };
    format!("write `{ours}`")
}

fn wrong(given: &str, what: &str, help: &str) -> AugmentError {
    AugmentError { given: given.to_owned(), what: what.to_owned(), help: help.to_owned() }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trivial => f.write_str("trivial"),
            usual if *usual == RAND => f.write_str("rand-augment"),
            Self::Rand { operations, magnitude } => write!(f, "rand-augment:{operations},{magnitude}"),
        }
    }
}

impl fmt::Display for Augment {
    /// Its strings with `+` between them, in one order, as the order makes no difference, and without parameters that are the
    /// usual ones; `none` for nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or_usual = |name: &str, usual: f64, value: f64| {
            if value == usual { name.to_owned() } else { format!("{name}:{value}") }
        };
        let items = [
            self.flip.then(|| "flip".to_owned()),
            self.crop.map(|pad| format!("crop:{pad}")),
            self.resized_crop.map(|least| or_usual("resized-crop", LEAST_AREA, least)),
            self.jitter.map(|strength| format!("jitter:{strength}")),
            self.policy.map(|policy| policy.to_string()),
            self.erase.map(|probability| or_usual("erase", ERASED, probability)),
            self.mixup.map(|alpha| or_usual("mixup", MIXED, alpha)),
            self.cutmix.map(|alpha| or_usual("cutmix", MIXED, alpha)),
        ];
        let items: Vec<String> = items.into_iter().flatten().collect();
        f.write_str(if items.is_empty() { "none" } else { "" })?;
        f.write_str(&items.join("+"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(items: &[&str]) -> String {
        Augment::parse_all(items).unwrap_err().to_string()
    }

    #[test]
    fn strings_are_read() {
        let both = Augment { flip: true, crop: Some(4), ..Augment::NONE };
        assert_eq!(Augment::parse_all(&["flip", "crop:4"]).unwrap(), both);
        assert_eq!(Augment::parse_all(&["crop:4", "flip"]).unwrap(), both);
        assert!(Augment::parse_all::<&str>(&[]).unwrap().is_none());
        let rest =
            Augment::parse_all(&["erase:0.25", "rand-augment:3,30", "jitter:0.40", "resized-crop"]).unwrap();
        let expected = Augment {
            resized_crop: Some(0.08),
            jitter: Some(0.4),
            policy: Some(Policy::Rand { operations: 3, magnitude: 30 }),
            erase: Some(0.25),
            ..Augment::NONE
        };
        assert_eq!(rest, expected);
        assert!(expected.repaints() && !both.repaints());
    }

    #[test]
    fn each_has_one_spelling() {
        for (items, spelling) in [
            (&["crop:4", "flip"][..], "flip+crop:4"),
            (&["flip"], "flip"),
            (&["crop:12"], "crop:12"),
            (&[], "none"),
            (&["erase:0.5", "resized-crop:0.080"], "resized-crop+erase"),
            (&["rand-augment:2,9"], "rand-augment"),
            (&["rand-augment:2,10", "flip"], "flip+rand-augment:2,10"),
            (&["cutmix:1.0", "mixup:0.20", "flip"], "flip+mixup:0.2+cutmix"),
            (&["trivial", "erase:1", "jitter:.5", "crop:2"], "crop:2+jitter:0.5+trivial+erase:1"),
        ] {
            let read = Augment::parse_all(items).unwrap();
            assert_eq!(read.to_string(), spelling);
            let again: Vec<&str> = spelling.split('+').filter(|item| *item != "none").collect();
            assert_eq!(Augment::parse_all(&again).unwrap(), read);
        }
    }

    #[test]
    fn what_is_no_augmentation_is_told_with_what_to_write() {
        for bad in ["flop", "", "mix"] {
            assert!(message(&[bad]).contains("no such augmentation; write `flip`, `crop:PAD`"));
        }
        for bad in ["crop", "crop:0", "crop:-1", "crop:4.0", "crop:"] {
            assert!(message(&[bad]).contains("write `crop:PAD`, for example `crop:4`"));
        }
        for bad in ["flip:1", "trivial:31"] {
            assert!(message(&[bad]).contains("takes no parameter"));
        }
        for bad in ["0", "1.1", "-0.5", "nan", "inf", "1e-1", "+.5", "", "."] {
            for name in ["resized-crop", "jitter", "erase"] {
                let given = format!("{name}:{bad}");
                let text = message(&[&given]);
                assert!(text.contains("must be a number greater than 0 and at most 1"), "{text}");
                assert!(text.contains(&given) && text.contains(&format!("write `{name}")), "{text}");
            }
        }
        for bad in ["mixup:0", "mixup:101", "cutmix:-1", "cutmix:"] {
            assert!(message(&[bad]).contains("at most 100; write `"), "{bad}");
        }
        assert!(message(&["jitter"]).contains("the strength is missing"));
        for bad in ["2", "0,9", "2,31", "256,9", "+2,9", "2,9,31", ","] {
            assert!(message(&[&format!("rand-augment:{bad}")]).contains("0 to 30; write `rand-augment`"));
        }
        assert!(message(&["RandomResizedCrop"]).ends_with("write `resized-crop`"));
        assert!(message(&["ColorJitter"]).ends_with("write `jitter:STRENGTH`"));
    }

    #[test]
    fn each_is_given_once_and_beside_what_it_goes_with() {
        for twice in [
            "flip",
            "crop:2",
            "resized-crop",
            "jitter:0.1",
            "trivial",
            "rand-augment",
            "erase",
            "mixup",
            "cutmix",
        ] {
            assert!(message(&[twice, twice]).contains("is given twice"));
        }
        assert!(message(&["crop:2", "crop:3"]).contains("twice"));
        assert!(message(&["crop:2", "resized-crop"]).contains("both cut"));
        assert!(message(&["resized-crop", "crop:2"]).contains("both cut"));
        assert!(message(&["trivial", "rand-augment"]).contains("keep one of the two"));
        assert!(message(&["rand-augment:1,5", "trivial"]).contains("keep one of the two"));
    }
}
