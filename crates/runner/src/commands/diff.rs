//! `frostline diff`: what changed from one results folder to another, for people and for continuous integration.

use frostline_compare::{Change, Changes, Ratio};
use frostline_results::Results;
use frostline_text::rate;

use crate::cli::DiffArgs;
use crate::error::{Ending, Error};
use crate::terminal::Columns;

/// What changed, arm by arm; [`Ending::Changed`] where that is more than noise.
///
/// # Errors
/// A folder that cannot be read, or two that have no arm in common.
pub fn diff(args: &DiffArgs) -> Result<(String, Ending), Error> {
    let (first, second) =
        (Results::read_back(&args.first)?.pooled(), Results::read_back(&args.second)?.pooled());
    let changes = Changes::of(&first, &second);
    if changes.arms.is_empty() {
        let message = format!(
            "{} and {} have no arm in common with a seed that both finished",
            args.first.display(),
            args.second.display()
        );
        return Err(Error::usage(message, "arms are matched by model, strategy and the axes of the grid"));
    }
    let ending = if changes.are_beyond_noise() { Ending::Changed } else { Ending::Done };
    Ok((describe(&changes), ending))
}

fn describe(changes: &Changes) -> String {
    let mut table =
        Columns::new(&["arm", ">seeds", ">first", ">second", ">points", ">p", ">time", "verdict"]);
    for arm in &changes.arms {
        let Change { label, seeds, accuracies: (before, after), difference, p, .. } = arm;
        let percent = |share: &f64| format!("{:.2} %", 100.0 * share);
        let points = difference.as_ref().map_or_else(
            || "–".to_owned(),
            |difference| {
                let (low, high) = difference.interval(0.95);
                format!("{:+.2} ({:+.2} to {:+.2})", 100.0 * difference.mean, 100.0 * low, 100.0 * high)
            },
        );
        table.row(vec![
            label.clone(),
            seeds.to_string(),
            percent(before),
            percent(after),
            points,
            difference.map_or_else(|| "–".to_owned(), |_| format!("{p:.3}")),
            arm.time.map_or_else(|| "–".to_owned(), |time| format!("× {}", times(&time))),
            verdict(arm).to_owned(),
        ]);
    }
    let mut text = format!("{}\n", table.lines());
    for arm in changes.arms.iter().filter(|arm| !arm.settings.is_empty()) {
        let each = arm.settings.iter().map(|(key, before, after)| format!("{key} {before} → {after}"));
        text += &format!("settings of {}: {}\n", arm.label, each.collect::<Vec<_>>().join(", "));
    }
    for (labels, which) in [(&changes.gone, "first"), (&changes.new, "second")] {
        if !labels.is_empty() {
            text += &format!("in the {which} alone: {}\n", labels.join(", "));
        }
    }
    text += &match &changes.time {
        Some(time) => {
            let noise = if time.is_beyond_noise() { "beyond noise" } else { "within noise" };
            format!("time: × {} over {} pairs of trials, {noise}\n", times(time), time.trials)
        }
        None => "time: not compared, as the trials ran on different machines\n".to_owned(),
    };
    let said = if changes.are_beyond_noise() { "changed beyond noise" } else { "no change beyond noise" };
    text + &format!("{said}; points are with 95 % intervals, p by Holm over {} arms\n", changes.arms.len())
}

fn times(ratio: &Ratio) -> String {
    let interval =
        ratio.interval.map_or_else(String::new, |(low, high)| format!(" ({} to {})", rate(low), rate(high)));
    format!("{}{interval}", rate(ratio.mean))
}

fn verdict(arm: &Change) -> &'static str {
    match arm.difference {
        None => "other test images",
        _ if arm.same_answers => "the same answers",
        Some(difference) if arm.is_accuracy_beyond_noise() => {
            if difference.mean > 0.0 {
                "better"
            } else {
                "worse"
            }
        }
        Some(_) => "within noise",
    }
}

#[cfg(test)]
mod tests {
    use frostline_results::samples::{plan, results};

    use super::*;

    #[test]
    fn what_changed_is_told_with_its_interval() {
        let sweep = |accuracy: f64| {
            results(plan(&["resnet18"], &["full", "head"], 3), |t| {
                (if t.strategy == "full" { accuracy } else { 0.6 }, 10.0)
            })
        };
        let text = describe(&Changes::of(&sweep(0.9), &sweep(0.8)));
        assert!(text.contains("worse") && text.contains("the same answers"), "{text}");
        assert!(text.contains("-10.00 (-") && text.contains("\nchanged beyond noise;"), "{text}");
        assert!(text.contains("time: × 1.00 (1.00 to 1.00) over 6 pairs of trials, within noise"), "{text}");
    }
}
