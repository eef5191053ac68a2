//! Optimizer updates against their definitions in double precision, and the norm of a gradient.

use std::cell::RefCell;
use std::collections::HashMap;

use candle_core::{Tensor, Var};
use frostline_kernels::optim::{AdamStep, Moments, SgdStep, State, adam, sgd, squared_norm};
use frostline_kernels::{Gradient, Tape, composed, linear};

use super::harness::{Array, close, device, noise, numbers, pools};

/// For those who run them elsewhere than as tests.
pub(crate) const GATES: &[super::session::Gate] = &[
    ("sgd follows its definition", sgd_follows_its_definition),
    ("adam and adamw follow their definitions", adam_and_adamw_follow_their_definitions),
    ("stored state goes on where it stopped", stored_state_goes_on_where_it_stopped),
    ("a parameter on the tape is updated where it is", a_parameter_on_the_tape_is_updated_where_it_is),
    ("the norm is a sum in a fixed order", the_norm_is_a_sum_in_a_fixed_order),
    (
        "the gradient of a linear layer gives the same update in factors and whole",
        the_gradient_of_a_linear_layer_gives_the_same_update_in_factors_and_whole,
    ),
    ("a sum takes the steps of its copies", a_sum_takes_the_steps_of_its_copies),
];

/// More than one block, and not a multiple of a lane.
const SIZE: usize = 40_003;
const STEPS: u64 = 6;

fn start() -> Array {
    Array::noise(&[SIZE], 1)
}

fn gradient(step: u64) -> Array {
    Array::noise(&[SIZE], 10 + step)
}

/// Runs the steps in pools of 1, 2 and 3 threads, which must agree to the bit, and returns the parameter.
fn in_every_pool(run: impl Fn(&Var) + Sync) -> Vec<f32> {
    let results: Vec<Vec<u32>> = pools()
        .iter()
        .map(|pool| {
            let var = Var::from_tensor(&start().tensor()).unwrap();
            pool.install(|| run(&var));
            numbers(&var).iter().map(|value| value.to_bits()).collect()
        })
        .collect();
    assert!(results[0] == results[1] && results[0] == results[2], "thread counts change the bits");
    results[0].iter().map(|bits| f32::from_bits(*bits)).collect()
}

#[cfg_attr(test, test)]
fn sgd_follows_its_definition() {
    for (momentum, nesterov, weight_decay, grad_scale) in
        [(0.0, false, 0.0, 1.0), (0.0, false, 0.1, 0.5), (0.9, false, 0.01, 1.0), (0.9, true, 0.01, 0.25)]
    {
        let step = SgdStep { lr: 0.1, momentum, nesterov, weight_decay, grad_scale };
        let mut expected = start().values;
        let mut velocity = vec![0.0; SIZE];
        for index in 0..STEPS {
            for ((p, g), v) in expected.iter_mut().zip(gradient(index).values).zip(&mut velocity) {
                let g = g * f64::from(grad_scale) + weight_decay * *p;
                *v = momentum * *v + g;
                *p -= step.lr * if nesterov { g + momentum * *v } else { *v };
            }
        }
        let ours = in_every_pool(|var| {
            let mut velocity = None;
            for index in 0..STEPS {
                sgd(var, &gradient(index).tensor().into(), &mut velocity, &step).unwrap();
            }
            assert_eq!(velocity.is_some(), momentum != 0.0);
        });
        close("sgd", &ours, &expected);
        let var = Var::from_tensor(&start().tensor()).unwrap();
        let mut velocity = var.zeros_like().unwrap();
        for index in 0..STEPS {
            let velocity = (momentum != 0.0).then_some(&mut velocity);
            composed::sgd(&var, &gradient(index).tensor(), velocity, &step).unwrap();
        }
        close("composed sgd", &numbers(&var), &expected);
    }
}

fn adam_step(weight_decay: f64, decoupled: bool, step: u64) -> AdamStep {
    AdamStep { lr: 0.01, beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay, decoupled, step, grad_scale: 0.5 }
}

