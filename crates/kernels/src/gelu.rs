//! GELU (Hendrycks & Gimpel, 2016, arXiv:1606.08415) with the exact error function, `x · Φ(x)`, and its slope.
//!
//! The entry is [`gelu`]. The normal distribution's tail and its density share one exponential: the tail is
//! `exp(-x²/2) · t · p(t)` with `t = 1 / (1 + 0.375·|x|)`, and `p` is fitted for the least relative error, which in
//! single precision is 2.5e-7. All of it is plain arithmetic, which compilers turn into vectors.

use candle_core::{Result, Tensor};

use crate::activation::{Slope, at_each};
use crate::precision::Number;
use crate::{composed, storage, tasks};

/// `x · Φ(x)` at every value of a tensor of any shape, with Φ the standard normal distribution.
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    match storage::runs_here(x) {
        true => at_each(x, Gelu),
        false => composed::gelu(x),
    }
}

pub(crate) struct Gelu;

impl Slope for Gelu {
    #[inline(always)]
    fn value(&self, x: f32) -> f32 {
        x * normal(x).0
    }

    #[inline(always)]
    fn back(&self, x: f32, _y: f32, dy: f32) -> f32 {
        let (below, density) = normal(x);
        dy * (below + x * density)
    }
}

tasks::vectorised! {
    /// `gelu(y + bias)`, put where `y` was.
    pub(crate) fn with_bias<'a>(y: &'a mut [f32], bias: &'a [f32]) {
        for (y, bias) in y.iter_mut().zip(bias) {
            let x = *y + bias;
            *y = x * normal(x).0;
        }
    }
}

tasks::vectorised! {
    /// As [`with_bias`], with the slope of GELU there.
    pub(crate) fn with_bias_and_slope<'a, T: Number>(y: &'a mut [f32], bias: &'a [f32], slope: &'a mut [T]) {
        for ((y, bias), slope) in y.iter_mut().zip(bias).zip(slope) {
            let x = *y + bias;
            let (below, density) = normal(x);
            *y = x * below;
            *slope = T::nearest(below + x * density);
        }
    }
}

/// The coefficients of `p`, from the constant on.
const TAIL: [f32; 10] = [
    0.149_591_62,
    0.149_914_94,
    0.125_002_26,
    0.109_526_34,
    -0.060_544_115,
    0.224_230_27,
    -0.434_976_85,
    0.3534345,
    -0.137_802_45,
    0.021_623_464,
];

/// The standard normal distribution and its density at `x`.
#[inline(always)]
fn normal(x: f32) -> (f32, f32) {
    let distance = x.abs();
    let falling = exp(-0.5 * distance * distance);
    let t = 1.0 / (1.0 + 0.375 * distance);
    let mut p = TAIL[TAIL.len() - 1];
    for coefficient in TAIL.iter().rev().skip(1) {
        p = p * t + coefficient;
    }
    let tail = falling * (t * p);
    let below = if x < 0.0 { tail } else { 1.0 - tail };
    (below, falling * 0.398_942_3)
}

/// The exponential for arguments in -87..=88, and its value at the nearer end beyond. The relative error is 2e-7: a power
/// of two times a polynomial of degree 7 over half an octave to each side.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    /// Added to a small number, it leaves the nearest integer in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    const OCTAVE: (f32, f32) = (0.693_359_4, -2.121_944_4e-4);
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let octaves = shifted - ROUND;
    let r = (x - octaves * OCTAVE.0) - octaves * OCTAVE.1;
    let mut p = 1.0 / 5040.0;
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        p = p * r + coefficient;
    }
    p * f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Φ by its series near zero and its continued fraction in the tails, in double precision.
    fn distribution(x: f64) -> f64 {
        let density = (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
        if x.abs() < 3.0 {
            let mut term = x;
            let mut sum = x;
            for n in 1..100 {
                term *= x * x / (2.0 * f64::from(n) + 1.0);
                sum += term;
            }
            return 0.5 + density * sum;
        }
        let fraction = (1..200).rev().fold(x.abs(), |below, n| x.abs() + f64::from(n) / below);
        if x < 0.0 { density / fraction } else { 1.0 - density / fraction }
    }

    #[test]
    fn the_exponential_is_right_to_the_last_bits() {
        for step in -8700..=8800 {
            let x = step as f32 / 100.0;
            let expected = f64::from(x).exp();
            assert!((f64::from(exp(x)) / expected - 1.0).abs() < 2.5e-7, "exp({x}) is {}", exp(x));
        }
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(f32::NEG_INFINITY) < 2e-38 && exp(f32::NAN).is_nan());
    }

    #[test]
    fn the_distribution_is_right_far_into_its_tails() {
        for step in -1200..=1200 {
            let x = step as f32 / 100.0;
            let (below, density) = normal(x);
            let expected = distribution(f64::from(x));
            // The square of x rounds, so the exponential of its half is off by as many last bits.
            let tolerance = 5e-7 + 6e-8 * f64::from(x * x);
            assert!(
                (f64::from(below) / expected - 1.0).abs() < tolerance,
                "Φ({x}) is {below}, not {expected}"
            );
            let expected = (-0.5 * f64::from(x).powi(2)).exp() / (2.0 * std::f64::consts::PI).sqrt();
            assert!((f64::from(density) / expected - 1.0).abs() < tolerance, "φ({x}) is {density}");
        }
        assert!(normal(f32::NAN).0.is_nan());
    }
}
