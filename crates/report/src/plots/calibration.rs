//! Reliability diagrams, a small panel for each arm: how often a model is right that is so sure, over all seeds, with the images of each
//! bin of confidence.

use frostline_compare::{Arm, Comparison};
use frostline_results::{BINS, Bin};
use frostline_text::plural;

use super::axis::Axis;
use super::canvas::{BOLD, Canvas, Dash, FAINT, HEAD, INK, Place, SOFT, Type, WIDTH, draw, fitted};
use super::frame::{Frame, Look, looks, names, only_model};
use super::{PlotError, percent};
use crate::depth::calibration_error;

const COLUMNS: usize = 3;
const INNER: f64 = 130.0;
/// Of the panel's height, the strip with the images of each bin.
const STRIP: f64 = 26.0;
const CELL: (f64, f64) = (WIDTH / COLUMNS as f64, INNER + STRIP + 68.0);
/// Bins of fewer images are no point: what share of so few is right is chance.
const FEW: usize = 10;
/// Arms that are shown; of more, the most accurate.
const MOST: usize = 24;

/// Draws the diagrams; none where nothing was tested.
pub(crate) fn reliability(comparison: &Comparison<'_>) -> Result<Option<String>, PlotError> {
    let (looks, names) = (looks(comparison), names(comparison, false));
    let mut panels: Vec<(&Arm<'_>, Look, &String, [Bin; BINS])> = comparison
        .arms
        .iter()
        .zip(looks)
        .zip(&names)
        .map(|((arm, look), name)| (arm, look, name, bins(arm)))
        .filter(|(.., bins)| bins.iter().any(|bin| bin.images > 0))
        .collect();
    if panels.is_empty() {
        return Ok(None);
    }
    panels.truncate(MOST);
    panels.sort_by(|a, b| a.0.place.cmp(&b.0.place));
    let columns = COLUMNS.min(panels.len());
    let size = (WIDTH, HEAD + 6.0 + panels.len().div_ceil(columns) as f64 * CELL.1);
    let explanation = "Right of the images that a model is so sure of, % (bins of ten images or more); on the line it is as often right as it says, below it \
                       is overconfident. Bars: images of a bin. ECE: the mean distance from the line.";
    let svg = draw(size, "Reliability of the test predictions, by arm", |canvas| {
        canvas.head(&format!("Accuracy by confidence{}", only_model(comparison)), explanation)?;
        for (index, (arm, look, name, bins)) in panels.iter().enumerate() {
            let (column, row) = ((index % columns) as f64, (index / columns) as f64);
            let wide = WIDTH / columns as f64;
            let (left, top) = (column * wide, HEAD + 6.0 + row * CELL.1);
            let (from, to) = ((left + 34.0, top + 40.0), (left + wide - 14.0, top + 40.0 + INNER));
            let x = Axis::exactly((0.0, 100.0), (from.0, to.0));
            let frame = Frame { from, to, x, y: Axis::exactly((0.0, 100.0), (to.1, from.1)) };
            let error =
                calibration_error(arm).map_or_else(String::new, |e| format!("ECE {:.1} %", percent(e)));
            let title = fitted(name, BOLD * 12.5, to.0 - from.0 + 24.0);
            let bold = Type { bold: true, ..Type::plain(12.5, INK) };
            canvas.text(&title, (from.0 - 20.0, from.1 - 29.0), bold)?;
            canvas.text(&error, (from.0 - 20.0, from.1 - 13.0), Type::plain(12.0, SOFT))?;
            panel(canvas, &frame, *look, bins)?;
        }
        Ok(())
    })?;
    Ok(Some(svg))
}

/// The bins of all seeds together.
fn bins(arm: &Arm<'_>) -> [Bin; BINS] {
    let mut all = [Bin::default(); BINS];
    for stored in arm.answered() {
        for (sum, bin) in all.iter_mut().zip(&stored.answers.calibration) {
            sum.images += bin.images;
            sum.right += bin.right;
            sum.confidence += bin.confidence;
        }
    }
    all
}

fn panel(canvas: &Canvas<'_>, frame: &Frame, look: Look, bins: &[Bin; BINS]) -> Result<(), PlotError> {
    let ((left, top), (right, bottom)) = (frame.from, frame.to);
    let label = Type::plain(11.0, SOFT);
    for value in [0.0, 50.0, 100.0] {
        let (x, y) = frame.at(value, value);
        canvas.line(&[(left, y), (right, y)], FAINT, 1.0, Dash::Solid)?;
        canvas.text(&format!("{value:.0}"), (left - 5.0, y), label.side(1))?;
        canvas.text(&format!("{value:.0}"), (x, bottom + STRIP + 10.0), label.side(0))?;
    }
    canvas.line(&[(left, bottom), (right, top)], SOFT, 1.0, Dash::Dashed(4.0, 3.0))?;
    let most = bins.iter().map(|bin| bin.images).max().unwrap_or(1).max(1) as f64;
    let floor = bottom + STRIP;
    for (index, bin) in bins.iter().enumerate().filter(|(_, bin)| bin.images > 0) {
        let at = |place: usize| left + (right - left) * place as f64 / BINS as f64;
        let (from, to) = (at(index) + 0.5, at(index + 1) - 0.5);
        let height = ((STRIP - 4.0) * bin.images as f64 / most).max(0.75);
        canvas.area(
            &[(from, floor - height), (to, floor - height), (to, floor), (from, floor)],
            SOFT,
            0.55,
        )?;
    }
    let shown: Vec<&Bin> = bins.iter().filter(|bin| bin.images >= FEW.min(most as usize)).collect();
    let shares = |bin: &Bin| {
        (percent(bin.confidence / bin.images as f64), percent(bin.right as f64 / bin.images as f64))
    };
    let points: Vec<Place> = shown.iter().map(|bin| shares(bin)).map(|(x, y)| frame.at(x, y)).collect();
    canvas.line(&points, look.colour, 1.8, Dash::Solid)?;
    for (point, bin) in points.into_iter().zip(shown) {
        canvas.marker(point, look.shape, 3.0, look.colour, false)?;
        let (sure, right) = shares(bin);
        let images = plural(bin.images, "image");
        canvas.hint(point, 5.0, &format!("{images}: {sure:.1} % sure, {right:.1} % right"));
    }
    canvas.line(&[(left, floor), (right, floor)], SOFT, 1.0, Dash::Solid)
}
