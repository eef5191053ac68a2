//! The difference of two arms where seeds and test images are both drawn: [`Crossed`], its standard error, interval and tests.
//!
//! Every trained pair of models answers every image, so seeds and images are crossed and the variance of the mean difference is
//! the sum of a part for the seeds and a part for the images (Dorfman, Berbaum and Metz 1992, with the degrees of freedom of
//! Hillis 2007). With fewer than three seeds nothing is known of the first part: the difference is then that of the models that
//! were trained, and its error that of the images alone.

use frostline_results::Marks;
use statrs::distribution::{ContinuousCDF, StudentsT};

/// Seeds from which on something can be said of others than were used.
pub const ENOUGH_SEEDS: usize = 3;

/// The mean difference of two arms' accuracies over the same seeds and images, in [-1, 1], and what it is uncertain by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Crossed {
    /// The first arm's mean accuracy less the second's.
    pub mean: f64,
    /// The standard error of the mean.
    pub error: f64,
    /// The degrees of freedom of the error.
    pub freedom: f64,
    /// Seeds that both arms have.
    pub seeds: usize,
    /// Test images.
    pub images: usize,
    /// What the seeds add to the variance of a mean over one seed; none of one seed.
    by_seed: Option<f64>,
    /// What the images add to the variance, however many seeds there are.
    by_image: f64,
}

/// What would settle the order of two arms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needed {
    /// So many seeds, on as many images.
    Seeds(usize),
    /// No number of seeds on so few images.
    Images,
}

/// What the answers of two arms to each image come to, over their common seeds.
pub(crate) struct Answered {
    /// By seed, the images that the first arm alone was right on, and that the second was.
    pub(crate) only: Vec<(usize, usize)>,
    /// How many images have which sum over the seeds of right (1) and wrong (0) answers of the first less those of the second:
    /// from minus the number of seeds up to it.
    pub(crate) sums: Vec<usize>,
    pub(crate) images: usize,
}

impl Answered {
    /// Of pairs of trials on the same images.
    pub(crate) fn of(pairs: &[(&Marks, &Marks)]) -> Self {
        let (seeds, images) = (pairs.len(), pairs.first().map_or(0, |(a, _)| a.len()));
        let (mut only, mut sums) = (vec![(0, 0); seeds], vec![0; 2 * seeds + 1]);
        for word in 0..images.div_ceil(64) {
            let mut any = 0u64;
            for ((a, b), only) in pairs.iter().zip(&mut only) {
                let (a, b) = (a.words()[word], b.words()[word]);
                only.0 += (a & !b).count_ones() as usize;
                only.1 += (b & !a).count_ones() as usize;
                any |= a ^ b;
            }
            while any != 0 {
                let bit = any.trailing_zeros();
                let of = |marks: &Marks| (marks.words()[word] >> bit & 1) as usize;
                let sum = pairs.iter().fold(seeds, |sum, (a, b)| sum + of(a) - of(b));
                sums[sum] += 1;
                any &= any - 1;
            }
        }
        sums[seeds] += images - sums.iter().sum::<usize>();
        Self { only, sums, images }
    }

    /// The differences of accuracy, by seed.
    pub(crate) fn by_seed(&self) -> Vec<f64> {
        let difference = |&(a, b): &(usize, usize)| (a as f64 - b as f64) / self.images as f64;
        self.only.iter().map(difference).collect()
    }

    /// A sum over the images of a function of their mean difference over the seeds.
    pub(crate) fn over_images(&self, of: impl Fn(f64) -> f64) -> f64 {
        let seeds = self.only.len() as f64;
        let each = self.sums.iter().enumerate();
        each.map(|(sum, &images)| images as f64 * of((sum as f64 - seeds) / seeds)).sum()
    }
}

