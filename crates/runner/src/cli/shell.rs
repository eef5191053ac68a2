//! What shells, `man` and those who help with faults ask of the program itself.

use std::path::PathBuf;

use clap::Args;

/// A shell.
#[derive(Args, Clone, Debug)]
pub struct CompletionsArgs {
    /// Whose completions
    #[arg(value_name = "SHELL")]
    pub shell: clap_complete::Shell,
}

/// Where manual pages go.
#[derive(Args, Clone, Debug)]
pub struct ManArgs {
    /// The folder to write them to; it is made where it is missing
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}

/// A look at the machine.
#[derive(Args, Clone, Debug)]
pub struct DoctorArgs {
    /// Asks no server
    #[arg(long)]
    pub offline: bool,
}
