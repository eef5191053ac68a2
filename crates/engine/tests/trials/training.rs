//! What trains, what stays, what is chosen, and that thread counts do not matter.

use std::ops::ControlFlow;

use frostline_engine::{
    BatchNormPolicy, Counting, EngineError, Event, Keep, Observer, OptimizerKind, Recipe, Schedule, Section,
    Silent, Strategy, classify, evaluate,
};

use crate::harness::{Trial, moved, recipe};

#[test]
fn fine_tuning_learns_digits_from_few_images() {
    let trial = Trial::new(40);
    let trained = trial.run(&Strategy::Full, &recipe(4), &mut Silent).unwrap();
    assert_eq!(trained.epochs.len(), 4);
    assert!(trained.epochs[3].train_loss < trained.epochs[0].train_loss);
    assert!(trained.test.accuracy > 0.6, "{}", trained.test.accuracy);
    assert_eq!(trained.test.predictions.len(), trial.dataset.test.len());
    let best = trained.epochs.iter().map(|e| e.validation_accuracy.unwrap()).fold(0.0, f64::max);
    assert_eq!(trained.epochs[trained.chosen_epoch - 1].validation_accuracy, Some(best));
}

/// The loss of the only step is that before its update, after which the weights are far too large.
#[test]
fn a_model_that_diverges_in_its_last_step_fails_wherever_it_is_looked_at() {
    let optimizer = OptimizerKind::Sgd { momentum: 0.0, nesterov: false };
    let wild = Recipe { batch: 1000, learning_rate: 1e37, optimizer, keep: Keep::Last, ..recipe(1) };
    let not_finite = |trial: &Trial| {
        let error = trial.run(&Strategy::Full, &wild, &mut Silent).unwrap_err();
        assert!(matches!(error, EngineError::OutputsNotFinite { images: 1.., .. }), "{error}");
        assert!(error.to_string().contains("smaller learning rate"), "{error}");
    };
    not_finite(&Trial::new(8));
    let mut trial = Trial::new(8);
    trial.splits.validation.clear(); // Then the test split is the first to show it.
    not_finite(&trial);
    let images = &trial.dataset.test;
    let ranked = classify(&trial.model, images, [0.5; 3], [0.5; 3], 2).unwrap();
    assert_eq!(ranked.len(), images.len());
    assert!(ranked.iter().all(Option::is_none));
}

#[test]
fn a_trial_without_a_better_epoch_ends_and_its_numbers_are_those_of_the_whole_one() {
    // A rate that is far too high gets no better for long.
    let long = Recipe { learning_rate: 0.3, ..recipe(12) };
    let run = |strategy: &str, patience| {
        let trial = Trial::new(8);
        let strategy = strategy.parse().unwrap();
        trial.run(&strategy, &Recipe { patience, ..long.clone() }, &mut Silent).unwrap()
    };
    for strategy in ["head", "freeze-then-thaw:3"] {
        let (whole, short) = (run(strategy, None), run(strategy, Some(2)));
        let accuracy = |epoch: usize| whole.epochs[epoch - 1].validation_accuracy.unwrap();
        // The first epoch of the last phase after which two have gone by without a better one.
        let begins = if strategy == "head" { 0 } else { 3 };
        let better = |epoch: usize| (1..epoch).all(|before| accuracy(before) < accuracy(epoch));
        let stale = |end: usize| end >= begins + 2 && (end - 1..=end).all(|epoch| !better(epoch));
        let end = (1..=12).find(|end| stale(*end)).unwrap_or(12);
        assert!(end < 12, "{strategy}: {:?}", (1..=12).map(accuracy).collect::<Vec<_>>());
        assert_eq!(short.epochs[..], whole.epochs[..end], "{strategy}");
        let best = (1..=end).rev().find(|epoch| better(*epoch)).unwrap();
        assert_eq!(short.chosen_epoch, best, "{strategy}");
    }
}