impl Crossed {
    /// None without a common seed, or of fewer than two images.
    pub(crate) fn of(answered: &Answered) -> Option<Self> {
        let (seeds, images) = (answered.only.len(), answered.images);
        if seeds == 0 || images < 2 {
            return None;
        }
        let (k, n, by_seed) = (seeds as f64, images as f64, answered.by_seed());
        let mean = by_seed.iter().sum::<f64>() / k;
        // Mean squares of seeds, images and what is left.
        let of_images = k * answered.over_images(|d| (d - mean).powi(2)) / (n - 1.0);
        let squares = n * by_seed.iter().map(|d| (d - mean).powi(2)).sum::<f64>();
        let all = answered.only.iter().map(|(a, b)| (a + b) as f64).sum::<f64>() - k * n * mean * mean;
        let left = (all - squares - of_images * (n - 1.0)).max(0.0);
        let fixed = of_images / (k * n);
        if seeds < 2 {
            let none = Self {
                mean,
                error: fixed.sqrt(),
                freedom: n - 1.0,
                seeds,
                images,
                by_seed: None,
                by_image: fixed,
            };
            return Some(none);
        }
        let of_seeds = squares / (k - 1.0);
        let beyond = (of_images - left / ((k - 1.0) * (n - 1.0))).max(0.0);
        let parts = (of_seeds / n, beyond / (k * n));
        let (error, freedom) = if seeds < ENOUGH_SEEDS {
            (fixed.sqrt(), n - 1.0)
        } else {
            (((of_seeds + beyond) / (k * n)).sqrt(), freedom(of_seeds, beyond, k))
        };
        Some(Self { mean, error, freedom, seeds, images, by_seed: Some(parts.0), by_image: parts.1 })
    }

    /// The second less the first.
    pub(crate) fn reversed(self) -> Self {
        Self { mean: -self.mean, ..self }
    }

    /// Whether it speaks of arms, and not of the models alone that were trained.
    pub fn is_of_arms(&self) -> bool {
        self.seeds >= ENOUGH_SEEDS
    }

    /// The interval at a level in (0, 1), for instance 0.95, by Student's t.
    pub fn interval(&self, level: f64) -> (f64, f64) {
        let half = quantile(0.5 + level / 2.0, self.freedom) * self.error;
        (self.mean - half, self.mean + half)
    }

    /// How likely a difference at least so far from 0 is where there is none, by Student's t.
    pub fn p(&self) -> f64 {
        2.0 * self.beyond(self.mean.abs())
    }

    /// How likely both one-sided tests are passed where the arms differ by `margin`: below 0.05 they are equivalent within it
    /// (Schuirmann 1987).
    pub fn equivalence(&self, margin: f64) -> f64 {
        self.beyond(margin - self.mean.abs())
    }

    /// How likely a mean is to lie further out than `by` above what it estimates.
    fn beyond(&self, by: f64) -> f64 {
        if self.error == 0.0 {
            return if by > 0.0 { 0.0 } else { 0.5 };
        }
        distribution(self.freedom).map_or(1.0, |t| t.sf(by / self.error))
    }

    /// How many seeds would tell the arms apart in four of five experiments (at 5 %), if their difference and variances are as
    /// they seem. None of one seed, and where there is no difference.
    pub fn needed(&self) -> Option<Needed> {
        const MOST: usize = 1000;
        let by_seed = self.by_seed.filter(|_| self.mean != 0.0)?;
        let enough = |seeds: usize| {
            let (of_seeds, of_images) = (by_seed / seeds as f64, self.by_image);
            let freedom = freedom(of_seeds, of_images, seeds as f64);
            let reach = quantile(0.975, freedom) + quantile(0.8, freedom);
            self.mean.abs() >= reach * (of_seeds + of_images).sqrt()
        };
        if !enough(MOST) {
            return Some(Needed::Images);
        }
        // More seeds are never worse, so the least is found by halving.
        let (mut few, mut many) = (1, MOST);
        while many - few > 1 {
            let middle = usize::midpoint(few, many);
            if enough(middle) { many = middle } else { few = middle }
        }
        Some(Needed::Seeds(many))
    }
}

/// Hillis's degrees of freedom of a sum whose first part has `seeds - 1` and whose second part is known well.
fn freedom(of_seeds: f64, beyond: f64, seeds: f64) -> f64 {
    if of_seeds == 0.0 {
        return 1e6; // as good as normal
    }
    ((seeds - 1.0) * ((of_seeds + beyond) / of_seeds).powi(2)).min(1e6)
}

fn distribution(freedom: f64) -> Option<StudentsT> {
    StudentsT::new(0.0, 1.0, freedom).ok()
}

fn quantile(share: f64, freedom: f64) -> f64 {
    distribution(freedom).map_or(f64::INFINITY, |t| t.inverse_cdf(share))
}
