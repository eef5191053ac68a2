//! What a reader must know before believing the tables: [`notes`] finds it in the results themselves.

use std::collections::{BTreeMap, BTreeSet};

use super::arms::sampling_note;
use super::numbers::plural;
use crate::compare::Comparison;
use crate::plan::Trial;
use crate::results::Results;
use crate::trial::keys::{Key, keys};

/// Warnings, the weightiest first; each is a sentence or two.
pub(super) fn notes(results: &Results, comparison: &Comparison<'_>) -> Vec<String> {
    let mut notes = Vec::new();
    let measured = comparison.measured();
    let seeds: BTreeSet<usize> = measured.iter().map(|arm| arm.accuracies().len()).collect();
    match (seeds.first(), seeds.last()) {
        (Some(1), Some(1)) => notes.push(
            "Every arm has one seed. How much of a difference is chance cannot be told from one; use three or more."
                .to_owned(),
        ),
        (Some(&least), Some(&most)) if least < 3 || least != most => {
            let count = if least == most { least.to_string() } else { format!("between {least} and {most}") };
            notes.push(format!(
                "Arms have {count} seeds. Intervals are given from three seeds on, and compare best where all arms have \
                 the same ones."
            ));
        }
        _ => {}
    }
    let failed: Vec<&str> = measured
        .iter()
        .filter(|arm| arm.runs.iter().any(|run| run.failure().is_some()))
        .map(|arm| arm.label.as_str())
        .collect();
    if !failed.is_empty() {
        notes.push(format!(
            "Trials of {} failed. The means leave them out, so these arms may look better than they are.",
            failed.join(", ")
        ));
    }
    notes.extend(sampling_note(comparison));
    notes.extend(differing_settings(results));
    let normalisations: BTreeSet<String> = comparison
        .runs()
        .filter_map(|(_, run)| match &run.finished()?.weights {
            Some(weights) => Some((weights.mean, weights.std)),
            None => {
                let scratch = frostline_models::card(&run.trial.model).ok()?.normalisation;
                Some((scratch.mean, scratch.std))
            }
        })
        .map(|normalisation| format!("{normalisation:?}"))
        .collect();
    if normalisations.len() > 1 {
        notes.push(
            "Images were normalised as each arm's weights or model want it, so not all arms saw the same numbers."
                .to_owned(),
        );
    }
    let used: BTreeSet<&str> = comparison
        .runs()
        .filter_map(|(_, run)| run.finished())
        .map(|outcome| outcome.environment.as_str())
        .collect();
    if used.len() > 1 {
        notes.push(format!(
            "Trials ran in {} different environments, so their times do not compare.",
            used.len()
        ));
    }
    if !comparison.outside.is_empty() {
        notes.push(format!(
            "{} stored here belong to no cell of the present plan. They are in the tables, and not in this report.",
            plural(comparison.outside.len(), "trial")
        ));
    }
    notes
}

/// Settings that are no axis and yet are not the same in all trials: an `[[override]]` made them differ.
fn differing_settings(results: &Results) -> Vec<String> {
    let axes: BTreeSet<&str> = results.plan.axes.iter().map(|axis| axis.key.as_str()).collect();
    let mut notes = Vec::new();
    for key in keys().iter().filter(|key| !axes.contains(key.name)) {
        let mut whose: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
        for trial in &results.plan.trials {
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

/// The settings that all trials share, as `key value`, in the order of the experiment file's reference.
pub(super) fn shared_settings(trials: &[Trial]) -> Vec<String> {
    let Some(first) = trials.first() else { return Vec::new() };
    let used = |key: &&Key| trials.iter().any(|trial| trial.uses(key.name));
    let shared = keys()
        .iter()
        .filter(used)
        .filter(|key| trials.iter().all(|trial| key.show(trial) == key.show(first)));
    shared
        .map(|key| (key.name, key.show(first)))
        .filter(|(_, v)| !v.is_empty())
        .map(|(k, v)| format!("{k} {v}"))
        .collect()
}
