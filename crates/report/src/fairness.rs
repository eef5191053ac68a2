//! Whether arms were compared fairly: [`fairness`] finds what differs between them beside what was meant to.

use std::collections::{BTreeMap, BTreeSet};

use frostline_compare::{Arm, Comparison, mean};
use frostline_experiment::keys::keys;
use frostline_experiment::{Trial, strategy_of};
use frostline_recipe::Strategy;
use frostline_results::Results;
use frostline_text::plural;
use frostline_zoo::{ModelCard, card};

use super::{chosen, tuned};

/// What a reader must know before taking one arm for better than another; each is a sentence or two.
pub(super) fn fairness(results: &Results, comparison: &Comparison<'_>) -> Vec<String> {
    let mut notes = Vec::new();
    notes.extend(folds(results, comparison));
    notes.extend(one_rate(results));
    notes.extend(at_the_edge(results, comparison));
    notes.extend(tuned::at_the_edge(results, comparison));
    notes.extend(budgets(comparison));
    notes.extend(ended_early(comparison));
    notes.extend(chosen::by_classes(comparison));
    notes.extend(chosen::by_images(comparison));
    notes.extend(chosen::early_by_some(comparison));
    notes.extend(differing_settings(results));
    notes.extend(lineages(comparison));
    notes.extend(untrained_statistics(&results.plan.trials));
    notes.extend(normalisations(comparison));
    notes
}

/// What the accuracies of a cross-validation are of.
fn folds(results: &Results, comparison: &Comparison<'_>) -> Option<String> {
    let folds = results.folds?;
    let images =
        comparison.test_images.map_or_else(|| "all images".to_owned(), |images| plural(images, "image"));
    Some(format!(
        "Cross-validation in {folds} folds: an accuracy is that of {images}, each tested once by a model that had not seen it; a *trial* is \
         the {folds} trainings of a seed together, its times and curves are means over them, and each seed has folds of its own. Each model \
         learnt from {:.0} % of the images at most, and any two of a seed from mostly the same ones: with one or two seeds, how far another draw of \
         images or folds would lead is not in the intervals.",
        100.0 - 100.0 / folds as f64
    ))
}

/// That strategies shared one learning rate, which suits some of them better than others.
fn one_rate(results: &Results) -> Option<String> {
    let axis = |key: &str| results.plan.axes.iter().find(|axis| axis.key == key);
    // Those that take steps.
    let trained = results.plan.trials.iter().filter(|trial| trial.uses("learning-rate"));
    let strategies: BTreeSet<&str> = trained.map(|trial| trial.strategy.as_str()).collect();
    let several = strategies.len() > 1;
    let tuned = results.plan.tune.iter().flat_map(|tune| &tune.axes).any(|axis| axis.key == "learning-rate");
    let swept = tuned || axis("learning-rate").is_some_and(|axis| axis.values.len() > 1);
    (several && !swept).then(|| {
        "The learning rate was not tuned: all strategies of a model had the same. What suits training everything may not suit a head \
         alone, so a gap between strategies is one at this rate. `learning-rate` in [tune] has each choose its own."
            .to_owned()
    })
}

/// Arms for whose best learning rate a better one may lie beyond those that were tried.
fn at_the_edge(results: &Results, comparison: &Comparison<'_>) -> Option<String> {
    let axis = results.plan.axes.iter().find(|axis| axis.key == "learning-rate")?;
    let mut rates: Vec<f64> = axis.values.iter().filter_map(|value| value.parse().ok()).collect();
    rates.sort_by(f64::total_cmp);
    let (least, most) = (*rates.first()?, *rates.last()?);
    if rates.len() < 2 {
        return None;
    }
    // Arms that are the same but for the rate.
    let mut families: BTreeMap<String, Vec<&Arm<'_>>> = BTreeMap::new();
    for arm in comparison.measured() {
        let mut same = Trial { seed: 0, ..arm.trial().clone() };
        same.train.learning_rate = 0.0;
        families.entry(same.sealed().id).or_default().push(arm);
    }
    let mut edges: BTreeSet<String> = BTreeSet::new();
    for family in families.into_values().filter(|family| family.len() > 1) {
        let validated = |arm: &&Arm<'_>| mean(&arm.values(|outcome| outcome.validation_accuracy));
        let chosen = |arm: &&Arm<'_>| validated(arm).or_else(|| arm.accuracy()).unwrap_or(0.0);
        let best = family.iter().max_by(|a, b| chosen(a).total_cmp(&chosen(b)));
        let Some(best) = best else { continue };
        let rate = best.trial().train.learning_rate;
        if rate == least || rate == most {
            edges.insert(best.label.clone());
        }
    }
    (!edges.is_empty()).then(|| {
        format!(
            "The best learning rate of some lies at the edge of those that were tried ({least} to {most}), so a better one may lie beyond: {}.",
            edges.into_iter().collect::<Vec<_>>().join("; ")
        )
    })
}

