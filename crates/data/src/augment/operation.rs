//! The operations that TrivialAugment and RandAugment draw from: [`Operation`], with their magnitudes.

use frostline_sources::Policy;
use frostline_streams::Draws;

use super::colours;
use super::warp::Affine;

/// How many operations the list has.
const KINDS: u32 = 14;

/// How many magnitudes an operation has; the first changes little or nothing.
const BINS: u8 = 31;

/// One change of a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Operation {
    Identity,
    /// Pixels to the side for each pixel down, or down for each to the side.
    ShearX(f64),
    ShearY(f64),
    /// Pixels.
    TranslateX(f64),
    TranslateY(f64),
    /// Degrees against the clock.
    Rotate(f64),
    /// Factors; 1 leaves the picture as it is.
    Brightness(f64),
    Color(f64),
    Contrast(f64),
    Sharpness(f64),
    /// Bits that are kept.
    Posterize(u8),
    /// From which value on values are inverted.
    Solarize(f32),
    AutoContrast,
    Equalize,
}

/// The greatest magnitudes of a list.
struct Reach {
    shear: f64,
    translate_x: f64,
    translate_y: f64,
    rotate: f64,
    /// Of brightness, colour, contrast and sharpness: how far the factor lies from 1.
    enhance: f64,
    /// Bits that are lost.
    posterize: f64,
}

impl Reach {
    fn of(policy: Policy, (height, width): (usize, usize)) -> Self {
        match policy {
            Policy::Trivial => Self {
                shear: 0.99,
                translate_x: 32.0,
                translate_y: 32.0,
                rotate: 135.0,
                enhance: 0.99,
                posterize: 6.0,
            },
            Policy::Rand { .. } => Self {
                shear: 0.3,
                translate_x: 150.0 / 331.0 * width as f64,
                translate_y: 150.0 / 331.0 * height as f64,
                rotate: 30.0,
                enhance: 0.9,
                posterize: 4.0,
            },
        }
    }
}

impl Operation {
    /// Draws an operation of the list of a policy for an image of (height, width), and the sign of those that have one; of
    /// `Trivial` also the magnitude. Uses three words, seldom more.
    pub(crate) fn draw(policy: Policy, draws: &mut Draws, size: (usize, usize)) -> Self {
        let kind = draws.below(KINDS);
        let drawn = draws.below(u32::from(BINS)) as u8;
        let negative = draws.coin();
        let bin = match policy {
            Policy::Trivial => drawn,
            Policy::Rand { magnitude, .. } => magnitude,
        };
        Self::of(policy, kind, bin, negative, size)
    }

    /// The operation number `kind` in torchvision's order with magnitude `bin`.
    pub(crate) fn of(policy: Policy, kind: u32, bin: u8, negative: bool, size: (usize, usize)) -> Self {
        let reach = Reach::of(policy, size);
        let signed = |greatest: f64| {
            let magnitude = f64::from(spaced(0.0, greatest as f32, bin));
            if negative { -magnitude } else { magnitude }
        };
        match kind {
            0 => Self::Identity,
            1 => Self::ShearX(signed(reach.shear)),
            2 => Self::ShearY(signed(reach.shear)),
            3 => Self::TranslateX(signed(reach.translate_x).trunc()),
            4 => Self::TranslateY(signed(reach.translate_y).trunc()),
            5 => Self::Rotate(signed(reach.rotate)),
            6 => Self::Brightness(1.0 + signed(reach.enhance)),
            7 => Self::Color(1.0 + signed(reach.enhance)),
            8 => Self::Contrast(1.0 + signed(reach.enhance)),
            9 => Self::Sharpness(1.0 + signed(reach.enhance)),
            10 => {
                let lost = f64::from(bin) * reach.posterize / f64::from(BINS - 1);
                Self::Posterize(8 - lost.round_ties_even() as u8)
            }
            11 => Self::Solarize(spaced(255.0, 0.0, bin)),
            12 => Self::AutoContrast,
            _ => Self::Equalize,
        }
    }

    /// Changes `picture`, `[height, width, 3]`; `spare` is room for another.
    pub(crate) fn apply(self, picture: &mut Vec<u8>, spare: &mut Vec<u8>, size: (usize, usize)) {
        let warp = match self {
            Self::ShearX(by) => Affine::shear_x(by, size),
            Self::ShearY(by) => Affine::shear_y(by, size),
            Self::TranslateX(right) => Affine::translate(right, 0.0),
            Self::TranslateY(down) => Affine::translate(0.0, down),
            Self::Rotate(degrees) => Affine::rotate(degrees),
            Self::Identity => return,
            Self::Brightness(factor) => return colours::brightness(picture, factor),
            Self::Color(factor) => return colours::saturation(picture, factor),
            Self::Contrast(factor) => return colours::contrast(picture, factor),
            Self::Sharpness(factor) => return colours::sharpness(picture, spare, factor, size),
            Self::Posterize(bits) => return colours::posterize(picture, bits),
            Self::Solarize(threshold) => return colours::solarize(picture, threshold),
            Self::AutoContrast => return colours::autocontrast(picture),
            Self::Equalize => return colours::equalize(picture),
        };
        warp.apply(picture, spare, size);
        std::mem::swap(picture, spare);
    }
}

/// Number `bin` of 31 in equal steps from `start` to `end`, reckoned from the nearer end, as `torch.linspace` does.
fn spaced(start: f32, end: f32, bin: u8) -> f32 {
    let step = (end - start) / f32::from(BINS - 1);
    if bin < BINS / 2 { start + step * f32::from(bin) } else { end - step * f32::from(BINS - 1 - bin) }
}
