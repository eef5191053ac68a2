//! What a reader must know before believing the tables: [`notes`] finds it in the results themselves.

use std::collections::{BTreeMap, BTreeSet};

use frostline_experiment::Trial;
use frostline_experiment::keys::{Key, keys};
use frostline_results::{Inputs, Outcome, Results, Superseded};
use frostline_text::{duration, plural};

use super::fairness;
use super::provenance::short;
use frostline_compare::{Arm, Comparison, Run};

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
    notes.extend(fairness::fairness(results, comparison));
    notes.extend(shared(comparison));
    notes.extend(busy(comparison));
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
    notes.extend(duplicates(comparison));
    notes.extend(mixed_inputs(comparison));
    notes.extend(superseded(results));
    if !comparison.outside.is_empty() {
        notes.push(format!(
            "{} stored here belong to no cell of the present plan. They are in the tables, and not in this report.",
            plural(comparison.outside.len(), "trial")
        ));
    }
    notes
}

/// What trials had in common, since their times are those that they would have taken alone.
fn shared(comparison: &Comparison<'_>) -> Option<String> {
    let finished: Vec<&Outcome> = comparison.runs().filter_map(|(_, run)| run.finished()).collect();
    let together = finished.iter().filter(|outcome| outcome.shared.is_some()).count();
    let of = |seconds: fn(&Outcome) -> f64| finished.iter().map(|outcome| seconds(outcome)).sum::<f64>();
    let (alone, took) = (of(|outcome| outcome.seconds.wall), of(Outcome::share_seconds));
    (together > 0).then(|| {
        format!(
            "{together} of {} advanced together with others: frozen stages that they have in common were computed once. Times are what \
             a trial takes alone, {} in all, of which the sweep took {} ({:.2} times as long; each trial's part stands under *Every \
             seed*). Peak memory is that of all that ran together.",
            plural(finished.len(), "trial"),
            duration(alone),
            duration(took),
            took / alone
        )
    })
}

/// Of the share of the wall time that the threads of the quietest trial of an arm computed for, the part below which another had to
/// wait; and that share itself, below which a trial that took long had to.
const WAITED: (f64, f64) = (0.7, 0.4);
/// Seconds from which on a trial took long.
const LONG: f64 = 10.0;

/// Trials whose processors were taken by something else while they ran: their threads computed for much less of the wall time
/// than those of another trial of their arm, or for little of it.
fn busy(comparison: &Comparison<'_>) -> Option<String> {
    let share = |outcome: &Outcome| {
        let seconds = &outcome.seconds;
        Some(seconds.cpu / seconds.wall / outcome.threads as f64)
            .filter(|share| share.is_finite() && seconds.cpu > 0.0)
    };
    let mut best: BTreeMap<usize, f64> = BTreeMap::new();
    for (arm, run) in comparison.runs() {
        if let Some(share) = run.finished().and_then(share) {
            let best = best.entry(arm.number).or_default();
            *best = best.max(share);
        }
    }
    let waited = |(arm, run): &(&Arm<'_>, &Run<'_>)| {
        let Some((outcome, share)) = run.finished().and_then(|outcome| Some((outcome, share(outcome)?)))
        else {
            return false;
        };
        share < WAITED.0 * best[&arm.number] || share < WAITED.1 && outcome.seconds.wall >= LONG
    };
    let waited: Vec<_> = comparison.runs().filter(waited).collect();
    let (_, worst) = waited.iter().min_by(|(_, a), (_, b)| {
        let of = |run: &Run<'_>| run.finished().and_then(share).unwrap_or(1.0);
        of(a).total_cmp(&of(b))
    })?;
    let outcome = worst.finished()?;
    let of = comparison.runs().filter(|(_, run)| run.finished().is_some()).count();
    Some(format!(
        "The machine was busy with something else: threads of {} of {} computed for much less of the wall time than others', trial {} \
         for {} on {} in {}. Times of such trials are too long; processor time stands under *Every seed*.",
        waited.len(),
        plural(of, "trial"),
        worst.trial.id,
        duration(outcome.seconds.cpu),
        plural(outcome.threads, "thread"),
        duration(outcome.seconds.wall),
    ))
}

