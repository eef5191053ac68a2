//! Test accuracy against total time, that of pretraining included: a marker per arm, whiskers over its seeds, and the Pareto front, which is what no
//! other arm beats at both.

use super::axis::Axis;
use super::canvas::{Canvas, Dash, INK, Place, SOFT, Type, draw, width};
use super::frame::{Frame, Look, looks, names, only_model};
use super::placing::{Rect, place_labels};
use super::{PlotError, percent};
use crate::compare::{Arm, Comparison, pareto_front};

const WIDTH: f64 = 860.0;
const LABEL: f64 = 12.0;

/// One arm as it is drawn.
struct Mark<'c> {
    name: String,
    arm: &'c Arm<'c>,
    look: Look,
    /// Lowest, mean, highest, in units of the axis.
    time: (f64, f64, f64),
    /// Lowest, mean, highest, in per cent.
    accuracy: (f64, f64, f64),
    on_front: bool,
}

/// Draws the plot; none of fewer than two arms.
pub(crate) fn accuracy_against_time(comparison: &Comparison<'_>) -> Result<Option<String>, PlotError> {
    let mut marks = Vec::new();
    let slowest = comparison.arms.iter().flat_map(Arm::total_seconds).fold(0.0, f64::max);
    let (unit, seconds) = unit_for(slowest);
    for ((arm, look), name) in comparison.arms.iter().zip(looks(comparison)).zip(names(comparison, false)) {
        let times: Vec<f64> = arm.total_seconds().iter().map(|s| s / seconds).collect();
        let accuracies: Vec<f64> = arm.accuracies().into_iter().map(percent).collect();
        if let (Some(time), Some(accuracy)) = (range(&times), range(&accuracies)) {
            marks.push(Mark { name, arm, look, time, accuracy, on_front: false });
        }
    }
    if marks.len() < 2 {
        return Ok(None);
    }
    let means: Vec<(f64, f64)> = marks.iter().map(|m| (m.time.1, m.accuracy.1)).collect();
    let front = pareto_front(&means);
    front.iter().for_each(|&index| marks[index].on_front = true);

    let times: Vec<f64> = marks.iter().flat_map(|m| [m.time.0, m.time.2]).collect();
    let accuracies: Vec<f64> = marks.iter().flat_map(|m| [m.accuracy.0, m.accuracy.2]).collect();
    let from = (50.0, 92.0);
    let key_lines = marks.len() as f64;
    let to = (WIDTH - 24.0, from.1 + (key_lines * 17.0).max(330.0));
    let frame_to = |right: f64| {
        let x = Axis::of_costs(&times, (from.0, right));
        let y = Axis::around(&accuracies, (to.1, from.1), 0.5).within(0.0, 101.0);
        Frame { from, to: (right, to.1), x, y }
    };
    // Names stand beside the markers where they find room, else numbers do and a key explains them.
    let mut frame = frame_to(to.0);
    let mut labels: Vec<String> = marks.iter().map(|mark| mark.name.clone()).collect();
    let (mut places, clear) = labelled(&frame, &marks, &labels, &front);
    if !clear {
        labels = marks.iter().map(|mark| mark.arm.number.to_string()).collect();
        let widest = marks.iter().map(|mark| width(&mark.name, LABEL)).fold(0.0, f64::max);
        frame = frame_to((to.0 - widest - 64.0).max(from.0 + 300.0));
        (places, _) = labelled(&frame, &marks, &labels, &front);
    }
    let several = marks.iter().any(|mark| mark.arm.accuracies().len() > 1);
    let seeds = if several { "Mean over seeds; whiskers from lowest to highest." } else { "One seed." };
    let explanation = format!("{seeds} Filled: on the Pareto front (dashed), which no arm beats at both.");
    let svg = draw((WIDTH, to.1 + 52.0), "Test accuracy against total time, by arm", |canvas| {
        canvas.head(&format!("Test accuracy against total time{}", only_model(comparison)), &explanation)?;
        let scale = if frame.x.is_logarithmic() { ", logarithmic" } else { "" };
        let before = marks.iter().any(|mark| mark.arm.pretraining().is_some());
        let with = if before { " and its pretraining" } else { "" };
        let title = format!("wall time of a trial{with}, {unit}{scale}");
        frame.paint(canvas, (&frame.x.ticks(9), &frame.y.ticks(7)), (&title, "test accuracy, %"))?;
        canvas.line(&staircase(&frame, &marks, &front), SOFT, 1.5, Dash::Dashed(6.0, 4.0))?;
        for mark in &marks {
            whiskers(canvas, &frame, mark)?;
        }
        for ((mark, label), at) in marks.iter().zip(&labels).zip(places) {
            canvas.patched_text(label, at, Type { bold: !clear, ..Type::plain(LABEL, mark.look.colour) })?;
        }
        for mark in &marks {
            canvas.marker(place(&frame, mark), mark.look.shape, 5.5, mark.look.colour, !mark.on_front)?;
        }
        if clear { Ok(()) } else { explain_numbers(canvas, &frame, &marks) }
    })?;
    Ok(Some(svg))
}

