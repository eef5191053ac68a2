//! The comparison as a whole: arms and their order, labels, baselines, pairs and ranks.

use frostline_experiment::{Axis, Trial};
use frostline_results::samples::{IMAGES, claim, failed, plan, results};
use frostline_results::{Answers, Prediction, Results};
use frostline_streams::{Purpose, Streams};

use super::*;

#[test]
fn arms_hold_their_seeds_and_the_most_accurate_comes_first() {
    let mut plan = plan(&["resnet18", "alexnet"], &["full", "head"], 3);
    plan.claims = vec![claim()];
    let wall = |t: &Trial| match (t.strategy.as_str(), t.seed) {
        ("full", seed) => 10.0 * (seed + 1) as f64,
        (_, seed) => [2.0, 6.0, 15.0][seed as usize],
    };
    let accuracy = |t: &Trial| if t.model == "alexnet" { 0.9 } else { 0.5 + 0.1 * t.seed as f64 };
    let mut results = results(plan, |t| (accuracy(t), wall(t)));
    let broken = results.trials.iter_mut().find(|s| s.trial.model == "alexnet" && s.trial.strategy == "head");
    let broken = broken.unwrap();
    broken.outcome = failed(&broken.trial, "no reason").outcome;
    let comparison = Comparison::of(&results);
    let labels: Vec<&str> = comparison.arms.iter().map(|arm| arm.label.as_str()).collect();
    assert_eq!(labels, ["alexnet · full", "alexnet · head", "resnet18 · full", "resnet18 · head"]);
    let head = &comparison.arms[1];
    assert_eq!((head.variant.as_str(), head.number, head.accuracies()), ("head", 2, vec![0.9, 0.9]));
    assert_eq!(head.runs[0].failure(), Some("no reason"));
    // Seeds 1 and 2: (6 / 20 + 15 / 30) / 2 = 0.4; the failed seed 0 has no part in it.
    assert!((head.time_ratio.unwrap() - 0.4).abs() < 1e-12);
    // Seeds 0 to 2: (0.2 + 0.3 + 0.5) / 3.
    assert!((comparison.arms[3].time_ratio.unwrap() - 1.0 / 3.0).abs() < 1e-12);
    // Within seeds 0.4, 0.3 and 0.2.
    let difference = comparison.difference(&comparison.arms[0], &comparison.arms[2]).unwrap();
    assert!((difference.mean - 0.3).abs() < 1e-12 && difference.seeds == 3, "{difference:?}");
    assert_eq!(comparison.test_images, Some(1000));
    // 20 s on average against 10 minutes.
    assert_eq!(comparison.verdicts[1].finding, Finding::OtherMachine { ratio: 20.0 / 60.0 / 10.0 });
    assert_eq!(comparison.verdicts[0].about, "resnet18 · full");
}

#[test]
fn labels_show_every_axis_that_varies_and_no_other() {
    let mut plan = plan(&["resnet18"], &["full"], 2);
    let other: Vec<Trial> = plan
        .trials
        .iter()
        .cloned()
        .map(|mut trial| {
            trial.train.learning_rate = 0.01;
            trial.sealed()
        })
        .collect();
    plan.trials.extend(other);
    let values = vec!["0.001".to_owned(), "0.01".to_owned()];
    plan.axes.push(Axis { key: "learning-rate".to_owned(), values });
    plan.axes.push(Axis { key: "batch".to_owned(), values: vec!["64".to_owned()] });
    let results = results(plan, |t| (t.train.learning_rate, 1.0));
    let comparison = Comparison::of(&results);
    assert_eq!(comparison.arms[0].label, "resnet18 · full · learning-rate 0.01");
    assert_eq!(comparison.arms[0].variant, "learning-rate 0.01");
    assert_eq!(
        (comparison.arms[0].place.clone(), comparison.arms[1].place.clone()),
        (vec![0, 0, 1, 0], vec![0, 0, 0, 0])
    );
}

#[test]
fn labels_leave_out_what_the_model_settles() {
    let mut plan = plan(&["resnet18", "alexnet"], &["full", "head"], 1);
    for trial in &mut plan.trials {
        trial.weights = format!("hub:someone/{}/model.safetensors", trial.model);
    }
    let values = plan.trials.iter().map(|trial| trial.weights.clone()).collect();
    plan.axes.push(Axis { key: "weights".to_owned(), values });
    let results = results(plan, |_| (0.5, 1.0));
    assert_eq!(Comparison::of(&results).arms[0].label, "resnet18 · full");
}

#[test]
fn what_no_cell_asks_for_is_left_out_and_told() {
    let mut results = results(plan(&["resnet18"], &["full", "head"], 1), |_| (0.5, 1.0));
    results.plan.trials.retain(|trial| trial.strategy == "full");
    let comparison = Comparison::of(&results);
    assert_eq!((comparison.arms.len(), comparison.outside.len()), (1, 1));
}

/// Makes every trial answer as given: an image is right where the function of the trial and the image says so.
fn answering(results: &mut Results, right: impl Fn(&Trial, usize) -> bool) {
    for stored in &mut results.trials {
        let row = |image: usize| Prediction {
            example: image as u32,
            label: 0,
            predicted: u32::from(!right(&stored.trial, image)),
            probability: 0.5,
        };
        stored.answers = Answers::of((0..IMAGES as usize).map(row).collect::<Vec<_>>().into_iter()).unwrap();
        stored.outcome.test_accuracy = stored.answers.accuracy();
    }
}

