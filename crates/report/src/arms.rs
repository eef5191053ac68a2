//! What was measured, as tables: [`arms`] and [`costs`] with a row per arm, [`trials`] with a row per trial that finished,
//! [`unfinished`] with those that did not.

use frostline_experiment::trained_numbers;
use frostline_results::{Outcome, Results};

use frostline_text::{bytes, count, decimals, duration, plural, rate, with_deviation};

use super::halved::is_stopped;
use super::table::Table;
use frostline_compare::{Arm, Comparison, Floor, deviation, mean};

const NONE: &str = "–";

/// How accurate each arm was and what it cost in all, in the comparison's order.
pub(super) fn arms(comparison: &Comparison<'_>) -> Table {
    let baseline = baseline_name(comparison);
    let mut table = Table::new(&[
        "#>",
        "arm",
        "test accuracy, %>",
        "by images, %>",
        "seeds>",
        "rank>",
        "best, %>",
        "total time>",
        &format!("training / {baseline}>"),
        "trained>",
    ]);
    let places = decimals(comparison.test_images);
    for (index, arm) in comparison.arms.iter().enumerate() {
        let finished = arm.runs.iter().filter(|run| run.finished().is_some()).count();
        let rank = comparison.ranks.get(index).copied().flatten();
        let range = |(low, high): (usize, usize)| {
            if low == high { low.to_string() } else { format!("{low}–{high}") }
        };
        table.row([
            arm.number.to_string(),
            arm.label.clone(),
            spread_of(arm, places) + if arm.is_at_floor() { " †" } else { "" },
            arm.by_images().map_or_else(none, |(low, high)| {
                format!("{:.places$} to {:.places$}", 100.0 * low, 100.0 * high)
            }),
            if finished == arm.runs.len() {
                finished.to_string()
            } else {
                format!("{finished} of {}", arm.runs.len())
            },
            rank.map_or_else(none, |rank| range(rank.places)),
            rank.map_or_else(none, |rank| format!("{:.0}", 100.0 * rank.best)),
            spread_of_time(&arm.total_seconds()),
            arm.training_ratio.map_or_else(none, rate),
            trained(arm).map_or_else(none, count),
        ]);
    }
    table
}

/// Where each arm's time and memory went.
pub(super) fn costs(comparison: &Comparison<'_>) -> Table {
    let baseline = baseline_name(comparison);
    let mut table = Table::new(&[
        "arm",
        "total>",
        "pretraining>",
        "tuning>",
        "total, shared>",
        "wall>",
        &format!("wall / {baseline}>"),
        "training>",
        "images/s>",
        "trained>",
        "nominal>",
        "parameters>",
        "peak memory>",
        "pixels>",
        "weights",
    ]);
    let before = |arm: &Arm<'_>| arm.pretraining().is_some() || arm.tuning.is_some();
    let more = comparison.arms.iter().any(before);
    for arm in &comparison.arms {
        let average = |of: fn(&Outcome) -> Option<f64>, show: fn(f64) -> String| {
            mean(&arm.values(of)).map_or_else(none, show)
        };
        let number = |of: fn(&Outcome) -> Option<u64>| {
            mean(&arm.values(|outcome| of(outcome).map(|n| n as f64))).map_or_else(none, |n| count(n as u64))
        };
        table.row([
            arm.label.clone(),
            arm.total().filter(|_| more).map_or_else(none, duration),
            arm.pretraining().map_or_else(none, duration),
            arm.tuning.as_ref().map_or_else(none, |tuning| duration(tuning.seconds())),
            comparison.total_shared(arm).filter(|_| more).map_or_else(none, duration),
            spread_of_time(&arm.wall_seconds()),
            arm.time_ratio.map_or_else(none, rate),
            average(|outcome| Some(outcome.seconds.train), duration),
            average(|outcome| outcome.images_per_second, rate),
            trained(arm).map_or_else(none, count),
            number(|outcome| outcome.trainable_parameters),
            number(|outcome| outcome.parameters),
            average(|outcome| outcome.peak_memory_bytes.map(|n| n as f64), |n| bytes(n as u64)),
            arm.trial().resolution.to_string(),
            arm.trial().weights.clone(),
        ]);
    }
    table
}

/// What a baseline is called in a table's head: its strategy, where it is no more than that.
pub(super) fn baseline_name(comparison: &Comparison<'_>) -> String {
    match comparison.baseline {
        [(key, value)] if key == "strategy" => value.clone(),
        _ => "baseline".to_owned(),
    }
}

pub(super) fn none() -> String {
    NONE.to_owned()
}

