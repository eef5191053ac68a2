//! A convolution with the batch norm behind it, as one operation: the same gates as for the two apart.

use candle_core::{Error, Result, Tensor, Var};
use frostline_kernels::{
    BatchStatistics, ConvSpec, Hwnc, NormSpec, Normalisation, Tape, composed, conv_norm,
};

use super::harness::{Array, Case, hold, numbers};
use super::oracle;

/// For those who run them elsewhere than as tests.
pub(crate) const GATES: &[super::session::Gate] = &[
    ("it equals the two apart", it_equals_the_two_apart),
    ("a bias cancels in the batchs statistics", a_bias_cancels_in_the_batchs_statistics),
    ("only what is trained gets a gradient", only_what_is_trained_gets_a_gradient),
];

const SPEC: ConvSpec = ConvSpec { stride: (2, 1), padding: (1, 1) };
const EPS: f64 = 1e-5;

/// x, weights, gamma, beta and, where asked for, a bias of the convolution and a residual in the shape of the output.
fn inputs(
    (h, w, n, c): (usize, usize, usize, usize),
    outputs: usize,
    (bias, residual): (bool, bool),
    seed: u64,
) -> Vec<Array> {
    let mut list = vec![
        Array::noise(&[h, w, n, c], seed).map(|x| 1.0 + x),
        Array::noise(&[3, 3, c, outputs], seed + 1),
        Array::noise(&[outputs], seed + 2).map(|x| 1.0 + 0.5 * x),
        Array::noise(&[outputs], seed + 3),
    ];
    if bias {
        list.push(Array::noise(&[outputs], seed + 5));
    }
    if residual {
        list.push(Array::noise(&[h.div_ceil(2), w, n, outputs], seed + 4));
    }
    list
}

/// The bias and the residual among the inputs.
fn others<T>(t: &[T], bias: bool) -> (Option<&T>, Option<&T>) {
    let (bias, residual) = t[4..].split_at(usize::from(bias));
    (bias.first(), residual.first())
}

/// A run of the operation, fused or composed.
fn run(
    t: &[Tensor],
    bias: bool,
    running: Option<(&Tensor, &Tensor)>,
    relu: bool,
    fused: bool,
) -> Result<(Hwnc, Option<BatchStatistics>)> {
    let norm = Normalisation { gamma: &t[2], beta: &t[3], running, spec: NormSpec { eps: EPS, relu } };
    let (bias, residual) = others(t, bias);
    let residual = residual.map(|t| Hwnc::new(t.clone())).transpose()?;
    let run = if fused { conv_norm } else { composed::conv_norm };
    run(&Hwnc::new(t[0].clone())?, &t[1], bias, SPEC, norm, residual.as_ref())
}

/// The mean and variance to normalise by: given ones, or the batch's own.
fn moments(z: &Array, given: Option<&(Array, Array)>) -> (Vec<f64>, Vec<f64>) {
    given
        .map_or_else(|| oracle::moments(z), |(mean, variance)| (mean.values.clone(), variance.values.clone()))
}

fn expected(t: &[Array], bias: bool, given: Option<&(Array, Array)>, relu: bool) -> Array {
    let (bias, residual) = others(t, bias);
    let z = oracle::conv2d(&t[0], &t[1], bias, SPEC);
    let (mean, variance) = moments(&z, given);
    oracle::normalise(&z, (&mean, &variance), (&t[2], &t[3]), residual, EPS, relu)
}

