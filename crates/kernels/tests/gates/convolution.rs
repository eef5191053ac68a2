//! Convolution: shapes where layouts are easily mistaken, and random ones.

use candle_core::{Result, Tensor};
use frostline_kernels::{ConvSpec, Hwnc, Tape, composed, conv_output, conv2d};
use proptest::prelude::*;

use super::harness::{Array, Case, hold, numbers, pools, properties};
use super::oracle;

/// For those who run them elsewhere than as tests.
pub(crate) const GATES: &[super::session::Gate] = &[
    ("named shapes", named_shapes),
    ("several tasks in each direction", several_tasks_in_each_direction),
    ("random shapes", random_shapes),
    ("only wanted gradients are computed", only_wanted_gradients_are_computed),
    (
        "resnet shapes give the same bits for any number of threads",
        resnet_shapes_give_the_same_bits_for_any_number_of_threads,
    ),
];

/// `(h, w, n, c_in)`, `(kh, kw, c_out)`, stride, padding.
type Shape = ((usize, usize, usize, usize), (usize, usize, usize), (usize, usize), (usize, usize));

/// As [`check`] for the pass without gradients, which may sum in another way.
fn check_inference(((h, w, n, c), (kh, kw, outputs), stride, padding): Shape) {
    let spec = ConvSpec { stride, padding };
    let (x, weights, bias) =
        (Array::noise(&[h, w, n, c], 1), Array::noise(&[kh, kw, c, outputs], 2), Array::noise(&[outputs], 3));
    let map = Hwnc::new(x.tensor()).unwrap();
    let run = || conv2d(&map, &weights.tensor(), Some(&bias.tensor()), spec).unwrap().into_tensor();
    let runs: Vec<Vec<f32>> = pools().iter().map(|pool| pool.install(|| numbers(&run()))).collect();
    assert!(runs.iter().all(|run| *run == runs[0]), "the same bits for any number of threads");
    let expected = oracle::conv2d(&x, &weights, Some(&bias), spec);
    super::harness::within("inference", &runs[0], &expected.values, 1e-5);
}

fn check(((h, w, n, c), (kh, kw, outputs), stride, padding): Shape, with_bias: bool, seed: u64) {
    let spec = ConvSpec { stride, padding };
    let mut inputs = vec![Array::noise(&[h, w, n, c], seed), Array::noise(&[kh, kw, c, outputs], seed + 1)];
    if with_bias {
        inputs.push(Array::noise(&[outputs], seed + 2));
    }
    let run = |f: fn(&Hwnc, &Tensor, Option<&Tensor>, ConvSpec) -> Result<Hwnc>| {
        move |t: &[Tensor]| Ok(f(&Hwnc::new(t[0].clone())?, &t[1], t.get(2), spec)?.into_tensor())
    };
    hold(&Case {
        name: format!("conv2d of [{h}, {w}, {n}, {c}] with [{kh}, {kw}, {c}, {outputs}], {spec:?}"),
        inputs,
        here: &run(conv2d),
        composed: &run(composed::conv2d),
        oracle: &|t| oracle::conv2d(&t[0], &t[1], t.get(2), spec),
    });
}

#[cfg_attr(test, test)]
fn named_shapes() {
    let shapes: &[Shape] = &[
        // N = C = H = W, where a layout guessed from strides goes wrong.
        ((5, 5, 5, 5), (3, 3, 5), (1, 1), (1, 1)),
        ((16, 16, 16, 16), (3, 3, 16), (1, 1), (1, 1)),
        // One pixel, of which one tap is live.
        ((1, 1, 4, 32), (3, 3, 24), (1, 1), (1, 1)),
        ((1, 1, 3, 20), (3, 3, 7), (2, 2), (1, 1)),
        // A kernel larger than the map.
        ((2, 3, 2, 17), (5, 7, 6), (1, 1), (2, 3)),
        ((3, 2, 2, 3), (7, 7, 5), (2, 2), (3, 3)),
        // Rows that are not columns, strides that differ.
        ((7, 4, 3, 18), (3, 2, 5), (2, 1), (1, 0)),
        ((4, 9, 2, 19), (1, 3, 4), (1, 2), (0, 1)),
        ((6, 5, 1, 21), (2, 3, 3), (3, 2), (0, 2)),
        // Inception's one-sided kernels, on maps larger and smaller than they are.
        ((6, 9, 2, 33), (1, 7, 34), (1, 1), (0, 3)),
        ((9, 6, 2, 34), (7, 1, 33), (1, 1), (3, 0)),
        ((3, 4, 3, 32), (1, 7, 32), (1, 1), (0, 3)),
        ((2, 3, 3, 32), (7, 1, 35), (1, 1), (3, 0)),
        ((5, 4, 2, 32), (1, 3, 32), (1, 1), (0, 1)),
        ((4, 5, 2, 32), (3, 1, 32), (1, 1), (1, 0)),
        // A stride larger than the kernel leaves pixels unseen.
        ((7, 8, 2, 16), (1, 1, 9), (2, 2), (0, 0)),
        ((8, 7, 2, 4), (2, 2, 3), (3, 3), (1, 1)),
        // Output pixels that no tap reaches.
        ((2, 1, 2, 16), (1, 1, 3), (1, 1), (2, 1)),
        // Few channels, as in the first layer.
        ((11, 9, 3, 3), (7, 7, 8), (2, 2), (3, 3)),
        ((13, 17, 2, 3), (11, 11, 6), (4, 4), (2, 2)),
        ((6, 5, 2, 1), (3, 3, 4), (1, 1), (1, 1)),
        ((5, 6, 2, 15), (3, 3, 4), (1, 1), (0, 0)),
        ((1, 1, 1, 1), (1, 1, 1), (1, 1), (0, 0)),
    ];
    for (index, shape) in shapes.iter().enumerate() {
        check(*shape, index % 2 == 0, 10 * index as u64);
    }
}

