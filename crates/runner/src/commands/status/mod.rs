//! `frostline status`: how far a sweep is, whoever runs it. It only looks, so that it can be asked at any time.

mod jobs;

use frostline_results::{Holder, Stand, Standing};
use frostline_text::{duration, grouped, plural};
use serde_json::{Value, json};

use super::left::Left;
use super::plan::classes_of;
use crate::cli::StatusArgs;
use crate::error::Error;
use crate::execute::{labels, work_of};
use crate::machine::holder;
use crate::terminal::Columns;
use jobs::Jobs;

/// Failed or running trials that are named; `--all` names every one.
const NAMED: usize = 20;

/// Says how far a sweep is; what to print.
///
/// # Errors
/// A folder that is no results folder, or cannot be read.
pub fn status(args: &StatusArgs) -> Result<String, Error> {
    let standing = Standing::read(&args.folder, &holder())?;
    let works = work_of(&standing.plan, classes_of)?;
    let left = Left::of(&standing, &works);
    let folder = args.folder.display().to_string();
    let jobs = Jobs::read(&args.folder)?;
    if args.json {
        let mut told = as_json(&folder, &standing, left);
        if let Some(jobs) = jobs {
            told["slurm"] = jobs.as_json();
        }
        return Ok(format!("{}\n", serde_json::to_string_pretty(&told).unwrap_or_default()));
    }
    Ok(describe(&folder, &standing, left, (args.all, jobs.as_ref())))
}

/// How many of some things stand in each way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    done: usize,
    failed: usize,
    running: usize,
    stopped: usize,
    waiting: usize,
    unchosen: usize,
    damaged: usize,
}

impl Counts {
    fn of<'a>(stands: impl Iterator<Item = &'a Stand>) -> Self {
        let mut counts = Self::default();
        for stand in stands {
            *match stand {
                Stand::Done { .. } => &mut counts.done,
                Stand::Failed { .. } => &mut counts.failed,
                Stand::Running { .. } => &mut counts.running,
                Stand::Stopped { .. } => &mut counts.stopped,
                Stand::Waiting => &mut counts.waiting,
                Stand::Unchosen => &mut counts.unchosen,
                Stand::Damaged { .. } => &mut counts.damaged,
            } += 1;
        }
        counts
    }

    /// `3 done, 1 running`.
    fn told(self) -> String {
        let Self { done, failed, running, stopped, waiting, unchosen, damaged } = self;
        let parts = [
            (done, "done"),
            (failed, "failed"),
            (running, "running"),
            (stopped, "stopped on the way"),
            (damaged, "damaged"),
            (waiting, "waiting"),
            (unchosen, "not needed, as other values are chosen"),
        ];
        let parts = parts.iter().filter(|(count, _)| *count > 0);
        let parts: Vec<String> =
            parts.map(|(count, what)| format!("{} {what}", grouped(*count as u64))).collect();
        parts.join(", ")
    }

    fn as_json(self) -> Value {
        let Self { done, failed, running, stopped, waiting, unchosen, damaged } = self;
        json!({
            "done": done, "failed": failed, "running": running, "stopped": stopped, "waiting": waiting, "unchosen": unchosen,
            "damaged": damaged,
        })
    }
}

/// For a terminal.
fn describe(
    folder: &str,
    standing: &Standing,
    left: Option<Left>,
    (all, jobs): (bool, Option<&Jobs>),
) -> String {
    let counts = Counts::of(standing.trials.iter());
    let trials = plural(standing.trials.len(), "trial");
    let mut text = format!("{folder}: {trials}: {}\n", counts.told());
    if !standing.trunks.is_empty() {
        let counts = Counts::of(standing.trunks.iter().map(|(_, stand)| stand));
        text += &format!("{}: {}\n", plural(standing.trunks.len(), "pretraining"), counts.told());
    }
    text += &left.map_or_else(String::new, time_left);
    let running = standing.running();
    for (by, count) in &running {
        text += &format!("{by}: runs {}\n", grouped(*count as u64));
    }
    text += &table(standing, all);
    let are_active = jobs.is_some_and(Jobs::are_active);
    if counts.done + counts.failed + counts.unchosen < standing.trials.len()
        && running.is_empty()
        && !are_active
    {
        let as_jobs = if jobs.is_some() { " --slurm" } else { "" };
        text += &format!("nothing runs; to go on: {}{as_jobs}\n", standing.asked);
    }
    text + &jobs.map_or_else(String::new, |jobs| jobs.describe(folder))
}

