//! The stages of a model, input below and head above: what each puts out, and its share of parameters and work.

use frostline_text::count;
use frostline_zoo::StageSummary;
use plotters::style::RGBColor;

use super::PlotError;
use super::canvas::{Canvas, Dash, FAINT, INK, SOFT, Type, draw};
use super::frame::COLOURS;

const WIDTH: f64 = 760.0;
const ROW: f64 = 30.0;
const TOP: f64 = 84.0;
/// Where the bars of parameters and of work begin, and how long the longest is.
const BARS: [f64; 2] = [260.0, 510.0];
const LENGTH: f64 = 150.0;

/// Draws them for square images of a side.
pub fn stage_picture(title: &str, side: usize, stages: &[StageSummary]) -> Result<String, PlotError> {
    let size = (WIDTH, TOP + ROW * stages.len() as f64 + 40.0);
    let most = |of: fn(&StageSummary) -> u64| stages.iter().map(of).max().unwrap_or(1).max(1) as f64;
    let (parameters, work) = (most(|stage| stage.parameters as u64), most(|stage| stage.multiply_adds));
    draw(size, &format!("Stages of {title} at {side}x{side}"), |canvas| {
        canvas.head(
            &format!("{title} at {side}x{side}, stage by stage"),
            "The image comes in below. Dark is what takes part at this resolution, light what does not.",
        )?;
        let label = Type::plain(12.0, SOFT);
        canvas.text("stage", (20.0, TOP - 14.0), label)?;
        canvas.text("puts out", (130.0, TOP - 14.0), label)?;
        canvas.text("parameters", (BARS[0], TOP - 14.0), label)?;
        canvas.text("multiply-adds", (BARS[1], TOP - 14.0), label)?;
        for (row, stage) in stages.iter().rev().enumerate() {
            let y = TOP + ROW * (row as f64 + 0.5);
            canvas.line(&[(20.0, y + ROW / 2.0), (WIDTH - 20.0, y + ROW / 2.0)], FAINT, 1.0, Dash::Solid)?;
            canvas.text(&stage.name, (20.0, y), Type { bold: true, ..Type::plain(13.0, INK) })?;
            let (height, width, channels) = stage.output;
            canvas.text(&format!("{height}x{width}x{channels}"), (130.0, y), Type::plain(12.0, INK))?;
            let counts = (stage.parameters as u64, stage.live_parameters as u64);
            bar(canvas, (BARS[0], y), counts, parameters, COLOURS[0])?;
            bar(canvas, (BARS[1], y), (stage.multiply_adds, stage.live_multiply_adds), work, COLOURS[1])?;
        }
        Ok(())
    })
}

/// A bar of all, with the live part dark, and the count of all behind it.
fn bar(
    canvas: &Canvas<'_>,
    (x, y): (f64, f64),
    (all, live): (u64, u64),
    most: f64,
    colour: RGBColor,
) -> Result<(), PlotError> {
    let end = |count: u64| x + LENGTH * count as f64 / most;
    let area = |to: f64| [(x, y - 7.0), (to, y - 7.0), (to, y + 7.0), (x, y + 7.0)];
    canvas.area(&area(end(all)), colour, 0.25)?;
    canvas.area(&area(end(live)), colour, 0.75)?;
    canvas.text(&count(all), (end(all) + 6.0, y), Type::plain(12.0, INK))
}
