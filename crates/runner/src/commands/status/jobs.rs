//! What became of the jobs that were submitted for a results folder: [`Jobs`], from Slurm as far as it remembers, and from the exit codes
//! that the jobs have noted themselves.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use frostline_results::{Job, Purpose, StoreError, Submission};
use frostline_slurm::{Task, TaskId, ended, shown};
use frostline_text::{bytes, grouped, plural};
use serde_json::{Value, json};

use crate::commands::slurm::active_tasks;
use crate::machine::ask;

/// Jobs that ended badly and are named.
const NAMED: usize = 10;
/// What is asked for next, of what was too little.
const MORE: u64 = 2;

/// How a job stands.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Waiting(String),
    Running(String),
    Done,
    /// Trials, or pretrainings, failed; they have rows of their own.
    SomeFailed,
    /// The memory that it took at most, where that was measured.
    OutOfMemory(Option<u64>),
    /// In Slurm's words, or with its exit code.
    Ended(String),
    Unknown,
}

/// The jobs of a submission.
#[derive(Debug)]
pub(super) struct Jobs {
    submission: Submission,
    states: BTreeMap<TaskId, State>,
    /// Why Slurm could not be asked; none where it could.
    unasked: Option<String>,
}

impl Jobs {
    /// Those of a results folder; none where nothing was submitted.
    ///
    /// # Errors
    /// The file of what was submitted is damaged.
    pub(super) fn read(folder: &Path) -> Result<Option<Self>, StoreError> {
        let Some(submission) = Submission::read(folder)? else { return Ok(None) };
        let (mut tasks, mut unasked) = (Vec::new(), None);
        match active_tasks(&submission) {
            Ok(active) => {
                tasks = active;
                remembered(&submission, &mut tasks);
            }
            Err(error) => unasked = Some(error.to_string()),
        }
        let exits = exits(&Submission::folder(folder).join("exits"));
        let states = submission.jobs.iter().flat_map(places).map(|id| (id, state(id, &tasks, &exits)));
        Ok(Some(Self { states: states.collect(), unasked, submission }))
    }

    /// Whether anything of it waits or runs.
    pub(super) fn are_active(&self) -> bool {
        self.states.values().any(|state| matches!(state, State::Waiting(_) | State::Running(_)))
    }

    /// A line for each job, and one for each that ended badly.
    pub(super) fn describe(&self, folder: &str) -> String {
        let mut text = "\n".to_owned();
        if let Some(unasked) = &self.unasked {
            text += &format!("note: how the jobs stand is told by what they wrote alone: {unasked}\n");
        }
        let (mut named, mut bad) = (String::new(), 0);
        for job in &self.submission.jobs {
            let states: Vec<(TaskId, &State)> =
                places(job).filter_map(|id| Some((id, self.states.get(&id)?))).collect();
            let what = match job.purpose {
                Purpose::Prepare => "downloads and pretraining".to_owned(),
                Purpose::Trials => format!("trials, {}", plural(states.len(), "share")),
                Purpose::Report => "report".to_owned(),
            };
            text += &format!("Slurm job {} ({what}): {}\n", job.id, counted(&states));
            for (id, state) in states {
                let Some(problem) = problem(state, job.memory) else { continue };
                bad += 1;
                if bad <= NAMED {
                    named += &format!("  {id} {problem}; {folder}/slurm/{id}.log\n");
                }
            }
        }
        text += &named;
        if bad > NAMED {
            text += &format!("  and {} more\n", grouped((bad - NAMED) as u64));
        }
        text
    }

    /// For programs.
    pub(super) fn as_json(&self) -> Value {
        let job = |job: &Job| {
            let tasks: Vec<Value> = places(job)
                .filter_map(|id| {
                    let (state, detail) = word(self.states.get(&id)?);
                    let share = id.place.map(|place| place + job.offset);
                    let problem = problem(self.states.get(&id)?, job.memory);
                    Some(json!({
                        "id": id.to_string(), "share": share, "state": state, "detail": detail, "problem": problem,
                    }))
                })
                .collect();
            json!({"id": job.id, "purpose": job.purpose, "memory-bytes": job.memory, "tasks": tasks})
        };
        let jobs: Vec<Value> = self.submission.jobs.iter().map(job).collect();
        json!({"submitted-at": self.submission.submitted_at, "jobs": jobs})
    }
}