/// Whether an image is right by chance, in a share of cases.
fn chance(trial: &Trial, image: usize, share: f32) -> bool {
    Streams::new(trial.seed).part(&trial.strategy).draws(Purpose::Noise, image as u64, 0).unit() < share
}

#[test]
fn a_doubled_arm_ties_with_itself() {
    let mut results = results(plan(&["resnet18"], &["full", "head", "last-1"], 3), |_| (0.5, 1.0));
    answering(&mut results, |trial, image| {
        let mut twin = trial.clone();
        twin.strategy = twin.strategy.replace("last-1", "full");
        chance(&twin, image, if twin.strategy == "full" { 0.9 } else { 0.7 })
    });
    let comparison = Comparison::of(&results);
    let twins = comparison.pair(1, 0).unwrap();
    assert!(twins.tied && twins.same_answers && twins.standing() == Standing::Tied);
    assert_eq!((twins.difference.mean, twins.bootstrap, twins.ahead, twins.p), (0.0, (0.0, 0.0), 0.5, 1.0));
    let [first, second, third] = [0, 1, 2].map(|arm| comparison.ranks[arm].unwrap());
    assert_eq!((first, second), (Rank { places: (1, 1), best: 0.5 }, Rank { places: (1, 1), best: 0.5 }));
    assert_eq!(third, Rank { places: (3, 3), best: 0.0 });
    let behind = comparison.pair(2, 0).unwrap();
    assert_eq!(behind.standing(), Standing::Worse, "{behind:?}");
    assert_eq!(comparison.pair(0, 2).unwrap().standing(), Standing::Better);
    assert!(!behind.cannot_be_told_apart() && behind.bootstrap.1 < -0.1 && behind.bootstrap.0 > -0.3);
}

#[test]
fn the_order_of_arms_and_seeds_changes_nothing() {
    let mut results = results(plan(&["resnet18"], &["full", "head", "thaw", "last-1"], 4), |_| (0.5, 1.0));
    answering(&mut results, |trial, image| chance(trial, image, 0.80 + 0.01 * trial.strategy.len() as f32));
    let said = |results: &Results| {
        let comparison = Comparison::of(results);
        let mut arms: Vec<String> = comparison.arms.iter().map(|arm| format!("{:?}", arm.label)).collect();
        let pair = |pair: &Pair| format!("{:?}", Pair { mcnemar: Vec::new(), ..pair.clone() });
        arms.extend(comparison.pairs.iter().map(pair));
        arms.extend(comparison.ranks.iter().map(|rank| format!("{rank:?}")));
        arms
    };
    let before = said(&results);
    results.plan.trials.reverse();
    results.plan.axes.reverse();
    results.trials.rotate_left(5);
    assert_eq!(said(&results), before);
}

#[test]
fn verdicts_hold_what_three_seeds_can_bear() {
    let standing = |shares: [f32; 2], seeds| {
        let mut results = results(plan(&["resnet18"], &["full", "head"], seeds), |_| (0.5, 1.0));
        answering(&mut results, |trial, image| {
            // Both find the same images hard; the shares differ by what lies between the two.
            let shift = [0.0, 0.012, -0.012][trial.seed as usize % 3];
            let share = shares[usize::from(trial.strategy == "head")] + shift;
            (image as f32 + 0.5) / IMAGES as f32 <= share
        });
        let comparison = Comparison::of(&results);
        comparison.pair(1, 0).map(|pair| pair.standing())
    };
    assert_eq!(standing([0.90, 0.60], 3), Some(Standing::Worse));
    assert_eq!(standing([0.90, 0.60], 2), Some(Standing::OnlyThese), "two seeds say nothing of others");
    assert_eq!(standing([0.90, 0.60], 1), Some(Standing::OnlyThese));
    assert_eq!(standing([0.90, 0.90], 3), Some(Standing::Tied));
    assert_eq!(standing([0.900, 0.899], 3), Some(Standing::Equivalent));
    assert_eq!(standing([0.900, 0.899], 2), Some(Standing::Open));
}

#[test]
fn arms_of_other_images_are_not_held_against_each_other() {
    let mut results = results(plan(&["resnet18"], &["full", "head"], 3), |_| (0.5, 1.0));
    for stored in results.trials.iter_mut().filter(|stored| stored.trial.strategy == "head") {
        stored.outcome.data.as_mut().unwrap().source = "other".to_owned();
    }
    let comparison = Comparison::of(&results);
    assert!(comparison.pairs.is_empty());
    assert!(comparison.ranks[0].is_some() && comparison.ranks[1].is_none());
}

#[test]
fn a_baseline_of_ones_own_is_taken() {
    let mut plan = plan(&["resnet18", "alexnet"], &["full", "head"], 2);
    plan.baseline = vec![("strategy".to_owned(), "head".to_owned())];
    let results = results(plan, |t| {
        let full = t.strategy == "full";
        (if full { 0.9 } else { 0.6 }, if full { 40.0 } else { 10.0 })
    });
    let comparison = Comparison::of(&results);
    for arm in &comparison.arms {
        let base = &comparison.arms[arm.baseline.unwrap()];
        assert_eq!((base.model, base.trial().strategy.as_str()), (arm.model, "head"));
        assert_eq!(arm.time_ratio, Some(if arm.trial().strategy == "full" { 4.0 } else { 1.0 }));
    }
    // Three against the most accurate, and both `full` against their `head`, one of which is among those.
    assert_eq!(comparison.pairs.len(), 4);
}
