//! Slurm's commands, where this machine has them: [`ask`].

use std::io::ErrorKind;
use std::process::Command;

/// Why Slurm did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum SlurmError {
    /// There is no such command.
    #[error(
        "{command} is not on this machine's PATH, so Slurm cannot be asked; run this where jobs are submitted"
    )]
    Absent {
        /// `sbatch`, …
        command: String,
    },
    /// It said no.
    #[error("{command} failed: {said}")]
    Failed {
        /// With its arguments.
        command: String,
        /// What it printed.
        said: String,
    },
}

/// Runs one of Slurm's commands; what it printed.
///
/// # Errors
/// It is not there, or failed.
pub fn ask(command: &str, arguments: &[String]) -> Result<String, SlurmError> {
    let line = || [&[command.to_owned()], arguments].concat().join(" ");
    match Command::new(command).args(arguments).output() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(SlurmError::Absent { command: command.to_owned() })
        }
        Err(error) => Err(SlurmError::Failed { command: line(), said: error.to_string() }),
        Ok(output) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        Ok(output) => {
            let said = [output.stderr, output.stdout].concat();
            let said = String::from_utf8_lossy(&said).trim().replace('\n', "; ");
            Err(SlurmError::Failed { command: line(), said })
        }
    }
}