/// The jobs of an array, or the job.
fn places(job: &Job) -> impl Iterator<Item = TaskId> {
    let (job, offset) = (job.clone(), job.offset);
    let single = job.shares.is_empty().then_some(TaskId { job: job.id, place: None });
    let shares = job.shares.clone().into_iter().flat_map(|(first, last)| first..=last);
    let number = job.id;
    single
        .into_iter()
        .chain(shares.map(move |share| TaskId { job: number, place: Some(share.saturating_sub(offset)) }))
}

/// Adds what accounting, or else the controller, remembers of jobs that have ended.
fn remembered(submission: &Submission, tasks: &mut Vec<Task>) {
    let ids: Vec<String> = submission.jobs.iter().map(|job| job.id.to_string()).collect();
    let mut line = Task::SACCT.map(str::to_owned).to_vec();
    line.push(format!("--jobs={}", ids.join(",")));
    let mut known = ask("sacct", &line).map(|printed| ended(&printed)).unwrap_or_default();
    for id in ids {
        // Its job is not in accounting, or there is none; the controller forgets what has ended after some minutes.
        if known.iter().all(|task| task.id.job.to_string() != id) {
            let line = [&Task::SCONTROL.map(str::to_owned)[..], &[id]].concat();
            known.extend(ask("scontrol", &line).map(|printed| shown(&printed)).unwrap_or_default());
        }
    }
    for task in known {
        if tasks.iter().all(|active| active.id != task.id) {
            tasks.push(task);
        }
    }
}

/// The exit codes that jobs have noted.
fn exits(folder: &Path) -> BTreeMap<TaskId, i32> {
    let Ok(entries) = fs::read_dir(folder) else { return BTreeMap::new() };
    let exit = |path: std::path::PathBuf| {
        let id = TaskId::parse(&path.file_name()?.to_string_lossy())?;
        Some((id, fs::read_to_string(path).ok()?.trim().parse().ok()?))
    };
    entries.filter_map(|entry| exit(entry.ok()?.path())).collect()
}

/// How a job stands: what Slurm says while it waits or runs, then the exit code of `frostline`, then what Slurm says.
fn state(id: TaskId, tasks: &[Task], exits: &BTreeMap<TaskId, i32>) -> State {
    let task = tasks.iter().find(|task| task.id == id);
    if let Some(task) = task.filter(|task| task.is_active()) {
        return match task.state.as_str() {
            "RUNNING" | "COMPLETING" | "CONFIGURING" => State::Running(task.node.clone()),
            _ => State::Waiting(task.reason.clone()),
        };
    }
    let peak = task.and_then(|task| task.peak);
    let says = task.map(|task| task.state.as_str());
    match (exits.get(&id), says) {
        (_, Some("OUT_OF_MEMORY")) | (Some(71 | 137), _) => State::OutOfMemory(peak),
        (Some(0), _) | (None, Some("COMPLETED")) => State::Done,
        (Some(3), _) => State::SomeFailed,
        (
            _,
            Some(state @ ("CANCELLED" | "TIMEOUT" | "NODE_FAIL" | "PREEMPTED" | "BOOT_FAIL" | "DEADLINE")),
        ) => State::Ended(format!("ended as {state}")),
        (Some(code), _) => State::Ended(format!("ended with exit code {code}")),
        (None, Some(state)) => State::Ended(format!("ended as {state}")),
        (None, None) => State::Unknown,
    }
}

/// A word for a state, and what is known besides.
fn word(state: &State) -> (&'static str, String) {
    match state {
        State::Waiting(reason) => ("waiting", reason.clone()),
        State::Running(node) => ("running", node.clone()),
        State::Done => ("done", String::new()),
        State::SomeFailed => ("done, with failures", String::new()),
        State::OutOfMemory(_) => ("out of memory", String::new()),
        State::Ended(how) => ("ended", how.clone()),
        State::Unknown => ("forgotten by Slurm", String::new()),
    }
}

/// `3 running on node1, node2; 5 waiting (Resources)`.
fn counted(states: &[(TaskId, &State)]) -> String {
    let mut counts: Vec<(&str, usize, Vec<String>)> = Vec::new();
    for (_, state) in states {
        let (word, detail) = word(state);
        let known = match counts.iter_mut().find(|(known, ..)| *known == word) {
            Some(known) => known,
            None => {
                counts.push((word, 0, Vec::new()));
                match counts.last_mut() {
                    Some(last) => last,
                    None => continue,
                }
            }
        };
        known.1 += 1;
        if !detail.is_empty() && word != "ended" && !known.2.contains(&detail) {
            known.2.push(detail);
        }
    }
    let told = counts.into_iter().map(|(word, count, details)| {
        let details = if details.is_empty() { String::new() } else { format!(" ({})", details.join(", ")) };
        format!("{} {word}{details}", grouped(count as u64))
    });
    told.collect::<Vec<_>>().join(", ")
}

