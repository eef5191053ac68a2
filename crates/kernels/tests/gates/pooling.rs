//! Pooling: windows that overlap, leave gaps, leave the input, or do not divide it.

use candle_core::{Result, Tensor};
use frostline_kernels::{
    Hwnc, PoolSpec, Tape, adaptive_avg_pool2d, avg_pool2d, composed, global_avg_pool, max_pool2d, pool_output,
};
use proptest::prelude::*;

use super::harness::{Array, Case, hold, properties};
use super::oracle;

/// For those who run them elsewhere than as tests.
pub(crate) const GATES: &[super::session::Gate] = &[
    ("named windows", named_windows),
    ("adaptive windows", adaptive_windows),
    ("global pooling is the mean of all pixels", global_pooling_is_the_mean_of_all_pixels),
    (
        "the first of equal values gets the gradient and nan wins",
        the_first_of_equal_values_gets_the_gradient_and_nan_wins,
    ),
    ("output sizes follow pytorch", output_sizes_follow_pytorch),
    ("random windows", random_windows),
    ("random sizes", random_sizes),
];

type Shape = (usize, usize, usize, usize);
type Pool = fn(&Hwnc, PoolSpec) -> Result<Hwnc>;

fn noise((h, w, n, c): Shape, seed: u64) -> Array {
    Array::noise(&[h, w, n, c], seed)
}

fn check(shape: Shape, spec: PoolSpec, seed: u64) {
    let run = |f: Pool| move |t: &[Tensor]| Ok(f(&Hwnc::new(t[0].clone())?, spec)?.into_tensor());
    let largest = |values: &[f64], _: usize| values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    hold(&Case {
        name: format!("max pooling of {shape:?}, {spec:?}"),
        inputs: vec![noise(shape, seed)],
        here: &run(max_pool2d),
        composed: &run(composed::max_pool2d),
        oracle: &|t| oracle::pool(&t[0], spec, &largest),
    });
    hold(&Case {
        name: format!("average pooling of {shape:?}, {spec:?}"),
        inputs: vec![noise(shape, seed)],
        here: &run(avg_pool2d),
        composed: &run(composed::avg_pool2d),
        oracle: &|t| oracle::pool(&t[0], spec, &|values, count| values.iter().sum::<f64>() / count as f64),
    });
}

fn check_adaptive(shape: Shape, size: (usize, usize), seed: u64) {
    hold(&Case {
        name: format!("adaptive average pooling of {shape:?} to {size:?}"),
        inputs: vec![noise(shape, seed)],
        here: &|t| Ok(adaptive_avg_pool2d(&Hwnc::new(t[0].clone())?, size)?.into_tensor()),
        composed: &|t| Ok(composed::adaptive_avg_pool2d(&Hwnc::new(t[0].clone())?, size)?.into_tensor()),
        oracle: &|t| oracle::adaptive(&t[0], size),
    });
}

#[cfg_attr(test, test)]
fn named_windows() {
    let spec = |kernel, stride, padding, ceil, count_include_pad| PoolSpec {
        kernel,
        stride,
        padding,
        ceil,
        count_include_pad,
    };
    let cases = [
        // ResNet's, AlexNet's and GoogLeNet's.
        ((9, 7, 2, 5), spec((3, 3), (2, 2), (1, 1), false, true)),
        ((8, 9, 2, 5), spec((3, 3), (2, 2), (0, 0), false, true)),
        ((8, 7, 2, 5), spec((3, 3), (2, 2), (0, 0), true, false)),
        ((5, 5, 5, 5), spec((3, 3), (1, 1), (1, 1), false, true)),
        // Those of GoogLeNet's and Inception's branches, and of Inception's auxiliary head.
        ((7, 4, 2, 5), spec((3, 3), (1, 1), (1, 1), true, true)),
        ((6, 5, 2, 5), spec((3, 3), (1, 1), (1, 1), false, true)),
        ((2, 2, 2, 5), spec((2, 2), (2, 2), (0, 0), true, true)),
        ((1, 5, 2, 5), spec((2, 2), (2, 2), (0, 0), true, true)),
        ((9, 12, 2, 3), spec((5, 5), (3, 3), (0, 0), false, true)),
        // Gaps between windows, and windows that differ in both directions.
        ((9, 8, 2, 3), spec((2, 1), (3, 2), (0, 0), false, true)),
        ((6, 9, 1, 4), spec((4, 2), (1, 3), (2, 1), true, true)),
        // A last window that would start behind the input is dropped; one in ceil mode that starts in it is cut.
        ((5, 4, 2, 3), spec((2, 2), (2, 2), (1, 1), true, true)),
        ((3, 3, 2, 3), spec((2, 2), (3, 3), (1, 1), true, false)),
        ((1, 2, 2, 3), spec((3, 3), (3, 3), (0, 1), true, true)),
        ((1, 1, 1, 1), spec((1, 1), (1, 1), (0, 0), false, true)),
        // Pixels of several parts.
        ((3, 4, 9, 501), spec((2, 2), (1, 2), (1, 0), false, false)),
    ];
    for (index, (shape, spec)) in cases.into_iter().enumerate() {
        check(shape, spec, 10 * index as u64);
    }
}

