//! The bootstrap over seeds and test images: [`Resampled`] draws both anew, the same for all arms, so that every statement is
//! made of one set of made-up experiments; [`bca`] reads intervals off it.
//!
//! Of k seeds k - 1 are drawn, as k draws would have the variance of a mean too small by a kth (Rao and Wu 1988), which is much of it
//! for few seeds. What is chance in a single answer comes in with the seeds and with the images, so intervals are wide (Owen 2007).
//! Draws depend on the number of seeds and images alone: the same results give the same numbers, in whatever order arms are named.

use frostline_results::Marks;
use frostline_streams::{Purpose, Streams};
use rayon::prelude::*;
use statrs::distribution::{ContinuousCDF, Normal};

/// Made-up experiments; half as many where there are more trials than [`MANY`].
const EXPERIMENTS: usize = 2000;
/// Trials from which on fewer experiments have to do.
const MANY: usize = 1000;

/// Made-up experiments, in each of which seeds and test images were drawn anew with replacement.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Resampled {
    /// How many experiments there are.
    pub(crate) experiments: usize,
    /// All seeds, in order.
    seeds: Vec<u64>,
    /// How often each seed was drawn, experiment by experiment.
    weights: Vec<u16>,
    /// By trial, its accuracy in each experiment; nothing for a trial without answers.
    shares: Vec<Vec<f32>>,
}

/// One trial's part in a pair or an arm: its seed, and its place among all trials.
pub(crate) type Place = (u64, usize);

impl Resampled {
    /// Draws experiments for trials, each with its answers, if it has any.
    pub(crate) fn of(seeds: Vec<u64>, trials: &[Option<&Marks>]) -> Self {
        let experiments = if trials.len() > MANY { EXPERIMENTS / 2 } else { EXPERIMENTS };
        let mut sizes: Vec<usize> = trials.iter().flatten().map(|marks| marks.len()).collect();
        sizes.sort_unstable();
        sizes.dedup();
        let mut shares = vec![Vec::new(); trials.len()];
        for images in sizes.into_iter().filter(|images| *images > 0) {
            let drawn: Vec<Planes> =
                (0..experiments).into_par_iter().map(|index| Planes::drawn(images, index)).collect();
            shares.par_iter_mut().zip(trials).for_each(|(shares, marks)| {
                if let Some(marks) = marks.filter(|marks| marks.len() == images) {
                    *shares = drawn.iter().map(|planes| planes.share(marks)).collect();
                }
            });
        }
        let weights = (0..experiments).flat_map(|index| multiplicities(&seeds, index)).collect();
        Self { experiments, seeds, weights, shares }
    }

    /// An arm's mean accuracy in each experiment, over the seeds that were drawn and that it has; over all that it has where none
    /// of them was drawn.
    pub(crate) fn means(&self, arm: &[Place]) -> Vec<f64> {
        let one = |experiment: usize| self.mean(experiment, arm, |trial| self.share(trial, experiment));
        (0..self.experiments).map(one).collect()
    }

    /// In each experiment, the mean difference of two arms, and the share of seeds in which the first is ahead, ties counting half.
    pub(crate) fn differences(&self, pairs: &[(u64, usize, usize)]) -> (Vec<f64>, Vec<f64>) {
        let places: Vec<Place> = pairs.iter().enumerate().map(|(index, (seed, ..))| (*seed, index)).collect();
        let at = |experiment: usize| {
            let gap = |index: usize| {
                self.share(pairs[index].1, experiment) - self.share(pairs[index].2, experiment)
            };
            let ahead = |index: usize| ahead(gap(index));
            (self.mean(experiment, &places, gap), self.mean(experiment, &places, ahead))
        };
        (0..self.experiments).map(at).unzip()
    }

    fn share(&self, trial: usize, experiment: usize) -> f64 {
        self.shares[trial].get(experiment).map_or(0.0, |share| f64::from(*share))
    }

    fn mean(&self, experiment: usize, places: &[Place], of: impl Fn(usize) -> f64) -> f64 {
        let weights = &self.weights[experiment * self.seeds.len()..][..self.seeds.len()];
        let (mut sum, mut weight) = (0.0, 0.0);
        for (seed, place) in places {
            let drawn = self.seeds.binary_search(seed).map_or(0, |index| weights[index]);
            if drawn > 0 {
                sum += f64::from(drawn) * of(*place);
                weight += f64::from(drawn);
            }
        }
        if weight > 0.0 {
            return sum / weight;
        }
        places.iter().map(|(_, place)| of(*place)).sum::<f64>() / places.len() as f64
    }
}

