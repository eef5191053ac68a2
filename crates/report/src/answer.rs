//! The report's first paragraph: [`answer`] says in two to four sentences what was measured, and no more than that.

use frostline_compare::{Arm, Comparison, ENOUGH_SEEDS, Pair};
use frostline_text::{decimals, duration, plural, rate};

use crate::worth::pretrained;

/// Which arm was the most accurate and how sure that is, the cheapest that cannot be told from it, and whether pretraining pays.
pub(super) fn answer(comparison: &Comparison<'_>) -> String {
    let measured = comparison.measured();
    let Some(first) = measured.first() else {
        return unanswered(comparison);
    };
    let floor = at_floor(comparison, &measured);
    if measured.iter().all(|arm| arm.is_at_floor()) {
        return floor;
    }
    if measured.len() == 1 {
        return format!(
            "{floor}**{}** classified {} of the test images rightly ({}{}), in {} a trial. It is the only arm with a finished trial, so \
             there is nothing to compare it with yet.",
            first.label,
            percent(comparison, first.accuracy()),
            plural(first.accuracies().len(), "seed"),
            by_images(comparison, first),
            cost_of(first),
        );
    }
    let parts = [
        best(comparison, first, measured.len()),
        cheapest(comparison, &measured),
        pretrained(comparison, &measured),
    ];
    let said: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    floor + &said.join(" ")
}

/// Which arms say nothing, as always naming the largest class would be as right: a sentence, or nothing.
fn at_floor(comparison: &Comparison<'_>, measured: &[&Arm<'_>]) -> String {
    let low: Vec<&&Arm<'_>> = measured.iter().filter(|arm| arm.is_at_floor()).collect();
    let Some(floor) = low.first().and_then(|arm| arm.floor()) else { return String::new() };
    let share = format!("always naming the largest class ({})", percent(comparison, Some(floor.largest)));
    let who = match (low.len(), measured.len()) {
        (all, of) if all == of => {
            let who = if of == 1 { "The arm is".to_owned() } else { format!("None of {of} arms is") };
            let verb = if of == 1 { "no better" } else { "better" };
            return format!(
                "{who} {verb} on the test split than {share}, as far as {} tell, so there is no answer.",
                plural(floor.images, "test image")
            );
        }
        (1, of) => format!("1 of {of} arms is"),
        (some, of) => format!("{some} of {of} arms are"),
    };
    format!("{who} no better than {share}, as far as {} tell. ", plural(floor.images, "test image"))
}

fn unanswered(comparison: &Comparison<'_>) -> String {
    let failed = comparison.runs().filter(|(_, run)| run.failure().is_some()).count();
    match failed {
        0 => "No trial has finished yet, so there is no answer. The same `sweep` command goes on.".to_owned(),
        n => format!(
            "No trial has finished: {} failed, for the reasons given below. So there is no answer yet.",
            plural(n, "trial")
        ),
    }
}

/// Which arm led, how sure that is, and which tie with it.
fn best(comparison: &Comparison<'_>, first: &Arm<'_>, arms: usize) -> String {
    let seeds = first.accuracies().len();
    let of_seeds = if seeds == 1 { "1 seed".to_owned() } else { format!("mean of {seeds} seeds") };
    let rank = comparison.ranks.first().copied().flatten();
    let share = rank.map(|rank| rank.best).filter(|_| seeds >= ENOUGH_SEEDS);
    let sure = share.map_or_else(String::new, |share| {
        format!("; it leads in {:.0} % of experiments made up of the same seeds and images", 100.0 * share)
    });
    let mut text = format!(
        "Of {}, **{}** was the most accurate on the test split, which it was also chosen on: {} ({of_seeds}{}){sure}.",
        plural(arms, "arm"),
        first.label,
        percent(comparison, first.accuracy()),
        by_images(comparison, first),
    );
    let against = |index: usize| comparison.pair(index, 0);
    let tied: Vec<(&str, bool)> = (1..comparison.arms.len())
        .filter_map(|index| Some((index, against(index).filter(|pair| pair.tied)?)))
        .map(|(index, pair)| (comparison.arms[index].label.as_str(), pair.same_answers))
        .collect();
    if !tied.is_empty() {
        let names: Vec<String> = tied.iter().map(|(name, _)| format!("**{name}**")).collect();
        let verb = if tied.len() == 1 { "ties" } else { "tie" };
        let same = if tied.iter().all(|(_, same)| *same) { ", right on the very same images" } else { "" };
        text += &format!(" {} {verb} with it exactly in every seed{same}.", names.join(" and "));
    }
    text
}

