//! What arms chose their values from, what that cost, and what it can hide.

use std::collections::BTreeSet;

use frostline_compare::Comparison;
use frostline_results::Results;
use frostline_text::{duration, plural};

use super::arms::none;
use super::table::Table;

/// The candidates of each arm, and how they were chosen from.
pub(super) fn tuned(results: &Results, comparison: &Comparison<'_>) -> String {
    let Some(tune) = &results.plan.tune else { return String::new() };
    let mut table = Table::new(&["arm", "tried", "validation, %>", "wall>", "chosen"]);
    let mut open = BTreeSet::new();
    for arm in &comparison.arms {
        let Some(tuning) = &arm.tuning else { continue };
        if !tuning.decided {
            open.insert(arm.number);
        }
        for (index, candidate) in tuning.candidates.iter().enumerate() {
            let outcome = candidate.run.finished();
            let chosen = match (candidate.chosen, tuning.decided) {
                (true, true) => "yes",
                (true, false) => "not yet decided",
                _ => "",
            };
            table.row([
                if index == 0 { arm.label.clone() } else { String::new() },
                candidate.values.clone(),
                match (candidate.run.failure(), outcome.and_then(|outcome| outcome.validation_accuracy)) {
                    (Some(_), _) => "failed".to_owned(),
                    (_, Some(accuracy)) => format!("{:.1}", 100.0 * accuracy),
                    (None, None) => none(),
                },
                candidate.run.stored.map_or_else(none, |stored| duration(stored.outcome.seconds.wall)),
                chosen.to_owned(),
            ]);
        }
    }
    if table.is_empty() {
        return String::new();
    }
    let keys: Vec<&str> = tune.axes.iter().map(|axis| axis.key.as_str()).collect();
    let mut text = format!(
        "Each arm has the {} that validated best on seed {}, of equals the one with the lowest loss; the other seeds were trained with \
         that alone, and the test split had no part in it. *Total* counts the candidates that were not chosen, as an arm at its best is \
         had for no less; times to accuracy do not. What this can hide: with few validation images the choice is partly chance, another \
         seed might have chosen otherwise, and the validation accuracy of seed {} is the best of several, so it flatters.",
        keys.join(" and "),
        tune.seed,
        tune.seed
    );
    if !open.is_empty() {
        let arms = plural(open.len(), "arm");
        text += &format!(" Of {arms} not all candidates are tried yet: the best so far is shown.");
    }
    format!("{text}\n\n{}", table.markdown())
}

/// Arms whose chosen learning rate lies at an edge of those that were tried.
pub(super) fn at_the_edge(results: &Results, comparison: &Comparison<'_>) -> Option<String> {
    let axis = results.plan.tune.as_ref()?.axes.iter().find(|axis| axis.key == "learning-rate")?;
    let rates: Vec<f64> = axis.values.iter().filter_map(|value| value.parse().ok()).collect();
    let (least, most) = (rates.iter().copied().reduce(f64::min)?, rates.iter().copied().reduce(f64::max)?);
    let measured = comparison.measured().into_iter();
    let edges: Vec<String> = measured
        .filter(|arm| arm.tuning.as_ref().is_some_and(|tuning| tuning.decided))
        .filter(|arm| [least, most].contains(&arm.trial().train.learning_rate))
        .map(|arm| format!("{} ({})", arm.label, arm.trial().train.learning_rate))
        .collect();
    (!edges.is_empty()).then(|| {
        format!(
            "The chosen learning rate of some lies at the edge of those that were tried ({least} to {most}), so a better one may lie \
             beyond: {}.",
            edges.join("; ")
        )
    })
}

#[cfg(test)]
mod tests {
    use frostline_experiment::{Axis, Trial, Tune};
    use frostline_results::samples::{plan, results};

    use super::*;
    use crate::fairness::fairness;

