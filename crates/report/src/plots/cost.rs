//! Test accuracy against total time, that of pretraining included: a marker per arm with intervals on both axes, and the Pareto
//! front, which is what no other arm beats at both. Where the best crowd, a second panel shows them larger.

use frostline_compare::{Arm, Comparison, interval, mean, pareto_front};
use frostline_text::duration;

use super::axis::Axis;
use super::canvas::{Canvas, Dash, HEAD, INK, Place, SOFT, Type, WIDTH, draw, width};
use super::frame::{Frame, Look, looks, names, only_model};
use super::placing::{Rect, place_labels};
use super::{PlotError, percent};

const LABEL: f64 = 13.0;
const INNER: f64 = 300.0;
/// The share of all accuracies' range within which at least three arms and most of all are said to crowd.
const CROWD: f64 = 0.12;

/// Arms from which on those on the front alone are named.
const MOST_NAMED: usize = 40;

/// One arm as it is drawn.
struct Mark<'c> {
    name: String,
    arm: &'c Arm<'c>,
    look: Look,
    /// Low, mean, high, in units of the axis.
    time: (f64, f64, f64),
    /// Low, mean, high, in per cent.
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
    // What is drawn last lies on top: the front, and of it the most accurate.
    marks.sort_by(|a, b| a.on_front.cmp(&b.on_front).then(a.accuracy.1.total_cmp(&b.accuracy.1)));
    let panels: Vec<(String, Vec<&Mark<'_>>)> = std::iter::once((String::new(), marks.iter().collect()))
        .chain(crowd(&marks).map(|best| ("the most accurate, larger".to_owned(), best)))
        .collect();
    let named = marks.iter().filter(|mark| mark.is_named(marks.len())).count();
    let key = named as f64 * 18.0 + 16.0;
    let placed: Vec<Panel<'_, '_>> = panels
        .iter()
        .enumerate()
        .map(|(index, (title, marks))| Panel::of(title, marks, HEAD + 40.0 + index as f64 * (INNER + 100.0)))
        .collect();
    let numbered = placed.iter().any(|panel| !panel.clear);
    let bottom = placed.last().map_or(0.0, |panel| panel.frame.to.1) + 50.0;
    let height = bottom + if numbered { key } else { 0.0 };
    let least = marks.iter().map(|mark| mark.arm.accuracies().len()).min().unwrap_or(0);
    let whiskers = match least {
        0 | 1 => "One seed.",
        2 => "Mean over seeds; whiskers from the lowest to the highest.",
        _ => "Mean over seeds; whiskers: Student's 95 % intervals.",
    };
    let mut explanation =
        format!("{whiskers} Filled: on the Pareto front (dashed), which no arm beats at both.");
    if named < marks.len() {
        explanation += &format!(" Of {} arms, those on it are named.", marks.len());
    }
    let svg = draw((WIDTH, height), "Test accuracy against total time, by arm", |canvas| {
        canvas.head(&format!("Test accuracy against total time{}", only_model(comparison)), &explanation)?;
        let before = marks.iter().any(|mark| mark.arm.pretraining().is_some());
        let tuned = marks.iter().any(|mark| mark.arm.tuning.is_some());
        for panel in &placed {
            let scale = if panel.frame.x.is_logarithmic() { ", logarithmic" } else { "" };
            let with = match (before, tuned) {
                (true, true) => " with its pretraining and tuning",
                (true, false) => " with its pretraining",
                (false, true) => " with its tuning",
                (false, false) => "",
            };
            panel.paint(canvas, &format!("a trial{with}, {unit}{scale}"), numbered)?;
        }
        if numbered { explain_numbers(canvas, bottom, &marks) } else { Ok(()) }
    })?;
    Ok(Some(svg))
}

impl Mark<'_> {
    /// Whether it has a name in a plot of so many arms.
    fn is_named(&self, arms: usize) -> bool {
        arms <= MOST_NAMED || self.on_front
    }
}

