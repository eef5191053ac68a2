//! Linear layers, ReLU, dropout, flattening and the loss.

use candle_core::{Tensor, Var};
use frostline_kernels::{
    Hwnc, Tape, composed, cross_entropy, dropout, flatten_hwc, linear, mean_squared_error,
    mixed_cross_entropy, relu, relu_2d, sum_copies, weighted_cross_entropy,
};
use proptest::prelude::*;

use super::harness::{Array, Case, device, hold, numbers, properties};
use super::oracle;

/// For those who run them elsewhere than as tests.
pub(crate) const GATES: &[super::session::Gate] = &[
    ("linear of random shapes", linear_of_random_shapes),
    ("sums over copies of random shapes", sums_over_copies_of_random_shapes),
    ("losses of random shapes", losses_of_random_shapes),
    ("losses of mixtures", losses_of_mixtures),
    ("squared errors in one block and in several", squared_errors_in_one_block_and_in_several),
    ("rows are maps of one pixel", rows_are_maps_of_one_pixel),
    ("linear in blocks of rows and columns", linear_in_blocks_of_rows_and_columns),
    ("sums over copies in blocks", sums_over_copies_in_blocks),
    ("losses of many classes", losses_of_many_classes),
    ("large logits do not overflow", large_logits_do_not_overflow),
    ("relu stops at zero and keeps nan", relu_stops_at_zero_and_keeps_nan),
    ("dropout multiplies by its mask", dropout_multiplies_by_its_mask),
    ("flattening gathers each image", flattening_gathers_each_image),
];

fn check_linear((n, inputs, outputs): (usize, usize, usize), with_bias: bool, seed: u64) {
    let mut list = vec![Array::noise(&[n, inputs], seed), Array::noise(&[inputs, outputs], seed + 1)];
    if with_bias {
        list.push(Array::noise(&[outputs], seed + 2));
    }
    hold(&Case {
        name: format!("linear of [{n}, {inputs}] with [{inputs}, {outputs}]"),
        inputs: list,
        here: &|t| linear(&t[0], &t[1], t.get(2)),
        composed: &|t| composed::linear(&t[0], &t[1], t.get(2)),
        oracle: &|t| oracle::linear(&t[0], &t[1], t.get(2)),
    });
}

/// Examples that are `share` of one and the rest of another.
fn check_mixed_loss((n, classes): (usize, usize), share: f64, smoothing: f64, seed: u64) {
    let labels =
        |by: usize| -> Vec<u32> { (0..n).map(|row| ((row * by + seed as usize) % classes) as u32).collect() };
    let (labels, others) = (labels(7), labels(3));
    hold(&Case {
        name: format!("cross-entropy of [{n}, {classes}], share {share}, smoothing {smoothing}"),
        inputs: vec![Array::noise(&[n, classes], seed).map(|x| 6.0 * x)],
        here: &|t| mixed_cross_entropy(&t[0], (&labels, &others), share, smoothing),
        composed: &|t| composed::mixed_cross_entropy(&t[0], (&labels, &others), share, smoothing),
        oracle: &|t| oracle::mixed_cross_entropy(&t[0], (&labels, &others), share, smoothing),
    });
}

fn check_loss((n, classes): (usize, usize), smoothing: f64, seed: u64) {
    let labels: Vec<u32> = (0..n).map(|row| ((row * 7 + seed as usize) % classes) as u32).collect();
    hold(&Case {
        name: format!("cross-entropy of [{n}, {classes}], smoothing {smoothing}"),
        inputs: vec![Array::noise(&[n, classes], seed).map(|x| 6.0 * x)],
        here: &|t| cross_entropy(&t[0], &labels, smoothing),
        composed: &|t| composed::cross_entropy(&t[0], &labels, smoothing),
        oracle: &|t| oracle::cross_entropy(&t[0], &labels, smoothing),
    });
}

fn check_weighted_loss((n, classes): (usize, usize), smoothing: f64, seed: u64) {
    let labels: Vec<u32> = (0..n).map(|row| ((row * 7 + seed as usize) % classes) as u32).collect();
    let weights: Vec<f64> = (0..classes).map(|class| 0.3 + (class * class % 7) as f64).collect();
    hold(&Case {
        name: format!("weighted cross-entropy of [{n}, {classes}], smoothing {smoothing}"),
        inputs: vec![Array::noise(&[n, classes], seed).map(|x| 6.0 * x)],
        here: &|t| weighted_cross_entropy(&t[0], &labels, &weights, smoothing),
        composed: &|t| composed::weighted_cross_entropy(&t[0], &labels, &weights, smoothing),
        oracle: &|t| oracle::weighted_cross_entropy(&t[0], &labels, &weights, smoothing),
    });
}