/// 1 for ahead, 1/2 for a tie.
pub(crate) fn ahead(difference: f64) -> f64 {
    match difference {
        d if d > 0.0 => 1.0,
        d if d < 0.0 => 0.0,
        _ => 0.5,
    }
}

/// How often each seed was drawn, of one draw less than there are seeds, and one at least.
fn multiplicities(seeds: &[u64], experiment: usize) -> Vec<u16> {
    let mut draws = Streams::new(0).draws(Purpose::Bootstrap, experiment as u64, 0);
    let mut drawn = vec![0; seeds.len()];
    for _ in 0..seeds.len().saturating_sub(1).max(seeds.len().min(1)) {
        drawn[draws.below(seeds.len() as u32) as usize] += 1;
    }
    drawn
}

/// How often each image was drawn, as binary digits: plane `p` has the bits of value `2^p`, so that a sum over marked images takes a
/// count of bits for each plane.
struct Planes {
    planes: Vec<Vec<u64>>,
    images: usize,
}

impl Planes {
    fn drawn(images: usize, experiment: usize) -> Self {
        let mut draws = Streams::new(0).draws(Purpose::Bootstrap, experiment as u64, images as u64);
        let mut planes = vec![vec![0u64; images.div_ceil(64)]];
        for _ in 0..images {
            let image = draws.below(images as u32) as usize;
            let (word, bit) = (image / 64, 1u64 << (image % 64));
            let mut plane = 0;
            // Adds one, with carry.
            while planes[plane][word] & bit != 0 {
                planes[plane][word] &= !bit;
                plane += 1;
                if plane == planes.len() {
                    planes.push(vec![0; images.div_ceil(64)]);
                }
            }
            planes[plane][word] |= bit;
        }
        Self { planes, images }
    }

    /// The share of the drawn images that are marked.
    fn share(&self, marks: &Marks) -> f32 {
        let of_plane = |plane: &Vec<u64>| {
            plane.iter().zip(marks.words()).map(|(a, b)| u64::from((a & b).count_ones())).sum::<u64>()
        };
        let sum: u64 = self.planes.iter().enumerate().map(|(place, plane)| of_plane(plane) << place).sum();
        sum as f32 / self.images as f32
    }
}

/// The 95 % interval of a statistic by its bootstrap replicates, corrected for bias and skew (BCa; Efron 1987). `influences` says what
/// each seed and each image adds to the statistic.
pub fn bca(observed: f64, mut replicates: Vec<f64>, influences: &Influences) -> (f64, f64) {
    replicates.sort_by(f64::total_cmp);
    let (Some(first), Some(last)) = (replicates.first(), replicates.last()) else {
        return (observed, observed);
    };
    let Ok(normal) = Normal::new(0.0, 1.0) else { return (*first, *last) };
    let n = replicates.len() as f64;
    let (below, up_to) =
        (replicates.partition_point(|r| *r < observed), replicates.partition_point(|r| *r <= observed));
    let bias = normal.inverse_cdf(((below + up_to) as f64 / (2.0 * n)).clamp(0.5 / n, 1.0 - 0.5 / n));
    let skew = influences.skew();
    let at = |share: f64| {
        let z = bias + normal.inverse_cdf(share);
        quantile(&replicates, normal.cdf(bias + z / (1.0 - skew * z)))
    };
    (at(0.025), at(0.975))
}

/// The sums of the squares and cubes of what each unit that is drawn adds to a statistic.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Influences {
    /// Of the squares.
    pub squares: f64,
    /// Of the cubes.
    pub cubes: f64,
}

impl Influences {
    /// How fast the standard error changes with the statistic: 0 where all of it is symmetric.
    fn skew(&self) -> f64 {
        let skew = self.cubes / (6.0 * self.squares.powf(1.5));
        if skew.is_finite() { skew } else { 0.0 }
    }
}

/// The value below which a share of sorted values lies, between neighbours by interpolation.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share.clamp(0.0, 1.0) * (sorted.len() - 1) as f64;
    let (low, part) = (place.floor() as usize, place.fract());
    let high = (low + 1).min(sorted.len() - 1);
    sorted[low] + part * (sorted[high] - sorted[low])
}
