//! Grouped and depthwise convolution, batch norm with a curve behind it, squeeze-and-excite, response norm and layer scale.

use candle_core::{Result, Tensor};
use frostline_kernels::{
    ConvSpec, Curve, Excitation, Hwnc, NormSpec, Normalisation, activate, add_scaled, batch_norm, composed,
    conv_output, grouped_conv2d, response_norm, squeeze_excite,
};
use proptest::prelude::*;

use super::harness::{Array, Case, device, hold, numbers, properties};
use super::oracle;

/// For those who run them elsewhere than as tests.
pub(crate) const GATES: &[super::session::Gate] = &[
    ("named groups", named_groups),
    ("several bands and tasks", several_bands_and_tasks),
    ("every curve alone and behind a norm", every_curve_alone_and_behind_a_norm),
    ("far values stay finite and nan stays", || far_values_stay_finite_and_nan_stays().unwrap()),
    ("a channel of zeros has no response", || a_channel_of_zeros_has_no_response().unwrap()),
    ("what does not fit is refused", what_does_not_fit_is_refused),
    ("groups of random shapes", groups_of_random_shapes),
    ("gates and norms of random shapes", gates_and_norms_of_random_shapes),
];

const CURVES: [Curve; 8] = [
    Curve::Identity,
    Curve::Relu,
    Curve::Gelu,
    Curve::QuickGelu,
    Curve::Silu,
    Curve::Sigmoid,
    Curve::HardSwish,
    Curve::HardSigmoid,
];

const BEHIND_NORMS: [Curve; 4] = [Curve::Identity, Curve::Relu, Curve::Silu, Curve::HardSwish];

/// `(h, w, n, channels of a group)`, `(kh, kw, outputs of a group)`, groups, stride, padding.
type Shape = ((usize, usize, usize, usize), (usize, usize, usize), usize, (usize, usize), (usize, usize));

fn check_groups(((h, w, n, inputs), (kh, kw, outputs), groups, stride, padding): Shape, seed: u64) {
    let spec = ConvSpec { stride, padding };
    let (c_in, c_out) = (groups * inputs, groups * outputs);
    let mut list =
        vec![Array::noise(&[h, w, n, c_in], seed), Array::noise(&[kh, kw, inputs, c_out], seed + 1)];
    if seed.is_multiple_of(2) {
        list.push(Array::noise(&[c_out], seed + 2));
    }
    type Conv = fn(&Hwnc, &Tensor, Option<&Tensor>, ConvSpec, usize) -> Result<Hwnc>;
    let run = |f: Conv| {
        move |t: &[Tensor]| Ok(f(&Hwnc::new(t[0].clone())?, &t[1], t.get(2), spec, groups)?.into_tensor())
    };
    hold(&Case {
        name: format!(
            "[{h}, {w}, {n}, {c_in}] with [{kh}, {kw}, {inputs}, {c_out}] in {groups} groups, {spec:?}"
        ),
        inputs: list,
        here: &run(grouped_conv2d),
        composed: &run(composed::grouped_conv2d),
        oracle: &|t| {
            // The same kernel with zeros where an output does not see an input.
            let mut whole = Array::zeros(&[kh, kw, c_in, c_out]);
            for at in 0..whole.values.len() {
                let (tap, input, output) = (at / (c_in * c_out), at / c_out % c_in, at % c_out);
                if input / inputs == output / outputs {
                    whole.values[at] = t[1].values[(tap * inputs + input % inputs) * c_out + output];
                }
            }
            oracle::conv2d(&t[0], &whole, t.get(2), spec)
        },
    });
}

