//! `frostline plan`: the trials as a table, or what their strategies are. [`describe`] makes the table; nothing is run.

use frostline_experiment::keys::keys;
use frostline_experiment::{Footprint, Kinds, Memory, Plan, Trial, Tried};
use frostline_text::{bytes, plural};

use super::planned;
use crate::cli::PlanCommandArgs;
use crate::commands::explain::{CLASSES, explain, pictures};
use crate::error::Error;
use crate::execute::Saving;
use crate::terminal::Columns;

/// Columns that are shown even where all trials agree.
const ALWAYS: [&str; 5] = ["model", "strategy", "seed", "resolution", "epochs"];

/// Prints the plan.
///
/// # Errors
/// An experiment or a filter that will not do.
pub fn plan(args: &PlanCommandArgs) -> Result<String, Error> {
    let (_, whole) = planned(&args.plan)?;
    let plan = whole.only(&args.plan.only)?;
    let mut text = if args.explain { explain(&plan)? } else { describe(&plan, whole.trials.len()) };
    if let Some(folder) = &args.pictures {
        for path in pictures(&plan, folder)? {
            text += &format!("{}\n", path.display());
        }
    }
    Ok(text)
}

/// The question, a row a trial in the order of the run, the totals, and what all trials share. `of` is the number of
/// trials before `--only`.
pub fn describe(plan: &Plan, of: usize) -> String {
    let values = |key: &str| plan.trials.iter().filter_map(|trial| trial.value_of(key)).collect::<Vec<_>>();
    let varies = |key: &str| {
        let first = plan.trials.first().map(|trial| trial.value_of(key));
        plan.trials.iter().any(|trial| Some(trial.value_of(key)) != first)
    };
    let (shown, shared): (Vec<&str>, Vec<&str>) =
        keys().iter().map(|key| key.name).partition(|key| ALWAYS.contains(key) || varies(key));
    let numeric = |key: &&str| values(key).iter().all(|value| value.parse::<f64>().is_ok());
    let heads: Vec<String> =
        shown.iter().map(|key| if numeric(key) { format!(">{key}") } else { (*key).to_owned() }).collect();
    let mut table = Columns::new(
        &[">#", "trial"].into_iter().chain(heads.iter().map(String::as_str)).collect::<Vec<_>>(),
    );
    for (index, trial) in plan.trials.iter().enumerate() {
        let mut row = vec![(index + 1).to_string(), trial.id.clone()];
        row.extend(shown.iter().map(|key| trial.value_of(key).unwrap_or_default()));
        table.row(row);
    }
    let mut text = format!("{}\n\n{}\n{}\n", plan.question, table.lines(), totals(plan, of));
    let same = |key: &&str| {
        plan.trials.first().and_then(|trial| trial.value_of(key)).map(|value| format!("{key} {value}"))
    };
    let used = |key: &&&str| plan.trials.iter().any(|trial| trial.shows(key));
    let same: Vec<String> = shared.iter().filter(used).filter_map(same).collect();
    text += &wrapped("all trials: ", &same);
    text += &tuned(plan);
    text += &together(plan);
    text += &memory(plan);
    let trunks = plan.trunks();
    if !trunks.is_empty() {
        text += &format!("pretrained weights: {}\n", Footprint::of_trunks(trunks.iter()));
    }
    if !plan.checkpoints.is_none() {
        text += &format!("checkpoints {}: {}\n", plan.checkpoints, footprint(plan));
    }
    text
}

/// What each arm chooses, and how many trials that leaves.
fn tuned(plan: &Plan) -> String {
    let Some(tune) = &plan.tune else { return String::new() };
    let keys = tune.axes.iter().map(|axis| format!("{} of {}", axis.key, axis.values.join(", ")));
    let unchosen = tune.unchosen(plan, |_| Tried::Not).len();
    format!(
        "tuned: each arm takes what validates best on seed {}: {}; of {} {} need not be trained\n",
        tune.seed,
        keys.collect::<Vec<_>>().join("; "),
        plural(plan.trials.len(), "trial"),
        unchosen
    )
}

/// What trials have in common, and what that saves.
fn together(plan: &Plan) -> String {
    let Ok(Saving { groups, share, memory }) = Saving::of(plan, classes_of) else { return String::new() };
    let count: usize = groups.iter().sum();
    if count == 0 {
        return String::new();
    }
    let sizes: Vec<String> = groups.iter().map(usize::to_string).collect();
    let groups = if groups.len() == 1 {
        "advance together".to_owned()
    } else {
        format!("advance together in {} groups ({})", groups.len(), sizes.join(", "))
    };
    let precisions = plan.axes.iter().any(|axis| axis.key == "precision" && axis.values.len() > 1);
    let once = if precisions { "in each precision" } else { "for all" };
    let mut text = format!(
        "shared: {count} of {} {groups}, frozen stages computed once {once}: training takes about {:.2} times the \
         multiply-adds of one after another\n",
        plural(plan.trials.len(), "trial"),
        share
    );
    if let Some((count, memory)) = memory {
        text += &format!(
            "shared memory: {count} together take up to about {} beside the images; `--memory` splits them\n",
            bytes(memory.bytes() + Memory::PROCESS)
        );
    }
    text
}

