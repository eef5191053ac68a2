//! [`tell`]: a line for the user. Standard error that cannot be written to (a full disk, a pipe whose reader has gone) has
//! nobody who reads it, and is no reason to stop.

use std::io::Write;

/// Writes a line to standard error, if it can be written.
pub fn tell(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