/// That arms saw more training images than others, by epochs or by images of an epoch.
fn budgets(comparison: &Comparison<'_>) -> Option<String> {
    let mut budgets: BTreeMap<(Option<usize>, usize), Vec<&str>> = BTreeMap::new();
    for arm in comparison.measured() {
        let images = arm.runs.iter().find_map(|run| Some(run.finished()?.data.as_ref()?.train));
        let epochs = (!arm.trial().fits()).then_some(arm.trial().train.epochs);
        budgets.entry((epochs, images?)).or_default().push(&arm.label);
    }
    (budgets.len() > 1).then(|| {
        let each = budgets.iter().map(|((epochs, images), arms)| {
            let some = if arms.len() > 3 { format!("{} arms", arms.len()) } else { arms.join(", ") };
            match epochs {
                Some(epochs) => format!("{} of {images} images for {some}", plural(*epochs, "epoch")),
                None => format!("the features of {images} images for {some}"),
            }
        });
        format!("Budgets differ: {}.", each.collect::<Vec<_>>().join("; "))
    })
}

/// That trials stopped before their last epoch, and which arms trained for how long.
fn ended_early(comparison: &Comparison<'_>) -> Option<String> {
    let (mut early, mut finished, mut arms) = (0, 0, Vec::new());
    for arm in comparison.measured() {
        let epochs: Vec<f64> = arm.answered().map(|stored| stored.epochs.len() as f64).collect();
        let planned = arm.trial().train.epochs;
        early += epochs.iter().filter(|epochs| **epochs < planned as f64).count();
        finished += epochs.len();
        arms.extend(mean(&epochs).map(|mean| format!("{mean:.1} of {planned} for {}", arm.label)));
    }
    let asked = comparison.runs().any(|(_, run)| run.trial.train.patience.is_some());
    (asked && early > 0).then(|| {
        format!(
            "`patience` ended {early} of {} early, so arms did not train alike long (epochs, means over seeds): {}.",
            plural(finished, "trial"),
            arms.join("; ")
        )
    })
}

/// That pretrained weights did not all come from one place.
fn lineages(comparison: &Comparison<'_>) -> Option<String> {
    let mut origins: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for (arm, run) in comparison.runs() {
        let Some(outcome) = run.finished() else { continue };
        let origin = match (&outcome.weights, &outcome.pretraining) {
            (_, Some(_)) => "pretrained here".to_owned(),
            (Some(weights), _) => weights.repo.clone().unwrap_or_else(|| weights.file.clone()),
            (None, None) => "random weights".to_owned(),
        };
        origins.entry(origin).or_default().insert(arm.model);
    }
    let loaded = origins.keys().filter(|origin| *origin != "random weights").count();
    (origins.len() > 1 && loaded > 0).then(|| {
        let each = origins.iter().map(|(origin, models)| {
            format!("{origin} for {}", models.iter().copied().collect::<Vec<_>>().join(", "))
        });
        format!(
            "Arms started from weights of different origin: {}. What an arm gains may be what its weights had seen.",
            each.collect::<Vec<_>>().join("; ")
        )
    })
}

fn normalisations(comparison: &Comparison<'_>) -> Option<String> {
    let different: BTreeSet<String> = comparison
        .runs()
        .filter_map(|(_, run)| match &run.finished()?.weights {
            Some(weights) => Some((weights.mean, weights.std)),
            None => {
                let scratch = card(&run.trial.model).ok()?.normalisation;
                Some((scratch.mean, scratch.std))
            }
        })
        .map(|normalisation| format!("{normalisation:?}"))
        .collect();
    (different.len() > 1).then(|| {
        "Images were normalised as each arm's weights or model want it, so not all arms saw the same numbers.".to_owned()
    })
}

