//! Arms held against each other: [`comparisons`], a table of all against the most accurate and one of all against their baseline.

use frostline_compare::{Comparison, ENOUGH_SEEDS, LEVEL, Needed, Pair, Standing};
use frostline_text::{decimals, plural, short};

use super::arms::{baseline_name, none};
use super::table::Table;

/// The section; empty of fewer than two arms.
pub(super) fn comparisons(comparison: &Comparison<'_>) -> String {
    if comparison.pairs.is_empty() {
        return String::new();
    }
    let best: Vec<Pair> = (1..comparison.arms.len()).filter_map(|arm| comparison.pair(arm, 0)).collect();
    let bases = |arm: usize| comparison.arms[arm].baseline.filter(|base| *base != arm);
    let base: Vec<Pair> =
        (0..comparison.arms.len()).filter_map(|arm| comparison.pair(arm, bases(arm)?)).collect();
    let mut text = format!(
        "Differences of test accuracy in points, paired within seeds on the same test images. The first interval takes seeds and images \
         for random draws (Student's t; with fewer than {ENOUGH_SEEDS} seeds, images alone), the second is the BCa bootstrap over \
         both. *Ahead* is the share of seeds in which the arm is ahead, with its bootstrap interval. McNemar's exact test is of the \
         models of one seed each. p is of the difference, adjusted by Holm for the {} of this section; *better* and *worse* need it \
         below {LEVEL}, both bootstrap intervals clear of a tie, and three quarters of the seeds. *Equivalent* passes two one-sided \
         tests within {} (`margin`).\n",
        plural(comparison.pairs.len(), "comparison"),
        plural_points(comparison.margin),
    );
    let places = |pairs: &[Pair]| pairs.iter().map(|pair| (pair.arm, pair.other)).collect::<Vec<_>>();
    let (same, baseline) = (places(&best) == places(&base), baseline_name(comparison));
    if let Some(first) = comparison.arms.first() {
        let also = if same { " and is the baseline of each" } else { "" };
        text += &format!(
            "\nAgainst the most accurate, {}, which was chosen on these test images{also}:\n\n",
            first.label
        );
        text += &table(comparison, &best, if same { &baseline } else { "" }).markdown();
    }
    if !base.is_empty() && !same {
        let each: Vec<String> =
            comparison.baseline.iter().map(|(key, value)| format!("{key} {value}")).collect();
        text += &format!("\nEach against its baseline, otherwise the same with {}:\n\n", each.join(", "));
        text += &table(comparison, &base, &baseline).markdown();
    }
    text
}

fn table(comparison: &Comparison<'_>, pairs: &[Pair], baseline: &str) -> Table {
    let time = format!("time / {baseline}>");
    let mut head =
        vec!["arm", "difference>", "95 % (t)>", "95 % (BCa)>", "ahead>", "McNemar p>", "p (Holm)>"];
    if !baseline.is_empty() {
        head.push(&time);
    }
    head.push("verdict");
    let mut table = Table::new(&head);
    let places = decimals(comparison.test_images);
    let points = |(low, high): (f64, f64)| format!("{:+.places$} to {:+.places$}", 100.0 * low, 100.0 * high);
    for pair in pairs {
        let arm = &comparison.arms[pair.arm];
        let mut cells = vec![
            arm.label.clone(),
            format!("{:+.places$}", 100.0 * pair.difference.mean),
            points(pair.difference.interval(0.95)),
            points(pair.bootstrap),
            format!("{:.2} ({:.2}–{:.2})", pair.ahead, pair.ahead_interval.0, pair.ahead_interval.1),
            mcnemar(pair),
            probability(pair.adjusted),
        ];
        if !baseline.is_empty() {
            cells.push(arm.time_ratio.map_or_else(none, short));
        }
        cells.push(verdict(comparison, pair));
        table.cells(cells);
    }
    table.without_empty_columns()
}

/// The p-value of the only seed, or the least and the largest of several.
fn mcnemar(pair: &Pair) -> String {
    let mut values: Vec<f64> = pair.mcnemar.iter().map(|seed| seed.p).collect();
    values.sort_by(f64::total_cmp);
    match values.as_slice() {
        [] => none(),
        [only] => probability(*only),
        [least, .., most] => format!("{}–{}", probability(*least), probability(*most)),
    }
}

fn probability(p: f64) -> String {
    if p < 0.001 { "<0.001".to_owned() } else { format!("{p:.3}") }
}

/// `1 point`, `0.5 points`.
pub(super) fn plural_points(points: f64) -> String {
    if points == 1.0 { "1 point".to_owned() } else { format!("{} points", short(points)) }
}

/// What may be said of the first arm of a pair against the second.
pub(super) fn verdict(comparison: &Comparison<'_>, pair: &Pair) -> String {
    let seeds = plural(pair.difference.seeds, "seed");
    let side = if pair.difference.mean > 0.0 { "ahead" } else { "behind" };
    match pair.standing() {
        Standing::Tied if pair.same_answers => "a tie in every seed, right on the same images".to_owned(),
        Standing::Tied => "a tie in every seed".to_owned(),
        Standing::Better => "better".to_owned(),
        Standing::Worse => "worse".to_owned(),
        Standing::Equivalent => format!("equivalent within {}", plural_points(comparison.margin)),
        Standing::NotInFamily => {
            format!("{side} by its own test, not among {}", plural(comparison.pairs.len(), "comparison"))
        }
        Standing::OnlyThese => format!("{side} with {seeds}, too few to speak of others"),
        Standing::Open if pair.difference.seeds < ENOUGH_SEEDS => format!("not told apart with {seeds}"),
        Standing::Open => format!("not resolved with {seeds}{}", needed(pair)),
    }
}

/// What would resolve it.
fn needed(pair: &Pair) -> String {
    match pair.needed {
        Some(Needed::Seeds(seeds)) => format!("; about {seeds} would"),
        Some(Needed::Images) => "; more test images would".to_owned(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use frostline_results::samples::{plan, results};

    use super::*;

    fn of(seeds: u64, head: impl Fn(u64) -> f64) -> String {
        let results = results(plan(&["resnet18"], &["full", "head"], seeds), |t| {
            (if t.strategy == "full" { 0.9 } else { head(t.seed) }, 1.0)
        });
        let comparison = Comparison::of(&results);
        verdict(&comparison, &comparison.pair(1, 0).unwrap())
    }

    #[test]
    fn verdicts_say_no_more_than_seeds_and_images_bear() {
        assert_eq!(of(3, |_| 0.9), "a tie in every seed, right on the same images");
        assert_eq!(of(3, |seed| 0.5 + 0.001 * seed as f64), "worse");
        assert_eq!(of(2, |_| 0.5), "behind with 2 seeds, too few to speak of others");
        assert_eq!(of(1, |_| 0.5), "behind with 1 seed, too few to speak of others");
        assert_eq!(of(2, |seed| 0.899 - 0.001 * seed as f64), "not told apart with 2 seeds");
        assert_eq!(of(3, |seed| 0.899 - 0.001 * seed as f64), "equivalent within 1 point");
        let open = of(3, |seed| [0.80, 0.90, 0.89][seed as usize]);
        assert!(open.starts_with("not resolved with 3 seeds; about ") && open.ends_with(" would"), "{open}");
    }

    #[test]
    fn one_arm_has_nothing_to_be_held_against() {
        let one = results(plan(&["resnet18"], &["full"], 3), |_| (0.9, 1.0));
        assert_eq!(comparisons(&Comparison::of(&one)), "");
    }
}
