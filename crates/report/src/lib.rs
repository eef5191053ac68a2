//! The report: [`compare`] puts stored trials together into arms and derives what is said of them; [`write_report`] renders
//! that as Markdown, tables and plots.

mod answer;
mod arms;
mod claims;
mod comparisons;
mod depth;
mod fairness;
mod forms;
mod gallery;
mod notes;
mod plots;
mod pretraining;
mod provenance;
mod table;
#[cfg(test)]
mod tests;
mod write;

pub use plots::{PlotError, stage_picture, what_trains_when};
pub use write::{Report, ReportError, rewrite_report, write_report};
