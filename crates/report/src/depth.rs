//! What accuracy alone does not tell: [`depth`], losses, calibration and classes of each arm.

use frostline_compare::{Arm, Comparison, mean};
use frostline_results::{BINS, ClassTally};
use frostline_text::decimals;

use super::arms::none;
use super::table::Table;

/// More classes than this are shown by their extremes.
const FEW_CLASSES: usize = 12;

/// The section; empty where nothing was tested.
pub(super) fn depth(comparison: &Comparison<'_>) -> String {
    let measured = comparison.measured();
    if measured.is_empty() {
        return String::new();
    }
    let places = decimals(comparison.test_images);
    let percent = |share: Option<f64>| share.map_or_else(none, |share| format!("{:.places$}", 100.0 * share));
    let mut table = Table::new(&[
        "arm",
        "test accuracy, %>",
        "balanced, %>",
        "validation, %>",
        "test loss>",
        "calibration error, %>",
        "confidence less accuracy, points>",
    ]);
    for arm in &measured {
        table.row([
            arm.label.clone(),
            percent(arm.accuracy()),
            percent(arm.balanced_accuracy()),
            percent(mean(&arm.values(|outcome| outcome.validation_accuracy))),
            mean(&arm.values(|outcome| outcome.test_loss)).map_or_else(none, |loss| format!("{loss:.3}")),
            percent(calibration_error(arm)),
            overconfidence(arm).map_or_else(none, |gap| format!("{:+.places$}", 100.0 * gap)),
        ]);
    }
    let mut text = format!(
        "Means over seeds, on the test split but for *validation*. In *balanced* each class counts alike. The loss is the cross-entropy. The \
         calibration error is how far confidence and accuracy are apart, a mean over the images, in {BINS} bins of equal width; what \
         is above 0 in the last column is overconfident.\n\n{}",
        table.without_empty_columns().markdown()
    );
    if let Some(classes) = classes(comparison, &measured) {
        text += &format!("\n<details>\n<summary>Every class</summary>\n\n{classes}\n</details>\n");
    }
    text
}

/// The mean over seeds of the expected calibration error, in [0, 1].
pub(super) fn calibration_error(arm: &Arm<'_>) -> Option<f64> {
    mean(&arm.answered().filter_map(|stored| stored.answers.calibration_error()).collect::<Vec<_>>())
}

/// The mean over seeds of the mean confidence less the accuracy.
fn overconfidence(arm: &Arm<'_>) -> Option<f64> {
    let gap = |stored: &frostline_results::StoredTrial| {
        let confidence: f64 = stored.answers.calibration.iter().map(|bin| bin.confidence).sum();
        Some(confidence / stored.answers.right.len() as f64 - stored.answers.accuracy()?)
    };
    mean(&arm.answered().filter_map(gap).collect::<Vec<_>>())
}

/// What share of each class each arm was right on, in per cent; the classes that are told best and worst where there are many.
fn classes(comparison: &Comparison<'_>, measured: &[&Arm<'_>]) -> Option<String> {
    let names = class_names(comparison)?;
    let shares: Vec<Vec<Option<f64>>> = measured.iter().map(|arm| by_class(arm, names.len())).collect();
    let mut order: Vec<usize> = (0..names.len()).collect();
    let all = |class: usize| mean(&shares.iter().filter_map(|of| of[class]).collect::<Vec<_>>());
    let mut note = String::new();
    if names.len() > FEW_CLASSES {
        order.sort_by(|&a, &b| all(a).unwrap_or(2.0).total_cmp(&all(b).unwrap_or(2.0)));
        let told: Vec<usize> = order.iter().copied().filter(|&class| all(class).is_some()).collect();
        order = told[..told.len().min(FEW_CLASSES)].to_vec();
        note = format!(
            "\nThe {} of {} classes that all arms together find hardest.\n",
            order.len(),
            names.len()
        );
    }
    let mut head = vec!["arm".to_owned()];
    head.extend(order.iter().map(|&class| format!("{}>", names[class])));
    let mut table = Table::new(&head.iter().map(String::as_str).collect::<Vec<_>>());
    for (arm, of) in measured.iter().zip(&shares) {
        let share = |class: &usize| of[*class].map_or_else(none, |share| format!("{:.1}", 100.0 * share));
        table.cells(std::iter::once(arm.label.clone()).chain(order.iter().map(share)).collect());
    }
    Some(format!(
        "Images of each class that were told rightly, %, means over seeds.\n\n{}{note}",
        table.markdown()
    ))
}

/// The share of each class that an arm was right on, a mean over seeds.
pub(super) fn by_class(arm: &Arm<'_>, classes: usize) -> Vec<Option<f64>> {
    let share = |class: usize| {
        let of = arm.answered().filter_map(|stored| stored.answers.classes.get(class));
        let shares = of.filter(|tally| tally.images > 0);
        mean(&shares.map(|ClassTally { images, right }| *right as f64 / *images as f64).collect::<Vec<_>>())
    };
    (0..classes).map(share).collect()
}

/// The names of the classes, where all measured arms have the same.
pub(super) fn class_names<'a>(comparison: &Comparison<'a>) -> Option<&'a [String]> {
    let mut all = comparison.runs().filter_map(|(_, run)| Some(&run.finished()?.data.as_ref()?.class_names));
    let first = all.next().filter(|names| !names.is_empty())?;
    all.all(|names| names == first).then_some(first.as_slice())
}
