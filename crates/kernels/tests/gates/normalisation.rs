//! Batch norm: by the batch's statistics and by given ones, with and without residual and ReLU.

use candle_core::{Result, Tensor, Var};
use frostline_kernels::{BatchStatistics, Hwnc, NormSpec, Normalisation, Tape, update_running};
use proptest::prelude::*;

use super::harness::{Array, Case, batch_norm, close, device, hold, numbers, properties};
use super::oracle;

/// For those who run them elsewhere than as tests.
pub(crate) const GATES: &[super::session::Gate] = &[
    ("named shapes", named_shapes),
    ("random shapes", random_shapes),
    ("statistics survive a large mean", statistics_survive_a_large_mean),
    (
        "running statistics move by the momentum and the unbiased variance",
        running_statistics_move_by_the_momentum_and_the_unbiased_variance,
    ),
    (
        "a frozen layer passes gradients through and gets none",
        a_frozen_layer_passes_gradients_through_and_gets_none,
    ),
];

fn inputs((h, w, n, c): (usize, usize, usize, usize), residual: bool, seed: u64) -> Vec<Array> {
    // Far from zero mean and unit variance, so that cancellation would show.
    let mut list = vec![
        Array::noise(&[h, w, n, c], seed).map(|x| 5.0 + 2.0 * x),
        Array::noise(&[c], seed + 1).map(|x| 1.0 + 0.5 * x),
        Array::noise(&[c], seed + 2),
    ];
    if residual {
        list.push(Array::noise(&[h, w, n, c], seed + 3));
    }
    list
}

/// A mean and a variance that are not the batch's.
fn given(c: usize, seed: u64) -> (Array, Array) {
    (Array::noise(&[c], seed + 4).map(|x| 5.0 + x), Array::noise(&[c], seed + 5).map(|x| 1.1 + x))
}

/// The next seed for which no value meets ReLU so close to zero that rounding decides about its gradient.
fn away_from_the_kink(shape: (usize, usize, usize, usize), residual: bool, seed: u64) -> u64 {
    let clear = |seed: &u64| {
        let t = inputs(shape, residual, *seed);
        let own = oracle::moments(&t[0]);
        let (mean, variance) = given(shape.3, *seed);
        [(&own.0, &own.1), (&mean.values, &variance.values)].iter().all(|(mean, variance)| {
            let y = oracle::normalise(&t[0], (mean, variance), (&t[1], &t[2]), t.get(3), 1e-5, false);
            y.values.iter().all(|value| value.abs() > 4e-6)
        })
    };
    (seed..).find(clear).unwrap()
}

fn check(shape: (usize, usize, usize, usize), residual: bool, relu: bool, seed: u64) {
    let spec = NormSpec { eps: 1e-5, relu };
    let seed = if relu { away_from_the_kink(shape, residual, seed) } else { seed };
    let residual_of = |t: &[Tensor]| t.get(3).map(|t| Hwnc::new(t.clone())).transpose();
    let (mean, variance) = given(shape.3, seed);
    let (mean_tensor, variance_tensor) = (mean.tensor(), variance.tensor());
    let run = |frozen: bool, composed: bool| {
        let running = frozen.then_some((&mean_tensor, &variance_tensor));
        move |t: &[Tensor]| -> Result<Tensor> {
            let norm = Normalisation { gamma: &t[1], beta: &t[2], running, spec };
            let (y, _) = batch_norm(&Hwnc::new(t[0].clone())?, norm, residual_of(t)?.as_ref(), composed)?;
            Ok(y.into_tensor())
        }
    };
    hold(&Case {
        name: format!("batch norm of {shape:?}, residual {residual}, relu {relu}"),
        inputs: inputs(shape, residual, seed),
        here: &run(false, false),
        composed: &run(false, true),
        oracle: &|t| {
            let (mean, variance) = oracle::moments(&t[0]);
            oracle::normalise(&t[0], (&mean, &variance), (&t[1], &t[2]), t.get(3), spec.eps, relu)
        },
    });
    hold(&Case {
        name: format!("frozen batch norm of {shape:?}, residual {residual}, relu {relu}"),
        inputs: inputs(shape, residual, seed),
        here: &run(true, false),
        composed: &run(true, true),
        oracle: &|t| {
            let moments = (&mean.values[..], &variance.values[..]);
            oracle::normalise(&t[0], moments, (&t[1], &t[2]), t.get(3), spec.eps, relu)
        },
    });
}

