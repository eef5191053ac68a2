//! `frostline cancel`: the end of the jobs of a results folder. What is stored stays, and where trainings stand.

use frostline_results::{Standing, Submission};
use frostline_slurm::{Task, active};
use frostline_text::quoted;

use crate::cli::CancelArgs;
use crate::error::Error;
use crate::machine::{SlurmError, ask, holder};

/// Cancels what was submitted and is not done; what to print.
///
/// # Errors
/// Nothing was submitted for the folder, or Slurm cannot be asked.
pub fn cancel(args: &CancelArgs) -> Result<String, Error> {
    let folder = &args.folder;
    let Some(submission) = Submission::read(folder)? else {
        let running = Standing::read(folder, &holder())?;
        let running: Vec<String> = running.running().iter().map(|(by, _)| by.to_string()).collect();
        let help = match running.as_slice() {
            [] => "nothing runs there either".to_owned(),
            running => format!("what runs is ended there, with kill: {}", running.join(", ")),
        };
        return Err(Error::usage(format!("nothing was submitted for {}", folder.display()), help));
    };
    let ids = active_jobs(&submission)?;
    if ids.is_empty() {
        return Ok(format!("no job of {} waits or runs any more\n", folder.display()));
    }
    let words: Vec<String> = ids.iter().map(u64::to_string).collect();
    ask("scancel", &words)?;
    Ok(format!(
        "cancelled: {}\nwhat is done is kept, and where trainings stand; frostline status {} tells\n",
        words.join(", "),
        quoted(&folder.display().to_string())
    ))
}

/// The jobs of a submission that wait or run.
///
/// # Errors
/// Slurm cannot be asked.
pub(super) fn active_jobs(submission: &Submission) -> Result<Vec<u64>, Error> {
    let tasks = active_tasks(submission)?;
    let is_active = |id: &u64| tasks.iter().any(|task| task.id.job == *id && task.is_active());
    Ok(submission.jobs.iter().map(|job| job.id).filter(is_active).collect())
}

/// What squeue says of a submission's jobs; nothing of those that it has forgotten.
pub(in crate::commands) fn active_tasks(submission: &Submission) -> Result<Vec<Task>, SlurmError> {
    let ids: Vec<String> = submission.jobs.iter().map(|job| job.id.to_string()).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut line = Task::SQUEUE.map(str::to_owned).to_vec();
    line.push(format!("--jobs={}", ids.join(",")));
    match ask("squeue", &line) {
        Ok(printed) => Ok(active(&printed)),
        // One job alone that it knows no more.
        Err(SlurmError::Failed { said, .. }) if said.contains("Invalid job id") => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
