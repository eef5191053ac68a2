//! Pretraining: what is learnt without labels, what is taken over, and what is not looked at.

use frostline_data::{Augment, Dataset, Images, Splits};
use frostline_engine::{
    EngineError, EpochReport, Keep, Objective, ROTATIONS, Recipe, Silent, Strategy, Task, reconstruct, train,
};
use frostline_models::{BuildSpec, HeadPolicy, Model, build, build_autoencoder};

use crate::harness::{Trial, moved, recipe};

const SIDE: usize = 16;
const SPEC: BuildSpec = BuildSpec { classes: ROTATIONS, height: SIDE, width: SIDE, seed: 3 };

fn task<'a>(model: &'a Model, (dataset, splits): (&'a Dataset, &'a Splits), recipe: &'a Recipe) -> Task<'a> {
    Task {
        model,
        dataset,
        splits,
        augment: Augment::default(),
        views: None,
        mean: [0.5; 3],
        std: [0.5; 3],
        recipe,
        strategy: &Strategy::Full,
        seed: 3,
    }
}

fn learn(
    model: &Model,
    data: (&Dataset, &Splits),
    recipe: &Recipe,
    objective: Objective,
) -> Result<Vec<EpochReport>, EngineError> {
    train(&task(model, data, recipe), objective, &mut Silent).map(|trained| trained.epochs)
}

/// A data set with a test split that would be noticed: one image whose label is no class.
fn without_test(trial: &Trial) -> Dataset {
    let test = Images::new(SIDE, SIDE, vec![0; SIDE * SIDE * 3], vec![4_000_000]).unwrap();
    Dataset { test, ..trial.dataset.clone() }
}

#[test]
fn turns_of_digits_are_learnt_without_labels() {
    let trial = Trial::new(40);
    let model = build("resnet18", &SPEC).unwrap();
    let data = without_test(&trial);
    let epochs = learn(&model, (&data, &trial.splits), &recipe(3), Objective::Rotations).unwrap();
    let accuracy = epochs[2].validation_accuracy.unwrap();
    assert!(accuracy > 0.5, "by chance it would be a quarter: {accuracy}");
    assert!(epochs[2].train_loss < epochs[0].train_loss && epochs[2].train_accuracy.unwrap() > 0.5);
}

#[test]
fn an_autoencoder_learns_to_give_digits_back() {
    for noise in [0.0, 0.4] {
        let trial = Trial::new(40);
        let model = build_autoencoder("resnet18", &SPEC).unwrap();
        let (data, keep) = (without_test(&trial), Keep::Last);
        let objective = Objective::Reconstruction { noise };
        let recipe = Recipe { keep, ..recipe(4) };
        let epochs = learn(&model, (&data, &trial.splits), &recipe, objective).unwrap();
        assert!(
            epochs.iter().all(|epoch| epoch.train_accuracy.is_none() && epoch.validation_accuracy.is_none())
        );
        // The mean image alone leaves the variance of the pixels.
        let pixels = data.train.pixels().iter().map(|&value| f64::from(value) / 127.5 - 1.0);
        let (count, sum, squares) =
            pixels.fold((0.0, 0.0, 0.0), |(n, s, q), value| (n + 1.0, s + value, q + value * value));
        let variance = squares / count - (sum / count) * (sum / count);
        let loss = epochs[3].validation_loss.unwrap();
        assert!(loss < 0.5 * variance, "noise {noise}: {loss} of {variance}");

        let chosen = &trial.splits.validation[..3];
        let made = reconstruct(&model, &data.train, chosen, ([0.5; 3], [0.5; 3]), noise, 3).unwrap();
        let distance = |a: &[u8], b: &[u8]| {
            let squares = a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2));
            squares.sum::<f64>() / a.len() as f64
        };
        for (one, &index) in made.iter().zip(chosen) {
            assert_eq!(one.original, data.train.image(index as usize));
            assert_eq!(one.encoded == one.original, noise == 0.0);
            assert!(distance(&one.decoded, &one.original) < 127.5 * 127.5 * variance);
        }
    }
}

#[test]
fn the_trunk_is_taken_over_and_the_head_is_not() {
    let trial = Trial::new(8);
    let autoencoder = build_autoencoder("resnet18", &SPEC).unwrap();
    let recipe = Recipe { keep: Keep::Last, ..recipe(1) };
    let objective = Objective::Reconstruction { noise: 0.0 };
    learn(&autoencoder, (&trial.dataset, &trial.splits), &recipe, objective).unwrap();
    let before = trial.state();
    trial.model.load(&autoencoder.trunk_state_dict().unwrap(), HeadPolicy::Redraw).unwrap();
    let moved = moved(&before, &trial.state());
    // Every tensor of the trunk has moved in an epoch; the head starts as from scratch.
    assert!(moved.iter().all(|name| !name.starts_with("fc.")), "{moved:?}");
    assert_eq!(moved.len(), before.len() - 2);
    let whole = autoencoder.state_dict().unwrap();
    assert!(whole.iter().any(|(name, _)| name.starts_with("decoder.")));
    assert!(autoencoder.trunk_state_dict().unwrap().iter().all(|(name, _)| !name.starts_with("decoder.")));
}

#[test]
fn what_has_no_labels_is_not_mixed() {
    let trial = Trial::new(6);
    let model = build("resnet18", &SPEC).unwrap();
    let recipe = recipe(1);
    let task = task(&model, (&trial.dataset, &trial.splits), &recipe);
    for augment in [["mixup"], ["cutmix:0.5"]] {
        let task = Task { augment: Augment::parse_all(&augment).unwrap(), ..task };
        let error = train(&task, Objective::Rotations, &mut Silent).unwrap_err();
        assert!(error.to_string().contains("mix labels"), "{error}");
    }
}

#[test]
fn an_epoch_is_not_chosen_by_an_accuracy_that_there_is_not() {
    let trial = Trial::new(8);
    let model = build_autoencoder("resnet18", &SPEC).unwrap();
    let (data, objective) = ((&trial.dataset, &trial.splits), Objective::Reconstruction { noise: 0.0 });
    let refused = learn(&model, data, &Recipe { keep: Keep::Best, ..recipe(1) }, objective).unwrap_err();
    assert!(refused.to_string().contains("keep = \"last\""), "{refused}");
}

#[test]
fn numbers_do_not_depend_on_the_threads() {
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let trial = Trial::new(8);
            let model = build_autoencoder("resnet18", &SPEC).unwrap();
            let (keep, objective) = (Keep::Last, Objective::Reconstruction { noise: 0.3 });
            let recipe = Recipe { keep, ..recipe(1) };
            let epochs = learn(&model, (&trial.dataset, &trial.splits), &recipe, objective).unwrap();
            (epochs, model.parameters()[0].detached().flatten_all().unwrap().to_vec1::<f32>().unwrap())
        })
    };
    let one = run(1);
    assert_eq!(one, run(2));
    assert_eq!(one, run(3));
}
