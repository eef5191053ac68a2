//! PyTorch's numbers, from `fixtures/pytorch.json`, which `fixtures/make_fixtures.py` makes.

use candle_core::{Result, Tensor, Var};
use frostline_kernels::optim::{AdamStep, Moments, SgdStep, adam, sgd};
use frostline_kernels::{
    ConvSpec, Hwnc, NormSpec, Normalisation, PoolSpec, Tape, adaptive_avg_pool2d, avg_pool2d, conv2d,
    cross_entropy, max_pool2d, mixed_cross_entropy, oihw_to_tap_major, update_running,
    weighted_cross_entropy,
};
use serde_json::Value;

use super::harness::{batch_norm, device, numbers, within};

/// For those who run them elsewhere than as tests.
pub(crate) const GATES: &[super::session::Gate] = &[
    ("convolution", || convolution().unwrap()),
    ("batch normalisation", || batch_normalisation().unwrap()),
    ("pooling", || pooling().unwrap()),
    ("loss", || loss().unwrap()),
    ("optimizers", || optimizers().unwrap()),
];

const TOLERANCE: f64 = 2e-5;

/// The formula of `make_fixtures.py`.
fn values(seed: usize, shape: &[usize]) -> Tensor {
    let count: usize = shape.iter().product();
    let value = |index: usize| (((index * 7919 + seed * 104_729) % 2003) as f64 / 1001.5 - 1.0) as f32;
    Tensor::from_vec((0..count).map(value).collect(), shape, &device()).unwrap()
}

fn variable(seed: usize, shape: &[usize]) -> Var {
    Var::from_tensor(&values(seed, shape)).unwrap()
}

fn cases(name: &str) -> Vec<Value> {
    let fixtures: Value = serde_json::from_str(include_str!("../fixtures/pytorch.json")).unwrap();
    fixtures[name].as_array().unwrap().clone()
}

