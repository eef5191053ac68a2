//! Test accuracy by strategy: a row per arm with every seed, their mean, and Student's 95 % interval from three seeds on.

use frostline_text::{decimals, with_deviation};

use super::axis::Axis;
use super::canvas::{Canvas, Dash, FAINT, HEAD, INK, SOFT, Type, WIDTH, draw, fitted, width};
use super::frame::{Frame, Look, looks, models_apart, names, only_model};
use super::{PlotError, percent};
use frostline_compare::{Arm, Comparison, deviation, interval};

const ROW: f64 = 30.0;
const LABEL: f64 = 12.5;
/// Arms that have a row; of more, the most accurate.
const MOST: usize = 100;

/// A line of the plot.
enum Row<'c> {
    Model(&'c str),
    Arm { arm: &'c Arm<'c>, look: Look },
}

/// Draws the plot; none where fewer than two arms have a finished trial.
pub(crate) fn accuracy_by_strategy(comparison: &Comparison<'_>) -> Result<Option<String>, PlotError> {
    let values: Vec<f64> = comparison.arms.iter().flat_map(spans).collect();
    if comparison.measured().len() < 2 {
        return Ok(None);
    }
    let models = models_apart(comparison);
    let names = names(comparison, !models.is_empty());
    let name = |arm: &Arm<'_>| names[arm.number - 1].as_str();
    let mut rows = rows(comparison, &models);
    rows.retain(|row| !matches!(row, Row::Arm { arm, .. } if arm.number > MOST));
    let widths = comparison.arms.iter().map(|arm| width(name(arm), LABEL));
    let left = widths.fold(60.0, f64::max).min(230.0) + 32.0;
    let from = (left, HEAD + 24.0);
    let to = (WIDTH - 104.0, from.1 + rows.len() as f64 * ROW + 6.0);
    let x = Axis::around(&values, (from.0, to.0), 0.5).within(-1.0, 101.0);
    let frame = Frame { from, to, x, y: Axis::exactly((0.0, 1.0), (to.1, from.1)) };
    let three = comparison.arms.iter().any(|arm| arm.accuracies().len() > 2);
    let interval = if three { " Bar: Student's 95 % interval of the mean." } else { "" };
    let several = comparison.arms.iter().any(|arm| arm.accuracies().len() > 1);
    let seeds = if several { "Ring: one seed. Filled, below: mean over seeds." } else { "One seed." };
    let mut explanation = format!("{seeds}{interval}");
    if comparison.arms.len() > MOST {
        explanation = format!("The {MOST} most accurate of {} arms. {explanation}", comparison.arms.len());
    }
    let svg = draw((WIDTH, to.1 + 52.0), "Test accuracy by strategy", |canvas| {
        canvas.head(&format!("Test accuracy by strategy{}", only_model(comparison)), &explanation)?;
        canvas.text("mean ± sd", (to.0 + 12.0, from.1 - 12.0), Type::plain(12.0, SOFT))?;
        let ticks = x.ticks(6);
        for (value, _) in &ticks {
            canvas.line(&[(x.at(*value), from.1), (x.at(*value), to.1)], FAINT, 1.0, Dash::Solid)?;
        }
        frame.paint(canvas, (&ticks, &[]), ("test accuracy, %", ""))?;
        for (line, row) in rows.iter().enumerate() {
            let y = from.1 + 3.0 + (line as f64 + 0.5) * ROW;
            match row {
                Row::Model(model) => {
                    canvas.text(model, (16.0, y + 2.0), Type { bold: true, ..Type::plain(13.0, INK) })?;
                }
                Row::Arm { arm, look } => {
                    canvas.text(
                        &fitted(name(arm), LABEL, left - 24.0),
                        (left - 12.0, y),
                        Type::plain(LABEL, INK).side(1),
                    )?;
                    paint_arm(canvas, &frame, y, (arm, *look), decimals(comparison.test_images))?;
                }
            }
        }
        Ok(())
    })?;
    Ok(Some(svg))
}

fn paint_arm(
    canvas: &Canvas<'_>,
    frame: &Frame,
    y: f64,
    (arm, look): (&Arm<'_>, Look),
    places: usize,
) -> Result<(), PlotError> {
    let values: Vec<f64> = arm.accuracies().into_iter().map(percent).collect();
    canvas.line(&[(frame.from.0, y), (frame.to.0, y)], FAINT, 1.0, Dash::Dashed(2.0, 3.0))?;
    let beside = (frame.to.0 + 12.0, y);
    let Some(mean) = arm.accuracy().map(percent) else {
        let failed = arm.runs.iter().any(|run| run.failure().is_some());
        let state = if failed { "failed" } else { "not run yet" };
        return canvas.text(state, beside, Type::plain(12.0, SOFT));
    };
    // Seeds stand above their mean, so that neither hides the other.
    let (seeds, y) = if values.len() > 1 { (y - 6.0, y + 4.0) } else { (y, y) };
    if let Some((low, high)) = interval(&values) {
        let (low, high) = (frame.x.at(low).max(frame.from.0), frame.x.at(high).min(frame.to.0));
        canvas.line(&[(low, y), (high, y)], look.colour, 2.0, Dash::Solid)?;
        for end in [low, high] {
            canvas.line(&[(end, y - 4.0), (end, y + 4.0)], look.colour, 2.0, Dash::Solid)?;
        }
    }
    canvas.bare_marker((frame.x.at(mean), y), look.shape, 4.8, look.colour, false)?;
    let text = with_deviation(mean, deviation(&arm.accuracies()).map(percent), places);
    canvas.hint((frame.x.at(mean), y), 5.0, &format!("{}: {text} %", arm.label));
    if values.len() > 1 {
        for (value, run) in values.iter().zip(arm.runs.iter().filter(|run| run.finished().is_some())) {
            canvas.ring((frame.x.at(*value), seeds), 3.2, look.colour)?;
            let (id, seed) = (&run.trial.id, run.trial.seed);
            canvas.hint(
                (frame.x.at(*value), seeds),
                4.0,
                &format!("{value:.places$} %, seed {seed}, trial {id}"),
            );
        }
    }
    canvas.text(&text, beside, Type::plain(12.0, INK))
}

/// Arms in the order of the grid, models apart where they are shown apart.
fn rows<'c>(comparison: &'c Comparison<'c>, models: &[&'c str]) -> Vec<Row<'c>> {
    let mut arms: Vec<(&Arm<'_>, Look)> = comparison.arms.iter().zip(looks(comparison)).collect();
    arms.sort_by(|(a, _), (b, _)| a.place.cmp(&b.place));
    if models.is_empty() {
        return arms.into_iter().map(|(arm, look)| Row::Arm { arm, look }).collect();
    }
    let mut rows = Vec::new();
    for model in models {
        rows.push(Row::Model(model));
        let own = arms.iter().filter(|(arm, _)| arm.model == *model);
        rows.extend(own.map(|&(arm, look)| Row::Arm { arm, look }));
    }
    rows
}

/// What the axis has to show of an arm, in per cent. An interval of few seeds can be far wider than they are, so it
/// counts only up to the seeds' own range on each side.
fn spans(arm: &Arm<'_>) -> Vec<f64> {
    let mut values: Vec<f64> = arm.accuracies().into_iter().map(percent).collect();
    let (low, high) = values.iter().fold((f64::MAX, f64::MIN), |(l, h), &v| (l.min(v), h.max(v)));
    if let Some((from, to)) = interval(&values) {
        let range = high - low;
        values.extend([from.max(low - 2.0 * range), to.min(high + 2.0 * range)]);
    }
    values
}
