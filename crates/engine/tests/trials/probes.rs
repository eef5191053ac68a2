//! Classifiers that are fitted on frozen features: what they leave alone, and that they are the same alone and together.

use frostline_data::Augment;
use frostline_engine::{
    Candidate, EngineError, Evaluation, Keep, Member, NoBookmark, Objective, Recipe, Shelf, Silent, Strategy,
    Task, Trained, test_together, train_together,
};

use crate::harness::{Trial, moved, recipe};

/// Trains and tests trials of these strategies on twins of one model, together.
fn together(
    trial: &Trial,
    strategies: &[&str],
    shelf: &mut Shelf,
) -> Vec<Result<(Trained, Evaluation), EngineError>> {
    let strategies: Vec<Strategy> = strategies.iter().map(|name| name.parse().unwrap()).collect();
    let recipe = Recipe { keep: Keep::Last, ..recipe(1) };
    let all = vec![true; trial.model.parameters().len()];
    let norms = vec![true; trial.model.norms().len()];
    let models: Vec<_> = strategies.iter().map(|_| trial.model.twin(&all, &norms).unwrap()).collect();
    let mut silent: Vec<Silent> = models.iter().map(|_| Silent).collect();
    let members =
        models.iter().zip(&strategies).zip(&mut silent).map(|((model, strategy), observer)| Member {
            task: Task {
                model,
                dataset: &trial.dataset,
                splits: &trial.splits,
                augment: Augment::NONE,
                views: None,
                mean: [0.5; 3],
                std: [0.5; 3],
                recipe: &recipe,
                strategy,
                seed: 3,
            },
            observer,
            from: None,
            until: None,
        });
    let trained = train_together(members.collect(), Objective::Labels, shelf, &mut NoBookmark);
    let mut observers: Vec<Silent> = models.iter().map(|_| Silent).collect();
    let candidates =
        models.iter().zip(&trained).zip(&mut observers).filter_map(|((model, trained), observer)| {
            Some(Candidate { model, still: trained.as_ref().ok()?.still, observer })
        });
    let all: Vec<u32> = (0..trial.dataset.test.len() as u32).collect();
    let mut tested =
        test_together(candidates.collect(), (&trial.dataset.test, &all), ([0.5; 3], [0.5; 3]), shelf)
            .unwrap()
            .into_iter();
    trained.into_iter().map(|one| one.and_then(|one| Ok((one, tested.next().unwrap()?)))).collect()
}

#[test]
fn only_the_head_is_fitted_and_the_digits_are_told_apart() {
    for (strategy, least) in [("probe:ridge", 0.8), ("probe:logistic", 0.8), ("knn:5", 0.7)] {
        let trial = Trial::new(20);
        let before = trial.state();
        let ran = trial.run(&strategy.parse().unwrap(), &recipe(1), &mut Silent).unwrap();
        let moved = moved(&before, &trial.state());
        let (head, trainable) = match strategy {
            "knn:5" => (vec![], 0),
            _ => (vec!["fc.weight".to_owned(), "fc.bias".to_owned()], 5130),
        };
        assert_eq!((moved, ran.trainable_parameters), (head, trainable), "{strategy}");
        assert!(ran.test.accuracy > least, "{strategy}: {}", ran.test.accuracy);
        let [epoch] = &ran.epochs[..] else { panic!("one epoch") };
        assert!(epoch.phase.starts_with(&format!("{strategy}, ")) && epoch.rates.is_empty(), "{epoch:?}");
        assert!(
            epoch.train_accuracy.unwrap() > least && epoch.validation_accuracy.unwrap() > 0.6,
            "{epoch:?}"
        );
        assert!(ran.test.loss < 2.0, "{strategy}: {}", ran.test.loss);
    }
}

#[test]
fn probes_have_the_same_bits_alone_and_together() {
    let trial = Trial::new(12);
    let names = ["probe:ridge", "knn:3", "probe:logistic", "knn:7"];
    let all = together(&trial, &names, &mut Shelf::new(1 << 30, || 0.0));
    let tests: Vec<_> = all.iter().map(|one| one.as_ref().unwrap().1.predictions.clone()).collect();
    assert!(tests[1] != tests[3] && tests[0] != tests[2], "other classifiers, other answers");
    for (name, one) in names.iter().zip(all) {
        let alone = together(&trial, &[name], &mut Shelf::none()).remove(0);
        assert_eq!(alone.unwrap(), one.unwrap(), "{name}");
    }
}

#[test]
fn what_has_no_validation_images_or_steps_beside_it_is_refused() {
    let mut trial = Trial::new(12);
    for one in together(&trial, &["head", "probe:ridge"], &mut Shelf::none()) {
        assert!(matches!(one, Err(EngineError::Unfit(_))));
    }
    trial.splits.validation.clear();
    let told = together(&trial, &["probe:ridge", "knn:3", "knn:1000"], &mut Shelf::none());
    assert!(matches!(&told[0], Err(EngineError::Unfit(problem)) if problem.contains("validation")));
    assert!(told[1].is_ok(), "a vote chooses nothing");
    assert!(told[2].as_ref().unwrap_err().to_string().contains("1000 neighbours"));
}
