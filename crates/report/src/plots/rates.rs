//! Losses of tests of learning rates, a small panel for each: every loss, the curve through them, and where it falls most.

use super::PlotError;
use super::axis::Axis;
use super::canvas::{BOLD, Canvas, Dash, FAINT, HEAD, INK, Place, SOFT, Type, WIDTH, draw, fitted};
use super::frame::{COLOURS, Frame};

const COLUMNS: usize = 2;
const INNER: f64 = 130.0;
const CELL: (f64, f64) = (WIDTH / COLUMNS as f64, INNER + 74.0);

/// A test of rates, to be drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct RateCurve {
    /// What a user knows it by.
    pub name: String,
    /// Rates above 0, rising, and the loss of the step at each.
    pub losses: Vec<(f64, f64)>,
    /// The same rates and losses without noise.
    pub smooth: Vec<(f64, f64)>,
    /// The place in both at which the loss falls most; none where it does not fall.
    pub steepest: Option<usize>,
}

/// Draws the tests, of which each has some losses.
///
/// # Errors
/// Where the picture cannot be drawn.
pub fn rate_curves(curves: &[RateCurve]) -> Result<String, PlotError> {
    let columns = COLUMNS.min(curves.len()).max(1);
    let size = (WIDTH, HEAD + 10.0 + curves.len().div_ceil(columns) as f64 * CELL.1);
    let explanation = "Dots: losses of training batches, before the step at that rate. Line: without their noise. Ring: where it falls most.";
    draw(size, "Loss while the learning rate rises, by trial", |canvas| {
        canvas.head("Loss while the learning rate rises", explanation)?;
        for (index, curve) in curves.iter().enumerate() {
            let (column, row) = ((index % columns) as f64, (index / columns) as f64);
            let wide = WIDTH / columns as f64;
            let (left, top) = (column * wide, HEAD + 10.0 + row * CELL.1);
            let (from, to) = ((left + 46.0, top + 28.0), (left + wide - 18.0, top + 28.0 + INNER));
            paint(canvas, curve, (from, to), row == 0.0)?;
        }
        Ok(())
    })
}

fn paint(
    canvas: &Canvas<'_>,
    curve: &RateCurve,
    (from, to): (Place, Place),
    first: bool,
) -> Result<(), PlotError> {
    // What is lost at the end would flatten all before it.
    let start = curve.smooth.first().map_or(1.0, |point| point.1);
    let shown: Vec<f64> = curve.smooth.iter().map(|point| point.1.min(1.6 * start)).collect();
    let rates: Vec<f64> = curve.losses.iter().map(|point| point.0.log10()).collect();
    let y = Axis::around(&shown, (to.1, from.1), 0.05);
    let frame = Frame { from, to, x: Axis::around(&rates, (from.0, to.0), 0.05), y };
    let label = Type::plain(11.5, SOFT);
    for (value, text) in frame.y.ticks(5) {
        let y = frame.y.at(value);
        canvas.line(&[(from.0, y), (to.0, y)], FAINT, 1.0, Dash::Solid)?;
        canvas.text(&text, (from.0 - 6.0, y), label.side(1))?;
    }
    let decades = frame.x.ticks(7).into_iter().filter(|(power, _)| power.fract() == 0.0);
    for (power, _) in decades {
        let x = frame.x.at(power);
        canvas.line(&[(x, to.1), (x, to.1 + 4.0)], SOFT, 1.0, Dash::Solid)?;
        canvas.text(&format!("1e{power}"), (x, to.1 + 13.0), label.side(0))?;
    }
    canvas.line(&[(from.0, to.1), (to.0, to.1)], SOFT, 1.0, Dash::Solid)?;
    let title = fitted(&curve.name, BOLD * 13.0, to.0 - from.0 + 12.0);
    canvas.text(&title, (from.0, from.1 - 14.0), Type { bold: true, ..Type::plain(13.0, INK) })?;
    if first {
        canvas.text("loss", (from.0 - 38.0, from.1 - 30.0), Type::plain(12.0, SOFT))?;
    }
    let colour = COLOURS[0];
    let inside = |place: &Place| place.1 >= from.1 && place.1 <= to.1;
    let at = |(rate, loss): &(f64, f64)| frame.at(rate.log10(), *loss);
    for (rate, loss) in &curve.losses {
        let place = at(&(*rate, *loss));
        if inside(&place) {
            canvas.ring(place, 1.4, SOFT)?;
            canvas.hint(place, 4.0, &format!("{}: loss {loss:.3} at {rate:.1e}", curve.name));
        }
    }
    let line: Vec<Place> = curve.smooth.iter().map(at).take_while(inside).collect();
    canvas.line(&line, colour, 2.2, Dash::Solid)?;
    if let Some(point) = curve.steepest.and_then(|step| curve.smooth.get(step)) {
        canvas.ring(at(point), 5.0, INK)?;
    }
    Ok(())
}
