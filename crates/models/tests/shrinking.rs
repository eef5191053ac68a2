//! The shrunk network is held to the unshrunk one, and the folded to the whole: outputs, gradients, twenty steps of each
//! optimizer, and what is written to a file afterwards.

use candle_core::{Device, Tensor, Var};
use frostline_allocator as _;
use frostline_kernels::optim::{AdamStep, Moments, SgdStep, State, adam, sgd};
use frostline_kernels::{Gradient, Gradients, Hwnc, Tape, cross_entropy};
use frostline_models::{BuildSpec, HeadPolicy, Model, ModelError, Parameter, Pass, build, build_unshrunk};
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

/// What an optimizer moves: variables with their gradients, and of how many numbers each of theirs is the sum.
fn moved(model: &Model, gradients: &Gradients) -> Vec<(Var, Gradient, usize)> {
    let mut moved = Vec::new();
    for parameter in model.parameters() {
        let gradient = gradients.get(parameter.var()).unwrap().clone();
        let count = parameter.copies().map_or(1, |copies| copies.count());
        moved.push((parameter.var().clone(), gradient, count));
        if let Some(copies) = parameter.copies() {
            let nothing = copies.factor().zeros_like().unwrap();
            moved.push((copies.factor().clone(), nothing.into(), 1));
        }
    }
    moved
}

/// The losses of `count` steps of an optimizer.
fn steps(model: &Model, count: usize, mut update: impl FnMut(usize, &[(Var, Gradient, usize)])) -> Vec<f32> {
    let step = |step| {
        let (loss, gradients) = gradients(model, step % 3);
        update(step, &moved(model, &gradients));
        loss
    };
    (0..count).map(step).collect()
}

fn sgd_steps(model: &Model, count: usize, weight_decay: f64) -> Vec<f32> {
    let mut velocities: Vec<Option<State>> = Vec::new();
    let step = SgdStep { lr: 0.01, momentum: 0.9, nesterov: true, weight_decay, grad_scale: 1.0 };
    steps(model, count, |_, moved| {
        velocities.resize(moved.len(), None);
        for ((var, gradient, count), velocity) in moved.iter().zip(&mut velocities) {
            sgd(var, gradient, velocity, &step.of_sum(*count)).unwrap();
        }
    })
}

fn adam_steps(model: &Model, count: usize, weight_decay: f64) -> Vec<f32> {
    let mut moments: Vec<Moments> = Vec::new();
    steps(model, count, |step, moved| {
        let decoupled = weight_decay != 0.0;
        let (lr, beta1, beta2, eps) = (1e-4, 0.9, 0.999, 1e-8);
        let step = step as u64 + 1;
        let step = AdamStep { lr, beta1, beta2, eps, weight_decay, decoupled, step, grad_scale: 1.0 };
        if moments.is_empty() {
            moments = moved.iter().map(|(var, ..)| Moments::zeros_like(var).unwrap()).collect();
        }
        for ((var, gradient, count), moments) in moved.iter().zip(&mut moments) {
            adam(var, gradient, moments, &step.of_sum(*count)).unwrap();
        }
    })
}

/// Training without weight decay, which would shrink also what sees no data, or with AdamW's.
const TRAININGS: [fn(&Model) -> Vec<f32>; 3] = [
    |model| sgd_steps(model, 20, 0.0),
    |model| adam_steps(model, 20, 0.0),
    |model| adam_steps(model, 20, 0.05),
];

#[test]
fn twenty_steps_of_each_optimizer_stay_together() {
    for train in TRAININGS {
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
    sgd_steps(&shrunk, 20, 0.0);
    let after = shrunk.state_dict().unwrap();
    let name = "layer4.1.conv2.weight";
    let (before, after) = (numbers(before.get(name).unwrap()), numbers(after.get(name).unwrap()));
    for (index, (before, after)) in before.iter().zip(&after).enumerate() {
        // The tap in the middle of nine.
        assert_eq!(before != after, index % 9 == 4, "value {index}");
    }
}

/// A folded VGG-11, and the whole one with the same numbers.
fn folded(height: usize, width: usize) -> (Model, Model) {
    let (mut folded, whole) = pair("vgg11", height, width);
    assert_eq!(folded.fold().unwrap(), 1);
    assert_eq!(folded.fold().unwrap(), 1, "a model that is folded stays so");
    (folded, whole)
}

const FC6: &str = "classifier.0.weight";

fn parameter<'a>(model: &'a Model, name: &str) -> &'a Parameter {
    model.parameters().iter().find(|parameter| parameter.name() == name).unwrap()
}