/// What accuracies have to beat, and what the mark in the table says.
pub(super) fn floors(comparison: &Comparison<'_>) -> String {
    let places = decimals(comparison.test_images);
    let mut floors: Vec<Floor> = Vec::new();
    for floor in comparison.arms.iter().filter_map(Arm::floor) {
        let same = |other: &Floor| (other.classes, other.largest) == (floor.classes, floor.largest);
        if !floors.iter().any(same) {
            floors.push(floor);
        }
    }
    let words = floors.iter().map(|floor| {
        format!(
            "guessing one of {} classes is right in {:.places$} % of {}, always naming the largest class in {:.places$} %",
            floor.classes,
            100.0 / floor.classes as f64,
            plural(floor.images, "test image"),
            100.0 * floor.largest
        )
    });
    let words: Vec<String> = words.collect();
    let mut text = match words.as_slice() {
        [] => return String::new(),
        words => format!("What needs no image: {}.", words.join("; ")),
    };
    if comparison.arms.iter().any(Arm::is_at_floor) {
        text += " † is no better than that, as far as so many images tell.";
    }
    if floors.iter().any(Floor::is_uneven) {
        text += " In the balanced accuracy below each class counts alike.";
    }
    text + "\n"
}

/// The numbers that an arm trains at its resolution.
pub(super) fn trained(arm: &Arm<'_>) -> Option<u64> {
    let classes = arm.runs.iter().find_map(|run| Some(run.finished()?.data.as_ref()?.classes))?;
    trained_numbers(arm.trial(), classes)
}

/// Mean and standard deviation of times; the mean alone of one seed.
fn spread_of_time(seconds: &[f64]) -> String {
    let Some(mean) = mean(seconds) else { return NONE.to_owned() };
    deviation(seconds)
        .map_or_else(|| duration(mean), |deviation| format!("{} ± {}", duration(mean), duration(deviation)))
}

/// Mean and standard deviation in per cent; the mean alone of one seed.
fn spread_of(arm: &Arm<'_>, places: usize) -> String {
    let spread = deviation(&arm.accuracies()).map(|spread| 100.0 * spread);
    arm.accuracy().map_or_else(none, |mean| with_deviation(100.0 * mean, spread, places))
}

/// One row per finished trial, arm by arm.
pub(super) fn trials(comparison: &Comparison<'_>) -> Table {
    let mut table = Table::new(&[
        "trial",
        "arm",
        "seed>",
        "test, %>",
        "validation, %>",
        "epoch>",
        "wall>",
        "in the sweep>",
        "train>",
        "evaluation>",
        "data>",
        "processor>",
        "peak memory>",
    ]);
    let places = decimals(comparison.test_images);
    let percent =
        |share: Option<f64>| share.map_or_else(|| NONE.to_owned(), |s| format!("{:.places$}", 100.0 * s));
    for (arm, run) in comparison.runs() {
        let Some(outcome) = run.finished() else { continue };
        let seconds = &outcome.seconds;
        table.row([
            run.trial.id.clone(),
            arm.label.clone(),
            run.trial.seed.to_string(),
            percent(outcome.test_accuracy),
            percent(outcome.validation_accuracy),
            outcome.chosen_epoch.map_or_else(|| NONE.to_owned(), |epoch| epoch.to_string()),
            duration(seconds.wall),
            duration(outcome.share_seconds()),
            duration(seconds.train),
            duration(seconds.evaluation),
            duration(seconds.data),
            duration(seconds.cpu),
            outcome.peak_memory_bytes.map_or_else(|| NONE.to_owned(), bytes),
        ]);
    }
    table
}

/// One row per planned trial that has no result, with the reason.
pub(super) fn unfinished(comparison: &Comparison<'_>, results: &Results) -> Table {
    let mut table = Table::new(&["trial", "arm", "seed>", "state", "reason"]);
    for (arm, run) in comparison.runs() {
        if is_stopped(results, run) {
            continue; // It is in a table of its own.
        }
        let damage = results.broken.iter().find(|broken| broken.id == run.trial.id);
        let (state, reason) = match (run.failure(), damage) {
            _ if run.finished().is_some() => continue,
            (Some(reason), _) => ("failed", reason),
            (None, Some(broken)) => ("damaged", broken.reason.as_str()),
            (None, None) => ("not run yet", ""),
        };
        table.row([
            run.trial.id.clone(),
            arm.label.clone(),
            run.trial.seed.to_string(),
            state.to_owned(),
            reason.to_owned(),
        ]);
    }
    table
}
