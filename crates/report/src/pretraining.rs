//! What came before the trials: [`pretraining`], a section on the trunks that they start from, and [`reaching`], the time to
//! an accuracy with and without it.

use std::collections::BTreeSet;

use frostline_experiment::Pretraining;
use frostline_results::{Results, Status, StoredTrunk};
use frostline_text::{bytes, count, duration, grouped, plural};

use super::table::Table;
use frostline_compare::{Comparison, Reached, deviation, mean};

const NONE: &str = "–";

/// Trunks that differ in the seed alone.
pub(crate) struct Group<'a> {
    pub(crate) name: String,
    pub(crate) model: &'a str,
    pub(crate) pretraining: &'a Pretraining,
    resolution: usize,
    /// The seed that the trials of all seeds share it by; none where each seed has its own.
    seed: Option<u64>,
    /// By seed.
    pub(crate) trunks: Vec<&'a StoredTrunk>,
}

impl Group<'_> {
    /// The trunks that were made.
    pub(crate) fn finished(&self) -> impl Iterator<Item = &StoredTrunk> {
        self.trunks.iter().copied().filter(|stored| stored.outcome.status == Status::Finished)
    }
}

/// The stored trunks that trials of the plan start from, in the plan's order.
pub(crate) fn groups(results: &Results) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut seen = BTreeSet::new();
    for (trial, planned) in results.plan.trials.iter().filter_map(|trial| Some((trial, trial.trunk()?))) {
        let stored = results.trunks.iter().find(|stored| stored.trunk.id == planned.id);
        let Some(stored) = stored.filter(|_| seen.insert(planned.id.clone())) else { continue };
        let trunk = &stored.trunk;
        let same = |group: &&mut Group<'_>| {
            (group.name.as_str(), group.model, group.resolution)
                == (planned.name.as_str(), trunk.model.as_str(), trunk.resolution)
                && group.pretraining == &trunk.pretraining
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.trunks.push(stored),
            None => groups.push(Group {
                name: planned.name.clone(),
                model: &trunk.model,
                pretraining: &trunk.pretraining,
                resolution: trunk.resolution,
                seed: trial.pretraining.as_ref().and_then(|pretraining| pretraining.seed),
                trunks: vec![stored],
            }),
        }
    }
    groups.iter_mut().for_each(|group| group.trunks.sort_by_key(|stored| stored.trunk.seed));
    groups
}

/// What was pretrained, on what, and what it cost.
pub(super) fn pretraining(results: &Results) -> String {
    let groups = groups(results);
    if groups.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&[
        "pretraining",
        "method",
        "model",
        "pixels>",
        "images>",
        "classes>",
        "epochs>",
        "seeds>",
        "training loss>",
        "validation loss>",
        "validation, %>",
        "wall time>",
        "parameters>",
        "peak memory>",
    ]);
    for group in &groups {
        let finished: Vec<&StoredTrunk> = group.finished().collect();
        let average = |of: &dyn Fn(&StoredTrunk) -> Option<f64>, show: &dyn Fn(f64) -> String| {
            let values: Vec<f64> = finished.iter().filter_map(|stored| of(stored)).collect();
            match (mean(&values), deviation(&values)) {
                (None, _) => NONE.to_owned(),
                (Some(mean), None) => show(mean),
                (Some(mean), Some(deviation)) => format!("{} ± {}", show(mean), show(deviation)),
            }
        };
        let chosen = |stored: &StoredTrunk| {
            let epoch = stored.outcome.chosen_epoch?;
            stored.epochs.iter().find(|record| record.epoch == epoch).cloned()
        };
        let only_mean = |of: &dyn Fn(&StoredTrunk) -> Option<f64>, show: &dyn Fn(f64) -> String| {
            mean(&finished.iter().filter_map(|stored| of(stored)).collect::<Vec<_>>())
                .map_or_else(|| NONE.to_owned(), show)
        };
        let data = |stored: &StoredTrunk| stored.outcome.data.clone();
        let whole = |number: f64| grouped(number as u64);
        let seeds = match finished.len() {
            all if all == group.trunks.len() => all.to_string(),
            some => format!("{some} of {}", group.trunks.len()),
        };
        table.row([
            group.name.clone(),
            method(group.pretraining),
            group.model.to_owned(),
            group.resolution.to_string(),
            only_mean(&|s| Some(data(s)?.train as f64), &whole),
            match group.pretraining.method.as_str() {
                "supervised" => only_mean(&|s| Some(data(s)?.classes as f64), &whole),
                _ => NONE.to_owned(),
            },
            group.pretraining.train.epochs.to_string(),
            seeds,
            average(&|s| chosen(s)?.train_loss, &|loss| format!("{loss:.3}")),
            average(&|s| chosen(s)?.validation_loss, &|loss| format!("{loss:.3}")),
            average(&|s| Some(100.0 * chosen(s)?.validation_accuracy?), &|share| format!("{share:.1}")),
            only_mean(&|s| Some(s.outcome.seconds.wall), &duration),
            only_mean(&|s| Some(s.outcome.parameters? as f64), &|n| count(n as u64)),
            only_mean(&|s| Some(s.outcome.peak_memory_bytes? as f64), &|n| bytes(n as u64)),
        ]);
    }
    let mut text = "The weights `pretrain:NAME` were made here, once for each model and seed, and are shared by the trials that \
                    start from them; their time is no part of a trial's. No image of a test split was used, and none was \
                    learnt from that the trials validate on. Mean ± standard deviation over seeds, at the epoch that was kept; the loss of an \
                    autoencoder is the mean squared error of normalised pixels, of the others the cross-entropy.\n\n"
        .to_owned();
    text += &table.without_empty_columns().markdown();
    for group in &groups {
        text += &settings(group);
    }
    text
}