fn floats(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn sizes(value: &Value) -> Vec<usize> {
    value.as_array().unwrap().iter().map(|number| number.as_u64().unwrap() as usize).collect()
}

fn pair(value: &Value) -> (usize, usize) {
    (sizes(value)[0], sizes(value)[1])
}

/// Holds an output and the gradients of its weighted sum to the fixture's, which are in `[N, C, H, W]`.
fn hold(
    case: &Value,
    forward: impl FnOnce() -> Result<Hwnc>,
    gradients: &[(&str, &Var)],
) -> Result<Vec<usize>> {
    let what = |key: &str| format!("{key} of {}", case["input"]);
    let (y, tape) = Tape::record(forward)?;
    let nchw = y.to_nchw()?;
    within(&what("y"), &numbers(&nchw), &floats(&case["y"]), TOLERANCE);
    let weights = Hwnc::from_nchw(&values(99, nchw.dims()))?;
    let store = tape.backward_from(y.tensor(), weights.tensor())?;
    for (key, var) in gradients {
        within(
            &what(key),
            &numbers(&store.get(var).unwrap().tensor().unwrap()),
            &floats(&case[key]),
            TOLERANCE,
        );
    }
    Ok(nchw.dims().to_vec())
}

#[cfg_attr(test, test)]
fn convolution() -> Result<()> {
    for case in cases("conv") {
        let (input, kernel, outputs) =
            (sizes(&case["input"]), pair(&case["kernel"]), case["outputs"].as_u64());
        let outputs = outputs.unwrap() as usize;
        let (x, bias) = (variable(1, &input), variable(3, &[outputs]));
        let weights = variable(2, &[outputs, input[1], kernel.0, kernel.1]);
        let with_bias = case["bias"].as_bool().unwrap();
        let spec = ConvSpec { stride: pair(&case["stride"]), padding: pair(&case["padding"]) };
        let mut gradients = vec![("dx", &x), ("dw", &weights)];
        gradients.extend(with_bias.then_some(("db", &bias)));
        let forward = || {
            let weights = oihw_to_tap_major(&weights)?;
            conv2d(&Hwnc::from_nchw(&x)?, &weights, with_bias.then_some(bias.as_tensor()), spec)
        };
        hold(&case, forward, &gradients)?;
    }
    Ok(())
}

#[cfg_attr(test, test)]
fn batch_normalisation() -> Result<()> {
    for case in cases("batch_norm") {
        let input = sizes(&case["input"]);
        let c = &input[1..2];
        let (x, gamma, beta, residual) =
            (variable(1, &input), variable(2, c), variable(3, c), variable(4, &input));
        let (mean, variance) = (variable(5, c), Var::from_tensor(&(values(6, c) + 1.5)?)?);
        let spec = NormSpec { eps: case["eps"].as_f64().unwrap(), relu: case["relu"].as_bool().unwrap() };
        let with_residual = case["residual"].as_bool().unwrap();
        let added = with_residual.then(|| Hwnc::from_nchw(&residual)).transpose()?;
        let hwnc = Hwnc::from_nchw(&x)?;
        let (running_mean, running_variance) = (mean.as_detached_tensor(), variance.as_detached_tensor());
        let training = case["training"].as_bool().unwrap();
        let running = (!training).then_some((&running_mean, &running_variance));
        let forward = || {
            let norm = Normalisation { gamma: &gamma, beta: &beta, running, spec };
            let (y, statistics) = batch_norm(&hwnc, norm, added.as_ref(), false)?;
            if let Some(statistics) = statistics {
                update_running(&mean, &variance, &statistics, 0.1)?;
            }
            Ok(y)
        };
        let mut gradients = vec![("dx", &x), ("dgamma", &gamma), ("dbeta", &beta)];
        gradients.extend(with_residual.then_some(("dresidual", &residual)));
        hold(&case, forward, &gradients)?;
        within("running mean", &numbers(&mean), &floats(&case["mean"]), TOLERANCE);
        within("running variance", &numbers(&variance), &floats(&case["variance"]), TOLERANCE);
    }
    Ok(())
}

#[cfg_attr(test, test)]
fn pooling() -> Result<()> {
    for case in cases("pool") {
        let x = variable(1, &sizes(&case["input"]));
        let spec = PoolSpec {
            kernel: pair(&case["kernel"]),
            stride: pair(&case["stride"]),
            padding: pair(&case["padding"]),
            ceil: case["ceil"].as_bool().unwrap(),
            count_include_pad: case["include"].as_bool().unwrap(),
        };
        let pool = if case["kind"] == "max" { max_pool2d } else { avg_pool2d };
        let dims = hold(&case, || pool(&Hwnc::from_nchw(&x)?, spec), &[("dx", &x)])?;
        assert_eq!(dims, sizes(&case["output"]), "{case}");
    }
    for case in cases("adaptive") {
        let x = variable(1, &sizes(&case["input"]));
        let forward = || adaptive_avg_pool2d(&Hwnc::from_nchw(&x)?, pair(&case["size"]));
        hold(&case, forward, &[("dx", &x)])?;
    }
    Ok(())
}

#[cfg_attr(test, test)]
fn loss() -> Result<()> {
    let all = ["loss", "mixed_loss", "weighted_loss"].into_iter().flat_map(cases);
    for case in all {
        let input = sizes(&case["input"]);
        let logits = variable(1, &input);
        let labels = |by: usize, from: usize| -> Vec<u32> {
            (0..input[0]).map(|row| ((row * by + from) % input[1]) as u32).collect()
        };
        let (labels, others) = (labels(5, 2), labels(3, 1));
        let smoothing = case["smoothing"].as_f64().unwrap();
        let (y, tape) = Tape::record(|| {
            let logits = (logits.as_tensor() * 4.0)?;
            match (case["share"].as_f64(), case["weights"].is_array()) {
                (Some(share), _) => mixed_cross_entropy(&logits, (&labels, &others), share, smoothing),
                (None, true) => {
                    let weights = floats(&case["weights"]);
                    weighted_cross_entropy(&logits, &labels, &weights, smoothing)
                }
                (None, false) => cross_entropy(&logits, &labels, smoothing),
            }
        })?;
        within("loss", &numbers(&y), &floats(&case["y"]), TOLERANCE);
        let store = tape.backward(&y)?;
        within(
            "its gradient",
            &numbers(&store.get(&logits).unwrap().tensor().unwrap()),
            &floats(&case["dx"]),
            TOLERANCE,
        );
    }
    Ok(())
}

#[cfg_attr(test, test)]
fn optimizers() -> Result<()> {
    for case in cases("optimizer") {
        let option = |key: &str, default: f64| case["options"][key].as_f64().unwrap_or(default);
        let kind = case["kind"].as_str().unwrap();
        let var = variable(1, &[5, 7]);
        let (mut velocity, mut moments) = (None, Moments::zeros_like(&var)?);
        for (step, after) in case["after"].as_array().unwrap().iter().enumerate() {
            let grad = values(10 + step, &[5, 7]);
            if kind == "SGD" {
                let step = SgdStep {
                    lr: option("lr", f64::NAN),
                    momentum: option("momentum", 0.0),
                    nesterov: case["options"]["nesterov"] == true,
                    weight_decay: option("weight_decay", 0.0),
                    grad_scale: 1.0,
                };
                sgd(&var, &grad.into(), &mut velocity, &step)?;
            } else {
                let step = AdamStep {
                    lr: option("lr", f64::NAN),
                    beta1: 0.9,
                    beta2: 0.999,
                    eps: 1e-8,
                    weight_decay: option("weight_decay", 0.0),
                    decoupled: kind == "AdamW",
                    step: step as u64 + 1,
                    grad_scale: 1.0,
                };
                adam(&var, &grad.into(), &mut moments, &step)?;
            }
            let what = format!("{kind} {} after step {step}", case["options"]);
            within(&what, &numbers(&var), &floats(after), 1e-6);
        }
    }
    Ok(())
}