/// The most accurate arms, where they lie so close together that they hide each other.
fn crowd<'m, 'c>(marks: &'m [Mark<'c>]) -> Option<Vec<&'m Mark<'c>>> {
    let mut accuracies: Vec<f64> = marks.iter().map(|mark| mark.accuracy.1).collect();
    accuracies.sort_by(|a, b| b.total_cmp(a));
    let (best, worst) = (*accuracies.first()?, *accuracies.last()?);
    let close = |mark: &&Mark<'_>| best - mark.accuracy.1 <= CROWD * (best - worst);
    let best: Vec<&Mark<'_>> = marks.iter().filter(close).collect();
    (best.len() >= 3 && best.len() < marks.len()).then_some(best)
}

/// One set of axes with the arms that are shown on it.
struct Panel<'p, 'c> {
    title: &'p str,
    marks: &'p [&'p Mark<'c>],
    frame: Frame,
    labels: Vec<String>,
    places: Vec<Place>,
    /// Whether all names have room beside their markers.
    clear: bool,
}

impl<'p, 'c> Panel<'p, 'c> {
    fn of(title: &'p str, marks: &'p [&'p Mark<'c>], top: f64) -> Self {
        let times: Vec<f64> = marks.iter().flat_map(|m| [m.time.0, m.time.1, m.time.2]).collect();
        let accuracies: Vec<f64> =
            marks.iter().flat_map(|m| [m.accuracy.0, m.accuracy.1, m.accuracy.2]).collect();
        let (from, to) = ((50.0, top), (WIDTH - 24.0, top + INNER));
        let x = Axis::of_costs(&times, (from.0, to.0));
        let y = Axis::around(&accuracies, (to.1, from.1), 0.5).within(0.0, 101.0);
        let frame = Frame { from, to, x, y };
        // Names stand beside the markers where they find room, else numbers do and a key explains them.
        let labels: Vec<String> = marks.iter().map(|mark| mark.name.clone()).collect();
        let few = marks.len() <= MOST_NAMED;
        let (places, clear) = if few { labelled(&frame, marks, &labels) } else { (Vec::new(), false) };
        Self { title, marks, frame, labels, places, clear }
    }

    fn paint(&self, canvas: &Canvas<'_>, x_title: &str, numbered: bool) -> Result<(), PlotError> {
        let Self { frame, marks, .. } = self;
        if !self.title.is_empty() {
            let at = (frame.to.0, frame.from.1 - 20.0);
            canvas.text(self.title, at, Type { bold: true, ..Type::plain(13.0, INK).side(1) })?;
        }
        frame.paint(canvas, (&frame.x.ticks(7), &frame.y.ticks(7)), (x_title, "test accuracy, %"))?;
        canvas.line(&staircase(frame, marks), SOFT, 1.5, Dash::Dashed(6.0, 4.0))?;
        let (labels, places) = if numbered {
            let named: Vec<&Mark<'_>> = marks.iter().copied().filter(|m| m.is_named(marks.len())).collect();
            let numbers: Vec<String> = named.iter().map(|mark| mark.arm.number.to_string()).collect();
            let (places, _) = labelled(frame, &named, &numbers);
            (numbers, places)
        } else {
            (self.labels.clone(), self.places.clone())
        };
        for (label, at) in labels.iter().zip(places) {
            canvas.patched_text(label, at, Type { bold: numbered, ..Type::plain(LABEL, INK) })?;
        }
        for mark in *marks {
            let (at, look) = (place(frame, mark), mark.look);
            canvas.rim(at, look.shape, 5.5)?;
            whiskers(canvas, frame, mark)?;
            canvas.bare_marker(at, look.shape, 5.5, look.colour, !mark.on_front)?;
            let total = duration(mark.arm.total().unwrap_or(0.0));
            canvas.hint(at, 8.0, &format!("{}: {:.2} %, {total}", mark.arm.label, mark.accuracy.1));
        }
        Ok(())
    }
}

