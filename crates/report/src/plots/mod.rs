//! The plots, as SVG on white, made to be read in black and white too. Each file draws one; none computes statistics of
//! its own or writes files.

mod axis;
mod calibration;
mod canvas;
mod confusion;
mod cost;
mod curves;
mod frame;
mod phases;
mod placing;
mod pretraining;
mod rates;
mod stages;
mod strategies;
#[cfg(test)]
mod tests;

pub(crate) use calibration::reliability;
pub(crate) use canvas::{WIDTH, fitted};
pub(crate) use confusion::confusion;
pub(crate) use cost::accuracy_against_time;
pub(crate) use curves::learning_curves;
pub use phases::what_trains_when;
pub(crate) use pretraining::pretraining_curves;
pub use rates::{RateCurve, rate_curves};
pub use stages::stage_picture;
pub(crate) use strategies::accuracy_by_strategy;

use plotters::drawing::DrawingAreaErrorKind;

/// A plot that could not be drawn.
#[derive(Debug, thiserror::Error)]
#[error("cannot draw a plot: {0}")]
pub struct PlotError(String);

impl<E: std::error::Error + Send + Sync> From<DrawingAreaErrorKind<E>> for PlotError {
    fn from(error: DrawingAreaErrorKind<E>) -> Self {
        Self(error.to_string())
    }
}

/// A share in per cent.
fn percent(share: f64) -> f64 {
    share * 100.0
}
