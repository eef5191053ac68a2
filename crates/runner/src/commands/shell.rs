//! `frostline completions`, `frostline man` and `frostline schema`: what shells, `man` and editors know of the command line and of
//! experiment files, made from those themselves.

use std::fs;

use clap::CommandFactory;
use frostline_results::StoreError;

use crate::cli::{Cli, CompletionsArgs, ManArgs};
use crate::error::Error;

/// The completions of a shell.
pub fn completions(args: &CompletionsArgs) -> String {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "frostline", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// The JSON schema of experiment files.
pub fn schema() -> String {
    format!("{:#}\n", frostline_experiment::schema())
}

/// Writes the manual pages; what to print.
///
/// # Errors
/// A failed write.
pub fn man(args: &ManArgs) -> Result<String, Error> {
    let failed = |error| StoreError::writing(&args.folder, error);
    fs::create_dir_all(&args.folder).map_err(failed)?;
    // Its own list of commands has no page.
    let command = Cli::command().disable_help_subcommand(true);
    clap_mangen::generate_to(command, &args.folder).map_err(failed)?;
    Ok(format!("man -l {}\n", args.folder.join("frostline.1").display()))
}
