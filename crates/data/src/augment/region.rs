//! Rectangles of an image: [`Region::shown`] is what a resized crop shows, [`Region::erased`] what random erasing covers.

use frostline_streams::Draws;

/// How often a rectangle is drawn until one fits.
const ATTEMPTS: usize = 10;

/// Least and greatest aspect (width by height) of what a resized crop shows.
const SHOWN_ASPECT: [f64; 2] = [3.0 / 4.0, 4.0 / 3.0];

/// Least and greatest share of the area, and aspect (height by width), of what is erased.
const ERASED_AREA: [f32; 2] = [0.02, 0.33];
const ERASED_ASPECT: [f64; 2] = [0.3, 3.3];

/// A rectangle inside an image, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Region {
    pub(crate) top: usize,
    pub(crate) left: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
}

impl Region {
    /// Draws what torchvision's `RandomResizedCrop` shows of an image of (height, width): an area uniform from `least` to 1 of the
    /// image's, an aspect log-uniform from 3/4 to 4/3, at a place uniform among those it fits in. Where ten of them do not fit, it is
    /// the largest rectangle in the middle that has such an aspect.
    pub(crate) fn shown(least: f64, draws: &mut Draws, (height, width): (usize, usize)) -> Self {
        for _ in 0..ATTEMPTS {
            let share = draws.uniform(least as f32, 1.0);
            let (w, h) = sides((height * width) as f64 * f64::from(share), aspect(SHOWN_ASPECT, draws));
            if (1..=height).contains(&h) && (1..=width).contains(&w) {
                return Self::placed(draws, (h, w), (height, width));
            }
        }
        Self::middle((height, width))
    }

    /// Draws what torchvision's `RandomErasing` covers of an image of (height, width), by the same way: 2 % to 33 % of the area,
    /// an aspect from 0.3 to 3.3, smaller than the image in both directions. None where ten of them do not fit. It may be empty.
    pub(crate) fn erased(draws: &mut Draws, (height, width): (usize, usize)) -> Option<Self> {
        let area = (height * width) as f64;
        (0..ATTEMPTS).find_map(|_| {
            let share = draws.uniform(ERASED_AREA[0], ERASED_AREA[1]);
            let (h, w) = sides(area * f64::from(share), aspect(ERASED_ASPECT, draws));
            (h < height && w < width).then(|| Self::placed(draws, (h, w), (height, width)))
        })
    }

    fn placed(draws: &mut Draws, (h, w): (usize, usize), (height, width): (usize, usize)) -> Self {
        let top = draws.below((height - h + 1) as u32) as usize;
        let left = draws.below((width - w + 1) as u32) as usize;
        Self { top, left, height: h, width: w }
    }

    fn middle((height, width): (usize, usize)) -> Self {
        let [narrowest, widest] = SHOWN_ASPECT;
        let aspect = width as f64 / height as f64;
        let (h, w) = if aspect < narrowest {
            ((width as f64 / narrowest).round_ties_even() as usize, width)
        } else if aspect > widest {
            (height, (height as f64 * widest).round_ties_even() as usize)
        } else {
            (height, width)
        };
        Self { top: (height - h) / 2, left: (width - w) / 2, height: h, width: w }
    }
}

/// Log-uniform between two bounds; uses one word.
fn aspect(bounds: [f64; 2], draws: &mut Draws) -> f64 {
    let [low, high] = bounds.map(|bound| (bound as f32).ln());
    f64::from(draws.uniform(low, high).exp())
}