#[cfg_attr(test, test)]
fn adaptive_windows() {
    for (shape, size) in [
        ((1, 1, 2, 3), (6, 6)),
        ((7, 5, 2, 3), (3, 2)),
        ((3, 4, 2, 3), (6, 7)),
        ((2, 3, 2, 3), (7, 7)),
        ((5, 7, 3, 2), (1, 1)),
        ((13, 13, 2, 2), (6, 6)),
    ] {
        check_adaptive(shape, size, 5);
    }
}

#[cfg_attr(test, test)]
fn global_pooling_is_the_mean_of_all_pixels() {
    hold(&Case {
        name: "global average pooling".into(),
        inputs: vec![Array::noise(&[3, 5, 2, 7], 3)],
        here: &|t| global_avg_pool(&Hwnc::new(t[0].clone())?),
        composed: &|t| {
            composed::adaptive_avg_pool2d(&Hwnc::new(t[0].clone())?, (1, 1))?.tensor().reshape((2, 7))
        },
        oracle: &|t| Array { dims: vec![2, 7], ..oracle::adaptive(&t[0], (1, 1)) },
    });
}

#[cfg_attr(test, test)]
fn the_first_of_equal_values_gets_the_gradient_and_nan_wins() {
    let device = super::harness::device();
    let x = Tensor::from_vec(vec![1f32, 1.0, 1.0, 1.0], (2, 2, 1, 1), &device).unwrap();
    let spec = PoolSpec::square(2, 2, 0);
    for pool in [max_pool2d as Pool, composed::max_pool2d as Pool] {
        let var = candle_core::Var::from_tensor(&x).unwrap();
        let forward = || pool(&Hwnc::new(var.as_tensor().clone())?, spec);
        let (y, tape) = Tape::record(forward).unwrap();
        let store = tape.backward_from(y.tensor(), &y.tensor().ones_like().unwrap()).unwrap();
        assert_eq!(
            super::harness::numbers(&store.get(&var).unwrap().tensor().unwrap()),
            [1.0, 0.0, 0.0, 0.0]
        );
        for place in 0..4 {
            let mut values = vec![1f32, 2.0, 3.0, 4.0];
            values[place] = f32::NAN;
            let x = Hwnc::from_vec(values, (2, 2, 1, 1), &device).unwrap();
            assert!(super::harness::numbers(pool(&x, spec).unwrap().tensor())[0].is_nan());
        }
    }
}

#[cfg_attr(test, test)]
fn output_sizes_follow_pytorch() {
    assert_eq!(pool_output(7, 3, 2, 1, false), Some(4));
    assert_eq!(pool_output(8, 3, 2, 0, true), Some(4));
    assert_eq!(pool_output(5, 2, 2, 1, true), Some(3));
    assert_eq!(pool_output(1, 3, 3, 0, true), Some(1));
    assert_eq!(pool_output(1, 3, 2, 0, true), None);
    assert_eq!(pool_output(1, 3, 2, 0, false), None);
    assert_eq!(pool_output(0, 1, 1, 0, false), None);
}

proptest! {
    #![proptest_config(properties(64))]
    #[cfg_attr(test, test)]
    fn random_windows(
        shape in (1usize..9, 1usize..9, 1usize..4, 1usize..6),
        kernel in (1usize..5, 1usize..5),
        stride in (1usize..5, 1usize..5),
        padding in (0usize..3, 0usize..3),
        ceil: bool,
        count_include_pad: bool,
        seed in 0u64..1_000_000,
    ) {
        prop_assume!(2 * padding.0 <= kernel.0 && 2 * padding.1 <= kernel.1);
        prop_assume!(pool_output(shape.0, kernel.0, stride.0, padding.0, ceil).is_some());
        prop_assume!(pool_output(shape.1, kernel.1, stride.1, padding.1, ceil).is_some());
        check(shape, PoolSpec { kernel, stride, padding, ceil, count_include_pad }, seed);
    }

    #[cfg_attr(test, test)]
    fn random_sizes(
        shape in (1usize..9, 1usize..9, 1usize..4, 1usize..6),
        size in (1usize..9, 1usize..9),
        seed in 0u64..1_000_000,
    ) {
        check_adaptive(shape, size, seed);
    }
}
