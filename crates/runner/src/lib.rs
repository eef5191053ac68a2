//! Frostline compares image models and freeze strategies: an experiment file becomes a plan, the plan's trials are
//! trained one by one, their results are stored, and a report is written from them.
//!
//! The modules carry the steps' names. This crate alone knows the clock, the environment, the terminal and the
//! results folder; it does no tensor arithmetic.

pub mod checkpoints;
mod checks;
pub mod cli;
pub mod commands;
pub mod compare;
pub mod environment;
pub mod error;
pub mod execute;
pub mod experiment;
pub mod measure;
pub mod plan;
pub mod predict;
pub mod progress;
pub mod recipe;
pub mod report;
pub mod results;
pub mod settings;
mod table;
pub mod trial;

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};
use error::{Ending, Error};
use progress::Progress;

/// Runs the command line.
pub fn main() -> ExitCode {
    match run(&Cli::parse().command) {
        Ok((text, ending)) => print(&text, ending),
        Err(error) => {
            let code = error.exit_code();
            eprintln!("{:?}", miette::Report::new(error));
            ExitCode::from(code)
        }
    }
}

/// Does what a command says: the text to print, and how it ends.
///
/// # Errors
/// Whatever keeps the command from its work.
pub fn run(command: &Command) -> Result<(String, Ending), Error> {
    let done = |text| (text, Ending::Done);
    match command {
        Command::Sweep(args) => commands::sweep::sweep(args, settings::hub_options(args.run.offline)?),
        Command::Pretrain(args) => {
            commands::pretrain::pretrain(args, settings::hub_options(args.run.offline)?)
        }
        Command::Plan(args) => commands::plan::plan(args).map(done),
        Command::Export(args) => commands::export::export(args).map(done),
        Command::Predict(args) => commands::predict::predict(args),
        Command::Report(args) => {
            Ok(done(format!("{}\n", report::rewrite_report(&args.folder)?.path.display())))
        }
        Command::Models(args) => commands::models::models(args).map(done),
        Command::Data(args) => {
            commands::data::data(args, settings::hub_options(args.offline)?, &Progress::new()).map(done)
        }
    }
}

fn print(text: &str, ending: Ending) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        // A reader such as `head` that has seen enough is no failure.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            eprintln!("cannot print: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::from(ending.exit_code()),
    }
}
