//! What a strategy rests on: a frozen prefix without a tape, gradients for what is trainable and nothing else, running
//! statistics that move only where they should, and dropout keyed by example.

use std::ops::Range;

use candle_core::{Device, Tensor};
use frostline_kernels::{Hwnc, Tape, cross_entropy};
use frostline_models::{Activation, BatchNormMode, BuildSpec, Model, ModelError, Pass, Role, build};
use frostline_streams::Streams;

const EXAMPLES: [u32; 3] = [5, 0, 9];

fn resnet() -> Model {
    build("resnet18", &BuildSpec { classes: 7, height: 33, width: 50, seed: 4 }).unwrap()
}

fn images(model: &Model, batch: usize) -> Hwnc {
    let (height, width) = (model.spec().height, model.spec().width);
    let values = (0..height * width * batch * 3).map(|i| ((i * 37 % 101) as f32 - 50.0) / 40.0).collect();
    Hwnc::from_vec(values, (height, width, batch, 3), &Device::Cpu).unwrap()
}

fn train_pass(epoch: u64) -> Pass<'static> {
    Pass::Train { streams: Streams::new(8), epoch, examples: &EXAMPLES }
}

fn train_only(model: &Model, stages: Range<usize>) {
    model.parameters().iter().for_each(|p| p.set_trainable(stages.contains(&p.stage())));
    for norm in model.norms() {
        let batch = stages.contains(&norm.stage());
        norm.set_mode(if batch { BatchNormMode::Batch } else { BatchNormMode::Running });
    }
}

fn statistics(model: &Model) -> Vec<(usize, Vec<f32>, i64)> {
    let one = |norm: &frostline_models::BatchNorm| {
        let mut values: Vec<f32> = norm.running_mean().to_vec1().unwrap();
        values.extend(norm.running_variance().to_vec1::<f32>().unwrap());
        (norm.stage(), values, norm.batches_tracked())
    };
    model.norms().iter().map(|norm| one(norm)).collect()
}

fn gradients(model: &Model) -> Vec<bool> {
    let forward = || {
        let logits = model.forward(&images(model, 3), &train_pass(1))?;
        Ok::<_, ModelError>(cross_entropy(&logits, &[0, 6, 2], 0.0)?)
    };
    let (loss, tape) = Tape::record(forward).unwrap();
    let gradients = tape.backward(&loss).unwrap();
    model.parameters().iter().map(|p| gradients.get(p.var()).is_some()).collect()
}

#[test]
fn a_middle_slice_trains_between_frozen_sides() {
    let model = resnet();
    let before = statistics(&model);
    train_only(&model, 2..4);
    for (has, parameter) in gradients(&model).iter().zip(model.parameters()) {
        assert_eq!(*has, (2..4).contains(&parameter.stage()), "{}", parameter.name());
    }
    for (before, after) in before.iter().zip(statistics(&model)) {
        assert_eq!(
            before.1 != after.1,
            (2..4).contains(&before.0),
            "statistics move in trainable stages alone"
        );
        assert_eq!(after.2, i64::from((2..4).contains(&before.0)));
    }
}

#[test]
fn one_kind_of_parameter_trains_alone() {
    let model = resnet();
    let norms = |role| matches!(role, Role::NormWeight | Role::NormBias);
    model.parameters().iter().for_each(|p| p.set_trainable(norms(p.role())));
    for (has, parameter) in gradients(&model).iter().zip(model.parameters()) {
        assert_eq!(*has, norms(parameter.role()), "{}", parameter.name());
    }
}

#[test]
fn a_frozen_prefix_makes_no_tape() {
    let model = resnet();
    train_only(&model, 5..6);
    let prefix = || model.forward_range(0..5, images(&model, 3), &train_pass(1));
    let (features, tape) = Tape::record(prefix).unwrap();
    assert!(tape.is_empty());
    let (_, tape) = Tape::record(|| model.forward_range(5..6, features, &train_pass(1))).unwrap();
    assert_eq!(tape.len(), 1, "the linear layer of the head");
}