/// Whole sides of a rectangle of about this area, the first `aspect` times as long as the second.
fn sides(area: f64, aspect: f64) -> (usize, usize) {
    let whole = |side: f64| side.round_ties_even() as usize;
    (whole((area * aspect).sqrt()), whole((area / aspect).sqrt()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use frostline_streams::{Purpose, Streams};

    fn draws(example: u64) -> Draws {
        Streams::new(5).draws(Purpose::Augment, 1, example)
    }

    /// Mean and standard deviation.
    fn moments(values: &[f64]) -> (f64, f64) {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64;
        (mean, variance.sqrt())
    }

    /// Fails where the mean of values is not `expected`, by four standard deviations of the mean.
    fn assert_mean(values: &[f64], expected: f64) {
        let (mean, deviation) = moments(values);
        let off = 4.0 * deviation / (values.len() as f64).sqrt();
        assert!((mean - expected).abs() < off, "{mean} is not {expected} within {off}");
    }

    const N: u64 = 20_000;

    #[test]
    fn what_is_shown_has_uniform_areas_and_log_uniform_aspects() {
        // Areas up to half of a large image nearly always fit, at any aspect: 1/2 * 4/3 < 1. So all that is drawn is kept.
        let side = 1000;
        let mut areas = Vec::new();
        let mut aspects = Vec::new();
        let mut tops = Vec::new();
        for example in 0..N {
            let region = Region::shown(0.08, &mut draws(example), (side, side));
            assert!(region.top + region.height <= side && region.left + region.width <= side);
            let area = (region.height * region.width) as f64 / (side * side) as f64;
            assert!(area > 0.078, "{region:?}");
            if area < 0.5 {
                areas.push(area);
                aspects.push((region.width as f64 / region.height as f64).ln());
                tops.push(region.top as f64 / (side - region.height) as f64);
            }
        }
        let (_, deviation) = moments(&areas);
        assert!((deviation - 0.42 / 12f64.sqrt()).abs() < 0.003, "{deviation}");
        assert_mean(&areas, 0.29);
        assert_mean(&aspects, 0.0);
        let (_, deviation) = moments(&aspects);
        assert!((deviation - 2.0 * (4f64 / 3.0).ln() / 12f64.sqrt()).abs() < 0.004, "{deviation}");
        assert_mean(&tops, 0.5);
    }

    #[test]
    fn the_least_area_of_one_shows_everything() {
        let whole = Region { top: 0, left: 0, height: 32, width: 32 };
        let regions: Vec<Region> =
            (0..50).map(|example| Region::shown(1.0, &mut draws(example), (32, 32))).collect();
        // An aspect near 1 fits at once; others are drawn again, and where none fits, it is the middle.
        assert!(regions.iter().all(|region| region.height >= 31 && region.width >= 31), "{regions:?}");
        assert!(regions.contains(&whole));
    }

    #[test]
    fn the_middle_has_the_nearest_aspect() {
        assert_eq!(Region::middle((30, 30)), Region { top: 0, left: 0, height: 30, width: 30 });
        assert_eq!(Region::middle((30, 60)), Region { top: 0, left: 10, height: 30, width: 40 });
        assert_eq!(Region::middle((61, 30)), Region { top: 10, left: 0, height: 40, width: 30 });
    }

    #[test]
    fn what_is_erased_has_the_area_that_it_should() {
        let side = 1000;
        let (mut areas, mut aspects) = (Vec::new(), Vec::new());
        for example in 0..N {
            let region = Region::erased(&mut draws(example), (side, side)).unwrap();
            assert!(region.height < side && region.width < side);
            areas.push((region.height * region.width) as f64 / (side * side) as f64);
            aspects.push((region.height as f64 / region.width as f64).ln());
        }
        // What does not fit is drawn again: areas beyond 1 / 3.3 at the greatest aspects, one in a thousand.
        let (mean, deviation) = moments(&areas);
        assert!((mean - 0.175).abs() < 4.0 * deviation / (N as f64).sqrt() + 2e-4, "{mean}");
        assert!((deviation - 0.31 / 12f64.sqrt()).abs() < 0.002, "{deviation}");
        let (mean, _) = moments(&aspects);
        assert!((mean - (0.3f64.ln() + 3.3f64.ln()) / 2.0).abs() < 0.025, "{mean}");
        assert!(areas.iter().all(|area| (0.0195..0.3305).contains(area)));
    }

    #[test]
    fn sides_are_rounded_as_torchvision_does() {
        // Python's round(math.sqrt(...)): ties go to the even number.
        assert_eq!(sides(6.25, 1.0), (2, 2));
        assert_eq!(sides(12.25, 1.0), (4, 4));
        assert_eq!(sides(512.0, 4.0 / 3.0), (26, 20));
        // A third of a pixel is none.
        assert!(Region::erased(&mut draws(0), (1, 1)).is_none_or(|region| region.height * region.width == 0));
    }
}
