//! What others know this process by: [`holder`].

use frostline_results::Holder;
use sysinfo::System;

/// This process, on this machine, and as the job of Slurm that it may be.
pub fn holder() -> Holder {
    Holder { host: System::host_name().unwrap_or_default(), pid: std::process::id(), job: job(variable) }
}

/// The value of an environment variable that is there and not empty.
fn variable(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "the runner reads the environment")]
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// `Slurm job 12_3`, the third of an array; of several tasks of one job, with the task.
fn job(variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let own = variable("SLURM_JOB_ID")?;
    let array = variable("SLURM_ARRAY_JOB_ID").zip(variable("SLURM_ARRAY_TASK_ID"));
    let id = array.map_or(own, |(array, task)| format!("{array}_{task}"));
    let several = variable("SLURM_NTASKS").is_some_and(|tasks| tasks != "1");
    let task = variable("SLURM_PROCID").filter(|_| several);
    Some(format!("Slurm job {id}{}", task.map_or_else(String::new, |task| format!(" task {task}"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_known_by_its_place_in_an_array() {
        let of = |set: &[(&str, &str)]| {
            job(|name| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[("SLURM_JOB_ID", "7"), ("SLURM_PROCID", "0")]), Some("Slurm job 7".to_owned()));
        let array = [("SLURM_JOB_ID", "9"), ("SLURM_ARRAY_JOB_ID", "7"), ("SLURM_ARRAY_TASK_ID", "2")];
        assert_eq!(of(&array), Some("Slurm job 7_2".to_owned()));
        let several = [("SLURM_JOB_ID", "7"), ("SLURM_NTASKS", "4"), ("SLURM_PROCID", "3")];
        assert_eq!(of(&several), Some("Slurm job 7 task 3".to_owned()));
        assert!(!holder().host.is_empty());
    }
}
