//! Tests of hypotheses: [`mcnemar`] for two models on the same images, [`holm`] for several tests at once.

use statrs::distribution::{Binomial, DiscreteCDF};

/// McNemar's exact test: how likely two models that are as often right as each other disagree at least so one-sidedly, where of
/// the images that one of them alone is right on, `only_a` are the first's and `only_b` the second's (McNemar 1947). Two-sided,
/// in [0, 1].
pub fn mcnemar(only_a: usize, only_b: usize) -> f64 {
    let (fewer, all) = (only_a.min(only_b) as u64, (only_a + only_b) as u64);
    match Binomial::new(0.5, all) {
        Ok(binomial) if all > 0 => (2.0 * binomial.cdf(fewer)).min(1.0),
        _ => 1.0,
    }
}

/// The p-values that each of several tests has where all of them are made: at most the wanted share of families has an error in
/// it (Holm 1979). In the order of `p`.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let (mut adjusted, mut least) = (vec![1.0; p.len()], 0.0f64);
    for (rank, index) in order.into_iter().enumerate() {
        least = least.max(p[index] * (p.len() - rank) as f64).min(1.0);
        adjusted[index] = least;
    }
    adjusted
}
