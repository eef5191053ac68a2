//! A convolution with the batch norm behind it, as one operation: the same gates as for the two apart.

use candle_core::{Result, Tensor, Var};
use frostline_kernels::{ConvSpec, Hwnc, NormSpec, Normalisation, Tape, composed, conv_norm};

use crate::harness::{Array, Case, hold, numbers};
use crate::oracle;

const SPEC: ConvSpec = ConvSpec { stride: (2, 1), padding: (1, 1) };
const EPS: f64 = 1e-5;

/// x, weights, gamma, beta and, where asked for, a residual in the shape of the output.
fn inputs(
    (h, w, n, c): (usize, usize, usize, usize),
    outputs: usize,
    residual: bool,
    seed: u64,
) -> Vec<Array> {
    let mut list = vec![
        Array::noise(&[h, w, n, c], seed).map(|x| 1.0 + x),
        Array::noise(&[3, 3, c, outputs], seed + 1),
        Array::noise(&[outputs], seed + 2).map(|x| 1.0 + 0.5 * x),
        Array::noise(&[outputs], seed + 3),
    ];
    if residual {
        list.push(Array::noise(&[h.div_ceil(2), w, n, outputs], seed + 4));
    }
    list
}

/// The mean and variance to normalise by: given ones, or the batch's own.
fn moments(z: &Array, given: Option<&(Array, Array)>) -> (Vec<f64>, Vec<f64>) {
    given
        .map_or_else(|| oracle::moments(z), |(mean, variance)| (mean.values.clone(), variance.values.clone()))
}

fn expected(t: &[Array], given: Option<&(Array, Array)>, relu: bool) -> Array {
    let z = oracle::conv2d(&t[0], &t[1], None, SPEC);
    let (mean, variance) = moments(&z, given);
    oracle::normalise(&z, (&mean, &variance), (&t[2], &t[3]), t.get(4), EPS, relu)
}

#[test]
fn it_equals_the_two_apart() {
    for (index, shape) in [(4, 4, 4, 16), (1, 1, 5, 16), (5, 3, 2, 20), (6, 7, 9, 3)].into_iter().enumerate()
    {
        for (residual, relu, frozen) in [
            (false, true, false),
            (true, true, false),
            (true, false, false),
            (false, true, true),
            (true, true, true),
        ] {
            let outputs = 19;
            let given = frozen.then(|| {
                let mean = Array::noise(&[outputs], 7).map(|x| 2.0 * x);
                (mean, Array::noise(&[outputs], 8).map(|x| 3.0 + x))
            });
            // No value so close to ReLU's kink that rounding decides about its gradient.
            let clear = |seed: &u64| {
                let y = expected(&inputs(shape, outputs, residual, *seed), given.as_ref(), false);
                y.values.iter().all(|value| value.abs() > 1e-5)
            };
            let seed = (10 * index as u64..).find(clear).unwrap();
            let spec = NormSpec { eps: EPS, relu };
            let tensors = given.as_ref().map(|(mean, variance)| (mean.tensor(), variance.tensor()));
            let running = tensors.as_ref().map(|(mean, variance)| (mean, variance));
            let residual_of = |t: &[Tensor]| t.get(4).map(|t| Hwnc::new(t.clone())).transpose();
            let here = |t: &[Tensor]| -> Result<Tensor> {
                let norm = Normalisation { gamma: &t[2], beta: &t[3], running, spec };
                let x = Hwnc::new(t[0].clone())?;
                Ok(conv_norm(&x, &t[1], SPEC, norm, residual_of(t)?.as_ref())?.0.into_tensor())
            };
            let apart = |t: &[Tensor]| -> Result<Tensor> {
                let norm = Normalisation { gamma: &t[2], beta: &t[3], running, spec };
                let x = Hwnc::new(t[0].clone())?;
                Ok(composed::conv_norm(&x, &t[1], SPEC, norm, residual_of(t)?.as_ref())?.0.into_tensor())
            };
            hold(&Case {
                name: format!("conv_norm of {shape:?}, residual {residual}, relu {relu}, frozen {frozen}"),
                inputs: inputs(shape, outputs, residual, seed),
                here: &here,
                composed: &apart,
                oracle: &|t| expected(t, given.as_ref(), relu),
            });
        }
    }
}

/// Every choice of what is trained gives the gradients of the two apart, and no others.
#[test]
fn only_what_is_trained_gets_a_gradient() {
    let arrays = inputs((4, 3, 4, 17), 18, true, 3);
    let (mean, variance) =
        (Array::noise(&[18], 5).tensor(), Array::noise(&[18], 6).map(|x| 2.0 + x).tensor());
    let spec = NormSpec { eps: EPS, relu: true };
    for frozen in [false, true] {
        for chosen in 1..32u32 {
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
            let x = Hwnc::new(t[0].clone()).unwrap();
            let residual = Hwnc::new(t[4].clone()).unwrap();
            let running = frozen.then_some((&mean, &variance));
            let norm = Normalisation { gamma: &t[2], beta: &t[3], running, spec };
            let [together, apart] = [false, true].map(|apart| {
                let run = if apart { composed::conv_norm } else { conv_norm };
                let record = || Ok::<_, candle_core::Error>(run(&x, &t[1], SPEC, norm, Some(&residual))?.0);
                let (y, tape) = Tape::record(record).unwrap();
                let gradients = tape.backward_from(y.tensor(), y.detach().tensor()).unwrap();
                vars.iter()
                    .map(|var| gradients.get(var).map(|found| numbers(&found.tensor().unwrap())))
                    .collect::<Vec<_>>()
            });
            for (index, (ours, expected)) in together.iter().zip(&apart).enumerate() {
                assert_eq!(ours.is_some(), chosen >> index & 1 == 1, "{chosen:05b}: input {index}");
                let (Some(ours), Some(expected)) = (ours, expected) else { continue };
                let expected: Vec<f64> = expected.iter().map(|&value| f64::from(value)).collect();
                crate::harness::close(
                    &format!("{chosen:05b}, frozen {frozen}: input {index}"),
                    ours,
                    &expected,
                );
            }
        }
    }
}
