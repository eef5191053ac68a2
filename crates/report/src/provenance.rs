//! Where the numbers come from: [`data`], [`weights`], [`environments`], and [`commands`] to get them again.

use std::collections::BTreeSet;

use frostline_experiment::Trial;
use frostline_results::{Environment, Results};
use frostline_text::{bytes, grouped, plural, quoted};

use super::table::Table;
use frostline_compare::Comparison;

/// The images: counts and digest for each way in which they were read, then the files.
pub(super) fn data(comparison: &Comparison<'_>) -> String {
    let mut text = String::new();
    let mut seen = BTreeSet::new();
    let mut files = Table::new(&["file", "revision", "size>", "SHA-256"]);
    for (_, run) in comparison.runs() {
        let Some(data) = run.stored.and_then(|stored| stored.outcome.data.as_ref()) else { continue };
        let pixels = run.trial.resolution;
        let line = format!(
            "- `{}` at {pixels} × {pixels} pixels: {}, {} to train on, {} for validation, {} for the test{}; digest `{}`\n",
            data.source,
            plural(data.classes, "class").replace("classs", "classes"),
            grouped(data.train as u64),
            grouped(data.validation as u64),
            grouped(data.test as u64),
            data.licence.as_ref().map_or_else(String::new, |licence| format!("; {licence}")),
            short(&data.digest),
        );
        if seen.insert(line.clone()) {
            text += &line;
            for (what, from) in &data.taken {
                text += &format!("  - {what}: {}\n", from.replace('_', "\\_"));
            }
        }
        for file in &data.files {
            if seen.insert(file.sha256.clone()) {
                let revision = file.revision.clone().unwrap_or_default();
                files.row([file.name.clone(), short(&revision), bytes(file.size), file.sha256.clone()]);
            }
        }
    }
    if files.is_empty() { text } else { format!("{text}\n{}", files.without_empty_columns().markdown()) }
}

/// The weights that trials started from.
pub(super) fn weights(comparison: &Comparison<'_>) -> String {
    let mut table = Table::new(&[
        "model",
        "weights",
        "repository @ revision",
        "file",
        "size>",
        "licence",
        "mean / std",
        "SHA-256",
    ]);
    let (mut seen, mut drawn, mut notes) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for (arm, run) in comparison.runs() {
        let Some(outcome) = run.finished() else { continue };
        let Some(weights) = &outcome.weights else {
            drawn.insert(format!("`{}`", arm.model));
            continue;
        };
        notes.extend(weights.notes.iter().map(|note| (&weights.file, note.replace('_', "\\_"))));
        if seen.insert((arm.model, &weights.sha256)) {
            let revision =
                weights.revision.as_deref().map_or_else(String::new, |r| format!(" @ {}", short(r)));
            let numbers = |channels: [f32; 3]| channels.map(|c| c.to_string()).join(", ");
            table.row([
                arm.model.to_owned(),
                weights.source.clone(),
                weights.repo.as_ref().map_or_else(String::new, |repo| format!("{repo}{revision}")),
                weights.file.clone(),
                bytes(weights.size),
                weights.licence.clone().unwrap_or_default(),
                format!("{} / {}", numbers(weights.mean), numbers(weights.std)),
                weights.sha256.clone(),
            ]);
        }
    }
    let mut text = String::new();
    if !drawn.is_empty() {
        let models: Vec<String> = drawn.into_iter().collect();
        text += &format!("Weights that were drawn from the seed: {}.\n", models.join(", "));
    }
    if !table.is_empty() {
        text = format!("{text}\n{}", table.without_empty_columns().markdown());
    }
    let notes: Vec<String> = notes.iter().map(|(file, note)| format!("- `{file}`: {note}\n")).collect();
    if notes.is_empty() { text } else { format!("{text}\n{}", notes.concat()) }
}

/// The environments of the plan's trials.
pub(super) fn environments(results: &Results, comparison: &Comparison<'_>) -> String {
    let mut text = String::new();
    for (id, environment) in &results.environments {
        let ran = |outcome: &frostline_results::Outcome| outcome.environment == *id;
        let trials = comparison.runs().filter(|(_, run)| run.stored.is_some_and(|s| ran(&s.outcome))).count();
        if trials > 0 {
            text += &format!(
                "{} ran in environment `{id}`:\n\n{}\n",
                plural(trials, "trial"),
                lines(environment)
            );
        }
    }
    text
}

fn lines(environment: &Environment) -> String {
    let Environment { build, .. } = environment;
    let or = |text: &str, other: &str| if text.is_empty() { other.to_owned() } else { text.to_owned() };
    let cores = match environment.physical_cores {
        0 => plural(environment.logical_cores, "logical core"),
        cores => format!("{} ({} logical)", plural(cores, "core"), environment.logical_cores),
    };
    let revision =
        build.revision.as_ref().map_or_else(String::new, |revision| format!(", revision `{revision}`"));
    [
        format!(
            "- {}, {cores}, {} of memory",
            or(&environment.processor, "unknown processor"),
            bytes(environment.memory_bytes)
        ),
        format!(
            "- {} of {} on `{}`; vector instructions: {}",
            plural(environment.threads, "thread"),
            environment.architecture,
            environment.device,
            or(&environment.features.join(", "), "none known")
        ),
        format!("- {}", environment.system),
        format!(
            "- Frostline {}{revision}, {} build for {}, rustc {}, candle {}, gemm {}",
            build.frostline, build.profile, build.target, build.rustc, build.candle, build.gemm
        ),
        format!("- `RUSTFLAGS`: {}", or(&build.rustflags, "none")),
    ]
    .map(|line| line + "\n")
    .concat()
}

/// What to type to get the results and the report again.
pub(super) fn commands(results: &Results) -> String {
    let name = &results.plan.experiment;
    let mut asked = results.asked.clone();
    // The last sweep may have been asked for a part; what is here may be more.
    let stored = |trial: &Trial| results.trials.iter().any(|stored| stored.trial.id == trial.id);
    if results.plan.trials.iter().all(stored) {
        asked.only.clear();
    }
    let file = asked.file.get_or_insert_with(|| format!("experiments/{name}.toml")).clone();
    let folder = asked.results.clone().unwrap_or_else(|| format!("results/{name}"));
    format!(
        "The experiment file is kept as [experiment.toml](experiment.toml). With it as `{file}`:\n\n\
         ```sh\n{asked}\nfrostline report {}   # this page again, from what is stored\n```\n",
        quoted(&folder)
    )
}

/// The first 12 digits of a hash, which tell it from any other.
pub(super) fn short(hash: &str) -> String {
    let hex = hash.len() > 12 && hash.chars().all(|c| c.is_ascii_hexdigit());
    if hex { hash[..12].to_owned() } else { hash.to_owned() }
}
