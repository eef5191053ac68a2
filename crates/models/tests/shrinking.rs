//! The shrunk network is held to the unshrunk one: outputs, gradients, twenty steps of each optimizer, and what is
//! written to a file afterwards.

use candle_core::{Device, Tensor};
use frostline_kernels::optim::{AdamStep, Moments, SgdStep, State, adam, sgd};
use frostline_kernels::{Gradients, Hwnc, Tape, cross_entropy};
use frostline_models::{BuildSpec, Model, ModelError, Pass, build, build_unshrunk};
use frostline_streams::Streams;

const BATCH: usize = 5;

/// Resolutions at which some taps see nothing, square and not, and one of AlexNet at its least.
const CASES: [(&str, usize, usize); 5] = [
    ("resnet18", 32, 32),
    ("resnet18", 20, 45),
    ("resnet34", 17, 33),
    ("alexnet", 63, 63),
    // Of kernels along rows or columns, and of square ones.
    ("inception-v3", 75, 96),
];

fn pair(name: &str, height: usize, width: usize) -> (Model, Model) {
    let spec = BuildSpec { classes: 4, height, width, seed: 3 };
    (build(name, &spec).unwrap(), build_unshrunk(name, &spec).unwrap())
}

fn images(height: usize, width: usize, step: usize) -> Hwnc {
    let value = |i: usize| (((i + 977 * step) * 7919 % 1013) as f32) / 506.5 - 1.0;
    let values = (0..height * width * BATCH * 3).map(value).collect();
    Hwnc::from_vec(values, (height, width, BATCH, 3), &Device::Cpu).unwrap()
}

/// Loss and gradients of one batch.
fn gradients(model: &Model, step: usize) -> (f32, Gradients) {
    let spec = model.spec();
    let examples: Vec<u32> = (0..BATCH as u32).collect();
    let pass = Pass::Train { streams: Streams::new(1), epoch: step as u64, examples: &examples };
    let forward = || {
        let logits = model.forward(&images(spec.height, spec.width, step), &pass)?;
        Ok::<_, ModelError>(cross_entropy(&logits, &[0, 1, 2, 3, 1], 0.0)?)
    };
    let (loss, tape) = Tape::record(forward).unwrap();
    (loss.to_scalar().unwrap(), tape.backward(&loss).unwrap())
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// The largest difference, as a share of the largest value.
fn difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let scale = b.iter().fold(1e-6f32, |scale, b| scale.max(b.abs()));
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / scale
}

#[test]
fn outputs_and_gradients_are_those_of_the_whole_network() {
    for (name, height, width) in CASES {
        let (shrunk, whole) = pair(name, height, width);
        let stored = |model: &Model| model.parameters().iter().map(|p| p.var().elem_count()).sum::<usize>();
        assert_eq!(stored(&shrunk) < stored(&whole), name != "alexnet", "{name} at {height}x{width}");
        assert_eq!(stored(&whole), whole.parameters().iter().map(|p| p.elements()).sum::<usize>());
        let logits =
            |model: &Model| numbers(&model.forward(&images(height, width, 0), &Pass::Evaluate).unwrap());
        assert!(difference(&logits(&shrunk), &logits(&whole)) < 1e-5);
        let (ours, theirs) = (gradients(&shrunk, 0), gradients(&whole, 0));
        assert!((ours.0 - theirs.0).abs() < 1e-5);
        for (a, b) in shrunk.parameters().iter().zip(whole.parameters()) {
            let a_gradient = numbers(&a.to_torch(&ours.1.get(a.var()).unwrap().tensor().unwrap()).unwrap());
            let b_gradient = numbers(&b.to_torch(&theirs.1.get(b.var()).unwrap().tensor().unwrap()).unwrap());
            let difference = difference(&a_gradient, &b_gradient);
            assert!(difference < 2e-4, "{name} at {height}x{width}: {}: {difference}", a.name());
        }
    }
}

#[test]
fn resnet18_at_32_stores_what_sees_data() {
    let (shrunk, whole) = pair("resnet18", 32, 32);
    let stored = |model: &Model| model.parameters().iter().map(|p| p.var().elem_count()).sum::<usize>();
    // Of the last stage, whose maps have one pixel, one tap of nine, and four of its first convolution's.
    let dropped = 3 * 8 * 512 * 512 + 5 * 256 * 512;
    assert_eq!(stored(&whole) - stored(&shrunk), dropped);
}

/// Twenty steps of an optimizer without weight decay, which would shrink also what sees no data.
fn twenty_steps(model: &Model, mut update: impl FnMut(usize, &Model, &Gradients)) -> Vec<f32> {
    let step = |step| {
        let (loss, gradients) = gradients(model, step % 3);
        update(step, model, &gradients);
        loss
    };
    (0..20).map(step).collect()
}

fn sgd_steps(model: &Model) -> Vec<f32> {
    let mut velocities: Vec<Option<State>> = model.parameters().iter().map(|_| None).collect();
    let step = SgdStep { lr: 0.01, momentum: 0.9, nesterov: true, weight_decay: 0.0, grad_scale: 1.0 };
    twenty_steps(model, |_, model, gradients| {
        for (parameter, velocity) in model.parameters().iter().zip(&mut velocities) {
            sgd(parameter.var(), gradients.get(parameter.var()).unwrap(), velocity, &step).unwrap();
        }
    })
}

fn adam_steps(model: &Model, decoupled: bool) -> Vec<f32> {
    let zeros = |p: &std::sync::Arc<frostline_models::Parameter>| Moments::zeros_like(p.var()).unwrap();
    let mut moments: Vec<Moments> = model.parameters().iter().map(zeros).collect();
    twenty_steps(model, |step, model, gradients| {
        let weight_decay = if decoupled { 0.05 } else { 0.0 };
        let (lr, beta1, beta2, eps) = (1e-4, 0.9, 0.999, 1e-8);
        let step = step as u64 + 1;
        let step = AdamStep { lr, beta1, beta2, eps, weight_decay, decoupled, step, grad_scale: 1.0 };
        for (parameter, moments) in model.parameters().iter().zip(&mut moments) {
            adam(parameter.var(), gradients.get(parameter.var()).unwrap(), moments, &step).unwrap();
        }
    })
}

#[test]
fn twenty_steps_of_each_optimizer_stay_together() {
    for train in
        [sgd_steps, |model: &Model| adam_steps(model, false), |model: &Model| adam_steps(model, true)]
    {
        let (shrunk, whole) = pair("resnet18", 32, 32);
        for (step, (ours, theirs)) in train(&shrunk).iter().zip(train(&whole)).enumerate() {
            assert!((ours - theirs).abs() < 0.01 * theirs.abs().max(0.1), "step {step}: {ours} and {theirs}");
        }
    }
}

#[test]
fn a_file_has_every_tensor_and_what_saw_no_data_is_as_it_was() {
    let (shrunk, whole) = pair("resnet18", 32, 32);
    let before = whole.state_dict().unwrap();
    sgd_steps(&shrunk);
    let after = shrunk.state_dict().unwrap();
    let name = "layer4.1.conv2.weight";
    let (before, after) = (numbers(before.get(name).unwrap()), numbers(after.get(name).unwrap()));
    for (index, (before, after)) in before.iter().zip(&after).enumerate() {
        // The tap in the middle of nine.
        assert_eq!(before != after, index % 9 == 4, "value {index}");
    }
}
