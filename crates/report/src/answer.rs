//! The report's first paragraph: [`answer`] says in a few sentences what was measured, and no more than that.

use frostline_text::{decimals, duration, plural, rate};

use crate::compare::{Arm, Comparison, interval, sampling_error};

/// Which arm was the most accurate, how sure that is, what the cheapest loses in accuracy, and whether pretraining pays.
pub(super) fn answer(comparison: &Comparison<'_>) -> String {
    let measured = comparison.measured();
    let Some(first) = measured.first() else {
        return unanswered(comparison);
    };
    let floor = at_floor(comparison, &measured);
    if measured.iter().all(|arm| arm.is_at_floor()) {
        return floor;
    }
    let total = |arm: &Arm<'_>| arm.total().unwrap_or(f64::MAX);
    let cheapest = measured.iter().min_by(|a, b| total(a).total_cmp(&total(b)));
    match (measured.get(1), cheapest) {
        (Some(second), Some(cheapest)) => {
            format!(
                "{floor}{} {}{}",
                accuracy(comparison, measured.len(), first, second),
                cost(comparison, first, cheapest),
                pretrained(&measured)
            )
        }
        _ => format!(
            "{floor}**{}** classified {} of the test images rightly ({}), in {} a trial. It is the only arm with a \
             finished trial, so there is nothing to compare it with yet.",
            first.label,
            percent(comparison, first),
            plural(first.accuracies().len(), "seed"),
            duration(first.total().unwrap_or(0.0)),
        ),
    }
}

/// Which arms say nothing, as always naming the largest class would be as right: a sentence, or nothing.
fn at_floor(comparison: &Comparison<'_>, measured: &[&Arm<'_>]) -> String {
    let places = decimals(comparison.test_images);
    let low: Vec<&&Arm<'_>> = measured.iter().filter(|arm| arm.is_at_floor()).collect();
    let Some(floor) = low.first().and_then(|arm| arm.floor()) else { return String::new() };
    let share = format!("always naming the largest class ({:.places$} %)", 100.0 * floor.largest);
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

/// Which arm led, and whether that is more than chance as far as these seeds and test images tell.
fn accuracy(comparison: &Comparison<'_>, arms: usize, first: &Arm<'_>, second: &Arm<'_>) -> String {
    let seeds = first.accuracies().len();
    format!(
        "Of {}, **{}** was the most accurate on the test split, with {} ({}); next came **{}** with {}, {}.",
        plural(arms, "arm"),
        first.label,
        percent(comparison, first),
        if seeds == 1 { "1 seed".to_owned() } else { format!("mean of {seeds} seeds") },
        second.label,
        percent(comparison, second),
        lead(comparison, first, second),
    )
}

fn lead(comparison: &Comparison<'_>, first: &Arm<'_>, second: &Arm<'_>) -> String {
    let places = decimals(comparison.test_images);
    let mut points: Vec<f64> = first.paired_differences(second).iter().map(|d| 100.0 * d).collect();
    points.sort_by(f64::total_cmp);
    let ahead = points.iter().filter(|d| **d > 0.0).count();
    let mean = points.iter().sum::<f64>() / points.len().max(1) as f64;
    match (points.as_slice(), ahead) {
        ([], _) => "on other seeds, so the two cannot be paired".to_owned(),
        ([only], _) => {
            let side = if *only < 0.0 { "higher" } else { "lower" };
            format!(
                "{:.places$} points {side} in the one common seed, which does not settle their order",
                only.abs()
            )
        }
        ([_, _], 2) => "lower in both common seeds, which are too few to settle their order".to_owned(),
        ([_, _], ahead) => format!("lower in {ahead} of 2 common seeds, so their order is not settled"),
        (several, _) => over_seeds(comparison, first, several, mean),
    }
}

/// A mean difference in points with its interval over seeds, and whether that and the test images settle the order.
fn over_seeds(comparison: &Comparison<'_>, first: &Arm<'_>, points: &[f64], mean: f64) -> String {
    let places = decimals(comparison.test_images);
    let Some((low, high)) = interval(points) else { return "on seeds that tell nothing".to_owned() };
    // The first by the mean over its own seeds may be behind in those that both have.
    let (side, size, (low, high)) =
        if mean < 0.0 { ("higher", -mean, (-high, -low)) } else { ("lower", mean, (low, high)) };
    let found = format!(
        "{size:.places$} points {side} over {} common seeds (95 % interval by Student's t {low:.places$} to {high:.places$})",
        points.len()
    );
    match error_of(comparison, first) {
        _ if low <= 0.0 && high >= 0.0 => format!("{found}, so their order is not settled"),
        Some((error, images)) if size <= error => {
            format!(
                "{found}, which is no more than the ±{error:.places$} points that {images} leave on each figure"
            )
        }
        _ => found,
    }
}

/// What the least cost loses in accuracy. Cost is time by the clock, that of pretraining included.
fn cost(comparison: &Comparison<'_>, first: &Arm<'_>, cheapest: &Arm<'_>) -> String {
    let seconds = |arm: &Arm<'_>| arm.total().unwrap_or(0.0);
    let told = |arm: &Arm<'_>| {
        let before = arm
            .pretraining()
            .map_or_else(String::new, |before| format!(" ({} of it pretraining)", duration(before)));
        format!("{}{before}", duration(seconds(arm)))
    };
    if first.number == cheapest.number {
        return format!("It was also the cheapest, with {} a trial on this machine.", told(first));
    }
    let places = decimals(comparison.test_images);
    let lost = 100.0 * (first.accuracy().unwrap_or(0.0) - cheapest.accuracy().unwrap_or(0.0));
    format!(
        "The cheapest was **{}**: {} a trial on this machine, {} times the {}, for {lost:.places$} points less accuracy.",
        cheapest.label,
        told(cheapest),
        rate(seconds(cheapest) / seconds(first)),
        told(first),
    )
}