#[test]
fn a_folded_vgg_gives_the_outputs_and_gradients_of_the_whole() {
    for (height, width, sums) in [(32, 32, 1), (64, 40, 7)] {
        let (folded, whole) = folded(height, width);
        assert_eq!(parameter(&folded, FC6).var().dims(), [sums * 512, 4096]);
        assert_eq!(parameter(&folded, FC6).copies().unwrap().count(), 49 / sums);
        let logits =
            |model: &Model| numbers(&model.forward(&images(height, width, 0), &Pass::Evaluate).unwrap());
        assert!(difference(&logits(&folded), &logits(&whole)) < 1e-5);
        let (ours, theirs) = (gradients(&folded, 0), gradients(&whole, 0));
        assert!((ours.0 - theirs.0).abs() < 1e-5);
        for (a, b) in folded.parameters().iter().zip(whole.parameters()) {
            let a_gradient = numbers(&a.to_torch(&ours.1.get(a.var()).unwrap().tensor().unwrap()).unwrap());
            let b_gradient = numbers(&b.to_torch(&theirs.1.get(b.var()).unwrap().tensor().unwrap()).unwrap());
            let difference = difference(&a_gradient, &b_gradient);
            assert!(difference < 2e-4, "{height}x{width}: {}: {difference}", a.name());
        }
        let fc6 = |model: &Model| numbers(&parameter(model, FC6).torch_values().unwrap());
        assert!(fc6(&folded) == fc6(&whole), "what did not move is written as it was");
    }
}

fn distance(a: &Tensor, b: &Tensor) -> f64 {
    let squares = numbers(a).into_iter().zip(numbers(b)).map(|(a, b)| f64::from(a - b).powi(2));
    squares.sum::<f64>().sqrt()
}

#[test]
fn a_folded_vgg_trains_to_the_tensors_of_the_whole() {
    let (folded, whole) = folded(32, 32);
    let start = whole.state_dict().unwrap();
    for train in [
        |model: &Model| sgd_steps(model, 4, 0.1),
        |model: &Model| adam_steps(model, 4, 0.0),
        |model: &Model| adam_steps(model, 4, 5.0),
    ] {
        for model in [&folded, &whole] {
            model.load(&start, HeadPolicy::Keep).unwrap();
        }
        for (step, (ours, theirs)) in train(&folded).iter().zip(train(&whole)).enumerate() {
            assert!((ours - theirs).abs() < 0.01 * theirs.abs().max(0.1), "step {step}: {ours} and {theirs}");
        }
        for (a, b) in folded.parameters().iter().zip(whole.parameters()) {
            let (ours, theirs) = (a.torch_values().unwrap(), b.torch_values().unwrap());
            assert_eq!(ours.dims(), b.shape());
            let share = distance(&ours, &theirs) / distance(&theirs, start.get(a.name()).unwrap());
            // Adam's steps are as large for the smallest gradients, which round differently everywhere.
            let limit = if a.copies().is_some() { 5e-3 } else { 5e-2 };
            assert!(share < limit, "{}: {share} of the way", a.name());
        }
        // What is written is the same function, whole or folded.
        let logits = |model: &Model| numbers(&model.forward(&images(32, 32, 0), &Pass::Evaluate).unwrap());
        let (trained, dict) = (logits(&folded), folded.state_dict().unwrap());
        for model in [&whole, &folded] {
            model.load(&dict, HeadPolicy::Keep).unwrap();
            assert!(difference(&logits(model), &trained) < 1e-5);
        }
        let factor = parameter(&folded, FC6).copies().unwrap().factor();
        assert_eq!(numbers(factor), [1.0]);
    }
}