fn check_squares(dims: &[usize], seed: u64) {
    let target = Array::noise(dims, seed + 1);
    hold(&Case {
        name: format!("mean squared error of {dims:?}"),
        inputs: vec![Array::noise(dims, seed)],
        here: &|t| mean_squared_error(&t[0], &target.tensor()),
        composed: &|t| composed::mean_squared_error(&t[0], &target.tensor()),
        oracle: &|t| {
            let squares = t[0].values.iter().zip(&target.values).map(|(x, target)| (x - target).powi(2));
            Array { dims: vec![], values: vec![squares.sum::<f64>() / t[0].values.len() as f64] }
        },
    });
}

fn check_copies(
    (rows, cols): (usize, usize),
    (high, wide): (usize, usize),
    c: usize,
    outputs: usize,
    seed: u64,
) {
    let (h, w) = (rows * high, cols * wide);
    hold(&Case {
        name: format!("sums over {h}x{w} copies of {rows}x{cols}, {c} channels, {outputs} outputs"),
        inputs: vec![Array::noise(&[h * w * c, outputs], seed)],
        here: &|t| sum_copies(&t[0], (h, w), (rows, cols)),
        composed: &|t| composed::sum_copies(&t[0], (h, w), (rows, cols)),
        oracle: &|t| {
            let mut sums = Array::zeros(&[rows * cols * c, outputs]);
            for (index, weight) in t[0].values.iter().enumerate() {
                let (pixel, rest) = (index / (c * outputs), index % (c * outputs));
                let cell = pixel / w / high * cols + pixel % w / wide;
                sums.values[cell * c * outputs + rest] += weight;
            }
            sums
        },
    });
}

proptest! {
    #![proptest_config(properties(48))]
    #[cfg_attr(test, test)]
    fn linear_of_random_shapes(
        shape in (1usize..20, 1usize..40, 1usize..40),
        with_bias: bool,
        seed in 0u64..1_000_000,
    ) {
        check_linear(shape, with_bias, seed);
    }

    #[cfg_attr(test, test)]
    fn sums_over_copies_of_random_shapes(
        cells in (1usize..4, 1usize..4),
        copies in (1usize..5, 1usize..5),
        c in 1usize..9,
        outputs in 1usize..20,
        seed in 0u64..1_000_000,
    ) {
        check_copies(cells, copies, c, outputs, seed);
    }

    #[cfg_attr(test, test)]
    fn losses_of_random_shapes(
        shape in (1usize..9, 1usize..12),
        smoothing in 0.0f64..1.0,
        seed in 0u64..1_000_000,
    ) {
        check_loss(shape, smoothing, seed);
    }

    #[cfg_attr(test, test)]
    fn losses_of_mixtures(
        shape in (1usize..9, 1usize..12),
        share in 0.0f64..1.0,
        smoothing in 0.0f64..1.0,
        seed in 0u64..1_000_000,
    ) {
        check_mixed_loss(shape, share, smoothing, seed);
    }
}

#[cfg_attr(test, test)]
fn squared_errors_in_one_block_and_in_several() {
    check_squares(&[3, 5, 2, 3], 1);
    check_squares(&[1, 1, 1, 1], 2);
    check_squares(&[41, 7, 60, 3], 3);
}

#[cfg_attr(test, test)]
fn rows_are_maps_of_one_pixel() {
    hold(&Case {
        name: "rows as maps".into(),
        inputs: vec![Array::noise(&[5, 7], 1)],
        here: &|t| Ok(Hwnc::from_rows(&t[0])?.into_tensor()),
        composed: &|t| t[0].reshape((1, 1, 5, 7)),
        oracle: &|t| Array { dims: vec![1, 1, 5, 7], values: t[0].values.clone() },
    });
}

