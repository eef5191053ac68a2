//! The report: [`write_report`] renders a comparison of arms as Markdown, with plots, as a page for browsers, and as numbers for programs.

mod answer;
mod arms;
mod card;
mod chosen;
mod claims;
mod comparisons;
mod depth;
mod fairness;
mod forms;
mod gallery;
mod halved;
mod notes;
mod plots;
mod pretraining;
mod provenance;
mod table;
#[cfg(test)]
mod tests;
mod tuned;
mod worth;
mod write;

pub use card::{Card, card_is_of};
pub use plots::{PlotError, RateCurve, rate_curves, stage_picture, what_trains_when};
pub use write::{Report, ReportError, rewrite_report, write_report};
