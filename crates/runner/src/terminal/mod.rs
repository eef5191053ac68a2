//! What a user sees in a terminal: [`Progress`] while something runs, [`Columns`] of text when it is done.

mod columns;
mod progress;

pub(crate) use columns::Columns;
pub use progress::Progress;