#[cfg_attr(test, test)]
fn linear_in_blocks_of_rows_and_columns() {
    check_linear((300, 24, 100), true, 1);
    check_linear((8, 16, 700), true, 2);
    check_linear((16, 16, 16), false, 3);
}

#[cfg_attr(test, test)]
fn sums_over_copies_in_blocks() {
    check_copies((1, 1), (7, 7), 70, 500, 1);
    check_copies((7, 1), (1, 7), 3, 5, 2);
    check_copies((1, 2), (3, 1), 1, 1, 3);
}

#[cfg_attr(test, test)]
fn losses_of_many_classes() {
    check_loss((70, 40), 0.1, 3);
    check_loss((3, 1000), 0.0, 4);
    check_mixed_loss((70, 40), 0.3, 0.1, 5);
    check_weighted_loss((70, 40), 0.1, 6);
    check_weighted_loss((9, 3), 0.0, 7);
}

#[cfg_attr(test, test)]
fn large_logits_do_not_overflow() {
    let logits = Tensor::new(&[[1e4f32, -1e4, 0.0]], &device()).unwrap();
    for loss in [cross_entropy, composed::cross_entropy] {
        assert_eq!(loss(&logits, &[0], 0.0).unwrap().to_scalar::<f32>().unwrap(), 0.0);
        assert_eq!(loss(&logits, &[2], 0.0).unwrap().to_scalar::<f32>().unwrap(), 1e4);
    }
}

#[cfg_attr(test, test)]
fn relu_stops_at_zero_and_keeps_nan() {
    hold(&Case {
        name: "relu".into(),
        inputs: vec![Array::noise(&[5, 7, 3, 400], 1)],
        here: &|t| Ok(relu(&Hwnc::new(t[0].clone())?)?.into_tensor()),
        composed: &|t| composed::relu(&t[0]),
        oracle: &|t| Array {
            dims: t[0].dims.clone(),
            values: t[0].values.iter().map(|x| x.max(0.0)).collect(),
        },
    });
    let x = Var::new(&[-1f32, 0.0, 2.0, f32::NAN, f32::NEG_INFINITY], &device()).unwrap();
    for relu in [relu_2d, composed::relu] {
        let (y, tape) = Tape::record(|| relu(&x)).unwrap();
        assert_eq!(numbers(&y)[..3], [0.0, 0.0, 2.0]);
        assert!(numbers(&y)[3].is_nan() && numbers(&y)[4] == 0.0);
        let weights = Tensor::new(&[1f32, 1.0, 1.0, 0.0, 0.0], &device()).unwrap();
        let store = tape.backward_from(&y, &weights).unwrap();
        assert_eq!(numbers(&store.get(&x).unwrap().tensor().unwrap())[..3], [0.0, 0.0, 1.0]);
    }
}

#[cfg_attr(test, test)]
fn dropout_multiplies_by_its_mask() {
    let mask = Array::noise(&[9, 31], 5).map(|x| if x > 0.2 { 0.0 } else { 2.5 });
    hold(&Case {
        name: "dropout".into(),
        inputs: vec![Array::noise(&[9, 31], 1)],
        here: &|t| dropout(&t[0], &mask.tensor()),
        composed: &|t| composed::dropout(&t[0], &mask.tensor()),
        oracle: &|t| {
            let values = t[0].values.iter().zip(&mask.values).map(|(x, mask)| x * mask);
            Array { dims: t[0].dims.clone(), values: values.collect() }
        },
    });
}

#[cfg_attr(test, test)]
fn flattening_gathers_each_image() {
    for (h, w, n, c) in [(3, 4, 5, 6), (1, 1, 3, 4), (4, 4, 4, 4), (2, 1, 1, 3)] {
        hold(&Case {
            name: format!("flattening of [{h}, {w}, {n}, {c}]"),
            inputs: vec![Array::noise(&[h, w, n, c], 1)],
            here: &|t| flatten_hwc(&Hwnc::new(t[0].clone())?),
            composed: &|t| t[0].permute((2, 0, 1, 3))?.reshape((n, h * w * c)),
            oracle: &|t| {
                let at = |image: usize, rest: usize| t[0].values[(rest / c * n + image) * c + rest % c];
                let values = (0..n).flat_map(|image| (0..h * w * c).map(move |rest| at(image, rest)));
                Array { dims: vec![n, h * w * c], values: values.collect() }
            },
        });
    }
}
