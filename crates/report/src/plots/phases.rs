//! What trains when: a strategy's phases over the epochs from left to right, and the model's stages from the input at the
//! bottom to the head on top.

use frostline_recipe::{Parts, Phase};
use frostline_text::short;
use plotters::style::RGBColor;

use super::PlotError;
use super::canvas::{Canvas, Dash, FAINT, INK, Place, SOFT, Type, draw, width};

const ROW: f64 = 30.0;
const TOP: f64 = 78.0;
const FROZEN: RGBColor = RGBColor(238, 242, 246);
const TRAINS: RGBColor = RGBColor(213, 94, 0);
/// Pixels across for all epochs.
const ACROSS: f64 = 560.0;
/// Decades below the full rate at which the colour is faintest.
const DECADES: f64 = 3.0;

/// What of a stage trains in a phase.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Share {
    /// Whether all its parameters do; else some.
    pub(crate) whole: bool,
    /// The highest factor on the learning rate among those that do.
    pub(crate) rate: f64,
}

/// What of a stage trains in a phase, if anything does.
pub(crate) fn share(parts: &Parts, phase: &Phase, stage: usize) -> Option<Share> {
    let of_stage =
        parts.parameters.iter().zip(&phase.rates).filter(|(parameter, _)| parameter.stage == stage);
    let rates: Vec<Option<f64>> = of_stage.map(|(_, rate)| *rate).collect();
    let rate = rates.iter().flatten().copied().reduce(f64::max)?;
    Some(Share { whole: rates.iter().all(Option::is_some), rate })
}

/// The picture of a strategy on a model.
pub fn what_trains_when(strategy: &str, parts: &Parts, phases: &[Phase]) -> Result<String, PlotError> {
    let epochs: usize = phases.iter().map(|phase| phase.epochs).sum();
    let left = 24.0 + parts.stages.iter().map(|stage| width(stage, 13.0)).fold(0.0, f64::max) + 12.0;
    let bottom = TOP + ROW * parts.stages.len() as f64;
    let title = format!("{strategy} on {}: what trains when", parts.model);
    draw((left + ACROSS + 24.0, bottom + 58.0), &title, |canvas| {
        canvas.head(
            &title,
            "Orange trains, the fainter the slower; a thin bar is a part of a stage. Grey is frozen.",
        )?;
        for (row, stage) in parts.stages.iter().rev().enumerate() {
            let middle = TOP + ROW * (row as f64 + 0.5);
            canvas.text(stage, (left - 12.0, middle), Type::plain(13.0, INK).side(1))?;
        }
        let mut begun = 0;
        for phase in phases {
            let at = |epoch: usize| left + ACROSS * epoch as f64 / epochs.max(1) as f64;
            let (from, to) = (at(begun), at(begun + phase.epochs));
            for stage in 0..parts.stages.len() {
                let top = TOP + ROW * (parts.head() - stage) as f64;
                cell(canvas, (from, top), (to, top + ROW), share(parts, phase, stage))?;
            }
            let label = Type::plain(11.0, SOFT).side(0);
            let middle = (from + to) / 2.0;
            if width(&phase.name, 11.0) < to - from - 4.0 {
                canvas.text(&phase.name, (middle, bottom + 30.0), label)?;
            }
            canvas.line(&[(from, bottom), (from, bottom + 5.0)], SOFT, 1.0, Dash::Solid)?;
            canvas.text(&begun.to_string(), (from, bottom + 14.0), label)?;
            begun += phase.epochs;
        }
        canvas.line(&[(left + ACROSS, bottom), (left + ACROSS, bottom + 5.0)], SOFT, 1.0, Dash::Solid)?;
        canvas.text(&epochs.to_string(), (left + ACROSS, bottom + 14.0), Type::plain(11.0, SOFT).side(0))?;
        canvas.text("epochs", (left + ACROSS / 2.0, bottom + 47.0), Type::plain(12.0, INK).side(0))
    })
}

/// One stage in one phase.
fn cell(canvas: &Canvas<'_>, from: Place, to: Place, share: Option<Share>) -> Result<(), PlotError> {
    let rectangle = |(left, top): Place, (right, bottom): Place| {
        [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
    };
    let outer = rectangle(from, to);
    canvas.area(&outer, FROZEN, 1.0)?;
    if let Some(Share { whole, rate }) = share {
        let opacity = (1.0 + rate.log10() / DECADES * 0.8).clamp(0.2, 1.0);
        let inset = if whole { 0.0 } else { (to.1 - from.1) * 0.36 };
        canvas.area(&rectangle((from.0, from.1 + inset), (to.0, to.1 - inset)), TRAINS, opacity)?;
        let text = if rate == 1.0 { String::new() } else { format!("×{}", short(rate)) };
        if width(&text, 11.0) < to.0 - from.0 - 4.0 && whole {
            let middle = ((from.0 + to.0) / 2.0, (from.1 + to.1) / 2.0);
            canvas.text(&text, middle, Type::plain(11.0, INK).side(0))?;
        }
    }
    canvas.line(&outer, FAINT, 1.0, Dash::Solid)
}
