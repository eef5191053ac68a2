//! What Slurm says of jobs: [`Task`]s, from what squeue ([`active`]), sacct ([`ended`]) and scontrol ([`shown`]) print.

use std::fmt;

/// A job, or one of an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TaskId {
    /// The job's number.
    pub job: u64,
    /// Its place in an array.
    pub place: Option<usize>,
}

impl TaskId {
    /// Of `12` or `12_3`.
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once('_') {
            Some((job, place)) => Some(Self { job: job.parse().ok()?, place: Some(place.parse().ok()?) }),
            None => Some(Self { job: text.parse().ok()?, place: None }),
        }
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.job)?;
        self.place.iter().try_for_each(|place| write!(f, "_{place}"))
    }
}

/// A job as Slurm has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Which.
    pub id: TaskId,
    /// `PENDING`, `RUNNING`, `COMPLETED`, `OUT_OF_MEMORY`, …
    pub state: String,
    /// Why it waits, or ended; empty where Slurm does not say.
    pub reason: String,
    /// Where it runs, or ran; empty where it did not yet.
    pub node: String,
    /// The most memory that it took, in bytes, where that was measured.
    pub peak: Option<u64>,
}

impl Task {
    /// The flags that make squeue print what [`active`] reads.
    pub const SQUEUE: [&'static str; 3] = ["--noheader", "--array", "--format=%i|%T|%r|%N"];
    /// The flags that make sacct print what [`ended`] reads.
    pub const SACCT: [&'static str; 4] =
        ["--noheader", "--parsable2", "--array", "--format=JobID,State,Reason,NodeList,MaxRSS"];
    /// The flags that make scontrol print what [`shown`] reads, before the job's number.
    pub const SCONTROL: [&'static str; 3] = ["--oneliner", "show", "job"];

    /// Whether it has yet to run, or runs.
    pub fn is_active(&self) -> bool {
        const ACTIVE: [&str; 9] = [
            "PENDING",
            "RUNNING",
            "COMPLETING",
            "CONFIGURING",
            "REQUEUED",
            "REQUEUE_HOLD",
            "SUSPENDED",
            "STOPPED",
            "RESIZING",
        ];
        ACTIVE.contains(&self.state.as_str())
    }
}

/// Jobs that wait or run, one a line; lines that are none are passed over.
pub fn active(squeue: &str) -> Vec<Task> {
    let line = |line: &str| {
        let [id, state, reason, node] = line.split('|').collect::<Vec<_>>().try_into().ok()?;
        task(id, state, reason, node, None)
    };
    squeue.lines().filter_map(line).collect()
}

/// Jobs that accounting knows, the latest run of each, with the most memory of their steps.
pub fn ended(sacct: &str) -> Vec<Task> {
    let mut tasks: Vec<Task> = Vec::new();
    for line in sacct.lines() {
        let Ok([id, state, reason, node, peak]) = <[&str; 5]>::try_from(line.split('|').collect::<Vec<_>>())
        else {
            continue;
        };
        let peak = bytes(peak);
        match id.split_once('.') {
            Some((whole, _)) => {
                let whole = TaskId::parse(whole);
                if let Some(known) = tasks.iter_mut().find(|task| Some(task.id) == whole) {
                    known.peak = known.peak.max(peak);
                }
            }
            None => {
                let Some(new) = task(id, state, reason, node, peak) else { continue };
                tasks.retain(|known| known.id != new.id);
                tasks.push(new);
            }
        }
    }
    tasks
}

/// Jobs that the controller still remembers, one a line of `KEY=VALUE`s.
pub fn shown(scontrol: &str) -> Vec<Task> {
    let line = |line: &str| {
        let value = |key: &str| {
            let of = |word: &str| word.strip_prefix(key)?.strip_prefix('=').map(str::to_owned);
            line.split_whitespace().find_map(of)
        };
        let place = value("ArrayTaskId").and_then(|place| place.parse().ok());
        let job = if place.is_some() { value("ArrayJobId") } else { value("JobId") };
        let id = TaskId { job: job?.parse().ok()?, place };
        let text =
            |key: &str| value(key).filter(|value| value != "None" && value != "(null)").unwrap_or_default();
        Some(Task { id, state: text("JobState"), reason: text("Reason"), node: text("NodeList"), peak: None })
    };
    scontrol.lines().filter_map(line).collect()
}

fn task(id: &str, state: &str, reason: &str, node: &str, peak: Option<u64>) -> Option<Task> {
    let id = TaskId::parse(id.trim())?;
    // `CANCELLED by 1000`.
    let state = state.split_whitespace().next().unwrap_or_default().trim_end_matches('+').to_owned();
    let told = |text: &str| Some(text.trim()).filter(|text| *text != "None").unwrap_or_default().to_owned();
    let node = told(node).replace("None assigned", "");
    Some(Task { id, state, reason: told(reason), node, peak })
}

/// `1234K`, `1.5G` in bytes.
fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let (number, unit) = match text.char_indices().last()? {
        (at, 'K') => (&text[..at], 1u64 << 10),
        (at, 'M') => (&text[..at], 1 << 20),
        (at, 'G') => (&text[..at], 1 << 30),
        (at, 'T') => (&text[..at], 1 << 40),
        _ => (text, 1),
    };
    number.parse::<f64>().ok().filter(|number| *number >= 0.0).map(|number| (number * unit as f64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Slurm 22.05 printed on one node.
    const SQUEUE: &str =
        "1_1|RUNNING|None|vm\n1_2|PENDING|BeginTime|\n2|PENDING|Dependency|\nslurm_load_jobs error\n";
    const SCONTROL: &str = "JobId=1 ArrayJobId=1 ArrayTaskId=2 JobName=t UserId=root(0) GroupId=root(0) JobState=PENDING \
        Reason=BeginTime Dependency=(null) Restarts=1 ReqNodeList=(null) ExcNodeList=(null) NodeList= NumNodes=1\n\
        JobId=2 ArrayJobId=1 ArrayTaskId=1 JobName=t JobState=CANCELLED Reason=None NodeList=vm BatchHost=vm\n\
        JobId=9 JobName=r JobState=OUT_OF_MEMORY Reason=OutOfMemory NodeList=vm\n";
    const SACCT: &str = "12_1|OUT_OF_MEMORY|None|node7|\n12_1.batch|OUT_OF_MEMORY||node7|2096912K\n\
        12_1.extern|COMPLETED||node7|100K\n12_2|CANCELLED by 1000|None|None assigned|\n12_2|COMPLETED|None|node8|\n\
        13|NODE_FAIL|None|node9|\n";

    #[test]
    fn what_squeue_prints_is_read() {
        let tasks = active(SQUEUE);
        let ids: Vec<String> = tasks.iter().map(|task| task.id.to_string()).collect();
        assert_eq!(ids, ["1_1", "1_2", "2"]);
        assert_eq!((tasks[0].node.as_str(), tasks[0].reason.as_str()), ("vm", ""));
        assert_eq!((tasks[1].state.as_str(), tasks[1].reason.as_str()), ("PENDING", "BeginTime"));
        assert!(tasks.iter().all(Task::is_active) && active("").is_empty());
    }

    #[test]
    fn what_sacct_prints_is_read_with_the_peak_of_the_steps() {
        let tasks = ended(SACCT);
        assert_eq!(tasks.len(), 3);
        assert_eq!((tasks[0].state.as_str(), tasks[0].peak), ("OUT_OF_MEMORY", Some(2_096_912 << 10)));
        assert_eq!(
            (tasks[1].state.as_str(), tasks[1].node.as_str()),
            ("COMPLETED", "node8"),
            "the latest run"
        );
        assert!(!tasks[2].is_active());
        assert_eq!(
            [bytes("1.5G"), bytes("12"), bytes(""), bytes("x")],
            [Some(3 << 29), Some(12), None, None]
        );
    }

    #[test]
    fn what_scontrol_prints_is_read() {
        let tasks = shown(SCONTROL);
        let told: Vec<(String, &str, &str)> = tasks
            .iter()
            .map(|task| (task.id.to_string(), task.state.as_str(), task.reason.as_str()))
            .collect();
        assert_eq!(
            told,
            [
                ("1_2".to_owned(), "PENDING", "BeginTime"),
                ("1_1".to_owned(), "CANCELLED", ""),
                ("9".to_owned(), "OUT_OF_MEMORY", "OutOfMemory")
            ]
        );
    }
}
