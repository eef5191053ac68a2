//! What the losses of a test say of rates: [`Reading::of`]. A pure function of numbers.

/// Losses that a smoothed curve has on each side of a point, as a share of all of them.
const WIDTH: f64 = 0.04;
/// Losses at each end of the curve that are too near to it to be told from its noise.
const EDGE: usize = 2;

/// A test as it is read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Reading {
    /// The losses without their noise, as many as there are: each the mean of its neighbours, nearer ones counting more. It looks to both
    /// sides, so that it does not lag behind the rates.
    pub(super) smooth: Vec<f64>,
    /// The step of the lowest smoothed loss.
    pub(super) lowest: usize,
    /// The step at which the smoothed loss falls most steeply with the logarithm of the rate; none where it does not fall by more than its
    /// noise.
    pub(super) steepest: Option<usize>,
    /// Whether the loss has not begun to rise by the last step, so that higher rates may do as well.
    pub(super) is_open: bool,
}

impl Reading {
    /// Of the losses of steps whose rates rise by the same factor; none of fewer than ten.
    pub(super) fn of(losses: &[f64]) -> Option<Self> {
        if losses.len() < 10 {
            return None;
        }
        let smooth = smoothed(losses);
        let noise = noise(losses, &smooth);
        let lowest = (0..smooth.len()).min_by(|a, b| smooth[*a].total_cmp(&smooth[*b]))?;
        let before = smooth[..=lowest].iter().copied().fold(f64::NEG_INFINITY, f64::max);
        // A mean over a width of losses still has some of their noise.
        let width = (2.0 * deviation(losses.len())).max(1.0);
        let falls = before - smooth[lowest] > 3.0 * noise / width.sqrt();
        let slope = |at: &usize| smooth[at + 1] - smooth[at - 1];
        let steepest = (EDGE..lowest.min(smooth.len() - 2)).min_by(|a, b| slope(a).total_cmp(&slope(b)));
        let is_open = lowest + 1 + EDGE >= smooth.len();
        Some(Self { steepest: steepest.filter(|_| falls), smooth, lowest, is_open })
    }
}

/// The deviation, in steps, of the weights of a smoothed curve of so many losses.
fn deviation(count: usize) -> f64 {
    (WIDTH * count as f64).max(1.0)
}

fn smoothed(losses: &[f64]) -> Vec<f64> {
    let deviation = deviation(losses.len());
    let weight = |distance: f64| (-0.5 * (distance / deviation).powi(2)).exp();
    let at = |place: usize| {
        let weights = (0..losses.len()).map(|other| weight(other as f64 - place as f64));
        let (sum, all) =
            weights.zip(losses).fold((0.0, 0.0), |(sum, all), (w, loss)| (sum + w * loss, all + w));
        sum / all
    };
    (0..losses.len()).map(at).collect()
}

/// The typical distance of a loss from the curve: the median, scaled to a standard deviation, since the losses of the last steps are far
/// from anything.
fn noise(losses: &[f64], smooth: &[f64]) -> f64 {
    let mut distances: Vec<f64> =
        losses.iter().zip(smooth).map(|(loss, smooth)| (loss - smooth).abs()).collect();
    distances.sort_by(f64::total_cmp);
    1.4826 * distances[distances.len() / 2]
}

/// Three rates to try, from a third of the steepest to three times it, none above a third of the rate at the lowest loss unless that is
/// below all of them; with one digit.
pub(super) fn to_try(steepest: f64, lowest: f64) -> Vec<f64> {
    let middle = steepest.min(lowest / 3.0);
    [middle / 3.0, middle, 3.0 * middle].map(one_digit).to_vec()
}

/// Rounded to 1, 3 or the like times a power of ten.
fn one_digit(rate: f64) -> f64 {
    let power = 10f64.powf(rate.log10().floor());
    // By way of its decimals, so that it is the number that it reads as.
    format!("{:.0}e{}", (rate / power).round(), power.log10().round()).parse().unwrap_or(rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Losses of a network that learns best at step `best` of 100 and loses everything by step `lost`, with noise.
    fn losses(best: f64, lost: f64, noise: f64) -> Vec<f64> {
        let of = |step: usize| {
            let x = step as f64;
            let fall = 2.3 - 1.8 / (1.0 + (-(x - best) / 5.0).exp());
            let rise = ((x - lost) / 2.0).exp().min(20.0);
            let wiggle = ((step * 7919 + 13) % 101) as f64 / 50.0 - 1.0;
            fall + rise + noise * wiggle
        };
        (0..100).map(of).collect()
    }

    #[test]
    fn the_steepest_place_and_the_lowest_are_found_through_noise() {
        for noise in [0.0, 0.05, 0.2] {
            let reading = Reading::of(&losses(50.0, 80.0, noise)).unwrap();
            let steepest = reading.steepest.unwrap();
            assert!(steepest.abs_diff(50) <= 8, "{noise}: {steepest}");
            assert!((60..80).contains(&reading.lowest), "{noise}: {}", reading.lowest);
            assert!(!reading.is_open);
        }
    }

    #[test]
    fn a_loss_that_only_shakes_or_rises_says_nothing() {
        let flat: Vec<f64> = (0..100).map(|step| 2.3 + ((step * 37 + 5) % 17) as f64 / 100.0).collect();
        assert_eq!(Reading::of(&flat).unwrap().steepest, None);
        let rising: Vec<f64> = (0..60).map(|step| 2.3 + f64::from(step) / 10.0).collect();
        assert_eq!(Reading::of(&rising).unwrap().steepest, None);
        assert_eq!(Reading::of(&[1.0; 9]), None);
    }

    #[test]
    fn a_loss_that_still_falls_leaves_the_end_open() {
        let falling = losses(90.0, 1000.0, 0.01);
        let reading = Reading::of(&falling).unwrap();
        assert!(reading.is_open && reading.steepest.is_some());
    }

    #[test]
    fn rates_to_try_are_short_and_below_where_the_loss_turns() {
        assert_eq!(to_try(1e-3, 1e-1), [3e-4, 1e-3, 3e-3]);
        assert_eq!(to_try(2e-2, 3e-2), [3e-3, 1e-2, 3e-2]);
        assert_eq!(to_try(9.7e-5, 1.0), [3e-5, 1e-4, 3e-4]);
    }
}
