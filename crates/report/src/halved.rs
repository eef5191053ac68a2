//! What successive halving stopped, and what that can hide.

use frostline_compare::{Comparison, Run};
use frostline_results::Results;
use frostline_text::plural;

use super::table::Table;

const NONE: &str = "–";

/// Whether a trial waits for good, since its arm was stopped.
pub(super) fn is_stopped(results: &Results, run: &Run<'_>) -> bool {
    let halved = results.halved.as_ref();
    run.finished().is_none()
        && run.failure().is_none()
        && halved.is_some_and(|halved| halved.stopped(&run.trial.arm()).is_some())
}

/// How many trials were stopped early.
pub(super) fn stopped_trials(results: &Results, comparison: &Comparison<'_>) -> usize {
    comparison.runs().filter(|(_, run)| is_stopped(results, run)).count()
}

/// The arms that were stopped early, and what that can hide.
pub(super) fn stopped(results: &Results, comparison: &Comparison<'_>) -> String {
    let Some(halved) = &results.halved else { return String::new() };
    let mut table = Table::new(&["arm", "stopped after>", "validation then, %>", "the last to go on, %>"]);
    let percent =
        |share: Option<f64>| share.map_or_else(|| NONE.to_owned(), |share| format!("{:.1}", 100.0 * share));
    let mut seen = Vec::new();
    for (arm, run) in comparison.runs().filter(|(_, run)| is_stopped(results, run)) {
        let id = run.trial.arm();
        let Some((rung, stopped)) = halved.stopped(&id).filter(|_| !seen.contains(&id)) else { continue };
        let going = rung.arms.iter().filter(|arm| arm.goes_on).filter_map(|arm| arm.validation_accuracy);
        table.row([
            arm.label.clone(),
            plural(rung.epochs, "epoch"),
            percent(stopped.validation_accuracy),
            percent(going.reduce(f64::min)),
        ]);
        seen.push(id);
    }
    if table.is_empty() {
        return String::new();
    }
    let rungs: Vec<String> = halved
        .rungs
        .iter()
        .map(|rung| {
            let going = rung.arms.iter().filter(|arm| arm.goes_on).count();
            format!("{going} of {} after {}", plural(rung.arms.len(), "arm"), plural(rung.epochs, "epoch"))
        })
        .collect();
    let when = if halved.asynchronous {
        " Asynchronously: an arm went on as soon as it was among the best of those that had come as far, before all others had, so that which \
         arms went on depends on the order in which trials ended (their numbers do not), and one that went on may have been behind one that \
         was stopped."
    } else {
        ""
    };
    format!(
        "Successive halving let go on: {}.{when} Arms were compared by their mean validation accuracy over seeds at that moment. What this can \
         hide: an arm that learns slowly at first (a small learning rate, a warm-up, a trunk that thaws late) is stopped though it might \
         have won, and with few validation images the order at a comparison is partly chance. Without `[halving]`, the same command trains \
         them to their end from where they wait.\n\n{}",
        rungs.join(", "),
        table.markdown()
    )
}
