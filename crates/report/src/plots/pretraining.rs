//! The loss of each pretraining over epochs: a panel for each pretraining and model, with the training and the validation
//! loss as means over seeds.

use frostline_results::EpochRecord;

use super::PlotError;
use super::axis::Axis;
use super::canvas::{BOLD, Canvas, Dash, HEAD, INK, Place, SOFT, Type, WIDTH, draw, fitted};
use super::frame::{COLOURS, Frame};
use crate::pretraining::Group;
use frostline_compare::mean;

const INNER: f64 = 170.0;

/// Draws the curves; none where no pretraining has two epochs.
pub(crate) fn pretraining_curves(groups: &[Group<'_>]) -> Result<Option<String>, PlotError> {
    let panels: Vec<Panel> = groups.iter().map(Panel::of).filter(|panel| panel.training.len() > 1).collect();
    if panels.is_empty() {
        return Ok(None);
    }
    let columns = panels.len().min(2);
    let cell = (WIDTH / columns as f64, INNER + 100.0);
    let size = (WIDTH, HEAD + panels.len().div_ceil(columns) as f64 * cell.1);
    let svg = draw(size, "Loss of the pretrainings over epochs", |canvas| {
        canvas.head(
            "Loss of the pretrainings over epochs",
            "Solid: validation. Dashed: training. Means over seeds.",
        )?;
        for (index, panel) in panels.iter().enumerate() {
            let (column, row) = ((index % columns) as f64, (index / columns) as f64);
            panel.paint(canvas, (column * cell.0, HEAD + row * cell.1), cell.0)?;
        }
        Ok(())
    })?;
    Ok(Some(svg))
}

struct Panel {
    title: String,
    /// (epoch, loss)
    training: Vec<(f64, f64)>,
    validation: Vec<(f64, f64)>,
}

impl Panel {
    fn of(group: &Group<'_>) -> Self {
        let epochs: Vec<&EpochRecord> = group.finished().flat_map(|stored| &stored.epochs).collect();
        let last = epochs.iter().map(|record| record.epoch).max().unwrap_or(0);
        let curve = |of: fn(&EpochRecord) -> Option<f64>| {
            let at = |epoch: usize| {
                let records = epochs.iter().filter(|record| record.epoch == epoch);
                mean(&records.filter_map(|record| of(record)).collect::<Vec<_>>())
                    .map(|loss| (epoch as f64, loss))
            };
            (1..=last).filter_map(at).collect()
        };
        Self {
            title: format!("{} · {} · {}", group.model, group.name, group.pretraining.method),
            training: curve(|record| record.train_loss),
            validation: curve(|record| record.validation_loss),
        }
    }

    fn paint(&self, canvas: &Canvas<'_>, corner: Place, width: f64) -> Result<(), PlotError> {
        let from = (corner.0 + 56.0, corner.1 + 40.0);
        let to = (corner.0 + width - 30.0, corner.1 + 40.0 + INNER);
        let values: Vec<f64> = self.training.iter().chain(&self.validation).map(|point| point.1).collect();
        let last = self.training.last().map_or(1.0, |point| point.0);
        let y = Axis::around(&values, (to.1, from.1), 1e-3).within(0.0, f64::MAX);
        let frame = Frame { from, to, x: Axis::exactly((1.0, last), (from.0 + 8.0, to.0)), y };
        let title = Type { bold: true, ..Type::plain(13.0, INK).side(0) };
        canvas.text(
            &fitted(&self.title, BOLD * 13.0, width - 24.0),
            ((from.0 + to.0) / 2.0, corner.1 + 12.0),
            title,
        )?;
        let whole = frame.x.ticks(6).into_iter().filter(|(value, _)| value.fract() == 0.0);
        let x_ticks: Vec<(f64, String)> = whole.map(|(value, _)| (value, format!("{value:.0}"))).collect();
        frame.paint(canvas, (&x_ticks, &y.ticks(5)), ("epoch", "loss"))?;
        for (curve, colour, dash) in
            [(&self.training, SOFT, Dash::Dashed(6.0, 4.0)), (&self.validation, COLOURS[0], Dash::Solid)]
        {
            let places: Vec<Place> = curve.iter().map(|(epoch, loss)| frame.at(*epoch, *loss)).collect();
            if places.len() > 1 {
                canvas.line(&places, colour, 2.0, dash)?;
            }
            for (place, (epoch, loss)) in places.iter().zip(curve) {
                canvas.hint(*place, 4.0, &format!("{}: loss {loss:.3}, epoch {epoch}", self.title));
            }
        }
        Ok(())
    }
}