/// The cheapest arm that cannot be told from the most accurate, and within how much that is known. Cost is time by the clock, that of
/// pretraining and tuning included.
fn cheapest(comparison: &Comparison<'_>, measured: &[&Arm<'_>]) -> String {
    let first = measured[0];
    let cost = |arm: &Arm<'_>| arm.total().unwrap_or(f64::MAX);
    let pairs = measured.iter().filter_map(|arm| Some((*arm, comparison.pair(arm.number - 1, 0)?)));
    let mut cheaper: Vec<(&Arm<'_>, Pair)> =
        pairs.filter(|(arm, _)| arm.number > 1 && cost(arm) < cost(first)).collect();
    cheaper.sort_by(|(a, _), (b, _)| cost(a).total_cmp(&cost(b)));
    let apart = measured.len() - 1 - comparison.pairs.iter().filter(|pair| pair.other == 0).count();
    let apart = match apart {
        0 => String::new(),
        n => format!(" {} tested on other images and not compared.", verb(n)),
    };
    let alike = cheaper.iter().find(|(arm, pair)| pair.cannot_be_told_apart() && !arm.is_at_floor());
    let said = match (
        alike,
        cheaper.iter().max_by(|(_, a), (_, b)| a.difference.mean.total_cmp(&b.difference.mean)),
    ) {
        (Some((arm, pair)), _) => format!(
            "The cheapest arm that cannot be told from it is **{}**: {} a trial on this machine, {} times the {}, at an accuracy {}.",
            arm.label,
            cost_of(arm),
            rate(cost(arm) / cost(first)),
            cost_of(first),
            known(comparison, pair),
        ),
        (None, Some((arm, pair))) => format!(
            "Every cheaper arm can be told from it; the nearest is **{}**: {} a trial on this machine, {} times the {}, at an accuracy {}.",
            arm.label,
            cost_of(arm),
            rate(cost(arm) / cost(first)),
            cost_of(first),
            known(comparison, pair),
        ),
        (None, None) => format!("No arm is cheaper: {} a trial on this machine.", cost_of(first)),
    };
    said + &apart
}

fn verb(arms: usize) -> String {
    if arms == 1 { "1 arm was".to_owned() } else { format!("{arms} arms were") }
}

/// How far an arm is from another, and within what that is known.
fn known(comparison: &Comparison<'_>, pair: &Pair) -> String {
    let places = decimals(comparison.test_images);
    let difference = &pair.difference;
    let side = |d: f64| if d > 0.0 { "higher" } else { "lower" };
    let points = |d: f64| format!("{:.places$}", 100.0 * d.abs());
    let (low, high) = difference.interval(0.95);
    let interval = match (low < 0.0, high > 0.0) {
        (true, true) => format!("{} lower to {} higher", points(low), points(high)),
        (true, false) => format!("{} to {} lower", points(high), points(low)),
        _ => format!("{} to {} higher", points(low), points(high)),
    };
    let of = match difference.seeds {
        1 => ", of this one seed's models: other seeds may differ by more".to_owned(),
        n if n < ENOUGH_SEEDS => format!(", of these {n} seeds' models: other seeds may differ by more"),
        n => format!(" over {n} seeds"),
    };
    let by = if difference.mean == 0.0 {
        "as high".to_owned()
    } else {
        format!("{} points {}", points(difference.mean), side(difference.mean))
    };
    format!("{by} (95 % interval {interval}{of})")
}

/// What a trial of an arm costs by the clock.
fn cost_of(arm: &Arm<'_>) -> String {
    let tuning = arm.tuning.as_ref().map(|tuning| (tuning.seconds(), "tuning"));
    let parts = [arm.pretraining().map(|before| (before, "pretraining")), tuning];
    let parts: Vec<String> =
        parts.iter().flatten().map(|(time, of)| format!("{} of it {of}", duration(*time))).collect();
    let parts = if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) };
    format!("{}{parts}", duration(arm.total().unwrap_or(0.0)))
}

fn percent(comparison: &Comparison<'_>, share: Option<f64>) -> String {
    let places = decimals(comparison.test_images);
    format!("{:.places$} %", 100.0 * share.unwrap_or(0.0))
}