#[cfg_attr(test, test)]
fn adam_and_adamw_follow_their_definitions() {
    for (weight_decay, decoupled) in [(0.0, false), (0.1, false), (0.1, true)] {
        let mut expected = start().values;
        let (mut first, mut second) = (vec![0.0; SIZE], vec![0.0; SIZE]);
        for index in 1..=STEPS {
            let s = adam_step(weight_decay, decoupled, index);
            let corrections = (1.0 - s.beta1.powi(index as i32), 1.0 - s.beta2.powi(index as i32));
            for (at, g) in gradient(index).values.into_iter().enumerate() {
                let mut g = g * f64::from(s.grad_scale);
                if decoupled {
                    expected[at] *= 1.0 - s.lr * weight_decay;
                } else {
                    g += weight_decay * expected[at];
                }
                first[at] = s.beta1 * first[at] + (1.0 - s.beta1) * g;
                second[at] = s.beta2 * second[at] + (1.0 - s.beta2) * g * g;
                expected[at] -=
                    s.lr * (first[at] / corrections.0) / ((second[at] / corrections.1).sqrt() + s.eps);
            }
        }
        let ours = in_every_pool(|var| {
            let mut moments = Moments::zeros_like(var).unwrap();
            for index in 1..=STEPS {
                let step = adam_step(weight_decay, decoupled, index);
                adam(var, &gradient(index).tensor().into(), &mut moments, &step).unwrap();
            }
        });
        close("adam", &ours, &expected);
        let var = Var::from_tensor(&start().tensor()).unwrap();
        let (mut first, mut second) = (var.zeros_like().unwrap(), var.zeros_like().unwrap());
        for index in 1..=STEPS {
            let step = adam_step(weight_decay, decoupled, index);
            composed::adam(&var, &gradient(index).tensor(), &mut first, &mut second, &step).unwrap();
        }
        close("composed adam", &numbers(&var), &expected);
    }
}

#[cfg_attr(test, test)]
fn stored_state_goes_on_where_it_stopped() {
    let run = |store: bool| {
        let var = Var::from_tensor(&start().tensor()).unwrap();
        let mut moments = Moments::zeros_like(&var).unwrap();
        for index in 1..=STEPS {
            if store && index == 3 {
                let again = |state: &State| State::from_tensor(&state.to_tensor().unwrap()).unwrap();
                moments = Moments { first: again(&moments.first), second: again(&moments.second) };
            }
            adam(&var, &gradient(index).tensor().into(), &mut moments, &adam_step(0.0, true, index)).unwrap();
        }
        numbers(&var)
    };
    assert_eq!(run(false), run(true));
}

#[cfg_attr(test, test)]
fn a_parameter_on_the_tape_is_updated_where_it_is() {
    let var = Var::from_tensor(&Array::noise(&[3, 5], 1).tensor()).unwrap();
    let seen = var.as_tensor().clone();
    let loss = var.sqr().unwrap().sum_all().unwrap();
    let grad = loss.backward().unwrap().get(&var).unwrap().clone();
    let before = numbers(&seen);
    let step = SgdStep { lr: 0.25, momentum: 0.0, nesterov: false, weight_decay: 0.0, grad_scale: 1.0 };
    sgd(&var, &grad.into(), &mut None, &step).unwrap();
    let expected: Vec<f64> = before.iter().map(|x| 0.5 * f64::from(*x)).collect();
    close("every holder of the parameter", &numbers(&seen), &expected);
}

#[cfg_attr(test, test)]
fn the_norm_is_a_sum_in_a_fixed_order() {
    let grad = gradient(0);
    let expected: f64 = grad.values.iter().map(|x| x * x).sum();
    let norms = pools().each_ref().map(|pool| pool.install(|| squared_norm(&grad.tensor().into()).unwrap()));
    assert!(norms[0].to_bits() == norms[1].to_bits() && norms[0].to_bits() == norms[2].to_bits());
    assert!((norms[0] / expected - 1.0).abs() < 1e-6);
    assert!((composed::squared_norm(&grad.tensor()).unwrap() / expected - 1.0).abs() < 1e-5);
    let strided = Tensor::from_vec((0..6).map(|i| noise(1, i) as f32).collect(), (2, 3), &device());
    let strided = strided.unwrap().t().unwrap();
    assert!(
        (squared_norm(&strided.into()).unwrap() - (0..6).map(|i| noise(1, i).powi(2)).sum::<f64>()).abs()
            < 1e-6
    );
}