#[test]
fn stages_fold_to_the_whole_and_an_evaluation_moves_nothing() {
    let model = resnet();
    let before = statistics(&model);
    let whole = model.forward(&images(&model, 3), &Pass::Evaluate).unwrap();
    let mut x = Activation::from(images(&model, 3));
    for (stage, summary) in model.summary().into_iter().enumerate() {
        x = model.forward_range(stage..stage + 1, x, &Pass::Evaluate).unwrap();
        let (height, width, channels) = summary.output;
        match &x {
            Activation::Map(map) => assert_eq!(map.dims(), (height, width, 3, channels), "{}", summary.name),
            Activation::Rows(rows) => assert_eq!((rows.dims(), height, width), (&[3, channels][..], 1, 1)),
        }
    }
    let (whole, folded) =
        (whole.to_vec2::<f32>().unwrap(), x.into_tensor().unwrap().to_vec2::<f32>().unwrap());
    assert_eq!(whole, folded);
    assert_eq!(before, statistics(&model));
}

#[test]
fn inputs_that_cannot_be_are_errors_that_say_why() {
    let model = resnet();
    let other = Hwnc::from_vec(vec![0.0; 32 * 32 * 3], (32, 32, 1, 3), &Device::Cpu).unwrap();
    let error = model.forward(&other, &Pass::Evaluate).unwrap_err().to_string();
    assert!(error.contains("[33, 50, N, 3]") && error.contains("[32, 32, 1, 3]"), "{error}");

    let rows = Tensor::zeros((1, 4), candle_core::DType::F32, &Device::Cpu).unwrap();
    let error = model.forward_range(2..3, Activation::Rows(rows), &Pass::Evaluate).unwrap_err().to_string();
    assert!(error.starts_with("stage layer2: "), "{error}");
    assert!(model.forward_range(3..9, images(&model, 1), &Pass::Evaluate).is_err());

    let small = build("resnet18", &BuildSpec { classes: 7, height: 32, width: 32, seed: 4 }).unwrap();
    let pass = Pass::Train { streams: Streams::new(8), epoch: 1, examples: &[3] };
    let error = small.forward(&images(&small, 1), &pass).unwrap_err().to_string();
    assert!(
        error.contains("layer4") && error.contains("bn1") && error.contains("1 value per channel"),
        "{error}"
    );
}

#[test]
fn alexnet_too_small_names_the_smallest_that_works() {
    let error = build("alexnet", &BuildSpec { classes: 10, height: 32, width: 32, seed: 0 }).unwrap_err();
    assert_eq!(
        error.to_string(),
        "AlexNet cannot take images of 32x32: in stage conv5, features.12 is left with a map of 1x1, which is smaller \
         than its window; the smallest resolution that works is 63x63"
    );
    let error = build("resnet18", &BuildSpec { classes: 0, height: 32, width: 32, seed: 0 }).unwrap_err();
    assert_eq!(error.to_string(), "ResNet-18 needs at least one class");
}

#[test]
fn dropout_is_keyed_by_layer_epoch_and_example() {
    let model = build("alexnet", &BuildSpec { classes: 3, height: 63, width: 70, seed: 0 }).unwrap();
    let ones =
        |batch| Activation::Rows(Tensor::ones((batch, 4096), candle_core::DType::F32, &Device::Cpu).unwrap());
    let fc7 = |epoch, examples: &[u32]| {
        let pass = Pass::Train { streams: Streams::new(8), epoch, examples };
        let rows = model.forward_range(6..7, ones(examples.len()), &pass).unwrap();
        rows.into_tensor().unwrap().to_vec2::<f32>().unwrap()
    };
    let batch = fc7(1, &[5, 0, 9]);
    assert_ne!(batch[0], batch[1]);
    // Products of one row and of three may round differently; another mask would change whole numbers.
    let apart = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(apart(&batch[1], &fc7(1, &[0])[0]) < 1e-4, "a mask does not hang on its batch");
    assert!(apart(&batch[1], &fc7(2, &[0])[0]) > 1e-2);
    assert_ne!(batch[1], fc7(2, &[0])[0]);
    let evaluated = model.forward_range(6..7, ones(1), &Pass::Evaluate).unwrap().into_tensor().unwrap();
    assert!(model.forward_range(6..7, ones(2), &train_pass(1)).is_err(), "three examples for a batch of two");

    // Probability 0 is no dropout.
    model.set_dropout(0.0).unwrap();
    assert_eq!(fc7(1, &[0]), evaluated.to_vec2::<f32>().unwrap());
    assert!(model.set_dropout(1.0).is_err() && model.set_dropout(f32::NAN).is_err());
}