fn time_left(left: Left) -> String {
    let Left { seconds, processes, measured, uncounted } = left;
    let by = if processes == 1 { "1 process".to_owned() } else { format!("{processes} processes") };
    let mut text = format!(
        "left: about {} for {by}, reckoned from {}",
        duration(seconds),
        plural(measured, "finished trial")
    );
    if uncounted > 0 {
        text += &format!(", without {}, as none is measured", plural(uncounted, "pretraining"));
    }
    text + "\n"
}

/// What runs, what has failed, what was stopped: a row each.
fn table(standing: &Standing, all: bool) -> String {
    let trunks = standing
        .trunks
        .iter()
        .map(|(trunk, stand)| (trunk.id.clone(), trunk.label(), trunk.pretraining.train.epochs, stand));
    let trials = standing.plan.trials.iter().zip(labels(&standing.plan)).zip(&standing.trials);
    let trials = trials.map(|((trial, label), stand)| (trial.id.clone(), label, trial.train.epochs, stand));
    let mut table = Columns::new(&["", "id", "what", ">epochs", "by, or why"]);
    let (mut rows, mut more) = (0, 0);
    for (id, label, of, stand) in trunks.chain(trials) {
        let row = match stand {
            Stand::Done { seconds } if all => ("done", String::new(), format!("in {}", duration(*seconds))),
            Stand::Waiting if all => ("waiting", String::new(), String::new()),
            Stand::Unchosen if all => ("not needed", String::new(), "other values are chosen".to_owned()),
            Stand::Done { .. } | Stand::Waiting | Stand::Unchosen => continue,
            Stand::Running { by, epochs } => ("running", format!("{epochs}/{of}"), by.to_string()),
            Stand::Stopped { by, epochs } => {
                let why = by.as_ref().map_or_else(
                    || "goes on from there".to_owned(),
                    |by| format!("{by} has died; goes on from there"),
                );
                ("stopped", format!("{epochs}/{of}"), why)
            }
            Stand::Failed { reason } => ("failed", String::new(), reason.clone()),
            Stand::Damaged { reason } => ("damaged", String::new(), format!("{reason}; is run again")),
        };
        if !all && rows == NAMED {
            more += 1;
            continue;
        }
        rows += 1;
        let (state, epochs, why) = row;
        table.row(vec![state.to_owned(), id, label, epochs, why]);
    }
    let mut text = if rows > 0 { format!("\n{}", table.lines()) } else { String::new() };
    if more > 0 {
        text += &format!("and {} more, with --all\n", grouped(more as u64));
    }
    text
}

