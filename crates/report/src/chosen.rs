//! What the choice of an epoch on validation may make of a comparison, and what validation accuracies count.

use frostline_compare::{Arm, Comparison};
use frostline_experiment::Trial;
use frostline_results::StoredTrial;
use frostline_text::plural;

/// How much more often an arm keeps an epoch before its last than another where that is told.
const APART: f64 = 0.5;

/// Whether validation accuracies of a trial count classes.
fn counts_classes(trial: &Trial) -> bool {
    trial.train.validation_counts == "classes"
}

/// What validation accuracies are, where some count classes.
pub(super) fn by_classes(comparison: &Comparison<'_>) -> Option<String> {
    let measured = comparison.measured();
    let others = match measured.iter().filter(|arm| counts_classes(arm.trial())).count() {
        0 => return None,
        all if all == measured.len() => "",
        _ => "; those of the other arms count images, and are another measure",
    };
    Some(format!(
        "Validation accuracies with `validation-counts = \"classes\"` are balanced: each class counts alike{others}. What was chosen by them was \
         chosen for the column *balanced*, not for test accuracy, which counts images."
    ))
}

/// That arms which count classes alike had their epochs chosen by an accuracy that counts images.
pub(super) fn by_images(comparison: &Comparison<'_>) -> Option<String> {
    let by_class = |trial: &Trial| trial.train.class_weights != "none" || trial.train.sampling != "shuffled";
    let chosen = |trial: &Trial| trial.train.keep == "best" && by_class(trial) && !counts_classes(trial);
    let arms: Vec<&str> = comparison
        .measured()
        .iter()
        .filter(|arm| chosen(arm.trial()))
        .map(|arm| arm.label.as_str())
        .collect();
    (!arms.is_empty()).then(|| {
        format!(
            "The epochs of {} were chosen by validation accuracy, which counts images and not classes: where classes differ in size it favours \
             naming the common ones, which these arms are to unlearn. validation-counts = \"classes\" chooses for all classes alike, keep = \"last\" \
             chooses nothing.",
            arms.join(", ")
        )
    })
}

/// That validation chose epochs before the last for some arms and not for others: with few images that is partly luck, which then is part of
/// the difference between them.
pub(super) fn early_by_some(comparison: &Comparison<'_>) -> Option<String> {
    let chosen: Vec<(&Arm<'_>, usize, usize)> = comparison
        .measured()
        .into_iter()
        .filter(|arm| arm.trial().train.keep == "best" && !arm.trial().fits())
        .filter(|arm| arm.answered().count() > 1)
        .map(|arm| (arm, arm.answered().filter(|stored| is_early(stored)).count(), arm.answered().count()))
        .collect();
    let share = |(_, early, of): &(&Arm<'_>, usize, usize)| *early as f64 / *of as f64;
    let (most, least) = (
        chosen.iter().max_by(|a, b| share(a).total_cmp(&share(b)))?,
        chosen.iter().min_by(|a, b| share(a).total_cmp(&share(b)))?,
    );
    if share(most) - share(least) < APART {
        return None;
    }
    let outcome = &most.0.answered().next()?.outcome;
    let (images, accuracy) = (outcome.data.as_ref()?.validation, outcome.validation_accuracy?);
    // With classes of one size; with others an accuracy that counts classes is known less well.
    let at_best = if counts_classes(most.0.trial()) { "at best " } else { "" };
    let points = 200.0 * (accuracy * (1.0 - accuracy) / images as f64).sqrt();
    let of = |(arm, early, of): &(&Arm<'_>, usize, usize)| {
        format!("{early} of {} of {}", plural(*of, "trial"), arm.label)
    };
    Some(format!(
        "Validation kept an epoch before the last in {}, and in {}. An accuracy on its {} is known to {at_best}± {points:.1} points, so which epochs were \
         kept is partly luck, and part of a difference on the test images may be. `keep = \"last\"` chooses nothing.",
        of(most),
        of(least),
        plural(images, "image")
    ))
}

fn is_early(stored: &StoredTrial) -> bool {
    stored.outcome.chosen_epoch.is_some_and(|epoch| epoch < stored.epochs.len())
}

#[cfg(test)]
mod tests {
    use frostline_results::samples::{plan, results};

    use super::*;

    #[test]
    fn what_validation_counts_is_told_where_it_is_not_images() {
        let said = |classes: &[&str]| {
            let mut plan = plan(&["resnet18"], &["full", "head"], 2);
            for trial in &mut plan.trials {
                if classes.contains(&trial.strategy.as_str()) {
                    trial.train.validation_counts = "classes".to_owned();
                }
                trial.train.sampling = "balanced".to_owned();
            }
            plan.trials = plan.trials.into_iter().map(Trial::sealed).collect();
            let results = results(plan, |_| (0.8, 1.0));
            let comparison = Comparison::of(&results);
            (by_classes(&comparison), by_images(&comparison))
        };
        let (classes, images) = said(&[]);
        assert!(classes.is_none() && images.unwrap().contains("resnet18 · full, resnet18 · head"));
        let (classes, images) = said(&["head"]);
        assert!(classes.unwrap().contains("alike; those of the other arms count images"));
        assert!(images.unwrap().starts_with("The epochs of resnet18 · full were"));
        let (classes, images) = said(&["full", "head"]);
        assert!(classes.unwrap().contains("each class counts alike. What") && images.is_none());
    }

    #[test]
    fn epochs_that_were_chosen_unlike_are_told() {
        let said = |keep: &str, early: usize| {
            let mut plan = plan(&["resnet18"], &["full", "head"], 3);
            plan.trials.iter_mut().for_each(|trial| trial.train.keep = keep.to_owned());
            plan.trials = plan.trials.into_iter().map(Trial::sealed).collect();
            let mut results = results(plan, |_| (0.8, 1.0));
            for stored in &mut results.trials {
                let is_early = stored.trial.strategy == "head" && (stored.trial.seed as usize) < early;
                stored.outcome.chosen_epoch = Some(stored.epochs.len() - usize::from(is_early));
            }
            early_by_some(&Comparison::of(&results))
        };
        let note = said("best", 2).unwrap();
        assert!(
            note.contains("in 2 of 3 trials of resnet18 · head, and in 0 of 3 trials of resnet18 · full"),
            "{note}"
        );
        assert!(note.contains(" points, so which epochs were kept"), "{note}");
        assert_eq!((said("best", 1), said("last", 2)), (None, None));
    }
}
