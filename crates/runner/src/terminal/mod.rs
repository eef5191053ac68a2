//! What a user sees in a terminal: [`Progress`] while something runs, `Columns` of text when it is done; and what
//! they say of it, [`Interrupt`].

mod columns;
mod interrupt;
mod pace;
mod progress;
mod tell;
mod threads;

pub(crate) use columns::Columns;
pub use interrupt::Interrupt;
pub use progress::{Form, Progress};
pub use tell::tell;
pub(crate) use threads::{MORE_THREADS, end_without_threads};
