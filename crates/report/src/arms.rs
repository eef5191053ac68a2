//! What was measured, as tables: [`arms`] with a row per arm, [`trials`] with a row per trial that finished,
//! [`unfinished`] with those that did not, [`claims`] with what was expected.

use frostline_experiment::trained_numbers;
use frostline_results::{Broken, Outcome};
use frostline_text::{bytes, count, decimals, duration, plural, rate, with_deviation};

use super::answer::error_of;
use super::table::Table;
use crate::compare::{Arm, Comparison, Finding, Floor, Quantity, Verdict, deviation, mean};

const NONE: &str = "–";

/// One row per arm, in the comparison's order.
pub(super) fn arms(comparison: &Comparison<'_>) -> Table {
    let mut table = Table::new(&[
        "#>",
        "arm",
        "test accuracy, %>",
        "balanced, %>",
        "seeds>",
        "total time>",
        "pretraining>",
        "wall time>",
        "training>",
        "time / full>",
        "training / full>",
        "images/s>",
        "trained>",
        "parameters>",
        "peak memory>",
        "pixels>",
        "weights",
    ]);
    let places = decimals(comparison.test_images);
    let uneven = comparison.arms.iter().filter_map(Arm::floor).any(|floor| floor.is_uneven());
    let pretrained = comparison.arms.iter().any(|arm| arm.pretraining().is_some());
    for arm in &comparison.arms {
        let balanced = arm.balanced_accuracy().filter(|_| uneven);
        let average = |of: fn(&Outcome) -> Option<f64>, show: fn(f64) -> String| {
            mean(&arm.values(of)).map_or_else(|| NONE.to_owned(), show)
        };
        let finished = arm.runs.iter().filter(|run| run.finished().is_some()).count();
        table.row([
            arm.number.to_string(),
            arm.label.clone(),
            spread_of(arm, places) + if arm.is_at_floor() { " †" } else { "" },
            balanced.map_or_else(|| NONE.to_owned(), |share| format!("{:.places$}", 100.0 * share)),
            if finished == arm.runs.len() {
                finished.to_string()
            } else {
                format!("{finished} of {}", arm.runs.len())
            },
            arm.total().filter(|_| pretrained).map_or_else(|| NONE.to_owned(), duration),
            arm.pretraining().map_or_else(|| NONE.to_owned(), duration),
            spread_of_time(&arm.wall_seconds()),
            average(|outcome| Some(outcome.seconds.train), duration),
            arm.time_ratio.map_or_else(|| NONE.to_owned(), rate),
            arm.training_ratio.map_or_else(|| NONE.to_owned(), rate),
            average(|outcome| outcome.images_per_second, rate),
            trained(arm).map_or_else(|| NONE.to_owned(), count),
            average(|outcome| outcome.parameters.map(|n| n as f64), |n| count(n as u64)),
            average(|outcome| outcome.peak_memory_bytes.map(|n| n as f64), |n| bytes(n as u64)),
            arm.trial().resolution.to_string(),
            arm.trial().weights.clone(),
        ]);
    }
    table
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
        text += " In the balanced accuracy each class counts alike.";
    }
    text + "\n"
}

/// The numbers that an arm trains at its resolution.
fn trained(arm: &Arm<'_>) -> Option<u64> {
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
    let values: Vec<f64> = arm.accuracies().iter().map(|share| 100.0 * share).collect();
    mean(&values).map_or_else(|| NONE.to_owned(), |mean| with_deviation(mean, deviation(&values), places))
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
pub(super) fn unfinished(comparison: &Comparison<'_>, broken: &[Broken]) -> Table {
    let mut table = Table::new(&["trial", "arm", "seed>", "state", "reason"]);
    for (arm, run) in comparison.runs() {
        let damage = broken.iter().find(|broken| broken.id == run.trial.id);
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

/// One row per claimed number and arm.
pub(super) fn claims(comparison: &Comparison<'_>) -> Table {
    let mut table = Table::new(&["claim", "about", "claimed>", "measured>", "difference>", "verdict"]);
    let places = decimals(comparison.test_images);
    for verdict in &comparison.verdicts {
        let show = |value: f64| match verdict.quantity {
            Quantity::TestAccuracy => format!("{:.places$} %", 100.0 * value),
            Quantity::Minutes => duration(60.0 * value),
        };
        let difference = verdict.measured.map(|measured| match verdict.quantity {
            Quantity::TestAccuracy => format!("{:+.places$} points", 100.0 * (measured - verdict.claimed)),
            Quantity::Minutes => format!("× {}", rate(measured / verdict.claimed)),
        });
        let measured = verdict.measured.map(|m| format!("{} ({})", show(m), plural(verdict.seeds, "seed")));
        table.row([
            verdict.source.clone(),
            verdict.about.clone(),
            show(verdict.claimed),
            measured.unwrap_or_else(|| NONE.to_owned()),
            difference.unwrap_or_else(|| NONE.to_owned()),
            in_words(comparison, verdict),
        ]);
    }
    table
}

fn in_words(comparison: &Comparison<'_>, verdict: &Verdict) -> String {
    let places = decimals(comparison.test_images);
    let images = comparison.test_images.map_or_else(String::new, |n| plural(n, "test image"));
    match verdict.finding {
        Finding::NoTrial => "no trial of the plan is meant by it".to_owned(),
        Finding::NotMeasured => "not measured: no trial of it has finished".to_owned(),
        Finding::WithinSampling { error } => {
            format!("agrees, as far as {images} can tell (±{:.places$} points)", 100.0 * error)
        }
        Finding::WithinSeeds { interval: (low, high) } => format!(
            "agrees, as far as these seeds can tell (95 % interval {:.places$} to {:.places$} %)",
            100.0 * low,
            100.0 * high
        ),
        Finding::Beyond { error } => {
            let side = if verdict.measured > Some(verdict.claimed) { "above" } else { "below" };
            match error {
                Some(error) => {
                    format!(
                        "{side} the claim by more than {images} explain (±{:.places$} points)",
                        100.0 * error
                    )
                }
                None => format!("{side} the claim"),
            }
        }
        Finding::OtherMachine { ratio } => {
            let share = rate(ratio);
            format!("{share} times the claimed time, on other hardware: neither confirmed nor refuted")
        }
    }
}

/// How far the most accurate arm's figure may be off by the choice of test images alone.
pub(super) fn sampling_note(comparison: &Comparison<'_>) -> Option<String> {
    let places = decimals(comparison.test_images);
    let (error, images) = error_of(comparison, comparison.arms.first()?)?;
    Some(format!(
        "Even with unlimited seeds, {images} leave ±{error:.places$} points (95 %) on the highest figure, since another \
         choice of test images would give another one."
    ))
}
