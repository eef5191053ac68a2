//! That the folds of a plan can be put together: [`problem`].

use std::collections::{BTreeMap, BTreeSet};

use super::Plan;

/// Why the folds that a plan tests are not those of a cross-validation; none where they are, or there are none.
pub(super) fn problem(plan: &Plan) -> Option<String> {
    if plan.trials.iter().all(|trial| trial.data.fold.is_none()) {
        return None;
    }
    let compares = [("halving", plan.halving.is_some()), ("tune", plan.tune.is_some())];
    if let Some((section, _)) = compares.into_iter().find(|(_, given)| *given) {
        return Some(format!(
            "[{section}] compares trials of one seed, and folds have several of each; remove `folds`, or [{section}]"
        ));
    }
    let mut folds: BTreeMap<(String, u64), BTreeSet<&str>> = BTreeMap::new();
    for trial in &plan.trials {
        folds
            .entry((trial.arm(), trial.seed))
            .or_default()
            .insert(trial.data.fold.as_deref().unwrap_or("none"));
    }
    let whole = |folds: &BTreeSet<&str>| {
        let of = folds
            .iter()
            .next()
            .and_then(|fold| fold.split_once('/'))
            .and_then(|(_, of)| of.parse::<usize>().ok());
        of.is_some_and(|of| {
            folds.len() == of && (1..=of).all(|index| folds.contains(format!("{index}/{of}").as_str()))
        })
    };
    let lacking = folds.values().find(|folds| !whole(folds))?;
    Some(format!(
        "an arm has the folds {} alone, and only all of one number together have each image tested once; write folds = K in [data], without \
         [[except]] or [[override]] of fold (`--only fold=1/K` runs some of them)",
        lacking.iter().copied().collect::<Vec<_>>().join(", ")
    ))
}