    /// Two arms on two seeds, of which the other rates are trained on the first seed alone; `best` validates best for `head`.
    fn tuned_results(rates: &[f64], best: f64) -> Results {
        let mut plan = plan(&["resnet18"], &["full", "head"], 2);
        let with = |rate: f64| {
            plan.trials.iter().cloned().map(move |mut trial| {
                trial.train.learning_rate = rate;
                trial.sealed()
            })
        };
        let trials: Vec<Trial> = rates.iter().flat_map(|rate| with(*rate).collect::<Vec<_>>()).collect();
        plan.trials = trials;
        let values = rates.iter().map(f64::to_string).collect();
        plan.tune = Some(Tune { axes: vec![Axis { key: "learning-rate".to_owned(), values }], seed: 0 });
        let mut results = results(plan, |trial| (0.5 + 0.1 * trial.train.learning_rate, 10.0));
        for stored in &mut results.trials {
            let trial = &stored.trial;
            let wins = if trial.strategy == "head" { best } else { rates[0] };
            // What validates best is not what tests best.
            stored.outcome.validation_accuracy =
                Some(if trial.train.learning_rate == wins { 0.9 } else { 0.8 });
        }
        results.trials.retain(|stored| {
            let trial = &stored.trial;
            let wins = if trial.strategy == "head" { best } else { rates[0] };
            trial.seed == 0 || trial.train.learning_rate == wins
        });
        results
    }

    #[test]
    fn an_arm_has_what_validated_best_and_its_cost_counts_what_was_tried() {
        let results = tuned_results(&[0.1, 0.01, 0.001], 0.01);
        let comparison = Comparison::of(&results);
        assert_eq!(comparison.arms.len(), 2);
        for arm in &comparison.arms {
            let rate = if arm.label.contains("head") { 0.01 } else { 0.1 };
            assert!(arm.runs.iter().all(|run| run.trial.train.learning_rate == rate), "{}", arm.label);
            assert_eq!((arm.runs.len(), arm.tuning_seconds()), (2, 20.0));
            assert_eq!((arm.wall(), arm.total()), (Some(10.0), Some(30.0)));
            assert_eq!(comparison.total_shared(arm), Some(20.0), "shared by two seeds");
            assert!(!arm.label.contains("learning-rate"));
        }
        assert!(comparison.outside.is_empty(), "what was tried is part of the plan");
        let text = tuned(&results, &comparison);
        assert!(text.contains("Each arm has the learning-rate that validated best on seed 0"), "{text}");
        assert_eq!(text.matches("| yes ").count(), 2, "{text}");
        let notes = fairness(&results, &comparison).join("\n");
        assert!(!notes.contains("not tuned") && !notes.contains("same learning-rate"), "{notes}");
        assert!(notes.contains("full (0.1)") && !notes.contains("head (0.01)"), "{notes}");
    }

    #[test]
    fn what_is_not_decided_is_told_and_a_candidate_that_failed_is_not_chosen() {
        let mut results = tuned_results(&[0.1, 0.01, 0.001], 0.01);
        let failed = results.trials.iter_mut().find(|stored| {
            (stored.trial.strategy.as_str(), stored.trial.train.learning_rate) == ("head", 0.01)
        });
        failed.unwrap().outcome.status =
            frostline_results::Status::Failed { reason: "the loss left the numbers".to_owned() };
        let text = tuned(&results, &Comparison::of(&results));
        assert!(text.contains("failed") && text.matches("| yes ").count() == 2, "{text}");
        let mut lost = tuned_results(&[0.1, 0.01], 0.01);
        for stored in lost.trials.iter_mut().filter(|stored| stored.trial.strategy == "head") {
            stored.outcome.status =
                frostline_results::Status::Failed { reason: "the loss left the numbers".to_owned() };
        }
        lost.trials.retain(|stored| stored.trial.strategy == "full" || stored.trial.seed == 0);
        let comparison = Comparison::of(&lost);
        let head = comparison.arms.iter().find(|arm| arm.label.contains("head")).unwrap();
        assert_eq!((head.runs.len(), head.accuracy()), (1, None), "no other seed is to be trained");

        let open = |stored: &frostline_results::StoredTrial| {
            (stored.trial.strategy.as_str(), stored.trial.train.learning_rate) == ("full", 0.001)
        };
        results.trials.retain(|stored| !open(stored));
        let comparison = Comparison::of(&results);
        let text = tuned(&results, &comparison);
        assert!(text.contains("| not yet decided ") && text.contains("Of 1 arm not all"), "{text}");
        assert_eq!(comparison.arms.len(), 2);
    }
}
