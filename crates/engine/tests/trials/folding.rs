//! Models that train sums of weights are held to the whole ones, under every recipe that sums can train with.

use candle_core::{Device, Tensor};
use frostline_engine::{
    EngineError, Keep, Optimizer, OptimizerKind, Recipe, Silent, Strategy, fold, freeze, parts_of,
};
use frostline_kernels::{Hwnc, Tape, cross_entropy};
use frostline_models::{BuildSpec, HeadPolicy, Model, ModelError, Pass};
use frostline_streams::Streams;

use crate::harness::{Trial, drawn, recipe};

const SGD: OptimizerKind = OptimizerKind::Sgd { momentum: 0.9, nesterov: true };
const FC6: &str = "classifier.0.weight";

fn vgg() -> Model {
    drawn("vgg11", BuildSpec { classes: 4, height: 32, width: 32, seed: 3 })
}

/// torchvision's values of the weight that is folded.
fn fc6(model: &Model) -> Vec<f32> {
    let parameter = model.parameters().iter().find(|parameter| parameter.name() == FC6).unwrap();
    parameter.torch_values().unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn factor(model: &Model) -> f64 {
    let copies = model.parameters().iter().find_map(|parameter| parameter.copies()).unwrap();
    f64::from(copies.factor().to_vec1::<f32>().unwrap()[0])
}

fn loss(model: &Model, step: u64) -> Result<Tensor, ModelError> {
    let value = |i: usize| (((i + 977 * step as usize) * 7919 % 1013) as f32) / 506.5 - 1.0;
    let images = Hwnc::from_vec((0..32 * 32 * 4 * 3).map(value).collect(), (32, 32, 4, 3), &Device::Cpu)?;
    let pass = Pass::Train { streams: Streams::new(1), epoch: step, examples: &[0, 1, 2, 3] };
    Ok(cross_entropy(&model.forward(&images, &pass)?, &[0, 1, 2, 3], 0.0)?)
}

/// Some steps of a strategy's first phase.
fn steps(model: &Model, recipe: &Recipe, strategy: &Strategy) {
    let phases = strategy.phases(&parts_of(model), recipe.epochs).unwrap();
    let mut optimizer = Optimizer::new(recipe, model.parameters(), &phases).unwrap();
    freeze(model, &phases[0], recipe);
    optimizer.begin(&phases[0]);
    for step in 0..3 {
        let (loss, tape) = Tape::record(|| loss(model, step)).unwrap();
        optimizer.step(&tape.backward(&loss).unwrap(), recipe.learning_rate).unwrap();
    }
}

fn distance(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt()
}

#[test]
fn sums_train_as_what_they_are_sums_of() {
    let (mut folded, whole) = (vgg(), vgg());
    let start = whole.state_dict().unwrap();
    let before = fc6(&whole);
    let base = Recipe { learning_rate: 1e-3, ..recipe(1) };
    let clipped = Recipe { clip_norm: Some(0.05), ..base.clone() };
    for (strategy, recipe) in [
        ("full", Recipe { optimizer: SGD, weight_decay: 0.5, ..clipped.clone() }),
        ("full", Recipe { optimizer: OptimizerKind::AdamW, weight_decay: 1.0, ..clipped.clone() }),
        ("full", clipped.clone()),
        ("l2-sp:10", Recipe { optimizer: SGD, ..base }),
        ("l2-sp:100", Recipe { optimizer: OptimizerKind::AdamW, ..clipped }),
    ] {
        let strategy: Strategy = strategy.parse().unwrap();
        assert_eq!(fold(&mut folded, &recipe, &strategy).unwrap(), 1);
        for model in [&folded, &whole] {
            model.load(&start, HeadPolicy::Keep).unwrap();
            steps(model, &recipe, &strategy);
        }
        let (ours, theirs) = (fc6(&folded), fc6(&whole));
        let share = distance(&ours, &theirs) / distance(&theirs, &before);
        println!("{strategy} {:?}: {share:.1e}", recipe.optimizer);
        assert!(share < 5e-3, "{strategy} {:?}: {share} of the way", recipe.optimizer);
    }
}

#[test]
fn decay_that_joins_adams_gradient_keeps_weights_apart() {
    let mut model = vgg();
    let decaying = Recipe { optimizer: OptimizerKind::Adam, weight_decay: 1e-4, ..recipe(1) };
    let pulled: Strategy = "l2-sp:1".parse().unwrap();
    assert_eq!(fold(&mut model, &decaying, &Strategy::Full).unwrap(), 0);
    assert_eq!(fold(&mut model, &recipe(1), &pulled).unwrap(), 0);

    model.fold().unwrap();
    let phases = |strategy: &Strategy| strategy.phases(&parts_of(&model), 1).unwrap();
    let error = Optimizer::new(&decaying, model.parameters(), &phases(&Strategy::Full)).unwrap_err();
    assert!(matches!(&error, EngineError::Unfit(_)) && error.to_string().contains(FC6), "{error}");
    assert!(error.to_string().contains("take adamw"), "{error}");
    // What does not train may be sums.
    assert!(Optimizer::new(&decaying, model.parameters(), &phases(&Strategy::Head)).is_ok());
}

#[test]
fn the_best_epoch_brings_back_how_copies_differed() {
    let mut trial = Trial::of("vgg11", 32, 8);
    let recipe = Recipe {
        optimizer: OptimizerKind::AdamW,
        weight_decay: 10.0,
        learning_rate: 1e-4,
        keep: Keep::Best,
        ..recipe(4)
    };
    assert_eq!(fold(&mut trial.model, &recipe, &Strategy::Full).unwrap(), 1);
    let trained = trial.run(&Strategy::Full, &recipe, &mut Silent).unwrap();
    let steps = trial.splits.train.len().div_ceil(recipe.batch) * trained.chosen_epoch;
    println!("epoch {} of {}", trained.chosen_epoch, trained.epochs.len());
    let expected = (1.0 - recipe.learning_rate * recipe.weight_decay).powi(steps as i32);
    assert!((factor(&trial.model) - expected).abs() < 1e-5, "{} and {expected}", factor(&trial.model));
}