/// Settings that are no axis, nor tuned, and yet are not the same in all trials: an `[[override]]` made them differ.
fn differing_settings(results: &Results) -> Vec<String> {
    let axes = results.plan.axes.iter().chain(results.plan.tune.iter().flat_map(|tune| &tune.axes));
    let axes: BTreeSet<&str> = axes.map(|axis| axis.key.as_str()).collect();
    let mut notes = Vec::new();
    for key in keys().iter().filter(|key| !axes.contains(key.name)) {
        let mut whose: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
        for trial in results.plan.trials.iter().filter(|trial| trial.uses(key.name)) {
            whose.entry(key.show(trial)).or_default().insert(&trial.model);
        }
        if whose.len() > 1 {
            let parts = whose.iter().map(|(value, models)| {
                let models: Vec<&str> = models.iter().copied().collect();
                format!("{} for {}", if value.is_empty() { "nothing" } else { value }, models.join(", "))
            });
            notes.push(format!(
                "Not all arms have the same {}: {}. What is measured is the arm as a whole.",
                key.name,
                parts.collect::<Vec<_>>().join("; ")
            ));
        }
    }
    notes
}

/// That BatchNorms of networks which nothing has trained do not normalise while they are frozen. Phases that an experiment
/// spells out are not looked into.
fn untrained_statistics(trials: &[Trial]) -> Option<String> {
    let models: BTreeSet<&str> = trials
        .iter()
        .filter(|trial| trial.weights == "none" && keeps_statistics(trial))
        .map(|trial| trial.model.as_str())
        .collect();
    (!models.is_empty()).then(|| {
        format!(
            "Where {} started from random weights, BatchNorms that were frozen kept the statistics that they are made with \
             (mean 0, variance 1), so activations may vanish or grow without bound before they reach the head. `batch-norm = \
             \"train\"` normalises by the batch instead.",
            models.into_iter().collect::<Vec<_>>().join(", ")
        )
    })
}

/// Whether BatchNorms use the statistics that they start with, for some epochs or for all.
fn keeps_statistics(trial: &Trial) -> bool {
    use Strategy::{First, FreezeThenThaw, Head, Last, LpFt, Probe, Thaw, ThreePhase};
    let kept = match trial.train.batch_norm.as_str() {
        "eval" => true,
        "follow" => matches!(
            strategy_of(trial),
            Ok(Head | Last(_) | First(_) | Thaw | FreezeThenThaw(_) | LpFt | Probe(_) | ThreePhase)
        ),
        _ => false,
    };
    kept && card(&trial.model).is_ok_and(ModelCard::has_batch_norm)
}

#[cfg(test)]
mod tests {
    use frostline_experiment::Axis;
    use frostline_results::samples::{plan, results};

    use super::*;

    #[test]
    fn one_rate_for_all_strategies_is_told_and_the_edge_of_several() {
        let with_rates = |rates: &[f64], best: f64| {
            let mut plan = plan(&["resnet18"], &["full", "head"], 1);
            let given = |rate: f64| {
                plan.trials.iter().cloned().map(move |mut trial| {
                    trial.train.learning_rate = rate;
                    trial.sealed()
                })
            };
            let trials: Vec<Trial> = rates.iter().flat_map(|rate| given(*rate).collect::<Vec<_>>()).collect();
            plan.trials = trials;
            if rates.len() > 1 {
                let values = rates.iter().map(f64::to_string).collect();
                plan.axes.push(Axis { key: "learning-rate".to_owned(), values });
            }
            let results = results(plan, |t| (if t.train.learning_rate == best { 0.9 } else { 0.8 }, 1.0));
            fairness(&results, &Comparison::of(&results)).join("\n")
        };
        assert!(with_rates(&[0.001], 0.001).contains("The learning rate was not tuned"));
        let inside = with_rates(&[0.01, 0.001, 0.0001], 0.001);
        assert!(!inside.contains("not tuned") && !inside.contains("edge"), "{inside}");
        let edge = with_rates(&[0.01, 0.001, 0.0001], 0.01);
        assert!(edge.contains("(0.0001 to 0.01)") && edge.contains("full · learning-rate 0.01"), "{edge}");
    }