fn place(frame: &Frame, mark: &Mark<'_>) -> Place {
    frame.at(mark.time.1, mark.accuracy.1)
}

fn labelled(frame: &Frame, marks: &[&Mark<'_>], labels: &[String]) -> (Vec<Place>, bool) {
    let points: Vec<Place> = marks.iter().map(|mark| place(frame, mark)).collect();
    let mut taken: Vec<Rect> = Vec::new();
    for mark in marks {
        let ((left, top), (right, bottom)) =
            (frame.at(mark.time.0, mark.accuracy.2), frame.at(mark.time.2, mark.accuracy.0));
        let (x, y) = place(frame, mark);
        taken.extend([(left, y - 2.0, right, y + 2.0), (x - 2.0, top, x + 2.0, bottom)]);
    }
    for pair in staircase(frame, marks).windows(2) {
        let ((a, b), (c, d)) = (pair[0], pair[1]);
        taken.push((a.min(c) - 2.0, b.min(d) - 2.0, a.max(c) + 2.0, b.max(d) + 2.0));
    }
    let bounds = (frame.from.0 + 2.0, frame.from.1 - 4.0, frame.to.0 + 8.0, frame.to.1 - 2.0);
    place_labels(&points, labels, LABEL, &taken, bounds)
}

/// The best accuracy to be had in a given time: level between the front's arms, up at each.
fn staircase(frame: &Frame, marks: &[&Mark<'_>]) -> Vec<Place> {
    let mut front: Vec<Place> =
        marks.iter().filter(|mark| mark.on_front).map(|mark| place(frame, mark)).collect();
    front.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut places: Vec<Place> = Vec::new();
    for (x, y) in front {
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
    let (left, right) = (left.max(frame.from.0), right.min(frame.to.0));
    let (top, bottom) = (top.max(frame.from.1), bottom.min(frame.to.1));
    for (a, b) in [((left, y), (right, y)), ((x, top), (x, bottom))] {
        if (b.0 - a.0).hypot(b.1 - a.1) >= 1.0 {
            canvas.line(&[a, b], colour, 1.5, Dash::Solid)?;
        }
    }
    Ok(())
}

fn explain_numbers(canvas: &Canvas<'_>, top: f64, marks: &[Mark<'_>]) -> Result<(), PlotError> {
    let mut by_number: Vec<&Mark<'_>> = marks.iter().filter(|mark| mark.is_named(marks.len())).collect();
    by_number.sort_by_key(|mark| mark.arm.number);
    let widest = width(&marks.len().to_string(), LABEL);
    for (line, mark) in by_number.into_iter().enumerate() {
        let y = top + 12.0 + line as f64 * 18.0;
        let Look { colour, shape, .. } = mark.look;
        let number = Type { bold: true, ..Type::plain(LABEL, INK).side(1) };
        canvas.text(&mark.arm.number.to_string(), (50.0 + widest, y), number)?;
        canvas.marker((64.0 + widest, y), shape, 4.5, colour, !mark.on_front)?;
        canvas.text(&mark.name, (76.0 + widest, y), Type::plain(LABEL, INK))?;
    }
    Ok(())
}

/// The mean between the bounds of its interval, which is Student's from three values on. One of few values can be far wider than
/// they are, so it counts only up to twice their own range beyond them.
fn range(values: &[f64]) -> Option<(f64, f64, f64)> {
    let mean = mean(values)?;
    let (low, high) = values.iter().fold((mean, mean), |(low, high), &v| (low.min(v), high.max(v)));
    let (from, to) = interval(values).unwrap_or((low, high));
    let room = 2.0 * (high - low);
    Some((from.max(low - room), mean, to.min(high + room)))
}

/// The unit in which times are easy to read, and its seconds.
fn unit_for(slowest: f64) -> (&'static str, f64) {
    match slowest {
        s if s < 180.0 => ("seconds", 1.0),
        s if s < 3.0 * 3600.0 => ("minutes", 60.0),
        _ => ("hours", 3600.0),
    }
}
