//! What holds an operation to its gates: [`hold`] runs them all on one [`Case`].

use std::sync::OnceLock;

use candle_core::{DType, Result, Tensor, Var};
use frostline_kernels::{BatchStatistics, ConvSpec, Hwnc, Normalisation, Tape, keep_as};
use half::bf16;
use proptest::test_runner::{Config, RngSeed};
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::session;
pub(crate) use super::session::device;

/// Numbers in double precision with their dimensions, for the oracles.
#[derive(Clone, Debug)]
pub(crate) struct Array {
    pub(crate) dims: Vec<usize>,
    pub(crate) values: Vec<f64>,
}

impl Array {
    pub(crate) fn zeros(dims: &[usize]) -> Self {
        Self { dims: dims.to_vec(), values: vec![0.0; dims.iter().product()] }
    }

    /// Values in (-1, 1) that follow from a seed and are exact in single precision.
    pub(crate) fn noise(dims: &[usize], seed: u64) -> Self {
        let count: usize = dims.iter().product();
        Self { dims: dims.to_vec(), values: (0..count).map(|index| noise(seed, index as u64)).collect() }
    }

    /// Every value transformed.
    pub(crate) fn map(mut self, f: impl Fn(f64) -> f64) -> Self {
        self.values.iter_mut().for_each(|value| *value = f64::from(f(*value) as f32));
        self
    }

    /// Element `[a, b, c, d]`.
    pub(crate) fn at(&self, a: usize, b: usize, c: usize, d: usize) -> f64 {
        self.values[self.index(a, b, c, d)]
    }

    pub(crate) fn index(&self, a: usize, b: usize, c: usize, d: usize) -> usize {
        ((a * self.dims[1] + b) * self.dims[2] + c) * self.dims[3] + d
    }

    pub(crate) fn tensor(&self) -> Tensor {
        let values: Vec<f32> = self.values.iter().map(|&value| value as f32).collect();
        Tensor::from_vec(values, self.dims.as_slice(), &device()).unwrap()
    }
}

pub(crate) fn noise(seed: u64, index: u64) -> f64 {
    let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ index.wrapping_mul(0xd1b5_4a32_d192_ed03);
    for _ in 0..2 {
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    }
    f64::from((z >> 40) as f32 / (1u32 << 23) as f32 - 1.0)
}

/// An operation of this crate as a function of tensors.
pub(crate) type Operation<'a> = &'a (dyn Fn(&[Tensor]) -> Result<Tensor> + Sync);

/// One operation on one set of inputs, all of which want gradients.
pub(crate) struct Case<'a> {
    pub(crate) name: String,
    pub(crate) inputs: Vec<Array>,
    pub(crate) here: Operation<'a>,
    pub(crate) composed: Operation<'a>,
    pub(crate) oracle: &'a (dyn Fn(&[Array]) -> Array + Sync),
}

/// What a run gave: the output, and the gradient of each input.
pub(crate) type Outcome = (Vec<f32>, Vec<Vec<f32>>);

/// Runs every gate; in a session, notes what comes out.
pub(crate) fn hold(case: &Case<'_>) {
    if session::takes(case) {
        return;
    }
    let name = &case.name;
    let runs: Vec<Outcome> =
        pools().iter().map(|pool| pool.install(|| run(case.here, &case.inputs))).collect();
    for (other, threads) in runs[1..].iter().zip(2..) {
        assert!(same_bits(&runs[0], other), "{name}: {threads} threads give other bits than one");
    }
    let (y, gradients) = &runs[0];
    let (composed_y, composed_gradients) = run(case.composed, &case.inputs);
    let expected = (case.oracle)(&case.inputs);
    close(&format!("{name}: output"), y, &expected.values);
    close(&format!("{name}: composed output"), &composed_y, &expected.values);
    for (index, (ours, composed)) in gradients.iter().zip(&composed_gradients).enumerate() {
        let composed: Vec<f64> = composed.iter().map(|&value| f64::from(value)).collect();
        close(&format!("{name}: gradient {index} against the composed path"), ours, &composed);
        differences(case, index, ours);
    }
    hold_half(case);
}

/// The inputs as numbers that bf16 has.
pub(crate) fn rounded(case: &Case<'_>) -> Vec<Array> {
    let rounded = |input: &Array| Array {
        values: input.values.iter().map(|&value| bf16::from_f64(value).to_f64()).collect(),
        ..input.clone()
    };
    case.inputs.iter().map(rounded).collect()
}

/// A conversion, on one tape or the other.
pub(crate) type Conversion = fn(&Tensor, DType) -> Result<Tensor>;

/// Runs an operation on inputs of which the first is kept in bf16.
pub(crate) fn run_half(operation: Operation<'_>, inputs: &[Array], convert: Conversion) -> Outcome {
    let half: Operation<'_> = &|t| {
        let mut t = t.to_vec();
        t[0] = convert(&t[0], DType::BF16)?;
        convert(&operation(&t)?, DType::F32)
    };
    run(half, inputs)
}

