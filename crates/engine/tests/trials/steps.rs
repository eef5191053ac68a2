//! What a step is made of: batches that are gathered, classes that count differently, and an average over steps.

use frostline_engine::{
    BatchNormPolicy, ClassWeights, EngineError, Keep, OptimizerKind, Recipe, Sampling, Schedule, Silent,
    Strategy, evaluate,
};

use crate::harness::{Ran, Trial, moved, recipe};

const SGD: OptimizerKind = OptimizerKind::Sgd { momentum: 0.9, nesterov: false };

/// A trial of whose last classes few images are left.
fn uneven() -> Trial {
    let mut trial = Trial::new(8);
    let labels = trial.dataset.train.labels().to_vec();
    trial.splits.train.retain(|index| labels[*index as usize] < 6 || index % 2 == 0);
    trial
}

fn run(recipe: &Recipe) -> (Trial, Ran) {
    let trial = uneven();
    let ran = trial.run(&Strategy::Full, recipe, &mut Silent).unwrap();
    (trial, ran)
}

#[test]
fn gathered_batches_move_the_weights_as_one_large_batch() {
    // With statistics that stay, a batch is the sum of its images. The epoch ends with a batch that is not full.
    let base = Recipe {
        optimizer: SGD,
        learning_rate: 1e-2,
        batch_norm: BatchNormPolicy::Eval,
        schedule: Schedule::Cosine,
        clip_norm: Some(1.0),
        keep: Keep::Last,
        ..recipe(2)
    };
    for class_weights in [ClassWeights::Equal, ClassWeights::Balanced] {
        let base = Recipe { class_weights, ..base.clone() };
        let (large, one) = run(&Recipe { batch: 24, ..base.clone() });
        let (small, gathered) = run(&Recipe { batch: 8, accumulate: 3, ..base.clone() });
        assert_ne!(large.splits.train.len() % 8, 0);
        let rates = |ran: &Ran| ran.epochs.iter().map(|epoch| epoch.learning_rate).collect::<Vec<_>>();
        assert_eq!(rates(&one), rates(&gathered));
        let begun = uneven().state();
        let (mut furthest, mut way) = (0f32, 0f32);
        for (((_, a), (_, b)), (_, from)) in large.state().iter().zip(&small.state()).zip(&begun) {
            for ((a, b), from) in a.iter().zip(b).zip(from) {
                (furthest, way) = (furthest.max((a - b).abs()), way.max((a - from).abs()));
            }
        }
        assert!(furthest < 2e-3 * way, "{furthest} of {way}");
        // Batches that count alike would go elsewhere.
        let (other, _) = run(&Recipe { batch: 8, ..base });
        assert_ne!(moved(&other.state(), &small.state()), Vec::<String>::new());
    }
}

#[test]
fn an_average_is_what_is_evaluated_and_kept_and_training_goes_on_as_without() {
    let base = Recipe { keep: Keep::Last, ..recipe(3) };
    let (plain, without) = run(&base);
    for strategy in ["full", "lp-ft"] {
        let trial = uneven();
        let averaged = Recipe { ema: Some(0.95), ..base.clone() };
        let with = trial.run(&strategy.parse().unwrap(), &averaged, &mut Silent).unwrap();
        let (images, indices) = (&trial.dataset.train, &trial.splits.validation);
        let held = evaluate(&trial.model, images, indices, [0.5; 3], [0.5; 3]).unwrap();
        assert_eq!(with.epochs[2].validation_loss, Some(held.loss), "{strategy}");
        if strategy == "full" {
            let losses = |ran: &Ran| ran.epochs.iter().map(|epoch| epoch.train_loss).collect::<Vec<_>>();
            assert_eq!(losses(&with), losses(&without));
            assert_ne!(with.epochs[2].validation_loss, without.epochs[2].validation_loss);
            assert!(moved(&plain.state(), &trial.state()).iter().any(|name| name.contains("running_mean")));
        }
    }
}

#[test]
fn classes_that_count_alike_change_what_is_learnt() {
    let base = Recipe { keep: Keep::Last, ..recipe(1) };
    let loss = |recipe: Recipe| run(&recipe).1.epochs[0].train_loss;
    let plain = loss(base.clone());
    let weighted = loss(Recipe { class_weights: ClassWeights::Balanced, ..base.clone() });
    let sampled = loss(Recipe { sampling: Sampling::Balanced, ..base.clone() });
    assert!(plain != weighted && plain != sampled && weighted != sampled);
    // Where there are as many of each class, weights are all 1.
    let even = |class_weights| {
        let trial = Trial::new(8);
        trial.run(&Strategy::Head, &Recipe { class_weights, ..base.clone() }, &mut Silent).unwrap().epochs[0]
            .train_loss
    };
    let (one, other) = (even(ClassWeights::Equal), even(ClassWeights::Balanced));
    assert!((one - other).abs() < 1e-6 * one, "{one} {other}");
}

#[test]
fn a_decay_out_of_range_is_refused() {
    for (recipe, part) in [
        (Recipe { ema: Some(1.0), ..recipe(1) }, "ema: 1 will not do"),
        (Recipe { accumulate: 0, ..recipe(1) }, "accumulate: 0 will not do"),
    ] {
        let error: EngineError = uneven().run(&Strategy::Head, &recipe, &mut Silent).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    }
}
