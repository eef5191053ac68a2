//! What a user sees in a terminal: [`Progress`] while something runs, `Columns` of text when it is done; and what
//! they say of it, [`Interrupt`].

mod columns;
mod interrupt;
mod progress;
mod tell;

pub(crate) use columns::Columns;
pub use interrupt::Interrupt;
pub use progress::Progress;
pub use tell::tell;