/// What the largest trial is expected to take.
fn memory(plan: &Plan) -> String {
    let writes = !plan.checkpoints.is_none();
    let mut kinds = Kinds::default();
    let mut of = |trial: &Trial| {
        let classes = classes_of(trial);
        let memory = kinds.of(trial, classes, |trial| Memory::of(trial, classes))?;
        let memory = if writes { memory.with_written_weights() } else { memory };
        Some(memory.bytes() + Memory::PROCESS)
    };
    let largest =
        plan.trials.iter().filter_map(|trial| Some((of(trial)?, trial))).max_by_key(|(most, _)| *most);
    largest.map_or_else(String::new, |(most, trial)| {
        let Trial { model, strategy, resolution, .. } = trial;
        format!(
            "memory: up to about {} beside the images ({model} {strategy} {resolution} px)\n",
            bytes(most)
        )
    })
}

/// The room that the checkpoints of a plan take, with the classes that [`explain`] assumes where none are chosen.
fn footprint(plan: &Plan) -> Footprint {
    Footprint::of(plan.trials.iter().map(|trial| (trial, classes_of(trial))))
}

/// The classes of a trial, as far as its plan tells.
pub(super) fn classes_of(trial: &Trial) -> usize {
    match trial.data.classes.len() {
        0 => CLASSES,
        chosen => chosen,
    }
}

fn totals(plan: &Plan, of: usize) -> String {
    let trials = plan.trials.len();
    let arms = match &plan.tune {
        Some(tune) => tune.families(plan).len(),
        None => count(plan.trials.iter().map(|trial| trial.arm())),
    };
    let seeds = count(plan.trials.iter().map(|trial| trial.seed.to_string()));
    let epochs: usize = plan.trials.iter().map(|trial| trial.train.epochs).sum();
    let mut text = format!(
        "{}, {}, {}, {}",
        plural(trials, "trial"),
        plural(arms, "arm"),
        plural(seeds, "seed"),
        plural(epochs, "epoch")
    );
    let trunks = plan.trunks();
    if !trunks.is_empty() {
        let epochs = trunks.iter().map(|trunk| trunk.pretraining.train.epochs).sum();
        text +=
            &format!("; before them {}, {}", plural(trunks.len(), "pretraining"), plural(epochs, "epoch"));
    }
    if trials < of {
        text += &format!("; {} left out by --only", of - trials);
    }
    let axes = plan.axes.iter().chain(plan.tune.iter().flat_map(|tune| &tune.axes));
    let cells: usize = axes.map(|axis| axis.values.len()).product();
    if cells > of {
        text += &format!("; {} of the grid's {cells} cells are the same trial as another", cells - of);
    }
    if !plan.claims.is_empty() {
        text += &format!("; {} to check", plural(plan.claims.len(), "claim"));
    }
    text
}

fn count(values: impl Iterator<Item = String>) -> usize {
    values.collect::<std::collections::BTreeSet<_>>().len()
}

/// Items with commas between, in lines of at most 100 characters, the later ones indented.
fn wrapped(lead: &str, items: &[String]) -> String {
    let (mut text, mut line) = (String::new(), lead.to_owned());
    for (index, item) in items.iter().enumerate() {
        if line.chars().count() + item.chars().count() > 98 {
            text += line.trim_end();
            text.push('\n');
            line = " ".repeat(lead.len());
        }
        line += item;
        line += if index + 1 < items.len() { ", " } else { "\n" };
    }
    text + &line
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use frostline_experiment::{Experiment, expand};

    use super::*;

    const FILE: &str = r#"question = "which?"
[data]
source = "digits"
[grid]
model = ["resnet18", "resnet34"]
learning-rate = [0.01, 0.001]
"#;

    #[test]
    fn pretrainings_are_counted_with_their_epochs() {
        let own = "[pretrain.turns]\nmethod = \"rotation\"\nepochs = 7\n";
        let file = format!("{FILE}weights = [\"none\", \"pretrain:turns\"]\n{own}");
        let plan = expand(&Experiment::read(Path::new("x.toml"), &file, &[]).unwrap()).unwrap();
        let text = describe(&plan, 8);
        assert!(
            text.contains("8 trials, 8 arms, 1 seed, 80 epochs; before them 2 pretrainings, 14 epochs\n"),
            "{text}"
        );
    }

    #[test]
    fn checkpoints_are_shown_with_the_room_that_they_take() {
        let file = format!("checkpoints = \"last\"\n{FILE}");
        let plan = expand(&Experiment::read(Path::new("x.toml"), &file, &[]).unwrap()).unwrap();
        let text = describe(&plan, 4);
        assert!(text.ends_with("\ncheckpoints last: 4 files, about 248 MiB\n"), "{text}");
    }

    #[test]
    fn the_table_shows_what_varies_and_the_rest_below() {
        let plan = expand(&Experiment::read(Path::new("x.toml"), FILE, &[]).unwrap()).unwrap();
        let text = describe(&plan, 5);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "which?");
        assert_eq!(lines[2], "#  trial         model     strategy  seed  resolution  epochs  learning-rate");
        assert_eq!(lines[7], "");
        let first = &plan.trials[0];
        let rate = first.value_of("learning-rate").unwrap();
        assert_eq!(
            lines[3],
            format!("1  {}  {}  full         0          32      10  {rate:>13}", first.id, first.model)
        );
        assert_eq!(lines[8], "4 trials, 4 arms, 1 seed, 40 epochs; 1 left out by --only");
        assert!(lines[9].starts_with(
            "all trials: weights none, source digits, validation 0.1, per-class all, augment none,"
        ));
        assert!(
            text.contains("batch-norm follow, keep best\nmemory: up to about ") && !text.contains("momentum"),
            "{text}"
        );
    }
}