/// What is kept in bf16 is what single precision gives of the same numbers, rounded, for any number of threads; here and composed.
fn hold_half(case: &Case<'_>) {
    let inputs = rounded(case);
    let runs: Vec<Outcome> =
        pools().iter().map(|pool| pool.install(|| run_half(case.here, &inputs, keep_as))).collect();
    assert!(runs[1..].iter().all(|other| same_bits(&runs[0], other)), "{}: threads change bf16", case.name);
    let single = run(case.here, &inputs);
    for half in [&runs[0], &run_half(case.composed, &inputs, Tensor::to_dtype)] {
        // A value near zero may fall on the other side of a ReLU: single ones may differ, all together must not.
        let part = apart(half, &single);
        assert!(part < 0.1, "{}: in bf16 it is off by {part:.3}", case.name);
    }
}

/// How far outputs or gradients are apart, as a part of their size: the most of them.
pub(crate) fn apart(ours: &Outcome, theirs: &Outcome) -> f64 {
    let of = |(ours, theirs): (&Vec<f32>, &Vec<f32>)| {
        assert_eq!(ours.len(), theirs.len(), "lengths differ");
        let pairs = || ours.iter().zip(theirs).map(|(ours, theirs)| (f64::from(*ours), f64::from(*theirs)));
        let error: f64 = pairs().map(|(ours, theirs)| (ours - theirs).powi(2)).sum();
        let size: f64 = pairs().map(|(_, theirs)| theirs.powi(2)).sum();
        (error / size.max(1e-4)).sqrt()
    };
    let gradients = ours.1.iter().zip(&theirs.1);
    // NaN is larger than anything.
    std::iter::once((&ours.0, &theirs.0)).chain(gradients).map(of).max_by(f64::total_cmp).unwrap_or(0.0)
}

/// Compares some coordinates of a gradient with central differences of the oracle.
fn differences(case: &Case<'_>, input: usize, gradient: &[f32]) {
    let step = 1e-6;
    let largest = gradient.iter().fold(0.0f64, |largest, &value| largest.max(f64::from(value).abs()));
    for sample in 0..5u64 {
        let at = (noise(77 + input as u64, sample).abs() * gradient.len() as f64) as usize % gradient.len();
        let loss = |shift: f64| {
            let mut inputs = case.inputs.clone();
            inputs[input].values[at] += shift;
            let y = (case.oracle)(&inputs);
            y.values.iter().zip(weights(&y.dims).values).map(|(y, weight)| y * weight).sum::<f64>()
        };
        let expected = (loss(step) - loss(-step)) / (2.0 * step);
        let error = (f64::from(gradient[at]) - expected).abs();
        assert!(
            error <= 1e-4 * largest.max(0.1),
            "{}: gradient {input} at {at} is {}, but finite differences give {expected}",
            case.name,
            gradient[at]
        );
    }
}

/// The fixed weights that turn an output into a loss.
fn weights(dims: &[usize]) -> Array {
    Array::noise(dims, 4242)
}

pub(crate) fn run(operation: Operation<'_>, inputs: &[Array]) -> Outcome {
    let vars: Vec<Var> = inputs.iter().map(|input| Var::from_tensor(&input.tensor()).unwrap()).collect();
    let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
    let (y, tape) = Tape::record(|| operation(&tensors)).unwrap();
    let found = tape.backward_from(&y, &weights(y.dims()).tensor()).unwrap();
    let gradients = vars.iter().map(|var| {
        let gradient = found.get(var).expect("a gradient for each input");
        numbers(&gradient.tensor().unwrap())
    });
    (numbers(&y), gradients.collect())
}

pub(crate) fn same_bits(a: &Outcome, b: &Outcome) -> bool {
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    bits(&a.0) == bits(&b.0) && a.1.iter().zip(&b.1).all(|(a, b)| bits(a) == bits(b))
}

/// Batch norm alone: behind a convolution that changes nothing.
pub(crate) fn batch_norm(
    x: &Hwnc,
    norm: Normalisation<'_>,
    residual: Option<&Hwnc>,
    composed: bool,
) -> Result<(Hwnc, Option<BatchStatistics>)> {
    let c = x.channels();
    let same = Tensor::eye(c, DType::F32, &device())?.reshape((1, 1, c, c))?;
    let conv_norm =
        if composed { frostline_kernels::composed::conv_norm } else { frostline_kernels::conv_norm };
    conv_norm(x, &same, None, ConvSpec::square(1, 0), norm, residual)
}

/// Pools of 1, 2 and 3 threads.
pub(crate) fn pools() -> &'static [ThreadPool; 3] {
    static POOLS: OnceLock<[ThreadPool; 3]> = OnceLock::new();
    POOLS.get_or_init(|| [1, 2, 3].map(|n| ThreadPoolBuilder::new().num_threads(n).build().unwrap()))
}

pub(crate) fn numbers(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// Within 1e-4 of the largest expected value.
pub(crate) fn close(what: &str, ours: &[f32], expected: &[f64]) {
    within(what, ours, expected, 1e-4);
}

/// Within `tolerance` of the largest expected value.
pub(crate) fn within(what: &str, ours: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(ours.len(), expected.len(), "{what}: lengths differ");
    let largest = expected.iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
    for (index, (ours, expected)) in ours.iter().zip(expected).enumerate() {
        let error = (f64::from(*ours) - expected).abs();
        assert!(
            error <= tolerance * largest.max(1e-2),
            "{what}: value {index} is {ours}, expected {expected}"
        );
    }
}

/// Property tests draw the same cases on every run: results are reproducible, as everything else here.
pub(crate) fn properties(cases: u32) -> Config {
    Config { cases, rng_seed: RngSeed::Fixed(20), failure_persistence: None, ..Config::default() }
}
