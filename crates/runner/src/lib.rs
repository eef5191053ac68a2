//! Frostline compares image models and freeze strategies: an experiment file becomes a plan, the plan's trials are
//! trained one by one, their results are stored, and a report is written from them.
//!
//! The modules carry the steps' names. This crate alone knows the clock, the environment, the terminal and the
//! results folder; it does no tensor arithmetic.

pub mod plan;
pub mod trial;

use std::process::ExitCode;

/// Runs the command line.
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
