//! The confusion matrix of the most accurate arm: of each class's test images, the share that was taken for each class, over all seeds.

use frostline_compare::Comparison;
use frostline_text::plural;
use plotters::style::RGBColor;

use super::PlotError;
use super::canvas::{Canvas, Dash, FAINT, HEAD, INK, SOFT, Type, WIDTH, draw, fitted, width};
use crate::depth::class_names;

/// Classes from which on a matrix cannot be read.
const MOST: usize = 25;
const RIGHT: RGBColor = RGBColor(0, 80, 100);
const WRONG: RGBColor = RGBColor(200, 90, 0);

/// Draws the matrix; none where nothing was tested, or of too many classes.
pub(crate) fn confusion(comparison: &Comparison<'_>) -> Result<Option<String>, PlotError> {
    let (Some(best), Some(names)) = (comparison.measured().first().copied(), class_names(comparison)) else {
        return Ok(None);
    };
    let classes = names.len();
    let mut counts = vec![vec![0usize; classes]; classes];
    for stored in best.answered() {
        for (&(label, predicted), images) in &stored.answers.confusion {
            if let Some(count) =
                counts.get_mut(label as usize).and_then(|row| row.get_mut(predicted as usize))
            {
                *count += images;
            }
        }
    }
    if !(2..=MOST).contains(&classes) || counts.iter().flatten().all(|count| *count == 0) {
        return Ok(None);
    }
    let widest = names.iter().map(|name| width(name, 12.0)).fold(20.0, f64::max).min(150.0);
    let left = 34.0 + widest + 10.0;
    let side = ((WIDTH - 24.0 - left) / classes as f64).min(52.0);
    let top = HEAD + 34.0;
    let size = (WIDTH, top + side * classes as f64 + 40.0 + widest.min(60.0));
    let explanation = "Rows: what an image shows. Columns: what it was taken for, in % of the row, over all seeds. Darker is more.";
    let svg = draw(size, "Confusion matrix of the most accurate arm", |canvas| {
        canvas.head(&format!("What {} takes for what", best.label), explanation)?;
        canvas.text("shows", (left - 10.0, top - 14.0), Type::plain(12.0, SOFT).side(1))?;
        canvas.text("taken for", (left, top - 14.0), Type::plain(12.0, SOFT))?;
        for (row, name) in names.iter().enumerate() {
            let y = top + side * (row as f64 + 0.5);
            canvas.text(&fitted(name, 12.0, widest), (left - 10.0, y), Type::plain(12.0, INK).side(1))?;
            let all: usize = counts[row].iter().sum();
            for (column, &count) in counts[row].iter().enumerate() {
                let share = count as f64 / all.max(1) as f64;
                let middle = (left + side * (column as f64 + 0.5), y);
                let images = plural(count, "image");
                canvas.hint(middle, side / 2.0, &format!("{images} of {name} taken for {}", names[column]));
                cell(
                    canvas,
                    (left + side * column as f64, top + side * row as f64),
                    side,
                    (share, row == column),
                )?;
            }
        }
        let bottom = top + side * classes as f64;
        for (column, name) in names.iter().enumerate() {
            let x = left + side * (column as f64 + 0.5);
            // Long names take turns on two lines.
            let fits = width(name, 11.5) <= side - 2.0;
            let y = bottom + 13.0 + if fits || column % 2 == 0 { 0.0 } else { 15.0 };
            let room = if fits { side } else { 2.0 * side - 4.0 };
            canvas.text(&fitted(name, 11.5, room), (x, y), Type::plain(11.5, INK).side(0))?;
        }
        Ok(())
    })?;
    Ok(Some(svg))
}

fn cell(
    canvas: &Canvas<'_>,
    (x, y): (f64, f64),
    side: f64,
    (share, right): (f64, bool),
) -> Result<(), PlotError> {
    let corners = [(x, y), (x + side, y), (x + side, y + side), (x, y + side), (x, y)];
    let opacity = if share > 0.0 { (0.06 + 0.84 * share.sqrt()).min(0.9) } else { 0.0 };
    if opacity > 0.0 {
        canvas.area(&corners, if right { RIGHT } else { WRONG }, opacity)?;
    }
    canvas.line(&corners, FAINT, 0.75, Dash::Solid)?;
    let percent = 100.0 * share;
    if percent < 0.5 {
        return Ok(());
    }
    let ink = if opacity > 0.55 { RGBColor(255, 255, 255) } else { INK };
    let size = (side * 0.36).clamp(8.0, 13.0);
    canvas.text(&format!("{percent:.0}"), (x + side / 2.0, y + side / 2.0), Type::plain(size, ink).side(0))
}
