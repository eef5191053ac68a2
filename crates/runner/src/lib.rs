//! The `frostline` binary: its [command line](cli), its [`commands`], and [the sweep](execute), which trains what a plan lists.
//!
//! This crate alone knows the clock, the environment and the terminal; it does no tensor arithmetic.

#![warn(clippy::print_stderr, clippy::print_stdout)] // They panic where nobody can be told; see `terminal::tell`.

pub mod cli;
pub mod commands;
pub mod error;
pub mod execute;
pub mod machine;
pub mod predict;
pub mod terminal;

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use clap::{ColorChoice, CommandFactory, FromArgMatches};
use cli::{Cli, Command};
use error::{Ending, Error};
use machine::hub_options;
use miette::MietteHandlerOpts;
use terminal::{Form, Progress, end_without_threads, tell};

/// Runs the command line.
pub fn main() -> ExitCode {
    end_without_threads();
    let colour = cli::asked_colour(std::env::args_os());
    let matches = Cli::command().color(colour).get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    if colour != ColorChoice::Auto {
        let options = move || MietteHandlerOpts::new().color(colour == ColorChoice::Always);
        // It can be set once, which nothing before this has done.
        let _ = miette::set_hook(Box::new(move |_| Box::new(options().build())));
    }
    match run(&cli.command) {
        Ok((text, ending)) => print(&text, ending),
        Err(error) => {
            let code = error.exit_code();
            tell(&format!("{:?}", miette::Report::new(error)));
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
        Command::Try(args) => commands::trying::try_them(args, hub_options(args.run.offline)?),
        Command::Init(args) => {
            let progress = Progress::new(Form::of_terminal());
            commands::trying::init(args, hub_options(args.offline)?, &progress).map(done)
        }
        Command::Sweep(args) if args.slurm.slurm => commands::slurm::submit(args).map(done),
        Command::Sweep(args) => commands::sweep::sweep(args, hub_options(args.run.offline)?),
        Command::Run(args) => commands::run::run(args, hub_options(args.run.offline)?),
        Command::Status(args) => commands::status::status(args).map(done),
        Command::Cancel(args) => commands::slurm::cancel(args).map(done),
        Command::Pretrain(args) => commands::pretrain::pretrain(args, hub_options(args.run.offline)?),
        Command::Rate(args) => commands::rate::rate(args, hub_options(args.run.offline)?),
        Command::Plan(args) => commands::plan::plan(args).map(done),
        Command::Export(args) => commands::export::export(args).map(done),
        Command::Predict(args) => commands::predict::predict(args),
        Command::Features(args) => commands::features::features(args),
        Command::Report(args) => commands::report::report(args).map(done),
        Command::Diff(args) => commands::diff::diff(args),
        Command::Merge(args) => commands::report::merge(args).map(done),
        Command::Models(args) => commands::models::models(args).map(done),
        Command::Data(args) => {
            commands::data::data(args, hub_options(args.offline)?, &Progress::new(Form::of_terminal()))
                .map(done)
        }
        Command::Completions(args) => Ok(done(commands::shell::completions(args))),
        Command::Man(args) => commands::shell::man(args).map(done),
        Command::Doctor(args) => commands::doctor::doctor(args),
        Command::Schema => Ok(done(commands::shell::schema())),
    }
}

fn print(text: &str, ending: Ending) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        // A reader such as `head` that has seen enough is no failure.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            tell(&format!("cannot print: {error}"));
            ExitCode::FAILURE
        }
        _ => ExitCode::from(ending.exit_code()),
    }
}