/// What is wrong with a job, and what to do; none where nothing is.
fn problem(state: &State, memory: Option<u64>) -> Option<String> {
    match state {
        State::OutOfMemory(peak) => {
            let had = memory.map_or_else(String::new, |memory| format!(" of {}", bytes(memory)));
            let took = peak
                .map_or_else(String::new, |peak| format!(", and took {} when last measured", bytes(peak)));
            let ask = match memory {
                Some(memory) => format!("--mem {}GiB", (MORE * memory).div_ceil(1 << 30)),
                None => "more memory".to_owned(),
            };
            Some(format!("ran out of its memory{had}{took}: submit it again with {ask}, or a smaller batch"))
        }
        State::Ended(how) => Some(how.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jobs(states: &[(Option<usize>, State)]) -> Jobs {
        let job =
            Job { id: 12, purpose: Purpose::Trials, offset: 3, shares: vec![(4, 8)], memory: Some(3 << 30) };
        let submission = Submission {
            plan: String::new(),
            shares: 8,
            submitted_at: "2026-11-28T00:00:00Z".to_owned(),
            jobs: vec![job],
        };
        let states = states.iter().map(|(place, state)| (TaskId { job: 12, place: *place }, state.clone()));
        Jobs { submission, states: states.collect(), unasked: None }
    }

    fn task(place: usize, state: &str) -> Task {
        let id = TaskId { job: 12, place: Some(place) };
        Task {
            id,
            state: state.to_owned(),
            reason: "None".to_owned(),
            node: "n1".to_owned(),
            peak: Some(2 << 30),
        }
    }

    #[test]
    fn what_a_job_noted_and_what_slurm_says_go_together() {
        let of = |says: Option<&str>, exit: Option<i32>| {
            let tasks: Vec<Task> = says.map(|state| task(1, state)).into_iter().collect();
            let id = TaskId { job: 12, place: Some(1) };
            state(id, &tasks, &exit.map(|code| (id, code)).into_iter().collect())
        };
        let ended = |how: &str| State::Ended(how.to_owned());
        assert_eq!(of(Some("RUNNING"), Some(143)), State::Running("n1".to_owned()), "it was queued again");
        assert_eq!(of(Some("OUT_OF_MEMORY"), None), State::OutOfMemory(Some(2 << 30)));
        assert_eq!(of(None, Some(137)), State::OutOfMemory(None));
        assert_eq!(of(Some("FAILED"), Some(71)), State::OutOfMemory(Some(2 << 30)));
        assert_eq!(of(Some("FAILED"), Some(3)), State::SomeFailed);
        assert_eq!(of(Some("FAILED"), Some(1)), ended("ended with exit code 1"));
        assert_eq!(of(Some("CANCELLED"), Some(143)), ended("ended as CANCELLED"));
        assert_eq!(
            [of(None, Some(0)), of(Some("COMPLETED"), None), of(None, None)],
            [State::Done, State::Done, State::Unknown]
        );
    }

    #[test]
    fn jobs_are_counted_and_problems_named_with_what_to_do() {
        let states = [
            (Some(1), State::Running("n1".to_owned())),
            (Some(2), State::Waiting("Resources".to_owned())),
            (Some(3), State::OutOfMemory(Some(2 << 30))),
            (Some(4), State::Done),
            (Some(5), State::Ended("ended as TIMEOUT".to_owned())),
        ];
        let told = jobs(&states).describe("results/x");
        assert_eq!(
            told,
            "\nSlurm job 12 (trials, 5 shares): 1 running (n1), 1 waiting (Resources), 1 out of memory, 1 done, 1 ended\n  \
             12_3 ran out of its memory of 3.00 GiB, and took 2.00 GiB when last measured: submit it again with --mem 6GiB, \
             or a smaller batch; results/x/slurm/12_3.log\n  \
             12_5 ended as TIMEOUT; results/x/slurm/12_5.log\n"
        );
        let told = jobs(&states).as_json();
        assert_eq!(told["jobs"][0]["tasks"][2]["share"], 6);
        assert!(jobs(&states).are_active() && !jobs(&states[3..]).are_active());
    }
}