fn check_norm((h, w, n, c): (usize, usize, usize, usize), curve: Curve, given: bool, seed: u64) {
    let running =
        given.then(|| (Array::noise(&[c], seed + 3), Array::noise(&[c], seed + 4).map(|v| 1.5 + v)));
    let tensors = running.as_ref().map(|(mean, variance)| (mean.tensor(), variance.tensor()));
    type Norm =
        fn(&Hwnc, Normalisation<'_>, Curve) -> Result<(Hwnc, Option<frostline_kernels::BatchStatistics>)>;
    let run = |f: Norm| {
        let tensors = &tensors;
        move |t: &[Tensor]| {
            let running = tensors.as_ref().map(|(mean, variance)| (mean, variance));
            let spec = NormSpec { eps: 0.01, relu: false };
            let norm = Normalisation { gamma: &t[1], beta: &t[2], running, spec };
            let (y, statistics) = f(&Hwnc::new(t[0].clone())?, norm, curve)?;
            assert_eq!(statistics.is_some(), running.is_none());
            Ok(y.into_tensor())
        }
    };
    hold(&Case {
        name: format!("batch norm of [{h}, {w}, {n}, {c}] with {curve:?}, given statistics: {given}"),
        inputs: vec![
            Array::noise(&[h, w, n, c], seed).map(|x| 2.0 * x + 0.5),
            Array::noise(&[c], seed + 1).map(|x| 1.0 + 0.5 * x),
            Array::noise(&[c], seed + 2),
        ],
        here: &run(batch_norm),
        composed: &run(composed::batch_norm),
        oracle: &|t| {
            let own = oracle::moments(&t[0]);
            let moments = match &running {
                Some((mean, variance)) => (&mean.values[..], &variance.values[..]),
                None => (&own.0[..], &own.1[..]),
            };
            let y = oracle::normalise(&t[0], moments, (&t[1], &t[2]), None, 0.01, false);
            oracle::curve(&y, curve)
        },
    });
}

fn check_excitation((h, w, n, c): (usize, usize, usize, usize), r: usize, curves: (Curve, Curve), seed: u64) {
    let excitation = |t: &[Tensor]| {
        let [_, reduce, reduce_bias, expand, expand_bias] = t else { panic!("five inputs") };
        let (reduce, expand) = (reduce.clone(), expand.clone());
        (reduce, reduce_bias.clone(), expand, expand_bias.clone())
    };
    type Excite = fn(&Hwnc, &Excitation<'_>) -> Result<Hwnc>;
    let run = |f: Excite| {
        move |t: &[Tensor]| {
            let (reduce, reduce_bias, expand, expand_bias) = excitation(t);
            let given = Excitation {
                reduce: (&reduce, &reduce_bias),
                inner: curves.0,
                expand: (&expand, &expand_bias),
                gate: curves.1,
            };
            Ok(f(&Hwnc::new(t[0].clone())?, &given)?.into_tensor())
        }
    };
    hold(&Case {
        name: format!("squeeze-and-excite of [{h}, {w}, {n}, {c}] through {r}, {curves:?}"),
        inputs: vec![
            Array::noise(&[h, w, n, c], seed).map(|x| x + 0.3),
            Array::noise(&[1, 1, c, r], seed + 1),
            Array::noise(&[r], seed + 2),
            Array::noise(&[1, 1, r, c], seed + 3),
            Array::noise(&[c], seed + 4),
        ],
        here: &run(squeeze_excite),
        composed: &run(composed::squeeze_excite),
        oracle: &|t| {
            let mut means = Array::zeros(&[n, c]);
            for (index, value) in t[0].values.iter().enumerate() {
                means.values[index % (n * c)] += value / (h * w) as f64;
            }
            let matrix = |array: &Array, dims: [usize; 2]| Array { dims: dims.to_vec(), ..array.clone() };
            let reduced = oracle::linear(&means, &matrix(&t[1], [c, r]), Some(&t[2]));
            let bent = oracle::curve(&reduced, curves.0);
            let gates = oracle::curve(&oracle::linear(&bent, &matrix(&t[3], [r, c]), Some(&t[4])), curves.1);
            let gated = t[0].values.iter().enumerate().map(|(at, x)| x * gates.values[at % (n * c)]);
            Array { dims: t[0].dims.clone(), values: gated.collect() }
        },
    });
}

fn check_responses((h, w, n, c): (usize, usize, usize, usize), seed: u64) {
    hold(&Case {
        name: format!("response norm of [{h}, {w}, {n}, {c}]"),
        inputs: vec![
            Array::noise(&[h, w, n, c], seed).map(|x| x + 0.2),
            Array::noise(&[c], seed + 1),
            Array::noise(&[c], seed + 2),
        ],
        here: &|t| Ok(response_norm(&Hwnc::new(t[0].clone())?, &t[1], &t[2], 0.01)?.into_tensor()),
        composed: &|t| {
            Ok(composed::response_norm(&Hwnc::new(t[0].clone())?, &t[1], &t[2], 0.01)?.into_tensor())
        },
        oracle: &|t| {
            let mut norms = vec![0.0; n * c];
            t[0].values.iter().enumerate().for_each(|(at, x)| norms[at % (n * c)] += x * x);
            norms.iter_mut().for_each(|norm| *norm = norm.sqrt());
            let mean = |image: usize| norms[image * c..(image + 1) * c].iter().sum::<f64>() / c as f64 + 0.01;
            let value = |at: usize| {
                let (own, channel) = (at % (n * c), at % c);
                let relative = norms[own] / mean(own / c);
                t[0].values[at] * (1.0 + t[1].values[channel] * relative) + t[2].values[channel]
            };
            Array { dims: t[0].dims.clone(), values: (0..t[0].values.len()).map(value).collect() }
        },
    });
}

fn check_scales((tokens, n, c): (usize, usize, usize), some_left_out: bool, seed: u64) {
    let scales: Vec<f32> = match some_left_out {
        true => (0..n).map(|image| [0.0, 1.25, 2.0][(image + seed as usize) % 3]).collect(),
        false => Vec::new(),
    };
    hold(&Case {
        name: format!("layer scale of [{tokens}·{n}, {c}]"),
        inputs: vec![
            Array::noise(&[tokens * n, c], seed),
            Array::noise(&[tokens * n, c], seed + 1),
            Array::noise(&[c], seed + 2),
        ],
        here: &|t| add_scaled(&t[0], &t[1], &t[2], &scales),
        composed: &|t| composed::add_scaled(&t[0], &t[1], &t[2], &scales),
        oracle: &|t| {
            let scale = |at: usize| scales.get(at / c % n).map_or(1.0, |scale| f64::from(*scale));
            let values = (0..t[0].values.len())
                .map(|at| t[0].values[at] + scale(at) * t[2].values[at % c] * t[1].values[at]);
            Array { dims: t[0].dims.clone(), values: values.collect() }
        },
    });
}

#[cfg_attr(test, test)]
fn named_groups() {
    let shapes: &[Shape] = &[
        // Depthwise: a strip and more, fewer lanes than a strip, channels that are no multiple of anything.
        ((5, 4, 3, 1), (3, 3, 1), 24, (1, 1), (1, 1)),
        ((7, 9, 2, 1), (7, 7, 1), 40, (1, 1), (3, 3)),
        ((6, 7, 2, 1), (5, 5, 1), 33, (2, 2), (2, 2)),
        ((5, 8, 1, 1), (3, 3, 1), 7, (2, 1), (1, 0)),
        ((1, 1, 3, 1), (7, 7, 1), 19, (1, 1), (3, 3)),
        ((2, 3, 2, 1), (5, 7, 1), 6, (1, 2), (2, 3)),
        ((4, 4, 4, 1), (4, 4, 1), 4, (1, 1), (2, 2)),
        // A stride larger than the kernel, and outputs that no tap reaches.
        ((7, 8, 2, 1), (1, 1, 1), 9, (2, 3), (0, 0)),
        ((2, 1, 2, 1), (1, 1, 1), 3, (1, 1), (2, 1)),
        // Groups of several channels: bundled, a rest, one by one, several outputs for each input.
        ((5, 4, 2, 8), (3, 3, 8), 6, (1, 1), (1, 1)),
        ((5, 6, 2, 3), (3, 3, 2), 5, (2, 2), (1, 1)),
        ((4, 3, 2, 40), (1, 1, 17), 2, (1, 1), (0, 0)),
        ((4, 5, 2, 1), (3, 3, 2), 12, (1, 1), (1, 1)),
        ((4, 5, 2, 2), (3, 2, 1), 3, (1, 1), (1, 0)),
        ((3, 4, 2, 5), (3, 3, 4), 1, (1, 1), (1, 1)),
    ];
    for (index, shape) in shapes.iter().enumerate() {
        check_groups(*shape, 7 * index as u64);
    }
}

#[cfg_attr(test, test)]
fn several_bands_and_tasks() {
    // More rows than are laid out at once, more strips than tasks.
    check_groups(((70, 31, 1, 1), (7, 7, 1), 20, (1, 1), (3, 3)), 1);
    check_groups(((61, 40, 1, 1), (5, 5, 1), 8, (2, 2), (2, 2)), 2);
    check_groups(((3, 4, 40, 1), (3, 3, 1), 70, (1, 1), (1, 1)), 3);
    for curve in [Curve::Silu, Curve::Relu] {
        check_norm((11, 9, 13, 33), curve, false, 4);
    }
    check_excitation((13, 12, 9, 80), 6, (Curve::Silu, Curve::Sigmoid), 5);
    check_responses((13, 12, 9, 70), 6);
    check_scales((60, 9, 70), true, 7);
    check_scales((60, 9, 70), false, 8);
}

#[cfg_attr(test, test)]
fn every_curve_alone_and_behind_a_norm() {
    for (curve, seed) in CURVES.into_iter().zip(0..) {
        hold(&Case {
            name: format!("{curve:?}"),
            inputs: vec![Array::noise(&[7, 500], seed).map(|x| 7.0 * x)],
            here: &|t| activate(&t[0], curve),
            composed: &|t| composed::activate(&t[0], curve),
            oracle: &|t| oracle::curve(&t[0], curve),
        });
    }
    for (curve, seed) in BEHIND_NORMS.into_iter().zip(0..) {
        check_norm((3, 4, 5, 7), curve, false, seed);
        check_norm((3, 4, 5, 7), curve, true, 50 + seed);
    }
}

#[cfg_attr(test, test)]
fn far_values_stay_finite_and_nan_stays() -> Result<()> {
    let x = Tensor::new(&[-1e4f32, -200.0, 0.0, 200.0, 1e4, f32::NAN], &device())?;
    for curve in CURVES {
        let y = numbers(&activate(&x, curve)?);
        assert!(y[..5].iter().all(|value| value.is_finite()) && y[5].is_nan(), "{curve:?}: {y:?}");
    }
    Ok(())
}

#[cfg_attr(test, test)]
fn a_channel_of_zeros_has_no_response() -> Result<()> {
    let x = candle_core::Var::zeros((2, 3, 2, 4), candle_core::DType::F32, &device())?;
    let ones = Tensor::ones(4, candle_core::DType::F32, &device())?;
    let run = || response_norm(&Hwnc::new(x.as_tensor().clone())?, &ones, &ones, 1e-6);
    let (y, tape) = frostline_kernels::Tape::record(run)?;
    let gradients = tape.backward_from(y.tensor(), &y.tensor().ones_like()?)?;
    assert!(numbers(y.tensor()).iter().all(|value| *value == 1.0));
    let dx = gradients.get(&x).expect("a gradient").tensor()?;
    assert!(numbers(&dx).iter().all(|value| *value == 1.0));
    Ok(())
}

#[cfg_attr(test, test)]
fn what_does_not_fit_is_refused() {
    let map = Hwnc::new(Array::noise(&[3, 3, 2, 6], 1).tensor()).unwrap();
    let weights = |dims: &[usize]| Array::noise(dims, 2).tensor();
    let spec = ConvSpec::square(1, 1);
    for (dims, groups) in [([3, 3, 1, 6], 0), ([3, 3, 1, 6], 4), ([3, 3, 2, 4], 3), ([9, 9, 1, 6], 6)] {
        assert!(grouped_conv2d(&map, &weights(&dims), None, spec, groups).is_err(), "{dims:?} in {groups}");
    }
    let six = weights(&[6]);
    let norm =
        Normalisation { gamma: &six, beta: &six, running: None, spec: NormSpec { eps: 1e-5, relu: false } };
    assert!(batch_norm(&map, norm, Curve::Sigmoid).is_err());
    assert!(response_norm(&map, &weights(&[5]), &weights(&[6]), 1e-6).is_err());
    let rows = weights(&[6, 4]);
    assert!(add_scaled(&rows, &rows, &weights(&[5]), &[]).is_err());
    assert!(add_scaled(&rows, &rows, &weights(&[4]), &[1.0; 4]).is_err());
    let (small, large) = ((weights(&[6, 2]), weights(&[2])), (weights(&[3, 6]), weights(&[6])));
    let excitation = Excitation {
        reduce: (&small.0, &small.1),
        inner: Curve::Relu,
        expand: (&large.0, &large.1),
        gate: Curve::Sigmoid,
    };
    assert!(squeeze_excite(&map, &excitation).is_err());
}

proptest! {
    #![proptest_config(properties(48))]
    #[cfg_attr(test, test)]
    fn groups_of_random_shapes(
        map in (1usize..8, 1usize..8, 1usize..4, 1usize..4),
        kernel in (1usize..6, 1usize..6, 1usize..4),
        groups in 1usize..9,
        stride in (1usize..4, 1usize..4),
        padding in (0usize..4, 0usize..4),
        depthwise: bool,
        seed in 0u64..1_000_000,
    ) {
        prop_assume!(conv_output(map.0, kernel.0, stride.0, padding.0).is_some());
        prop_assume!(conv_output(map.1, kernel.1, stride.1, padding.1).is_some());
        let (inputs, outputs) = if depthwise { (1, 1) } else { (map.3, kernel.2) };
        let map = (map.0, map.1, map.2, inputs);
        check_groups((map, (kernel.0, kernel.1, outputs), groups, stride, padding), seed);
    }

    #[cfg_attr(test, test)]
    fn gates_and_norms_of_random_shapes(
        shape in (1usize..6, 1usize..6, 2usize..5, 2usize..30),
        reduced in 1usize..7,
        curve in 0usize..8,
        seed in 0u64..1_000_000,
    ) {
        check_norm(shape, BEHIND_NORMS[curve % 4], false, seed);
        check_excitation(shape, reduced, (CURVES[curve], Curve::Sigmoid), seed);
        check_responses(shape, seed);
        check_scales((shape.0, shape.2, shape.3), curve % 2 == 0, seed);
    }
}