/// Whether pretraining pays, its own time counted: how many arms that start from one are beaten by none without in both accuracy
/// and cost. Nothing where no arm does, or all do.
fn pretrained(measured: &[&Arm<'_>]) -> String {
    let (with, without): (Vec<&Arm<'_>>, Vec<&Arm<'_>>) =
        measured.iter().copied().partition(|arm| arm.pretraining().is_some());
    if with.is_empty() || without.is_empty() {
        return String::new();
    }
    let beats = |other: &&Arm<'_>, arm: &Arm<'_>| {
        let (cheaper, better) = (other.total() <= arm.total(), other.accuracy() >= arm.accuracy());
        cheaper && better
    };
    let pays: Vec<&str> = with
        .iter()
        .filter(|arm| !without.iter().any(|other| beats(other, arm)))
        .map(|arm| arm.label.as_str())
        .collect();
    let counted = " With the time of pretraining counted,";
    match (pays.as_slice(), with.len()) {
        ([], 1) => format!(
            "{counted} the arm that starts from one is matched or beaten in both accuracy and cost by an arm without, by the means \
             over seeds."
        ),
        ([], n) => format!(
            "{counted} each of the {n} arms that start from one is matched or beaten in both accuracy and cost by an arm without, by \
             the means over seeds."
        ),
        (_, 1) => format!(
            "{counted} no arm without one matches both its accuracy and its cost, by the means over seeds."
        ),
        (pays, n) => format!(
            "{counted} no arm without one matches both accuracy and cost, by the means over seeds, of {} of the {n} arms that start \
             from one: {}.",
            pays.len(),
            pays.join(", ")
        ),
    }
}

fn percent(comparison: &Comparison<'_>, arm: &Arm<'_>) -> String {
    let places = decimals(comparison.test_images);
    format!("{:.places$} %", 100.0 * arm.accuracy().unwrap_or(0.0))
}

/// Half the 95 % interval of an arm's accuracy by the choice of test images, in points, and how many those are.
pub(super) fn error_of(comparison: &Comparison<'_>, arm: &Arm<'_>) -> Option<(f64, String)> {
    let images = comparison.test_images?;
    Some((100.0 * sampling_error(arm.accuracy()?, images)?, plural(images, "test image")))
}

#[cfg(test)]
mod tests {
    use frostline_results::samples::{plan, results};

    use super::*;

    fn of(strategies: &[&str], seeds: u64, accuracy: impl Fn(&str, u64) -> f64) -> String {
        let plan = plan(&["resnet18"], strategies, seeds);
        let wall = |strategy: &str| if strategy == "full" { 40.0 } else { 10.0 };
        let results = results(plan, |t| (accuracy(&t.strategy, t.seed), wall(&t.strategy)));
        answer(&Comparison::of(&results))
    }

    #[test]
    fn a_lead_in_every_seed_is_stated_and_held_against_sampling() {
        let text =
            of(&["full", "head"], 3, |s, seed| if s == "full" { 0.90 + 0.01 * seed as f64 } else { 0.90 });
        assert!(text.contains("1.0 points lower over 3 common seeds (95 % interval by Student's t -1.5 to 3.5), so their order is not"), "{text}");
        let text =
            of(&["full", "head"], 3, |s, seed| if s == "full" { 0.91 + 0.01 * seed as f64 } else { 0.90 });
        // Differences 1, 2 and 3: mean 2, deviation 1, and 4.302653 / sqrt(3) = 2.484138 to each side.
        // Wilson at 0.92 and 360 images: 1.959964 / 1.01067 * sqrt(0.0002044 + 0.0000074) = 0.0282.
        assert!(
            text.contains("2.0 points lower over 3 common seeds (95 % interval by Student's t -0.5 to 4.5), so their order is not settled"),
            "{text}"
        );
        assert!(text.contains("10.0 s a trial on this machine, 0.25 times the 40.0 s, for"), "{text}");
        assert!(text.ends_with("for 2.0 points less accuracy."), "{text}");
    }

    #[test]
    fn a_lead_that_seeds_settle_is_held_against_the_test_images() {
        let lead = |by: f64| {
            of(
                &["full", "head"],
                3,
                |s, seed| if s == "full" { 0.90 + by + 0.001 * seed as f64 } else { 0.90 },
            )
        };
        // Differences of 2.0, 2.1 and 2.2: 2.1 ± 0.248; Wilson at 0.921 and 360 images leaves 2.8.
        let small = lead(0.020);
        assert!(
            small
                .contains("(95 % interval by Student's t 1.9 to 2.3), which is no more than the ±2.8 points"),
            "{small}"
        );
        let large = lead(0.080);
        assert!(
            large.contains(
                "8.1 points lower over 3 common seeds (95 % interval by Student's t 7.9 to 8.3). The"
            ),
            "{large}"
        );
    }

    #[test]
    fn a_first_arm_that_is_behind_in_the_common_seeds_is_not_said_to_lead_them() {
        let mut plan = plan(&["resnet18"], &["full", "head"], 4);
        plan.trials.retain(|trial| trial.strategy == "full" || trial.seed < 3);
        let full = [0.80, 0.801, 0.802, 1.0]; // ahead by the seed that the other has not
        let results =
            results(plan, |t| (if t.strategy == "full" { full[t.seed as usize] } else { 0.84 }, 1.0));
        let text = answer(&Comparison::of(&results));
        assert!(text.contains("**resnet18 · full** was the most accurate"), "{text}");
        // Differences 4.0, 3.9 and 3.8 for the other: 3.9 ± 0.25; Wilson leaves 3.7 at 0.85 and 360 images.
        assert!(
            text.contains("3.9 points higher over 3 common seeds (95 % interval by Student's t 3.7 to 4.1)."),
            "{text}"
        );
    }

    #[test]
    fn few_seeds_settle_nothing() {
        let lead = |s: &str, _| if s == "full" { 0.9 } else { 0.5 };
        assert!(of(&["full", "head"], 2, lead).contains("which are too few to settle their order"));
        assert!(
            of(&["full", "head"], 1, lead)
                .contains("40.0 points lower in the one common seed, which does not")
        );
        assert!(of(&["full"], 1, lead).contains("nothing to compare it with yet"));
        assert!(of(&[], 1, lead).starts_with("No trial has finished yet"));
    }

    /// ResNet-18 from scratch and from a pretraining that took so many seconds.
    fn with_pretraining(before: f64, accuracy: f64) -> String {
        let mut plan = plan(&["resnet18"], &["full"], 2);
        let pretrained = plan.trials.clone().into_iter().map(|mut trial| {
            trial.weights = "pretrain:p".to_owned();
            trial.sealed()
        });
        plan.trials = plan.trials.clone().into_iter().chain(pretrained).collect();
        plan.axes.push(frostline_experiment::Axis {
            key: "weights".to_owned(),
            values: vec!["none".to_owned(), "pretrain:p".to_owned()],
        });
        let from_scratch = |trial: &frostline_experiment::Trial| trial.weights == "none";
        let mut results = results(plan, |t| if from_scratch(t) { (0.9, 30.0) } else { (accuracy, 10.0) });
        for stored in results.trials.iter_mut().filter(|stored| !from_scratch(&stored.trial)) {
            stored.outcome.pretraining =
                Some(frostline_results::PretrainingRecord { trunk: "t".to_owned(), wall_seconds: before });
        }
        answer(&Comparison::of(&results))
    }

    #[test]
    fn a_pretraining_is_counted_in_what_an_arm_costs() {
        let dear = with_pretraining(100.0, 0.9);
        assert!(
            dear.contains("the arm that starts from one is matched or beaten in both accuracy and cost"),
            "{dear}"
        );
        assert!(dear.contains("It was also the cheapest, with 30.0 s a trial"), "{dear}");
        let better = with_pretraining(100.0, 0.95);
        assert!(better.contains("no arm without one matches both its accuracy and its cost"), "{better}");
        assert!(better.contains("0.27 times the 110.0 s (100.0 s of it pretraining), for"), "{better}");
        let cheap = with_pretraining(5.0, 0.9);
        assert!(
            cheap.contains("cheapest") && cheap.contains("15.0 s (5.00 s of it pretraining) a trial"),
            "{cheap}"
        );
        assert!(cheap.contains("no arm without one matches"), "{cheap}");
    }
}
