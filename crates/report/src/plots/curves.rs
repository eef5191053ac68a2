//! Learning curves, a small panel for each arm on the same axes: training and validation accuracy over epochs, where phases begin, and
//! the epochs that were kept.

use frostline_compare::{Arm, Comparison, mean};
use frostline_results::{EpochRecord, StoredTrial};

use super::axis::Axis;
use super::canvas::{BOLD, Canvas, Dash, FAINT, HEAD, INK, Place, SOFT, Type, WIDTH, draw, fitted};
use super::frame::{Frame, Look, Ticks, looks, names, only_model};
use super::{PlotError, percent};

const COLUMNS: usize = 2;
const INNER: f64 = 120.0;
const CELL: (f64, f64) = (WIDTH / COLUMNS as f64, INNER + 74.0);
/// Arms that are shown; of more, the most accurate.
const MOST: usize = 24;

/// The values of one arm by epoch.
struct Curves<'c> {
    name: &'c str,
    look: Look,
    place: &'c [usize],
    /// (epoch, mean) in per cent.
    training: Vec<(f64, f64)>,
    /// (epoch, lowest, mean, highest) in per cent.
    validation: Vec<(f64, f64, f64, f64)>,
    /// The first epoch and the name of each phase but the first.
    phases: Vec<(usize, &'c str)>,
    /// The epochs whose weights were kept, by seed.
    kept: Vec<usize>,
    /// Whether some seeds have fewer epochs than others.
    uneven: bool,
}

/// Draws the curves; none where no finished trial has two epochs.
pub(crate) fn learning_curves(comparison: &Comparison<'_>) -> Result<Option<String>, PlotError> {
    let (looks, names) = (looks(comparison), names(comparison, false));
    let each = comparison.arms.iter().zip(looks).zip(&names);
    let mut curves: Vec<Curves<'_>> = each.map(|((arm, look), name)| Curves::of(arm, look, name)).collect();
    curves.retain(|curve| curve.training.len().max(curve.validation.len()) > 1);
    if curves.is_empty() {
        return Ok(None);
    }
    let all = curves.len();
    curves.truncate(MOST);
    curves.sort_by(|a, b| a.place.cmp(b.place));
    let values: Vec<f64> = curves
        .iter()
        .flat_map(|c| {
            let training = c.training.iter().map(|p| p.1);
            training.chain(c.validation.iter().flat_map(|p| [p.1, p.3]))
        })
        .collect();
    let last = curves.iter().flat_map(|c| c.training.iter().map(|p| p.0)).fold(2.0, f64::max);
    let mut explanation =
        "Solid: validation, mean over seeds, and the band from the lowest seed to the highest. Dashed: training. Rings: epochs that were kept."
            .to_owned();
    if curves.iter().any(|curve| curve.uneven) {
        explanation += " Where seeds ended early, the others go on alone.";
    }
    if all > MOST {
        explanation = format!("The {MOST} most accurate of {all} arms. {explanation}");
    }
    let columns = COLUMNS.min(curves.len());
    let size = (WIDTH, HEAD + 10.0 + curves.len().div_ceil(columns) as f64 * CELL.1);
    let svg = draw(size, "Learning curves: accuracy over epochs, by arm", |canvas| {
        canvas.head(&format!("Accuracy over epochs{}", only_model(comparison)), &explanation)?;
        for (index, curve) in curves.iter().enumerate() {
            let (column, row) = ((index % columns) as f64, (index / columns) as f64);
            let wide = WIDTH / columns as f64;
            let (left, top) = (column * wide, HEAD + 10.0 + row * CELL.1);
            let (from, to) = ((left + 46.0, top + 28.0), (left + wide - 18.0, top + 28.0 + INNER));
            let y = Axis::around(&values, (to.1, from.1), 0.5).within(0.0, 101.0);
            let frame = Frame { from, to, x: Axis::exactly((1.0, last), (from.0 + 8.0, to.0 - 4.0)), y };
            curve.paint(canvas, &frame, (row == 0.0).then_some("accuracy, %"))?;
        }
        Ok(())
    })?;
    Ok(Some(svg))
}

impl<'c> Curves<'c> {
    fn of(arm: &'c Arm<'_>, look: Look, name: &'c str) -> Self {
        let finished: Vec<&StoredTrial> =
            arm.runs.iter().filter(|run| run.finished().is_some()).filter_map(|run| run.stored).collect();
        let last = finished.iter().flat_map(|s| s.epochs.iter().map(|e| e.epoch)).max().unwrap_or(0);
        let at = |epoch: usize, of: fn(&EpochRecord) -> Option<f64>| -> Vec<f64> {
            let records = finished.iter().flat_map(|s| s.epochs.iter().filter(move |e| e.epoch == epoch));
            records.filter_map(of).map(percent).collect()
        };
        let training =
            (1..=last).filter_map(|epoch| Some((epoch as f64, mean(&at(epoch, |e| e.train_accuracy))?)));
        let validation = (1..=last).filter_map(|epoch| {
            let values = at(epoch, |e| e.validation_accuracy);
            let (low, high) = values.iter().fold((f64::MAX, f64::MIN), |(l, h), &v| (l.min(v), h.max(v)));
            Some((epoch as f64, low, mean(&values)?, high))
        });
        let (training, validation) = (training.collect(), validation.collect());
        let kept = finished.iter().filter_map(|stored| stored.outcome.chosen_epoch).collect();
        let uneven = finished.iter().any(|stored| stored.epochs.len() != last);
        Self { name, look, place: &arm.place, training, validation, phases: phases(arm), kept, uneven }
    }