/// For programs.
fn as_json(folder: &str, standing: &Standing, left: Option<Left>) -> Value {
    let each = |id: &str, label: &str, epochs: usize, stand: &Stand| {
        let mut told = json!({"id": id, "label": label, "epochs": epochs});
        let (state, more) = match stand {
            Stand::Done { seconds } => ("done", json!({"seconds": seconds})),
            Stand::Failed { reason } => ("failed", json!({"reason": reason})),
            Stand::Running { by, epochs } => ("running", json!({"epochs-done": epochs, "by": by_json(by)})),
            Stand::Stopped { by, epochs } => {
                ("stopped", json!({"epochs-done": epochs, "by": by.as_ref().map(by_json)}))
            }
            Stand::Waiting => ("waiting", json!({})),
            Stand::Unchosen => ("unchosen", json!({})),
            Stand::Damaged { reason } => ("damaged", json!({"reason": reason})),
        };
        told["state"] = json!(state);
        if let (Value::Object(told), Value::Object(more)) = (&mut told, more) {
            told.extend(more);
        }
        told
    };
    let trials = standing.plan.trials.iter().zip(labels(&standing.plan)).zip(&standing.trials);
    let trials: Vec<Value> =
        trials.map(|((trial, label), stand)| each(&trial.id, &label, trial.train.epochs, stand)).collect();
    let trunks: Vec<Value> = standing
        .trunks
        .iter()
        .map(|(trunk, stand)| each(&trunk.id, &trunk.label(), trunk.pretraining.train.epochs, stand))
        .collect();
    let processes: Vec<Value> = standing
        .running()
        .into_iter()
        .map(|(by, count)| {
            let mut told = by_json(by);
            told["runs"] = json!(count);
            told
        })
        .collect();
    json!({
        "folder": folder,
        "counts": Counts::of(standing.trials.iter()).as_json(),
        "seconds-left": left.map(|left| left.seconds),
        "reckoned-from": left.map(|left| left.measured),
        "processes": processes,
        "trials": trials,
        "pretrainings": trunks,
    })
}

fn by_json(by: &Holder) -> Value {
    json!({"host": by.host, "pid": by.pid, "job": by.job})
}

#[cfg(test)]
mod tests {
    use frostline_results::{Invocation, samples};

    use super::*;

    fn standing() -> Standing {
        let plan = samples::plan(&["resnet18"], &["head", "full", "last-1"], 2);
        let by = Holder { host: "node3".to_owned(), pid: 7, job: Some("Slurm job 12_3".to_owned()) };
        let trials = vec![
            Stand::Done { seconds: 2.0 },
            Stand::Failed { reason: "the loss left the numbers".to_owned() },
            Stand::Running { by: by.clone(), epochs: 1 },
            Stand::Stopped { by: Some(by), epochs: 2 },
            Stand::Waiting,
            Stand::Damaged { reason: "x is damaged".to_owned() },
        ];
        let asked = Invocation { file: Some("x.toml".to_owned()), ..Invocation::default() };
        Standing { plan, asked, trials, trunks: Vec::new() }
    }

    #[test]
    fn what_runs_failed_and_waits_is_told() {
        let mut standing = standing();
        let left = Left { seconds: 90.0, processes: 2, measured: 1, uncounted: 0 };
        let told = describe("results/x", &standing, Some(left), (false, None));
        let (head, rows) = told.split_once("\n\n").unwrap();
        assert_eq!(
            head,
            "results/x: 6 trials: 1 done, 1 failed, 1 running, 1 stopped on the way, 1 damaged, 1 waiting\n\
             left: about 90.0 s for 2 processes, reckoned from 1 finished trial\n\
             process 7 on node3 (Slurm job 12_3): runs 1"
        );
        assert_eq!(rows.lines().count(), 5, "{rows}");
        for part in [
            "the loss left the numbers",
            "process 7 on node3 (Slurm job 12_3) has died; goes on from there",
            "x is damaged; is run again",
        ] {
            assert!(rows.contains(part), "{rows}");
        }
        let all = describe("results/x", &standing, None, (true, None));
        assert!(all.contains("\nwaiting  ") && all.contains("in 2.00 s"), "{all}");
        standing.trials[2] = Stand::Waiting;
        let idle = describe("results/x", &standing, None, (false, None));
        assert!(idle.ends_with("nothing runs; to go on: frostline sweep x.toml\n"), "{idle}");
    }

    #[test]
    fn programs_are_told_the_same() {
        let told = as_json("results/x", &standing(), None);
        assert_eq!(told["counts"]["done"], 1);
        assert_eq!(
            told["processes"][0],
            json!({"host": "node3", "pid": 7, "job": "Slurm job 12_3", "runs": 1})
        );
        let states: Vec<&str> =
            told["trials"].as_array().unwrap().iter().filter_map(|trial| trial["state"].as_str()).collect();
        assert_eq!(states, ["done", "failed", "running", "stopped", "waiting", "damaged"]);
    }
}