fn place(frame: &Frame, mark: &Mark<'_>) -> Place {
    frame.at(mark.time.1, mark.accuracy.1)
}

fn labelled(frame: &Frame, marks: &[Mark<'_>], labels: &[String], front: &[usize]) -> (Vec<Place>, bool) {
    let points: Vec<Place> = marks.iter().map(|mark| place(frame, mark)).collect();
    let mut taken: Vec<Rect> = Vec::new();
    for mark in marks {
        let ((left, top), (right, bottom)) =
            (frame.at(mark.time.0, mark.accuracy.2), frame.at(mark.time.2, mark.accuracy.0));
        let (x, y) = place(frame, mark);
        taken.extend([(left, y - 2.0, right, y + 2.0), (x - 2.0, top, x + 2.0, bottom)]);
    }
    for pair in staircase(frame, marks, front).windows(2) {
        let ((a, b), (c, d)) = (pair[0], pair[1]);
        taken.push((a.min(c) - 2.0, b.min(d) - 2.0, a.max(c) + 2.0, b.max(d) + 2.0));
    }
    let bounds = (frame.from.0 + 2.0, frame.from.1 - 4.0, frame.to.0 + 8.0, frame.to.1 - 2.0);
    place_labels(&points, labels, LABEL, &taken, bounds)
}

/// The best accuracy to be had in a given time: level between the front's arms, up at each.
fn staircase(frame: &Frame, marks: &[Mark<'_>], front: &[usize]) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::new();
    for &index in front {
        let (x, y) = place(frame, &marks[index]);
        if let Some(&(_, level)) = places.last() {
            places.push((x, level));
        }
        places.push((x, y));
    }
    if let Some(&(_, level)) = places.last() {
        places.push((frame.to.0, level));
    }
    places
}

fn whiskers(canvas: &Canvas<'_>, frame: &Frame, mark: &Mark<'_>) -> Result<(), PlotError> {
    let (x, y) = place(frame, mark);
    let (left, top) = frame.at(mark.time.0, mark.accuracy.2);
    let (right, bottom) = frame.at(mark.time.2, mark.accuracy.0);
    let colour = mark.look.colour;
    for (a, b) in [((left, y), (right, y)), ((x, top), (x, bottom))] {
        if (b.0 - a.0).hypot(b.1 - a.1) >= 1.0 {
            canvas.line(&[a, b], colour, 1.25, Dash::Solid)?;
        }
    }
    Ok(())
}

fn explain_numbers(canvas: &Canvas<'_>, frame: &Frame, marks: &[Mark<'_>]) -> Result<(), PlotError> {
    let left = frame.to.0 + 22.0;
    for (line, mark) in marks.iter().enumerate() {
        let y = frame.from.1 + 8.0 + line as f64 * 17.0;
        let Look { colour, shape, .. } = mark.look;
        canvas.text(
            &mark.arm.number.to_string(),
            (left + 10.0, y),
            Type { bold: true, ..Type::plain(LABEL, colour).side(1) },
        )?;
        canvas.marker((left + 21.0, y), shape, 4.5, colour, !mark.on_front)?;
        canvas.text(&mark.name, (left + 31.0, y), Type::plain(LABEL, INK))?;
    }
    Ok(())
}

/// Lowest, mean, highest.
fn range(values: &[f64]) -> Option<(f64, f64, f64)> {
    let mean = crate::compare::mean(values)?;
    Some(values.iter().fold((mean, mean, mean), |(low, mean, high), &v| (low.min(v), mean, high.max(v))))
}

/// The unit in which times are easy to read, and its seconds.
fn unit_for(slowest: f64) -> (&'static str, f64) {
    match slowest {
        s if s < 180.0 => ("seconds", 1.0),
        s if s < 3.0 * 3600.0 => ("minutes", 60.0),
        _ => ("hours", 3600.0),
    }
}
