//! Validation accuracy over epochs: a line per arm, a band from its lowest to its highest seed, its name at its end.

use super::axis::{Axis, spread};
use super::canvas::{Canvas, Dash, INK, Place, Type, draw, width};
use super::frame::{Frame, Look, looks, models_apart, names, only_model};
use super::{PlotError, percent};
use crate::compare::{Arm, Comparison, mean};

const WIDTH: f64 = 860.0;
const LABEL: f64 = 12.0;
const LINE_HEIGHT: f64 = 15.0;

/// The values of one arm by epoch.
struct Curve<'c> {
    name: &'c str,
    model: &'c str,
    look: Look,
    /// (epoch, lowest, mean, highest) in per cent.
    points: Vec<(f64, f64, f64, f64)>,
}

/// Draws the curves; none where no finished trial has two epochs with a validation accuracy.
pub(crate) fn validation_curves(comparison: &Comparison<'_>) -> Result<Option<String>, PlotError> {
    let models = models_apart(comparison);
    let looks = looks(comparison);
    let mut curves: Vec<Curve<'_>> = Vec::new();
    let names = names(comparison, !models.is_empty());
    for ((arm, look), name) in comparison.arms.iter().zip(looks).zip(&names) {
        curves.push(Curve { name, model: arm.model, look, points: points(arm) });
    }
    curves.retain(|curve| curve.points.len() > 1);
    if curves.is_empty() {
        return Ok(None);
    }
    let panels: Vec<(&str, Vec<&Curve<'_>>)> = if models.is_empty() {
        vec![("", curves.iter().collect())]
    } else {
        let of = |model| curves.iter().filter(|curve| curve.model == model).collect();
        models.iter().map(|&model| (model, of(model))).filter(|(_, c): &(_, Vec<_>)| !c.is_empty()).collect()
    };
    let widest = curves.iter().map(|curve| width(&end_label(curve), LABEL)).fold(0.0, f64::max);
    let columns = if panels.len() > 1 && widest < 150.0 { 2 } else { 1 };
    let most = panels.iter().map(|(_, curves)| curves.len()).max().unwrap_or(1) as f64;
    let inner = (most * LINE_HEIGHT + 20.0).max(if columns == 1 { 280.0 } else { 230.0 });
    let cell = (WIDTH / columns as f64, inner + 100.0);
    let rows = panels.len().div_ceil(columns);
    let values: Vec<f64> = curves.iter().flat_map(|c| c.points.iter().flat_map(|p| [p.1, p.3])).collect();
    let last = curves.iter().flat_map(|c| c.points.iter().map(|p| p.0)).fold(1.0, f64::max);
    let seeds = comparison.arms.iter().map(|arm| arm.accuracies().len()).max().unwrap_or(0);
    let explanation = if seeds > 1 {
        "Line: mean over seeds. Band: from the lowest seed to the highest. Number: the last epoch's mean."
    } else {
        "One seed. Number: the last epoch."
    };
    let size = (WIDTH, 58.0 + rows as f64 * cell.1);
    let svg = draw(size, "Validation accuracy over epochs, by arm", |canvas| {
        canvas.head(&format!("Validation accuracy over epochs{}", only_model(comparison)), explanation)?;
        for (index, (model, curves)) in panels.iter().enumerate() {
            let (column, row) = (index % columns, index / columns);
            let corner = (column as f64 * cell.0, 58.0 + row as f64 * cell.1);
            let (from, to) = (
                (corner.0 + 50.0, corner.1 + 40.0),
                (corner.0 + cell.0 - widest - 36.0, corner.1 + 40.0 + inner),
            );
            let y = Axis::around(&values, (to.1, from.1), 0.5).within(0.0, 100.0);
            let frame = Frame { from, to, x: Axis::exactly((1.0, last), (from.0 + 8.0, to.0)), y };
            let middle = (from.0 + to.0) / 2.0;
            canvas.text(
                model,
                (middle, corner.1 + 12.0),
                Type { bold: true, ..Type::plain(13.0, INK).side(0) },
            )?;
            let ticks = (epochs(frame.x), y.ticks(6));
            frame.paint(canvas, (&ticks.0, &ticks.1), ("epoch", "accuracy, %"))?;
            panel(canvas, &frame, curves)?;
        }
        Ok(())
    })?;
    Ok(Some(svg))
}

/// Whole epochs only.
fn epochs(axis: Axis) -> Vec<(f64, String)> {
    axis.ticks(8).into_iter().filter(|(v, _)| v.fract() == 0.0).map(|(v, _)| (v, format!("{v:.0}"))).collect()
}

fn panel(canvas: &Canvas<'_>, frame: &Frame, curves: &[&Curve<'_>]) -> Result<(), PlotError> {
    for curve in curves {
        let above = curve.points.iter().map(|p| frame.at(p.0, p.3));
        let below = curve.points.iter().rev().map(|p| frame.at(p.0, p.1));
        canvas.area(&above.chain(below).collect::<Vec<_>>(), curve.look.colour, 0.12)?;
    }
    for curve in curves {
        let places: Vec<Place> = curve.points.iter().map(|p| frame.at(p.0, p.2)).collect();
        canvas.line(&places, curve.look.colour, 2.0, curve.look.dash)?;
        let every = places.len().div_ceil(12);
        for place in places.iter().rev().step_by(every) {
            canvas.marker(*place, curve.look.shape, 3.6, curve.look.colour, false)?;
        }
    }
    let ends: Vec<Place> =
        curves.iter().map(|c| c.points.last().map_or(frame.to, |p| frame.at(p.0, p.2))).collect();
    let wanted: Vec<f64> = ends.iter().map(|end| end.1).collect();
    let heights = spread(&wanted, LINE_HEIGHT, (frame.from.1, frame.to.1 - 4.0));
    for ((curve, end), height) in curves.iter().zip(&ends).zip(heights) {
        let colour = curve.look.colour;
        canvas.line(&[(end.0 + 6.0, end.1), (frame.to.0 + 18.0, height)], colour, 0.75, Dash::Solid)?;
        canvas.text(&end_label(curve), (frame.to.0 + 22.0, height), Type::plain(LABEL, colour))?;
    }
    Ok(())
}

fn end_label(curve: &Curve<'_>) -> String {
    format!("{} {:.1}", curve.name, curve.points.last().map_or(0.0, |p| p.2))
}

/// By epoch, over the finished trials that have a validation accuracy there.
fn points(arm: &Arm<'_>) -> Vec<(f64, f64, f64, f64)> {
    let finished: Vec<_> =
        arm.runs.iter().filter(|run| run.finished().is_some()).filter_map(|r| r.stored).collect();
    let last = finished.iter().flat_map(|s| s.epochs.iter().map(|e| e.epoch)).max().unwrap_or(0);
    let point = |epoch: usize| {
        let records = finished.iter().flat_map(|s| s.epochs.iter().filter(move |e| e.epoch == epoch));
        let values: Vec<f64> = records.filter_map(|e| e.validation_accuracy.map(percent)).collect();
        let (low, high) = values.iter().fold((f64::MAX, f64::MIN), |(l, h), &v| (l.min(v), h.max(v)));
        mean(&values).map(|mean| (epoch as f64, low, mean, high))
    };
    (1..=last).filter_map(point).collect()
}
