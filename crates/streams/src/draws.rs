//! What can be drawn from a stream: [`Draws`], with integers, uniform and normal numbers, and shuffles.
//! Each method says how much of the stream it uses, so that stored draws stay what they are.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// One open stream. Reading it changes nothing but itself.
#[derive(Clone, Debug)]
pub struct Draws {
    generator: ChaCha8Rng,
}

impl Draws {
    pub(crate) fn new(generator: ChaCha8Rng) -> Self {
        Self { generator }
    }

    /// 32 uniform bits; uses one word.
    pub fn u32(&mut self) -> u32 {
        self.generator.next_u32()
    }

    /// 64 uniform bits; uses two words.
    pub fn u64(&mut self) -> u64 {
        self.generator.next_u64()
    }

    /// True with probability 1/2; uses one word.
    pub fn coin(&mut self) -> bool {
        self.u32() >> 31 == 1
    }

    /// Uniform in `0..n`, without bias (Lemire 2019); uses one word, seldom more. `below(0)` is 0.
    pub fn below(&mut self, n: u32) -> u32 {
        let threshold = if n == 0 { 0 } else { n.wrapping_neg() % n };
        loop {
            let product = u64::from(self.u32()) * u64::from(n);
            if product as u32 >= threshold {
                return (product >> 32) as u32;
            }
        }
    }

    /// Uniform in [0, 1) with 24 bits; uses one word.
    pub fn unit(&mut self) -> f32 {
        (self.u32() >> 8) as f32 * (1.0 / (1u32 << 24) as f32)
    }

    /// Uniform in [low, high); uses one word.
    pub fn uniform(&mut self, low: f32, high: f32) -> f32 {
        (low + (high - low) * self.unit()).min(high.next_down())
    }

    /// Normal with mean 0 and standard deviation 1 (Box and Muller 1958, the cosine half); uses two words.
    pub fn normal(&mut self) -> f32 {
        let radius = (-2.0 * f64::ln(1.0 - f64::from(self.unit()))).sqrt();
        (radius * (std::f64::consts::TAU * f64::from(self.unit())).cos()) as f32
    }

    /// Between 0 and 1, with both parameters of a beta distribution `alpha`, greater than 0; uses six words or more.
    pub fn beta(&mut self, alpha: f64) -> f64 {
        let (one, other) = (self.log_gamma(alpha), self.log_gamma(alpha));
        1.0 / (1.0 + (other - one).exp())
    }

    /// The logarithm of a gamma-distributed number of this shape and scale 1 (Marsaglia and Tsang 2000).
    fn log_gamma(&mut self, shape: f64) -> f64 {
        // Of a shape below 1, the number of the shape one greater times a power of a uniform one, which may be too small for a number.
        let least = 1.0 - f64::from(self.unit());
        let (shape, factor) = if shape < 1.0 { (shape + 1.0, least.ln() / shape) } else { (shape, 0.0) };
        let d = shape - 1.0 / 3.0;
        loop {
            let x = f64::from(self.normal());
            let v = (1.0 + x / (9.0 * d).sqrt()).powi(3);
            let u = 1.0 - f64::from(self.unit());
            if v > 0.0 && u.ln() < 0.5 * x * x + d - d * v + d * v.ln() {
                return (d * v).ln() + factor;
            }
        }
    }

    /// Puts `items` in a uniformly random order (Fisher and Yates); uses one word an item, seldom more.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let n = u32::try_from(last + 1).unwrap_or(u32::MAX);
            items.swap(last, self.below(n) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn draws() -> Draws {
        Draws::new(ChaCha8Rng::seed_from_u64(1))
    }

    #[test]
    fn below_is_uniform() {
        let (mut draws, mut counts) = (draws(), [0u32; 7]);
        for _ in 0..70_000 {
            counts[draws.below(7) as usize] += 1;
        }
        // Standard deviation of a count: sqrt(70000/7 * 6/7) = 93.
        assert!(counts.iter().all(|&c| c.abs_diff(10_000) < 400), "{counts:?}");
        assert_eq!((draws.below(1), draws.below(0)), (0, 0));
    }

    #[test]
    fn uniform_and_normal_have_their_moments() {
        let mut draws = draws();
        let n = 100_000;
        let uniform: Vec<f64> = (0..n).map(|_| f64::from(draws.uniform(-3.0, 1.0))).collect();
        let normal: Vec<f64> = (0..n).map(|_| f64::from(draws.normal())).collect();
        let moments = |v: &[f64]| {
            let mean = v.iter().sum::<f64>() / n as f64;
            (mean, v.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64)
        };
        let (mean, variance) = moments(&uniform);
        assert!((mean + 1.0).abs() < 0.02 && (variance - 16.0 / 12.0).abs() < 0.02);
        assert!(uniform.iter().all(|x| (-3.0..1.0).contains(x)));
        let (mean, variance) = moments(&normal);
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.02);
    }

    #[test]
    fn beta_has_its_moments_however_small_its_parameters() {
        let mut draws = draws();
        let n = 40_000;
        for alpha in [1e-3, 0.2, 1.0, 2.5, 100.0] {
            let values: Vec<f64> = (0..n).map(|_| draws.beta(alpha)).collect();
            assert!(values.iter().all(|value| (0.0..=1.0).contains(value)), "{alpha}");
            let mean = values.iter().sum::<f64>() / n as f64;
            let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64;
            let expected = 1.0 / (4.0 * (2.0 * alpha + 1.0));
            // Standard deviation of the mean: at most 0.5 / sqrt(40000) = 0.0025; of the variance less than 0.001 and 1 % of it.
            assert!((mean - 0.5).abs() < 0.01, "{alpha}: {mean}");
            assert!((variance - expected).abs() < 0.004_f64.min(0.04 * expected), "{alpha}: {variance}");
        }
    }

    #[test]
    fn shuffle_keeps_every_item() {
        let mut items: Vec<u32> = (0..100).collect();
        draws().shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}