/// Where an arm's accuracy may lie by the choice of the test images alone.
fn by_images(comparison: &Comparison<'_>, arm: &Arm<'_>) -> String {
    let places = decimals(comparison.test_images);
    arm.by_images().map_or_else(String::new, |(low, high)| {
        format!(", {:.places$} to {:.places$} % by the choice of test images", 100.0 * low, 100.0 * high)
    })
}

#[cfg(test)]
mod tests {
    use frostline_results::samples::{failed, plan, results};

    use super::*;

    /// `full` takes 40 seconds, everything else 10.
    fn of(strategies: &[&str], seeds: u64, accuracy: impl Fn(&str, u64) -> f64) -> String {
        let plan = plan(&["resnet18"], strategies, seeds);
        let wall = |strategy: &str| if strategy == "full" { 40.0 } else { 10.0 };
        let results = results(plan, |t| (accuracy(&t.strategy, t.seed), wall(&t.strategy)));
        answer(&Comparison::of(&results))
    }

    #[test]
    fn a_cheaper_arm_that_may_be_as_good_is_named_with_what_is_known() {
        let text =
            of(&["full", "head"], 3, |s, seed| 0.9 + if s == "full" { 0.01 * seed as f64 } else { 0.0 });
        assert!(
            text.contains(
                "**resnet18 · full** was the most accurate on the test split, which it was also chosen on"
            ),
            "{text}"
        );
        // Wilson at 0.91 and 1000 images: 0.8907 to 0.9262.
        assert!(
            text.contains("91.0 % (mean of 3 seeds, 89.1 to 92.6 % by the choice of test images)"),
            "{text}"
        );
        assert!(
            text.contains(
                "The cheapest arm that cannot be told from it is **resnet18 · head**: 10.0 s a trial"
            ),
            "{text}"
        );
        // Differences 0, 1 and 2 points by seed: their variance of 1 over three seeds is 1/3; the images that full alone is right on add
        // some, and degrees of freedom.
        assert!(text.contains("0.25 times the 40.0 s, at an accuracy 1.0 points lower (95 % interval 3.2 lower to 1.2 higher over 3 seeds)."), "{text}");
    }

    #[test]
    fn a_cheaper_arm_that_is_worse_is_named_as_the_price() {
        let text = of(&["full", "head", "thaw"], 3, |s, seed| match s {
            "full" => 0.95 + 0.001 * seed as f64,
            "head" => 0.60 - 0.001 * seed as f64,
            _ => 0.85,
        });
        assert!(
            text.contains("Every cheaper arm can be told from it; the nearest is **resnet18 · thaw**"),
            "{text}"
        );
        assert!(text.contains("at an accuracy 10.1 points lower (95 % interval "), "{text}");
    }

    #[test]
    fn ties_and_single_seeds_are_called_what_they_are() {
        let text = of(&["full", "head"], 3, |_, _| 0.9);
        assert!(
            text.contains("tie") && text.contains("exactly in every seed, right on the very same images"),
            "{text}"
        );
        let one = of(&["full", "head"], 1, |s, _| if s == "full" { 0.9 } else { 0.899 });
        assert!(one.contains("of this one seed's models: other seeds may differ by more"), "{one}");
        assert!(of(&["full"], 1, |_, _| 0.9).contains("nothing to compare it with yet"));
        assert!(of(&[], 1, |_, _| 0.9).starts_with("No trial has finished yet"));
    }

    #[test]
    fn chance_is_no_answer() {
        let all = of(&["full", "head"], 3, |s, _| if s == "full" { 0.11 } else { 0.1 });
        assert!(all.starts_with("None of 2 arms is better on the test split than always naming"), "{all}");
        let one = of(&["full", "head"], 3, |s, _| if s == "full" { 0.9 } else { 0.1 });
        assert!(
            one.starts_with("1 of 2 arms is no better than always naming the largest class (10.0 %)"),
            "{one}"
        );
        assert!(one.contains("Every cheaper arm can be told from it"), "{one}");
    }

    #[test]
    fn failed_trials_have_no_part_in_it() {
        let mut results = results(plan(&["resnet18"], &["full", "head"], 3), |t| {
            if t.strategy == "full" { (0.9, 40.0) } else { (0.95, 10.0) }
        });
        for stored in results.trials.iter_mut().filter(|stored| stored.trial.strategy == "head") {
            stored.outcome = failed(&stored.trial, "the loss became NaN").outcome;
        }
        let text = answer(&Comparison::of(&results));
        assert!(text.starts_with("**resnet18 · full** classified 90.0 %"), "{text}");
    }
}