    #[test]
    fn trials_that_ended_early_are_told() {
        let said = |patience, gone: usize| {
            let mut plan = plan(&["resnet18"], &["full", "head"], 2);
            plan.trials.iter_mut().for_each(|trial| trial.train.patience = patience);
            plan.trials = plan.trials.into_iter().map(Trial::sealed).collect();
            let mut results = results(plan, |_| (0.8, 1.0));
            for stored in results.trials.iter_mut().filter(|stored| stored.trial.strategy == "head") {
                stored.epochs.truncate(stored.epochs.len() - gone);
            }
            ended_early(&Comparison::of(&results))
        };
        let note = said(Some(2), 2).unwrap();
        assert!(
            note.contains("ended 2 of 4 trials early") && note.contains("4.0 of 6 for resnet18 · head"),
            "{note}"
        );
        assert_eq!((said(Some(2), 0), said(None, 2)), (None, None));
    }

    #[test]
    fn what_is_fitted_has_no_rate_and_no_epochs() {
        let fitted = |strategies: &[&str]| {
            let mut plan = plan(&["resnet18"], strategies, 1);
            plan.trials = plan.trials.into_iter().map(Trial::sealed).collect();
            let results = results(plan, |_| (0.8, 1.0));
            fairness(&results, &Comparison::of(&results)).join("\n")
        };
        let notes = fitted(&["full", "probe:ridge"]);
        assert!(!notes.contains("not tuned") && notes.contains("the features of "), "{notes}");
        assert!(fitted(&["full", "head", "probe:ridge"]).contains("not tuned"));
        assert!(!fitted(&["knn:5", "probe:ridge"]).contains("Budgets"));
    }

    #[test]
    fn budgets_and_origins_that_differ_are_told() {
        let mut results = results(plan(&["resnet18", "alexnet"], &["full"], 1), |_| (0.8, 1.0));
        let said = |results: &Results| fairness(results, &Comparison::of(results)).join("\n");
        assert!(!said(&results).contains("Budgets") && !said(&results).contains("origin"));
        results.trials[0].outcome.data.as_mut().unwrap().train = 100;
        results.trials[0].outcome.pretraining =
            Some(frostline_results::PretrainingRecord { trunk: "t".to_owned(), wall_seconds: 1.0 });
        let notes = said(&results);
        assert!(notes.contains("Budgets differ: 6 epochs of 100 images for "), "{notes}");
        assert!(notes.contains("pretrained here for ") && notes.contains("random weights for "), "{notes}");
    }

    #[test]
    fn frozen_statistics_of_random_networks_are_told() {
        let note = |model: &str, strategy: &str, change: fn(&mut Trial)| {
            let mut trial =
                Trial { model: model.to_owned(), strategy: strategy.to_owned(), ..Trial::default() };
            change(&mut trial);
            untrained_statistics(&[trial])
        };
        assert!(
            note("googlenet", "head", |_| {}).unwrap().starts_with("Where googlenet started from random")
        );
        for strategy in ["last-2", "first-1", "thaw", "freeze-then-thaw:1", "lp-ft", "three-phase"] {
            assert!(note("resnet18", strategy, |_| {}).is_some(), "{strategy}");
        }
        assert!(note("resnet18", "full", |trial| trial.train.batch_norm = "eval".to_owned()).is_some());
        assert_eq!(note("resnet18", "full", |_| {}), None);
        assert_eq!(note("alexnet", "head", |_| {}), None, "it has no BatchNorm");
        assert_eq!(note("resnet18", "head", |trial| trial.weights = "hub".to_owned()), None);
        assert_eq!(note("resnet18", "head", |trial| trial.train.batch_norm = "train".to_owned()), None);
    }

    #[test]
    fn what_counts_classes_is_told_where_images_choose_its_epoch() {
        let said = |keep: &str, weights: &str| {
            let mut plan = plan(&["resnet18"], &["head"], 3);
            for trial in &mut plan.trials {
                (trial.train.keep, trial.train.class_weights) = (keep.to_owned(), weights.to_owned());
            }
            let results = results(plan, |_| (0.5, 1.0));
            fairness(&results, &Comparison::of(&results)).join("\n")
        };
        assert!(said("best", "balanced").contains("counts images and not classes"));
        assert!(!said("last", "balanced").contains("counts images"));
        assert!(!said("best", "none").contains("counts images"));
    }

    #[test]
    fn a_cross_validation_says_what_its_accuracies_are_of() {
        let mut results = results(plan(&["resnet18"], &["head"], 3), |_| (0.5, 1.0));
        let said = |results: &Results| fairness(results, &Comparison::of(results)).join("\n");
        assert!(!said(&results).contains("Cross-validation"));
        results.folds = Some(5);
        assert!(
            said(&results).contains("Cross-validation in 5 folds")
                && said(&results).contains("80 % of the images")
        );
    }
}