#[cfg_attr(test, test)]
fn several_tasks_in_each_direction() {
    // Large enough to be split into blocks of pixels, of columns, of rows and of taps.
    check(((3, 40, 20, 16), (3, 3, 16), (1, 1), (1, 1)), true, 1);
    check(((2, 2, 16, 80), (3, 3, 136), (1, 1), (1, 1)), false, 2);
    check(((9, 33, 10, 16), (3, 3, 20), (2, 2), (1, 1)), false, 3);
    check(((17, 40, 16, 3), (5, 5, 16), (2, 2), (2, 2)), true, 4);
    // Tiles of four outputs, whole and cut by odd edges, for several parts of the batch.
    for (index, shape) in [
        ((8, 6, 33, 32), (3, 3, 32), (1, 1), (1, 1)),
        ((7, 5, 3, 40), (3, 3, 33), (1, 1), (1, 1)),
        ((5, 9, 2, 33), (3, 3, 70), (1, 1), (1, 1)),
        // Many tiles for few channels: the gradient of the weights goes by tiles as well.
        ((13, 12, 33, 32), (3, 3, 34), (1, 1), (1, 1)),
    ]
    .into_iter()
    .enumerate()
    {
        check(shape, index % 2 == 0, 5 + index as u64);
        check_inference(shape);
    }
}

proptest! {
    #![proptest_config(properties(64))]
    #[cfg_attr(test, test)]
    fn random_shapes(
        map in (1usize..8, 1usize..8, 1usize..4, 1usize..24),
        kernel in (1usize..5, 1usize..5, 1usize..12),
        stride in (1usize..4, 1usize..4),
        padding in (0usize..4, 0usize..4),
        with_bias: bool,
        seed in 0u64..1_000_000,
    ) {
        prop_assume!(conv_output(map.0, kernel.0, stride.0, padding.0).is_some());
        prop_assume!(conv_output(map.1, kernel.1, stride.1, padding.1).is_some());
        check((map, kernel, stride, padding), with_bias, seed);
    }
}

#[cfg_attr(test, test)]
fn only_wanted_gradients_are_computed() {
    let spec = ConvSpec::square(1, 1);
    let weights = Array::noise(&[3, 3, 16, 4], 2).tensor();
    let x = candle_core::Var::from_tensor(&Array::noise(&[3, 4, 2, 16], 1).tensor()).unwrap();
    let forward = || conv2d(&Hwnc::new(x.as_tensor().clone())?, &weights, None, spec);
    let (frozen, tape) = Tape::record(forward).unwrap();
    let store = tape.backward_from(frozen.tensor(), &frozen.tensor().ones_like().unwrap()).unwrap();
    assert!(store.get(&x).is_some() && store.get(&weights).is_none());
}

#[cfg_attr(test, test)]
fn resnet_shapes_give_the_same_bits_for_any_number_of_threads() {
    // The layers of ResNet-18 at 32x32, without the slow oracle.
    for (map, kernel, stride) in [
        ((8, 8, 64, 64), (3, 3, 64), 1),
        ((8, 8, 64, 64), (3, 3, 128), 2),
        ((2, 2, 64, 256), (3, 3, 256), 1),
        ((1, 1, 64, 512), (3, 3, 512), 1),
    ] {
        let (h, w, n, c) = map;
        let weights = Array::noise(&[kernel.0, kernel.1, c, kernel.2], 1).tensor();
        let x = candle_core::Var::from_tensor(&Array::noise(&[h, w, n, c], 2).tensor()).unwrap();
        let weights = candle_core::Var::from_tensor(&weights).unwrap();
        let runs: Vec<_> = pools()
            .iter()
            .map(|pool| {
                pool.install(|| {
                    let spec = ConvSpec::square(stride, 1);
                    let forward = || conv2d(&Hwnc::new(x.as_tensor().clone())?, &weights, None, spec);
                    let (y, tape) = Tape::record(forward).unwrap();
                    let store = tape.backward_from(y.tensor(), y.tensor()).unwrap();
                    [
                        y.tensor().clone(),
                        store.get(&x).unwrap().tensor().unwrap(),
                        store.get(&weights).unwrap().tensor().unwrap(),
                    ]
                    .map(|tensor| numbers(&tensor))
                })
            })
            .collect();
        assert!(runs[0] == runs[1] && runs[0] == runs[2], "{map:?} {kernel:?} stride {stride}");
    }
}