#[cfg_attr(test, test)]
fn the_gradient_of_a_linear_layer_gives_the_same_update_in_factors_and_whole() {
    // Columns that fill one block, and that leave a narrow one; rows that do not fill their task.
    for (n, rows, cols) in [(3, 130, 1100), (5, 700, 30), (2, 9, 2048)] {
        let x = Array::noise(&[n, rows], 1);
        let weights = || Var::from_tensor(&Array::noise(&[rows, cols], 2).tensor()).unwrap();
        let dy = Array::noise(&[n, cols], 3);
        let var = weights();
        let (y, tape) = Tape::record(|| linear(&x.tensor(), var.as_tensor(), None)).unwrap();
        let gradients = tape.backward_from(&y, &dy.tensor()).unwrap();
        let gradient = gradients.get(&var).unwrap();
        assert_eq!(gradient.dims(), [rows, cols]);
        let whole = gradient.tensor().unwrap();
        let expected: Vec<f64> = (0..rows * cols)
            .map(|at| (0..n).map(|i| x.values[i * rows + at / cols] * dy.values[i * cols + at % cols]).sum())
            .collect();
        close("gradient of the weights", &numbers(&whole), &expected);
        let updated = |gradient: &Gradient| {
            let (var, mut moments, mut velocity) =
                (weights(), Moments::zeros_like(&weights()).unwrap(), None);
            adam(&var, gradient, &mut moments, &adam_step(0.1, true, 1)).unwrap();
            let step =
                SgdStep { lr: 0.1, momentum: 0.9, nesterov: true, weight_decay: 0.01, grad_scale: 0.5 };
            sgd(&var, gradient, &mut velocity, &step).unwrap();
            let plain = SgdStep { momentum: 0.0, nesterov: false, ..step };
            sgd(&var, gradient, &mut None, &plain).unwrap();
            numbers(&var)
        };
        assert_eq!(updated(gradient), updated(&whole.into()));
    }
}

/// Parameters that start apart and have the same gradient; their sum, and how far they are from their mean.
const COPIES: usize = 3;

/// Steps each of some copies, and their sum, with the differences from the mean of the copies as one factor.
fn hold_sum_to_copies(update: &dyn Fn(&Var, &Gradient, usize, u64)) {
    let copies: Vec<Var> = (0..COPIES)
        .map(|i| Var::from_tensor(&Array::noise(&[SIZE], 70 + i as u64).tensor()).unwrap())
        .collect();
    let mean = |vars: &[Var]| {
        let all: Vec<Vec<f32>> = vars.iter().map(|var| numbers(var)).collect();
        (0..SIZE)
            .map(|i| all.iter().map(|v| f64::from(v[i])).sum::<f64>() / COPIES as f64)
            .collect::<Vec<_>>()
    };
    let first = mean(&copies);
    let apart = numbers(&copies[0]).iter().zip(&first).map(|(v, m)| f64::from(*v) - m).collect::<Vec<_>>();
    let sum: Vec<f32> = first.iter().map(|mean| (mean * COPIES as f64) as f32).collect();
    let sum = Var::from_vec(sum, SIZE, &device()).unwrap();
    let factor = Var::ones(1, candle_core::DType::F32, &device()).unwrap();
    let nothing = Gradient::from(Array::zeros(&[1]).tensor());
    for step in 1..=STEPS {
        let gradient = Gradient::from(gradient(step).tensor());
        copies.iter().for_each(|copy| update(copy, &gradient, 1, step));
        update(&sum, &gradient, COPIES, step);
        update(&factor, &nothing, 1, step);
    }
    let last = mean(&copies);
    let scaled: Vec<f64> = last.iter().map(|mean| mean * COPIES as f64).collect();
    close("the sum", &numbers(&sum), &scaled);
    let factor = f64::from(numbers(&factor)[0]);
    let expected: Vec<f64> = last.iter().zip(&apart).map(|(mean, apart)| mean + factor * apart).collect();
    close("a copy", &numbers(&copies[0]), &expected);
}

#[cfg_attr(test, test)]
fn a_sum_takes_the_steps_of_its_copies() {
    for (momentum, nesterov) in [(0.0, false), (0.9, false), (0.9, true)] {
        let velocities = RefCell::new(HashMap::new());
        hold_sum_to_copies(&|var, gradient, copies, _| {
            let step = SgdStep { lr: 0.1, momentum, nesterov, weight_decay: 0.1, grad_scale: 0.5 };
            let mut velocities = velocities.borrow_mut();
            let velocity = velocities.entry(var.id()).or_insert(None);
            sgd(var, gradient, velocity, &step.of_sum(copies)).unwrap();
        });
    }
    for (weight_decay, decoupled) in [(0.0, false), (2.0, true)] {
        let moments = RefCell::new(HashMap::new());
        hold_sum_to_copies(&|var, gradient, copies, step| {
            let mut moments = moments.borrow_mut();
            let moments = moments.entry(var.id()).or_insert_with(|| Moments::zeros_like(var).unwrap());
            adam(var, gradient, moments, &adam_step(weight_decay, decoupled, step).of_sum(copies)).unwrap();
        });
    }
}
