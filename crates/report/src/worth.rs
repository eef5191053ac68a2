//! Whether pretraining pays: [`pretrained`] says it for all arms that start from one, their own family of tests.

use frostline_compare::{Arm, Comparison, LEVEL, holm};
use frostline_text::{decimals, plural};

/// Whether pretraining pays, its own time counted: how many arms that start from one are beaten by none without in both accuracy
/// and cost, and how sure that is, the arms being a family of their own. Nothing where no arm does, or all do.
pub(crate) fn pretrained(comparison: &Comparison<'_>, measured: &[&Arm<'_>]) -> String {
    let (with, without): (Vec<&Arm<'_>>, Vec<&Arm<'_>>) =
        measured.iter().copied().partition(|arm| arm.pretraining().is_some());
    if with.is_empty() || without.is_empty() {
        return String::new();
    }
    // Of the arms without that cost no more, the most accurate; they come in that order.
    let rival = |arm: &Arm<'_>| without.iter().find(|other| other.total() <= arm.total());
    let against = |arm: &Arm<'_>| rival(arm).and_then(|rival| comparison.difference(arm, rival));
    let (pays, loses): (Vec<&Arm<'_>>, Vec<&Arm<'_>>) = with
        .iter()
        .copied()
        .partition(|arm| rival(arm).is_none_or(|rival| rival.accuracy() < arm.accuracy()));
    let counted = "Pretraining, its own time counted,";
    if pays.is_empty() {
        let places = decimals(comparison.test_images);
        // How much better each may be all the same, at the most, by intervals that all hold at once (Bonferroni).
        let level = 1.0 - LEVEL / loses.len() as f64;
        let most =
            loses.iter().filter_map(|arm| against(arm)).map(|d| d.interval(level).1).fold(0.0, f64::max);
        let (each, by) = match loses.len() {
            1 => ("the arm that starts from it".to_owned(), "the 95 % interval"),
            n => {
                (format!("each of the {n} arms that start from it"), "95 % intervals for all of them at once")
            }
        };
        return format!(
            "{counted} does not pay here: {each} has one without that costs no more and is as accurate by the means over seeds, and by \
             {by} at most {:.places$} points less.",
            100.0 * most
        );
    }
    // An arm that no rival is as cheap as has nothing to be told from.
    let test = |arm: &Arm<'_>| match rival(arm) {
        None => 0.0,
        Some(rival) => comparison.difference(arm, rival).map_or(1.0, |difference| difference.p()),
    };
    let p: Vec<f64> = pays.iter().map(|arm| test(arm)).collect();
    let settled = holm(&p).into_iter().filter(|&p| p < LEVEL).count();
    let labels: Vec<&str> = pays.iter().map(|arm| arm.label.as_str()).collect();
    let sure = match (settled, pays.len()) {
        (all, of) if all == of => "",
        (0, _) => ", which these seeds and images do not settle",
        _ => ", which these seeds and images settle for some alone",
    };
    format!(
        "{counted} buys something in {} of {} that start from it: no arm without it is as accurate, by the means over seeds, for as \
         little as {}{sure}.",
        pays.len(),
        plural(with.len(), "arm"),
        labels.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use frostline_experiment::{Axis, Trial};
    use frostline_results::PretrainingRecord;
    use frostline_results::samples::{plan, results};

    use super::*;
    use crate::answer::answer;

    /// ResNet-18 from scratch and from a pretraining that took so many seconds.
    fn with_pretraining(before: f64, accuracy: f64) -> String {
        with_pretrainings(before, &[accuracy])
    }

    /// The same with several pretrainings, p, pp, ppp and so on.
    fn with_pretrainings(before: f64, accuracies: &[f64]) -> String {
        let name = |place: usize| format!("pretrain:{}", "p".repeat(place + 1));
        let mut plan = plan(&["resnet18"], &["full"], 2);
        let scratch = plan.trials.clone();
        for place in 0..accuracies.len() {
            plan.trials.extend(scratch.clone().into_iter().map(|mut trial| {
                trial.weights = name(place);
                trial.sealed()
            }));
        }
        let values = std::iter::once("none".to_owned()).chain((0..accuracies.len()).map(name)).collect();
        plan.axes.push(Axis { key: "weights".to_owned(), values });
        let from_scratch = |trial: &Trial| trial.weights == "none";
        let mut results = results(plan, |trial| {
            let place = (0..accuracies.len()).find(|&place| name(place) == trial.weights);
            place.map_or((0.9, 30.0), |place| (accuracies[place], 10.0))
        });
        for stored in results.trials.iter_mut().filter(|stored| !from_scratch(&stored.trial)) {
            stored.outcome.pretraining =
                Some(PretrainingRecord { trunk: "t".to_owned(), wall_seconds: before });
        }
        answer(&Comparison::of(&results))
    }

    #[test]
    fn of_many_pretrainings_one_is_not_praised_for_its_luck() {
        let steps = || (1..100).map(|step| 0.9 + f64::from(step) / 1000.0);
        let alone = steps().find(|&accuracy| !with_pretraining(100.0, accuracy).contains("settle"));
        let mut arms = vec![0.901; 9];
        arms.push(alone.unwrap());
        let text = with_pretrainings(100.0, &arms);
        assert!(text.contains("buys something in 10 of 10 arms"), "{text}");
        assert!(text.ends_with("which these seeds and images do not settle."), "{text}");
        // What is plain stays plain.
        arms.push(0.999);
        assert!(
            with_pretrainings(100.0, &arms).ends_with("which these seeds and images settle for some alone.")
        );
    }

    #[test]
    fn a_pretraining_is_counted_in_what_an_arm_costs() {
        let dear = with_pretraining(100.0, 0.9);
        assert!(
            dear.contains(
                "its own time counted, does not pay here: the arm that starts from it has one without"
            ),
            "{dear}"
        );
        assert!(dear.contains("at most 0.0 points less."), "{dear}");
        assert!(dear.contains("No arm is cheaper: 30.0 s a trial"), "{dear}");
        let better = with_pretraining(100.0, 0.95);
        assert!(
            better.contains("buys something in 1 of 1 arm") && better.ends_with("pretrain:p."),
            "{better}"
        );
        assert!(
            better.contains("0.27 times the 110.0 s (100.0 s of it pretraining), at an accuracy 5.0 points"),
            "{better}"
        );
        let by_a_hair = with_pretraining(100.0, 0.901);
        assert!(by_a_hair.ends_with("which these seeds and images do not settle."), "{by_a_hair}");
        let cheap = with_pretraining(5.0, 0.9);
        assert!(
            cheap.contains("15.0 s (5.00 s of it pretraining)") && cheap.contains("buys something"),
            "{cheap}"
        );
    }
}
