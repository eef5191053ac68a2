//! What people and files read: digests in hex, and sizes, durations and numbers as text, words of a command line and of markup. Tables,
//! plots and sentences all round here, so they round alike. Nothing here knows what a number means.

mod digest;
mod markup;
mod numbers;
mod shell;

pub use digest::{Digesting, digest_of_file, hex, id, sha256};
pub use markup::escaped;
pub use numbers::{bytes, count, decimals, duration, grouped, plural, rate, short, with_deviation};
pub use shell::quoted;