#[cfg_attr(test, test)]
fn it_equals_the_two_apart() {
    for (index, shape) in [(4, 4, 4, 16), (1, 1, 5, 16), (5, 3, 2, 20), (6, 7, 9, 3)].into_iter().enumerate()
    {
        for (bias, residual, relu, frozen) in [
            (false, false, true, false),
            (false, true, true, false),
            (true, true, false, false),
            (true, false, true, false),
            (false, false, true, true),
            (true, false, true, true),
            (true, true, true, true),
        ] {
            let outputs = 19;
            let given = frozen.then(|| {
                let mean = Array::noise(&[outputs], 7).map(|x| 2.0 * x);
                (mean, Array::noise(&[outputs], 8).map(|x| 3.0 + x))
            });
            let inputs = |seed| inputs(shape, outputs, (bias, residual), seed);
            // No value so close to ReLU's kink that rounding decides about its gradient.
            let clear = |seed: &u64| {
                let y = expected(&inputs(*seed), bias, given.as_ref(), false);
                y.values.iter().all(|value| value.abs() > 1e-5)
            };
            let seed = (10 * index as u64..).find(clear).unwrap();
            let tensors = given.as_ref().map(|(mean, variance)| (mean.tensor(), variance.tensor()));
            let running = tensors.as_ref().map(|(mean, variance)| (mean, variance));
            hold(&Case {
                name: format!(
                    "conv_norm of {shape:?}, bias {bias}, residual {residual}, relu {relu}, frozen {frozen}"
                ),
                inputs: inputs(seed),
                here: &|t| Ok(run(t, bias, running, relu, true)?.0.into_tensor()),
                composed: &|t| Ok(run(t, bias, running, relu, false)?.0.into_tensor()),
                oracle: &|t| expected(t, bias, given.as_ref(), relu),
            });
        }
    }
}

/// The bias moves the mean that is given back, and nothing else; its gradient is zero.
#[cfg_attr(test, test)]
fn a_bias_cancels_in_the_batchs_statistics() {
    let arrays = inputs((5, 4, 3, 18), 19, (true, false), 2);
    let vars: Vec<Var> = arrays.iter().map(|array| Var::from_tensor(&array.tensor()).unwrap()).collect();
    let t: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
    let z = oracle::conv2d(&arrays[0], &arrays[1], Some(&arrays[4]), SPEC);
    let (mean, variance) = oracle::moments(&z);
    for fused in [true, false] {
        let ((y, statistics), tape) = Tape::record(|| run(&t, true, None, true, fused)).unwrap();
        let statistics = statistics.unwrap();
        super::harness::close("mean", &numbers(&statistics.mean), &mean);
        super::harness::close("variance", &numbers(&statistics.variance), &variance);
        let gradients = tape.backward_from(y.tensor(), y.detach().tensor()).unwrap();
        let gradient = gradients.get(&t[4]).unwrap().tensor().unwrap();
        assert!(numbers(&gradient).iter().all(|&value| value == 0.0));
        let (without, _) = run(&t[..4], false, None, true, fused).unwrap();
        assert_eq!(numbers(y.tensor()), numbers(without.tensor()));
    }
}

/// Every choice of what is trained gives the gradients of the two apart, and no others.
#[cfg_attr(test, test)]
fn only_what_is_trained_gets_a_gradient() {
    let arrays = inputs((4, 3, 4, 17), 18, (true, true), 3);
    let (mean, variance) =
        (Array::noise(&[18], 5).tensor(), Array::noise(&[18], 6).map(|x| 2.0 + x).tensor());
    for frozen in [false, true] {
        for chosen in 1..64u32 {
            let vars: Vec<Var> =
                arrays.iter().map(|array| Var::from_tensor(&array.tensor()).unwrap()).collect();
            let t: Vec<Tensor> = vars
                .iter()
                .enumerate()
                .map(|(index, var)| match chosen >> index & 1 {
                    1 => var.as_tensor().clone(),
                    _ => var.as_detached_tensor(),
                })
                .collect();
            let running = frozen.then_some((&mean, &variance));
            let [together, apart] = [true, false].map(|fused| {
                let (y, tape) =
                    Tape::record(|| Ok::<_, Error>(run(&t, true, running, true, fused)?.0)).unwrap();
                let gradients = tape.backward_from(y.tensor(), y.detach().tensor()).unwrap();
                vars.iter()
                    .map(|var| gradients.get(var).map(|found| numbers(&found.tensor().unwrap())))
                    .collect::<Vec<_>>()
            });
            for (index, (ours, expected)) in together.iter().zip(&apart).enumerate() {
                assert_eq!(ours.is_some(), chosen >> index & 1 == 1, "{chosen:06b}: input {index}");
                let (Some(ours), Some(expected)) = (ours, expected) else { continue };
                let expected: Vec<f64> = expected.iter().map(|&value| f64::from(value)).collect();
                super::harness::close(
                    &format!("{chosen:06b}, frozen {frozen}: input {index}"),
                    ours,
                    &expected,
                );
            }
        }
    }
}