/// The pictures that occur more than once in what trials were made of.
fn duplicates(comparison: &Comparison<'_>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    for (_, run) in comparison.runs() {
        let Some(data) = run.finished().and_then(|outcome| outcome.data.as_ref()) else { continue };
        seen.extend(data.duplicates.iter().map(|sentence| (data.source.as_str(), sentence.as_str())));
    }
    let note = |(source, sentence): (&str, &str)| {
        format!("Of `{source}`, {sentence}. `duplicates = \"drop\"` in [data] keeps one of each.")
    };
    seen.into_iter().map(note).collect()
}

/// That trials of one source were not made of the same images, nor trials of one file of weights of the same weights. A sweep
/// puts such trials aside, so this is for folders that something else has put together.
fn mixed_inputs(comparison: &Comparison<'_>) -> Vec<String> {
    let mut used: BTreeMap<(&str, String), BTreeMap<String, Vec<&str>>> = BTreeMap::new();
    for (_, run) in comparison.runs() {
        let Some(outcome) = run.finished() else { continue };
        let Inputs { data, weights } = Inputs::of(outcome);
        let Trial { id, data: spec, model, weights: source, seed, .. } = run.trial;
        let images = format!("images of `{}` {}", spec.source, spec.classes.join(", "));
        let file = format!("weights `{source}` of {model}");
        let pretrained = if outcome.pretraining.is_some() { format!(", seed {seed}") } else { String::new() };
        for (what, name, digest) in [("images", images, data), ("weights", file + &pretrained, weights)] {
            if let Some(digest) = digest {
                used.entry((what, name)).or_default().entry(digest).or_default().push(id);
            }
        }
    }
    let mixed = used.into_iter().filter(|(_, by_digest)| by_digest.len() > 1);
    let note = |((_, name), by_digest): ((&str, String), BTreeMap<String, Vec<&str>>)| {
        let groups =
            by_digest.iter().map(|(digest, ids)| format!("{} had `{}`", ids.join(", "), short(digest)));
        format!(
            "Not all trials had the same {}: {}. Their accuracies do not compare; run the sweep again.",
            name.trim(),
            groups.collect::<Vec<_>>().join("; ")
        )
    };
    mixed.map(note).collect()
}

/// What was made of other images or weights than the last sweep found.
fn superseded(results: &Results) -> Option<String> {
    let Superseded { trials, trunks } = &results.superseded;
    let mut parts = Vec::new();
    if !trials.is_empty() {
        parts.push(plural(trials.len(), "trial"));
    }
    if !trunks.is_empty() {
        parts.push(plural(trunks.len(), "pretraining"));
    }
    let mut ids: Vec<&str> = trials.iter().map(|stored| stored.trial.id.as_str()).collect();
    ids.dedup();
    (!parts.is_empty()).then(|| {
        format!(
            "{} of earlier sweeps had other images or weights than the last sweep found. They are kept in `superseded/`, and not in this \
             report{}{}.",
            parts.join(" and "),
            if ids.is_empty() { "" } else { ": " },
            ids.join(", ")
        )
    })
}

/// The settings that all trials share, as `key value`, in the order of the experiment file's reference.
pub(super) fn shared_settings(trials: &[Trial]) -> Vec<String> {
    let Some(first) = trials.first() else { return Vec::new() };
    let used = |key: &&Key| trials.iter().any(|trial| trial.shows(key.name));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trials_that_had_to_wait_for_the_machine_are_told() {
        use frostline_results::samples::{plan, results};
        let note = |cpu: [f64; 3], wall: [f64; 3]| {
            let mut results = results(plan(&["resnet18"], &["full"], 3), |t| (0.5, wall[t.seed as usize]));
            for stored in &mut results.trials {
                stored.outcome.seconds.cpu = cpu[stored.trial.seed as usize];
            }
            busy(&Comparison::of(&results))
        };
        assert_eq!(note([20.0, 21.0, 19.0], [11.0, 11.5, 10.9]), None);
        let busy = note([20.0, 20.0, 20.0], [11.0, 22.0, 11.0]).unwrap();
        assert!(
            busy.contains("threads of 1 of 3 trials") && busy.contains("for 20.0 s on 2 threads in 22.0 s"),
            "{busy}"
        );
        // All waited: seen by the share alone, where a trial took long.
        assert!(note([13.2; 3], [26.4; 3]).unwrap().contains("3 of 3 trials"));
        assert_eq!(note([1.0; 3], [2.0; 3]), None, "short ones may be of one thread for most of their time");
    }
}