#[cfg_attr(test, test)]
fn named_shapes() {
    for (index, shape) in [
        (4, 4, 4, 4),
        (3, 5, 2, 7),
        (1, 1, 5, 33),
        (1, 3, 1, 41),
        // Several blocks of rows: values and channels that do not fill them.
        (7, 9, 5, 70),
        (25, 10, 9, 3),
    ]
    .into_iter()
    .enumerate()
    {
        for (residual, relu) in [(false, false), (false, true), (true, false), (true, true)] {
            check(shape, residual, relu, 10 * index as u64);
        }
    }
}

proptest! {
    #![proptest_config(properties(48))]
    #[cfg_attr(test, test)]
    fn random_shapes(
        shape in (1usize..7, 1usize..7, 1usize..5, 1usize..50),
        residual: bool,
        relu: bool,
        seed in 0u64..1_000_000,
    ) {
        // Two values have the variance of their distance alone: everything cancels in the gradient.
        prop_assume!(shape.0 * shape.1 * shape.2 > 2);
        check(shape, residual, relu, seed);
    }
}

#[cfg_attr(test, test)]
fn statistics_survive_a_large_mean() {
    // A thousand deviations away from zero, sums of squares alone would lose the variance.
    let x = Array::noise(&[6, 7, 30, 5], 9).map(|x| 1000.0 + x);
    let ones = Tensor::ones(5, candle_core::DType::F32, &device()).unwrap();
    let spec = NormSpec { eps: 1e-5, relu: false };
    let norm = Normalisation { gamma: &ones, beta: &ones, running: None, spec };
    let (_, statistics) = batch_norm(&Hwnc::new(x.tensor()).unwrap(), norm, None, false).unwrap();
    let statistics = statistics.unwrap();
    let (mean, variance) = oracle::moments(&x);
    close("mean", &numbers(&statistics.mean), &mean);
    close("variance", &numbers(&statistics.variance), &variance);
    assert_eq!(statistics.count, 6 * 7 * 30);
}

#[cfg_attr(test, test)]
fn running_statistics_move_by_the_momentum_and_the_unbiased_variance() {
    let vector = |values: &[f32]| Tensor::new(values, &device()).unwrap();
    let mean = Var::from_tensor(&vector(&[0.0, 1.0])).unwrap();
    let variance = Var::from_tensor(&vector(&[1.0, 2.0])).unwrap();
    let batch = BatchStatistics { mean: vector(&[10.0, 1.0]), variance: vector(&[3.0, 0.0]), count: 4 };
    update_running(&mean, &variance, &batch, 0.25).unwrap();
    assert_eq!(numbers(&mean), [2.5, 1.0]);
    assert_eq!(numbers(&variance), [0.75 + 0.25 * 4.0, 1.5]);
}

#[cfg_attr(test, test)]
fn a_frozen_layer_passes_gradients_through_and_gets_none() {
    let x = Var::from_tensor(&Array::noise(&[2, 3, 4, 5], 1).tensor()).unwrap();
    let gamma = Array::noise(&[5], 2).map(|x| 2.0 + x).tensor();
    let zeros = gamma.zeros_like().unwrap();
    let ones = gamma.ones_like().unwrap();
    let spec = NormSpec { eps: 0.0, relu: false };
    let hwnc = Hwnc::new(x.as_tensor().clone()).unwrap();
    let norm = Normalisation { gamma: &gamma, beta: &zeros, running: Some((&zeros, &ones)), spec };
    let (y, tape) = Tape::record(|| batch_norm(&hwnc, norm, None, false)).unwrap();
    let store = tape.backward_from(y.0.tensor(), &y.0.tensor().ones_like().unwrap()).unwrap();
    let expected: Vec<f32> = (0..2 * 3 * 4).flat_map(|_| numbers(&gamma)).collect();
    assert_eq!(numbers(&store.get(&x).unwrap().tensor().unwrap()), expected);
    assert!(store.get(&gamma).is_none());
}
