//! What was expected, held against what was measured: [`claims`], a row per claimed number and arm.

use frostline_compare::{Comparison, Finding, Quantity, Verdict};
use frostline_text::{decimals, duration, plural, rate};

use super::arms::none;
use super::table::Table;

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
            measured.unwrap_or_else(none),
            difference.unwrap_or_else(none),
            in_words(comparison, verdict),
        ]);
    }
    table
}

fn in_words(comparison: &Comparison<'_>, verdict: &Verdict) -> String {
    let places = decimals(comparison.test_images);
    let images = comparison.test_images.map_or_else(String::new, |n| plural(n, "test image"));
    let interval_of = |(low, high): (f64, f64)| {
        format!("95 % interval {:.places$} to {:.places$} %", 100.0 * low, 100.0 * high)
    };
    match &verdict.finding {
        Finding::NoTrial => "no trial of the plan is meant by it".to_owned(),
        Finding::NotMeasured => "not measured: no trial of it has finished".to_owned(),
        Finding::WithinSampling { interval } => {
            format!("agrees, as far as {images} can tell ({})", interval_of(*interval))
        }
        Finding::WithinSeeds { interval } => {
            format!("agrees, as far as these seeds can tell ({})", interval_of(*interval))
        }
        Finding::Beyond { interval } => {
            let side = if verdict.measured > Some(verdict.claimed) { "above" } else { "below" };
            match interval {
                Some(interval) => {
                    format!("{side} the claim by more than {images} explain ({})", interval_of(*interval))
                }
                None => format!("{side} the claim"),
            }
        }
        Finding::NotComparable { differs } => {
            let each =
                differs.iter().map(|(key, here, written)| format!("{key} {here} instead of {written}"));
            format!("not comparable: {}", each.collect::<Vec<_>>().join(", "))
        }
        Finding::OtherMachine { ratio } => {
            let share = rate(*ratio);
            format!("{share} times the claimed time, on other hardware: neither confirmed nor refuted")
        }
    }
}
