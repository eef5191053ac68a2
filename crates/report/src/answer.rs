//! The report's first paragraph: [`answer`] says in two sentences what was measured, and no more than that.

use frostline_text::{decimals, duration, plural, rate};

use crate::compare::{Arm, Comparison, sampling_error};

/// Two sentences on which arm was the most accurate, how sure that is, and what the quickest costs in accuracy.
pub(super) fn answer(comparison: &Comparison<'_>) -> String {
    let measured = comparison.measured();
    let Some(first) = measured.first() else {
        return unanswered(comparison);
    };
    let floor = at_floor(comparison, &measured);
    if measured.iter().all(|arm| arm.is_at_floor()) {
        return floor;
    }
    let quickest =
        measured.iter().min_by(|a, b| a.wall().unwrap_or(f64::MAX).total_cmp(&b.wall().unwrap_or(f64::MAX)));
    match (measured.get(1), quickest) {
        (Some(second), Some(quickest)) => {
            format!(
                "{floor}{} {}",
                accuracy(comparison, measured.len(), first, second),
                time(comparison, first, quickest)
            )
        }
        _ => format!(
            "{floor}**{}** classified {} of the test images rightly ({}), in {} of wall time a trial. It is the only arm with a \
             finished trial, so there is nothing to compare it with yet.",
            first.label,
            percent(comparison, first),
            plural(first.accuracies().len(), "seed"),
            duration(first.wall().unwrap_or(0.0)),
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
        ([least, .., most], ahead) if ahead == points.len() => {
            let noise = match error_of(comparison, first) {
                Some((error, images)) if mean <= error => {
                    format!(
                        ", which is no more than the ±{error:.places$} points that {images} leave on each figure"
                    )
                }
                _ => String::new(),
            };
            format!(
                "lower in each of the {ahead} seeds, by {least:.places$} to {most:.places$} points{noise}"
            )
        }
        (all, ahead) => {
            format!("lower in {ahead} of {} common seeds, so their order is not settled", all.len())
        }
    }
}

/// What the least time costs in accuracy.
fn time(comparison: &Comparison<'_>, first: &Arm<'_>, quickest: &Arm<'_>) -> String {
    let seconds = |arm: &Arm<'_>| arm.wall().unwrap_or(0.0);
    if first.number == quickest.number {
        return format!(
            "It was also the quickest, with {} of wall time a trial on this machine.",
            duration(seconds(first))
        );
    }
    let places = decimals(comparison.test_images);
    let lost = 100.0 * (first.accuracy().unwrap_or(0.0) - quickest.accuracy().unwrap_or(0.0));
    format!(
        "The quickest was **{}**: {} of wall time a trial on this machine against {} ({} times as long), for {lost:.places$} \
         points less accuracy.",
        quickest.label,
        duration(seconds(quickest)),
        duration(seconds(first)),
        rate(seconds(quickest) / seconds(first)),
    )
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
        assert!(text.contains("lower in 2 of 3 common seeds, so their order is not settled"), "{text}");
        let text =
            of(&["full", "head"], 3, |s, seed| if s == "full" { 0.91 + 0.01 * seed as f64 } else { 0.90 });
        // Wilson at 0.92 and 360 images: 1.959964 / 1.01067 * sqrt(0.0002044 + 0.0000074) = 0.0282.
        assert!(
            text.contains("by 1.0 to 3.0 points, which is no more than the ±2.8 points that 360 test"),
            "{text}"
        );
        assert!(
            text.contains("10.0 s of wall time a trial on this machine against 40.0 s (0.25 times"),
            "{text}"
        );
        assert!(text.ends_with("for 2.0 points less accuracy."), "{text}");
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
}