#[test]
fn validation_counts_images_or_classes_as_it_is_asked_to() {
    for strategy in ["head", "probe:logistic"] {
        let run = |validation_counts| {
            let mut trial = Trial::new(12);
            // Three images of each class below 7, and one of each other.
            let labels = trial.dataset.train.labels().to_vec();
            let mut seen = [0; 10];
            trial.splits.validation.retain(|index| {
                let class = labels[*index as usize] as usize;
                seen[class] += 1;
                class < 7 || seen[class] == 1
            });
            let recipe = Recipe { keep: Keep::Last, validation_counts, ..recipe(2) };
            let ran = trial.run(&strategy.parse().unwrap(), &recipe, &mut Silent).unwrap();
            let (images, indices) = (&trial.dataset.train, &trial.splits.validation);
            let found = evaluate(&trial.model, images, indices, [0.5; 3], [0.5; 3]).unwrap();
            let last = ran.epochs.last().unwrap().validation_accuracy.unwrap();
            let shares = (0..10).map(|class| {
                let of = found.predictions.iter().filter(|one| one.label == class);
                of.clone().filter(|one| one.predicted == class).count() as f64 / of.count() as f64
            });
            (last, found.accuracy, shares.sum::<f64>() / 10.0)
        };
        let (images, by_images, _) = run(Counting::Images);
        let (classes, _, by_classes) = run(Counting::Classes);
        assert_eq!(images, by_images, "{strategy}");
        assert!((classes - by_classes).abs() < 1e-12, "{strategy}: {classes} {by_classes}");
        assert!(classes != images || strategy != "head", "{strategy}: {classes}");
    }
}

#[test]
fn only_what_the_strategy_names_moves() {
    for (strategy, stages) in [(Strategy::Head, 1), (Strategy::Last(1), 2)] {
        let trial = Trial::new(8);
        let before = trial.state();
        let trained = trial.run(&strategy, &recipe(1), &mut Silent).unwrap();
        let moved = moved(&before, &trial.state());
        assert!(!moved.is_empty());
        let first = trial.model.stages().len() - stages;
        let may_move = |name: &str| {
            let of_parameter = trial.model.parameters().iter().find(|p| p.name() == name).map(|p| p.stage());
            let of_norm = trial.model.norms().iter().find(|n| name.starts_with(n.name())).map(|n| n.stage());
            of_parameter.or(of_norm).unwrap() >= first
        };
        assert!(moved.iter().all(|name| may_move(name)), "{strategy}: {moved:?}");
        let trainable = trial.model.parameters().iter().filter(|p| p.stage() >= first);
        assert_eq!(trained.trainable_parameters, trainable.map(|p| p.elements()).sum::<usize>());
    }
}

#[test]
fn the_batch_norm_policy_says_whose_statistics_move() {
    for (policy, expected) in [(BatchNormPolicy::Follow, false), (BatchNormPolicy::Train, true)] {
        let trial = Trial::new(8);
        let before = trial.state();
        trial.run(&Strategy::Head, &Recipe { batch_norm: policy, ..recipe(1) }, &mut Silent).unwrap();
        let moved = moved(&before, &trial.state());
        assert_eq!(moved.iter().any(|name| name.contains("running")), expected, "{policy}: {moved:?}");
    }
    let trial = Trial::new(8);
    let before = trial.state();
    trial
        .run(&Strategy::Full, &Recipe { batch_norm: BatchNormPolicy::Eval, ..recipe(1) }, &mut Silent)
        .unwrap();
    let moved = moved(&before, &trial.state());
    assert!(moved.iter().all(|name| !name.contains("running")) && moved.len() > 50, "{moved:?}");
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let trial = Trial::new(6);
            let trained = trial.run(&Strategy::Full, &recipe(1), &mut Silent).unwrap();
            (trained, trial.state())
        })
    };
    let (one, state) = run(1);
    for threads in [2, 3] {
        let (other, other_state) = run(threads);
        assert_eq!(one, other);
        assert_eq!(moved(&state, &other_state), Vec::<String>::new());
    }
}