fn method(pretraining: &Pretraining) -> String {
    match pretraining.denoise {
        0.0 => pretraining.method.clone(),
        deviation => format!("{}, denoise {deviation}", pretraining.method),
    }
}

/// Where its images come from and how it was trained, in a line.
fn settings(group: &Group<'_>) -> String {
    let Pretraining { data, train, .. } = group.pretraining;
    let mut parts = vec![format!("source {}", data.source)];
    if !data.classes.is_empty() {
        parts.push(format!("classes {}", data.classes.join(", ")));
    }
    parts.extend(data.per_class.map(|n| format!("{} a class", plural(n, "image"))));
    if !data.augment.is_empty() {
        parts.push(format!("augment {}", data.augment.join("+")));
    }
    parts.push(format!("batch {}, {} at {}", train.batch, train.optimizer, train.learning_rate));
    parts.push(format!("schedule {}", train.schedule));
    parts.extend((train.weight_decay > 0.0).then(|| format!("weight decay {}", train.weight_decay)));
    parts.extend(
        group
            .seed
            .map(|seed| format!("seed {seed} for the trials of all seeds, whose spread it has no part in")),
    );
    let failures = group.trunks.iter().filter_map(|stored| match &stored.outcome.status {
        Status::Failed { reason } => Some(format!(" Seed {} failed: {reason}.", stored.trunk.seed)),
        Status::Finished => None,
    });
    let failures: String = failures.collect();
    let ids: Vec<String> = group.trunks.iter().map(|stored| format!("`{}`", stored.trunk.id)).collect();
    format!(
        "\n- **{}**, {}: {}; trunks {}.{failures}\n",
        group.name,
        group.model,
        parts.join("; "),
        ids.join(", ")
    )
}

/// The time in which each arm reached some validation accuracies; empty where there is no validation.
pub(super) fn reaching(comparison: &Comparison<'_>) -> String {
    let levels = comparison.levels();
    let [low, middle, high] = levels.as_slice() else { return String::new() };
    let head = [low, middle, high].map(|level| format!("{:.0} %>", 100.0 * level));
    let mut table = Table::new(&["arm", "pretraining>", &head[0], &head[1], &head[2]]);
    let mut pretrained = false;
    for arm in comparison.measured() {
        let before = arm.pretraining();
        pretrained |= before.is_some();
        let seeds = arm.accuracies().len();
        let cell = |level: &f64| arm.reached(*level).map_or_else(|| NONE.to_owned(), |r| cell(&r, seeds));
        table.row([
            arm.label.clone(),
            before.map_or_else(|| NONE.to_owned(), duration),
            cell(low),
            cell(middle),
            cell(high),
        ]);
    }
    let brackets = if pretrained { ", in brackets with the whole of the pretraining before it" } else { "" };
    format!(
        "Wall time to the end of the first epoch whose validation accuracy was at least so high, as a mean over seeds{brackets}. \
         Where not all seeds reached a level, it says how many did.\n\n{}",
        table.without_empty_columns().markdown()
    )
}

fn cell(reached: &Reached, seeds: usize) -> String {
    let Some(time) = reached.seconds else { return format!("{} of {seeds}", plural(reached.seeds, "seed")) };
    let with = reached.with_pretraining.map_or_else(String::new, |with| format!(" ({})", duration(with)));
    duration(time) + &with
}