    fn paint(&self, canvas: &Canvas<'_>, frame: &Frame, y_title: Option<&str>) -> Result<(), PlotError> {
        let ticks = (epochs(frame.x), frame.y.ticks(5));
        frame.paint_small(canvas, (&ticks.0, &ticks.1))?;
        let title = fitted(self.name, BOLD * 13.0, frame.to.0 - frame.from.0 + 12.0);
        canvas.text(
            &title,
            (frame.from.0, frame.from.1 - 14.0),
            Type { bold: true, ..Type::plain(13.0, INK) },
        )?;
        if let Some(y_title) = y_title {
            canvas.text(y_title, (frame.from.0 - 38.0, frame.from.1 - 30.0), Type::plain(12.0, SOFT))?;
        }
        for (epoch, name) in &self.phases {
            let x = frame.x.at(*epoch as f64 - 0.5);
            canvas.line(&[(x, frame.from.1), (x, frame.to.1)], SOFT, 1.0, Dash::Dashed(2.0, 3.0))?;
            let name = fitted(name, 11.0, frame.to.0 - x - 4.0);
            canvas.patched_text(&name, (x + 4.0, frame.to.1 - 8.0), Type::plain(11.0, SOFT))?;
        }
        let Look { colour, .. } = self.look;
        if self.validation.len() > 1 {
            let above = self.validation.iter().map(|p| frame.at(p.0, p.3));
            let below = self.validation.iter().rev().map(|p| frame.at(p.0, p.1));
            canvas.area(&above.chain(below).collect::<Vec<_>>(), colour, 0.18)?;
        }
        let training: Vec<Place> = self.training.iter().map(|p| frame.at(p.0, p.1)).collect();
        let validation: Vec<Place> = self.validation.iter().map(|p| frame.at(p.0, p.2)).collect();
        canvas.line(&training, SOFT, 1.5, Dash::Dashed(5.0, 3.0))?;
        canvas.line(&validation, colour, 2.2, Dash::Solid)?;
        for (curve, what) in [(&training, "training"), (&validation, "validation")] {
            let values: Vec<(f64, f64)> = match what {
                "training" => self.training.clone(),
                _ => self.validation.iter().map(|p| (p.0, p.2)).collect(),
            };
            for (place, (epoch, value)) in curve.iter().zip(values) {
                canvas.hint(*place, 4.0, &format!("{}: {what} {value:.1} %, epoch {epoch}", self.name));
            }
        }
        for &epoch in &self.kept {
            let point = self.validation.iter().find(|p| p.0 == epoch as f64).map(|p| (p.0, p.2));
            let point = point.or_else(|| self.training.iter().find(|p| p.0 == epoch as f64).copied());
            if let Some((epoch, value)) = point {
                canvas.ring(frame.at(epoch, value), 4.6, INK)?;
            }
        }
        Ok(())
    }
}

/// Where a phase begins that is not the first, by the first trial that has several.
fn phases<'c>(arm: &'c Arm<'_>) -> Vec<(usize, &'c str)> {
    let mut begins = Vec::new();
    let Some(stored) = arm.runs.iter().filter(|run| run.finished().is_some()).find_map(|run| run.stored)
    else {
        return begins;
    };
    for pair in stored.epochs.windows(2) {
        if pair[0].phase != pair[1].phase {
            begins.push((pair[1].epoch, pair[1].phase.as_str()));
        }
    }
    // A strategy that changes with every epoch has no phases to tell apart.
    if begins.len() > 5 { Vec::new() } else { begins }
}

/// Whole epochs only.
fn epochs(axis: Axis) -> Vec<(f64, String)> {
    axis.ticks(6).into_iter().filter(|(v, _)| v.fract() == 0.0).map(|(v, _)| (v, format!("{v:.0}"))).collect()
}

impl Frame {
    /// Grid, labels and a baseline, as small panels have them.
    fn paint_small(&self, canvas: &Canvas<'_>, ticks: (Ticks<'_>, Ticks<'_>)) -> Result<(), PlotError> {
        let ((left, _), (right, bottom)) = (self.from, self.to);
        let label = Type::plain(11.5, SOFT);
        for (value, text) in ticks.1 {
            let y = self.y.at(*value);
            canvas.line(&[(left, y), (right, y)], FAINT, 1.0, Dash::Solid)?;
            canvas.text(text, (left - 6.0, y), label.side(1))?;
        }
        for (value, text) in ticks.0 {
            let x = self.x.at(*value);
            canvas.line(&[(x, bottom), (x, bottom + 4.0)], SOFT, 1.0, Dash::Solid)?;
            canvas.text(text, (x, bottom + 13.0), label.side(0))?;
        }
        canvas.line(&[(left, bottom), (right, bottom)], SOFT, 1.0, Dash::Solid)
    }
}