#[test]
fn every_optimizer_schedule_and_option_trains() {
    let base = recipe(1);
    let recipes = [
        Recipe {
            optimizer: OptimizerKind::Sgd { momentum: 0.0, nesterov: false },
            clip_norm: Some(1.0),
            ..base.clone()
        },
        Recipe {
            optimizer: OptimizerKind::Sgd { momentum: 0.9, nesterov: true },
            schedule: Schedule::OneCycle,
            weight_decay: 5e-4,
            learning_rate: 0.02,
            ..base.clone()
        },
        Recipe {
            optimizer: OptimizerKind::AdamW,
            schedule: Schedule::Cosine,
            warmup: 0.5,
            label_smoothing: 0.1,
            keep: Keep::Last,
            ..base.clone()
        },
    ];
    for recipe in recipes {
        let trial = Trial::new(6);
        let before = trial.state();
        let trained = trial.run(&Strategy::Full, &recipe, &mut Silent).unwrap();
        assert!(trained.epochs[0].train_loss.is_finite(), "{recipe:?}");
        assert!(moved(&before, &trial.state()).len() > 90, "{recipe:?}");
    }
}

#[test]
fn a_loss_that_leaves_the_numbers_ends_the_trial() {
    let trial = Trial::new(8);
    let wild = Recipe { learning_rate: 1e30, ..recipe(3) };
    let error = trial.run(&Strategy::Full, &wild, &mut Silent).unwrap_err();
    assert!(matches!(error, EngineError::Diverged { .. }), "{error}");
}

#[test]
fn choosing_without_a_validation_split_is_an_error_before_training() {
    let mut trial = Trial::new(8);
    trial.splits.train.append(&mut trial.splits.validation);
    let error = trial.run(&Strategy::Full, &recipe(1), &mut Silent).unwrap_err();
    assert!(error.to_string().contains("validation above 0"), "{error}");
    let last = Recipe { keep: Keep::Last, ..recipe(1) };
    assert_eq!(trial.run(&Strategy::Head, &last, &mut Silent).unwrap().chosen_epoch, 1);
}

#[test]
fn an_observer_hears_sections_in_pairs_and_can_end_a_trial() {
    struct Listener(Vec<Section>, usize, usize);
    impl Observer for Listener {
        fn on(&mut self, event: Event<'_>) -> ControlFlow<()> {
            match event {
                Event::Enter { section, .. } => self.0.push(section),
                Event::Leave(section) => assert_eq!(self.0.last(), Some(&section)),
                Event::Step { .. } => self.1 += 1,
                Event::Phase { .. } | Event::Epoch(_) | Event::Reused { .. } => {}
            }
            if self.1 == self.2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
    }
    let trial = Trial::new(8);
    let mut all = Listener(Vec::new(), 0, usize::MAX);
    trial.run(&Strategy::Head, &recipe(2), &mut all).unwrap();
    for section in [Section::Data, Section::Train, Section::Evaluation, Section::Checkpoint, Section::Audit] {
        assert!(all.0.contains(&section), "{section:?}");
    }
    let mut early = Listener(Vec::new(), 0, 2);
    let error = trial.run(&Strategy::Head, &recipe(2), &mut early).unwrap_err();
    assert!(matches!(error, EngineError::Interrupted));
    assert_eq!(early.1, 2);
}

#[test]
fn recalibration_moves_the_statistics_of_norms_that_train_and_nothing_else() {
    let state = |strategy: &Strategy, recalibrate: bool, validates: bool| {
        let mut trial = Trial::new(8);
        if !validates {
            trial.splits.validation.clear();
        }
        let recipe = Recipe { recalibrate, keep: Keep::Last, ..recipe(2) };
        trial.run(strategy, &recipe, &mut Silent).unwrap();
        (trial.state(), trial.model.norms().iter().map(|norm| norm.batches_tracked()).collect::<Vec<_>>())
    };
    for validates in [true, false] {
        assert_eq!(state(&Strategy::Head, true, validates), state(&Strategy::Head, false, validates));
        let (plain, plain_batches) = state(&Strategy::Last(1), false, validates);
        let (anew, batches) = state(&Strategy::Last(1), true, validates);
        let moved = moved(&plain, &anew);
        let of_the_last = |name: &String| name.starts_with("layer4.") && name.contains(".running_");
        assert!(!moved.is_empty() && moved.iter().all(of_the_last), "{moved:?}");
        assert_eq!(batches, plain_batches);
    }
}
